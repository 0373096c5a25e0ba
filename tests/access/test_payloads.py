"""What goes through sagas is hidden from whoever may not see it, wherever it would be shown."""

from __future__ import annotations

from typing import Any

from amends.broker import Address
from amends.message import Command, Reply
from coordinator.store.access import Role
from tests.access.conftest import as_, key_of
from tests.engine.puppet import answer
from tests.waiting import eventually
from tests.web.conftest import Site, chain

canary = "canary-4711"


async def test_no_answer_shows_a_payload_to_whoever_may_not_see_one(site: Site) -> None:
    def gives(command: Command) -> Reply | None:
        return answer(command, result={"said": canary})

    seeing = await key_of(site, Role.ADMIN)
    await site.puppets(chain, gives)
    async with as_(site, seeing) as ada, as_(site, await key_of(site, Role.ADMIN, payloads=False)) as less:
        await ada.post("/v1/definitions", json=chain)
        started = await ada.post("/v1/sagas", json={"definition": "chain", "input": {"for": canary}})
        saga_id = started.json()["id"]
        await ada.get(f"/v1/sagas/{saga_id}", headers={"Prefer": "wait=20"})
        here = f"/v1/sagas/{saga_id}"
        for path in (here, f"{here}/result", f"{here}/input", f"{here}/history", f"{here}/steps/reserve/input",
                     f"{here}/steps/charge/result"):  # fmt: skip
            seen, hidden = await ada.get(path), await less.get(path)
            assert hidden.status_code == 200, hidden.text
            assert canary not in hidden.text, path
            assert "steps/reserve/input" in path or canary in seen.text, path
            assert _marked(hidden.json()), path
            assert not _marked(seen.json()), path
        for path in (f"{here}/timeline", "/v1/sagas", "/v1/overview", "/v1/notifications", "/v1/audit"):
            assert canary not in (await less.get(path)).text, path


def _marked(value: Any) -> bool:
    """Whether an answer says that something is hidden."""
    items = value.get("items", [value])
    return any(item["payloads_hidden"] for item in items)


async def test_the_body_of_a_dead_letter_is_hidden(site: Site) -> None:
    await site.app.broker.publish(Address("replies", "payment"), canary.encode())

    async def kept() -> bool:
        return bool((await site.app.stores.dead_letters.page()).items)

    await eventually(kept, "the dead letter")
    async with (
        as_(site, await key_of(site, Role.VIEWER)) as all_,
        as_(site, await key_of(site, Role.VIEWER, payloads=False)) as less,
    ):
        (seen,) = (await all_.get("/v1/dead-letters")).json()["items"]
        (hidden,) = (await less.get("/v1/dead-letters")).json()["items"]
    assert (canary in seen["body"], seen["payloads_hidden"]) == (True, False)
    assert (hidden["body"], hidden["payloads_hidden"]) == (None, True)
