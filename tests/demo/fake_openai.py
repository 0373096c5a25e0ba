"""A small server that speaks OpenAI's chat completions over real HTTP, and a small service to be called by `http`."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Said:
    """One request as the server got it."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Answer:
    """What the server answers: a status, headers, a body (text as it is, anything else as JSON)."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class FakeServer:
    """A running server. `answers` are used one after the other, the last of them for ever."""

    url: str
    answers: list[Answer]
    said: list[Said] = field(default_factory=list)


def completion(content: str | None, *, refusal: str | None = None, finish_reason: str = "stop") -> Answer:
    """A chat completion as OpenAI's API returns it."""
    message = {"role": "assistant", "content": content, "refusal": refusal}
    return Answer(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "a-model-2026",
            "choices": [{"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": None}],
            "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
        }
    )


@contextmanager
def serving(*answers: Answer) -> Iterator[FakeServer]:
    """Serve on a free port of this host until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    fake = FakeServer(f"http://127.0.0.1:{server.server_address[1]}", list(answers))
    server.fake = fake  # type: ignore[attr-defined]  # the standard library's way to reach a handler
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    def _answer(self) -> None:
        fake: FakeServer = self.server.fake  # type: ignore[attr-defined]  # see serving
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        fake.said.append(Said(self.command, self.path, headers, json.loads(raw) if raw else None))
        answer = fake.answers.pop(0) if len(fake.answers) > 1 else fake.answers[0]
        plain = isinstance(answer.body, str)
        body = answer.body.encode() if plain else b"" if answer.body is None else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        for name, value in {"Content-Type": "text/plain" if plain else "application/json", **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_DELETE = _answer  # noqa: N815  # the standard library's names

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Tests have their own output."""
