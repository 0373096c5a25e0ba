"""The rules of the inbox, as a pure function of a command and the rows it meets: answer it, or run its handler.

    judge_action         the action's own row
    judge_compensation   the action's row, then the compensation's own
    judge_inquiry        the row that is asked about
    judge_end            how a run without a transaction ended, and its row now

A verdict says which rows to change and holds no connection, so every rule can be read, and tested, by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amends.message import Answer, Command, Effect, Failure, Kind, Reply, Undone
from amends.record import Entry, State
from amends.worker import Worker


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be done. With `reply` None the handler runs; without `commit` the transaction leaves no trace."""

    reply: Reply | None = None
    commit: bool = True
    keep: bool = False  # the reply is the command's own outcome: store it in its row
    fence: bool = False  # the action may not run any more
    fence_doubtful: bool = False  # … and may have had an effect
    doubtful: bool = False  # some earlier run of the command's own row may have had an effect
    uncertain: bool = False  # and it may have been this very attempt, which then can't end clean
    attempt: int = 0  # the latest attempt the row knew
    result: Any = None  # to a compensation that runs: what its action gave, where that is known


def judge_action(command: Command, own: Entry, worker: Worker, token: str) -> Verdict:
    """Insert first: a fresh row runs. A row that was there runs only for an attempt it has not answered."""
    if own.held_by_other(token):
        return _untouched(worker.reply(command, Answer.IN_PROGRESS))
    match own.state:
        case State.FENCED:
            return _untouched(worker.reply(command, Answer.FENCED))
        case State.SUCCEEDED | State.REFUSED:
            return _untouched(_readdressed(own, command))
        case State.FAILED if command.attempt <= own.attempt:
            return _untouched(_readdressed(own, command))
        case State.FAILED | State.RUNNING:
            if _expired(command, own):
                return _untouched(worker.reply(command, Answer.EXPIRED))
            return Verdict(
                doubtful=_in_doubt(own, token), uncertain=_uncertain(command, own, token), attempt=own.attempt
            )


def judge_compensation(command: Command, action: Entry, own: Entry, worker: Worker, token: str) -> Verdict:
    """Stored answers first. Then what the action's row proves: nothing to undo, or something, or perhaps something."""
    if own.held_by_other(token) or action.held_by_other(token):
        return _untouched(worker.reply(command, Answer.IN_PROGRESS))
    # A refusal is final for an action. A compensation that was refused waits for a person, who may try it again.
    answered = own.state in (State.REFUSED, State.FAILED) and command.attempt <= own.attempt
    if own.state is State.SUCCEEDED or answered:
        return _untouched(_readdressed(own, command))
    if _expired(command, own):
        return _untouched(worker.reply(command, Answer.EXPIRED))
    result = command.result
    if result is None and action.reply is not None and action.state is State.SUCCEEDED:
        result = action.reply.result
    happened = action.state is State.SUCCEEDED
    evidence = command.succeeded or command.result is not None or command.epoch > 0
    if happened or evidence or _in_doubt(action, token):
        return Verdict(
            fence=not happened,
            fence_doubtful=True,
            doubtful=_in_doubt(own, token),
            uncertain=_uncertain(command, own, token),
            attempt=own.attempt,
            result=result,
        )
    nothing = worker.reply(command, Answer.SUCCEEDED, undone=Undone.NOTHING_TO_UNDO)
    return Verdict(nothing, keep=True, fence=True, attempt=own.attempt)


def judge_inquiry(command: Command, asked: Entry | None, worker: Worker) -> Verdict:
    """What became of it? An action that did not happen is fenced, so that the answer stays true."""
    if asked is None:
        return _untouched(worker.reply(command, Answer.NOT_EXECUTED))
    if asked.held_by_other(""):
        return _untouched(worker.reply(command, Answer.IN_PROGRESS))
    if asked.state is State.SUCCEEDED or (command.kind is Kind.COMPENSATION and asked.reply is not None):
        return _untouched(_readdressed(asked, command))
    if _expired(command, asked):
        return _untouched(worker.reply(command, Answer.EXPIRED))
    if not _in_doubt(asked, ""):
        return Verdict(worker.reply(command, Answer.NOT_EXECUTED), fence=True)
    why = asked.reply.error if asked.reply is not None else None
    lost = Failure(
        type="LeaseExpired", message="its handler began and has not said how it ended", code="amends lease_expired"
    )
    unknown = worker.reply(command, Answer.FAILED, effect=Effect.UNKNOWN, error=why or lost)
    return Verdict(unknown, fence=True, fence_doubtful=True)


def judge_end(command: Command, own: Entry, reply: Reply, worker: Worker, token: str) -> Verdict:
    """How a run without a transaction ended, and what its row has come to meanwhile.

    A success is kept whatever happened since: it is the truth. A failure is kept only by the run that still holds the
    row; whoever lost it can't know what the others did, so that its failure proves nothing.
    """
    if own.reply is not None and (own.state is State.SUCCEEDED or own.token == token):
        return _untouched(_readdressed(own, command))
    if reply.answer is Answer.SUCCEEDED or (own.state is State.RUNNING and own.token == token):
        return Verdict(reply, keep=True, doubtful=own.doubtful, attempt=own.attempt)
    if own.held_by_other(token):
        return _untouched(worker.reply(command, Answer.IN_PROGRESS))
    return _untouched(without_proof(reply))


def without_proof(reply: Reply) -> Reply:
    """The same reply, unless it says that nothing happened: then it says that something may have."""
    if reply.answer in (Answer.REFUSED, Answer.FAILED):
        return reply.model_copy(update={"answer": Answer.FAILED, "effect": Effect.UNKNOWN})
    return reply


def outcome(command: Command, reply: Reply, verdict: Verdict) -> dict[str, Any]:
    """What a command's own row says once its handler, or the inbox in its stead, has ended so."""
    states = {
        Answer.SUCCEEDED: State.SUCCEEDED,
        Answer.REFUSED: State.REFUSED,
        Answer.FAILED: State.FAILED,
    }
    return {
        "state": states[reply.answer].value,
        "attempt": max(command.attempt, verdict.attempt),
        "doubtful": verdict.doubtful or reply.effect is Effect.UNKNOWN,
    }


def _untouched(reply: Reply) -> Verdict:
    return Verdict(reply, commit=False)


def _readdressed(entry: Entry, command: Command) -> Reply:
    """The stored reply, addressed to the attempt, the epoch and the kind of question that ask.

    Told again to the attempt that ran, it is the same reply. Told to another, it says what came of the command, and not
    that the handler ran for that long and called all those once more: nothing of this happened for the one who asks.
    """
    if entry.reply is None:
        raise AssertionError(f"a row in state {entry.state} keeps its reply")
    asker = {"attempt": command.attempt, "epoch": command.epoch, "inquire": command.inquire}
    same = all(getattr(entry.reply, name) == value for name, value in asker.items())
    return entry.reply.model_copy(update=asker if same else {**asker, "duration_seconds": 0.0, "calls": ()})


def _expired(command: Command, entry: Entry) -> bool:
    return command.expires_at.timestamp() <= entry.at


def _uncertain(command: Command, own: Entry, token: str) -> bool:
    """Whether a run that vanished may have been of this attempt, which then can't prove that nothing happened."""
    return own.state is State.RUNNING and not own.fresh and own.token != token and command.attempt <= own.attempt


def _in_doubt(entry: Entry, token: str) -> bool:
    """Whether a run of this row may have had an effect that no reply states."""
    lost = entry.state is State.RUNNING and not entry.fresh and entry.token != token
    return entry.doubtful or lost
