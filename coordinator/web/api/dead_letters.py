"""Dead letters and the outbox: what could not be processed, what can't be sent, and what is done about it."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlencode

from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from amends.message import Command, decode, frame
from coordinator.errors import Quarantined, UnknownDeadLetter, UnknownSaga
from coordinator.store.values import DeadLetter, DeadLetterFilter, DeadLetterStatus, HoldScope, ParkedRow
from coordinator.web import fleet as shown
from coordinator.web.api.verbs import Asking, Overriding
from coordinator.web.auditing import after, before
from coordinator.web.describing import body_of, taking
from coordinator.web.desk import Desk, handle_seconds_max
from coordinator.web.problems import Refusal, documented
from coordinator.web.reading import actor_of, bad_parameter, read_body

page_max = 200

read_refusals = ("unreadable-body", "body-too-large", "wrong-content-type", "invalid-body")


class DeadLetters(Controller):
    path = "/v1/dead-letters"
    tags = ("dead letters",)

    @get("/", summary="Dead letters, the newest first", responses=documented())
    async def list_letters(
        self,
        desk: NamedDependency[Desk],
        status: FromQuery[DeadLetterStatus | None] = None,
        source: FromQuery[str | None] = None,
        participant: FromQuery[str | None] = None,
        saga_id: FromQuery[str | None] = None,
        limit: FromQuery[int] = 50,
        cursor: FromQuery[str | None] = None,
    ) -> Response[shown.DeadLetterList]:
        if not 1 <= limit <= page_max:
            raise bad_parameter("limit", f"1 to {page_max}")
        chosen = DeadLetterFilter(status, source, participant, saga_id)
        try:
            page = await desk.coordinator.stores.dead_letters.page(chosen, limit=limit, cursor=cursor)
        except (ValueError, OverflowError) as error:
            raise bad_parameter("cursor", "not one that a former page gave") from error
        more = None
        if page.cursor:
            stated = {"status": status, "source": source, "participant": participant, "saga_id": saga_id}
            filters = {name: str(value) for name, value in stated.items() if value is not None}
            more = "/v1/dead-letters?" + urlencode({**filters, "limit": limit, "cursor": page.cursor})
        headers = {"Link": f'<{more}>; rel="next"'} if more else {}
        return Response(shown.DeadLetterList(tuple(_shown(letter) for letter in page.items), more), headers=headers)

    @get("/{letter_id:str}", summary="One dead letter", responses=documented("unknown-dead-letter"))
    async def one(self, desk: NamedDependency[Desk], letter_id: FromPath[str]) -> shown.DeadLetter:
        letter = await desk.coordinator.stores.dead_letters.get(letter_id)
        if letter is None:
            raise UnknownDeadLetter(letter_id)
        return _shown(letter)

    @post(
        "/{letter_id:str}/redrive",
        summary="Send it again, if it is still awaited",
        operation_class=taking(body_of(Asking), required=False),
        responses=documented(*read_refusals, "unknown-dead-letter", "redrive-refused", "timed-out"),
        status_code=200,
    )
    async def redrive(
        self, request: Request[Any, Any, Any], desk: NamedDependency[Desk], letter_id: FromPath[str]
    ) -> shown.DeadLetter:
        asked = await read_body(request, Asking, may_be_empty=True)
        by = actor_of(request, asked.by)
        await _note(desk, letter_id)
        try:
            # In process a command is confirmed when it was carried out; nobody waits that long here.
            async with asyncio.timeout(handle_seconds_max):
                return _shown(await desk.coordinator.dead_letters.redrive(letter_id, by, asked.reason or ""))
        except (UnknownSaga, Quarantined) as error:
            raise Refusal("redrive-refused", f"dead letter {letter_id}: {error}") from error

    @post(
        "/{letter_id:str}/discard",
        summary="Put it aside for good",
        operation_class=taking(body_of(Overriding)),
        responses=documented(*read_refusals, "unknown-dead-letter", "redrive-refused"),
        status_code=200,
    )
    async def discard(
        self, request: Request[Any, Any, Any], desk: NamedDependency[Desk], letter_id: FromPath[str]
    ) -> shown.DeadLetter:
        asked = await read_body(request, Overriding)
        by = actor_of(request, asked.by)
        await _note(desk, letter_id)
        return _shown(await desk.coordinator.dead_letters.discard(letter_id, by, asked.reason))


class Outbox(Controller):
    path = "/v1/outbox"
    tags = ("outbox",)

    @get("/", summary="What waits to be sent, per participant, and what can't be sent", responses=documented())
    async def look(self, desk: NamedDependency[Desk]) -> shown.Outbox:
        outbox, fleet = desk.coordinator.stores.outbox, desk.coordinator.fleet
        paused = fleet.held(HoldScope.PARTICIPANT)
        backlog = tuple(
            shown.Backlog(
                item.participant,
                item.waiting,
                item.parked,
                item.oldest,
                fleet.all_held or item.participant in paused,
            )
            for item in await outbox.pending()
        )
        return shown.Outbox(backlog, tuple(_parked(row) for row in await outbox.parked()))

    @post(
        "/{command_id:str}/redrive",
        summary="Try a parked command again, if its saga still awaits it",
        operation_class=taking(body_of(Asking), required=False),
        responses=documented(*read_refusals, "unknown-command", "redrive-refused"),
        status_code=202,
    )
    async def redrive(
        self, request: Request[Any, Any, Any], desk: NamedDependency[Desk], command_id: FromPath[str]
    ) -> Response[shown.ParkedCommand]:
        actor_of(request, (await read_body(request, Asking, may_be_empty=True)).by)
        outbox = desk.coordinator.stores.outbox
        parked = next((row for row in await outbox.parked() if _id(row) == command_id), None)
        if parked is None:
            raise Refusal("unknown-command", f"no parked command {command_id}")
        facts = {"id": command_id, "saga_id": parked.row.saga_id, "participant": parked.row.participant}
        before(**facts, parked=True, reason=parked.reason, tries=parked.row.tries)
        (command,) = decode(frame("commands", [parked.row.body]))
        if not isinstance(command, Command):
            raise Refusal("redrive-refused", "it can't be read, so it can't be sent; close its saga or retry the step")
        if not await desk.coordinator.dead_letters.is_awaited(command):
            raise Refusal("redrive-refused", "its saga no longer awaits it")
        if not await outbox.unpark(parked.row.id, now=desk.coordinator.clock.now()):
            raise Refusal("redrive-refused", "somebody else redrove it at this moment")
        after(**facts, parked=False)
        return Response(_parked(parked), status_code=202)


async def _note(desk: Desk, letter_id: str) -> None:
    """For the audit: how the letter stands now."""
    letter = await desk.coordinator.stores.dead_letters.get(letter_id)
    if letter is not None:
        before(id=letter.id, status=letter.status, saga_id=letter.saga_id, participant=letter.participant)


def _shown(letter: DeadLetter) -> shown.DeadLetter:
    return shown.DeadLetter(
        id=letter.id,
        at=letter.at,
        source=letter.source,
        reason=letter.reason,
        body=letter.body,
        participant=letter.participant,
        saga_id=letter.saga_id,
        command_key=letter.command_key,
        redelivered=letter.redelivered,
        status=letter.status,
        resolved_at=letter.resolved_at,
        resolved_by=letter.resolved_by,
        resolved_why=letter.resolved_why,
    )


def _id(parked: ParkedRow) -> str:
    """The row's id as one part of a path."""
    return parked.row.id.replace("/", ":")


def _parked(parked: ParkedRow) -> shown.ParkedCommand:
    row = parked.row
    return shown.ParkedCommand(
        _id(parked),
        row.saga_id,
        row.definition,
        row.participant,
        row.kind,
        row.created_at,
        row.tries,
        parked.reason,
        parked.last_error,
    )
