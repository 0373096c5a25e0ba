"""A handler: the business code of one action or compensation, what it wants to be given, and how it ended.

A handler asks for things by the names of its parameters:

    data      the step's input; with an annotation, checked and built by pydantic
    result    of a compensation: what its action gave, or None; checked likewise
    reason    of a compensation: why the saga turns, or None
    command   the Command itself; `command.id` is the idempotency key for other systems
    tx        the connection of the transaction that also holds the inbox's row
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_type_hints

from opentelemetry.trace import Span
from pydantic import BaseModel, TypeAdapter, ValidationError

from amends.capture import LogLines
from amends.errors import AmendsError, EffectUnknown, PayloadError, Refused
from amends.failure import failure_of, faults_of
from amends.message import Answer, Command, Effect, Kind, Reply, Undone, payload_bytes_max
from amends.payload import check_value
from amends.tracing import handler_span, mark_failed, traceparent_of
from amends.witness import Witness
from amends.worker import Worker

Effects = Literal["transactional", "external"]
Function = Callable[..., Awaitable[Any]]

lease_seconds_default = 60.0
lease_share = 0.8  # of the lease, what a handler gets: it must have ended for certain before someone else may begin

_parameters = {
    Kind.ACTION: frozenset({"data", "command", "tx"}),
    Kind.COMPENSATION: frozenset({"data", "result", "reason", "command", "tx"}),
}


class UnknownHandler(AmendsError):
    """This worker has no handler of that name. One of another version may have it, so a retry may help."""

    amends_code = "amends unknown_handler"


class HandlerTimeout(AmendsError):
    """The handler did not end in the time it has."""

    amends_code = "amends handler_timeout"


class HandlerEndedTransaction(AmendsError):
    """A handler called commit() or rollback(). The transaction isn't its own: it belongs to the inbox's row, too."""

    amends_code = "amends transaction_ended"


class UnsendableResult(AmendsError):
    """What the handler returned can't travel."""

    amends_code = "amends unsendable_result"


