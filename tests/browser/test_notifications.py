"""The notifications, as a person sets them up and looks after them."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from coordinator.notifications import courier
from tests.browser.conftest import View
from tests.notifications.sink import Posted, broken, listening, ok
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_webhook_is_subscribed_its_secret_shown_once_and_told(view: View) -> None:
    view.shop.app.courier.private = True  # the sink is on this machine
    page = await view.open("notifications")
    await expect(page.get_by_text("Nobody is told.")).to_be_visible()
    await expect(page.get_by_text("Nothing was told yet.")).to_be_visible()
    async with listening() as sink:
        await page.get_by_role("button", name="Subscribe").first.click()
        form = page.get_by_role("form", name="Subscribe")
        await form.get_by_role("textbox", name="Address").fill(f"http://127.0.0.1:{sink.port}/told")
        await form.get_by_label("completed").check()
        await form.get_by_label("place_order_impatient").check()
        await form.get_by_role("button", name="Subscribe it").click()

        secret = await page.get_by_role("dialog").locator(".secret code").text_content()
        assert secret is not None
        assert secret.startswith("whsec_")
        await page.keyboard.press("Escape")
        await expect(view.row("webhook")).to_contain_text(f"127.0.0.1:{sink.port}")
        await expect(view.row("webhook")).to_contain_text("completed in place_order_impatient")
        assert secret not in await page.content()
        saga_id = await view.shop.order()
        delivered = page.get_by_role("table", name="Deliveries").locator("tbody tr")
        await expect(delivered).to_have_count(1)
        await expect(delivered).to_contain_text("delivered")

        await delivered.get_by_role("link").click()
        await expect(page.locator(".letter-facts")).to_contain_text(saga_id)
        await expect(page.locator(".json")).to_contain_text("completed")
        await page.get_by_role("button", name="Tell again").click()
        await page.get_by_role("dialog").get_by_role("button", name="Tell again").click()

        async def twice() -> bool:
            return len(sink.posted) == 2

        await eventually(twice, "the second telling")
    assert len({posted.event.id for posted in sink.posted}) == 1


async def test_what_failed_is_shown_with_why_and_told_again(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "attempts_max", 1)
    view.shop.app.courier.private = True
    works = False

    def answer(_: Posted) -> bytes:
        return ok if works else broken

    async with listening(answer) as sink:
        address = f"http://127.0.0.1:{sink.port}/told"
        body = {"target": "webhook", "url": address, "events": ["completed"]}
        await view.shop.http.post("/v1/notifications/subscriptions", json=body)
        page = await view.open("notifications")
        await view.shop.order()
        row = page.get_by_role("table", name="Deliveries").locator("tbody tr")
        await expect(row).to_contain_text("failed")
        await expect(row).to_contain_text("500")
        await expect(view.row("webhook")).to_contain_text("in a row")
        await page.get_by_role("group", name="What became of them").get_by_role("button", name="failed").click()
        await expect(row).to_contain_text("500")
        works = True
        await row.get_by_role("button", name="Tell again").click()
        await page.get_by_role("dialog").get_by_role("button", name="Tell again").click()

        await expect(page.get_by_text("It is told again.")).to_be_visible()
        await page.get_by_role("button", name="all", exact=True).click()
        await expect(row).to_contain_text("delivered")


async def test_an_address_that_is_refused_is_explained_at_the_form(view: View) -> None:
    page = await view.open("notifications")
    await page.get_by_role("button", name="Subscribe").first.click()
    form = page.get_by_role("form", name="Subscribe")
    await expect(form.get_by_label("a webhook")).to_be_focused()

    await form.get_by_role("textbox", name="Address").fill("http://127.0.0.1/told")
    await page.keyboard.press("Enter")

    await expect(form.get_by_role("alert")).to_contain_text("only https")
    await expect(form.get_by_role("textbox", name="Address")).to_have_value("http://127.0.0.1/told")
    await page.keyboard.press("Escape")
    await expect(form).to_have_count(0)


async def test_a_subscription_is_made_and_ended_by_keys_alone(view: View) -> None:
    page = await view.open("notifications")
    await page.get_by_role("button", name="Subscribe").first.focus()
    await page.keyboard.press("Enter")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowDown")
    await expect(page.get_by_role("radio", name="the log")).to_be_checked()
    await page.keyboard.press("Enter")

    await expect(view.row("the coordinator's log")).to_contain_text("everything")
    await page.get_by_role("button", name="End the subscription").focus()
    await page.keyboard.press("Enter")
    await page.get_by_role("dialog").get_by_role("button", name="End it").focus()
    await page.keyboard.press("Enter")

    await expect(page.get_by_text("Nobody is told.")).to_be_visible()
    assert (await view.shop.http.get("/v1/notifications/subscriptions")).json()["items"] == []


async def test_what_was_told_of_another_is_filtered_and_an_unknown_one_explained(view: View) -> None:
    await view.shop.http.post("/v1/notifications/subscriptions", json={"target": "log"})
    page = await view.open("notifications")
    first, second = await view.shop.order(), await view.shop.order()
    await view.shop.until(first, "completed")
    await view.shop.until(second, "completed")
    rows = page.get_by_role("table", name="Deliveries").locator("tbody tr")
    await expect(rows).to_have_count(4)

    await view.open(f"notifications?saga_id={first}&event=started")

    await expect(rows).to_have_count(1)
    await view.open("notifications?status=failed")
    await expect(page.get_by_text("No delivery matches.")).to_be_visible()
    await view.open("notifications/none")
    await expect(page.get_by_text("There is no such notification.")).to_be_visible()
