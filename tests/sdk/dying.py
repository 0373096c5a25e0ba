"""A worker that kills itself at a named point: `python -m tests.sdk.dying DATABASE_URL POINT`. See test_crashes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from amends.database import open_engine
from tests.sdk.shop import Shop, action, compensation


async def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def main(url: str, point: str) -> None:
    shop = Shop(open_engine(url))
    shop.participant.action("call", effects="external", lease_seconds=30)(_call)
    match point:
        case "action.in_transaction":
            shop.charges.append(die)
            await shop.participant.answer(action())
        case "action.after_commit":
            await shop.participant.answer(action())
        case "compensation.in_transaction":
            shop.refunds.append(die)
            await shop.participant.answer(compensation())
        case "compensation.after_commit":
            await shop.participant.answer(compensation())
        case "external.in_handler":
            await shop.participant.answer(action(handler="call"))
        case _:
            raise SystemExit(f"no point {point!r}")
    await die()


async def _call() -> None:
    await die()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
