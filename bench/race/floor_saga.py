"""The floor: the messages and the statements of the product's sagas, and nothing else. No HTTP, no JSON, no rules.

Batches of sagas go from stage to stage together: their rows are written in one transaction, their commands leave in
lists of 32 that the broker confirms, participants keep a row for each and answer in lists. What the product takes
beyond this is what a coordinator costs.

    python -m bench.race.floor_saga coordinator --broker … --database … --port …
    python -m bench.race.floor_saga stock       --broker … --database …
"""

from __future__ import annotations

import argparse
import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import aio_pika
import asyncpg
import uvloop
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractIncomingMessage

from bench.race.driven import answer

list_max = 32
lanes_max = 4
connections_max = 4
prefetch = 16
quorum = {"x-queue-type": "quorum"}

forward = (("stock", "reserve"), ("payment", "charge"), ("delivery", "ship"))
backward = (("payment", "refund"), ("stock", "release"))

# As long as what the product writes for the same saga.
record = '{"id":"%s"' + "," + '"held":"' + "r" * 220 + '"}'
order = '{"order":1000000027,"customer":"customer-40","cents":4990,"fails":false}'
step_record = '{"name":"reserve","status":"succeeded","attempt":1,"happened":true,"sent_at":"' + "t" * 32 + '"}'
step_result = '{"reference":"delivery-1000000027"}'
facts = '{"at":"' + "f" * 300 + '"}'
notes = '["' + "n" * 110 + '"]'
command = ('{"saga_id":"%s","body":"' + "c" * 390 + '"}').encode()
reply = b'{"body":"' + b"a" * 390 + b'"}'

insert_sagas = """
INSERT INTO sagas (id, definition, version, status, direction, revision, trace_id, created_at, updated_at, record,
                   input)
SELECT id, 'order', 1, 'running', 'forward', 1, '7c83b2e08ca401317c8005150b439b1a', $2, $2, $3, $4
FROM unnest($1::text[]) id
"""
move_sagas = """
UPDATE sagas SET revision = $2::bigint, status = $3, updated_at = $4, finished_at = $5, record = $6
FROM unnest($1::text[]) AS moved(id) WHERE sagas.id = moved.id AND revision = $2::bigint - 1
"""
put_steps = """
INSERT INTO steps (saga_id, name, status, record, result) SELECT id, $2, $3, $4, $5 FROM unnest($1::text[]) id
ON CONFLICT (saga_id, name) DO UPDATE SET status = excluded.status, record = excluded.record, result = excluded.result
"""
insert_history = """
INSERT INTO history (saga_id, seq, at, event, facts, notes)
SELECT id, $2, $3, 'Replied', $4, $5 FROM unnest($1::text[]) id
"""
insert_outbox = """
INSERT INTO outbox (saga_id, key, definition, participant, kind, body, created_at, available_at, maybe_sent, tries)
SELECT id, $2, 'order', $3, 'action', $4, $5::bigint, $5::bigint + 10000000, false, 0 FROM unnest($1::text[]) id
"""
forget_outbox = "DELETE FROM outbox WHERE (saga_id, key) IN (SELECT id, $2 FROM unnest($1::text[]) id)"
insert_audit = """
INSERT INTO audit (id, at, who, role, via, action, target, status, request_id, address)
SELECT id, $2, 'anonymous', 'admin', 'open', 'saga.start', id, 201, id, '127.0.0.1' FROM unnest($1::text[]) id
"""
insert_inbox = """
INSERT INTO amends_inbox (saga_id, step, iteration, kind, epoch, state, doubtful, attempt, reply, created_at,
                          updated_at)
SELECT id, $2, 0, 'action', 0, 'succeeded', false, 1, $3, $4, $4 FROM unnest($1::text[]) id
"""


def _micros() -> int:
    return time.time_ns() // 1000


class Lists:
    """Lists of messages out, confirmed."""

    def __init__(self, exchange: AbstractExchange) -> None:
        self._exchange = exchange

    @classmethod
    async def open(cls, broker: str) -> tuple[Lists, AbstractChannel]:
        """With a channel to consume on."""
        connection = await aio_pika.connect(broker)
        sending = await connection.channel(publisher_confirms=True)
        return cls(sending.default_exchange), await connection.channel(publisher_confirms=False)

    async def send(self, queue: str, body: bytes, **headers: Any) -> None:
        mode = aio_pika.DeliveryMode.PERSISTENT
        await self._exchange.publish(aio_pika.Message(body, headers=headers, delivery_mode=mode), queue)


