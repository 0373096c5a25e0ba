"""The running totals: each attempt counted once, by how it ended, in a memory that is bounded whatever is said."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from coordinator.diagnosis import counts
from coordinator.diagnosis.counts import Counts
from coordinator.saga.event import Answer, Call, Effect, Failure
from coordinator.store.observed import Tallied, Tally, bucket_seconds
from tests.diagnosis.lives import Life, began
from tests.diagnosis.test_failures import boom, of


@pytest.fixture
def counting() -> Counts:
    return Counts(lambda text: text.replace("hunter2", "<secret>"))


def told(counting: Counts) -> dict[tuple[str, str, str, str], int]:
    """What rose: by step, kind, outcome and error."""
    tallies = counting.changed().tallies
    return {(one.place.step, one.place.kind, one.outcome.value, one.error): one.count for one in tallies}


def test_a_failure_counts_by_its_code_and_a_compensation_as_what_it_is(counting: Counts) -> None:
    life = Life(of(), counting.count).reply("reserve")
    life.reply("charge", Answer.FAILED, failure=boom, effect=Effect.NONE).reply("reserve")
    assert told(counting) == {
        ("reserve", "action", "succeeded", ""): 1,
        ("charge", "action", "failed", "http 503"): 1,
        ("reserve", "compensation", "succeeded", ""): 1,
    }
    assert told(counting) == {}


def test_a_silence_is_unknown_and_the_answer_that_comes_after_it_late(counting: Counts) -> None:
    life = Life(of(retry={"max_attempts": 3}), counting.count).reply("reserve").pass_time(31)
    assert told(counting) == {("reserve", "action", "succeeded", ""): 1, ("charge", "action", "unknown", ""): 1}
    life.reply("charge", duration_seconds=40.0)
    (late,) = (one for one in counting.changed().tallies if one.place.step == "charge")
    assert (late.outcome, late.count, late.seconds_sum, late.place.worker) == (Tallied.LATE, 1, 40.0, "payment-1")
    life.reply("charge", duration_seconds=40.0)  # once more
    assert told(counting) == {}


def test_a_clock_that_is_extended_is_no_end_of_an_attempt(counting: Counts) -> None:
    life = Life(of(), counting.count).reply("reserve")
    told(counting)
    life.pass_time(31, unattended=frozenset({"payment"}))
    life.reply("charge", Answer.IN_PROGRESS)
    assert told(counting) == {}


def test_what_an_unwanted_answer_says_of_a_dependency_counts(counting: Counts) -> None:
    slow = (Call("card-provider", 41.0, "ReadTimeout", "timeout read"),)
    life = Life(of(retry={"max_attempts": 3}), counting.count).reply("reserve").pass_time(31)
    told(counting)
    life.reply("charge", Answer.FAILED, effect=Effect.UNKNOWN, failure=boom, calls=slow)
    changed = counting.changed()
    assert changed.tallies == []
    (call,) = changed.calls
    assert (call.dependency, call.error, call.count, call.seconds_sum) == ("card-provider", "timeout read", 1, 41.0)


def test_seconds_in_the_handler_and_before_it_are_told_apart(counting: Counts) -> None:
    life = Life(of(), counting.count)
    life.at += timedelta(seconds=5)
    life.reply("reserve", duration_seconds=2.0)
    (one,) = counting.changed().tallies
    assert (one.seconds_sum, one.wait_seconds_sum) == (2.0, 3.0)
    assert one.seconds_buckets.index(1) == bucket_seconds.index(2.048)
    assert one.wait_buckets.index(1) == bucket_seconds.index(4.096)
    assert len(one.seconds_buckets) == len(bucket_seconds) + 1


def test_totals_only_rise_and_are_given_whole(counting: Counts) -> None:
    for count in (1, 2, 3):
        Life(of(), counting.count).reply("reserve")
        (one,) = counting.changed().tallies
        assert one.count == count


def test_what_could_not_be_written_is_given_again(counting: Counts) -> None:
    Life(of(), counting.count).reply("reserve")
    counting.give_back(counting.changed())
    Life(of(), counting.count).reply("reserve")
    assert told(counting) == {("reserve", "action", "succeeded", ""): 2}


def test_words_of_participants_are_redacted_before_they_are_keys(counting: Counts) -> None:
    said = Failure("Denied", code="pw hunter2")
    Life(of(), counting.count).reply("reserve").reply("charge", Answer.REFUSED, failure=said)
    assert [error for *_, error in told(counting)] == ["", "pw <secret>"]


def refused_by(counting: Counts, worker: str, code: str = "") -> None:
    failure = Failure("Declined", code=code)
    Life(of(), counting.count).reply("reserve").reply("charge", Answer.REFUSED, failure=failure, worker=worker)


def charged(counting: Counts) -> list[Tally]:
    return [one for one in counting.changed().tallies if one.place.step == "charge"]


def test_beyond_so_many_keys_workers_are_no_longer_told_apart(
    counting: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counts, "keys_max", 5)
    for number in range(100):
        refused_by(counting, f"w{number}")
    tallies = charged(counting)
    assert sum(one.count for one in tallies) == 100
    assert len(tallies) < 7
    assert next(one.count for one in tallies if one.place.worker == "*") > 90
    assert counting.keys_dropped > 90


def test_who_sends_ever_new_words_is_cut_short(counting: Counts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "words_of_a_minute_max", 3)
    for number in range(50):
        refused_by(counting, "w", f"code {number}")
    assert {one.error for one in charged(counting)} == {"code 0", "code 1", "code 2", "*"}
    assert counting.keys_dropped == 47


def test_calls_are_bounded_too(counting: Counts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "keys_max", 2)
    for number in range(5):
        calls = (Call(f"d{number}", 0.1),)
        Life(of(), counting.count).reply("reserve", calls=calls)
    changed = counting.changed().calls
    assert {one.dependency: one.count for one in changed} == {"d0": 1, "d1": 1, "*": 3}


def test_an_event_of_long_ago_is_counted_into_the_oldest_minute_that_is_still_here(counting: Counts) -> None:
    now, old = Life(of(), counting.count), Life(of(), counting.count)
    now.at += timedelta(minutes=10)
    now.reply("reserve")
    counting.forget_old()
    old.reply("reserve")
    now.reply("charge")
    minutes = sorted(one.minute for one in counting.changed().tallies)
    first = began.replace(second=0) + timedelta(minutes=10)
    assert minutes == [first - timedelta(minutes=2), first, first]


def test_what_is_no_answer_to_anything_counts_for_nothing(counting: Counts) -> None:
    life = Life(of(), counting.count).reply("reserve")
    told(counting)
    life.reply("reserve", Answer.REFUSED)  # after its success
    stray: dict[str, Any] = {"attempt": 1}
    life.reply("reserve", **stray)
    assert told(counting) == {}
