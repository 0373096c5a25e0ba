"""JSON Schemas: what is usable, what a value breaks, and that nothing is fetched from anywhere."""

from __future__ import annotations

import threading
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
