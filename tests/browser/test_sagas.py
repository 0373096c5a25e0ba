"""The overview and the sagas, as a person uses them: what is wrong first, filters that stay, rows that don't jump."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from tests.browser.conftest import View

pytestmark = pytest.mark.asyncio(loop_scope="session")

soon_milliseconds = 2_000  # what happens is to be seen within this
stuck = {"assign-courier": "fail", "refund": "refuse"}  # the courier can't be had, and the money can't be given back


async def _hold(view: View) -> None:
    """From now on sagas start and nothing is sent."""
    await view.shop.http.post("/v1/pauses", json={"scope": "all", "reason": "the test looks at what stands still"})


async def test_the_overview_says_what_is_wrong_and_leads_to_it(view: View) -> None:
    await view.shop.until(await view.shop.order(business_key="fine"), "completed")
    await view.shop.until(await view.shop.order(stuck, business_key="stuck"), "blocked")
    page = await view.open()

    wrong = page.locator(".wrongs")
    await expect(wrong).to_contain_text("1 saga blocked")
    await expect(page.locator(".figure", has_text="completed")).to_contain_text("1")
    await expect(page.locator("nav a", has_text="Sagas")).to_contain_text("1")
    await wrong.get_by_role("link", name="1 saga blocked").click()

    await expect(page).to_have_url(f"{view.shop.url}/sagas?status=blocked")
    await expect(view.row("stuck")).to_contain_text("waits for a person")
    await expect(view.row("fine")).to_have_count(0)


async def test_an_empty_coordinator_says_what_to_do(view: View) -> None:
    page = await view.open()
    await expect(page.get_by_text("Nothing has been started yet.")).to_be_visible()
    await expect(page.get_by_text("Nothing is wrong")).to_be_visible()

    await page.get_by_role("link", name="Sagas").click()

    await expect(page.locator("pre")).to_contain_text("/v1/sagas")


async def test_the_overview_moves_by_itself(view: View) -> None:
    page = await view.open()
    await view.live()
    await expect(page.get_by_text("Nothing has been started yet.")).to_be_visible()

    await view.shop.until(await view.shop.order(), "completed")

    await expect(page.locator(".figure", has_text="completed")).to_contain_text("1", timeout=2 * soon_milliseconds)


async def test_a_saga_is_seen_when_it_starts_and_followed_to_its_end(view: View) -> None:
    page = await view.open("sagas")
    await view.live()
    await expect(page.get_by_text("No saga has been started yet.")).to_be_visible()

    await view.shop.order({"assign-courier": "slow"}, business_key="order-1")

    await expect(view.row("order-1")).to_contain_text("running", timeout=soon_milliseconds)
    await expect(view.row("order-1")).to_contain_text("waits for a reply of delivery")
    await expect(view.row("order-1")).to_contain_text("completed")


async def test_filters_stand_in_the_address_and_survive_a_reload(view: View) -> None:
    await view.shop.until(await view.shop.order(stuck, business_key="stuck"), "blocked")
    await view.shop.until(await view.shop.order({"charge-card": "refuse"}, business_key="refused"), "compensated")
    page = await view.open("sagas")

    await page.get_by_role("button", name="blocked").click()
    await page.get_by_role("button", name="compensated").click()
    await page.get_by_label("Add a filter").select_option("failed at step")
    await expect(page.locator("input:focus")).to_have_count(1)
    await page.keyboard.type("charge-card")
    await page.keyboard.press("Enter")

    await expect(page).to_have_url(re.compile(r"\?status=blocked%2Ccompensated&failed_step=charge-card$"))
    await expect(view.row("refused")).to_be_visible()
    await expect(view.row("stuck")).to_have_count(0)
    await expect(page.locator(".page-count")).to_have_text("1 saga match")
    await page.reload()
    await expect(page.get_by_role("button", name="blocked")).to_have_attribute("aria-pressed", "true")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await page.get_by_role("button", name="Take away the filter failed at step").click()
    await expect(page.locator("tbody tr")).to_have_count(2)
    await page.go_back()
    await expect(page.locator("tbody tr")).to_have_count(1)
    await page.get_by_role("button", name="failed at step charge-card").click()
    await page.keyboard.press("Control+a")
    await page.keyboard.type("nowhere")
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="Take all filters away").click()
    await expect(page).to_have_url(f"{view.shop.url}/sagas")


async def test_a_filter_that_the_coordinator_refuses_is_explained_where_it_was_set(view: View) -> None:
    page = await view.open("sagas?created_from=yesterday")

    await expect(page.get_by_role("alert").first).to_contain_text("created_from")
    await page.get_by_role("button", name="Take away the filter started after").click()
    await expect(page.get_by_role("alert")).to_have_count(0)


async def test_search_finds_by_business_key_and_goes_straight_to_an_id(view: View) -> None:
    saga_id = await view.shop.order(business_key="order-4711")
    await view.shop.order(business_key="other")
    page = await view.open()

    await page.keyboard.press("/")
    await page.keyboard.type("order-47")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"{view.shop.url}/sagas?q=order-47")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await expect(view.row("order-4711")).to_be_visible()
    await page.keyboard.press("/")
    await page.keyboard.press("Control+a")
    await page.keyboard.type(saga_id)
    await page.keyboard.press("Enter")

    await expect(page).to_have_url(f"{view.shop.url}/sagas/{saga_id}")


async def test_rows_do_not_move_under_the_pointer(view: View) -> None:
    await _hold(view)
    for number in range(3):
        await view.shop.order(business_key=f"before-{number}")
    page = await view.open("sagas")
    await view.live()
    await expect(page.locator("tbody tr")).to_have_count(3)
    await view.row("before-1").hover()

    await view.shop.order(business_key="after")

    pill = page.get_by_role("button", name="1 new")
    await expect(pill).to_be_visible(timeout=soon_milliseconds)
    await expect(page.locator("tbody tr")).to_have_count(3)
    await view.shop.http.post(f"/v1/sagas/{await _id_of(view, 'before-2')}/cancel", json={"reason": "r"})
    await expect(view.row("before-2")).to_contain_text("compensated", timeout=soon_milliseconds)
    await pill.click()
    await expect(page.locator("tbody tr").first).to_contain_text("after")


async def _id_of(view: View, business_key: str) -> str:
    found = (await view.shop.http.get("/v1/sagas", params={"business_key": business_key})).json()
    return str(found["items"][0]["id"])


async def test_pages_go_by_key_and_back(view: View) -> None:
    await _hold(view)
    for number in range(53):
        await view.shop.order(business_key=f"order-{number:02}")
    page = await view.open("sagas")
    await expect(page.locator("tbody tr")).to_have_count(50)
    await expect(page.locator(".page-count")).to_have_text("53 sagas")

    await page.get_by_role("button", name="Older").click()

    await expect(page.locator("tbody tr")).to_have_count(3)
    await expect(view.row("order-00")).to_be_visible()
    await expect(page.get_by_role("button", name="Older")).to_be_disabled()
    await page.reload()
    await expect(page.locator("tbody tr")).to_have_count(3)
    await page.get_by_role("button", name="Newest").click()
    await expect(view.row("order-52")).to_be_visible()


async def test_a_list_is_walked_and_left_by_keys_alone(view: View) -> None:
    await _hold(view)
    ids = [await view.shop.order(business_key=f"order-{number}") for number in range(3)]
    page = await view.open("sagas?definition=place_order_impatient")
    await expect(page.locator("tbody tr")).to_have_count(3)

    for key in "jjjk":  # down to the last, which is the oldest, and one up
        await page.keyboard.press(key)
    await expect(view.row("order-1").get_by_role("link")).to_be_focused()
    await page.keyboard.press("x")
    await expect(page.get_by_role("region", name="What is chosen")).to_contain_text("1 saga chosen")
    await page.keyboard.press("x")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"{view.shop.url}/sagas/{ids[1]}")
    await page.keyboard.press("Escape")

    await expect(page).to_have_url(f"{view.shop.url}/sagas?definition=place_order_impatient")


async def test_a_click_anywhere_in_a_row_opens_it_and_its_link_is_a_real_one(view: View) -> None:
    saga_id = await view.shop.order(business_key="order-1")
    page = await view.open("sagas")

    await expect(view.row("order-1").get_by_role("link")).to_have_attribute("href", f"/sagas/{saga_id}")
    async with view.context.expect_page() as opened:
        await view.row("order-1").get_by_role("link").click(modifiers=["Control"])
    await expect(await opened.value).to_have_url(f"{view.shop.url}/sagas/{saga_id}")
    await view.row("order-1").get_by_role("cell", name="place_order_impatient").click()

    await expect(page).to_have_url(f"{view.shop.url}/sagas/{saga_id}")


async def test_all_that_match_are_asked_for_the_same_after_a_look_at_what_would_come_of_it(view: View) -> None:
    await _hold(view)
    for number in range(52):
        await view.shop.order(business_key=f"order-{number:02}", tags=["old"])
    await view.shop.order(business_key="spared")
    page = await view.open("sagas?tag=old")
    await expect(page.locator("tbody tr")).to_have_count(50)

    await page.get_by_label("Choose all rows of this page").check()
    chosen = page.get_by_role("region", name="What is chosen")
    await expect(chosen).to_contain_text("50 sagas chosen")
    await chosen.get_by_role("button", name="Choose all 52 that match").click()
    await chosen.get_by_role("button", name="Cancel").click()
    dialog = page.get_by_role("dialog", name="Cancel: 52 sagas?")
    await expect(dialog.locator(".sample li")).to_have_count(10)
    await dialog.get_by_role("button", name="Cancel 52").click()
    await expect(dialog.get_by_label("Why?")).to_be_focused()  # nothing is overridden without a reason
    await dialog.get_by_label("Why?").fill("the shop is closed")
    await dialog.get_by_label("Who are you?").fill("ann")
    await dialog.get_by_role("button", name="Cancel 52").click()

    done = page.get_by_role("list", name="Under way")
    await expect(done).to_contain_text("Cancel is through: 52 of 52, 52 changed")
    spared = (await view.shop.http.get("/v1/sagas", params={"business_key": "spared"})).json()["items"][0]
    assert spared["status"] == "running"
    one = await _id_of(view, "order-07")
    history = (await view.shop.http.get(f"/v1/sagas/{one}/history")).json()["items"]
    asked = next(line["facts"] for line in history if "reason" in line["facts"])
    assert asked["by"] == "ann"
    assert asked["reason"].startswith("the shop is closed")
    await done.get_by_role("button", name="Put it away").click()
    await expect(done).to_have_count(0)


async def test_what_some_of_the_chosen_would_refuse_is_told_before_and_after(view: View) -> None:
    await view.shop.until(await view.shop.order(business_key="ended"), "completed")
    await _hold(view)
    await view.shop.order(business_key="going")
    page = await view.open("sagas")

    await view.row("ended").get_by_role("checkbox").check()
    await view.row("going").get_by_role("checkbox").click(modifiers=["Shift"])
    await page.get_by_role("button", name="Cancel").click()
    dialog = page.get_by_role("dialog", name="Cancel: 2 sagas?")
    await expect(dialog.locator("li", has_text="going")).to_contain_text("changes")
    await expect(dialog.locator("li", has_text="ended")).to_contain_text("refuses")
    await dialog.get_by_label("Why?").fill("a test")
    await dialog.get_by_role("button", name="Cancel 2").click()

    await expect(page.get_by_role("list", name="Under way")).to_contain_text("1 changed, 1 refused")


async def test_a_step_is_asked_for_where_a_verb_needs_one(view: View) -> None:
    await view.shop.until(await view.shop.order(stuck, business_key="stuck"), "blocked")
    page = await view.open("sagas")

    await view.row("stuck").get_by_role("checkbox").check()
    await page.get_by_role("button", name="Settle a step").click()
    await page.get_by_label("Which step?").fill("charge-card")
    await page.get_by_label("It is").select_option("undone")
    await page.get_by_role("button", name="Look first").click()
    dialog = page.get_by_role("dialog", name="Settle a step: 1 saga?")
    await expect(dialog.locator("li", has_text="stuck")).to_contain_text("changes")
    await dialog.get_by_label("Why?").fill("refunded by hand, receipt 88")
    await dialog.get_by_role("button", name="Settle a step 1").click()

    await expect(view.row("stuck")).to_contain_text("compensated")
