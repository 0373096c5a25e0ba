"""Who one is: the form that asks for a key, the session, and what is not there for those who may not ask for it."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from coordinator.store.access import Role
from tests.browser.conftest import View
from tests.browser.visitors import come_in, key_of
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

lonely = {"name": "lonely", "steps": [{"name": "wait", "participant": "nobody", "action": "wait", "kind": "readonly"}]}


async def test_the_dashboard_asks_for_a_key_and_shows_who_one_is(view: View) -> None:
    saga_id = await view.shop.order()
    await view.shop.until(saga_id, "completed")
    text = await key_of(view, "vera", Role.VIEWER)
    page = await view.open(f"sagas/{saga_id}")
    await expect(page.get_by_role("heading", name="Who are you?")).to_be_visible()
    await page.get_by_label("Key, or a token").fill("wrong")
    await page.get_by_role("button", name="Come in").click()
    await expect(page.get_by_text("not valid")).to_be_visible()
    await page.get_by_label("Key, or a token").fill(text)
    await page.get_by_role("button", name="Come in").click()
    await expect(page.get_by_text("vera")).to_be_visible()
    await expect(page.locator(".pulse.live")).to_be_visible()
    assert text not in await page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])")

    await page.locator("details.payload summary").first.click()
    await expect(page.get_by_text("you may not see payloads").first).to_be_visible()
    await page.get_by_role("button", name="Leave").click()
    await expect(page.get_by_role("heading", name="Who are you?")).to_be_visible()


async def test_a_viewer_is_offered_no_verbs_and_an_operator_is(view: View) -> None:
    await view.shop.app.definitions.register(lonely, by="test")
    saga_id = (await view.shop.http.post("/v1/sagas", json={"definition": "lonely"})).json()["id"]
    pause, dialog = view.page.get_by_role("button", name="Pause", exact=True), view.page.get_by_role("dialog")
    await come_in(view, f"sagas/{saga_id}", "olga", Role.OPERATOR)
    await expect(pause).to_have_count(1)
    await come_in(view, f"sagas/{saga_id}", "vera", Role.VIEWER)
    await expect(view.page.get_by_text("lonely").first).to_be_visible()
    await expect(pause).to_have_count(0)

    await come_in(view, f"sagas/{saga_id}", "otto", Role.OPERATOR)
    await pause.click()
    await expect(dialog.get_by_label("Who are you?")).to_have_count(0)
    await dialog.get_by_role("button", name="Pause").click()

    async def paused() -> bool:
        found = await view.shop.app.stores.reader.get(saga_id)
        return getattr(getattr(found, "saga", None), "paused", None) is not None

    await eventually(paused, "the saga to be paused")
