"""A model of what a participant's inbox promises, for one step: its rows, its handlers, and what really happened.

`Desk` is the inbox and the ledger of one step. Each function gives every way in which a delivery, or a handler's own
doing, can go. A handler either works in the inbox's transaction (then it runs and its row is written in one go), or has
effects outside of it (`external`): then an intent with a lease is written first, the handler may fail with or without
its effect, may vanish, and may come back as a zombie that lands after its lease has run out.

Simplifications: compensations work in the inbox's transaction; a zombie lands its effect and its row in one go; there
is one zombie per step at a time; another system remembers an idempotency key for good.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Rules:
    """The promises. Each can be broken, to see that the search notices."""

    compensation_fences: bool = True
    inquiry_fences: bool = True
    failures_are_kept: bool = True
    successes_are_kept: bool = True
    epochs_are_told_apart: bool = True
    lease_is_respected: bool = True
    result_of_unknown_run_is_undone: bool = True  # a compensation runs when a vanished run may have had an effect


class Desk(NamedTuple):
    """One step at its participant. The first fields are the inbox, the last three what is really so."""

    row: str = ""  # "", running, succeeded, refused, failed, fenced
    attempt: int = 0  # the last that ran
    doubtful: bool = False  # a run may have had an effect that no reply states
    lease: bool = False  # a handler holds it
    late: bool = False  # the success was recorded after a compensation
    undos: tuple[str, ...] = ("", "")  # for each epoch: "", undone, nothing, refused, failed1, failed2 …
    zombie: bool = False  # a handler that lost its lease goes on
    applied: int = 0  # how often the effect was caused
    undone: int = 0  # how often it was taken back
    wrong: str = ""  # a promise was broken here

    @property
    def present(self) -> bool:
        return self.applied > self.undone


class Said(NamedTuple):
    """A reply: to which attempt and epoch, and what."""

    answer: str  # succeeded, refused, failed, doubtful, fenced, in_progress, not_executed, undone, nothing
    attempt: int
    epoch: int = 0
    late: bool = False


Way = tuple[Desk, Said | None]


class Participant:
    """How one step's participant takes commands. `outcomes` and `undo_outcomes`: what its handlers may come to."""

    def __init__(
        self,
        outcomes: tuple[str, ...] = ("succeeded", "refused", "failed"),
        undo_outcomes: tuple[str, ...] = ("undone", "failed"),
        *,
        external: bool = False,
        rules: Rules | None = None,
    ) -> None:
        self._outcomes, self._undo_outcomes, self.external = outcomes, undo_outcomes, external
        self._rules = rules or Rules()

    def action(self, desk: Desk, attempt: int) -> Iterator[Way]:
        if desk.lease:
            yield desk, Said("in_progress", attempt)
        elif desk.row == "fenced":
            yield desk, Said("fenced", attempt)
        elif desk.row == "succeeded" and self._rules.successes_are_kept:
            yield desk, _success(desk)
        elif desk.row == "refused":
            yield desk, Said("refused", attempt)
        elif desk.row == "failed" and attempt <= desk.attempt:
            yield desk, Said("doubtful" if desk.doubtful else "failed", attempt)
        elif self.external:
            yield desk._replace(row="running", attempt=attempt, lease=True), None
        else:
            for outcome in self._outcomes:
                yield self._run(desk, attempt, outcome), Said(outcome, 1 if outcome == "succeeded" else attempt)

    def _run(self, desk: Desk, attempt: int, outcome: str) -> Desk:
        if outcome == "succeeded":
            wrong = "a step ran after its compensation" if any(desk.undos) else desk.wrong
            return desk._replace(row="succeeded", attempt=attempt, applied=desk.applied + 1, wrong=wrong)
        if outcome == "failed" and not self._rules.failures_are_kept:
            return desk
        return desk._replace(row=outcome, attempt=attempt)

    def compensation(self, desk: Desk, attempt: int, epoch: int) -> Iterator[Way]:
        if desk.lease and self._rules.lease_is_respected:
            yield desk, Said("in_progress", attempt, epoch)
            return
        own = desk.undos[epoch if self._rules.epochs_are_told_apart else 0]
        if own in ("undone", "nothing"):
            yield desk, Said(own, 1, epoch)
        elif own == "refused" or (own.startswith("failed") and attempt <= int(own[-1])):
            yield desk, Said(own.rstrip("0123456789"), attempt, epoch)
        elif self._something_to_undo(desk) or epoch:
            for outcome in self._undo_outcomes:
                yield (
                    self._undo(desk, attempt, epoch, outcome),
                    Said(outcome, 1 if outcome == "undone" else attempt, epoch),
                )
        else:
            yield self._fence(desk)._replace(undos=_put(desk.undos, epoch, "nothing")), Said("nothing", 1, epoch)

    def _something_to_undo(self, desk: Desk) -> bool:
        return desk.row == "succeeded" or (desk.doubtful and self._rules.result_of_unknown_run_is_undone)

    def _undo(self, desk: Desk, attempt: int, epoch: int, outcome: str) -> Desk:
        if desk.lease:
            desk = desk._replace(wrong="a compensation ran while the action's lease lived")
        desk = self._fence(desk)  # first, before the savepoint: it stays when the handler fails
        if outcome != "undone":
            kept = f"failed{attempt}" if outcome == "failed" else outcome
            return desk._replace(undos=_put(desk.undos, epoch, kept))
        return desk._replace(undos=_put(desk.undos, epoch, "undone"), undone=desk.undone + desk.present)

    def _fence(self, desk: Desk) -> Desk:
        if desk.row == "succeeded" or not self._rules.compensation_fences:
            return desk
        return desk._replace(row="fenced")

    def inquiry(self, desk: Desk, attempt: int) -> Iterator[Way]:
        if desk.lease:
            yield desk, Said("in_progress", attempt)
        elif desk.row == "succeeded":
            yield desk, _success(desk)
        else:
            answer = "doubtful" if desk.doubtful else "not_executed"
            yield desk._replace(row="fenced") if self._rules.inquiry_fences else desk, Said(answer, attempt)

    def own_doing(self, desk: Desk) -> Iterator[Way]:
        """What happens at an external participant without a command: handlers end, leases run out, zombies land."""
        if desk.lease:
            yield from self._end(desk)
            lost = desk._replace(lease=False, doubtful=True)
            yield lost, None  # the worker died before its effect
            yield _cause(lost), None  # or after it
            yield lost._replace(zombie=True), None  # or it goes on, and does not know
        if desk.zombie:
            late = desk.late or (desk.row != "succeeded" and any(desk.undos))
            landed = _cause(desk)._replace(row="succeeded", lease=False, zombie=False, late=late)
            yield landed, _success(landed)

    def _end(self, desk: Desk) -> Iterator[Way]:
        for outcome in self._outcomes:
            ended = desk._replace(lease=False)
            if outcome == "succeeded":
                yield _cause(ended)._replace(row="succeeded"), Said("succeeded", 1)
            elif outcome == "refused" and not desk.doubtful:
                yield ended._replace(row="refused"), Said("refused", desk.attempt)
            else:  # an error of such a handler proves nothing
                failed = ended._replace(row="failed", doubtful=True)
                yield failed, Said("doubtful", desk.attempt)
                yield _cause(failed), Said("doubtful", desk.attempt)


def _cause(desk: Desk) -> Desk:
    """The effect in the other system, which knows the idempotency key: it happens once."""
    return desk._replace(applied=max(1, desk.applied))


def _success(desk: Desk) -> Said:
    return Said("succeeded", 1, late=desk.late)


def _put(undos: tuple[str, ...], epoch: int, what: str) -> tuple[str, ...]:
    return (*undos[:epoch], what, *undos[epoch + 1 :])
