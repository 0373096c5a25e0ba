"""Delivers notifications: at least once, each by one coordinator at a time, one subscription's trouble its own.

What can't be delivered is tried again, later and later, for about four hours; then it stays as failed, until somebody
asks for it again. A target that fails again and again is left alone for a while, by all coordinators: nothing of its
queue is tried, and so nothing is given up; then one notification finds out whether it is back.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from amends.broker import Broker, Confirm
from coordinator.alarm import Alarm
from coordinator.errors import StoreUnavailable
from coordinator.notifications.subscriptions import Subscriptions
from coordinator.notifications.webhook import Undelivered, post
from coordinator.saga.decision import Decision
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.state import Saga
from coordinator.store.notifications import NotificationStore
from coordinator.store.notified import Notification, Subscription, Target
from coordinator.supervisor import lasting, uncut

log = logging.getLogger(__name__)

poll_seconds = 1.0
claim_max = 16  # of one subscription at a time, delivered together
lease_seconds = 30.0  # several times what one delivery may take
attempts_max = 12
retry_first_seconds, retry_factor, retry_seconds_max = 1.0, 3.0, 3600.0
failures_max = 5  # in a row; then the target is left alone
rest_first_seconds, rest_seconds_max = 10.0, 300.0


class Courier:
    """Delivers what waits, until cancelled. `private`: webhooks may go to this machine and its neighbours."""

    def __init__(
        self,
        store: NotificationStore,
        subscriptions: Subscriptions,
        broker: Broker,
        *,
        now: Callable[[], datetime],
        token: str,
        private: bool,
    ) -> None:
        self._store, self._subscriptions, self._broker = store, subscriptions, broker
        self._now, self._token, self.private = now, token, private
        self._alarm = Alarm(now, poll_seconds)
        self._serving: set[str] = set()
        self.outcomes: Counter[tuple[str, str]] = Counter()  # by target and outcome
        self.ended = 0

    def observe(self, _: SagaDefinition, __: Saga, ___: Decision) -> None:
        """An observer of the engine: what was committed may have to be told of."""
        if self._subscriptions.all:
            self._alarm.set(self._now())

    async def run(self) -> None:
        """Deliver, until cancelled. Should it fail for a reason that nobody foresaw, it
        begins again: no saga waits for it."""

        def ended() -> None:
            self.ended += 1

        await lasting("courier", self._run, ended=ended)

    async def _run(self) -> None:
        self._serving.clear()
        async with asyncio.TaskGroup() as delivering:
            while True:
                await self._alarm.rest()
                try:
                    await self._look(delivering)
                except StoreUnavailable as error:
                    log.warning("Notifications wait: %s", error, extra={"action": "notifications.unavailable"})

    async def _look(self, delivering: asyncio.TaskGroup) -> None:
        """Begin to serve every subscription for which something is due."""
        if not self._subscriptions.all:
            return
        queues, at = await uncut(self._store.queues()), self._now()
        for subscription in self._subscriptions.all:
            queue = queues.get(subscription.id)
            if queue is None or queue.next_at > at or subscription.id in self._serving:
                continue
            if subscription.open_until is None or subscription.open_until <= at:
                self._serving.add(subscription.id)
                delivering.create_task(self._serve(subscription))

    async def _serve(self, subscription: Subscription) -> None:
        """Deliver some of what is due for one subscription."""
        at = self._now()
        limit = 1 if subscription.failures >= failures_max else claim_max
        try:
            held = await uncut(
                self._store.claim(
                    subscription.id,
                    self._token,
                    now=at,
                    lease_until=at + timedelta(seconds=lease_seconds),
                    limit=limit,
                )
            )
            outcomes = await asyncio.gather(*(self._deliver(subscription, one) for one in held))
            await self._settle(subscription, held, outcomes)
        except StoreUnavailable as error:  # their lease runs out, and they are told once more
            log.warning("What was told is not noted: %s", error, extra={"action": "notifications.unavailable"})
        finally:
            self._serving.discard(subscription.id)
            self._alarm.set(self._now() + timedelta(seconds=0.05))

    async def _deliver(self, subscription: Subscription, one: Notification) -> str | None:
        """Tell of one event; what was wrong, or None."""
        notice = one.notice
        try:
            match subscription.target:
                case Target.WEBHOOK:
                    timestamp = int(self._now().timestamp())
                    await post(subscription, notice, timestamp=timestamp, private=self.private)
                case Target.AMQP:
                    key = f"{notice.definition}.{notice.event}"
                    confirm = await self._broker.announce(key, notice.body.encode(), event_id=notice.event_id)
                    if confirm is not Confirm.CONFIRMED:
                        raise Undelivered(f"the broker: {confirm.value}")
                case Target.LOG:
                    log.info(
                        "%s: %s",
                        *(notice.definition, notice.event),
                        extra={
                            "action": f"event.{notice.event}",
                            "event_id": notice.event_id,
                            "saga_id": notice.saga_id,
                            "event": notice.body,
                        },
                    )
        except Undelivered as error:
            return str(error)
        return None

    async def _settle(self, subscription: Subscription, held: list[Notification], outcomes: list[str | None]) -> None:
        at, target = self._now(), subscription.target.value
        arrived = [one.notice.id for one, error in zip(held, outcomes, strict=True) if error is None]
        if arrived:
            await uncut(self._store.delivered(arrived, self._token, now=at))
            self.outcomes[target, "delivered"] += len(arrived)
        last_error = ""
        for one, error in zip(held, outcomes, strict=True):
            if error is None:
                continue
            last_error = error
            again_at = None if one.attempts >= attempts_max else at + _backoff(one.attempts)
            self.outcomes[target, "failed" if again_at is None else "retried"] += 1
            await uncut(self._store.undelivered(one.notice.id, self._token, error=error, again_at=again_at))
            log.info(
                "Not told %s of %s: %s",
                *(subscription.id, one.notice.event_id, error),
                extra={"action": "notifications.undelivered"},
            )
        if arrived:
            await self._judge(subscription, 0, last_error, at)
        elif held:  # those that were tried together opened the circuit together, at most
            together = min(subscription.failures + len(held), failures_max)
            await self._judge(subscription, max(together, subscription.failures + 1), last_error, at)

    async def _judge(self, subscription: Subscription, failures: int, error: str, at: datetime) -> None:
        """Leave a target alone that fails again and again, and tell the other coordinators."""
        open_until = None
        if failures >= failures_max:
            doublings = min(failures - failures_max, 10)
            open_until = at + timedelta(seconds=min(rest_seconds_max, rest_first_seconds * 2**doublings))
        if failures == subscription.failures:  # as ever: well
            return
        known = replace(subscription, failures=failures, open_until=open_until, last_error=error or None)
        self._subscriptions.note(known)
        if open_until is not None:
            log.warning(
                "Subscription %s is left alone until %s: %s",
                *(subscription.id, open_until.isoformat(), error),
                extra={"action": "notifications.circuit_open"},
            )
        await uncut(self._store.trouble(subscription.id, failures=failures, open_until=open_until, error=error))


def _backoff(attempts: int) -> timedelta:
    """How long to wait after so many attempts, spread so that not all come back together."""
    seconds = min(retry_seconds_max, retry_first_seconds * retry_factor ** (attempts - 1))
    return timedelta(seconds=seconds * random.uniform(0.8, 1.2))
