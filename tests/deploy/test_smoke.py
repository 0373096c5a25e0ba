"""The smoke test looks at Jaeger where one answers: tried on answers in the form of Jaeger's query API."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "deploy" / "compose"))
import smoke

saga = {"id": "s1", "status": "completed", "definition": "place_order", "trace_id": "ab" * 16}


def span(name: str, own: str, parent: str | None) -> dict[str, Any]:
    references = [{"refType": "CHILD_OF", "traceID": "ab" * 16, "spanID": parent}] if parent else []
    return {"operationName": name, "spanID": own, "references": references}


@contextmanager
def answering(paths: dict[str, Any]) -> Iterator[int]:
    """A server that answers these paths with this JSON, and others with 404; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = paths.get(self.path)
            self.send_response(404 if found is None else 200)
            self.end_headers()
            self.wfile.write(json.dumps(found).encode())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Quietly."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def stack_at(port: int, folder: Path) -> smoke.Stack:
    stack = smoke.Stack(folder / "env", [])
    stack.ports["JAEGER_PORT"] = port
    return stack


def jaeger(*spans: dict[str, Any]) -> dict[str, Any]:
    trace = {"traceID": "ab" * 16, "spans": list(spans), "processes": {f"p{number}": {} for number in range(6)}}
    return {"/api/services": {"data": ["amends-coordinator"]}, f"/api/traces/{'ab' * 16}": {"data": [trace]}}


def test_a_whole_trace_is_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(jaeger(span("saga place_order", "1", None), span("charge", "2", "1"))) as port:
        report = smoke.Report()
        smoke.traces(stack_at(port, tmp_path), report, [saga])
    assert (report.seen, report.unseen) == (1, [])
    assert "one trace of 2 spans" in capsys.readouterr().out


def test_a_span_whose_parent_is_missing_is_wrong(tmp_path: Path) -> None:
    with (
        answering(jaeger(span("saga place_order", "1", None), span("charge", "2", "9"))) as port,
        pytest.raises(smoke.Wrong, match="parent is missing"),
    ):
        smoke.traces(stack_at(port, tmp_path), smoke.Report(), [saga])


def test_what_is_no_jaeger_is_said_and_is_no_fault(tmp_path: Path) -> None:
    with answering({}) as port:
        report = smoke.Report()
        smoke.traces(stack_at(port, tmp_path), report, [saga])
    assert (report.seen, len(report.unseen)) == (0, 1)


def test_a_coordinator_that_lets_everybody_in_is_wrong(tmp_path: Path) -> None:
    with answering({"/v1/sagas": {}, "/v1/keys": {}, "/readyz": {}, "/": {}}) as port:
        stack = smoke.Stack(tmp_path / "env", [])
        stack.ports["DASHBOARD_PORT"] = port
        with pytest.raises(smoke.Wrong, match=r"who may ask for what: .*\('/v1/sagas', None\): 200"):
            smoke.door(stack, smoke.Report())


def test_what_does_not_come_about_is_wrong_and_says_what_was_heard_last() -> None:
    def look() -> bool:
        raise smoke.Wrong("nobody is there")

    with pytest.raises(smoke.Wrong, match="in vain for the coordinator: nobody is there"):
        smoke.eventually(look, "the coordinator", seconds=0.1)
