"""Failures, tallies and occurrences made for the tests of the store."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from coordinator.store.observed import FailedStep, Occurrence, OccurrenceKind, Place, Tallied, Tally
from tests.store.made import noon

place = Place("place-order", 1, "charge", "action", "payment", "w1", "1.4.2")


def failure(saga_id: str, **values: Any) -> FailedStep:
    made = FailedStep(
        saga_id=saga_id,
        step="charge",
        kind="action",
        at=noon,
        definition="place-order",
        version=1,
        participant="payment",
        cause="failed",
        error_type="ConnectTimeout",
        code="http 504",
        template="no answer from <host> in <n> s",
        fingerprint="f1" * 20,
        family="payment:downstream_timeout",
        worker="w1",
        worker_version="1.4.2",
        attempts=3,
        business_key="order-1",
    )
    return replace(made, **values)


def tally(**values: Any) -> Tally:
    made = Tally(
        minute=noon.replace(second=0, microsecond=0),
        place=place,
        outcome=Tallied.SUCCEEDED,
        error="",
        count=3,
        seconds_sum=0.5,
        seconds_buckets=(1, 2),
        wait_seconds_sum=0.25,
        wait_buckets=(3,),
    )
    return replace(made, **values)


def occurrence(occurrence_id: str, **values: Any) -> Occurrence:
    made = Occurrence(occurrence_id, noon, OccurrenceKind.VERSION_SEEN, "participant payment", {"version": "1.4.2"})
    return replace(made, **values)
