"""Sagas as the engine keeps them: hundreds in one transaction, with a handful of statements whatever their number."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.errors import StoreUnavailable
from coordinator.saga.changing import replace
from coordinator.saga.record import dump_saga, dump_step, load_saga, load_step
from coordinator.saga.state import Saga, StepRun, wake_at
from coordinator.store.at_once import AtOnce
from coordinator.store.bulk import Bulk, columns_of, insert_rows
from coordinator.store.database import Database
from coordinator.store.dialect import Dialect, Moment, storable
from coordinator.store.due import claim_due
from coordinator.store.encoding import encode
from coordinator.store.newest import find_late, insert_unless_newer
from coordinator.store.notifications import insert_notices, notice_record
from coordinator.store.outbox import forget_rows, outbox_columns, outbox_record, split
from coordinator.store.putting import put_rows
from coordinator.store.schema import history, idempotency, outbox, saga_tags, sagas, steps
from coordinator.store.values import (
    Change,
    CommandKind,
    Committed,
    Created,
    Creation,
    HistoryEntry,
    KeyReused,
    NewSaga,
    Outdated,
    Repeated,
    Unreadable,
)

unreadable = "unreadable"  # what a quarantined saga waits on
waiting_for_chars_max = 200

_moving = (
    "status",
    "direction",
    "revision",
    "wake_at",
    "waiting_on",
    "waiting_for",
    "failed_step",
    "paused_at",
    "finished_at",
    "record",
)
_fixed = ("definition", "version", "business_key", "trace_id", "created_at", "input")
_step_columns = ("saga_id", "name", "status", "record", "result")
# What has a column of its own stays out of the record.
_input, _result = frozenset({"input"}), frozenset({"result"})


class SagaStore:
    """The engine's side of the sagas."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = _Statements(database)

    async def create(
        self, batch: Sequence[NewSaga], *, lease_token: str | None = None, lease_until: datetime | None = None
    ) -> list[Creation]:
        """Keep new sagas with their steps, history, tags and commands; the answers are in the order of the batch.

        Of those with the same caller and idempotency key, in this batch, in others at the same moment or long ago,
        one is created. Repeating a batch whose commit may have failed creates nothing twice. Of those whose definition
        has to be the newest and isn't, nothing is kept. The commands belong to the holder of `lease_token` until
        `lease_until`; without one, to the first relay that claims them.
        """
        if await self._sql.start_at_once.run(
            [(*_new_record(new), new.saga.version if new.newest else None) for new in batch],
            [_key_record(new) for new in batch if new.key is not None],
            _tag_records(batch),
            *_following(batch, lease_token, lease_until),
        ):
            return [Created(new.saga.id) for new in batch]
        async with self._database.begin() as connection:
            late = await self._late(connection, batch)
            timely = [new for new in batch if new.saga.id not in late]
            owners = await self._owners(connection, timely)
            winners = {new.saga.id: new for new in timely if _owner(owners, new)[0] == new.saga.id}
            records = [_new_record(new) for _, new in sorted(winners.items())]
            fresh = [winners[row.id] for row in await self._sql.insert_sagas.run(connection, records)]
            await self._follow(connection, fresh, lease_token, lease_until)
            await self._sql.insert_tags.run(connection, _tag_records(fresh))
        return [late.get(new.saga.id) or _creation(new, *_owner(owners, new)) for new in batch]

    async def _late(self, connection: AsyncConnection, batch: Sequence[NewSaga]) -> dict[str, Creation]:
        """What comes of those whose definition has to be the newest and isn't. A repeated request still is one."""
        asking = {new.saga.id: new for new in batch if new.newest}
        records = [
            (saga_id, new.saga.definition, new.saga.version, new.caller, new.key) for saga_id, new in asking.items()
        ]
        return {
            row.id: Outdated(row.id) if row.saga_id is None else _creation(asking[row.id], row.saga_id, row.body_hash)
            for row in await self._sql.find_late.run(connection, records)
        }

    async def _owners(
        self, connection: AsyncConnection, batch: Sequence[NewSaga]
    ) -> dict[tuple[str, str], tuple[str, str]]:
        """For each caller and key of the batch, whose it is now: saga id and body hash."""
        claims: dict[tuple[str, str], NewSaga] = {}
        for new in batch:
            if new.key is not None:
                claims.setdefault((new.caller, new.key), new)
        # In one order, so that two batches with the same keys wait for each other instead of locking each other out.
        records = [_key_record(new) for _, new in sorted(claims.items())]
        won = await self._sql.insert_keys.run(connection, records)
        owners = {(row.caller, row.key): (claims[row.caller, row.key].saga.id, "") for row in won}
        owners = {claim: (saga_id, claims[claim].body_hash) for claim, (saga_id, _) in owners.items()}
        lost = [claim for claim in claims if claim not in owners]
        for row in await self._sql.find_keys.run(connection, lost):
            owners[row.caller, row.key] = (row.saga_id, row.body_hash)
        if len(owners) < len(claims):
            raise StoreUnavailable("an idempotency key was removed at the moment it was looked up")
        return owners

    async def load(self, ids: Iterable[str]) -> dict[str, Saga | Unreadable]:
        """Sagas with their steps, in two statements. What isn't there is left out; a corrupt one says so."""
        records = [(saga_id,) for saga_id in dict.fromkeys(ids)]
        async with self._database.loading() as connection:
            # Sagas first: should one move in between, its steps are newer than its revision, and a commit is refused.
            rows = await self._sql.load_sagas.run(connection, records)
            step_rows = await self._sql.load_steps.run(connection, records)
        runs: dict[str, list[sa.Row[Any]]] = {}
        for row in step_rows:
            runs.setdefault(row.saga_id, []).append(row)
        return {row.id: read_saga(row, runs.get(row.id, ())) for row in rows}

    async def commit(
        self,
        changes: Sequence[Change],
        *,
        now: datetime,
        lease_token: str | None = None,
        lease_until: datetime | None = None,
        forget: Sequence[str] = (),
    ) -> Committed:
        """Keep what moved, in one transaction, if nobody moved it since: of the stale ones nothing is kept.

        `forget` names rows of the outbox that the broker has confirmed. Raises ValueError when a saga comes twice.
        """
        by_id = {change.saga.id: change for change in changes}
        if len(by_id) < len(changes):
            raise ValueError("two changes of one saga in a batch")
        ordered = [by_id[saga_id] for saga_id in sorted(by_id)]
        plain = ordered and not forget and not any(change.void_unsent for change in ordered)
        if plain and await self._sql.move_at_once.run(
            [_moving_record(change, now) for change in ordered], *_following(ordered, lease_token, lease_until)
        ):
            return Committed(frozenset(by_id), frozenset())
        async with self._database.begin() as connection:
            # In one order, so that two batches about the same sagas wait for each other.
            records = [_moving_record(change, now) for change in ordered]
            moved = {row.id for row in await self._sql.move_sagas.run(connection, records)}
            kept = [change for change in changes if change.saga.id in moved]
            await self._sql.forget.run(connection, [split(row_id) for row_id in sorted(forget)])
            voided = await self._void(connection, [change.saga.id for change in kept if change.void_unsent], now)
            await self._follow(connection, kept, lease_token, lease_until)
        return Committed(frozenset(moved), frozenset(by_id.keys() - moved), voided)

    async def _void(self, connection: AsyncConnection, ids: Sequence[str], now: datetime) -> dict[str, tuple[str, ...]]:
        """Take back actions that nobody holds. Only those that no relay ever held are certain not to have left."""
        voided: dict[str, tuple[str, ...]] = {}
        for row in await self._sql.void.run(connection, [(saga_id,) for saga_id in ids], now=now):
            if row.lease_token is None and not row.maybe_sent:
                voided[row.saga_id] = (*voided.get(row.saga_id, ()), row.key)
        return voided

    async def _follow(
        self,
        connection: AsyncConnection,
        kept: Sequence[NewSaga | Change],
        lease_token: str | None,
        lease_until: datetime | None,
    ) -> None:
        """What goes with a saga's row: steps, history, commands."""
        records = _following(kept, lease_token, lease_until)
        for statement, some in zip(self._sql.following, records, strict=True):
            await statement.run(connection, some)

    async def due(self, now: datetime, limit: int, *, lease_seconds: float = 30.0) -> list[str]:
        """Ids of up to `limit` sagas whose time has come, those longest due. They come again after `lease_seconds`,
        unless what follows moves their clocks: what a crashed claimant took is not lost.
        """
        until = now + timedelta(seconds=lease_seconds)
        async with self._database.begin() as connection:
            rows = await connection.execute(self._sql.claim_due, {"now": now, "until": until, "limit": limit})
            return list(rows.scalars())

    async def unsent(self, saga_ids: Iterable[str]) -> dict[str, set[str]]:
        """Keys of these sagas' commands that are still in the outbox. A saga without any is left out."""
        found: dict[str, set[str]] = {}
        async with self._database.loading() as connection:
            records = [(saga_id,) for saga_id in dict.fromkeys(saga_ids)]
            for row in await self._sql.unsent.run(connection, records):
                found.setdefault(row.saga_id, set()).add(row.key)
        return found

    async def quarantine(self, reasons: Mapping[str, str]) -> None:
        """Wake these sagas no more: they can't be read. They show as waiting on `unreadable`, with the reason."""
        records = [(saga_id, storable(reason, waiting_for_chars_max)) for saga_id, reason in sorted(reasons.items())]
        async with self._database.begin() as connection:
            await self._sql.quarantine.run(connection, records)


