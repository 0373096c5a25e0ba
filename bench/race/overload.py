"""More starts than can be carried out: what is answered, how much memory that takes, and whether anything is lost."""

from __future__ import annotations

import asyncio
import collections
import json
import time

import asyncpg

from bench.race.lab import Lab
from bench.race.ours import Ours
from bench.race.results import Fact
from bench.speed import shop
from bench.speed.costs import resident_bytes
from bench.speed.measuring import mebibyte
from bench.speed.product import Shape

connections = 50
outbox_rows_max = 2_000
patience_seconds = 180.0
answer_seconds_max = 30.0


class _Answers:
    """What was answered so far."""

    def __init__(self) -> None:
        self.by_status: collections.Counter[int] = collections.Counter()
        self.without_advice = 0  # refused, and not told when to come again


async def overload(lab: Lab) -> None:
    part = lab.part("overload", "Sagas are started as fast as can be while their participants are paused: what then?")
    product = lab.ours("overload", Shape(settings={"AMENDS_OUTBOX_ROWS_MAX": str(outbox_rows_max)}))
    part.notes.append(f"Starts are refused from {outbox_rows_max:,} waiting commands on, so that seconds are enough.")
    try:
        await product.start()
        pids = product.pids()["coordinator"]
        before = resident_bytes(pids) / mebibyte
        pauses = [
            (await product.ask("POST", "/v1/pauses", {"scope": "participant", "name": name, "reason": "overload"}))[
                "id"
            ]
            for name in shop.steps.values()
        ]
        answers = await _start_many(product, lab.overload_seconds)
        after = resident_bytes(pids) / mebibyte
        for pause_id in pauses:
            await product.ask("DELETE", f"/v1/pauses/{pause_id}")
        began = time.monotonic()
        kept, unfinished = await _finished(product)
        accepted = sum(count for status, count in answers.by_status.items() if status < 300)
        part.facts += [Fact(f"answered {status}", count, "") for status, count in sorted(answers.by_status.items())]
        part.facts += [
            Fact("refused without Retry-After", answers.without_advice, ""),
            Fact("accepted and not kept", max(0, accepted - kept), "sagas"),
            Fact("kept and not finished in time", unfinished, "sagas"),
            Fact("finished after", time.monotonic() - began, "s"),
            Fact("the coordinator's memory before", before, "MiB"),
            Fact("the most it had meanwhile", after, "MiB"),
            Fact("the most it had by the end", resident_bytes(pids) / mebibyte, "MiB"),
        ]
    finally:
        await product.stop()
    for fact in part.facts:
        lab.tell(f"overload   {fact.name:32} {fact.value:10.1f} {fact.unit}")


async def _start_many(product: Ours, seconds: float) -> _Answers:
    answers, until = _Answers(), time.monotonic() + seconds

    async def starting(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", product.ports[0])
        try:
            while time.monotonic() < until:
                number += connections
                body = json.dumps({"definition": shop.definition, "input": shop.order(number)})
                head = f"POST /v1/sagas HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
                writer.write(f"{head}Content-Type: application/json\r\n\r\n{body}".encode())
                async with asyncio.timeout(answer_seconds_max):
                    answered = (await reader.readuntil(b"\r\n\r\n")).lower()
                    length = answered.partition(b"content-length:")[2].partition(b"\r\n")[0]
                    await reader.readexactly(int(length))
                status = int(answered.split(b" ", 2)[1])
                answers.by_status[status] += 1
                if status >= 300 and b"retry-after:" not in answered:
                    answers.without_advice += 1
        finally:
            writer.close()

    async with asyncio.TaskGroup() as group:
        for number in range(connections):
            group.create_task(starting(number))
    return answers


async def _finished(product: Ours) -> tuple[int, int]:
    """How many sagas there are, and how many of them have not finished in time."""
    connection = await asyncpg.connect(product.dsn())
    give_up_at = time.monotonic() + patience_seconds
    try:
        while True:
            left = int(await connection.fetchval("SELECT count(*) FROM sagas WHERE finished_at IS NULL"))
            if not left or time.monotonic() > give_up_at:
                return int(await connection.fetchval("SELECT count(*) FROM sagas")), left
            await asyncio.sleep(0.5)
    finally:
        await connection.close()
