"""Play a whole saga: the coordinator's own rules, real handlers, a clock that jumps from one event to the next."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from amends.definition import Saga
from amends.errors import AmendsError
from amends.message import Command, Kind
from amends.participant import Participant
from amends.testing.played import PlayedSaga
from amends.testing.trouble import Cancel, Trouble

StandIn = Mapping[str, Any] | Callable[[Command], Any]


async def play_saga(
    definition: Saga | Mapping[str, Any],
    participants: Sequence[Participant],
    input: Any = None,  # noqa: A002  # the saga's own word
    *,
    trouble: Sequence[Trouble | Cancel] = (),
    stand_ins: Mapping[str, StandIn] | None = None,
    saga_id: str | None = None,
    at: datetime | None = None,
    turns_max: int = 10_000,
) -> PlayedSaga:
    """Play a saga until nothing more would happen by itself: it is final, or blocked.

    The decisions are the coordinator's, the effects are the participants': what their inboxes have stored stays stored,
    so a `saga_id` (by default a new one) that was played before meets its own past. A participant not given is played
    by its entry in `stand_ins`: a mapping of handler to result, where a function is called with the command; or one
    function for all its handlers. Either may raise Refused. `at` is when the saga starts, aware UTC, not before now.

    Raises DefinitionError for a definition the coordinator would refuse; ValueError for what can't be played (a
    participant or a handler that is missing, trouble at a step that isn't there, input that breaks its schema, a life
    of more than `turns_max` events); InboxError for an inbox that can't work.
    """
    try:
        from amends.testing import core  # loads the coordinator, which only those who play whole sagas need
    except ModuleNotFoundError as error:
        raise AmendsError(
            f"play_saga needs the coordinator's rules: pip install 'amends[testing]' ({error})"
        ) from error
    document = definition.document() if isinstance(definition, Saga) else dict(definition)
    checked = core.read(document)
    async with _cast(document, participants, stand_ins or {}) as cast:
        for participant in participants:
            await participant.inbox.check()
        return await core.Play(checked, cast, trouble, saga_id=saga_id, at=at).to_rest(input, turns_max)


@asynccontextmanager
async def _cast(
    document: Mapping[str, Any], participants: Sequence[Participant], stand_ins: Mapping[str, StandIn]
) -> AsyncIterator[dict[str, Participant]]:
    """Everyone the definition names, by name. Raises ValueError for who is missing, or lacks a handler."""
    cast = {participant.name: participant for participant in participants}
    handlers = _handlers(document)
    played_twice = sorted(set(cast) & set(stand_ins))
    if played_twice or len(cast) != len(participants):
        raise ValueError(f"somebody is there twice: {', '.join(played_twice or [one.name for one in participants])}")
    missing = sorted(set(handlers) - set(cast) - set(stand_ins))
    if missing:
        raise ValueError(
            f"nobody plays {', '.join(missing)}: give the participant, or stand_ins={{'{missing[0]}': {{}}}}"
        )
    for name, participant in cast.items():
        for kind, handler in handlers.get(name, ()):
            if handler not in (participant.actions if kind is Kind.ACTION else participant.compensations):
                raise ValueError(f"{name} lacks the {kind} {handler!r}")
    needed = [name for name in stand_ins if name in handlers]
    if not needed:
        yield cast
        return
    from amends.database import open_engine  # stand-ins keep a real inbox, in a file that goes with the play
    from amends.inbox import SqlInbox

    with TemporaryDirectory(prefix="amends-play-") as folder:
        engine = open_engine(f"sqlite:///{Path(folder) / 'stand-ins.db'}")
        try:
            inbox = SqlInbox(engine)
            await inbox.create()
            for name in needed:
                cast[name] = Participant(name, inbox=inbox)
                for kind, handler in handlers[name]:
                    _stand_in(cast[name], kind, handler, stand_ins[name])
            yield cast
        finally:
            await engine.dispose()


def _handlers(document: Mapping[str, Any]) -> dict[str, list[tuple[Kind, str]]]:
    """Which handlers a definition needs, by participant; each once."""
    found: dict[str, dict[tuple[Kind, str], None]] = {}
    for step in document["steps"]:
        needs = found.setdefault(step["participant"], {})
        needs[Kind.ACTION, step["action"]] = None
        if step.get("compensation"):
            needs[Kind.COMPENSATION, step["compensation"]] = None
    return {name: list(needs) for name, needs in found.items()}


def _stand_in(participant: Participant, kind: Kind, handler: str, says: StandIn) -> None:
    async def answer(command: Command) -> Any:
        value = says if callable(says) else says.get(handler)
        if callable(value):
            value = value(command)
        return await value if inspect.isawaitable(value) else value

    register = participant.action if kind is Kind.ACTION else participant.compensation
    register(handler)(answer)