# --- records ----------------------------------------------------------------------------------------------------------


def read_saga(row: sa.Row[Any], step_rows: Iterable[sa.Row[Any]]) -> Saga | Unreadable:
    """A saga out of its row and its steps' rows."""
    try:
        runs = {}
        for step in step_rows:
            run = load_step(json.loads(step.record))
            runs[step.name] = run if step.result is None else replace(run, result=json.loads(step.result))
        return load_saga({**json.loads(row.record), "input": json.loads(row.input)}, runs)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return Unreadable(row.id, f"{type(error).__name__}: {error}")


def _moving_values(item: NewSaga | Change) -> tuple[Any, ...]:
    saga = item.saga
    return (
        saga.status,
        saga.direction,
        saga.revision,
        wake_at(saga),
        item.waiting_on,
        item.waiting_for,
        saga.failed_step,
        saga.paused.since if saga.paused else None,
        saga.finished_at,
        encode(dump_saga(saga, without=_input)),
    )


def _moving_record(change: Change, now: datetime) -> tuple[Any, ...]:
    return (change.saga.id, change.expected_revision, now, *_moving_values(change))


def _new_record(new: NewSaga) -> tuple[Any, ...]:
    saga = new.saga
    fixed = (saga.definition, saga.version, saga.business_key, saga.trace_id, saga.created_at, encode(saga.input))
    return (saga.id, saga.created_at, *_moving_values(new), *fixed)


