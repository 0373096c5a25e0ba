"""Sagas: started, looked at, listed, waited for."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from hashlib import sha256
from typing import Annotated, Any

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, HeaderParameter
from pydantic import Field, StrictInt, StrictStr, StringConstraints

from coordinator.engine import Beginning
from coordinator.errors import CoordinatorError, UnknownDefinition
from coordinator.pressure import come_back
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.registration import version_max
from coordinator.saga.state import Saga
from coordinator.schema import violation
from coordinator.store.ids import new_id
from coordinator.store.values import Created, KeyReused, Outdated, Repeated
from coordinator.web import seen
from coordinator.web.api.definitions import nodes_read_max, register
from coordinator.web.api.saga_list import SagaLists
from coordinator.web.asking import asking
from coordinator.web.auditing import before
from coordinator.web.describing import body_of, taking
from coordinator.web.desk import Desk, handle_seconds_max
from coordinator.web.finishes import heard
from coordinator.web.problems import ProblemError, Refusal, documented
from coordinator.web.reading import (
    Body,
    actor_of,
    bad_parameter,
    check_payload,
    idempotency_key,
    next_link,
    preferred_wait_seconds,
    prefers_little,
    read_body,
    small_bytes_max,
)
from coordinator.web.responses import JsonResponse
from coordinator.web.showing import links, result_of, show, show_result

history_page_max = 1000

Tag = Annotated[StrictStr, StringConstraints(min_length=1, max_length=64)]


_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode


class StartSaga(Body):
    """A saga to start: of a definition that is registered, or of one that is stated here and registered with it."""

    definition: StrictStr | dict[str, Any] = Field(description="a name, or a whole definition")
    version: StrictInt | None = Field(default=None, ge=1, le=version_max, description="the newest, if not stated")
    input: Any = Field(default=None, description="what the steps may read as input")
    business_key: Annotated[StrictStr, StringConstraints(min_length=1, max_length=200)] | None = None
    tags: Annotated[list[Tag], Field(max_length=20)] = Field(default_factory=list)


class Sagas(SagaLists):
    @post(
        "/",
        summary="Start a saga",
        operation_class=taking(body_of(StartSaga)),
        status_code=202,
        responses=documented(
            "unreadable-body", "body-too-large", "wrong-content-type", "invalid-body", "invalid-definition",
            "invalid-input", "idempotency-key-reused", "unknown-definition", "stopping", "overloaded",
        ),
    )  # fmt: skip
    async def start(
        self,
        request: Request[Any, Any, Any],
        desk: NamedDependency[Desk],
        idempotency_key_: Annotated[
            str | None,
            HeaderParameter(name="Idempotency-Key", description="the same key and body: the same saga, however often"),
        ] = None,
        prefer: Annotated[
            str | None,
            HeaderParameter(
                name="Prefer",
                description="wait=n: answer 200 when it ends within n seconds; return=minimal: with its result alone",
            ),
        ] = None,
    ) -> Response[seen.Accepted | seen.Saga | seen.Result]:
        if desk.stopping:
            raise Refusal("stopping", "start it at another coordinator, or a little later")
        key = idempotency_key(request)
        asked = await read_body(request, StartSaga, nodes=nodes_read_max)
        body_bytes = len(await request.body())
        by, wait_seconds = actor_of(request, None), preferred_wait_seconds(request)
        if not wait_seconds:
            accepted, repeated = await _start(desk, asked, body_bytes, key, by)
            return JsonResponse(accepted, 202, _told(accepted, repeated) | {"Retry-After": "1"})
        saga_id = new_id(desk.coordinator.clock.now())
        with desk.finishes.expecting(saga_id) as end:
            accepted, repeated = await _start(desk, asked, body_bytes, key, by, saga_id=saga_id)
            ended = await (_ended(desk, accepted.id, wait_seconds) if repeated else heard(end, wait_seconds))
        if ended is None:
            ended = await _final(desk, accepted.id)
        headers = _told(accepted, repeated) | {"Preference-Applied": f"wait={wait_seconds:g}"}
        if ended is None:
            return JsonResponse(accepted, 202, headers | {"Retry-After": "1"})
        headers["ETag"] = f'"{ended.revision}"'
        if prefers_little(request):
            headers["Preference-Applied"] += ", return=minimal"
            return JsonResponse(result_of(ended), 200, headers)
        saga = await show(desk, accepted.id)
        return JsonResponse(saga, 200, headers | {"ETag": f'"{saga.revision}"'})

    @get(
        "/{saga_id:str}",
        summary="One saga: its steps, attempts, and what it waits for",
        responses=documented("unknown-saga"),
    )
    async def one(
        self,
        request: Request[Any, Any, Any],
        desk: NamedDependency[Desk],
        saga_id: FromPath[str],
        prefer: Annotated[
            str | None, HeaderParameter(name="Prefer", description="wait=n: answer when it ends, or after n seconds")
        ] = None,
    ) -> Response[seen.Saga]:
        headers = {"Cache-Control": "no-store"}
        wait_seconds = preferred_wait_seconds(request)
        if wait_seconds:
            headers["Preference-Applied"] = f"wait={wait_seconds:g}"
            await _ended(desk, saga_id, wait_seconds)
        saga = await show(desk, saga_id)
        return Response(saga, headers={**headers, "ETag": f'"{saga.revision}"'})

    @get(
        "/{saga_id:str}/result",
        summary="What a saga came to, once it has ended",
        responses=documented("unknown-saga", "saga-not-final"),
    )
    async def result(self, desk: NamedDependency[Desk], saga_id: FromPath[str]) -> seen.Result:
        return await show_result(desk, saga_id)

    @get("/{saga_id:str}/history", summary="Everything that happened to a saga", responses=documented("unknown-saga"))
    async def history(
        self,
        desk: NamedDependency[Desk],
        saga_id: FromPath[str],
        after: FromQuery[int] = -1,
        limit: FromQuery[int] = 100,
    ) -> Response[seen.History]:
        if not 1 <= limit <= history_page_max:
            raise bad_parameter("limit", f"1 to {history_page_max}")
        if not -1 <= after <= 2**31 - 1:
            raise bad_parameter("after", "the seq of an entry")
        await desk.detail(saga_id)
        entries = await desk.coordinator.stores.reader.history(saga_id, after_seq=after, limit=limit)
        lines = tuple(seen.HistoryLine(e.seq, e.at, e.event, dict(e.facts), e.notes) for e in entries)
        more = f"/v1/sagas/{saga_id}/history?after={entries[-1].seq}&limit={limit}" if len(entries) == limit else None
        return Response(seen.History(lines, more), headers=next_link(more))


# --- starting ---------------------------------------------------------------------------------------------------------


async def _start(
    desk: Desk,
    asked: StartSaga,
    body_bytes: int,
    key: str | None,
    by: str,
    *,
    saga_id: str | None = None,
    sure: bool = False,
) -> tuple[seen.Accepted, bool]:
    """Start it, under that id if there is one, or find what the same request started before: the answer is the same.
    True: it was found. Unless it has to be `sure`, the newest definition is the newest that is known here: where that
    is not the newest any more, or refuses what a newer one may take, it is started again, and surely."""
    body_hash = _hash(asked) if key is not None else ""
    if key is not None and isinstance(asked.definition, dict):
        # Registering is an effect as well: a request that comes again must not do it again.
        found = await _started_before(desk, key, body_hash)
        if found:
            return found, True
    guessed = not sure and asked.version is None and isinstance(asked.definition, str)
    surely = partial(_start, desk, asked, body_bytes, key, by, saga_id=saga_id, sure=True)
    try:
        if too_high := desk.coordinator.pressure.too_high():
            raise Refusal("overloaded", too_high, headers={"Retry-After": str(come_back())})
        definition = await _definition(desk, asked, by, guess=guessed)
        _check_input(definition, asked.input, body_bytes)
    except (CoordinatorError, Refusal) as error:
        if guessed and isinstance(error, Refusal) and error.slug == "invalid-input":
            return await surely()
        # What was fine when it came first may not be any more, and there may be no room now: the answer is the same.
        found = await _started_before(desk, key, body_hash) if key is not None else None
        if found:
            return found, True
        raise
    beginning = Beginning(
        definition=definition,
        input=asked.input,
        caller=_caller(),
        key=key,
        body_hash=body_hash,
        business_key=asked.business_key,
        tags=tuple(dict.fromkeys(asked.tags)),
        id=saga_id,
        newest=guessed,
    )
    async with asyncio.timeout(handle_seconds_max):
        creation = await desk.coordinator.engine.start(beginning)
    match creation:
        case KeyReused():
            raise _reused(creation.saga_id)
        case Repeated():
            return await _accepted(desk, creation.saga_id), True
        case Outdated():
            return await surely()
        case Created():
            where = links(creation.saga_id, definition.name, definition.version)
            return seen.Accepted(creation.saga_id, definition.name, definition.version, where), False


def _hash(asked: StartSaga) -> str:
    """The identity of a request: of what it says, however it is written."""
    return sha256(_canonical(dict(asked)).encode()).hexdigest()


def _caller() -> str:
    """Whose idempotency keys these are: each one's own, and everybody's where nobody is asked who they are."""
    principal = asking().principal
    return principal.name if principal is not None and principal.known else ""


async def _started_before(desk: Desk, key: str, body_hash: str) -> seen.Accepted | None:
    found = await desk.coordinator.stores.reader.started(_caller(), key)
    if found is None:
        return None
    saga_id, earlier_hash = found
    if earlier_hash != body_hash:
        raise _reused(saga_id)
    return await _accepted(desk, saga_id)


def _reused(saga_id: str) -> Refusal:
    hint = "use a new key for a new request"
    error = ProblemError(f"it came with another request, which started saga {saga_id}", hint=hint)
    return Refusal("idempotency-key-reused", error.detail, errors=[error])


async def _accepted(desk: Desk, saga_id: str) -> seen.Accepted:
    saga = (await desk.detail(saga_id)).saga
    return seen.Accepted(saga.id, saga.definition, saga.version, links(saga.id, saga.definition, saga.version))


async def _definition(desk: Desk, asked: StartSaga, by: str, *, guess: bool) -> SagaDefinition:
    """The definition to start: the stated version, the newest (by `guess`, that is known here), or the one stated here,
    which is kept first."""
    definitions = desk.coordinator.definitions
    if isinstance(asked.definition, str):
        if not asked.definition or len(asked.definition) > 63:
            raise UnknownDefinition(asked.definition[:100], asked.version)
        if guess:
            return await definitions.known(asked.definition)
        return await definitions.get(asked.definition, asked.version)
    if asked.version is not None:
        error = ProblemError("a definition that is stated here has no version yet", pointer="/version")
        raise Refusal("invalid-body", error.detail, errors=[error])
    definition, _ = await register(desk, asked.definition, by)
    return definition


def _check_input(definition: SagaDefinition, value: Any, body_bytes: int) -> None:
    if body_bytes > small_bytes_max:
        check_payload(value, "input")
    broken = violation(definition.input_schema, value) if definition.input_schema is not None else None
    if broken:
        hint = f"the input_schema of {definition.name} version {definition.version} says so"
        raise Refusal("invalid-input", f"input: {broken}", errors=[ProblemError(broken, pointer="/input", hint=hint)])


def _told(accepted: seen.Accepted, repeated: bool) -> dict[str, str]:
    """The headers of every answer to a start; the audit hears of it, too, that it was not the first."""
    before(**({"id": accepted.id} if repeated else {}))
    return {"Location": accepted.links.self, **({"Idempotent-Replayed": "true"} if repeated else {})}


async def _ended(desk: Desk, saga_id: str, wait_seconds: float) -> Saga | None:
    """Wait until a saga has ended, or the time is over; the saga if it is heard of. Raises UnknownSaga."""
    with desk.finishes.expecting(saga_id) as end:
        return await _final(desk, saga_id) or await heard(end, wait_seconds)


async def _final(desk: Desk, saga_id: str) -> Saga | None:
    """The saga, if it is final. Raises UnknownSaga."""
    saga = (await desk.detail(saga_id)).saga
    return saga if saga.final else None
