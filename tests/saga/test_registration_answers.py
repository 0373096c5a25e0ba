"""What registration says beside yes and no: warnings, a definition's identity; and that it says it soon."""

from __future__ import annotations

import copy
import json
import time
from typing import Any

import pytest

from coordinator.errors import Fault, InvalidDefinition
from coordinator.saga.registration import definition_hash, read_definition, warnings
from coordinator.schema import check_schema


def step(name: str, **keys: Any) -> dict[str, Any]:
    return {"name": name, "participant": "payment", "action": "charge", "compensation": "refund", **keys}


def saga(*steps: Any, **keys: Any) -> dict[str, Any]:
    return {"name": "place_order", "steps": list(steps), **keys}


def faults_of(document: Any) -> list[Fault]:
    with pytest.raises(InvalidDefinition) as caught:
        read_definition(document, schema_fault=check_schema)
    return list(caught.value.faults)


def test_warnings_name_participants_and_handlers_nobody_answers() -> None:
    definition = read_definition(saga(step("a"), step("b", participant="inventory"), step("c", action="capture")))
    assert [(fault.rule, fault.step) for fault in warnings(definition, {"payment": {"charge"}})] == [
        ("not-live", "a"),
        ("not-live", "b"),
        ("not-live", "c"),
        ("not-live", "c"),
    ]
    live = {"payment": {"charge", "refund", "capture"}, "inventory": ["charge", "refund"]}
    assert warnings(definition, live) == []


def test_the_hash_is_of_the_content_whatever_its_order_or_version() -> None:
    document = saga(step("a"), tags=["x"])
    turned = {"version": 9, **dict(reversed(document.items()))}
    assert definition_hash(turned) == definition_hash(document)
    assert definition_hash(saga(step("a"), tags=["y"])) != definition_hash(document)
    assert definition_hash(json.loads(json.dumps(document))) == definition_hash(document)


def test_a_document_is_left_as_it_was() -> None:
    document = saga(step("a", retry={"first": "1s"}), version=2)
    before = copy.deepcopy(document)
    read_definition(document)
    assert document == before


@pytest.mark.parametrize(
    "document",
    [
        saga(*(step(f"s{n}", after=[]) for n in range(5_000))),
        saga(*({} for _ in range(5_000))),
        saga(step("a", after=[f"n{n}" for n in range(20_000)])),
        saga(*(step(f"s{n}", after=[f"x{m}" for m in range(150)]) for n in range(200))),
        saga(step("a"), **{f"k{n}": n for n in range(20_000)}),
        saga(step("a", input=[f"${{steps.q{n}.x}}" for n in range(10_000)])),
        saga(*(step(f"s{n}", after=[f"s{(n + m) % 200}" for m in range(1, 6)]) for n in range(200))),
    ],
    ids=["many steps", "many empty steps", "many names", "many names everywhere", "many keys", "many refs", "circles"],
)  # fmt: skip
def test_nonsense_of_any_size_is_answered_soon_and_briefly(document: Any) -> None:
    began = time.process_time()
    found = faults_of(document)
    assert time.process_time() - began < 1.0
    assert 1 <= len(found) <= 200
    assert len(json.dumps([fault.as_dict() for fault in found])) < 200_000
