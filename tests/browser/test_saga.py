"""A saga's page: what went wrong first, both ways of its graph, its attempts along time, what may be asked of it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from playwright.async_api import Browser, Locator, Page, Route, expect

from tests.browser.conftest import View, viewing
from tests.browser.shop import Shop, lamp

pytestmark = pytest.mark.asyncio(loop_scope="session")

soon_milliseconds = 2_000  # what happens is to be seen within this
stuck = {"assign-courier": "fail", "refund": "refuse"}  # the courier can't be had, and the money can't be given back
mute = {"notify-customer": "refuse"}  # past the pivot, and it must happen


async def _hold(shop: Shop) -> None:
    """From now on sagas start and nothing is sent."""
    await shop.http.post("/v1/pauses", json={"scope": "all", "reason": "the test looks at what stands still"})


async def _seen(view: View, saga_id: str, status: str) -> Page:
    """The saga's page, once the saga has come so far."""
    await view.shop.until(saga_id, status)
    return await view.open(f"sagas/{saga_id}")


def _story(page: Page) -> Locator:
    return page.get_by_role("region", name="What happened")


def _line(page: Page, name: str) -> Locator:
    return _story(page).locator("dl > div").filter(has=page.get_by_text(name, exact=True)).locator("dd")


def _box(page: Page, step: str) -> Locator:
    return page.get_by_role("group", name="Steps of the saga").get_by_role("button", name=step)


async def _ask(page: Page, verb: str, reason: str = "", **fields: str) -> Locator:
    """Press a verb and state what it asks for. The dialog, asked."""
    await page.get_by_role("group", name="What may be asked now").get_by_role("button", name=verb).click()
    dialog = page.get_by_role("dialog")
    for label, value in fields.items():
        field = dialog.get_by_label(label.replace("_", " "))
        await (field.select_option(value) if value in ("done", "undone") else field.fill(value))
    if reason:
        await dialog.get_by_label("Why?").fill(reason)
    await dialog.locator("button[type=submit]").click()
    return dialog


# --- what is shown ----------------------------------------------------------------------------------------------------


async def test_a_completed_saga_says_so_and_what_it_took(view: View) -> None:
    page = await _seen(view, await view.shop.order({"reserve-stock": "fail_once"}, business_key="order-1"), "completed")

    await expect(page.get_by_role("heading", name="order-1")).to_be_visible()
    await expect(_story(page)).to_contain_text("All 6 steps done")
    await expect(_story(page)).to_contain_text("1 of them not at the first attempt (7 in all)")
    await expect(page.get_by_role("group", name="What may be asked now")).to_have_count(0)
    await expect(page.locator(".forward-line")).to_have_count(6)
    await expect(page.locator(".backward-line")).to_have_count(0)
    await expect(_box(page, "reserve-stock")).to_contain_text("2×")
    await expect(page.get_by_role("link", name="in Jaeger")).to_have_attribute(
        "href", f"http://jaeger.example:16686/trace/{await _trace_of(view, 'order-1')}"
    )


async def _trace_of(view: View, business_key: str) -> str:
    found = (await view.shop.http.get("/v1/sagas", params={"business_key": business_key})).json()["items"][0]["id"]
    return str((await view.shop.http.get(f"/v1/sagas/{found}")).json()["trace_id"])


async def test_a_compensated_saga_says_what_failed_and_shows_both_ways(view: View) -> None:
    page = await _seen(view, await view.shop.order({"assign-courier": "fail"}), "compensated")

    await expect(_story(page)).to_contain_text("It turned, and every effect was undone")
    await expect(_line(page, "Failed")).to_contain_text("assign-courier failed after 3 attempts: SimulatedFailure")
    await expect(_line(page, "Undone")).to_have_text("create-order, reserve-stock, charge-card")
    await expect(page.locator(".backward-line")).to_have_count(4)
    await expect(page.locator(".bar.compensation")).to_have_count(3)
    await expect(page.locator(".bar.action.bad")).to_have_count(3)
    await expect(page.get_by_role("list", name="What happened meanwhile")).to_contain_text("turned")
    panel = page.get_by_role("region", name="Step assign-courier")  # what failed is looked at first
    await expect(panel.get_by_role("listitem").filter(has_text="Attempt 3")).to_contain_text("SimulatedFailure")
    await expect(panel).to_contain_text("participants.delivery:build.assign")
    await expect(page.get_by_role("complementary", name="Evidence")).to_be_visible(timeout=30_000)
    await expect(_line(page, "Why")).to_contain_text("evidence")


