"""The outbox: commands that have to leave, as the relay claims, forgets, gives back and parks them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.dml import ReturningUpdate

from coordinator.store.bulk import Bulk, columns_of
from coordinator.store.database import Database
from coordinator.store.dialect import Dialect, Moment, storable
from coordinator.store.schema import outbox, sagas
from coordinator.store.values import Backlog, CommandKind, OutboxRow, ParkedRow

error_chars_max = 2000
parked_max = 200  # rows of one list

outbox_columns = (
    "saga_id",
    "key",
    "definition",
    "participant",
    "kind",
    "body",
    "created_at",
    "available_at",
    "lease_token",
    "maybe_sent",
    "tries",
)


def split(row_id: str) -> tuple[str, str]:
    """ "<saga id>/<key>" as its two parts, the primary key of the row."""
    saga_id, _, key = row_id.partition("/")
    return saga_id, key


def outbox_record(row: OutboxRow, lease_token: str | None, lease_until: datetime | None) -> tuple[Any, ...]:
    """A row to be inserted, held by `lease_token` until `lease_until`, or by nobody."""
    if (lease_token is None) != (lease_until is None):
        raise ValueError("a lease has both a token and an end")
    return (
        row.saga_id,
        row.key,
        row.definition,
        row.participant,
        row.kind,
        row.body,
        row.created_at,
        lease_until or row.created_at,
        lease_token,
        False,
        row.tries,
    )


def forget_rows(dialect: Dialect) -> Bulk:
    rows = dialect.rows("v", columns_of(outbox, ("saga_id", "key")))
    named = sa.tuple_(outbox.c.saga_id, outbox.c.key).in_(sa.select(rows.c.saga_id, rows.c.key))
    return Bulk(rows, sa.delete(outbox).where(named))


class OutboxStore:
    """The relay's side of the outbox. A lease is a token and a time; whoever let it run out has lost the rows."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = _Statements(database.dialect)

    async def claim(
        self,
        token: str,
        *,
        now: datetime,
        lease_until: datetime,
        limit: int,
        participant: str | None = None,
        held_participants: Collection[str] = (),
        held_definitions: Collection[str] = (),
    ) -> list[OutboxRow]:
        """Take up to `limit` rows that are free, those longest free first; nobody else gets them until `lease_until`.

        Those of one participant, if it is named. Not parked ones, and nothing of a paused saga or of what is held. A
        row whose former holder let its lease run out may have been sent, and is remembered so.
        """
        parameters = {
            **self._sql.held_participants.bind([(name,) for name in held_participants]),
            **self._sql.held_definitions.bind([(name,) for name in held_definitions]),
            "token": token,
            "now": now,
            "until": lease_until,
            "limit": limit,
        }
        async with self._database.begin() as connection:
            if participant is None:
                rows = await connection.execute(self._sql.claim, parameters)
            else:
                rows = await connection.execute(self._sql.claim_of_one, {**parameters, "one": participant})
            return sorted((_row(row) for row in rows), key=lambda row: (row.created_at, row.id))

    async def forget(self, ids: Iterable[str]) -> None:
        """Forget these rows: the broker has confirmed them."""
        await self._sql.forget.alone(self._database, [split(row_id) for row_id in sorted(set(ids))])

    async def release(
        self, ids: Iterable[str], token: str, *, available_at: datetime, maybe_sent: bool, error: str | None = None
    ) -> int:
        """Give back rows held under this token, to be claimed from `available_at` on; how many still were.

        `maybe_sent` False means that they certainly did not leave this time.
        """
        async with self._database.begin() as connection:
            released = await self._sql.release.run(
                connection,
                [split(row_id) for row_id in sorted(set(ids))],
                token=token,
                available=available_at,
                sent=maybe_sent,
                error=None if error is None else storable(error, error_chars_max),
            )
        return len(released)

    async def park(self, reasons: Mapping[str, str], token: str, *, maybe_sent: bool = False) -> int:
        """Put aside rows held under this token, each for its reason: no relay takes them; how many still were held."""
        records = [(*split(row_id), storable(reason, error_chars_max)) for row_id, reason in sorted(reasons.items())]
        async with self._database.begin() as connection:
            return len(await self._sql.park.run(connection, records, token=token, sent=maybe_sent))

    async def orphan(self) -> int:
        """End every lease; how many. Only for who knows that their holders are gone, and the broker they used."""
        held = sa.update(outbox).where(outbox.c.lease_token.is_not(None)).values(available_at=outbox.c.created_at)
        async with self._database.begin() as connection:
            return len((await connection.execute(held.returning(outbox.c.key))).all())

    async def unpark(self, row_id: str, *, now: datetime) -> bool:
        """Let a relay try a parked row again. False: it isn't parked (any more)."""
        saga_id, key = split(row_id)
        parked = sa.and_(outbox.c.saga_id == saga_id, outbox.c.key == key, outbox.c.parked_reason.is_not(None))
        free = sa.update(outbox).where(parked).values(parked_reason=None, available_at=now)
        async with self._database.begin() as connection:
            return (await connection.execute(free.returning(outbox.c.key))).first() is not None

    async def parked(self, *, participant: str | None = None, limit: int = parked_max) -> list[ParkedRow]:
        """Parked rows, the oldest first, at most `parked_max`."""
        chosen = sa.select(outbox).where(outbox.c.parked_reason.is_not(None))
        if participant is not None:
            chosen = chosen.where(outbox.c.participant == participant)
        chosen = chosen.order_by(outbox.c.created_at, outbox.c.saga_id, outbox.c.key).limit(min(limit, parked_max))
        async with self._database.reading() as connection:
            return [ParkedRow(_row(row), row.parked_reason, row.last_error) for row in await connection.execute(chosen)]

    async def unsent(self, enough: int) -> int:
        """How many rows wait to be sent, those on their way included and parked ones not; counted up to `enough`."""
        some = sa.select(outbox.c.key).where(outbox.c.parked_reason.is_(None)).limit(enough).subquery()
        async with self._database.reading() as connection:
            return int(await connection.scalar(sa.select(sa.func.count()).select_from(some)) or 0)

    async def pending(self) -> list[Backlog]:
        """What waits, per participant: the rows on their way right now included."""
        waits = outbox.c.parked_reason.is_(None)
        counted = (
            sa.select(
                outbox.c.participant,
                sa.func.count(sa.case((waits, 1))).label("waiting"),
                sa.func.count(outbox.c.parked_reason).label("parked"),
                sa.func.min(sa.case((waits, outbox.c.created_at)), type_=Moment).label("oldest"),
            )
            .group_by(outbox.c.participant)
            .order_by(outbox.c.participant)
        )
        async with self._database.reading() as connection:
            rows = await connection.execute(counted)
            return [Backlog(row.participant, row.waiting, row.parked, row.oldest) for row in rows]


