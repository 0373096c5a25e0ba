"""The definitions, as a person uses them: looked at, checked, registered, and started from a form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser.conftest import View
from tests.browser.test_frame import hostile

pytestmark = pytest.mark.asyncio(loop_scope="session")

every_kind: dict[str, Any] = {
    "type": "object",
    "required": ["name", "amount", "size", "parts", "kept"],
    "properties": {
        "name": {"type": "string", "title": "What it is called", "minLength": 1},
        "amount": {"type": "number"},
        "size": {"enum": ["small", 12]},
        "sure": {"type": "boolean"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "parts": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/part"}},
        "anything": {},
        "aside": {"type": "object", "properties": {"why": {"type": "string"}}},
        "kept": {"const": "always"},
    },
    "$defs": {"part": {"type": "object", "required": ["sku"], "properties": {"sku": {"type": "string"}}}},
}


def _definition(name: str = "odd", **more: Any) -> dict[str, Any]:
    steps = [{"name": "take", "participant": "order", "action": "create", "compensation": "cancel"}]
    return {"name": name, "steps": steps, **more}


async def _inputs(view: View) -> list[str]:
    """What the sagas were started with, the newest first, as it is stored."""
    ids = [one["id"] for one in (await view.shop.http.get("/v1/sagas")).json()["items"]]
    return [(await view.shop.http.get(f"/v1/sagas/{one}/input")).json()["text"] for one in ids]


async def test_a_definition_is_found_drawn_and_checked(view: View) -> None:
    page = await view.open("definitions")
    await expect(page.locator("tbody tr")).to_have_count(2)
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")

    await expect(page.locator("h1")).to_have_text("place_order")
    graph = page.get_by_role("group", name="Steps of the definition")
    await expect(graph.get_by_role("button")).to_have_count(6)
    await expect(page.locator(".checked")).to_contain_text("Nothing to remark")
    await graph.get_by_role("button", name="confirm-order").click()
    await expect(page.get_by_role("region", name="Step confirm-order")).to_contain_text(
        "past it the saga only goes forward"
    )
    await page.get_by_text("As it was registered").click()
    await expect(page.locator("details.payload .json")).to_contain_text('"place_order"')
    await page.get_by_role("link", name="Its sagas").click()
    await expect(page).to_have_url(f"{view.shop.url}/sagas?definition=place_order")


async def test_an_order_with_a_simulated_failure_is_started_from_the_form(view: View) -> None:
    page = await view.open("definitions/place_order_impatient")
    form = page.get_by_role("form")
    await form.get_by_label("customer").fill("grace")
    await form.get_by_role("switch", name="Simulate failure").check()
    await form.get_by_label("Charging the card").select_option("refuse")
    await form.get_by_label("Business key").fill("order-1")
    await form.get_by_label("Tags").fill("by hand, today")

    await form.get_by_role("button", name="Start place_order_impatient").click()

    link = form.get_by_role("status").get_by_role("link")
    await expect(link).to_be_focused()
    saga_id = await link.text_content()
    assert saga_id
    saga = await view.shop.until(saga_id, "compensated")
    assert (saga["business_key"], saga["tags"]) == ("order-1", ["by hand", "today"])
    (stated,) = await _inputs(view)
    assert json.loads(stated)["customer"] == "grace"
    assert json.loads(stated)["simulate"] == {"charge-card": "refuse"}
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"{view.shop.url}/sagas/{saga_id}")


async def test_pressing_twice_starts_once_and_another_begins_anew(view: View) -> None:
    page = await view.open("definitions/place_order")
    start = page.get_by_role("button", name="Start place_order")
    await start.click()
    started = page.get_by_role("form").get_by_role("status")
    await expect(started).to_contain_text("Started:")

    await start.click()
    await expect(started).to_contain_text("It had been started already")
    await started.get_by_role("button", name="Start another").click()
    await start.click()
    await expect(started).to_contain_text("Started:")

    assert len(await _inputs(view)) == 2


async def test_the_form_has_a_field_for_every_kind_and_loses_nothing(view: View) -> None:
    await view.shop.http.post("/v1/definitions", json=_definition(input_schema=every_kind))
    page = await view.open("definitions/odd")
    form = page.get_by_role("form")
    await form.get_by_label("What it is called").fill(hostile)
    await form.get_by_label("amount").fill("12345678901234567890.10")
    await form.get_by_label("size").select_option("12")
    await form.get_by_label("sure").select_option("yes")
    await form.get_by_label("sku").fill("lamp")
    await form.get_by_role("button", name="Add to parts").click()
    await form.get_by_label("sku").nth(1).fill("book")
    await form.get_by_role("button", name="Add to parts").click()
    await form.get_by_role("button", name="Take away parts 3").click()
    await form.get_by_label("anything").fill("[1.0, ")
    await form.get_by_role("button", name="Start odd").click()
    await expect(form.get_by_role("alert")).to_contain_text("anything: this is not JSON")
    await form.get_by_label("anything").fill("[1.0, null]")
    await form.get_by_role("switch", name="aside").check()
    await form.get_by_label("why").fill("because")

    await form.get_by_role("button", name="JSON").click()
    whole = await form.get_by_label("Input, as JSON").input_value()
    assert '"amount": 12345678901234567890.10' in whole
    assert '"anything": [\n    1.0,\n    null\n  ]' in whole
    await form.get_by_label("Input, as JSON").fill(whole.replace("{", '{"unknown": 1e400, ', 1))
    await form.get_by_role("button", name="Form").click()
    await expect(form).to_contain_text("unknown")
    await expect(form.get_by_label("sku").nth(1)).to_have_value("book")
    await form.get_by_role("button", name="JSON").click()

    again = await form.get_by_label("Input, as JSON").input_value()
    assert json.loads(again, parse_int=str, parse_float=str) == {
        "name": hostile,
        "amount": "12345678901234567890.10",
        "size": "12",
        "sure": True,
        "parts": [{"sku": "lamp"}, {"sku": "book"}],
        "anything": ["1.0", None],
        "aside": {"why": "because"},
        "kept": "always",
        "unknown": "1e400",
    }
    assert await page.title() != "harmed"


async def test_an_input_that_is_refused_is_explained_at_the_form(view: View) -> None:
    await view.shop.http.post("/v1/definitions", json=_definition(input_schema=every_kind))
    await view.shop.http.post("/v1/definitions", json=_definition("free"))
    page = await view.open("definitions/odd")
    form = page.get_by_role("form")
    await form.get_by_label("What it is called").fill("x")
    await form.get_by_label("amount").fill("many")
    await form.get_by_label("size").select_option("small")

    await form.get_by_role("button", name="Start odd").click()

    await expect(form.get_by_role("alert")).to_contain_text("amount")
    await expect(form.get_by_label("amount")).to_have_value("many")
    await view.open("definitions/free")
    await expect(form).to_contain_text("no input schema")
    await form.get_by_label("Input, as JSON").fill("{")
    await form.get_by_role("button", name="Start free").click()
    await expect(form.get_by_role("alert")).to_contain_text("not JSON")
    await form.get_by_label("Input, as JSON").fill('{"n": 9007199254740993}')
    await form.get_by_role("button", name="Start free").click()
    await expect(form.get_by_role("status")).to_contain_text("Started:")
    assert [" ".join(one.split()) for one in await _inputs(view)] == ['{"n":9007199254740993}']


async def test_a_definition_is_checked_registered_and_its_versions_told_apart(view: View) -> None:
    page = await view.open("definitions")
    await page.get_by_role("button", name="Register").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("The definition").fill('{"name": "odd"')
    await dialog.get_by_role("button", name="Register").click()
    await expect(dialog.get_by_role("alert")).to_be_visible()
    stated = _definition(description=hostile)
    stated["steps"][0]["participant"] = "nobody-home"
    await dialog.get_by_label("The definition").fill(json.dumps(stated))
    await dialog.get_by_label("Only check it").check()
    await dialog.get_by_role("button", name="Register").click()
    await expect(page.get_by_role("dialog", name="odd may be registered")).to_contain_text("nobody-home")
    await page.keyboard.press("Escape")
    assert (await view.shop.http.get("/v1/definitions/odd")).status_code == 404

    await page.get_by_role("button", name="Register").click()
    await dialog.get_by_label("The definition").fill(json.dumps(stated))
    await dialog.get_by_role("button", name="Register").click()
    await expect(page).to_have_url(f"{view.shop.url}/definitions/odd")
    await expect(page.locator(".warnings")).to_contain_text("no live worker of the participant nobody-home")
    await expect(page.locator(".definition-says")).to_have_text(hostile)
    await view.shop.http.post("/v1/definitions", json=_definition(description="mended"))
    await page.reload()
    await page.get_by_label("version").select_option("1")

    await expect(page).to_have_url(f"{view.shop.url}/definitions/odd?version=1")
    await expect(page.get_by_text("not the newest version")).to_be_visible()
    await page.get_by_role("button", name="Start odd version 1").click()
    await expect(page.get_by_role("form").get_by_role("status")).to_contain_text("Started:")
    (line,) = (await view.shop.http.get("/v1/sagas")).json()["items"]
    assert (line["definition"], line["version"]) == ("odd", 1)
    await view.open("definitions/odd?version=7")
    await expect(page.get_by_text("There is no version 7.")).to_be_visible()
    await view.open("definitions/none")
    await expect(page.get_by_text("There is no such definition.")).to_be_visible()


async def test_the_sagas_of_a_definition_are_paused_and_resumed(view: View) -> None:
    page = await view.open("definitions/place_order")
    await page.get_by_role("button", name="Pause its sagas").click()
    await page.get_by_role("dialog").get_by_label("Why?").fill("a new version comes")
    await page.get_by_role("dialog").get_by_role("button", name="Pause").click()

    await expect(page.get_by_role("list", name="Paused now")).to_contain_text("The sagas of place_order are paused")
    await page.locator(".page-verbs").get_by_role("button", name="Resume").click()
    await page.get_by_role("dialog").get_by_role("button", name="Resume").click()

    await expect(page.get_by_role("list", name="Paused now")).to_have_count(0)


async def test_a_saga_is_started_by_keys_alone(view: View) -> None:
    page = await view.open("definitions/place_order_impatient")
    await page.get_by_label("customer").focus()
    await page.keyboard.press("Control+a")
    await page.keyboard.type("ada lovelace")
    await page.keyboard.press("Enter")

    await expect(page.get_by_role("form").get_by_role("status")).to_contain_text("Started:")
    (stated,) = await _inputs(view)
    assert json.loads(stated)["customer"] == "ada lovelace"


async def test_all_of_these_pages_fit_a_phone(view: View) -> None:
    await view.shop.http.post(
        "/v1/definitions", json=_definition("a" * 60, description="b" * 200, input_schema=every_kind)
    )
    await view.shop.http.post("/v1/notifications/subscriptions", json={"target": "log"})
    await view.shop.until(await view.shop.order(business_key="c" * 150), "completed")
    await view.shop.http.post("/v1/pauses", json={"scope": "definition", "name": "a" * 60, "reason": "d" * 200})
    page = view.page
    await page.set_viewport_size({"width": 360, "height": 720})
    paths = (
        "definitions", "definitions/place_order", f"definitions/{'a' * 60}", "participants", "participants/payment",
        "dead-letters", "notifications",
    )  # fmt: skip
    for path in paths:
        await view.open(path)
        await expect(page.locator("h1")).to_be_visible()
        await expect(page.locator("main .loading")).to_have_count(0)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360, path
        nameless = await page.evaluate(
            """() => [...document.querySelectorAll("a, button, input, select, textarea")]
              .filter((one) => one.checkVisibility())
              .filter((one) => !(one.getAttribute("aria-label") || one.textContent.trim() || one.labels?.length))
              .map((one) => one.outerHTML)"""
        )
        assert nameless == [], path
