"""Between the core's words and the wire's: an effect becomes a command in the outbox, a reply becomes an event."""

from __future__ import annotations

from datetime import datetime, timedelta

from amends import message
from amends.message import Command, Reply, encode_item
from coordinator.saga.decision import SendCommand
from coordinator.saga.event import Answer, Call, CommandId, Effect, Failure, Kind, Replied, Underlying, Undone
from coordinator.saga.state import Saga
from coordinator.store.values import OutboxRow
from coordinator.telemetry import attempt_traceparent

# How long a command may be in transit. Shorter than any inbox remembers (14 days by default), so that one that was lost
# in a queue can never be taken for new after its row has been forgotten.
command_lifetime = timedelta(hours=24)


def command_of(saga: Saga, effect: SendCommand, at: datetime, reply_token: str | None = None) -> Command:
    """The command that an effect asks for, issued at `at` (aware UTC). Its values are checked when it is encoded."""
    return Command.model_construct(
        saga_id=saga.id,
        saga=saga.definition,
        step=effect.command.step,
        iteration=effect.command.iteration,
        kind=message.Kind(effect.command.kind.value),
        epoch=effect.command.epoch,
        attempt=effect.attempt,
        inquire=bool(effect.inquiry),
        participant=effect.participant,
        handler=effect.handler,
        data=effect.data,
        result=effect.result,
        succeeded=effect.succeeded,
        reason=effect.reason[:2000] if effect.reason else None,
        timeout_seconds=effect.timeout_seconds,
        issued_at=at,
        expires_at=at + command_lifetime,
        traceparent=attempt_traceparent(saga.trace_id, saga.id, effect.key, at),
        reply_token=reply_token,
    )


def outbox_row(saga: Saga, effect: SendCommand, at: datetime, reply_token: str | None = None) -> OutboxRow:
    """The command as it waits to be sent. Raises amends.errors.PayloadError if its data may not travel."""
    return OutboxRow.of(saga, effect, body=encode_item(command_of(saga, effect, at, reply_token)), created_at=at)


def replied(reply: Reply, at: datetime) -> Replied:
    """A participant's reply as an event."""
    return Replied(
        at=at,
        command=CommandId(reply.step, reply.iteration, Kind(reply.kind.value), reply.epoch),
        attempt=reply.attempt,
        answer=Answer(reply.answer.value),
        inquire=reply.inquire,
        effect=Effect(reply.effect.value) if reply.effect else None,
        undone=Undone(reply.undone.value) if reply.undone else None,
        result=reply.result,
        failure=_failure(reply.error) if reply.error else None,
        recorded_after_compensation=reply.recorded_after_compensation,
        worker=reply.worker,
        worker_version=reply.worker_version,
        duration_seconds=reply.duration_seconds,
        calls=tuple(Call(call.dependency, call.seconds, call.error, call.code) for call in reply.calls),
        traceparent=reply.traceparent,
    )


def _failure(error: message.Failure) -> Failure:
    causes = tuple(Underlying(cause.type, cause.message, cause.code) for cause in error.causes)
    return Failure(error.type, error.message, error.logs, error.code, causes, error.frames, error.retry_after_seconds)


def parse_key(key: str) -> tuple[CommandId, int]:
    """An outbox key, "step/iteration/kind/epoch/attempt", as a command and its attempt."""
    step, iteration, kind, epoch, attempt = key.split("/")[:5]
    return CommandId(step, int(iteration), Kind(kind), int(epoch)), int(attempt)
