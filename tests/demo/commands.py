"""Commands as a coordinator would send them, and a service on a database of its own to send them to."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from amends import Command, Kind, Participant, Reply
from participants.knobs import Knobs
from participants.run import Service, open_database


def a_command(participant: str, kind: Kind, handler: str, data: Any, **facts: Any) -> Command:
    """The first attempt of a step's command, unless `facts` say otherwise. `saga_id` is needed."""
    now = datetime.now(UTC)
    return Command(
        saga="a-saga",
        participant=participant,
        kind=kind,
        handler=handler,
        data=data,
        issued_at=now,
        expires_at=now + timedelta(hours=1),
        **{"step": "the-step", "attempt": 1, "timeout_seconds": 10.0, **facts},
    )


@dataclass
class Counter:
    """One running service, addressed over its counter: no broker in between."""

    service: Service
    engine: AsyncEngine
    participant: Participant
    saga_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    async def act(self, handler: str, data: Any, **facts: Any) -> Reply:
        """Answer an action of a saga; a new one unless `saga_id` says which."""
        return await self._send(Kind.ACTION, handler, data, **facts)

    async def undo(self, handler: str, data: Any, **facts: Any) -> Reply:
        """Answer a compensation of the same saga's step."""
        return await self._send(Kind.COMPENSATION, handler, data, **facts)

    async def _send(self, kind: Kind, handler: str, data: Any, **facts: Any) -> Reply:
        given = {"saga_id": self.saga_id, **facts}
        return await self.participant.answer(a_command(self.service.name, kind, handler, data, **given))

    async def ask(self, question: str) -> int:
        """One number, by plain SQL."""
        async with self.engine.connect() as connection:
            return int(await connection.scalar(text(question)) or 0)


@asynccontextmanager
async def counter(service: Service, url: str, knobs: Knobs | None = None) -> AsyncIterator[Counter]:
    """The service, prepared on this database, until the block ends."""
    engine = open_database(url, connections=4)
    try:
        await service.prepare(engine)
        yield Counter(service, engine, service.build(engine, knobs or Knobs()))
    finally:
        await engine.dispose()
