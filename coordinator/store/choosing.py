"""Which sagas fit a filter: as conditions that both databases find by an index, and never by reading every saga."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from coordinator.saga.state import StepStatus
from coordinator.store.dialect import epoch, micros
from coordinator.store.schema import idempotency, outbox, saga_tags, sagas, steps
from coordinator.store.schema_diagnosis import failed_steps
from coordinator.store.values import SagaFilter

waits = ("reply", "inquiry", "backoff", "blocked", "paused", "unreadable")  # what is stored
found_max = 1000  # sagas that the same beginning of an id or a key finds, of each

# Ids are made from the time on a coordinator's clock, `created_at` from the database's: never this far apart.
_clocks_apart = timedelta(hours=1)
_beyond = "\U0010ffff"  # sorts after whatever may follow a beginning
_ids_begin = re.compile(r"[0-9a-f-]{1,36}")
_current = [
    status.value for status in (StepStatus.WAITING, StepStatus.DISPATCHED, StepStatus.COMPENSATING, StepStatus.BLOCKED)
]


def arms(chosen: SagaFilter) -> Iterator[SagaFilter]:
    """The same filter for each of its statuses, and of its waits, by itself: no saga is in two of them."""
    kinds = chosen.waiting_on_any
    if chosen.waiting_for is not None and chosen.waiting_on is None and not kinds:
        kinds = waits  # whom a saga waits for is found by what it waits for
    for status in dict.fromkeys(chosen.statuses) or (None,):
        for kind in dict.fromkeys(kinds) or (chosen.waiting_on,):
            yield replace(chosen, statuses=(status,) if status else (), waiting_on=kind, waiting_on_any=())


def id_of(chosen: SagaFilter) -> sa.Column[str]:
    """The column that has the ids in the order of the list."""
    return sagas.c.id if chosen.tag is None else saga_tags.c.saga_id  # the tag's own index has them in order


def chosen_sagas(chosen: SagaFilter, *columns: sa.Column[Any]) -> sa.Select[Any]:
    """These columns of the sagas that fit. Of several statuses or waits only `arms` may be asked for."""
    query = sa.select(*columns).where(*_equal(chosen), *_in_time(chosen), *_at_steps(chosen), *_elsewhere(chosen))
    if chosen.tag is not None:
        query = query.select_from(saga_tags).join(sagas, saga_tags.c.saga_id == sagas.c.id)
        query = query.where(saga_tags.c.tag == chosen.tag)
    return query


def _equal(chosen: SagaFilter) -> Iterator[sa.ColumnElement[bool]]:
    equal: list[tuple[sa.Column[Any], Any]] = [
        (sagas.c.definition, chosen.definition),
        (sagas.c.version, chosen.version),
        (sagas.c.status, chosen.statuses[0].value if chosen.statuses else None),
        (sagas.c.failed_step, chosen.failed_step),
        (sagas.c.business_key, chosen.business_key),
        (sagas.c.waiting_on, chosen.waiting_on),
        (sagas.c.waiting_for, chosen.waiting_for),
    ]
    yield from (column == value for column, value in equal if value is not None)
    if chosen.ids:
        yield sagas.c.id.in_(list(chosen.ids))


def _in_time(chosen: SagaFilter) -> Iterator[sa.ColumnElement[bool]]:
    if chosen.created_from is not None:
        yield sagas.c.created_at >= chosen.created_from
        yield sagas.c.id >= id_at(chosen.created_from - _clocks_apart)
    if chosen.created_to is not None:
        yield sagas.c.created_at < chosen.created_to
        yield sagas.c.id < id_at(chosen.created_to + _clocks_apart)
    if chosen.quiet_since is not None:
        yield sagas.c.paused_at.is_(None)
        yield sagas.c.id.in_(_under_way(before=chosen.quiet_since))


def _at_steps(chosen: SagaFilter) -> Iterator[sa.ColumnElement[bool]]:
    if chosen.step is not None and not chosen.step_statuses:
        yield _status_of(chosen.step).is_not(None)
    elif chosen.step is not None:
        yield _status_of(chosen.step).in_([status.value for status in chosen.step_statuses])
    if chosen.current_step is not None:
        yield sagas.c.id.in_(_under_way())
        yield _status_of(chosen.current_step).in_(_current)


def _under_way(*, before: datetime | None = None) -> sa.Select[Any]:
    """Ids of the sagas that are not final, and to which nothing has happened since before then. A select of its own:
    to have the list in its order, all sagas might be read instead."""
    live = sagas.alias("live")
    moved = live.c.updated_at >= epoch if before is None else live.c.updated_at < before
    return sa.select(live.c.id).where(live.c.finished_at.is_(None), moved)


def _status_of(step: str) -> sa.ScalarSelect[Any]:
    """Looked up for each saga by its key: as a join, all steps of all sagas might be read to find those of a status."""
    return sa.select(steps.c.status).where(steps.c.saga_id == sagas.c.id, steps.c.name == step).scalar_subquery()


def _elsewhere(chosen: SagaFilter) -> Iterator[sa.ColumnElement[bool]]:
    """What another table knows of the sagas."""
    if chosen.words is not None:
        yield sagas.c.id.in_(_beginning_with(chosen.words))
    if chosen.unsent_since is not None:
        stands = sa.or_(
            outbox.c.parked_reason.is_not(None),
            outbox.c.last_error.is_not(None),
            outbox.c.created_at < chosen.unsent_since,
        )
        yield sagas.c.id.in_(sa.select(outbox.c.saga_id).where(stands))
    failures: list[tuple[sa.Column[Any], str | None]] = [
        (failed_steps.c.incident_id, chosen.incident),
        (failed_steps.c.family, chosen.family),
        (failed_steps.c.fingerprint, chosen.fingerprint),
    ]
    stated = [column == value for column, value in failures if value is not None]
    if stated:
        yield sagas.c.id.in_(sa.select(failed_steps.c.saga_id).where(*stated))


def _beginning_with(words: str) -> sa.Select[Any]:
    """Ids of sagas whose id, business key or idempotency key begins so: the first `found_max` of each."""
    begins: list[sa.Select[Any]] = []
    if _ids_begin.fullmatch(words.lower()):
        of_id = sa.select(sagas.c.id).where(sagas.c.id >= words.lower(), sagas.c.id < words.lower() + _beyond)
        begins.append(of_id.order_by(sagas.c.id.desc()))
    key = sagas.c.business_key
    begins.append(sa.select(sagas.c.id).where(key >= words, key < words + _beyond).order_by(key, sagas.c.id))
    key = idempotency.c.key
    of_key = sa.select(idempotency.c.saga_id.label("id")).where(key >= words, key < words + _beyond)
    begins.append(of_key.where(idempotency.c.caller == "").order_by(key))
    found = [sa.select(part.limit(found_max).subquery().c.id) for part in begins]
    return sa.select(sa.union_all(*found).subquery().c.id)


def id_at(at: datetime) -> str:
    """Below every UUIDv7 of that millisecond or later, above every earlier one: the ids are an index of time."""
    digits = f"{max(0, micros(at) // 1000):012x}"
    return f"{digits[:8]}-{digits[8:]}"