async def test_a_blocked_saga_says_what_is_left_and_whom_it_waits_for(view: View) -> None:
    page = await _seen(view, await view.shop.order(stuck), "blocked")

    await expect(_story(page)).to_contain_text("It needs a person: the compensation of charge-card gave up.")
    await expect(_line(page, "Not undone yet")).to_contain_text("charge-card")
    await expect(_line(page, "Waits for")).to_contain_text("a person must decide about charge-card")
    names = await page.get_by_role("group", name="What may be asked now").get_by_role("button").all_inner_texts()
    assert names == [
        "Retry charge-card", "Settle charge-card", "Waive charge-card", "Pause the saga", "Close the saga",
    ]  # fmt: skip
    await expect(page.get_by_role("region", name="Step charge-card")).to_contain_text("its compensation gave up")


async def test_a_running_saga_is_followed_to_its_end(view: View) -> None:
    saga_id = await view.shop.order({"assign-courier": "slow"})
    page = await view.open(f"sagas/{saga_id}")
    await view.live()
    await expect(_line(page, "Waits for")).to_contain_text("a reply of delivery, at assign-courier")
    await expect(page.locator(".bar.open")).to_have_count(1)

    await view.shop.until(saga_id, "completed")

    await expect(_story(page)).to_contain_text("All 6 steps done", timeout=soon_milliseconds)
    await expect(page.locator(".bar.open")).to_have_count(0)
    await expect(_box(page, "notify-customer")).to_contain_text("succeeded")
    await expect(page.locator(".history")).to_contain_text("notify-customer: dispatched -> succeeded")


async def test_a_saga_that_is_not_there_says_so(view: View) -> None:
    page = await view.open("sagas/01a1fefc-467b-743a-be53-672d0b2c1561")
    await expect(page.get_by_text("There is no such saga.")).to_be_visible()


async def test_payloads_are_read_when_they_are_opened_and_exact_to_the_digit(view: View) -> None:
    add = {"name": "add", "participant": "nobody", "action": "add", "compensation": "subtract"}
    await _define(view.shop, {"name": "sum", "steps": [add]})
    saga_id = await _begin(view.shop, "sum", '{"amount": 9007199254740993, "rate": 0.1}')
    asked: list[str] = []
    view.page.on("request", lambda request: asked.append(request.url))
    page = await view.open(f"sagas/{saga_id}")
    await expect(_box(page, "add")).to_be_visible()
    assert not [url for url in asked if "/input" in url]

    await page.get_by_text("Input", exact=True).click()

    await expect(page.locator(".step-panel .json")).to_contain_text("9007199254740993")
    await expect(page.locator(".step-panel .json")).to_contain_text("rate: 0.1")
    assert [url for url in asked if "/steps/add/input" in url]


async def test_the_history_is_searched_and_read_to_the_last_fact(view: View) -> None:
    page = await _seen(view, await view.shop.order(), "completed")
    entries = page.locator(".entry")
    await expect(entries).to_have_count(7)

    await page.get_by_label("Filter the history").fill("courier:")
    await expect(page.locator(".history-head")).to_contain_text("of 7 entries")
    await page.get_by_label("Filter the history").fill("charge_id")
    await entries.first.get_by_text("facts").click()

    await expect(entries.first).to_contain_text("amount_cents")
    await page.get_by_label("Filter the history").fill("no such word")
    await expect(page.get_by_text("No entry says that.")).to_be_visible()


async def test_who_points_at_a_claim_sees_what_it_rests_on(view: View) -> None:
    page = await _seen(view, await view.shop.order({"charge-card": "refuse"}), "compensated")
    evidence = page.get_by_role("complementary", name="Evidence")
    await expect(evidence).to_be_visible(timeout=30_000)
    claim = page.locator(".claims > li").first
    cited = await claim.locator(".cite").all_inner_texts()

    await claim.focus()

    await expect(evidence.locator("li.lit .cite")).to_have_text(cited)
    await evidence.locator("li").nth(0).hover()
    await expect(evidence.locator("li.lit")).to_have_count(1)
    await expect(page.locator(".diagnosis-says .lit").first).to_be_visible()


# --- what may be asked ------------------------------------------------------------------------------------------------


async def _define(shop: Shop, document: dict[str, Any]) -> None:
    assert (await shop.http.post("/v1/definitions", json=document)).status_code == 201


