"""kill -9 at a named moment, then another process on the same databases: every order ends, each effect exactly once.

Each test dies twice: once at the moment in an action, and again, while it recovers, in a compensation.
"""

from __future__ import annotations

import pytest

from tests.crash.conftest import Place

pytestmark = pytest.mark.crash


@pytest.mark.parametrize(
    "moment",
    [
        "command.before_publish",
        "command.mid_publish",
        "command.confirmed",
        "reply.taken",
        "reply.acknowledging",
        "reply.acknowledged",
    ],
)
def test_a_coordinator_killed_with_a_message_in_hand(place: Place, moment: str) -> None:
    bystander = None if place.embedded else place.begin(coordinates=False)
    for carried in ("charge", "undo charge"):
        victim = place.begin(orders=3, moment=f"{moment}:{carried}", participates=bystander is None)
        place.dies(victim)
    place.sees_through(place.begin(report=True, participates=bystander is None))


@pytest.mark.parametrize("nth", [(1, 2), (3, 4), (5, 7)], ids=str)
def test_a_coordinator_killed_before_it_commits(place: Place, nth: tuple[int, int]) -> None:
    bystander = None if place.embedded else place.begin(coordinates=False)
    for times in nth:
        place.dies(place.begin(orders=3, moment="saga.before_commit", nth=times, participates=bystander is None))
    place.sees_through(place.begin(report=True, participates=bystander is None))


def test_a_coordinator_killed_before_it_answers_a_start(place: Place) -> None:
    bystander = None if place.embedded else place.begin(coordinates=False)
    for nth in (1, 2):
        place.dies(place.begin(orders=2, moment="saga.started", nth=nth, participates=bystander is None))
    place.sees_through(place.begin(report=True, participates=bystander is None))


@pytest.mark.parametrize(
    "moment",
    [
        "command.taken",
        "reply.before_publish",
        "reply.mid_publish",
        "reply.confirmed",
        "command.acknowledging",
        "command.acknowledged",
    ],
)
def test_a_participant_killed_with_a_message_in_hand(place: Place, moment: str) -> None:
    moments = [(f"{moment}:charge", 1), (f"{moment}:undo charge", 1)]
    _kill_participants(place, moments)


def test_a_participant_killed_before_it_commits(place: Place) -> None:
    _kill_participants(place, [("books.before_commit", 4), ("books.before_commit", 9)])


def _kill_participants(place: Place, moments: list[tuple[str, int]]) -> None:
    """Where coordinator and participants are one process, it is that which dies."""
    if place.embedded:
        for moment, nth in moments:
            place.dies(place.begin(orders=4, moment=moment, nth=nth))
        place.sees_through(place.begin(report=True))
        return
    coordinator = place.begin(orders=8, participates=False, report=True)
    for moment, nth in moments:
        place.dies(place.begin(coordinates=False, moment=moment, nth=nth))
    place.begin(coordinates=False)
    place.sees_through(coordinator)


@pytest.mark.parametrize("place", [pytest.param("distributed", marks=[pytest.mark.postgres])], indirect=True)
def test_another_coordinator_takes_over_what_a_dead_one_had_leased(place: Place) -> None:
    place.begin(coordinates=False)
    heir = place.begin(orders=2, later=6, participates=False, report=True)
    place.dies(place.begin(orders=6, moment="saga.started", nth=8, participates=False))
    place.sees_through(heir)
