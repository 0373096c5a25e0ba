"""Notifications as they are kept: written with the change they tell of, claimed by lease, delivered, tried again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from coordinator.store.bulk import Bulk, insert_rows
from coordinator.store.database import Database
from coordinator.store.dialect import Dialect, Moment, storable
from coordinator.store.encoding import encode
from coordinator.store.notified import (
    Notice,
    NoticeState,
    Notification,
    NotificationFilter,
    NotificationPage,
    Queue,
    Subscription,
    Target,
)
from coordinator.store.pruning import delete_old
from coordinator.store.schema_notifications import notifications, subscriptions

subscriptions_max = 50
page_max = 200
error_chars_max = 500
name_chars_max = 200
kept = timedelta(days=7)  # what has been delivered, given up or dropped

_put = ("id", "subscription_id", "event_id", "event", "definition", "body", "created_at", "saga_id")
_fixed = ("state", "attempts", "available_at")


def insert_notices(dialect: Dialect, *, name: str = "v") -> Bulk:
    """For whoever writes the change that they tell of, in the same transaction."""
    return insert_rows(dialect, notifications, (*_put, *_fixed), unless_there=True, name=name)


def notice_record(notice: Notice) -> tuple[Any, ...]:
    fixed = (NoticeState.PENDING.value, 0, notice.at)
    return (
        *(notice.id, notice.subscription_id, storable(notice.event_id, name_chars_max), notice.event),
        *(notice.definition, notice.body, notice.at, notice.saga_id, *fixed),
    )


class NotificationStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._claim = _claim()

    # -- subscriptions -----------------------------------------------------------------------------------------------

    async def subscribe(self, new: Subscription) -> bool:
        """Keep a subscription. False: there are too many already."""
        values = {
            "id": new.id,
            "target": new.target.value,
            "url": new.url,
            "events": encode(list(new.events)),
            "definitions": encode(list(new.definitions)),
            "secret": new.secret,
            "created_at": new.created_at,
            "created_by": storable(new.created_by, name_chars_max),
            "failures": 0,
        }
        active = sa.select(sa.func.count()).select_from(subscriptions).where(subscriptions.c.ended_at.is_(None))
        async with self._database.begin() as connection:
            await self._database.dialect.take_turn(connection, "subscriptions")
            if (await connection.execute(active)).scalar_one() >= subscriptions_max:
                return False
            await connection.execute(sa.insert(subscriptions).values(values))
        return True

    async def subscriptions(self) -> list[Subscription]:
        """Those that have not ended, the oldest first."""
        active = sa.select(subscriptions).where(subscriptions.c.ended_at.is_(None)).order_by(subscriptions.c.id)
        async with self._database.reading() as connection:
            return [_subscription(row) for row in await connection.execute(active.limit(subscriptions_max))]

    async def end(self, subscription_id: str, *, by: str, now: datetime) -> Subscription | None:
        """End a subscription; what still waits for it is dropped, its secret forgotten. None: it is not there."""
        chosen = sa.and_(subscriptions.c.id == subscription_id, subscriptions.c.ended_at.is_(None))
        ended = {"ended_at": now, "ended_by": storable(by, name_chars_max), "secret": ""}
        waiting = sa.and_(
            notifications.c.subscription_id == subscription_id, notifications.c.state == NoticeState.PENDING.value
        )
        dropped = {"state": NoticeState.DROPPED.value, "lease_token": None, "last_error": "the subscription ended"}
        async with self._database.begin() as connection:
            row = (
                await connection.execute(sa.update(subscriptions).where(chosen).values(ended).returning(subscriptions))
            ).first()
            if row is None:
                return None
            await connection.execute(sa.update(notifications).where(waiting).values(dropped))
        return _subscription(row)

    async def trouble(self, subscription_id: str, *, failures: int, open_until: datetime | None, error: str) -> None:
        """What is known of whether a target can be reached, for all coordinators. Zero failures: it can."""
        said = {"failures": failures, "open_until": open_until, "last_error": storable(error, error_chars_max) or None}
        async with self._database.begin() as connection:
            await connection.execute(sa.update(subscriptions).where(subscriptions.c.id == subscription_id).values(said))

    # -- the courier's side ------------------------------------------------------------------------------------------

    async def queues(self) -> Mapping[str, Queue]:
        """What waits, by subscription: how much, and when the first of it may be tried."""
        waits = notifications.c.state == sa.literal_column(f"'{NoticeState.PENDING}'")
        query = sa.select(
            notifications.c.subscription_id,
            sa.func.count().label("waiting"),
            sa.func.min(notifications.c.available_at, type_=Moment).label("next_at"),
        ).where(waits)
        async with self._database.reading() as connection:
            rows = await connection.execute(query.group_by(notifications.c.subscription_id))
            return {row.subscription_id: Queue(row.waiting, row.next_at) for row in rows}

    async def claim(
        self, subscription_id: str, token: str, *, now: datetime, lease_until: datetime, limit: int
    ) -> list[Notification]:
        """Take up to `limit` of what waits for a subscription; nobody else gets it until `lease_until`."""
        parameters = {"of": subscription_id, "token": token, "now": now, "until": lease_until, "limit": limit}
        async with self._database.begin() as connection:
            rows = await connection.execute(self._claim, parameters)
            return sorted((_notification(row) for row in rows), key=lambda one: one.notice.id)

    async def delivered(self, ids: Sequence[str], token: str, *, now: datetime) -> int:
        """These have arrived; how many were still held under the token."""
        done = {"state": NoticeState.DELIVERED.value, "delivered_at": now, "lease_token": None, "last_error": None}
        return await self._settle(ids, token, done)

    async def undelivered(self, notice_id: str, token: str, *, error: str, again_at: datetime | None) -> int:
        """It did not arrive: again at that time, or (None) not unless somebody asks for it."""
        state = NoticeState.FAILED if again_at is None else NoticeState.PENDING
        values: dict[str, Any] = {"state": state.value, "lease_token": None}
        values["last_error"] = storable(error, error_chars_max)
        if again_at is not None:
            values["available_at"] = again_at
        return await self._settle([notice_id], token, values)

    async def put_back(self, ids: Sequence[str], token: str, *, now: datetime) -> int:
        """These were not tried after all."""
        untried = {"lease_token": None, "available_at": now, "attempts": notifications.c.attempts - 1}
        return await self._settle(ids, token, untried)

    async def _settle(self, ids: Sequence[str], token: str, values: Mapping[str, Any]) -> int:
        held = sa.and_(notifications.c.id.in_(sorted(ids)), notifications.c.lease_token == token)
        async with self._database.begin() as connection:
            settled = sa.update(notifications).where(held).values(values).returning(notifications.c.id)
            return len((await connection.execute(settled)).all())

    async def prune(self, now: datetime) -> int:
        """Forget some of what was over long ago; how much. Zero: nothing is left to forget."""
        over = [state.value for state in NoticeState if state is not NoticeState.PENDING]
        old = sa.and_(notifications.c.state.in_(over), notifications.c.created_at < now - kept)
        gone = sa.and_(subscriptions.c.ended_at.is_not(None), subscriptions.c.ended_at < now - kept)
        async with self._database.begin() as connection:
            forgotten = await delete_old(connection, notifications, old)
            return len(forgotten) + len(await delete_old(connection, subscriptions, gone))

    # -- the people's side -------------------------------------------------------------------------------------------

    async def page(
        self, chosen: NotificationFilter | None = None, *, limit: int = 50, cursor: str | None = None
    ) -> NotificationPage:
        """Notifications that fit the filter, newest first, at most `page_max`."""
        size = max(1, min(limit, page_max))
        chosen = chosen or NotificationFilter()
        equal: list[tuple[sa.Column[Any], str | None]] = [
            (notifications.c.state, chosen.state),
            (notifications.c.subscription_id, chosen.subscription_id),
            (notifications.c.saga_id, chosen.saga_id),
            (notifications.c.event, chosen.event),
        ]
        query = sa.select(notifications).where(*(column == str(value) for column, value in equal if value is not None))
        if cursor is not None:
            query = query.where(notifications.c.id < cursor)
        async with self._database.reading() as connection:
            rows = await connection.execute(query.order_by(notifications.c.id.desc()).limit(size + 1))
            items = [_notification(row) for row in rows]
        more = items[size - 1].notice.id if len(items) > size else None
        return NotificationPage(tuple(items[:size]), more)

    async def get(self, notice_id: str) -> Notification | None:
        async with self._database.reading() as connection:
            row = (await connection.execute(sa.select(notifications).where(notifications.c.id == notice_id))).first()
        return None if row is None else _notification(row)

    async def redeliver(self, notice_id: str, *, now: datetime) -> Notification | None:
        """Let it be delivered once more, with all its attempts. None: it waits already, or its subscription ended."""
        active = sa.select(subscriptions.c.id).where(subscriptions.c.ended_at.is_(None))
        over = sa.and_(
            notifications.c.id == notice_id,
            notifications.c.state != NoticeState.PENDING.value,
            notifications.c.subscription_id.in_(active),
        )
        again = {"state": NoticeState.PENDING.value, "attempts": 0, "available_at": now, "delivered_at": None}
        async with self._database.begin() as connection:
            update = sa.update(notifications).where(over).values(again).returning(notifications)
            row = (await connection.execute(update)).first()
        return None if row is None else _notification(row)


def _claim() -> Any:
    free = (
        sa.select(notifications.c.id)
        .where(
            notifications.c.state == sa.literal_column(f"'{NoticeState.PENDING}'"),
            notifications.c.subscription_id == sa.bindparam("of", type_=sa.Text),
            notifications.c.available_at <= sa.bindparam("now", type_=Moment),
        )
        .order_by(notifications.c.available_at)
        .limit(sa.bindparam("limit", type_=sa.Integer))
        .with_for_update(skip_locked=True)
        .cte("free")
    )
    claim = sa.update(notifications).values(
        lease_token=sa.bindparam("token", type_=sa.Text),
        available_at=sa.bindparam("until", type_=Moment),
        attempts=notifications.c.attempts + 1,
    )
    return claim.where(notifications.c.id == free.c.id).returning(*notifications.c)


def _subscription(row: sa.Row[Any]) -> Subscription:
    return Subscription(
        id=row.id,
        target=Target(row.target),
        created_at=row.created_at,
        created_by=row.created_by,
        url=row.url,
        events=tuple(json.loads(row.events)),
        definitions=tuple(json.loads(row.definitions)),
        secret=row.secret,
        failures=row.failures,
        open_until=row.open_until,
        last_error=row.last_error,
    )


def _notification(row: sa.Row[Any]) -> Notification:
    notice = Notice(
        id=row.id,
        subscription_id=row.subscription_id,
        event_id=row.event_id,
        event=row.event,
        definition=row.definition,
        body=row.body,
        at=row.created_at,
        saga_id=row.saga_id,
    )
    next_at = row.available_at if row.state == NoticeState.PENDING else None
    return Notification(notice, NoticeState(row.state), row.attempts, next_at, row.delivered_at, row.last_error)
