"""What counts as a failure: a saga that turns, a step that blocks, what an optional step came to, and whatever somebody
should know. Each once, with what is known of it, and nothing that must not be kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from coordinator.diagnosis import describing
from coordinator.diagnosis.describing import Describing
from coordinator.diagnosis.failures import Noticed
from coordinator.saga.event import Answer, CancelRequested, Effect, Failure, Kind
from tests.diagnosis.lives import Life, began
from tests.engine.conftest import chain

boom = Failure("ProviderError", "boom for ann@example.com", logs=("secret",) * 3, code="http 503")


def of(**facts: Any) -> dict[str, Any]:
    """The chain, with these facts about its second step."""
    first, second, third = chain["steps"]
    return {**chain, "steps": [first, {**second, "retry": {"max_attempts": 1}, **facts}, third]}


def told(life: Life) -> list[tuple[str, Kind, str]]:
    return [(one.step, one.kind, one.cause) for one in life.failed]


def test_a_saga_that_turns_has_failed_at_the_step_over_which_it_turned() -> None:
    life = Life(of(), business_key="order-1").reply("reserve")
    life.reply("charge", Answer.FAILED, effect=Effect.NONE, failure=boom, worker_version="7")
    assert told(life) == [("charge", "action", "failed")]
    (one,) = life.failed
    assert (one.worker, one.worker_version, one.attempts, one.business_key) == ("payment-1", "7", 1, "order-1")
    assert one.command == "0195-saga/charge/0/action/0/1"
    assert one.failure is not None
    assert one.failure.logs == ()


@pytest.mark.parametrize(
    ("said", "facts", "cause"),
    [
        (Answer.REFUSED, {"failure": boom}, "refused"),
        (Answer.FAILED, {"failure": boom, "effect": Effect.UNKNOWN}, "unknown"),
        (Answer.SUCCEEDED, {"fault": "total is missing"}, "fault"),
    ],
)
def test_the_cause_is_the_sagas_own(said: Answer, facts: dict[str, Any], cause: str) -> None:
    life = Life(of()).reply("reserve").reply("charge", said, **facts)
    assert told(life) == [("charge", "action", cause)]


def test_a_broken_result_is_a_failure_of_its_schema() -> None:
    life = Life(of()).reply("reserve").reply("charge", fault="total is missing")
    assert life.failed[0].failure == Failure("OutputSchema", "total is missing")


def test_what_failed_on_the_way_back_is_no_failure_until_it_blocks() -> None:
    document = of()
    document["steps"][0]["compensation_retry"] = {"max_attempts": 2, "first": "10ms"}
    life = Life(document).reply("reserve").reply("charge", Answer.REFUSED, failure=boom)
    life.reply("reserve", Answer.FAILED, effect=Effect.NONE, failure=boom)
    assert len(life.failed) == 1
    life.pass_time(1).reply("reserve", Answer.FAILED, effect=Effect.NONE, failure=boom)
    assert told(life)[1:] == [("reserve", "compensation", "blocked")]
    assert (life.failed[1].attempts, life.failed[1].failure and life.failed[1].failure.code) == (2, "http 503")
    assert life.failed[1].command == "0195-saga/reserve/0/compensation/0/2"


def test_a_saga_that_a_person_cancelled_has_not_failed() -> None:
    life = Life(of()).reply("reserve").happen(CancelRequested(began, "ann", "never mind"))
    assert told(life) == []


def test_a_deadline_is_told_of_the_step_that_was_waited_for() -> None:
    life = Life({**of(), "deadline": "10m"})
    life.at += timedelta(seconds=590)
    life.reply("reserve").pass_time(11)
    assert told(life) == [("charge", "action", "deadline")]


def test_a_silence_is_told_apart_by_what_is_known_of_it() -> None:
    life = Life(of()).reply("reserve").pass_time(31)
    (one,) = life.failed
    assert (one.cause, one.silent, one.worker) == ("unknown", True, "")
    families = {silence: Describing().describe(one, silence).family for silence in (None, "lost", "unheld")}
    assert len(set(families.values())) == 3
    assert all(family.startswith("payment:") for family in families.values())
    assert len({Describing().describe(one, silence).fingerprint for silence in (None, "lost", "unheld")}) == 3


@pytest.mark.parametrize(("said", "cause"), [(Answer.REFUSED, "refused"), (Answer.FAILED, "failed")])
def test_an_optional_step_that_failed_is_told_though_the_saga_goes_on(said: Answer, cause: str) -> None:
    effect = Effect.NONE if said is Answer.FAILED else None
    life = Life(of(optional=True)).reply("reserve").reply("charge", said, failure=boom, effect=effect)
    assert told(life) == [("charge", "action", cause)]
    assert life.saga.direction == "forward"


def test_an_optional_step_in_doubt_is_told_once_though_it_is_undone_on_the_spot() -> None:
    life = Life(of(optional=True)).reply("reserve").pass_time(31)
    assert told(life) == [("charge", "action", "unknown")]


def test_a_participant_that_nobody_runs_is_told_once() -> None:
    life = Life(of()).reply("reserve").pass_time(31, unattended=frozenset({"payment"}))
    assert told(life) == [("charge", "action", "no_consumer")]
    life.pass_time(100, unattended=frozenset({"payment"}))
    assert len(life.failed) == 1
    row = Describing().describe(life.failed[0], None)
    assert (row.template, row.error_type, row.family) == ("no consumer", "", "payment:no_consumer")


def test_a_zombie_is_told_and_not_by_what_the_step_said_before() -> None:
    life = Life(of()).reply("reserve").pass_time(31)
    life.reply("charge")  # the compensation of the attempt that stayed without an answer
    life.reply("reserve")
    assert life.saga.final
    life.reply("charge", attempt=1, undone=None, recorded_after_compensation=True)
    zombie = life.failed[-1]
    assert (zombie.step, zombie.cause, zombie.failure) == ("charge", "zombie_effect", None)


def test_what_is_kept_is_masked_and_bounded() -> None:
    long = Failure("E" * 500, "card 4111111111111111 of ann@example.com " + "x" * 9000, code="pi_3OaB2cD4")
    life = Life(of()).reply("reserve").reply("charge", Answer.REFUSED, failure=long)
    row = Describing().describe(life.failed[0], None)
    assert "ann@example.com" not in row.template
    assert "4111" not in row.template
    assert len(row.template) <= 500
    assert len(row.family) <= 200
    assert len(row.fingerprint) == 40


def declined(count: int, message: str) -> list[Noticed]:
    failures = []
    for number in range(count):
        said = Failure("Declined", message.format(number))
        failures += Life(of()).reply("reserve").reply("charge", Answer.REFUSED, failure=said).failed
    return failures


def test_words_that_differ_in_long_numbers_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read = read_from_now_on(monkeypatch)
    keeping = Describing()
    rows = [keeping.describe(one, None) for one in declined(20, "order {:09d} was declined")]
    assert len(read) == 1
    assert len({row.fingerprint for row in rows}) == 1
    [keeping.describe(one, None) for one in declined(2, "SQLSTATE 4000{}")]
    assert len(read) == 3  # a short number may be a code


def test_of_one_batch_only_so_many_errors_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read = read_from_now_on(monkeypatch)
    monkeypatch.setattr(describing, "read_max", 3)
    keeping = Describing()
    rows = [keeping.describe(one, None) for one in declined(10, "gone {} away")]
    assert (len(rows), len(read)) == (10, 3)
    keeping.begin()
    keeping.describe(declined(11, "gone {} away")[-1], None)
    assert len(read) == 4


def test_what_is_remembered_of_words_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(describing, "words_kept", 2)
    keeping = Describing()
    for one in declined(5, "gone {} away"):
        keeping.describe(one, None)
    assert len(keeping._exact) == 2


def read_from_now_on(monkeypatch: pytest.MonkeyPatch) -> list[Noticed]:
    """What is really read, from now on."""
    read: list[Noticed] = []
    really = describing._read

    def reading(one: Noticed, silence: str | None) -> describing._Words:
        read.append(one)
        return really(one, silence)

    monkeypatch.setattr(describing, "_read", reading)
    return read
