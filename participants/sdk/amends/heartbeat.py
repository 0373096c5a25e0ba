"""Saying that a worker lives: every few seconds, and once more when it stops."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from amends.broker import Address, Broker
from amends.message import Heartbeat, encode_item, frame

log = logging.getLogger("amends.heartbeat")

farewell_seconds = 1.0


class Heartbeats:
    """The loop that says what `state` returns. What is lost needs no repeating: the next one follows."""

    def __init__(self, broker: Broker, interval_seconds: float, state: Callable[[bool], Heartbeat]) -> None:
        self._broker = broker
        self._interval_seconds = interval_seconds
        self._state = state

    async def beat(self) -> None:
        """Say it now, and then at every interval, for ever."""
        while True:
            await self._say(stopping=False, within_seconds=self._interval_seconds)
            await asyncio.sleep(self._interval_seconds)

    async def farewell(self) -> None:
        """Say that this worker stops."""
        await self._say(stopping=True, within_seconds=farewell_seconds)

    async def _say(self, *, stopping: bool, within_seconds: float) -> None:
        heartbeat = self._state(stopping)
        body = frame("heartbeats", [encode_item(heartbeat)])
        try:
            async with asyncio.timeout(within_seconds):
                confirm = await self._broker.publish(Address("replies", heartbeat.participant), body, transient=True)
        except TimeoutError:
            log.debug("A heartbeat was not sent in time", extra={"action": "heartbeat.lost"})
        else:
            log.debug("A heartbeat was %s", confirm.value, extra={"action": "heartbeat.sent"})
