"""How soon a list of sagas is there, by each filter, with very many in the tables."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import httpx2

from bench.race.lab import Lab
from bench.race.results import Fact, Part
from bench.speed.arithmetic import percentile

times_each = 30


def filters(now: datetime) -> Mapping[str, Mapping[str, str]]:
    """Each filter of the list, alone where it may be."""
    return {
        "none": {},
        "definition, frequent": {"definition": "order"},
        "definition, rare": {"definition": "rare"},
        "version": {"definition": "order", "version": "1"},
        "status, frequent": {"status": "completed"},
        "status, rare": {"status": "running"},
        "status, none": {"status": "blocked"},
        "several statuses": {"status": "blocked,running"},
        "definition and status": {"definition": "rare", "status": "compensated"},
        "step": {"step": "ship"},
        "step and its status": {"step": "ship", "step_status": "succeeded"},
        "failed step": {"failed_step": "ship"},
        "current step": {"current_step": "ship"},
        "tag": {"tag": "tag-7"},
        "business key": {"business_key": "order-77"},
        "words: a business key": {"q": "order-7777"},
        "words: an idempotency key": {"q": "key-999"},
        "words: the beginning of an id": {"q": "019ca945-0a7b-7000-8000-0000000"},
        "created before": {"created_to": (now - timedelta(days=1)).isoformat()},
        "created between": {
            "created_from": (now - timedelta(days=30)).isoformat(),
            "created_to": (now - timedelta(days=9)).isoformat(),
        },
        "stuck": {"stuck_for_seconds": "3600"},
        "waiting on": {"waiting_on": "reply"},
        "waiting for a participant": {"waiting_on": "reply", "participant": "payment"},
        "incident": {"incident": "i7"},
        "family": {"family": "delivery:7"},
        "fingerprint": {"fingerprint": "f7"},
        "counted: completed": {"status": "completed", "count": "true"},
        "counted: all": {"count": "true"},
    }


async def listing(lab: Lab) -> None:
    part = lab.part("listing", f"How soon is a list of sagas there, with {lab.grown_sagas:,} of them in the tables?")
    product = await lab.grown()
    async with httpx2.AsyncClient(base_url=product.urls[0], timeout=30.0) as client:
        for name, query in filters(datetime.now(UTC)).items():
            taken: list[float] = []
            for _ in range(times_each):
                began = time.monotonic()
                answer = await client.get("/v1/sagas", params=query)
                taken.append((time.monotonic() - began) * 1000)
                if answer.status_code != 200:
                    part.notes.append(f"{name}: {answer.status_code} {answer.text[:200]}")
                    break
                if taken[-1] > 5_000:
                    break
            _note(lab, part, name, taken)
    slowest = max((fact for fact in part.facts if fact.name.endswith("p95")), key=lambda fact: fact.value)
    part.facts.append(
        Fact(f"the slowest p95 ({slowest.name.rpartition(':')[0].replace(':', ',')})", slowest.value, "ms")
    )


def _note(lab: Lab, part: Part, name: str, taken: list[float]) -> None:
    part.facts.append(Fact(f"{name}: p50", percentile(taken, 0.5), "ms"))
    part.facts.append(Fact(f"{name}: p95", percentile(taken, 0.95), "ms"))
    lab.tell(f"listing   {name:32} p50 {percentile(taken, 0.5):7.1f} ms   p95 {percentile(taken, 0.95):7.1f} ms")