@dataclass(frozen=True)
class Handler:
    """One registered function. `lease_seconds` is None for one that runs inside the inbox's transaction."""

    name: str
    kind: Kind
    function: Function
    logs: LogLines
    wants: frozenset[str] = frozenset()
    models: Mapping[str, TypeAdapter[Any]] = field(default_factory=dict)
    lease_seconds: float | None = None
    forgetful: bool = False  # there is no inbox: a failure proves nothing, whoever says it
    stand_in: bool = False  # it only states an error, in place of business code
    witness: Witness | None = None  # of the run that a stand-in speaks for

    @classmethod
    def of(
        cls, function: Function, name: str, kind: Kind, logs: LogLines, *, effects: Effects, lease_seconds: float | None
    ) -> Handler:
        """Read what the function wants. Raises TypeError for one that can't be called so."""
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"the handler of {name!r} must be an async function")
        if lease_seconds is not None and effects != "external":
            raise TypeError(f"{name!r}: lease_seconds is for effects='external'")
        wants = frozenset(inspect.signature(function).parameters)
        unknown = wants - _parameters[kind]
        if unknown:
            known = ", ".join(sorted(_parameters[kind]))
            raise TypeError(f"the handler of {name!r} wants {', '.join(sorted(unknown))}; an {kind} may want: {known}")
        if effects == "external" and "tx" in wants:
            raise TypeError(f"{name!r} has external effects and runs outside any transaction: it can't have tx")
        lease = None if effects == "transactional" else lease_seconds or lease_seconds_default
        return cls(name, kind, function, logs, wants, _models(function, name), lease)

    def failing(self, error: AmendsError) -> Handler:
        """A stand-in that does nothing and fails with this error."""

        async def fail() -> None:
            raise error

        fail.__module__ = self.function.__module__
        return replace(self, function=fail, wants=frozenset(), models={}, lease_seconds=None, stand_in=True)

    async def run(
        self,
        command: Command,
        worker: Worker,
        *,
        tx: object | None,
        seconds: float | None,
        passes: Callable[[BaseException], bool],
    ) -> Reply:
        """Call the function and say how it ended. `seconds` is None where its caller ends it in time.

        Raises HandlerTimeout if it ran in a transaction (which is lost with it), the errors that `passes` claims (the
        transaction's, not the handler's), and CancelledError on shutdown. Every other end is a reply.
        """
        witness = self.witness or Witness()
        facts: dict[str, Any] = {}
        with (
            nullcontext() if self.stand_in else witness.watching(self.logs),
            handler_span(command) as span,
        ):
            try:
                result = await self._call(command, tx, seconds)
                answer = Answer.SUCCEEDED
                facts["result"] = result
                if self.kind is Kind.COMPENSATION:
                    facts["undone"] = Undone.UNDONE
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                # Nobody cancelled us: some library ended the handler so, and that is a failure like any other.
                answer, facts = self._failed(span, error, witness)
            except Exception as error:
                if passes(error) or (isinstance(error, HandlerTimeout) and tx is not None and not self.stand_in):
                    mark_failed(span, error)
                    raise
                answer, facts = self._failed(span, error, witness)
            span.set_attribute("saga.outcome", answer.value)
        facts.update(duration_seconds=witness.seconds, calls=tuple(witness.calls))
        return worker.reply(command, answer, traceparent=traceparent_of(span, command), **facts)

    async def _call(self, command: Command, tx: object | None, seconds: float | None) -> Any:
        arguments = self._arguments(command, tx)
        if seconds is None:
            return sendable(await self.function(**arguments))
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                value = await self.function(**arguments)
        except TimeoutError as error:
            if limit.expired():
                # Beneath it is the cancellation, which knows where the handler stood; its cause since Python 3.11.3.
                raise HandlerTimeout(f"did not end within {seconds:g} s") from error.__cause__ or error.__context__
            raise
        return sendable(value)

    def _arguments(self, command: Command, tx: object | None) -> dict[str, Any]:
        given = {
            "data": command.data,
            "result": command.result,
            "reason": command.reason,
            "command": command,
            "tx": tx,
        }
        arguments = {name: given[name] for name in self.wants}
        for name, model in self.models.items():
            try:
                arguments[name] = model.validate_python(arguments[name])
            except ValidationError as error:
                raise Refused(faults_of(error, name), error_type="InvalidData", code="amends invalid_data") from None
        return arguments

    def _failed(self, span: Span, error: BaseException, witness: Witness) -> tuple[Answer, dict[str, Any]]:
        mark_failed(span, error)
        failure = failure_of(error, witness.lines, package=self.function.__module__.partition(".")[0])
        if isinstance(error, Refused):
            return Answer.REFUSED, {"error": failure}
        proven = self.lease_seconds is None and not self.forgetful and not isinstance(error, EffectUnknown)
        return Answer.FAILED, {"error": failure, "effect": Effect.NONE if proven else Effect.UNKNOWN}


def sendable(value: Any) -> Any:
    """A handler's return value as JSON. Raises UnsendableResult saying where it isn't."""
    try:
        plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
        check_value(plain)
        size = len(json.dumps(plain, ensure_ascii=False).encode())
    except (PayloadError, ValueError, TypeError) as error:
        raise UnsendableResult(str(error)) from error
    if size > payload_bytes_max:
        raise UnsendableResult(f"{size} bytes, more than {payload_bytes_max}")
    return plain


def _models(function: Function, name: str) -> dict[str, TypeAdapter[Any]]:
    """What pydantic shall build: the annotated ones of `data` and `result`."""
    annotated = {key for key in ("data", "result") if key in getattr(function, "__annotations__", {})}
    if not annotated:
        return {}
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError as error:
        raise TypeError(f"the handler of {name!r}: {error}; annotate with names of the module") from error
    models = {key: TypeAdapter[Any](hints[key]) for key in annotated if hints[key] is not Any}
    if "result" in models and not _accepts_none(models["result"]):
        raise TypeError(f"the handler of {name!r}: an action's result may be unknown, so annotate it `… | None`")
    return models


def _accepts_none(model: TypeAdapter[Any]) -> bool:
    try:
        model.validate_python(None)
    except ValidationError:
        return False
    return True