def _following(
    kept: Sequence[NewSaga | Change], lease_token: str | None, lease_until: datetime | None
) -> tuple[Sequence[tuple[Any, ...]], ...]:
    """What goes with the rows of sagas: steps, history, commands, what others are told."""
    return (
        [_step_record(item.saga.id, run) for item in kept for run in _runs(item)],
        [_history_record(item.saga.id, entry) for item in kept for entry in item.entries],
        [outbox_record(row, lease_token, lease_until) for item in kept for row in item.outbox],
        [notice_record(notice) for item in kept for notice in item.notices],
    )


def _key_record(new: NewSaga) -> tuple[Any, ...]:
    return (new.caller, new.key, new.body_hash, new.saga.id, new.saga.created_at)


def _tag_records(batch: Iterable[NewSaga]) -> list[tuple[str, str]]:
    return [(tag, new.saga.id) for new in batch for tag in dict.fromkeys(new.saga.tags)]


def _runs(item: NewSaga | Change) -> Iterable[StepRun]:
    return item.saga.steps.values() if isinstance(item, NewSaga) else item.steps


def _step_record(saga_id: str, run: StepRun) -> tuple[Any, ...]:
    result = None if run.result is None else encode(run.result)
    return (saga_id, run.name, run.status, encode(dump_step(run, without=_result)), result)


def _history_record(saga_id: str, entry: HistoryEntry) -> tuple[Any, ...]:
    return (saga_id, entry.seq, entry.at, entry.event, encode(entry.facts), encode(entry.notes))


def _owner(owners: Mapping[tuple[str, str], tuple[str, str]], new: NewSaga) -> tuple[str, str]:
    return (new.saga.id, new.body_hash) if new.key is None else owners[new.caller, new.key]


def _creation(new: NewSaga, owner_id: str, owner_hash: str) -> Creation:
    if owner_id == new.saga.id:
        return Created(owner_id)
    return Repeated(owner_id) if owner_hash == new.body_hash else KeyReused(owner_id)


# --- statements -------------------------------------------------------------------------------------------------------


