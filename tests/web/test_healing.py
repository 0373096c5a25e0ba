"""Remedies over the API: approved, rejected, taken back; and healing switched down, for every coordinator at once."""

from __future__ import annotations

from typing import Any

import pytest

from coordinator.store.explained import RemedyRow, RemedyState
from coordinator.store.ids import new_id
from tests.web.conftest import Site, problem_of


async def proposed(site: Site, participant: str = "payment") -> str:
    """A circuit that waits for a person; its id."""
    at = site.app.clock.now()
    row = RemedyRow(
        id=new_id(at),
        incident_id="an incident",
        report_version=1,
        kind="open_circuit",
        scope=f"participant {participant}",
        target=f'{{"participant": "{participant}", "seconds": 60}}',
        tier="A",
        state=RemedyState.PROPOSED,
        evidence="[]",
        reason="0.80 sure, which is less than 0.85",
        proposed_at=at,
    )
    return (await site.app.stores.remedies.propose(row)).id


async def test_an_approved_remedy_is_in_effect_at_once_and_is_taken_back(site: Site) -> None:
    path = f"/v1/remedies/{await proposed(site)}"

    begun = (await site.http.post(f"{path}/approve", json={"by": "ada", "reason": "go on"})).json()
    pauses = (await site.http.get("/v1/pauses")).json()["items"]

    assert (begun["state"], begun["by"], begun["automatic"]) == ("begun", "ada", False)
    assert sorted((pause["name"], pause["by"], pause["rate_per_second"] or 0) for pause in pauses) == [
        ("payment", "ada", 0),
        ("payment", "ada", 1),
    ]
    problem_of(await site.http.post(f"{path}/reject", json={"by": "eve"}), 409, "remedy-refused")
    ended = (await site.http.post(f"{path}/undo", json={"by": "bob", "reason": "enough"})).json()
    assert (ended["state"], ended["outcome"]) == ("ended", "bob took it back: enough")
    assert (await site.http.get("/v1/pauses")).json()["items"] == []


async def test_a_rejected_remedy_is_over(site: Site) -> None:
    path = f"/v1/remedies/{await proposed(site)}"

    rejected = (await site.http.post(f"{path}/reject", json={"by": "ada", "reason": "not now"})).json()

    assert (rejected["state"], rejected["by"]) == ("rejected", "ada")
    assert (await site.http.post(f"{path}/reject")).json() == rejected
    problem_of(await site.http.post(f"{path}/approve"), 409, "remedy-refused")
    problem_of(await site.http.post(f"{path}/undo"), 409, "remedy-refused")
    for verb in ("approve", "reject", "undo"):
        problem_of(await site.http.post(f"/v1/remedies/nothing/{verb}"), 404, "unknown-remedy")


async def test_healing_is_switched_down_with_a_reason(site: Site) -> None:
    assert (await site.http.get("/v1/healing")).json()["mode"] == "shadow"

    off = (await site.http.put("/v1/healing", json={"mode": "off", "by": "ada", "reason": "an audit"})).json()

    assert (off["mode"], off["switched_to"], off["switched_by"], off["reason"]) == ("off", "off", "ada", "an audit")
    assert (await site.http.get("/v1/healing")).json() == off
    back = (await site.http.put("/v1/healing", json={"mode": "auto", "by": "ada", "reason": "over"})).json()
    assert (back["mode"], back["switched_to"]) == ("shadow", "auto")  # never more than the settings say


@pytest.mark.parametrize("body", [{"mode": "off"}, {"mode": "on", "reason": "r"}, {"reason": "r"}])
async def test_a_switch_that_makes_no_sense_is_refused(small_site: Site, body: dict[str, Any]) -> None:
    problem_of(await small_site.http.put("/v1/healing", json=body), 422, "invalid-body")
