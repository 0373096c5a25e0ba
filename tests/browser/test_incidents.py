"""Incidents in a browser: found, followed, explained, judged by a person, and made better by remedies."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from coordinator.store.explained import RemedyState
from tests.browser.conftest import View, viewing
from tests.browser.shop import Shop
from tests.web.failures import incident, remedy, reported

pytestmark = pytest.mark.asyncio(loop_scope="session")

soon_milliseconds = 2_000  # what happens is to be seen within this


async def _answered(page: Page, **fields: str) -> None:
    """Fill in the dialog and send it."""
    dialog = page.get_by_role("dialog")
    for label, value in fields.items():
        field = dialog.get_by_label(label.replace("_", " "))
        is_choice = await field.evaluate("element => element.tagName === 'SELECT'")
        await (field.select_option(value) if is_choice else field.fill(value))
    await dialog.locator("button[type=submit]").click()
    await expect(dialog).to_have_count(0)


def _remedy(page: Page) -> Locator:
    return page.locator(".remedy")


async def test_without_incidents_the_list_says_that_all_is_well(view: View) -> None:
    page = await view.open("incidents")
    await expect(page.get_by_text("Nothing has gone wrong.")).to_be_visible()


async def test_an_incident_is_seen_as_it_comes_and_found_by_filters(view: View) -> None:
    page = await view.open("incidents")
    await view.live()
    await expect(page.get_by_text("Nothing has gone wrong.")).to_be_visible()

    incident_id = await incident(view.shop, sagas=3)

    await expect(page.locator("tbody tr")).to_contain_text("Not analysed yet", timeout=soon_milliseconds)
    await reported(view.shop, incident_id)
    await expect(page.locator("tbody tr")).to_contain_text("card-provider", timeout=soon_milliseconds)
    await expect(page.locator("tbody tr")).to_contain_text("87 %")
    await page.get_by_role("button", name="closed").click()
    await expect(page.get_by_text("No incident matches.")).to_be_visible()
    await page.get_by_role("button", name="open", exact=True).click()
    await expect(page).to_have_url(f"{view.shop.url}/incidents?status=open")
    await page.get_by_label("Add a filter").select_option("cause")
    await page.get_by_label("cause").select_option("downstream timeout")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await page.keyboard.press("Escape")  # out of the filters
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")

    await expect(page).to_have_url(f"{view.shop.url}/incidents/{incident_id}")


async def test_an_incident_tells_how_far_it_reaches_and_why(view: View) -> None:
    incident_id = await incident(view.shop, sagas=2)
    await reported(view.shop, incident_id)
    page = await view.open(f"incidents/{incident_id}")

    reach = page.get_by_label("How far it reaches")
    for words in ("Failures2", "nearly sure, 87 %", "Still growing", "At risk"):
        await expect(reach).to_contain_text(words)
    for title in ("Why", "What it may be", "What it is not", "What happened to the world", "Like this before"):
        await expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()
    await expect(page.get_by_role("table", name="Failures by kind")).to_contain_text("ConnectTimeout")
    await expect(page.get_by_role("table", name="Sagas that failed").locator("tbody tr")).to_have_count(2)
    claim = page.locator(".claims > li").first
    await claim.hover()
    cited = await claim.locator(".cite").all_inner_texts()
    await expect(page.locator(".evidence li.lit .cite")).to_have_text(cited)
    await page.get_by_role("link", name="All of them").click()
    await expect(page).to_have_url(f"{view.shop.url}/sagas?incident={incident_id}")


async def test_a_newer_report_is_shown_at_once_and_the_older_one_can_be_read(view: View) -> None:
    incident_id = await incident(view.shop)
    await reported(view.shop, incident_id, headline="the first guess")
    page = await view.open(f"incidents/{incident_id}")
    await view.live()
    await expect(page.get_by_role("heading", level=1)).to_have_text("the first guess")

    await reported(view.shop, incident_id, version=2, headline="the second guess")

    await expect(page.get_by_role("heading", level=1)).to_have_text("the second guess", timeout=soon_milliseconds)
    await page.get_by_label("report").select_option("1")
    await expect(page.locator(".verdict-headline")).to_have_text("the first guess")


async def test_a_person_judges_the_report_and_says_what_resolved_it(view: View) -> None:
    incident_id = await incident(view.shop)
    await reported(view.shop, incident_id)
    page = await view.open(f"incidents/{incident_id}")

    await page.get_by_role("button", name="The report is right").click()
    await _answered(page)
    await expect(page.locator(".note")).to_contain_text("report 1 is right")
    await page.get_by_role("button", name="It is wrong").click()
    await _answered(page, Kind_of_cause="bad_deploy", What_was_to_blame="worker_version", Its_name="payment@2.0")
    await expect(page.locator(".note")).to_contain_text(
        "report 1 is wrong it was bad deploy (worker_version payment@2.0)"
    )
    await page.get_by_role("button", name="It is resolved").click()
    await _answered(page, What_was_done="rolled back to 1.9")

    await expect(page.get_by_text("rolled back to 1.9")).to_be_visible()
    await expect(page.locator(".page-head")).to_contain_text("closed")


async def test_feedback_that_makes_no_sense_is_refused_where_it_was_given(view: View) -> None:
    incident_id = await incident(view.shop)
    await reported(view.shop, incident_id)
    page = await view.open(f"incidents/{incident_id}")
    await page.get_by_role("button", name="It is wrong").click()
    dialog = page.get_by_role("dialog")

    await dialog.get_by_label("What was to blame").select_option("host")
    await dialog.get_by_label("Its name").fill("x" * 500)
    await dialog.locator("button[type=submit]").click()

    await expect(dialog.get_by_role("alert")).to_contain_text("true_culprit")


async def test_remedies_are_approved_rejected_and_undone(view: View) -> None:
    incident_id = await incident(view.shop)
    await reported(view.shop, incident_id)
    await remedy(view.shop, incident_id)
    page = await view.open(f"incidents/{incident_id}")
    await expect(_remedy(page)).to_contain_text("Pause the participant for a while")

    await _remedy(page).get_by_role("button", name="Approve").click()
    await _answered(page, Why="it has to rest")
    await expect(_remedy(page)).to_contain_text("in effect")
    assert (await view.shop.http.get("/v1/pauses")).json()["items"][0]["name"] == "payment"
    await _remedy(page).get_by_role("button", name="Undo").click()
    await _answered(page, Why="it is back already")
    await expect(_remedy(page)).to_contain_text("over")
    await expect(_remedy(page)).to_contain_text("it is back already")

    other = await incident(view.shop, family="delivery:timeout", step="assign-courier")
    await reported(view.shop, other)
    await remedy(view.shop, other, RemedyState.SHADOW)
    await view.open(f"incidents/{other}")
    await _remedy(page).get_by_role("button", name="Reject").click()
    await _answered(page, Why="not by day")
    await expect(_remedy(page)).to_contain_text("rejected")


async def test_an_incident_is_analysed_now_and_copied_as_markdown(view: View) -> None:
    await view.context.grant_permissions(["clipboard-read", "clipboard-write"])
    incident_id = await incident(view.shop)
    page = await view.open(f"incidents/{incident_id}")
    await expect(page.get_by_text("It is not analysed yet.")).to_be_visible()

    await page.get_by_role("button", name="Analyse now").click()

    await expect(page.locator(".verdict")).to_be_visible()
    await page.get_by_role("button", name="Copy as Markdown").click()
    await expect(page.get_by_text("The report is in the clipboard")).to_be_visible()
    assert (await page.evaluate("navigator.clipboard.readText()")).startswith("#")


async def test_an_incident_that_is_not_there_says_so(view: View) -> None:
    page = await view.open("incidents/01a1fefc-467b-743a-be53-672d0b2c1561")
    await expect(page.get_by_text("There is no such incident.")).to_be_visible()


async def test_on_a_phone_nothing_runs_out_of_the_page(browser: Browser, shop: Shop) -> None:
    incident_id = await incident(shop)
    await reported(shop, incident_id, headline="x" * 140)
    await remedy(shop, incident_id)
    view = await viewing(browser, shop)
    await view.page.set_viewport_size({"width": 360, "height": 740})

    for path in ("incidents", f"incidents/{incident_id}"):
        page = await view.open(path)
        await expect(page.get_by_text("x" * 140).first).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth") == 360
    await view.context.close()
    assert view.faults == []