async def _begin(shop: Shop, definition: str, stated: str) -> str:
    body = f'{{"definition": {json.dumps(definition)}, "input": {stated}}}'
    response = await shop.http.post("/v1/sagas", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


async def _saga(view: View, saga_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await view.shop.http.get(f"/v1/sagas/{saga_id}")).json()
    return found


async def test_a_saga_is_paused_resumed_and_cancelled(view: View) -> None:
    await _hold(view.shop)
    saga_id = await view.shop.order()
    page = await view.open(f"sagas/{saga_id}")

    await _ask(page, "Pause", "the card network is being mended")
    await expect(_line(page, "Paused")).to_contain_text("the card network is being mended")
    await _ask(page, "Resume")
    await expect(_line(page, "Paused")).to_have_count(0)
    await _ask(page, "Cancel", "the customer thought better of it")

    await expect(_line(page, "Turned")).to_contain_text("the customer thought better of it")
    assert (await _saga(view, saga_id))["status"] == "compensated"


async def test_what_overrides_the_saga_wants_a_reason_and_keeps_who_asked(view: View) -> None:
    saga_id = await view.shop.order(stuck)
    page = await _seen(view, saga_id, "blocked")

    dialog = await _ask(page, "Close the saga")
    await expect(dialog).to_be_visible()  # nothing was sent: the reason is missing
    assert (await _saga(view, saga_id))["status"] == "blocked"
    await dialog.get_by_label("Why?").fill("refunded by hand, ticket 7")
    await dialog.get_by_label("Who are you?").fill("ada")
    await dialog.locator("button[type=submit]").click()

    await expect(_line(page, "Left")).to_contain_text("charge-card")
    await expect(page.locator(".history")).to_contain_text("refunded by hand, ticket 7")
    await expect(page.locator(".history")).to_contain_text("by ada")
    assert (await _saga(view, saga_id))["status"] == "closed"


async def test_a_blocked_compensation_is_retried_and_settled(view: View) -> None:
    saga_id = await view.shop.order(stuck)
    page = await _seen(view, saga_id, "blocked")

    await _ask(page, "Retry charge-card")
    await expect(page.get_by_role("region", name="Step charge-card")).to_contain_text("3 attempts")
    await view.shop.until(saga_id, "blocked")
    await _ask(page, "Settle charge-card", "paid back at the bank", It_is="undone")

    await view.shop.until(saga_id, "compensated")
    await expect(_line(page, "Undone")).to_contain_text("charge-card", timeout=soon_milliseconds)
    await expect(page.locator(".history")).to_contain_text("paid back at the bank")


async def test_a_blocked_step_is_waived(view: View) -> None:
    saga_id = await view.shop.order(stuck)
    page = await _seen(view, saga_id, "blocked")

    await _ask(page, "Waive charge-card", "too little to bother")

    await view.shop.until(saga_id, "closed")
    await expect(_story(page)).to_contain_text("It was closed with effects left behind", timeout=soon_milliseconds)
    await expect(_box(page, "charge-card")).to_contain_text("waived")


async def test_a_refused_verb_says_why_where_it_was_asked(view: View) -> None:
    saga_id = await view.shop.order(mute)
    page = await _seen(view, saga_id, "blocked")

    dialog = await _ask(page, "Settle notify-customer", "no", It_is="undone")

    await expect(dialog.get_by_role("alert")).to_contain_text("lies after the pivot and can't be left undone")
    await dialog.get_by_label("It is").select_option("done")
    await dialog.get_by_label("What it gave").fill("not JSON")
    await dialog.locator("button[type=submit]").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("That is not JSON")
    await dialog.get_by_label("What it gave").fill('{"sent_by": "hand", "number": 9007199254740993}')
    await dialog.locator("button[type=submit]").click()

    await view.shop.until(saga_id, "completed")
    result = await view.shop.http.get(f"/v1/sagas/{saga_id}/steps/notify-customer/result")
    assert "9007199254740993" in result.json()["text"]


async def test_a_step_is_tried_again_with_another_input_as_it_was_typed(view: View) -> None:
    saga_id = await view.shop.order(mute)
    page = await _seen(view, saga_id, "blocked")
    await page.get_by_role("group", name="What may be asked now").get_by_role("button", name="another input").click()
    dialog = page.get_by_role("dialog")
    typed = await dialog.get_by_label("Input, as JSON").input_value()
    assert json.loads(typed)["simulate"] == mute

    await dialog.get_by_label("Input, as JSON").fill(typed.replace("refuse", "slow"))
    await dialog.get_by_label("Why?").fill("the other channel works")
    await dialog.locator("button[type=submit]").click()

    await view.shop.until(saga_id, "completed")
    await expect(_story(page)).to_contain_text("All 6 steps done", timeout=soon_milliseconds)


async def test_a_step_is_skipped_from_its_panel(view: View) -> None:
    saga_id = await view.shop.order(mute)
    page = await _seen(view, saga_id, "blocked")
    verbs = page.get_by_role("group", name="What may be asked of notify-customer")
    await expect(verbs.get_by_role("button")).to_have_text(
        ["Retry", "Settle", "Waive", "Skip", "Retry with another input"]
    )

    await verbs.get_by_role("button", name="Skip").click()
    await page.get_by_role("dialog").get_by_label("Why?").fill("told by telephone")
    await page.get_by_role("dialog").locator("button[type=submit]").click()

    await view.shop.until(saga_id, "completed")
    await expect(_box(page, "notify-customer")).to_contain_text("skipped", timeout=soon_milliseconds)


# --- by keyboard, on a phone ------------------------------------------------------------------------------------------


async def test_steps_are_walked_chosen_and_settled_by_keys_alone(view: View) -> None:
    saga_id = await view.shop.order(stuck)
    page = await _seen(view, saga_id, "blocked")
    await expect(page.get_by_role("region", name="Step charge-card")).to_be_visible()

    await _box(page, "create-order").focus()
    await page.keyboard.press("ArrowRight")
    await expect(_box(page, "reserve-stock")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("region", name="Step reserve-stock")).to_be_visible()
    await expect(page).to_have_url(f"{view.shop.url}/sagas/{saga_id}?step=reserve-stock")
    await page.get_by_role("button", name="Waive charge-card").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Why?")).to_be_visible()
    await page.keyboard.press("Tab")  # wherever the dialog began, the fields are reached
    await page.get_by_label("Why?").focus()
    await page.keyboard.type("no more")
    for _ in range(3):  # who; leave it; waive it
        await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")

    await view.shop.until(saga_id, "closed")


async def test_on_a_phone_nothing_runs_out_of_the_page(browser: Browser, shop: Shop) -> None:
    ids = [await shop.order(stuck, input={**lamp, "address": "x" * 400}), await shop.order({"charge-card": "refuse"})]
    await shop.until(ids[0], "blocked")
    await shop.until(ids[1], "compensated")
    for theme in ("light", "dark"):
        view = await viewing(browser, shop, color_scheme=theme)
        await view.page.set_viewport_size({"width": 360, "height": 740})
        for saga_id in ids:
            page = await view.open(f"sagas/{saga_id}")
            await expect(page.locator(".waterfall")).to_be_visible()
            await expect(page.get_by_role("complementary", name="Evidence")).to_be_visible(timeout=30_000)
            await page.get_by_text("Input", exact=True).click()
            await expect(page.locator(".json").first).to_be_visible()
            assert await page.evaluate("document.documentElement.scrollWidth") == 360
        await view.context.close()
        assert view.faults == []


async def test_on_a_phone_the_words_of_the_last_tick_stay_in_the_page(browser: Browser, shop: Shop) -> None:
    """Where the ticks fall depends on how long the saga took: an hour and a half puts "+1 h 20 m" close to the end."""
    saga_id = await shop.order({})
    await shop.until(saga_id, "completed")
    view = await viewing(browser, shop)
    await view.page.set_viewport_size({"width": 360, "height": 740})

    async def stretched(route: Route) -> None:
        answer = await route.fetch()
        timeline = await answer.json()
        timeline["attempts"][-1]["ended_at"] = later(timeline["created_at"], minutes=85.5)
        await route.fulfill(response=answer, json=timeline)

    await view.page.route("**/timeline", stretched)
    page = await view.open(f"sagas/{saga_id}")

    await expect(page.locator(".fall-tick", has_text="+1 h")).not_to_have_count(0)
    assert await page.evaluate("document.documentElement.scrollWidth") == 360
    await view.context.close()
    assert view.faults == []


def later(moment: str, *, minutes: float) -> str:
    return (datetime.fromisoformat(moment) + timedelta(minutes=minutes)).isoformat()
