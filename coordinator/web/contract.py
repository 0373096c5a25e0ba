"""The contract as files: what travels on the broker (AsyncAPI 3, JSON Schemas) and over HTTP (OpenAPI).

All of it is made from the models that the code itself reads and writes with, so that it can't say anything else; a test
compares the files that are committed with what is made here.
"""

from __future__ import annotations

import json
from typing import Any

from litestar import Litestar
from litestar.di import Provide
from pydantic import BaseModel

from amends.event import Event, EventKind
from amends.message import Command, Heartbeat, Reply, items_max, message_bytes_max, version
from amends.rabbitmq import topology
from coordinator.telemetry import release
from coordinator.web.app import controllers, described
from coordinator.web.desk import Desk

Document = dict[str, Any]

_items: dict[str, type[BaseModel]] = {"command": Command, "reply": Reply, "heartbeat": Heartbeat, "event": Event}
_plurals = {"command": "commands", "reply": "replies", "heartbeat": "heartbeats"}
_told = {
    "command": "Orders to one participant: run a handler, or say what became of an earlier order.",
    "reply": "What a participant answers, each to one command.",
    "heartbeat": "A live worker of a participant, said every few seconds.",
    "event": "One thing that happened to a saga, told to whoever listens.",
}


def files() -> dict[str, str]:
    """Every file of the contract by its name, as text."""
    documents: dict[str, Document] = {"asyncapi.json": asyncapi(), "openapi.json": openapi()}
    for name in _items:
        documents[f"schemas/{name}.json"] = schema(name)
    return {name: json.dumps(document, indent=2, ensure_ascii=False) + "\n" for name, document in documents.items()}


def schema(name: str) -> Document:
    """The JSON Schema of one item, alone."""
    found = _items[name].model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def openapi() -> Document:
    """The API's description, without a coordinator behind it."""

    def nobody() -> Desk:
        raise RuntimeError("nobody is asked while the API is described")

    web = Litestar(
        controllers,
        dependencies={"desk": Provide(nobody, sync_to_thread=False)},
        openapi_config=described(),
        debug=False,
        pdb_on_exception=False,
        logging_config=None,
    )
    found: Document = json.loads(json.dumps(web.openapi_schema.to_schema(), sort_keys=True, default=str))
    return found


def asyncapi() -> Document:
    """What is sent over the broker, by whom and where."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Amends",
            "version": release(),
            "description": "Commands to participants and their replies, heartbeats of workers, events for whoever "
            "listens. A message holds a list of commands, replies or heartbeats; each has its own identity.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"rabbitmq": {"host": "localhost:5672", "protocol": "amqp", "protocolVersion": "0.9.1"}},
        "channels": _channels(),
        "operations": _operations(),
        "components": {
            "messages": {name: _message(name) for name in _items},
            "schemas": {**_schemas(), **{_plurals[name]: _list_of(name) for name in _plurals}},
        },
    }


def _channels() -> Document:
    participant = {"participant": {"description": "The participant's name."}}
    event = {
        "definition": {"description": "The saga's definition."},
        "kind": {"description": "What happened.", "enum": [kind.value for kind in EventKind]},
    }
    return {
        "commands": _channel(
            "{participant}",
            "command",
            topology.commands,
            participant,
            f"Each participant has a quorum queue, `{topology.commands}.<participant>`.",
        ),
        "replies": _channel(
            "reply.{participant}",
            "reply",
            topology.replies,
            participant,
            f"All coordinators share one quorum queue, `{topology.replies}`. Replies to a message whose `reply_to` is "
            f"set are better published under `{topology.direct_key('{participant}', '{reply_to}')}`, with `mandatory`: "
            "they come to who asked, or are returned.",
        ),
        "heartbeats": _channel(
            "heartbeat.{participant}",
            "heartbeat",
            topology.replies,
            participant,
            f"The queue `{topology.heartbeats}` forgets what is older than seconds.",
        ),
        "events": _channel(
            "{definition}.{kind}",
            "event",
            topology.events,
            event,
            "Whoever listens binds a queue of its own. Told at least once: the header `event_id` is the event's own.",
        ),
    }


def _channel(address: str, message: str, exchange: str, parameters: Document, description: str) -> Document:
    kind = next(one.type for one in topology.exchanges if one.name == exchange)
    return {
        "address": address,
        "description": description,
        "parameters": parameters,
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {"name": exchange, "type": kind, "durable": True, "autoDelete": False, "vhost": "/"},
                "bindingVersion": "0.3.0",
            }
        },
    }


def _operations() -> Document:
    """From the coordinator's side."""
    persistent, fleeting = {"deliveryMode": 2, "mandatory": True}, {"deliveryMode": 1, "mandatory": True}
    reply = {"channel": {"$ref": "#/channels/replies"}, "messages": [{"$ref": "#/channels/replies/messages/reply"}]}
    return {
        "order": {**_operation("send", "commands", "command", persistent), "reply": reply},
        "hear": _operation("receive", "replies", "reply", {"ack": True}),
        "noticeWorkers": _operation("receive", "heartbeats", "heartbeat", fleeting),
        "tell": _operation("send", "events", "event", {"deliveryMode": 2, "mandatory": False}),
    }


def _operation(action: str, channel: str, message: str, binding: Document) -> Document:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": _told[message],
        "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"}],
        "bindings": {"amqp": {**binding, "bindingVersion": "0.3.0"}},
    }


def _message(name: str) -> Document:
    return {
        "name": name,
        "title": name.capitalize(),
        "summary": _told[name],
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{_plurals.get(name, _items[name].__name__)}"},
        "bindings": {"amqp": {"contentEncoding": "utf-8", "messageType": name, "bindingVersion": "0.3.0"}},
    }


def _list_of(name: str) -> Document:
    """A message as it travels: the version of the contract, and the items."""
    items = {"type": "array", "minItems": 1, "maxItems": items_max}
    return {
        "type": "object",
        "description": f"{_told[name]} At most {message_bytes_max} bytes.",
        "additionalProperties": False,
        "required": ["version", _plurals[name]],
        "properties": {
            "version": {"const": version},
            _plurals[name]: {**items, "items": {"$ref": f"#/components/schemas/{_items[name].__name__}"}},
        },
    }


def _schemas() -> Document:
    """Every model once, by its own name."""
    found: Document = {}
    for model in _items.values():
        described = model.model_json_schema(ref_template="#/components/schemas/{model}")
        found.update(described.pop("$defs", {}))
        found[model.__name__] = described
    return dict(sorted(found.items()))
