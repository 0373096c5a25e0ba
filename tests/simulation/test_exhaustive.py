"""Every state of a few small sagas, under a network that loses, repeats, delays and reorders whatever it likes.

The real `decide` is run against a model of the participants' inboxes (`participant`), over a network in which whatever
was sent may arrive at any time, any number of times, or never (`world`). In every state reached the rules are checked,
and from every state there must be a way, without a person, to where the saga may stay (`search`). The scope is bounded
by the number of steps and attempts and by the outcomes a handler may come to, never by how often a message is repeated.

`AMENDS_DEEP=1` searches larger scopes of the same worlds, too: millions of states, some minutes. The end of the run
says how large each space was.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest

from coordinator.saga import inquiry
from tests.simulation import plans
from tests.simulation.search import describe, search
from tests.simulation.world import Plan

worlds = [
    plans.chain(),
    plans.fork(),
    plans.fork(attempts=1, outcomes=("succeeded", "failed"), external="b"),
    plans.optional(),
    plans.optional(external=True, attempts=1, undo_attempts=1),
    plans.pivot(),
    plans.pivot(external=True),
    plans.skipping(),
    plans.external("a"),
    plans.external("b"),
]
wide_worlds = [
    plans.skipping(external=True),
    plans.optional(external=True, undo_attempts=1),
    plans.fork(outcomes=("succeeded", "refused"), undo_attempts=2, undo_outcomes=("undone", "failed")),
    plans.external("a", undo_attempts=2),
    plans.external("b", undo_attempts=2),
]
deep = bool(os.environ.get("AMENDS_DEEP"))
tries_max = 2  # of an inquiry; six of them are no different, only more


def name(plan: Plan) -> str:
    return plan.name


@pytest.fixture(autouse=True)
def _few_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inquiry, "tries_max", tries_max)


@pytest.mark.slow
@pytest.mark.timeout(3600 if deep else 300)
@pytest.mark.parametrize("plan", [*worlds, *(wide_worlds if deep else [])], ids=name)
def test_no_rule_is_broken_in_any_state(plan: Plan, record_property: Callable[[str, object], None]) -> None:
    """What was searched stands at the end of the run, with the size of the space."""
    before = time.process_time()
    space = search(plan)
    record_property("searched", describe(plan, space, time.process_time() - before))
    assert space.final, "some states are final"
