"""The dead letters, as a person deals with them: by reason, one by one, many at once, and whatever stands in them."""

from __future__ import annotations

import json
import re

import pytest
from playwright.async_api import Page, expect

from amends import Address
from amends.message import Answer, Kind, Reply
from coordinator.store.values import DeadLetterStatus
from tests.browser.conftest import View
from tests.browser.test_frame import hostile
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

nowhere = "01a1fab5-0000-7000-8000-000000000000"  # a saga that never was


async def _letters(view: View, *bodies: bytes, of: str = "payment") -> None:
    """Messages that nobody can read, as dead letters."""
    for body in bodies:
        await view.shop.app.broker.publish(Address("replies", of), body)

    async def kept() -> bool:
        found = (await view.shop.http.get(f"/v1/dead-letters?participant={of}&status=open")).json()["items"]
        return len(found) >= len(bodies)

    await eventually(kept, "the dead letters")


async def _statuses(view: View) -> list[str]:
    return sorted(one["status"] for one in (await view.shop.http.get("/v1/dead-letters")).json()["items"])


async def _say(page: Page, verb: str, why: str = "") -> None:
    dialog = page.get_by_role("dialog")
    if why:
        await dialog.get_by_label("Why?").fill(why)
    await dialog.get_by_role("button", name=verb, exact=True).click()
    await expect(dialog).to_have_count(0)


async def test_no_dead_letter_is_said_and_what_would_be_here(view: View) -> None:
    page = await view.open("dead-letters")

    await expect(page.get_by_text("No letter is dead.")).to_be_visible()
    await page.get_by_role("button", name="discarded").click()
    await expect(page.get_by_text("None was discarded.")).to_be_visible()
    await view.open("dead-letters/nothing")
    await expect(page.get_by_text("There is no such letter.")).to_be_visible()


async def test_letters_are_grouped_by_reason_and_a_group_is_discarded(view: View) -> None:
    await _letters(view, *(b"what is this %d" % number for number in range(3)))
    await _letters(view, b'{"spec": "another"}', of="inventory")
    page = await view.open("dead-letters")
    groups = page.locator(".groups li")
    await expect(groups).to_have_count(2)
    await expect(groups.first).to_contain_text("3")
    await expect(groups.first).to_contain_text("replies of payment")

    await groups.first.get_by_role("button", name="not JSON").click()
    await expect(page.locator("tbody tr")).to_have_count(3)
    await groups.first.get_by_role("button", name="Discard").click()
    await _say(page, "Discard", "noise of a broken probe")

    await expect(page.get_by_role("list", name="Under way")).to_contain_text("3 of 3 done")
    await expect(groups).to_have_count(1)
    assert await _statuses(view) == ["discarded", "discarded", "discarded", "open"]
    await page.get_by_role("button", name="discarded").click()
    await expect(page.locator("tbody tr").first).to_contain_text("noise of a broken probe")


async def test_what_is_chosen_is_sent_again_and_what_is_refused_is_counted_with_why(view: View) -> None:
    saga_id = await view.shop.order()
    await view.shop.until(saga_id, "completed")
    known, unknown = (
        Reply(
            saga_id=saga,
            step="create-order",
            kind=Kind.ACTION,
            attempt=1,
            participant="order",
            answer=Answer.SUCCEEDED,
        )
        for saga in (saga_id, nowhere)
    )
    for reply in (known, unknown):
        await view.shop.app.dead_letters.keep_reply(reply, "it came when nobody listened")
    page = await view.open("dead-letters")
    await expect(page.locator("tbody tr")).to_have_count(2)

    await page.get_by_role("checkbox", name="Choose all rows").check()
    await expect(page.get_by_role("region", name="What is chosen")).to_contain_text("2 letters chosen")
    await page.get_by_role("region", name="What is chosen").get_by_role("button", name="Send again").click()
    await _say(page, "Send again")

    under_way = page.get_by_role("list", name="Under way")
    await expect(under_way).to_contain_text("1 of 2 done, 1 refused")
    await expect(under_way).to_contain_text("no saga")
    await expect(page.locator("tbody tr")).to_have_count(1)
    assert await _statuses(view) == ["open", "redriven"]


async def test_a_letter_is_read_and_discarded_by_keys_alone(view: View) -> None:
    await _letters(view, b"what is this")
    page = await view.open("dead-letters")
    await expect(page.locator("tbody tr")).to_have_count(1)

    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("what is this")).to_be_visible()
    await page.get_by_role("button", name="Discard").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog").get_by_label("Why?")).to_be_focused()
    await page.keyboard.type("nobody sent it")
    await page.keyboard.press("Tab")
    await page.keyboard.type("ada")
    await page.keyboard.press("Enter")

    await expect(page.locator("h1 + .badge")).to_have_text("discarded")
    await expect(page.locator(".letter-facts")).to_contain_text("by ada: nobody sent it")
    await expect(page.get_by_role("button", name="Discard")).to_have_count(0)
    (letter,) = (await view.shop.http.get("/v1/dead-letters")).json()["items"]
    assert letter["status"] == DeadLetterStatus.DISCARDED
    await page.keyboard.press("Escape")
    await expect(page).to_have_url(f"{view.shop.url}/dead-letters")


async def test_a_letter_that_cannot_be_sent_says_so_where_it_was_asked(view: View) -> None:
    await _letters(view, b"what is this")
    page = await view.open("dead-letters")
    await page.locator("tbody tr").get_by_role("link").click()

    await page.get_by_role("button", name="Send again").click()
    await page.get_by_role("dialog").get_by_role("button", name="Send again").click()

    await expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("discard it")
    await page.keyboard.press("Escape")
    await expect(page.locator("h1 + .badge")).to_have_text("open")


async def test_hostile_text_in_a_letter_is_shown_as_the_text_it_is(view: View) -> None:
    await _letters(
        view, hostile.encode(), json.dumps({"spec": hostile, hostile: [hostile, 12345678901234567890]}).encode()
    )
    page = await view.open("dead-letters")
    await expect(page.locator("tbody tr")).to_have_count(2)
    await page.evaluate("document.title = 'unharmed'")

    for number in range(2):
        await page.locator("tbody tr").nth(number).get_by_role("link").click()
        await expect(page.locator(".json")).to_contain_text("<img src=x onerror=")
        assert await page.locator("main img, main script").count() == 0
        assert await page.title() != "harmed"
        await page.keyboard.press("Escape")
        await expect(page.locator("tbody tr")).to_have_count(2)


async def test_letters_are_filtered_by_the_address(view: View) -> None:
    await _letters(view, b"one")
    await _letters(view, b"two", of="inventory")
    page = await view.open("dead-letters?participant=inventory")

    await expect(page.locator("tbody tr")).to_have_count(1)
    await expect(page.locator("tbody tr")).to_contain_text("inventory")
    await page.get_by_role("button", name="Take away the filter participant").click()
    await expect(page.locator("tbody tr")).to_have_count(2)
    await expect(page).to_have_url(re.compile("/dead-letters$"))


async def test_a_new_letter_is_seen_without_asking(view: View) -> None:
    page = await view.open("dead-letters")
    await expect(page.get_by_text("No letter is dead.")).to_be_visible()

    await _letters(view, b"what is this")
    await view.shop.order()  # the overview is read anew when a saga moves

    await expect(page.locator("tbody tr")).to_have_count(1)
