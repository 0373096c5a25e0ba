"""Keys and the audit in the dashboard: for admins, and what the others see instead."""

from __future__ import annotations

import re

import httpx2
import pytest
from playwright.async_api import Locator, expect

from coordinator.store.access import Role
from tests.browser.conftest import View
from tests.browser.visitors import come_in, enter
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

lonely = {"name": "lonely", "steps": [{"name": "wait", "participant": "nobody", "action": "wait", "kind": "readonly"}]}


def menu(view: View, name: str) -> Locator:
    return view.page.get_by_role("navigation", name="Pages").get_by_role("link", name=name, exact=True)


async def secret_of(view: View) -> str:
    """The key that a dialog shows, which is then put away."""
    shown = view.page.get_by_role("dialog").locator(".secret code")
    await expect(shown).to_have_text(re.compile("^amends_"))
    text = await shown.text_content()
    assert text
    await view.page.keyboard.press("Escape")
    await expect(view.page.get_by_role("dialog")).to_have_count(0)
    return text


async def test_the_first_key_is_made_here_and_everybody_is_asked_from_then_on(view: View) -> None:
    page = await view.open("access")
    await expect(menu(view, "Access")).to_have_attribute("aria-current", "page")
    await expect(page.get_by_text("Nobody is asked who they are")).to_be_visible()
    await page.get_by_role("button", name="Make the first").click()
    dialog = page.get_by_role("dialog", name="Make a key")
    await expect(dialog.get_by_label("Role")).to_have_value("admin")
    await dialog.get_by_label("Whose is it?").fill("ada")
    await dialog.get_by_role("button", name="Make it").click()

    text = await secret_of(view)
    await expect(page.get_by_role("heading", name="Who are you?")).to_be_visible()
    assert text not in await page.content()
    await enter(view, text)
    await expect(view.row("ada")).to_contain_text("valid")
    await expect(view.row("ada")).to_contain_text("seen")


async def test_an_admin_makes_rotates_and_revokes_keys_and_says_why(view: View) -> None:
    page = view.page
    await come_in(view, "access", "ada", Role.ADMIN)
    await expect(view.row("ada")).to_have_count(1)
    await page.get_by_role("button", name="Make a key").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_label("It may see payloads")).to_have_count(0)  # for she may not herself
    await dialog.get_by_label("Whose is it?").fill("shop")
    await dialog.get_by_label("Role").select_option("operator")
    await dialog.get_by_label("For how many days?").fill("90")
    await dialog.get_by_role("button", name="Make it").click()
    first = await secret_of(view)
    await expect(view.row("shop")).to_contain_text("operator")
    await expect(view.row("shop")).to_contain_text("never")

    await page.get_by_role("button", name="Rotate the key of shop").click()
    await page.get_by_role("dialog").get_by_role("button", name="Rotate").click()
    second = await secret_of(view)
    assert second != first
    await expect(view.row("shop")).to_have_count(2)
    await expect(view.row("being replaced")).to_have_count(1)

    await view.row("being replaced").get_by_role("button", name="Revoke").click()
    await expect(page.get_by_role("dialog")).to_contain_text("can't be taken back")
    await page.get_by_role("dialog").get_by_label("Why?").fill("it was in a log\nof ours")
    await page.get_by_role("dialog").get_by_role("button", name="Revoke it").click()
    await expect(view.row("shop")).to_have_count(1)
    await page.get_by_role("group", name="Which keys").get_by_role("button", name="over").click()
    await expect(view.row("shop")).to_contain_text("revoked")
    for key, status in ((first, 401), (second, 200)):
        looked = await view.shop.http.get("/v1/sagas", headers={"Authorization": f"Bearer {key}"})
        assert looked.status_code == status

    await menu(view, "Audit").click()
    await expect(view.row("it was in a log of ours")).to_contain_text("keys: end")


async def test_a_name_that_no_key_may_have_is_refused_at_the_field(view: View) -> None:
    page = view.page
    await come_in(view, "access", "ada", Role.ADMIN)
    await page.get_by_role("button", name="Make a key").click()
    field = page.get_by_role("dialog").get_by_label("Whose is it?")
    await field.fill("<b>nobody</b>")
    await page.keyboard.press("Enter")
    assert not await field.evaluate("field => field.checkValidity()")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    assert len(await view.shop.app.access.keys.list()) == 1


async def test_who_is_no_admin_is_not_led_there_and_is_told_why(view: View) -> None:
    page = view.page
    await come_in(view, "access", "olga", Role.OPERATOR)
    await expect(menu(view, "Sagas")).to_be_visible()
    await expect(menu(view, "Access")).to_have_count(0)
    await expect(menu(view, "Audit")).to_have_count(0)
    await expect(page.get_by_role("alert")).to_contain_text("for the role admin")
    await expect(page.get_by_role("button", name="Make a key")).to_have_count(0)
    await view.open("audit")
    await expect(page.get_by_role("alert")).to_contain_text("for the role admin")


