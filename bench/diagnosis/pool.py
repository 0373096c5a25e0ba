"""Worlds side by side, one process each at a time. It is a module of its own because a new process finds a function by
its module's name, and what was started by hand is called something else there."""

from __future__ import annotations

import atexit
import logging
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from bench.diagnosis import development, gates, healing, heldout, injections, parts
from bench.diagnosis.cases import Case
from bench.diagnosis.grading import Share
from bench.diagnosis.healing import Healed
from bench.diagnosis.injections import Attempt
from bench.diagnosis.running import Result, done, run_case
from bench.diagnosis.similarity import Found

Given = TypeVar("Given")
Made = TypeVar("Made")


def side_by_side(work: Callable[[Given], Made], given: Sequence[Given], processes: int) -> Iterator[Made]:
    """Work in several processes; what comes of it, in order. `work` is one of this module's functions."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_begin) as pool:
        yield from pool.map(work, given)


def _begin() -> None:
    logging.disable(logging.CRITICAL)
    atexit.register(done)


def named(name: str) -> Case:
    """The case of that name. Raises KeyError."""
    for case in (*development.cases(), *heldout.cases()):
        if case.name == name:
            return case
    raise KeyError(name)


def result_of(name: str) -> Result:
    """Run the case of that name."""
    return run_case(named(name))


def attempts_of(index: int) -> list[Attempt]:
    """Make one attempt at injection, by its number; and again through a model."""
    return injections.attempted(*injections.attempts()[index])


def healed_of(name: str) -> Healed:
    """Run the case of that name with remedies that are carried out, and without."""
    return healing.healed(named(name))


def similar_of(number: int) -> Found:
    """Let trouble come back in one of the two worlds."""
    return parts.similar_in(number)


def counterfactual_of(name: str) -> Share:
    """Run the case of that name with its faults and without."""
    return gates.counterfactual(named(name))
