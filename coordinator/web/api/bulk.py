"""What is asked of many sagas at once: foreseen, begun, looked at, ended early."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any, Self

from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, HeaderParameter
from pydantic import Field, StrictBool, StrictStr, StringConstraints, model_validator

from coordinator.bulk import Outcome
from coordinator.saga.event import Settlement
from coordinator.store.bulks import BulkRow, BulkVerb, TooManyOpen
from coordinator.store.ids import new_id
from coordinator.web import seen
from coordinator.web.api.saga_list import line
from coordinator.web.api.verbs import Asking, By, Reason
from coordinator.web.auditing import after, before
from coordinator.web.choosing import Choice
from coordinator.web.describing import body_of, taking
from coordinator.web.desk import Desk
from coordinator.web.problems import ProblemError, Refusal, documented
from coordinator.web.reading import (
    Body,
    actor_of,
    bad_parameter,
    check_payload,
    idempotency_key,
    next_link,
    read_body,
)

page_max = 200
sample_max = 10
rate_per_second_min, rate_per_second_max, rate_per_second_default = 1.0, 1000.0, 100.0

_id = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_of_one_step = (BulkVerb.SKIP, BulkVerb.SETTLE)
_of_steps = (*_of_one_step, BulkVerb.RETRY, BulkVerb.WAIVE)

StepName = Annotated[StrictStr, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,62}$")]


class Arguments(Body):
    """What the verb needs beside a reason: of retry and waive, a step, or every step that is blocked; of skip and
    settle, a step; of settle, what is so."""

    step: StepName | None = None
    settlement: Settlement | None = None
    result: Any = None


class BulkAsking(Body):
    """What is asked of which sagas, by whom and why; how fast; with `dry_run`, only what would come of it."""

    filter: Choice = Field(description="which sagas, by the names that GET /v1/sagas has, and ids")
    verb: BulkVerb
    arguments: Arguments = Field(default_factory=Arguments, description="step, settlement, result, as the verb needs")
    reason: Reason
    by: By | None = None
    dry_run: StrictBool = False
    rate_per_second: Annotated[float, Field(strict=True, ge=rate_per_second_min, le=rate_per_second_max)] = (
        rate_per_second_default
    )

    @model_validator(mode="after")
    def _says_what_it_must(self) -> Self:
        if self.filter.empty:
            raise ValueError("filter: of all sagas there are nothing is asked; name some")
        stated = self.arguments.model_fields_set
        if self.verb in _of_one_step and self.arguments.step is None:
            raise ValueError(f"arguments: {self.verb} needs a step")
        if self.verb not in _of_steps and stated:
            raise ValueError(f"arguments: {self.verb} takes none")
        if (self.verb is BulkVerb.SETTLE) != (self.arguments.settlement is not None):
            raise ValueError("arguments: a settlement of settle, and of nothing else")
        if self.verb is not BulkVerb.SETTLE and "result" in stated:
            raise ValueError("arguments: a result of settle, and of nothing else")
        return self


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What would come of asking one saga now: change, nothing, refuse."""

    saga: seen.SagaLine
    would: str
    why: str | None


@dataclass(frozen=True, slots=True)
class DryRun:
    """How many sagas are meant, and what would come of asking the newest of them."""

    verb: str
    total: seen.Counted
    sample: tuple[Foreseen, ...]


@dataclass(frozen=True, slots=True)
class RefusedFor:
    reason: str
    sagas: int
    saga_id: str  # one of them


@dataclass(frozen=True, slots=True)
class BulkLinks:
    self: str
    cancel: str


@dataclass(frozen=True, slots=True)
class Bulk:
    """What was asked of many sagas, and how far it is. `total` is how many were meant when it was asked."""

    id: str
    verb: str
    arguments: dict[str, Any]
    filter: dict[str, Any]
    reason: str
    by: str
    rate_per_second: float
    state: str  # waiting, running, done, cancelled
    total: seen.Counted
    handled: int
    changed: int
    unchanged: int  # it was so already
    refused: int
    refusals: tuple[RefusedFor, ...]  # the most frequent first
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    cancelled_by: str | None
    links: BulkLinks


@dataclass(frozen=True, slots=True)
class BulkList:
    items: tuple[Bulk, ...]
    next: str | None


read_refusals = ("unreadable-body", "body-too-large", "wrong-content-type", "invalid-body")


@post(
    "/v1/sagas/bulk",
    summary="Ask the same of many sagas, behind the scenes; or, as a dry run, learn what would come of it",
    tags=["bulk"],
    operation_class=taking(body_of(BulkAsking)),
    responses=documented(*read_refusals, "invalid-input", "idempotency-key-reused", "bulk-refused", "stopping"),
    status_code=202,
)
async def ask(
    request: Request[Any, Any, Any],
    desk: NamedDependency[Desk],
    idempotency_key_: Annotated[
        str | None, HeaderParameter(name="Idempotency-Key", description="the same key and body: asked once")
    ] = None,
) -> Response[Bulk | DryRun]:
    if desk.stopping:
        raise Refusal("stopping", "ask another coordinator, or a little later")
    key = idempotency_key(request)
    asked = await read_body(request, BulkAsking)
    check_payload(asked.arguments.result, "arguments")
    row = await _row_of(request, desk, asked, key)
    before(verb=row.verb, sagas=row.total.count)
    if asked.dry_run:
        after(verb=row.verb, dry_run=True)
        return Response(await _foreseen(desk, row), status_code=200)
    found = await desk.coordinator.stores.bulks.started(key) if key is not None else None
    if found is None:
        try:
            found = await desk.coordinator.stores.bulks.put(row)
        except TooManyOpen as error:
            raise Refusal("bulk-refused", str(error)) from error
        desk.coordinator.bulks.nudge()
    if found.body_hash != row.body_hash:
        reused = ProblemError(f"it came with another request, {found.id}", hint="use a new key for a new request")
        raise Refusal("idempotency-key-reused", reused.detail, errors=[reused])
    headers = {"Location": f"/v1/bulk/{found.id}", "Retry-After": "1"}
    if found.id != row.id:
        headers["Idempotent-Replayed"] = "true"
    return Response(_shown(found), status_code=202, headers=headers)


