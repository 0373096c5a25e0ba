"""What participants, models and customers write is text: it is shown as it is, and nothing of it runs."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from amends.message import Answer, Command, Failure, Kind, Reply, Underlying
from coordinator.diagnosis.report import Claim, ClaimKind
from tests.browser.conftest import View
from tests.engine.puppet import Puppet, answer
from tests.web.failures import incident, remedy, reported

pytestmark = pytest.mark.asyncio(loop_scope="session")

script = "<script>window.caught = 1</script>"
picture = '<img src="x" onerror="window.caught = 1">'
markdown = "[click](javascript:window.caught=1) **bold**"
turned = "user\u202egnp.exe"  # the rest of the line would be read backwards
everything = f"{script} {picture} {markdown} {turned}"


def _evil(command: Command) -> Reply:
    if command.kind is Kind.ACTION and command.step == "charge":
        error = Failure(
            type=script,
            message=everything,
            logs=(picture, turned),
            causes=(Underlying(type=picture, message=markdown),),
            frames=(script,),
        )
        return answer(command, Answer.REFUSED, error=error, worker=picture, worker_version=script)
    return answer(command, result={script: [everything]})


async def _nothing_ran(page: Page) -> None:
    assert await page.evaluate("window.caught") is None
    assert await page.locator("main script, main img, main a[href^='javascript']").count() == 0


async def test_nothing_in_a_saga_runs(view: View) -> None:
    document = {
        "name": "evil",
        "steps": [
            {"name": "reserve", "participant": "mischief", "action": "reserve", "compensation": "release"},
            {
                "name": "charge",
                "participant": "mischief",
                "action": "charge",
                "compensation": "refund",
                "after": ["reserve"],
            },
        ],
    }
    assert (await view.shop.http.post("/v1/definitions", json=document)).status_code == 201
    async with Puppet(view.shop.app.broker, "mischief", _evil):
        body = {"definition": "evil", "input": {"note": everything}, "business_key": everything, "tags": [picture]}
        saga_id = (await view.shop.http.post("/v1/sagas", json=body)).json()["id"]
        await view.shop.until(saga_id, "compensated")
    page = await view.open(f"sagas/{saga_id}")

    await expect(page.get_by_role("heading", level=1)).to_have_text(everything)
    panel = page.get_by_role("region", name="Step charge")
    for text in (script, everything, picture):
        await expect(panel).to_contain_text(text)
    await page.get_by_text("Input of the saga").click()
    await expect(page.locator(".saga-main .json")).to_contain_text(script)
    await page.get_by_role("group", name="Steps of the saga").get_by_role("button", name="reserve").click()
    await page.get_by_text("Result", exact=True).click()
    await expect(page.locator(".step-panel .json")).to_contain_text(markdown)
    await page.locator(".entry summary").nth(1).click()
    await expect(page.locator(".entry .json")).to_contain_text(markdown)
    await expect(page.get_by_role("complementary", name="Evidence")).to_be_visible(timeout=30_000)
    await _nothing_ran(page)


async def test_what_turns_the_line_around_turns_nothing_but_itself(view: View) -> None:
    saga_id = await view.shop.order(business_key=turned)
    page = await view.open(f"sagas/{saga_id}")

    name = page.get_by_role("heading", level=1).locator("bdi")

    await expect(name).to_have_text(turned)
    assert await name.evaluate("element => getComputedStyle(element).unicodeBidi") == "isolate"


async def test_nothing_in_a_report_runs(view: View) -> None:
    incident_id = await incident(view.shop)
    claims = (Claim(kind=ClaimKind.OBSERVATION, text=everything[:240], evidence=("E01-k3q",)),)
    await reported(view.shop, incident_id, headline=f"{script} {picture}", symptom=everything[:240], claims=claims)
    await remedy(view.shop, incident_id)
    page = await view.open(f"incidents/{incident_id}")

    await expect(page.get_by_role("heading", level=1)).to_have_text(f"{script} {picture}")
    await expect(page.locator(".claims")).to_contain_text(markdown)
    await expect(page.locator(".symptom")).to_contain_text(picture)
    await _nothing_ran(page)
    await view.open("incidents")
    await expect(page.locator("tbody tr")).to_contain_text(script)
    await _nothing_ran(page)
