"""JSON Schemas: what is usable, what a value breaks, and that nothing is fetched from anywhere."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from coordinator.schema import check_schema, violation


def test_a_schema_that_refers_to_itself_is_usable() -> None:
    schema = {"$defs": {"sku": {"type": "string"}}, "properties": {"sku": {"$ref": "#/$defs/sku"}}}
    assert check_schema(schema) is None
    assert violation(schema, {"sku": "a"}) is None
    assert violation(schema, {"sku": 1}) == 'sku: the value is not of type "string"'


@pytest.mark.parametrize(
    "schema",
    [{"type": "nope"}, {"pattern": "("}, {"$ref": "#/$defs/none"}, {"multipleOf": 0}, {"$schema": "urn:unknown"},
     {"pattern": "(?=a)b"}, {"pattern": "a{1000}{1000}{1000}"}, {"$ref": 3}],
)  # fmt: skip
def test_an_unusable_schema_says_why(schema: dict[str, Any]) -> None:
    reason = check_schema(schema)
    assert reason
    assert "\n" not in reason


@pytest.mark.parametrize(
    "schema",
    [{"properties": {"a": {"$ref": "#"}}}, {"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}},
     {"$ref": "#/const", "const": {"not": {"$ref": "#/const"}}}, {"$recursiveRef": "#"}],
)  # fmt: skip
def test_a_schema_that_comes_back_to_itself_is_refused(schema: dict[str, Any]) -> None:
    assert check_schema(schema)


def test_references_that_double_at_every_turn_are_refused() -> None:
    doubling = {f"a{n}": {"anyOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(20)}
    reason = check_schema({"$defs": {**doubling, "a20": {"type": "string"}}, "$ref": "#/$defs/a0"})
    assert reason is not None
    assert "more than 2000" in reason


def test_references_one_after_the_other_end_somewhere() -> None:
    chain = {f"a{n}": {"$ref": f"#/$defs/a{n + 1}"} for n in range(5_000)}
    assert check_schema({"$defs": {**chain, "a5000": {}}, "$ref": "#/$defs/a0"})


def test_properties_may_be_called_like_keywords() -> None:
    schema = {"properties": {"$ref": {"type": "string"}, "const": {"type": "integer"}, "$id": {"type": "string"}}}
    assert check_schema(schema) is None
    assert violation(schema, {"const": "x"}) is not None
    assert check_schema({"enum": [{"$ref": "http://example.org/a"}]}) is None


def test_a_pointer_is_unescaped() -> None:
    schema = {"$defs": {"a/b c": {"type": "string"}}, "allOf": [{"$ref": "#/$defs/a~1b%20c"}]}
    assert check_schema(schema) is None
    assert violation(schema, 1) is not None


def test_nothing_is_fetched_from_the_network_or_the_disk(tmp_path: Path) -> None:
    asked: list[str] = []

    class Listening(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

    (tmp_path / "schema.json").write_text("{}")
    with HTTPServer(("127.0.0.1", 0), Listening) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        here = f"http://127.0.0.1:{server.server_address[1]}"
        for schema in (
            {"$ref": f"{here}/a"}, {"$id": f"{here}/a", "$ref": "b"}, {"$dynamicRef": f"{here}/a"},
            {"$schema": f"{here}/meta"}, {"$ref": f"file://{tmp_path}/schema.json"}, {"$ref": "json-schema:///other"},
        ):  # fmt: skip
            assert check_schema(schema), schema
        server.shutdown()
        thread.join()
    assert asked == []


def test_a_violation_names_the_place_and_not_the_value() -> None:
    schema = {"properties": {"cards": {"items": {"type": "integer"}}}}
    told = violation(schema, {"cards": [1, "4111 1111"]})
    assert told == 'cards.1: the value is not of type "integer"'


def test_a_pattern_takes_time_linear_in_the_text() -> None:
    assert violation({"pattern": "^(a+)+$"}, "a" * 50_000 + "b") is not None


def test_a_long_list_of_wrong_items_is_answered_soon() -> None:
    schema = {"items": {"anyOf": [{"type": "string"}] * 400}}
    assert check_schema(schema) is None
    began = time.process_time()
    assert violation(schema, [1] * 10_000) is not None
    assert time.process_time() - began < 1.0
