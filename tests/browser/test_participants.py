"""The participants, as those who operate them use the page: who is there, and holding back what is sent."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Page, expect

from coordinator.store.values import OutboxRow
from tests.browser.conftest import View
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _pauses(view: View) -> list[dict[str, object]]:
    found: list[dict[str, object]] = (await view.shop.http.get("/v1/pauses")).json()["items"]
    return found


async def _say(page: Page, *, why: str = "", verb: str, **stated: str) -> None:
    """Fill in the dialog that is open, and confirm it."""
    dialog = page.get_by_role("dialog")
    for label, text in stated.items():
        await dialog.get_by_label(re.compile(label.replace("_", " "))).fill(text)
    if why:
        await dialog.get_by_label("Why?").fill(why)
    await dialog.get_by_role("button", name=verb, exact=True).click()
    await expect(dialog).to_have_count(0)


async def test_who_is_there_is_seen_with_how_it_has_done(view: View) -> None:
    await view.shop.until(await view.shop.order({"assign-courier": "fail"}), "compensated")
    page = await view.open("participants")

    await expect(view.row("delivery")).to_contain_text("live")
    await expect(view.row("delivery")).to_contain_text("1.0.0")
    await expect(view.row("delivery")).to_contain_text("100 %")
    await expect(view.row("order").get_by_role("img")).to_have_attribute("aria-label", re.compile("0 failed"))
    await expect(page.locator(".page-count")).to_have_text("7 live workers")
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")

    await expect(page).to_have_url(f"{view.shop.url}/participants/delivery")
    await expect(page.locator(".answers")).to_contain_text("recall")
    await expect(page.locator("tbody tr")).to_contain_text("live")
    await expect(page.get_by_role("img", name=re.compile("^Attempts: 3 attempts, 3 failed"))).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page).to_have_url(f"{view.shop.url}/participants")


async def test_a_participant_is_paused_and_resumed_at_a_bounded_rate(view: View) -> None:
    page = await view.open("participants")

    await page.get_by_role("button", name="Pause payment").click()
    await _say(page, why="the provider is down", verb="Pause", For_how_many_minutes="30", Who_are_you="ada")

    await expect(view.row("payment")).to_contain_text("paused")
    banner = page.get_by_role("list", name="Paused now")
    await expect(banner).to_contain_text("payment is paused for")
    await expect(banner).to_contain_text("by ada: the provider is down; ends in")
    saga_id = await view.shop.order()
    await expect(view.row("payment").get_by_role("cell").nth(5)).to_have_text("1")
    await page.get_by_role("button", name="Resume payment").click()
    await _say(
        page, verb="Resume", Why_so_slowly="it is back", Slowly_at_first="50", At_that_rate_for_how_many_minutes="5"
    )

    await expect(view.row("payment")).to_contain_text("50 a second")
    (throttle,) = await _pauses(view)
    assert (throttle["rate_per_second"], throttle["reason"], throttle["by"]) == (50, "it is back", "ada")
    assert throttle["ends_at"]
    await view.shop.until(saga_id, "completed")
    await page.get_by_role("button", name="Full speed payment").click()
    await _say(page, verb="Full speed")
    await expect(view.row("payment")).to_contain_text("live")
    assert await _pauses(view) == []


async def test_a_participant_is_slowed_down_and_everything_is_paused(view: View) -> None:
    page = await view.open("participants/inventory")

    await page.get_by_role("button", name="Slow down inventory").click()
    await _say(page, why="it is on its knees", verb="Slow down", Commands_a_second="2")

    await expect(page.locator("h1 + .states")).to_contain_text("2 a second")
    await page.locator("nav").get_by_role("link", name="Participants").click()
    await page.get_by_role("button", name="Pause everything").click()
    await _say(page, why="the house moves", verb="Pause")
    await expect(view.row("order")).to_contain_text("all paused")
    await page.get_by_role("button", name="Resume everything").click()
    await _say(page, verb="Resume")

    await expect(view.row("order")).to_contain_text("live")
    assert [pause["name"] for pause in await _pauses(view)] == ["inventory"]


async def test_what_is_refused_is_said_in_the_dialog_and_nothing_is_lost_of_it(view: View) -> None:
    page = await view.open("participants")
    await page.get_by_role("button", name="Pause http").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Why?").fill("a reason")

    await view.context.set_offline(True)
    await dialog.get_by_role("button", name="Pause").click()

    await expect(dialog.get_by_role("alert")).to_contain_text("can't be reached")
    await view.context.set_offline(False)
    await dialog.get_by_role("button", name="Pause").click()
    await expect(view.row("http")).to_contain_text("paused")


async def test_a_participant_nobody_runs_is_marked_and_one_nobody_knows_is_explained(view: View) -> None:
    document = {
        "name": "lonely",
        "steps": [{"name": "wait", "participant": "nobody-home", "action": "answer", "kind": "pivot"}],
    }
    await view.shop.http.post("/v1/definitions", json=document)
    await view.shop.http.post("/v1/sagas", json={"definition": "lonely"})
    page = await view.open("participants")

    await expect(view.row("nobody-home")).to_contain_text("nobody there")
    await view.row("nobody-home").get_by_role("link").click()
    await expect(page.get_by_text("What is sent to nobody-home waits until one is there.")).to_be_visible()
    await view.open("participants/never-heard-of")
    await expect(page.get_by_text("Nobody was ever heard of by this name.")).to_be_visible()


async def test_a_command_that_cannot_be_sent_is_shown_with_why_and_tried_again(view: View) -> None:
    await view.shop.http.post("/v1/pauses", json={"scope": "participant", "name": "order", "reason": "to hold it"})
    await view.shop.order()

    outbox, now = view.shop.app.stores.outbox, datetime.now(UTC)

    async def taken() -> list[OutboxRow]:
        return await outbox.claim("me", now=now, lease_until=now + timedelta(minutes=1), limit=10)

    (row,) = await eventually(taken, "the command")
    await outbox.park({row.id: "the_broker_refused_it"}, "me")
    page = await view.open("participants/order")
    parked = page.get_by_role("row").filter(has_text="the broker refused it")
    await parked.get_by_role("button", name="Send again").click()
    await _say(page, verb="Send again")

    await expect(page.get_by_text("The relay tries it again.")).to_be_visible()
    await expect(parked).to_have_count(0)
