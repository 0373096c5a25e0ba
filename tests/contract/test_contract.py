"""The committed contract is what the code says, it is well-formed, and what travels fits it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from typer.testing import CliRunner

from amends.event import Event, EventKind, EventSaga
from amends.message import Answer, Command, Heartbeat, Kind, Reply, encode_item, frame
from amends.rabbitmq import topology
from coordinator.cli import app
from coordinator.web.contract import files

root = Path(__file__).parents[2]
folder = root / "docs" / "contract"
at = datetime(2030, 1, 1, tzinfo=UTC)

identity: dict[str, Any] = {"saga_id": "s1", "step": "charge", "kind": Kind.ACTION, "attempt": 1}
command = Command(
    **identity, saga="d", participant="payment", handler="charge", timeout_seconds=3.0, issued_at=at, expires_at=at
)
reply = Reply(**identity, participant="payment", answer=Answer.SUCCEEDED, result={"id": [1, None]})
heartbeat = Heartbeat(participant="payment", worker="w1", interval_seconds=5.0)
event = Event(
    id="s1.1.started",
    kind=EventKind.STARTED,
    at=at,
    definition="d",
    saga=EventSaga(id="s1", definition="d", version=1, status="running", direction="forward", created_at=at),
)


def asyncapi() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "asyncapi.json").read_text("utf-8"))
    return document


def test_what_is_committed_is_what_the_code_says() -> None:
    made = files()
    committed = {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in folder.rglob("*.json")}
    differing = sorted(name for name in made.keys() | committed.keys() if made.get(name) != committed.get(name))
    assert differing == [], "run `amends contract export`"


def test_the_command_writes_every_file(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["contract", "export", "--out", str(tmp_path / "there")])

    assert done.exit_code == 0, done.output
    written = {path.relative_to(tmp_path / "there").as_posix(): path.read_text() for path in tmp_path.rglob("*.json")}
    assert written == files()


def test_asyncapi_is_what_asyncapi_asks_for() -> None:
    schema = json.loads((Path(__file__).parent / "asyncapi-3.0.0.json").read_text("utf-8"))
    faults = [
        f"{'/'.join(map(str, one.instance_path))}: {one.message}" for one in _draft7(schema).iter_errors(asyncapi())
    ]
    assert faults == []


def _draft7(schema: dict[str, Any]) -> jsonschema_rs.Draft7Validator:
    return jsonschema_rs.Draft7Validator(schema)


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for part in value.values() for found in references(part)]
    return [found for part in value for found in references(part)] if isinstance(value, list) else []


@pytest.mark.parametrize("name", sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.json")))
def test_every_reference_leads_somewhere(name: str) -> None:
    document = json.loads((folder / name).read_text("utf-8"))
    for reference in references(document):
        place: Any = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part.replace("~1", "/").replace("~0", "~")]
        assert place is not None


def test_the_exchanges_are_those_that_are_declared() -> None:
    said = {one["bindings"]["amqp"]["exchange"]["name"] for one in asyncapi()["channels"].values()}
    declared = {one.name: one.type for one in topology.exchanges}
    assert said <= declared.keys()
    for channel in asyncapi()["channels"].values():
        exchange = channel["bindings"]["amqp"]["exchange"]
        assert exchange["type"] == declared[exchange["name"]]


@pytest.mark.parametrize(("plural", "item"), [("commands", command), ("replies", reply), ("heartbeats", heartbeat)])
def test_what_travels_fits_the_contract(plural: Any, item: Any) -> None:
    document = asyncapi()
    schema = {"$ref": f"#/components/schemas/{plural}", "components": document["components"]}
    valid = jsonschema_rs.Draft202012Validator(schema)
    message = json.loads(frame(plural, [encode_item(item)]))

    assert valid.is_valid(message)
    assert not valid.is_valid({**message, plural: []})
    assert not valid.is_valid({**message, "more": 1})
    assert not valid.is_valid({**message, plural: [{**message[plural][0], "unheard_of": 1}]})
    alone = json.loads((folder / "schemas" / f"{type(item).__name__.lower()}.json").read_text("utf-8"))
    assert jsonschema_rs.Draft202012Validator(alone).is_valid(message[plural][0])


def test_an_event_fits_the_contract() -> None:
    schema = json.loads((folder / "schemas" / "event.json").read_text("utf-8"))
    valid = jsonschema_rs.Draft202012Validator(schema)
    told = json.loads(event.model_dump_json(exclude_none=True))
    assert valid.is_valid(told)
    assert not valid.is_valid({**told, "kind": "exploded"})


def test_the_api_that_is_served_is_the_one_that_is_committed() -> None:
    described = json.loads((folder / "openapi.json").read_text("utf-8"))
    assert described["openapi"].startswith("3.1")
    assert "/v1/notifications/subscriptions" in described["paths"]
