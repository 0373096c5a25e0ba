"""Who answers: one process of a participant, by a name that no other process has."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass
from typing import Any

from amends.message import Answer, Command, Reply


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker's identity, as its replies and heartbeats carry it."""

    participant: str
    id: str
    version: str

    @classmethod
    def of_this_process(cls, participant: str, version: str) -> Worker:
        name = f"{socket.gethostname()[:100]}-{os.getpid()}-{secrets.token_hex(4)}"
        return cls(participant, name, version)

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
