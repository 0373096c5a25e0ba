"""Who answers: one process of a participant, by a name that no other process has."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass
from typing import Any

from amends.capture import clean_text
from amends.message import Answer, Command, Reply

host_chars_max = 100


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker's identity, as its replies and heartbeats carry it."""

    participant: str
    id: str
    version: str
    host: str = ""

    @classmethod
    def of_this_process(cls, participant: str, version: str, host: str | None = None) -> Worker:
        """`host` is what the machine is called, unless the system knows best."""
        host = clean_text(socket.gethostname() if host is None else host, host_chars_max)
        return cls(participant, f"{host}-{os.getpid()}-{secrets.token_hex(4)}", version, host)

    def reply(self, command: Command, answer: Answer, **facts: Any) -> Reply:
        """A reply to this command. `facts` are the further fields of Reply."""
        return Reply(
            saga_id=command.saga_id,
            step=command.step,
            iteration=command.iteration,
            kind=command.kind,
            epoch=command.epoch,
            attempt=command.attempt,
            inquire=command.inquire,
            participant=self.participant,
            answer=answer,
            worker=self.id,
            worker_version=self.version,
            **facts,
        )
