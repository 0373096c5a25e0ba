"""How the OpenAPI description tells what a route reads by itself: bodies are read strictly, not by the framework."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema
from pydantic import BaseModel


def taking(schema: Schema, *, required: bool = True) -> type[Operation]:
    """The description of a route that takes such a body."""

    @dataclass
    class Taking(Operation):
        def __post_init__(self) -> None:
            self.request_body = RequestBody(
                content={"application/json": OpenAPIMediaType(schema=schema)}, required=required
            )

    return Taking


def any_object(description: str) -> Schema:
    return Schema(type=OpenAPIType.OBJECT, description=description)


@cache
def body_of(model: type[BaseModel]) -> Schema:
    """The schema of a body, with those of the models within it."""
    schema: dict[str, Any] = model.model_json_schema()
    return _object(schema, schema.get("$defs", {}))


def _object(value: dict[str, Any], models: dict[str, Any]) -> Schema:
    return Schema(
        type=OpenAPIType.OBJECT,
        description=value.get("description"),
        required=value.get("required"),
        properties={name: _property(part, models) for name, part in value["properties"].items()},
        additional_properties=False,
    )


def _property(value: dict[str, Any], models: dict[str, Any]) -> Schema:
    kinds = [_resolved(kind, models) for kind in value.get("anyOf", [value]) if kind.get("type") != "null"]
    told = kinds[0]
    if len(kinds) == 1 and "properties" in told:
        return _object({**told, "description": value.get("description", told.get("description"))}, models)
    schema = Schema(description=value.get("description"))
    if len(kinds) == 1 and "type" in told:
        schema.type = OpenAPIType(told["type"])
        schema.enum = told.get("enum")
        schema.max_length, schema.min_length = told.get("maxLength"), told.get("minLength")
        schema.maximum, schema.minimum = told.get("maximum"), told.get("minimum")
        schema.max_items, schema.pattern = told.get("maxItems"), told.get("pattern")
        if "items" in told:
            schema.items = _property(told["items"], models)
    elif len(kinds) > 1:
        schema.one_of = [_property(kind, models) for kind in kinds]
    return schema


def _resolved(kind: dict[str, Any], models: dict[str, Any]) -> dict[str, Any]:
    name = kind.get("$ref", "").rpartition("/")[2]
    return models[name] if name else kind