class Bulks(Controller):
    path = "/v1/bulk"
    tags = ("bulk",)

    @get("/", summary="What was asked of many sagas, the newest first", responses=documented())
    async def list_bulks(
        self, desk: NamedDependency[Desk], limit: FromQuery[int] = 50, cursor: FromQuery[str | None] = None
    ) -> Response[BulkList]:
        if not 1 <= limit <= page_max:
            raise bad_parameter("limit", f"1 to {page_max}")
        if cursor is not None and not _id.fullmatch(cursor):
            raise bad_parameter("cursor", "not one that a former page gave")
        rows, following = await desk.coordinator.stores.bulks.page(limit=limit, cursor=cursor)
        more = f"/v1/bulk?limit={limit}&cursor={following}" if following else None
        return Response(BulkList(tuple(_shown(row) for row in rows), more), headers=next_link(more))

    @get("/{bulk_id:str}", summary="How far it is", responses=documented("unknown-bulk"))
    async def one(self, desk: NamedDependency[Desk], bulk_id: FromPath[str]) -> Bulk:
        return _shown(await _known(desk, bulk_id))

    @post(
        "/{bulk_id:str}/cancel",
        summary="Ask no more sagas; those that were asked stay as they are",
        operation_class=taking(body_of(Asking), required=False),
        responses=documented(*read_refusals, "unknown-bulk", "bulk-refused"),
        status_code=200,
    )
    async def cancel(
        self, request: Request[Any, Any, Any], desk: NamedDependency[Desk], bulk_id: FromPath[str]
    ) -> Bulk:
        asked = await read_body(request, Asking, may_be_empty=True)
        row = await _known(desk, bulk_id)
        by, now = actor_of(request, asked.by), desk.coordinator.clock.now()
        before(id=row.id, verb=row.verb, state=row.state, handled=row.handled)
        ended = await desk.coordinator.stores.bulks.cancel(row.id, by=by, now=now)
        if ended is None:
            raise Refusal("bulk-refused", f"it is {(await _known(desk, bulk_id)).state} already")
        return _shown(ended)


async def _known(desk: Desk, bulk_id: str) -> BulkRow:
    row = await desk.coordinator.stores.bulks.get(bulk_id) if _id.fullmatch(bulk_id) else None
    if row is None:
        raise Refusal("unknown-bulk", f"nothing was asked of many sagas as {bulk_id[:100]}")
    return row


async def _row_of(request: Request[Any, Any, Any], desk: Desk, asked: BulkAsking, key: str | None) -> BulkRow:
    """What is to be kept. Its id comes after those of all sagas that are meant: what starts later is not."""
    now = desk.coordinator.clock.now()
    chosen = asked.filter.chosen(now)
    text = json.dumps(asked.model_dump(mode="json", exclude={"dry_run"}), sort_keys=True)
    bulk_id = new_id(now)
    return BulkRow(
        id=bulk_id,
        key=key,
        body_hash=sha256(text.encode()).hexdigest(),
        verb=asked.verb,
        arguments=asked.arguments.model_dump(mode="json", exclude_unset=True),
        stated=asked.filter.stated(),
        chosen=chosen,
        reason=asked.reason,
        by=actor_of(request, asked.by),
        rate_per_second=asked.rate_per_second,
        total=await desk.coordinator.listing.count(chosen),
        cursor=bulk_id,
        created_at=now,
        updated_at=now,
    )


async def _foreseen(desk: Desk, row: BulkRow) -> DryRun:
    page = await desk.coordinator.listing.page(row.chosen, limit=sample_max)
    sample = []
    for standing in page.items:
        outcome = await desk.coordinator.bulks.foresee(standing.saga.id, row)
        sample.append(Foreseen(line(standing), _would(outcome), outcome.refused))
    return DryRun(row.verb, seen.counted(row.total), tuple(sample))


def _would(outcome: Outcome) -> str:
    if outcome.refused is not None:
        return "refuse"
    return "change" if outcome.changed else "nothing"


def _shown(row: BulkRow) -> Bulk:
    here = f"/v1/bulk/{row.id}"
    return Bulk(
        id=row.id,
        verb=row.verb,
        arguments=dict(row.arguments),
        filter=dict(row.stated),
        reason=row.reason,
        by=row.by,
        rate_per_second=row.rate_per_second,
        state=row.state,
        total=seen.counted(row.total),
        handled=row.handled,
        changed=row.changed,
        unchanged=row.unchanged,
        refused=row.refused,
        refusals=tuple(RefusedFor(one.reason, one.sagas, one.saga_id) for one in row.refusals),
        created_at=row.created_at,
        updated_at=row.updated_at,
        finished_at=row.finished_at,
        cancelled_by=row.cancelled_by,
        links=BulkLinks(here, f"{here}/cancel"),
    )
