"""Notifications: who is told of what, what became of it, and telling it again."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Self
from urllib.parse import urlencode

from litestar import Controller, Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from pydantic import Field, StrictStr, StringConstraints, model_validator

from amends.event import EventKind
from coordinator.notifications.addresses import AddressRefused, place_of
from coordinator.store.ids import new_id
from coordinator.store.notifications import page_max, subscriptions_max
from coordinator.store.notified import NoticeState, Notification, NotificationFilter, Subscription, Target
from coordinator.web.api.verbs import Asking, By
from coordinator.web.auditing import after, because, before
from coordinator.web.describing import body_of, taking
from coordinator.web.desk import Desk
from coordinator.web.problems import ProblemError, Refusal, documented
from coordinator.web.reading import Body, actor_of, bad_parameter, read_body

definitions_max = 100

read_refusals = ("unreadable-body", "body-too-large", "wrong-content-type", "invalid-body")


class Subscribing(Body):
    """Where to tell (`webhook`, `amqp` or `log`), and of what: of every event unless `events` names some, of every
    definition unless `definitions` does."""

    target: Target
    url: Annotated[StrictStr, StringConstraints(max_length=2000)] | None = None
    events: Annotated[tuple[EventKind, ...], Field(max_length=len(EventKind))] | None = None
    definitions: (
        Annotated[
            tuple[Annotated[StrictStr, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,62}$")], ...],
            Field(max_length=definitions_max),
        ]
        | None
    ) = None
    by: By | None = None

    @model_validator(mode="after")
    def _a_webhook_has_a_url(self) -> Self:
        if (self.url is not None) != (self.target is Target.WEBHOOK):
            raise ValueError("url: of a webhook, and of nothing else")
        return self


@dataclass(frozen=True, slots=True)
class SubscriptionSeen:
    """`secret` is shown once, to who subscribed. `circuit`: `open` means that it failed so often that it is left alone
    until `open_until`."""

    id: str
    target: str
    url: str | None
    events: tuple[str, ...]
    definitions: tuple[str, ...]
    created_at: datetime
    created_by: str
    waiting: int
    circuit: str
    failures: int
    open_until: datetime | None
    last_error: str | None
    secret: str | None = None


@dataclass(frozen=True, slots=True)
class SubscriptionList:
    items: tuple[SubscriptionSeen, ...]


@dataclass(frozen=True, slots=True)
class NotificationSeen:
    """One event for one subscription. `body` is what is sent, as it is sent."""

    id: str
    subscription_id: str
    event_id: str
    event: str
    definition: str
    saga_id: str | None
    status: str
    attempts: int
    created_at: datetime
    next_at: datetime | None
    delivered_at: datetime | None
    last_error: str | None
    body: str


@dataclass(frozen=True, slots=True)
class NotificationList:
    items: tuple[NotificationSeen, ...]
    next: str | None


class Notifications(Controller):
    path = "/v1/notifications"
    tags = ("notifications",)

    @get("/", summary="What was told to whom, the newest first", responses=documented())
    async def list_notifications(
        self,
        desk: NamedDependency[Desk],
        status: FromQuery[NoticeState | None] = None,
        subscription_id: FromQuery[str | None] = None,
        saga_id: FromQuery[str | None] = None,
        event: FromQuery[EventKind | None] = None,
        limit: FromQuery[int] = 50,
        cursor: FromQuery[str | None] = None,
    ) -> Response[NotificationList]:
        if not 1 <= limit <= page_max:
            raise bad_parameter("limit", f"1 to {page_max}")
        chosen = NotificationFilter(status, subscription_id, saga_id, event.value if event else None)
        page = await desk.coordinator.stores.notifications.page(chosen, limit=limit, cursor=cursor)
        more = None
        if page.cursor:
            stated = {"status": status, "subscription_id": subscription_id, "saga_id": saga_id, "event": event}
            filters = {name: str(value) for name, value in stated.items() if value is not None}
            more = "/v1/notifications?" + urlencode({**filters, "limit": limit, "cursor": page.cursor})
        headers = {"Link": f'<{more}>; rel="next"'} if more else {}
        return Response(NotificationList(tuple(_told(one) for one in page.items), more), headers=headers)

    @get("/{notification_id:str}", summary="One notification", responses=documented("unknown-notification"))
    async def one(self, desk: NamedDependency[Desk], notification_id: FromPath[str]) -> NotificationSeen:
        found = await desk.coordinator.stores.notifications.get(notification_id)
        if found is None:
            raise _unknown(notification_id)
        return _told(found)

    @post(
        "/{notification_id:str}/redeliver",
        summary="Tell it again, with all its attempts",
        operation_class=taking(body_of(Asking), required=False),
        responses=documented(*read_refusals, "unknown-notification", "redelivery-refused"),
        status_code=202,
    )
    async def redeliver(
        self, request: Request[Any, Any, Any], desk: NamedDependency[Desk], notification_id: FromPath[str]
    ) -> NotificationSeen:
        actor_of(request, (await read_body(request, Asking, may_be_empty=True)).by)
        store = desk.coordinator.stores.notifications
        there = await store.get(notification_id)
        if there is not None:
            before(id=notification_id, status=there.state, attempts=there.attempts, last_error=there.last_error)
        again = await store.redeliver(notification_id, now=desk.coordinator.clock.now())
        if again is not None:
            return _told(again)
        if there is None:
            raise _unknown(notification_id)
        raise Refusal("redelivery-refused", "it waits to be delivered already, or its subscription has ended")


class Subscriptions(Controller):
    path = "/v1/notifications/subscriptions"
    tags = ("notifications",)

    @post(
        "/",
        summary="Be told of what happens; the answer has the secret that signs it, this once",
        operation_class=taking(body_of(Subscribing)),
        responses=documented(*read_refusals, "address-refused", "too-many-subscriptions"),
        status_code=201,
    )
    async def subscribe(
        self, request: Request[Any, Any, Any], desk: NamedDependency[Desk]
    ) -> Response[SubscriptionSeen]:
        asked = await read_body(request, Subscribing)
        before()
        coordinator = desk.coordinator
        if asked.url is not None:
            try:
                place_of(asked.url, private=coordinator.courier.private)
            except AddressRefused as error:
                raise Refusal("address-refused", str(error), errors=[ProblemError(str(error), "/url")]) from error
        at = coordinator.clock.now()
        new = Subscription(
            id=new_id(at),
            target=asked.target,
            created_at=at,
            created_by=actor_of(request, asked.by),
            url=asked.url or "",
            events=tuple(dict.fromkeys(kind.value for kind in asked.events or ())),
            definitions=tuple(dict.fromkeys(asked.definitions or ())),
            secret=f"whsec_{secrets.token_urlsafe(32)}" if asked.target is Target.WEBHOOK else "",
        )
        if not await coordinator.stores.notifications.subscribe(new):
            raise Refusal("too-many-subscriptions", f"there are {subscriptions_max} already: end one first")
        await coordinator.subscriptions.refresh()
        headers = {"Location": f"/v1/notifications/subscriptions/{new.id}"}
        return Response(_shown(desk, new, secret=new.secret or None), status_code=201, headers=headers)

    @get("/", summary="Who is told, and whether they can be reached", responses=documented())
    async def list_subscriptions(self, desk: NamedDependency[Desk]) -> SubscriptionList:
        await desk.coordinator.subscriptions.refresh()
        return SubscriptionList(tuple(_shown(desk, one) for one in desk.coordinator.subscriptions.all))

    @get("/{subscription_id:str}", summary="One subscription", responses=documented("unknown-subscription"))
    async def one(self, desk: NamedDependency[Desk], subscription_id: FromPath[str]) -> SubscriptionSeen:
        await desk.coordinator.subscriptions.refresh()
        for one in desk.coordinator.subscriptions.all:
            if one.id == subscription_id:
                return _shown(desk, one)
        raise Refusal("unknown-subscription", f"no subscription {subscription_id}, or it has ended")

    @delete(
        "/{subscription_id:str}",
        summary="End a subscription; what waits for it is dropped",
        responses=documented("unknown-subscription"),
        status_code=200,
    )
    async def end(
        self,
        request: Request[Any, Any, Any],
        desk: NamedDependency[Desk],
        subscription_id: FromPath[str],
        reason: FromQuery[str | None] = None,
    ) -> SubscriptionSeen:
        because(reason)
        by, now = actor_of(request, None), desk.coordinator.clock.now()
        ended = await desk.coordinator.stores.notifications.end(subscription_id, by=by, now=now)
        if ended is None:
            raise Refusal("unknown-subscription", f"no subscription {subscription_id}, or it has ended")
        before(id=ended.id, target=ended.target, by=ended.created_by, ended=False)
        after(id=ended.id, target=ended.target, by=ended.created_by, ended=True)
        await desk.coordinator.subscriptions.refresh()
        return _shown(desk, ended)


def _unknown(notification_id: str) -> Refusal:
    return Refusal("unknown-notification", f"no notification {notification_id}, or it was forgotten")


def _shown(desk: Desk, one: Subscription, *, secret: str | None = None) -> SubscriptionSeen:
    queue = desk.coordinator.subscriptions.queues.get(one.id)
    circuit = "closed"
    if one.open_until is not None:
        circuit = "open" if one.open_until > desk.coordinator.clock.now() else "half_open"
    return SubscriptionSeen(
        id=one.id,
        target=one.target.value,
        url=one.url or None,
        events=one.events,
        definitions=one.definitions,
        created_at=one.created_at,
        created_by=one.created_by,
        waiting=queue.waiting if queue else 0,
        circuit=circuit,
        failures=one.failures,
        open_until=one.open_until,
        last_error=one.last_error,
        secret=secret,
    )


def _told(one: Notification) -> NotificationSeen:
    notice = one.notice
    return NotificationSeen(
        id=notice.id,
        subscription_id=notice.subscription_id,
        event_id=notice.event_id,
        event=notice.event,
        definition=notice.definition,
        saga_id=notice.saga_id,
        status=one.state.value,
        attempts=one.attempts,
        created_at=notice.at,
        next_at=one.next_at,
        delivered_at=one.delivered_at,
        last_error=one.last_error,
        body=notice.body,
    )
