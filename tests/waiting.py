"""Waiting for what another task or process does, where it gives no signal a test could await."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(look: Callable[[], Awaitable[T | None]], what: str, *, seconds: float = 60.0) -> T:
    """The first answer of `look` that is neither None nor False. Fails when none comes in time."""
    try:
        async with asyncio.timeout(seconds):
            while not (found := await look()):  # noqa: ASYNC110 — another process gives no event
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"waited {seconds:g} s in vain for {what}") from None
    return found