def _row(row: sa.Row[Any]) -> OutboxRow:
    return OutboxRow(
        id=f"{row.saga_id}/{row.key}",
        saga_id=row.saga_id,
        definition=row.definition,
        participant=row.participant,
        kind=CommandKind(row.kind),
        body=row.body,
        created_at=row.created_at,
        tries=row.tries,
    )


class _Statements:
    def __init__(self, dialect: Dialect) -> None:
        self.forget = forget_rows(dialect)
        self.held_participants = dialect.rows("held_participants", columns_of(outbox, ("participant",)))
        self.held_definitions = dialect.rows("held_definitions", columns_of(outbox, ("definition",)))
        self.claim = self._claim()
        self.claim_of_one = self._claim(outbox.c.participant == sa.bindparam("one", type_=sa.Text))

        token = sa.bindparam("token", type_=sa.Text)
        maybe_sent = sa.or_(outbox.c.maybe_sent, sa.bindparam("sent", type_=sa.Boolean))
        ids = dialect.rows("v", columns_of(outbox, ("saga_id", "key")))
        release = sa.update(outbox).values(
            lease_token=None,
            available_at=sa.bindparam("available", type_=Moment),
            maybe_sent=maybe_sent,
            last_error=sa.bindparam("error", type_=sa.Text),
        )
        held = sa.and_(outbox.c.saga_id == ids.c.saga_id, outbox.c.key == ids.c.key, outbox.c.lease_token == token)
        self.release = Bulk(ids, release.where(held).returning(outbox.c.key))

        reasons = dialect.rows("v", columns_of(outbox, ("saga_id", "key", "parked_reason")))
        park = sa.update(outbox).values(lease_token=None, maybe_sent=maybe_sent, parked_reason=reasons.c.parked_reason)
        held = sa.and_(
            outbox.c.saga_id == reasons.c.saga_id, outbox.c.key == reasons.c.key, outbox.c.lease_token == token
        )
        self.park = Bulk(reasons, park.where(held).returning(outbox.c.key))

    def _claim(self, *chosen: sa.ColumnElement[bool]) -> ReturningUpdate[Any]:
        paused = sa.exists().where(sagas.c.id == outbox.c.saga_id, sagas.c.paused_at.is_not(None))
        free = (
            sa.select(outbox.c.saga_id, outbox.c.key)
            .where(
                outbox.c.parked_reason.is_(None),
                outbox.c.available_at <= sa.bindparam("now", type_=Moment),
                outbox.c.participant.not_in(sa.select(self.held_participants.c.participant)),
                outbox.c.definition.not_in(sa.select(self.held_definitions.c.definition)),
                sa.not_(paused),
                *chosen,
            )
            .order_by(outbox.c.available_at)
            .limit(sa.bindparam("limit", type_=sa.Integer))
            .with_for_update(skip_locked=True, of=outbox)
            .cte("free")
        )
        claim = sa.update(outbox).values(
            lease_token=sa.bindparam("token", type_=sa.Text),
            available_at=sa.bindparam("until", type_=Moment),
            tries=outbox.c.tries + 1,
            maybe_sent=sa.or_(outbox.c.maybe_sent, outbox.c.lease_token.is_not(None)),
        )
        same = sa.and_(outbox.c.saga_id == free.c.saga_id, outbox.c.key == free.c.key)
        returned = (outbox.c[name] for name in outbox_columns)
        return claim.where(same).returning(*returned)
