"""The builder writes the JSON a person would have written, and the coordinator accepts it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import BaseModel

from amends.definition import Retry, Saga
from amends.errors import DefinitionError
from coordinator.saga.registration import read_definition, step_keys
from coordinator.schema import check_schema


class Order(BaseModel):
    sku: str
    count: int = 1


def test_the_builder_writes_what_a_person_would_write() -> None:
    written = (
        Saga("place_order", deadline="10m", tags=["shop"])
        .step("reserve", "inventory.reserve", compensation="release", input={"sku": "${input.sku}"})
        .step("charge", "payment.charge", compensation="refund", retry=Retry(max_attempts=4, first="1s"), after=[])
        .step("confirm", "order.confirm", kind="pivot", after=["reserve", "charge"], timeout=timedelta(seconds=20))
        .step("notify", "notification.send", kind="retriable", optional=True, when="input.email != null")
        .document()
    )
    assert written == {
        "name": "place_order",
        "deadline": "10m",
        "tags": ["shop"],
        "steps": [
            {
                "name": "reserve",
                "participant": "inventory",
                "action": "reserve",
                "compensation": "release",
                "input": {"sku": "${input.sku}"},
            },
            {
                "name": "charge",
                "participant": "payment",
                "action": "charge",
                "compensation": "refund",
                "after": [],
                "retry": {"max_attempts": 4, "first": "1s"},
            },
            {
                "name": "confirm",
                "participant": "order",
                "action": "confirm",
                "kind": "pivot",
                "after": ["reserve", "charge"],
                "timeout": 20.0,
            },
            {
                "name": "notify",
                "participant": "notification",
                "action": "send",
                "kind": "retriable",
                "optional": True,
                "when": "input.email != null",
            },
        ],
    }
    assert read_definition(written).order[-1] == "notify"


def test_every_key_a_definition_may_have_can_be_written() -> None:
    retry = Retry(max_attempts=2, first=1, factor=2.0, cap="1m", jitter=0.2, give_up_on=["Gone"])
    built = Saga(
        "full", deadline="1h", grace=1, retention="7d", tags=["t"], input_schema=Order, description="all of it"
    ).step(
        "a", "p.x", compensation="y", after=[], kind="compensatable", input=None, when="input.go", optional=False,
        timeout="5s", retry=retry, compensation_retry=retry, input_schema=Order, output_schema={"type": "object"},
        description="one",
    ).step("b", "p.x", irreversible="it is a letter")  # fmt: skip
    document = built.document()
    assert {key for step in document["steps"] for key in step} == set(step_keys) - {"type"}
    definition = read_definition(document, schema_fault=check_schema)
    assert definition.steps[0].input is None
    assert definition.steps[0].retry.give_up_on == frozenset({"Gone"})
    assert definition.input_schema == Order.model_json_schema()


def test_one_name_for_after_is_not_taken_apart_into_letters() -> None:
    document = Saga("s").step("a", "p.x", compensation="y").step("b", "p.x", compensation="y", after="a").document()
    assert document["steps"][1]["after"] == ["a"]


@pytest.mark.parametrize("handler", ["reserve", ".reserve", "inventory.", "a.b.c", ""])
def test_a_handler_is_a_participant_and_an_action(handler: str) -> None:
    with pytest.raises(DefinitionError, match=r"participant\.action"):
        Saga("s").step("a", handler)


def test_a_document_is_a_copy() -> None:
    written = Saga("s").step("a", "p.x", compensation="y")
    written.document()["steps"].clear()
    assert len(written.document()["steps"]) == 1
