"""A server that speaks OpenAI's chat completions and responses over real HTTP, well or badly: one mode per request."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Question = dict[str, Any]  # the body of a request


@dataclass(frozen=True)
class Reply:
    """What is sent back. `drip_seconds`: a byte at a time. `reset`: after half of it the connection is cut."""

    body: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    drip_seconds: float = 0.0
    reset: bool = False
    silent: bool = False  # never answers


Mode = Callable[[Question], Reply]


@dataclass
class FakeModel:
    """A running server: its address, and what it was asked."""

    url: str
    mode: Mode
    asked: list[Question] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)


def pack_in(question: Question) -> dict[str, Any]:
    """The evidence pack in a question of either API."""
    messages = question.get("messages") or question["input"]
    text = next(one["content"] for one in messages if one["role"] == "user")
    pack: dict[str, Any] = json.loads(text)
    return pack


def says(content: str | None, *, usage: bool = True, finish: str = "stop", **message: Any) -> Reply:
    """A chat completion with this text."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
    body: dict[str, Any] = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    if usage:
        body["usage"] = {"prompt_tokens": 900, "completion_tokens": 120, "total_tokens": 1020}
    return Reply(json.dumps(body))


def responds(content: str) -> Reply:
    """An answer of the responses API with this text."""
    output = [{"type": "reasoning", "summary": []}]
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": content}]}
    usage = {"input_tokens": 900, "output_tokens": 120, "total_tokens": 1020}
    return Reply(json.dumps({"id": "r", "status": "completed", "output": [*output, message], "usage": usage}))


def draft(pack: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A draft that agrees with the rules and says nothing wrong."""
    first = next(iter(pack["evidence"]))
    fine: dict[str, Any] = {
        "verdict": "H1",
        "headline": {"text": "The provider does not answer", "evidence": [first]},
        "claims": [{"kind": "observation", "text": "Calls of the provider fail", "evidence": [first]}],
        "chain": [
            {"text": "The provider stopped answering", "evidence": [first]},
            {"text": "The step gave up", "evidence": [first]},
        ],
        "advice": [{"text": "Try again when it answers", "evidence": [first]}],
        "remedies": [],
        "evidence_looks_tampered": False,
    }
    return {**fine, **changes}


def agreeing(question: Question) -> Reply:
    """The well-behaved model."""
    return says(json.dumps(draft(pack_in(question))))


@contextmanager
def serving(mode: Mode) -> Iterator[FakeModel]:
    """Serve on a free port of this host until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    fake = FakeModel(f"http://127.0.0.1:{server.server_address[1]}/v1", mode)
    server.fake = fake  # type: ignore[attr-defined]  # the standard library's way to reach a handler
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        fake.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        fake: FakeModel = self.server.fake  # type: ignore[attr-defined]  # see serving
        question = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        fake.asked.append(question)
        reply = fake.mode(question)
        if reply.silent:
            fake.ended.wait()
            return
        body = reply.body.encode()
        try:
            self.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self._send(fake, reply, body)
        except OSError:
            return  # whoever asked has gone: that is what some modes are for

    def _send(self, fake: FakeModel, reply: Reply, body: bytes) -> None:
        if reply.reset:
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            # Closing with a linger of zero resets the connection, instead of ending it.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        elif reply.drip_seconds:
            for byte in body:
                if fake.ended.is_set():
                    return
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(reply.drip_seconds)
        else:
            self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Tests have their own output."""

    def log_error(self, format: str, *args: Any) -> None:  # noqa: A002  # the standard library's name
        """Nor need they hear of connections that were cut."""