class Coordinator:
    """Moves batches of sagas through their stages."""

    def __init__(self, pool: asyncpg.Pool, lists: Lists) -> None:
        self._pool, self._lists = pool, lists
        self._answered: dict[str, asyncio.Queue[int]] = {}

    async def on_reply(self, message: AbstractIncomingMessage) -> None:
        waiting = self._answered.get(str(message.headers["batch"]))
        if waiting is not None:
            waiting.put_nowait(int(str(message.headers["count"])))
        await message.ack()

    async def batch(self, size: int, *, fails: bool) -> None:
        """So many sagas, together from the start to the end."""
        name = uuid.uuid4().hex
        ids = [f"{name}-{number:03}" for number in range(size)]
        stages = (*forward, *backward) if fails else forward
        replies = self._answered[name] = asyncio.Queue()
        try:
            await self._begin(ids, stages[0])
            for number, stage in enumerate(stages):
                await self._ask(name, ids, stage)
                outstanding = size
                while outstanding:
                    outstanding -= await replies.get()
                following = stages[number + 1] if number + 1 < len(stages) else None
                await self._move(ids, number, stage, following)
        finally:
            del self._answered[name]

    async def _ask(self, name: str, ids: Sequence[str], stage: tuple[str, str]) -> None:
        parts = [ids[first : first + list_max] for first in range(0, len(ids), list_max)]
        body = [b"[" + b",".join(command % saga_id.encode() for saga_id in part) + b"]" for part in parts]
        to, step = f"floor.{stage[0]}", stage[1]
        sent = [
            self._lists.send(to, bytes_, batch=name, step=step, first=part[0], count=len(part))
            for part, bytes_ in zip(parts, body, strict=True)
        ]
        await asyncio.gather(*sent)

    async def _begin(self, ids: Sequence[str], stage: tuple[str, str]) -> None:
        at = _micros()
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(insert_sagas, ids, at, record, order)
            await self._dispatch(connection, ids, stage, at, 1)
            await connection.execute(insert_audit, ids, at)

    async def _move(
        self, ids: Sequence[str], number: int, stage: tuple[str, str], following: tuple[str, str] | None
    ) -> None:
        at, revision = _micros(), number + 2
        ended = at if following is None else None
        status = "running" if following else "completed"
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(move_sagas, ids, revision, status, at, ended, record)
            await connection.execute(forget_outbox, ids, f"{stage[1]}/0/action/0/1")
            await connection.execute(put_steps, ids, stage[1], "succeeded", step_record, step_result)
            if following:
                await self._dispatch(connection, ids, following, at, revision)
            else:
                await connection.execute(insert_history, ids, revision, at, facts, notes)

    async def _dispatch(
        self, connection: Any, ids: Sequence[str], stage: tuple[str, str], at: int, revision: int
    ) -> None:
        body = command.decode() % ids[0]
        await connection.execute(put_steps, ids, stage[1], "dispatched", step_record, None)
        await connection.execute(insert_history, ids, revision, at, facts, notes)
        await connection.execute(insert_outbox, ids, f"{stage[1]}/0/action/0/1", stage[0], body, at)


class Lanes:
    """Batches one after the other, several side by side, until it is enough."""

    def __init__(self, coordinator: Coordinator, loop: asyncio.AbstractEventLoop) -> None:
        self._coordinator, self._loop = coordinator, loop

    def load(self, demand: dict[str, Any]) -> Callable[[], dict[str, Any]]:
        ends: list[tuple[float, float]] = []
        wrong: list[str] = []
        stopping = threading.Event()
        lanes = min(lanes_max, demand["in_flight"])
        size = max(1, demand["in_flight"] // lanes)

        async def lane() -> None:
            while not stopping.is_set():
                began = time.monotonic()
                await self._coordinator.batch(size, fails=demand["fails"])
                now = time.monotonic()
                ends.extend([(now, now - began)] * size)

        running = [asyncio.run_coroutine_threadsafe(lane(), self._loop) for _ in range(lanes)]

        def end() -> dict[str, Any]:
            stopping.set()
            wrong.extend(repr(error) for error in (one.exception(30.0) for one in running) if error)
            return {"ends": ends, "wrong": wrong}

        return end


async def coordinate(told: argparse.Namespace) -> None:
    pool = await asyncpg.create_pool(told.database, min_size=connections_max, max_size=connections_max)
    lists, hearing = await Lists.open(told.broker)
    coordinator = Coordinator(pool, lists)
    for participant, _ in forward:
        await hearing.declare_queue(f"floor.{participant}", durable=True, arguments=dict(quorum))
    await hearing.set_qos(prefetch_count=1000)
    replies = await hearing.declare_queue("floor.replies", durable=True, arguments=dict(quorum))
    await replies.consume(coordinator.on_reply)
    lanes = Lanes(coordinator, asyncio.get_running_loop())
    await asyncio.to_thread(answer, told.port, lanes.load)


async def participate(told: argparse.Namespace) -> None:
    pool = await asyncpg.create_pool(told.database, min_size=connections_max, max_size=connections_max)
    lists, hearing = await Lists.open(told.broker)

    async def on_commands(message: AbstractIncomingMessage) -> None:
        count, first = int(str(message.headers["count"])), str(message.headers["first"])
        name, _, number = first.rpartition("-")
        ids = [f"{name}-{int(number) + offset:03}" for offset in range(count)]
        text = reply.decode()
        async with pool.acquire() as connection:
            await connection.execute(insert_inbox, ids, str(message.headers["step"]), text, time.time())
        body = b"[" + b",".join([reply] * count) + b"]"
        await lists.send("floor.replies", body, batch=str(message.headers["batch"]), count=count)
        await message.ack()

    await hearing.set_qos(prefetch_count=prefetch)
    queue = await hearing.declare_queue(f"floor.{told.role}", durable=True, arguments=dict(quorum))
    await queue.consume(on_commands)
    await asyncio.Event().wait()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("role")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--broker", required=True)
    parser.add_argument("--database", required=True)
    told = parser.parse_args()
    uvloop.run(coordinate(told) if told.role == "coordinator" else participate(told))


if __name__ == "__main__":
    main()