class _Statements:
    """Built once per store: their text is the same for one row and for a thousand."""

    def __init__(self, database: Database) -> None:
        dialect = database.dialect
        new_columns = ("id", "updated_at", *_moving, *_fixed)
        self.insert_sagas = insert_rows(dialect, sagas, new_columns, unless_there=True, returning=("id",))
        self.find_late = find_late(dialect)
        self.insert_tags = insert_rows(dialect, saga_tags, ("tag", "saga_id"))
        steps_put = put_rows(dialect, steps, _step_columns, _step_columns[2:], name="v_steps")
        history_added = insert_rows(
            dialect, history, ("saga_id", "seq", "at", "event", "facts", "notes"), name="v_history"
        )
        notices_added = insert_notices(dialect, name="v_notices")
        self.following = (
            steps_put,
            history_added,
            insert_rows(dialect, outbox, outbox_columns, unless_there=True, name="v_outbox"),
            notices_added,
        )
        # At once all rows are new: one that is there already undoes the whole, which is then done step by step.
        commands_added = insert_rows(dialect, outbox, outbox_columns, name="v_outbox")
        self.forget = forget_rows(dialect)
        key_columns = ("caller", "key", "body_hash", "saga_id", "created_at")
        self.start_at_once = AtOnce(
            database,
            insert_unless_newer(dialect, new_columns),
            insert_rows(dialect, idempotency, key_columns, name="v_keys"),
            insert_rows(dialect, saga_tags, ("tag", "saga_id"), name="v_tags"),
            insert_rows(dialect, steps, _step_columns, name="v_steps"),
            history_added,
            commands_added,
            notices_added,
        )
        self.insert_keys = insert_rows(
            dialect, idempotency, key_columns, unless_there=True, returning=("caller", "key")
        )

        claims = dialect.rows("v", columns_of(idempotency, ("caller", "key")))
        same_claim = sa.and_(idempotency.c.caller == claims.c.caller, idempotency.c.key == claims.c.key)
        self.find_keys = Bulk(claims, sa.select(idempotency).join_from(claims.selectable, idempotency, same_claim))

        moves = dialect.rows("v", {**columns_of(sagas, ("id", "revision", "updated_at")), **_next_columns()})
        move = sa.update(sagas).values(
            updated_at=moves.c.updated_at, **{name: moves.c[f"next_{name}"] for name in _moving}
        )
        unmoved = sa.and_(sagas.c.id == moves.c.id, sagas.c.revision == moves.c.revision)
        self.move_sagas = Bulk(moves, move.where(unmoved).returning(sagas.c.id))
        self.move_at_once = AtOnce(database, self.move_sagas, steps_put, history_added, commands_added, notices_added)
        self._of_these(dialect)
        self.claim_due = claim_due(sagas, sagas.c.wake_at)

    def _of_these(self, dialect: Dialect) -> None:
        """What is asked about sagas, or done to them, by their ids alone."""
        ids = dialect.rows("v", columns_of(sagas, ("id",)))
        self.load_sagas = Bulk(
            ids,
            sa.select(sagas.c.id, sagas.c.record, sagas.c.input).join_from(
                ids.selectable, sagas, sagas.c.id == ids.c.id
            ),
        )
        self.load_steps = Bulk(ids, sa.select(steps).join_from(ids.selectable, steps, steps.c.saga_id == ids.c.id))
        self.unsent = Bulk(
            ids,
            sa.select(outbox.c.saga_id, outbox.c.key).join_from(ids.selectable, outbox, outbox.c.saga_id == ids.c.id),
        )
        unheld = sa.or_(outbox.c.lease_token.is_(None), outbox.c.available_at <= sa.bindparam("now", type_=Moment))
        void = sa.delete(outbox).where(
            outbox.c.saga_id.in_(sa.select(ids.c.id)),
            outbox.c.kind == sa.literal_column(f"'{CommandKind.ACTION}'"),
            unheld,
        )
        self.void = Bulk(ids, void.returning(outbox.c.saga_id, outbox.c.key, outbox.c.lease_token, outbox.c.maybe_sent))
        reasons = dialect.rows("v", columns_of(sagas, ("id", "waiting_for")))
        quarantine = sa.update(sagas).values(wake_at=None, waiting_on=unreadable, waiting_for=reasons.c.waiting_for)
        self.quarantine = Bulk(reasons, quarantine.where(sagas.c.id == reasons.c.id))


def _next_columns() -> dict[str, Any]:
    return {f"next_{name}": kind for name, kind in columns_of(sagas, _moving).items()}
