"""Silence has many reasons: whoever was lost, whoever could not keep up, a version that never worked. They are told
apart by when commands were sent and begun, not by words, of which there are none."""

from __future__ import annotations

from dataclasses import replace

from coordinator.diagnosis.analyser import analyse
from coordinator.diagnosis.cause import FaultClass
from coordinator.diagnosis.report import Certainty
from coordinator.saga.event import Answer
from coordinator.store.observed import FailedStep, OccurrenceKind, Tallied
from tests.diagnosis.cases import Says, Worker, World, fails, minutes, silence

late = Says(Answer.SUCCEEDED, seconds=0.2, wait=45.0, worker="payment-1", version="1.0.0")


def payment(*, lost: bool) -> list[Worker]:
    return [
        Worker("payment", "payment-1", host="h1"),
        Worker("payment", "payment-2", host="h2"),
        Worker("payment", "payment-3", host="h3", live=not lost, last_seen=0.05 if lost else 0.0),
    ]


def test_who_was_handed_commands_after_its_last_word_is_to_blame() -> None:
    """Nothing says what it had in hand; others answer for it much later, and are quick otherwise."""
    world = World(workers=payment(lost=True))
    for number in range(4):
        world.saga(at=0.1 + number / 5, charge_card=late)
    world.traffic("charge-card", bad=lambda minute, worker: 0.3 * (minute == 0), outcome=Tallied.UNKNOWN, until=2)
    verdict = analyse(world.case(at=3)).verdict
    assert (verdict.cls, str(verdict.culprit)) == (FaultClass.WORKER_LOST, "worker payment/payment-3")
    assert verdict.confidence > 0.6


def test_what_is_sent_long_after_somebody_was_lost_is_not_its_fault() -> None:
    """The silence lasts: every command lies until its time is over, whoever takes it."""
    world = World(workers=payment(lost=True))
    for number in range(5):
        world.saga(at=2.0 + number / 2, charge_card=late)
    world.traffic(
        "charge-card",
        bad=lambda minute, worker: 0.9 * (minute >= 1),
        outcome=Tallied.UNKNOWN,
        wait=lambda minute, worker: 9.0 if minute >= 1 else 0.01,
        until=6,
    )
    verdict = analyse(world.case(at=7)).verdict
    assert (verdict.cls, str(verdict.culprit)) == (FaultClass.WORKER_BACKLOG, "participant payment")


def unauthorised(world: World, *, first: float) -> World:
    """Everywhere a new version runs, and everywhere the provider says 401."""
    for number in range(4):
        wrong = fails("HTTPStatusError", "401 Unauthorized", "http 401", worker="payment-9", version="2.0.0")
        world.saga(at=0.2 + number / 10, charge_card=wrong)
    world.traffic("charge-card", bad=lambda minute, worker: float(minute >= first), error="http 401", until=3)
    world.called("payment", "card-provider", bad=lambda m, w: float(m >= first), error="http 401", until=3)
    return world.happened(OccurrenceKind.VERSION_SEEN, "worker_version payment@2.0.0", 0.0, version="2.0.0")


def rolled_out(at: float) -> list[Worker]:
    old = [Worker("payment", f"payment-{n}", "1.0.0", f"h{n}", live=False, last_seen=at - 1.0) for n in (1, 2, 3)]
    new = [Worker("payment", f"payment-{n + 6}", "2.0.0", f"h{n}", since=at) for n in (1, 2, 3)]
    return [*old, *new]


def test_a_version_that_never_worked_is_to_blame_though_a_provider_seems_to_be() -> None:
    verdict = analyse(unauthorised(World(workers=rolled_out(0.0)), first=0).case(at=4)).verdict
    assert (verdict.cls, str(verdict.culprit)) == (FaultClass.BAD_DEPLOY, "worker_version payment@2.0.0")


def test_a_version_that_had_worked_before_is_not() -> None:
    verdict = analyse(unauthorised(World(workers=rolled_out(-8.0)), first=0).case(at=4)).verdict
    assert (verdict.cls, str(verdict.culprit)) == (FaultClass.CREDENTIAL_FAILURE, "dependency card-provider")


def test_a_saga_that_failed_twice_is_one_saga() -> None:
    world = World()
    for number in range(4):
        world.saga(at=number / 10, charge_card=fails("ConnectError", "refused", "errno ECONNREFUSED"))
    case = world.case(failures_total=8)
    again = tuple(_undone(failure) for failure in case.failures)
    twice = replace(case, failures=(*case.failures, *again))
    assert analyse(twice).blast_radius.sagas_failed == 4
    # Of many only the newest failures are known: then their number tells how many sagas there are.
    assert case.incident is not None
    many = replace(twice, incident=replace(case.incident, failures=800))
    assert analyse(many).blast_radius.sagas_failed == 400


def _undone(failure: FailedStep) -> FailedStep:
    return replace(failure, kind="compensation", at=minutes(0.5))


def mute_fleet(answer: Says) -> World:
    """No worker has ever given a sign of life, so that none counts as there."""
    world = World(workers=[Worker("order", "order-1")])
    for number in range(4):
        world.saga(at=number / 10, charge_card=answer)
    return world.happened(OccurrenceKind.BACKLOG, "participant payment", 0.1, awaited=3, in_flight=0, workers=0)


def test_who_answers_is_there_whether_it_gives_signs_of_life_or_not() -> None:
    broken = fails("RuntimeError", "something went wrong", worker="payment-1")
    assert analyse(mute_fleet(broken).case()).verdict.cls is FaultClass.UNKNOWN
    deserted = analyse(mute_fleet(silence).case()).verdict
    assert (deserted.cls, str(deserted.culprit)) == (FaultClass.MISCONFIGURATION, "participant payment")


def test_what_was_met_twice_and_perhaps_undone_is_not_known() -> None:
    """The second attempt met what the first had left; whether a compensation took it away, nobody heard."""
    lost, met = (
        fails("ReadError", "reset", unknown=True),
        fails("Conflict", "is there already", "http 409", unknown=True),
    )
    world = World()
    world.saga(charge_card=[lost, met, met], undo_charge_card=[lost, met, met])
    effects = {one.step: one.certainty for one in analyse(world.case()).effects}
    assert effects["charge-card"] is Certainty.UNKNOWN
