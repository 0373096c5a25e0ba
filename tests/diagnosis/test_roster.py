"""What a look at the workers makes of the one before it: who came, who went, who fell silent, what is new."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from coordinator.diagnosis.redaction import redact
from coordinator.diagnosis.roster import Roster
from coordinator.store.observed import Occurrence
from coordinator.store.values import Beat, Worker

noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
command = "0195-saga/charge/0/action/0/1"


def at(seconds: float) -> datetime:
    return noon + timedelta(seconds=seconds)


def worker(name: str, *, seen: float = 0, first: float = -3600, live: bool = True, **facts: Any) -> Worker:
    beat = Beat("payment", name, **{"version": "1", "host": "h1", **facts})
    return Worker(beat, at(first), at(seen), live=live and not beat.stopping)


@pytest.fixture
def roster() -> Roster:
    """One that has seen two workers of version 1."""
    roster = Roster(redact)
    assert roster.look([worker("a"), worker("b")], at(0)) == []
    return roster


def kinds(found: list[Occurrence]) -> list[str]:
    return [one.kind.value for one in found]


def test_what_is_there_at_the_first_look_is_no_news(roster: Roster) -> None:
    assert roster.look([worker("a", seen=1), worker("b", seen=1)], at(1)) == []


def test_the_first_workers_of_a_participant_are_no_change() -> None:
    roster = Roster(redact)
    roster.look([], at(0))
    assert roster.look([worker("a", first=1, settings={"pool": "5"})], at(1)) == []
    assert roster.look([worker("a", first=1, settings={"pool": "5"})], at(30)) == []


def test_a_version_is_new_once_and_dates_from_its_first_worker(roster: Roster) -> None:
    old = [worker("a"), worker("b")]
    two = [worker("c", first=4, version="2"), worker("d", first=3, version="2")]
    (seen,) = roster.look([*old, *two], at(5))
    assert (seen.kind, seen.subject, seen.at) == ("version_seen", "worker_version payment@2", at(3))
    assert seen.facts == {"version": "2", "worker": "d", "host": "h1"}
    assert roster.look([*old, *two, worker("e", first=6, version="2")], at(6)) == []


def test_another_coordinator_that_looks_at_another_moment_tells_the_same(roster: Roster) -> None:
    twin = Roster(redact)
    twin.look([worker("a"), worker("b")], at(0.5))
    first = [worker("a"), worker("b"), worker("c", first=3, version="2")]
    (one,) = roster.look(first, at(4))
    (other,) = twin.look([*first, worker("d", first=4, version="2")], at(9))
    assert one == other


def test_a_return_to_an_older_version_is_new_again(roster: Roster) -> None:
    new = worker("c", first=1, version="2")
    gone = [worker(name, live=False, stopping=True) for name in "ab"]
    roster.look([*gone, new], at(2))
    (back,) = roster.look([*gone, new, worker("d", first=60, version="1")], at(61))
    assert (back.kind, back.subject) == ("version_seen", "worker_version payment@1")


def test_a_worker_that_keeps_its_name_may_come_with_another_version(roster: Roster) -> None:
    (seen,) = roster.look([worker("a", seen=5, version="2"), worker("b")], at(5))
    assert (seen.kind, seen.at, seen.facts["version"]) == ("version_seen", at(5), "2")


def test_a_setting_that_differs_from_everybody_elses_is_a_change() -> None:
    roster = Roster(redact)
    roster.look(
        [worker("a", settings={"pool": "5", "port": "1"}), worker("b", settings={"pool": "5", "port": "2"})], at(0)
    )
    known = [worker("a", settings={"pool": "5", "port": "1"}), worker("b", settings={"pool": "5", "port": "2"})]
    new = worker("c", first=2, settings={"pool": "50", "port": "3", "dsn": "postgresql://u:hunter2@h/db"})
    pool, dsn = sorted(roster.look([*known, new], at(3)), key=lambda one: one.subject, reverse=True)
    assert (pool.kind, pool.subject, pool.at) == ("setting_changed", "setting payment.pool", at(2))
    assert pool.facts == {"setting": "pool", "before": "5", "after": "50", "worker": "c"}
    assert dsn.facts["before"] is None
    assert "hunter2" not in str(dsn.facts["after"])


def test_a_worker_that_falls_silent_is_lost_with_what_it_held_and_may_come_back(roster: Roster) -> None:
    held = {command: 3.0, "not a command": 1.0}
    roster.look([worker("a", holding=held), worker("b")], at(1))
    (lost,) = roster.look([worker("a", seen=1, live=False, holding=held, in_flight=1), worker("b")], at(20))
    assert (lost.kind, lost.subject, lost.at) == ("worker_lost", "worker payment/a", at(1))
    assert lost.facts["holding"] == command
    assert (lost.facts["version"], lost.facts["host"], lost.facts["in_flight"]) == ("1", "h1", 1)
    assert roster.silence("payment", command, at(0)) == "lost"
    assert roster.look([worker("a", seen=1, live=False), worker("b")], at(21)) == []
    (back,) = roster.look([worker("a", seen=30), worker("b")], at(30))
    assert (back.kind, back.facts["silent_seconds"]) == ("worker_back", 29.0)


def test_nobody_is_lost_while_we_are_blind_but_afterwards(roster: Roster) -> None:
    silent = [worker("a", live=False), worker("b")]
    assert roster.look(silent, at(20), blind=True) == []
    assert roster.look(silent, at(21), blind=True) == []
    assert kinds(roster.look(silent, at(40))) == ["worker_lost"]


def test_a_goodbye_is_no_loss_and_a_new_number_counts_once_it_has_settled(roster: Roster) -> None:
    left = [worker("a"), worker("b", live=False, stopping=True)]
    assert roster.look(left, at(1)) == []
    assert roster.look(left, at(5)) == []
    (scaled,) = roster.look(left, at(12))
    assert (scaled.kind, scaled.at, scaled.facts) == ("workers_scaled", at(1), {"before": 2, "after": 1})
    assert roster.look(left, at(60)) == []


def test_workers_that_are_replaced_are_no_new_number(roster: Roster) -> None:
    gone = [worker(name, live=False, stopping=True) for name in "ab"]
    roster.look([*gone, worker("c", first=1), worker("d", first=1)], at(1))
    assert roster.look([*gone, worker("c", first=1), worker("d", first=1)], at(30)) == []


def test_what_is_known_of_a_silence_depends_on_who_holds_the_command(roster: Roster) -> None:
    assert roster.silence("payment", command, at(-1)) == "unheld"  # both were heard since, and neither has it
    assert roster.silence("payment", command, at(1)) is None  # neither has been heard since
    assert roster.silence("payment", command, None) is None
    assert roster.silence("shipping", command, at(-1)) is None  # nobody there could have it
    busy = [worker("a", seen=5, holding={command: 4.0}), worker("b", seen=5)]
    roster.look(busy, at(5))
    assert roster.silence("payment", command, at(1)) is None  # it is being worked on
    held_up = [worker("a", seen=9, holding={"x": 8.0}), worker("b", seen=9)]
    roster.look(held_up, at(9))
    assert roster.silence("payment", command, at(1)) is None  # a worker is held up: it may be behind that


def test_a_worker_that_is_lost_may_have_taken_what_it_never_told_of(roster: Roster) -> None:
    """Between its last sign of life and its end it may have taken anything."""
    roster.look([worker("a", live=False), worker("b", seen=40)], at(40))
    assert roster.silence("payment", command, at(5)) is None
    assert roster.silence("payment", command, at(16)) == "unheld"


def test_only_so_much_is_remembered_of_workers_that_are_gone(roster: Roster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coordinator.diagnosis.roster.lost_remembered_max", 2)
    many = [worker(f"w{n}", holding={f"s{n}/charge/0/action/0/1": 1.0}) for n in range(4)]
    roster.look(many, at(1))
    silent = [replace(one, live=False) for one in many]
    assert kinds(roster.look(silent, at(30))).count("worker_lost") == 4
    assert [roster.silence("payment", f"s{n}/charge/0/action/0/1", at(0)) for n in (0, 3)] == [None, "lost"]


def test_more_than_a_line_holds_is_cut_between_two_commands(roster: Roster) -> None:
    held = {f"{'s' * 100}{n}/charge/0/action/0/1": 1.0 for n in range(30)}
    roster.look([worker("a", holding=held), worker("b")], at(1))
    (lost,) = roster.look([worker("a", live=False, holding=held), worker("b")], at(30))
    told = str(lost.facts["holding"]).split()
    assert 3 < len(told) < 30
    assert set(told) <= set(held)
