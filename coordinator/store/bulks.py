"""What was asked of many sagas at once, and how far it is. A coordinator takes it in hand for one batch at a time: what
one leaves behind another goes on with, and two that ask it at the same rate ask no faster than one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from coordinator.saga.state import SagaStatus, StepStatus
from coordinator.store.database import Database
from coordinator.store.dialect import storable
from coordinator.store.encoding import encode
from coordinator.store.pruning import delete_old
from coordinator.store.schema import bulks
from coordinator.store.values import BulkState, Counted, SagaFilter

page_max = 200
open_max = 20  # at once
text_chars_max = 2000
refusals_max = 20  # different ones that are told apart
other_reasons = "for other reasons"
kept = timedelta(days=30)

_turn = "bulks"


class BulkVerb(StrEnum):
    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    CLOSE = "close"
    RETRY = "retry"
    WAIVE = "waive"
    SKIP = "skip"
    SETTLE = "settle"


@dataclass(frozen=True, slots=True)
class Refused:
    """How many sagas refused for the same reason, and one of them."""

    reason: str
    sagas: int
    saga_id: str


@dataclass(frozen=True, slots=True)
class BulkRow:
    """Something asked of the sagas that fit `chosen`: those older than `cursor` are still to come."""

    id: str
    body_hash: str
    verb: BulkVerb
    arguments: Mapping[str, Any]
    stated: Mapping[str, Any]
    chosen: SagaFilter
    reason: str
    by: str
    rate_per_second: float
    total: Counted
    cursor: str
    created_at: datetime
    updated_at: datetime
    key: str | None = None
    state: BulkState = BulkState.WAITING
    changed: int = 0
    unchanged: int = 0
    refused: int = 0
    refusals: tuple[Refused, ...] = ()
    finished_at: datetime | None = None
    cancelled_by: str | None = None

    @property
    def handled(self) -> int:
        return self.changed + self.unchanged + self.refused


@dataclass(frozen=True, slots=True)
class Taken:
    row: BulkRow
    interrupted: bool  # whoever had it before may have carried out some of the next batch


@dataclass(frozen=True, slots=True)
class Batch:
    """What came of some sagas."""

    cursor: str
    last: bool
    changed: int
    unchanged: int
    refused: tuple[tuple[str, str], ...]  # saga id, why


class TooManyOpen(Exception):
    """So much has been asked already that nothing more can be taken on now."""


class BulkStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, row: BulkRow) -> BulkRow:
        """Keep it, or find what came with the same key before. Raises TooManyOpen."""
        values = _record(row)
        insert = self._database.dialect.insert(bulks).on_conflict_do_nothing().returning(*bulks.c)
        before = sa.select(bulks).where(bulks.c.key == row.key)
        unfinished = sa.select(bulks.c.id).where(bulks.c.finished_at.is_(None)).limit(open_max).subquery()
        async with self._database.begin() as connection:
            await self._database.dialect.take_turn(connection, _turn)
            if row.key is not None:
                found = (await connection.execute(before)).first()
                if found is not None:
                    return _row(found)
            if (await connection.execute(sa.select(sa.func.count()).select_from(unfinished))).scalar_one() >= open_max:
                raise TooManyOpen(f"{open_max} are under way; cancel one, or wait")
            return _row((await connection.execute(insert, values)).one())

    async def started(self, key: str) -> BulkRow | None:
        """What came with this key."""
        return await self._one(bulks.c.key == key)

    async def get(self, bulk_id: str) -> BulkRow | None:
        return await self._one(bulks.c.id == bulk_id)

    async def _one(self, there: sa.ColumnElement[bool]) -> BulkRow | None:
        async with self._database.reading() as connection:
            row = (await connection.execute(sa.select(bulks).where(there))).first()
        return None if row is None else _row(row)

    async def page(self, *, limit: int = 50, cursor: str | None = None) -> tuple[list[BulkRow], str | None]:
        """The newest first, at most `page_max`, and where the next page begins."""
        size = max(1, min(limit, page_max))
        query = sa.select(bulks) if cursor is None else sa.select(bulks).where(bulks.c.id < cursor)
        async with self._database.reading() as connection:
            rows = [_row(row) for row in await connection.execute(query.order_by(bulks.c.id.desc()).limit(size + 1))]
        return rows[:size], rows[size - 1].id if len(rows) > size else None

    async def take(self, token: str, *, now: datetime, until: datetime) -> Taken | None:
        """The one whose turn it is. Nobody else has it until then, or until `record`. None: there is nothing to do."""
        free = sa.or_(bulks.c.lease_until.is_(None), bulks.c.lease_until <= now)
        next_one = sa.select(bulks.c.id, bulks.c.lease_token).where(bulks.c.finished_at.is_(None), free)
        next_one = next_one.order_by(bulks.c.updated_at, bulks.c.id).limit(1).with_for_update(skip_locked=True)
        async with self._database.begin() as connection:
            found = (await connection.execute(next_one)).first()
            if found is None:
                return None
            take = sa.update(bulks).where(bulks.c.id == found.id).returning(*bulks.c)
            take = take.values(lease_token=token, lease_until=until, state=BulkState.RUNNING.value)
            row = _row((await connection.execute(take)).one())
        return Taken(row, interrupted=found.lease_token is not None)

    async def record(self, bulk_id: str, token: str, batch: Batch, *, now: datetime, again_at: datetime) -> bool:
        """What came of a batch; the next may be taken from then on. False: it has been taken by somebody else."""
        mine = sa.and_(bulks.c.id == bulk_id, bulks.c.lease_token == token)
        over = {"state": BulkState.DONE.value, "finished_at": now}
        done = sa.update(bulks).where(bulks.c.id == bulk_id, bulks.c.finished_at.is_(None)).values(**over)
        async with self._database.begin() as connection:
            found = (await connection.execute(sa.select(bulks).where(mine).with_for_update())).first()
            if found is None:
                return False
            row = _row(found)
            await connection.execute(
                sa.update(bulks)
                .where(mine)
                .values(
                    cursor=batch.cursor,
                    changed=row.changed + batch.changed,
                    unchanged=row.unchanged + batch.unchanged,
                    refused=row.refused + len(batch.refused),
                    refusals=_refusals_text(_added(row.refusals, batch.refused)),
                    updated_at=now,
                    lease_token=None,
                    lease_until=again_at,
                )
            )
            if batch.last:
                await connection.execute(done)
        return True

    async def cancel(self, bulk_id: str, *, by: str, now: datetime) -> BulkRow | None:
        """No more batches. None: it is over already, or there is none."""
        values = {"state": BulkState.CANCELLED.value, "finished_at": now, "updated_at": now}
        end = sa.update(bulks).where(bulks.c.id == bulk_id, bulks.c.finished_at.is_(None))
        end = end.values(**values, cancelled_by=storable(by, text_chars_max)).returning(*bulks.c)
        async with self._database.begin() as connection:
            row = (await connection.execute(end)).first()
        return None if row is None else _row(row)

    async def prune(self, now: datetime) -> int:
        """Forget some of what was over long ago; how many."""
        async with self._database.begin() as connection:
            return len(await delete_old(connection, bulks, bulks.c.finished_at < now - kept))


# --- records ----------------------------------------------------------------------------------------------------------


def _record(row: BulkRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "key": row.key,
        "body_hash": row.body_hash,
        "verb": row.verb.value,
        "arguments": encode(dict(row.arguments)),
        "stated": encode(dict(row.stated)),
        "chosen": dump_filter(row.chosen),
        "reason": storable(row.reason, text_chars_max),
        "by": storable(row.by, text_chars_max),
        "rate_per_second": row.rate_per_second,
        "state": row.state.value,
        "total": row.total.count,
        "total_capped": row.total.capped,
        "cursor": row.cursor,
        "changed": row.changed,
        "unchanged": row.unchanged,
        "refused": row.refused,
        "refusals": _refusals_text(row.refusals),
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def _row(row: sa.Row[Any]) -> BulkRow:
    values = dict(row._mapping)
    for name in ("lease_token", "lease_until"):
        del values[name]
    values["total"] = Counted(values["total"], values.pop("total_capped"))
    values["verb"], values["state"] = BulkVerb(row.verb), BulkState(row.state)
    values["arguments"], values["stated"] = json.loads(row.arguments), json.loads(row.stated)
    values["chosen"] = load_filter(row.chosen)
    values["refusals"] = tuple(Refused(*one) for one in json.loads(row.refusals))
    return BulkRow(**values)


def _added(before: tuple[Refused, ...], refused: tuple[tuple[str, str], ...]) -> tuple[Refused, ...]:
    """The reasons with how many gave them, the most frequent first; beyond some, reasons are no longer told apart."""
    found = {one.reason: one for one in before}
    for saga_id, why in refused:
        reason = storable(why, text_chars_max)
        if reason not in found and len(found) >= refusals_max:
            reason = other_reasons
        one = found.get(reason) or Refused(reason, 0, saga_id)
        found[reason] = Refused(reason, one.sagas + 1, one.saga_id)
    return tuple(sorted(found.values(), key=lambda one: -one.sagas))


def _refusals_text(refusals: tuple[Refused, ...]) -> str:
    return encode([[one.reason, one.sagas, one.saga_id] for one in refusals])


def dump_filter(chosen: SagaFilter) -> str:
    """A filter as JSON text."""
    stated = {each.name: getattr(chosen, each.name) for each in fields(chosen)}
    return encode({name: _plain(value) for name, value in stated.items() if value not in (None, ())})


def load_filter(text: str) -> SagaFilter:
    """What `dump_filter` wrote."""
    return SagaFilter(**{name: _meant(name, value) for name, value in json.loads(text).items()})


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else list(value) if isinstance(value, tuple) else value


def _meant(name: str, value: Any) -> Any:
    match name:
        case "created_from" | "created_to" | "quiet_since" | "unsent_since":
            return datetime.fromisoformat(value)
        case "statuses":
            return tuple(SagaStatus(one) for one in value)
        case "step_statuses":
            return tuple(StepStatus(one) for one in value)
        case _:
            return tuple(value) if isinstance(value, list) else value
