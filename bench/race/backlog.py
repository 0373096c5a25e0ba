"""Commands that could not leave for a while: how fast the outbox is emptied once they can."""

from __future__ import annotations

import asyncio
import time

import asyncpg

from bench.race.filling import copies, made_id, of_made
from bench.race.lab import Lab
from bench.race.ours import Ours
from bench.race.results import Fact
from bench.speed import shop

patience_seconds = 120.0
participant = "shelf"
document = {
    "name": "shelved",
    "steps": [
        {"name": "reserve", "participant": participant, "action": "reserve", "compensation": "release", "timeout": "7d"}
    ],
}


async def backlog(lab: Lab) -> None:
    part = lab.part("backlog", f"How fast are {lab.backlog_rows:,} commands published that wait in the outbox?")
    product = lab.ours("backlog")
    try:
        await product.start()
        pause = {"scope": "participant", "name": participant, "reason": "to fill its outbox"}
        pause_id = (await product.ask("POST", "/v1/pauses", pause))["id"]
        await _fill(product, lab.backlog_rows)
        waiting, seconds = await _drain(product, pause_id)
    finally:
        await product.stop()
    part.facts.append(Fact("rows", waiting, ""))
    part.facts.append(Fact("drained in", seconds, "s"))
    part.facts.append(Fact("drained", waiting / seconds, "rows/s"))
    part.notes.append("From the first row that was gone to the last; the participant's queue takes them all.")
    lab.tell(f"backlog   {waiting} rows in {seconds:.2f} s: {waiting / seconds:.0f} a second")


async def _fill(product: Ours, count: int) -> None:
    """Out of one saga whose command is held back: its rows, again and again."""
    await product.register(document)
    body = {"definition": document["name"], "input": shop.order(1)}
    saga_id = (await product.ask("POST", "/v1/sagas", body))["id"]
    connection = await asyncpg.connect(product.dsn())
    try:
        changes = {
            "sagas": {"id": made_id, "record": f"replace(record, id, {made_id})"},
            "steps": of_made,
            "history": of_made,
            "outbox": {**of_made, "body": f"replace(body, saga_id, {made_id})"},
        }
        async with connection.transaction():
            for table, changed in changes.items():
                statement = await copies(connection, table, "id" if table == "sagas" else "saga_id", changed)
                await connection.execute(statement, saga_id, 2, count)
        await connection.execute("ANALYZE")
    finally:
        await connection.close()


async def _drain(product: Ours, pause_id: str) -> tuple[int, float]:
    """How many rows there were, and how long it took from the first one gone to the last."""
    connection = await asyncpg.connect(product.dsn())
    give_up_at = time.monotonic() + patience_seconds
    try:
        first = left = int(await connection.fetchval("SELECT count(*) FROM outbox"))
        resuming = asyncio.create_task(product.ask("DELETE", f"/v1/pauses/{pause_id}"))
        began = time.monotonic()
        while left and time.monotonic() < give_up_at:
            await asyncio.sleep(0.05)
            before, looked_at = left, time.monotonic()
            left = int(await connection.fetchval("SELECT count(*) FROM outbox"))
            if before == first and left == first:
                began = looked_at
        await resuming
        return first - left, time.monotonic() - began
    finally:
        await connection.close()