async def changed(view: View, admin: str) -> str:
    """A saga that was paused and resumed, with somebody's word why; its id."""
    await view.shop.app.definitions.register(lonely, by="test")
    headers = {"Authorization": f"Bearer {admin}"}
    async with httpx2.AsyncClient(base_url=view.shop.url, headers=headers, timeout=30.0) as ada:
        saga_id = str((await ada.post("/v1/sagas", json={"definition": "lonely"})).json()["id"])
        await ada.post(f"/v1/sagas/{saga_id}/pause", json={"reason": "<img src=x onerror=alert(1)> wait", "by": "bob"})
        await ada.post(f"/v1/sagas/{saga_id}/resume", json={"reason": "go on"})
        await ada.post(f"/v1/sagas/{saga_id}/close", json={"reason": "too early"})
    kept = view.shop.app.stores.audit

    async def written() -> bool:
        return len((await kept.page()).items) == 4

    await eventually(written, "the entries")
    return saga_id


async def test_the_audit_is_filtered_and_shows_what_was_before_and_after(view: View) -> None:
    page = view.page
    admin = await come_in(view, "audit", "ada", Role.ADMIN)
    await expect(page.get_by_text("Nobody has changed anything yet.")).to_be_visible()
    saga_id = await changed(view, admin)
    rows = page.get_by_role("table", name="Audit").locator("tbody tr")
    await expect(rows).to_have_count(4)
    await expect(view.row("sagas: close")).to_contain_text("verb refused")

    await page.get_by_label("Add a filter").select_option("under")
    await (
        page.get_by_role("textbox", name="subject")
        .or_(page.get_by_role("combobox", name="subject"))
        .fill(f"/v1/sagas/{saga_id}/pause")
    )
    await page.get_by_role("button", name="Set").click()
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("for bob")
    await rows.get_by_role("link").click()

    facts = page.get_by_role("table", name="Before and after").locator("tbody tr")
    paused = facts.filter(has_text="paused")
    await expect(paused).to_contain_text("no")
    await expect(paused).to_contain_text("yes")
    await expect(paused).to_contain_text("changed")
    await expect(facts.filter(has_text="status")).not_to_contain_text("changed")
    await expect(page.locator(".letter-facts")).to_contain_text("<img src=x onerror=alert(1)> wait")
    await expect(page.get_by_role("link", name=f"/v1/sagas/{saga_id}/pause")).to_have_attribute(
        "href", f"/sagas/{saga_id}"
    )
    await page.get_by_role("link", name="everything about it").click()
    await expect(rows).to_have_count(3)
    await page.get_by_role("button", name="Take away the filter subject").click()
    await expect(rows).to_have_count(4)


async def test_the_audit_is_walked_by_keys_and_fits_on_a_phone(view: View) -> None:
    page = view.page
    admin = await come_in(view, "audit", "ada", Role.ADMIN)
    await changed(view, admin)
    await view.open("audit?who=nobody")
    await expect(page.get_by_text("No entry matches.")).to_be_visible()
    await page.get_by_role("button", name="Take the filters away").click()
    await expect(page.get_by_role("table", name="Audit").locator("tbody tr")).to_have_count(4)
    await page.keyboard.press("j")
    await expect(view.row("sagas: close").get_by_role("link")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator(".letter-why")).to_contain_text("verb-refused")
    await expect(page.get_by_role("table", name="Before and after")).to_be_visible()

    await page.set_viewport_size({"width": 360, "height": 700})
    for path in (page.url.removeprefix(f"{view.shop.url}/"), "audit", "access"):
        await view.open(path)
        await expect(page.locator("main table")).to_be_visible()
        wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, path
    await view.open("audit/none")
    await expect(page.get_by_text("There is no such entry.")).to_be_visible()


async def test_a_viewer_is_offered_nothing_that_is_not_theirs_on_any_page(view: View) -> None:
    page = view.page
    await view.shop.http.post("/v1/pauses", json={"scope": "participant", "name": "payment", "reason": "r"})
    await view.shop.http.post("/v1/notifications/subscriptions", json={"target": "log"})
    saga_id = await view.shop.order()
    pages = {
        "sagas": saga_id[:13],
        "definitions": "place_order_impatient",
        "definitions/place_order_impatient": "The whole definition",
        "participants": "payment",
        "participants/payment": "Workers",
        "notifications": "the coordinator's log",
        "dead-letters": "No letter is dead.",
    }
    offered = re.compile(
        "^(Pause|Resume|Slow down|Full speed|Register|Start|Subscribe|End|Send again|Discard|Tell again|Make a key)"
    )
    await come_in(view, "", "vera", Role.VIEWER)
    for path, there in pages.items():
        await view.open(path)
        await expect(page.locator(".who")).to_contain_text("vera")
        await expect(page.get_by_text(there).first).to_be_visible()
        await expect(page.get_by_role("button", name=offered)).to_have_count(0)
    await view.open("sagas")
    await expect(page.get_by_role("checkbox")).to_have_count(0)

    await come_in(view, "participants", "olga", Role.OPERATOR)
    await expect(page.get_by_role("button", name="Pause inventory")).to_be_visible()
    await view.open("notifications")
    await expect(page.get_by_role("table", name="Subscriptions")).to_contain_text("the coordinator's log")
    await expect(page.get_by_role("button", name="Subscribe")).to_have_count(0)
