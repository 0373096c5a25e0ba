"""One set of servers for a run of several processes: the first process keeps them, the others ask at its desk."""

from __future__ import annotations

import secrets
import threading
from multiprocessing.connection import Client, Listener

from tests.servers import Servers, ServerUnavailable

_questions = ("postgres_url", "rabbitmq_url", "rabbitmq_management_url")


class Desk:
    """Answers, in a thread of the process that keeps the servers, where each server is; starts it when first asked."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._key = secrets.token_bytes(16)
        self._listener = Listener(("127.0.0.1", 0), authkey=self._key)
        self.address = f"{self._listener.address[1]}:{self._key.hex()}"
        self._thread = threading.Thread(target=self._serve, daemon=True, name="servers-desk")
        self._thread.start()

    def _serve(self) -> None:
        while True:
            with self._listener.accept() as visitor:
                question = visitor.recv()
                if question not in _questions:
                    visitor.send(("closed", ""))
                    return
                try:
                    visitor.send(("url", getattr(self._servers, question)))
                except ServerUnavailable as error:
                    visitor.send(("unavailable", str(error)))

    def close(self) -> None:
        """Answer nobody any more."""
        _ask(self.address, "close")
        self._thread.join()
        self._listener.close()


def _ask(address: str, question: str) -> tuple[str, str]:
    port, _, key = address.partition(":")
    with Client(("127.0.0.1", int(port)), authkey=bytes.fromhex(key)) as desk:
        desk.send(question)
        answer: tuple[str, str] = desk.recv()
        return answer


class Visitor:
    """`Servers` as another process sees them: each URL is asked for at the desk when it is needed."""

    def __init__(self, address: str) -> None:
        self._address = address

    def _url(self, question: str) -> str:
        kind, text = _ask(self._address, question)
        if kind != "url":
            raise ServerUnavailable(text)
        return text

    @property
    def postgres_url(self) -> str:
        return self._url("postgres_url")

    @property
    def rabbitmq_url(self) -> str:
        return self._url("rabbitmq_url")

    @property
    def rabbitmq_management_url(self) -> str:
        return self._url("rabbitmq_management_url")
