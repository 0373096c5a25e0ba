"""Did it happen? For each step of a saga, whether its side effect is in the world; and what nobody has undone yet.

The saga's own state is the judge: a clean failure proves that nothing happened, a silence proves nothing, and only a
confirmed compensation undoes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coordinator.diagnosis.analyser.ledger import Entry, Ledger, Ref, cut
from coordinator.diagnosis.analyser.naming import plain, saga_entity, step_of
from coordinator.diagnosis.analyser.said import said_of
from coordinator.diagnosis.case import SagaSeen
from coordinator.diagnosis.evidence import EvidenceKind, Trust
from coordinator.diagnosis.report import Certainty, claim_chars_max
from coordinator.diagnosis.signals import SignalFamily
from coordinator.saga.attempts import Attempt
from coordinator.saga.definition import Step, StepKind
from coordinator.saga.event import Kind, Undone
from coordinator.saga.state import Direction, LeftBecause, SagaStatus, StepRun, StepStatus

# What the other side says when it turns somebody away, before it does anything.
_turned_away = (SignalFamily.CREDENTIAL, SignalFamily.RATE_LIMITED)


@dataclass(frozen=True, slots=True)
class Happened:
    """What is known of the effect of one step of one saga."""

    seen: SagaSeen
    step: Step
    certainty: Certainty
    text: str
    evidence: tuple[Ref, ...]


@dataclass(frozen=True, slots=True)
class Left:
    """Something that is not undone, and what a person has to do about it."""

    seen: SagaSeen
    step: str
    text: str
    todo: str
    evidence: tuple[Ref, ...]


def effects_of(seen: SagaSeen, ledger: Ledger) -> tuple[Happened, ...]:
    """Each step of one saga, in the order of its definition."""
    found = []
    for step in seen.definition.steps:
        certainty, text = _certainty(seen, step)
        found.append(Happened(seen, step, certainty, cut(text, claim_chars_max), _proof(seen, step, certainty, ledger)))
    return tuple(found)


def _certainty(seen: SagaSeen, step: Step) -> tuple[Certainty, str]:
    run = seen.saga.step(step.name)
    sent = [attempt for attempt in seen.attempts if attempt.command.step == step.name and not attempt.inquiry]
    actions = [attempt for attempt in sent if attempt.command.kind == Kind.ACTION]
    if run.status is StepStatus.SKIPPED and not run.happened:
        return Certainty.NOT_RUN, "It was skipped."
    if run.undone is Undone.UNDONE:
        return Certainty.UNDONE, "Confirmed by its compensation."
    if run.undone is Undone.NOTHING_TO_UNDO:
        return Certainty.NOT_APPLIED, "Its compensation found nothing to undo: the action had no effect."
    if run.status is StepStatus.PENDING and not run.attempt and not actions and not run.happened:
        return Certainty.NOT_RUN, "Its turn never came."
    if step.kind is StepKind.READONLY:
        return Certainty.NOT_APPLIED, "It only reads: there is nothing to undo."
    compensations = [attempt for attempt in sent if attempt.command.kind == Kind.COMPENSATION]
    if run.happened:
        return _applied(run, compensations)
    return _not_heard_of(run, actions, compensations)


def _applied(run: StepRun, compensations: Sequence[Attempt]) -> tuple[Certainty, str]:
    """A success was heard, and no compensation is confirmed."""
    word = f" ({plain(run.settled_by)} states so)" if run.settled_by else ""
    if not compensations:
        return Certainty.APPLIED, f"It succeeded{word}, and has not been undone."
    doubtful = [attempt for attempt in compensations if _may_have_happened(attempt)]
    if doubtful:
        how = "was silent" if doubtful[-1].outcome == "unknown" else f"ended {doubtful[-1].outcome or 'nowhere'}"
        text = f"It succeeded; attempt {doubtful[-1].number} to compensate it {how}: it may or may not be undone."
        return Certainty.UNKNOWN, text
    return Certainty.APPLIED, f"It succeeded{word}; its compensation has failed, and undid nothing."


def _may_have_happened(attempt: Attempt) -> bool:
    if attempt.outcome in ("refused", "fenced", "unsent"):
        return False
    return not (attempt.outcome == "failed" and attempt.effect == "none")


def _not_heard_of(run: StepRun, actions: Sequence[Attempt], compensations: Sequence[Attempt]) -> tuple[Certainty, str]:
    """No success was heard."""
    if run.status is StepStatus.DISPATCHED:
        return Certainty.UNKNOWN, f"Attempt {run.attempt} is under way."
    doubtful = [attempt for attempt in actions if _may_have_happened(attempt)]
    if not run.unclean and run.status is not StepStatus.COMPENSATING:
        if run.status is StepStatus.REFUSED:
            return Certainty.NOT_APPLIED, "The participant refused it: nothing happened."
        tried = len(actions) or run.attempt
        if not tried:
            return Certainty.NOT_APPLIED, "Nothing was ever sent."
        if any(attempt.outcome == "unknown" for attempt in actions):
            return Certainty.NOT_APPLIED, "The participant's inbox says that it never ran."
        attempts = "Its one attempt" if tried == 1 else f"Each of its {tried} attempts"
        return Certainty.NOT_APPLIED, f"{attempts} failed and was taken back: nothing happened."
    already = [attempt for attempt in actions if _says_already(attempt)]
    if already and any(attempt.number < already[-1].number for attempt in doubtful):
        text = f"Attempt {already[-1].number} met what an earlier attempt had left: it happened, though nobody heard"
        if any(_may_have_happened(attempt) for attempt in compensations):
            return Certainty.UNKNOWN, f"{text}; and it may have been undone."
        return Certainty.APPLIED, f"{text}."
    if doubtful and all(_never_left(attempt) for attempt in doubtful):
        return Certainty.NOT_APPLIED, "No attempt got as far as asking for it: every call ended before it was accepted."
    silent = [attempt for attempt in doubtful if attempt.outcome == "unknown"]
    if silent:
        return Certainty.UNKNOWN, f"Nobody answered attempt {silent[-1].number}: it may have happened."
    return Certainty.UNKNOWN, "It failed in a way that proves nothing: it may have happened."


def _says_already(attempt: Attempt) -> bool:
    return attempt.outcome in ("failed", "refused") and said_of(attempt.failure).signal.family is SignalFamily.CONFLICT


def _never_left(attempt: Attempt) -> bool:
    """Every call this attempt made ended before the other side could have done anything."""
    if attempt.outcome != "failed" or not attempt.calls:
        return False
    if any(not call.error and not call.code for call in attempt.calls):
        return False
    signal = said_of(attempt.failure).signal
    return signal.before_send or (signal.turned_away and signal.family in _turned_away)


def _proof(seen: SagaSeen, step: Step, certainty: Certainty, ledger: Ledger) -> tuple[Ref, ...]:
    """What the coordinator wrote down about this step, as one entry."""
    run = seen.saga.step(step.name)
    sent = [attempt for attempt in seen.attempts if attempt.command.step == step.name and not attempt.inquiry]
    if certainty is Certainty.NOT_RUN and not sent:
        return ()
    actions = [attempt for attempt in sent if attempt.command.kind == Kind.ACTION]
    undoing = [attempt for attempt in sent if attempt.command.kind == Kind.COMPENSATION]
    name = plain(step.name)
    text = f"{name} stands at {run.status} after {_times(len(actions), 'attempt')}"
    if undoing:
        text += f" and {_times(len(undoing), 'attempt')} to compensate it"
    last = sent[-1] if sent else None
    ends = last.outcome if last and last.outcome else None
    if ends:
        text += f"; the last ended {ends}"
    ref = ledger.enter(
        Entry(
            EvidenceKind.SAGA_EVENT,
            Trust.COORDINATOR,
            f"{text}.",
            subjects=(saga_entity(seen.saga.id), step_of(seen, step.name)),
            fact={
                "status": str(run.status),
                "attempts": len(actions),
                "compensations": len(undoing),
                "succeeded": run.happened,
                "unclean": run.unclean,
                "undone": str(run.undone) if run.undone else None,
            },
            ts_from=sent[0].started_at if sent else None,
            ts_to=last.ended_at if last else None,
            source_ref=f"saga:{seen.saga.id}/step/{step.name}",
            weight=1.2 if certainty in (Certainty.UNKNOWN, Certainty.APPLIED) else 0.4,
        )
    )
    return (ref,)


def _times(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def residue_of(effects: Sequence[Happened]) -> tuple[Left, ...]:
    """What of these effects of one saga is not undone, though the saga went back or ended."""
    found: list[Left] = []
    for effect in effects:
        left = _left(effect)
        if left:
            text, todo = left
            found.append(
                Left(
                    effect.seen,
                    effect.step.name,
                    cut(text, claim_chars_max),
                    cut(todo, claim_chars_max),
                    effect.evidence,
                )
            )
    return tuple(found)


def _left(effect: Happened) -> tuple[str, str] | None:
    saga, step = effect.seen.saga, effect.step
    run, name, participant = saga.step(step.name), plain(step.name), plain(step.participant)
    listed = next((left for left in saga.effects_left if left.step == step.name), None)
    if listed and listed.because is LeftBecause.IRREVERSIBLE:
        sure = "happened" if listed.certain else "may have happened"
        return f"{name} {sure}, and its author accepts that it stays.", "Nothing, unless somebody minds."
    back = saga.direction is Direction.BACKWARD or saga.status is SagaStatus.CLOSED or listed is not None
    undoing = run.status is StepStatus.COMPENSATING
    if effect.certainty is Certainty.APPLIED and back:
        if step.compensation is None and not listed:
            return None
        if run.blocked is Kind.COMPENSATION:
            return f"{name} is not undone: {effect.text}", (
                f"Mend what keeps {participant} from undoing it, then retry the step; or undo it by hand and settle it."
            )
        todo = f"Wait for its compensation, which is under way; see to it if {participant} goes on failing."
        return f"{name} is not undone yet: {effect.text}", todo if undoing or not saga.final else (
            f"Undo it in {participant}'s own system."
        )
    if effect.certainty is not Certainty.UNKNOWN:
        return None
    if run.status is StepStatus.DISPATCHED and not run.unclean:
        return None
    look = f"Look in {participant}'s system whether it happened, before anything is repeated by hand"
    if undoing or (not saga.final and not run.blocked and back):
        return f"{name}: {effect.text}", f"Wait for its compensation; should that block: {look[0].lower()}{look[1:]}."
    if run.status is StepStatus.WAITING:
        return f"{name}: {effect.text}", "Wait: the next attempt is the same command, and will say."
    return f"{name}: {effect.text}", f"{look}."
