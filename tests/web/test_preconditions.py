"""If-Match: what is asked of a saga happens as it stood when somebody looked at it, or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from coordinator.web.api.verbs import revisions_of
from coordinator.web.problems import Refusal
from tests.web.conftest import Site, chain, problem_of


async def _seen(site: Site) -> tuple[str, str]:
    """A saga that waits for nobody, and its entity tag."""
    await site.define(chain)
    saga_id = await site.begin()
    return saga_id, (await site.http.get(f"/v1/sagas/{saga_id}")).headers["ETag"]


async def _pause(site: Site, saga_id: str, if_match: str) -> Any:
    return await site.http.post(f"/v1/sagas/{saga_id}/pause", headers={"If-Match": if_match})


async def test_what_stands_as_it_was_seen_is_done(site: Site) -> None:
    saga_id, tag = await _seen(site)
    response = await _pause(site, saga_id, f'"9999", {tag}')
    assert response.status_code == 200
    assert response.headers["ETag"] != tag


async def test_what_has_moved_since_is_left_as_it_is(site: Site) -> None:
    saga_id, tag = await _seen(site)
    moved = (await _pause(site, saga_id, tag)).headers["ETag"]

    response = await site.http.post(f"/v1/sagas/{saga_id}/resume", headers={"If-Match": tag})

    assert moved.strip('"') in problem_of(response, 412, "moved-since")["detail"]
    assert (await site.saga(saga_id))["paused"] is not None
    again = await site.http.post(f"/v1/sagas/{saga_id}/resume", headers={"If-Match": moved})
    assert again.json()["paused"] is None


async def test_of_two_who_saw_the_same_one_is_too_late(site: Site) -> None:
    saga_id, tag = await _seen(site)
    paths = (f"/v1/sagas/{saga_id}/pause", f"/v1/sagas/{saga_id}/cancel")
    answers = [await site.http.post(path, headers={"If-Match": tag}) for path in paths]
    assert [answer.status_code for answer in answers] == [200, 412]


@pytest.mark.parametrize("if_match", ["7", '"7', "W/7", '"7" "8"', "seven", ""])
async def test_what_is_no_entity_tag_is_said_to_be_none(site: Site, if_match: str) -> None:
    saga_id, _ = await _seen(site)
    problem_of(await _pause(site, saga_id, if_match), 400, "bad-parameter")


def test_weak_tags_and_those_of_others_match_nothing() -> None:
    assert revisions_of(None) is None
    assert revisions_of("*") is None
    assert revisions_of('"3", "12"') == frozenset({3, 12})
    assert revisions_of('W/"3", "a5"') == frozenset()
    with pytest.raises(Refusal):
        revisions_of('"3",')
