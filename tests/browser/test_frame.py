"""What all pages share: the menu, the keys, the theme, live updates and their pause, a page that can't be harmed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from coordinator.web import dashboard
from tests.browser.conftest import View, viewing
from tests.browser.shop import Shop

pytestmark = pytest.mark.asyncio(loop_scope="session")

hostile = "\"><img src=x onerror=\"document.title='harmed'\"><script>document.title='harmed'</script>{{7*7}}${7*7}"


async def test_every_page_loads_by_its_address_and_has_a_title(view: View) -> None:
    page = view.page
    for path in ("", *dashboard.pages, "sagas/none", "incidents/none", "sagas/leads/nowhere"):
        await view.open(path)
        await expect(page.locator("main")).not_to_be_empty()
        await expect(page.get_by_role("navigation", name="Pages")).to_be_visible()
        current = page.locator("nav a[aria-current=page]")
        await expect(current).to_have_attribute("href", f"/{path.partition('/')[0]}")
        await expect(page).to_have_title(re.compile("Amends$"))
    await expect(page.locator("main")).to_contain_text("leads to no page")


async def test_the_menu_leads_everywhere_without_loading_the_page_again(view: View) -> None:
    page = await view.open()
    await page.evaluate("window.here = true")

    for name in dashboard.pages:
        await page.locator(f'nav a[href="/{name}"]').click()
        await expect(page.locator("nav a[aria-current=page]")).to_have_attribute("href", f"/{name}")
    await page.go_back()

    await expect(page).to_have_url(f"{view.shop.url}/{dashboard.pages[-2]}")
    assert await page.evaluate("window.here")


async def test_the_keys_are_told_and_do_what_is_told(view: View) -> None:
    page = await view.open("sagas")

    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keys")).to_contain_text("pause or resume live updates")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await page.keyboard.press("/")
    await expect(page.locator("#search")).to_be_focused()
    await page.keyboard.type("r1?")  # in a field, letters are letters
    await expect(page.locator("#search")).to_have_value("r1?")
    await page.keyboard.press("Escape")
    await page.keyboard.press("1")
    await expect(page).to_have_url(f"{view.shop.url}/")


async def test_the_theme_follows_the_system_until_somebody_chooses(browser: Browser, shop: Shop) -> None:
    view = await viewing(browser, shop, color_scheme="dark")
    page = await view.open()

    async def paper() -> str:
        return str(await page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))

    dark = await paper()
    await page.keyboard.press("t")
    light = await paper()
    await page.reload()
    assert await paper() == light != dark
    await page.keyboard.press("t")
    assert await paper() == dark
    await view.context.close()
    assert view.faults == []


async def test_paused_nothing_changes_by_itself_and_afterwards_all_of_it_is_there(view: View) -> None:
    page = await view.open("sagas")
    await view.live()
    await view.shop.until(await view.shop.order(business_key="first"), "completed")
    await expect(view.row("first")).to_contain_text("completed")

    await page.keyboard.press("r")
    await expect(page.get_by_role("button", name="Paused")).to_have_attribute("aria-pressed", "true")
    await view.shop.until(await view.shop.order(business_key="second"), "completed")
    await expect(view.row("second")).to_have_count(0)
    await page.keyboard.press("r")

    await expect(view.row("second")).to_contain_text("completed")


async def test_a_coordinator_that_goes_away_is_told_and_found_again(view: View) -> None:
    page = await view.open("sagas")
    await view.live()

    await view.context.set_offline(True)
    await page.evaluate("dispatchEvent(new PopStateEvent('popstate'))")
    await page.get_by_role("button", name="blocked").click()
    await expect(page.get_by_role("alert")).to_contain_text("can't be reached")
    await view.context.set_offline(False)
    await page.get_by_role("button", name="Ask again").click()

    await expect(page.get_by_text("No saga matches.")).to_be_visible()
    await expect(page.get_by_role("alert")).to_have_count(0)


async def test_what_is_paused_is_said_on_every_page_and_ended_there(view: View) -> None:
    await view.shop.http.post("/v1/pauses", json={"scope": "participant", "name": "payment", "reason": hostile[:200]})
    page = await view.open("definitions")

    banner = page.get_by_role("list", name="Paused now")
    await expect(banner).to_contain_text("payment is paused")
    await expect(banner).to_contain_text("<img src=x")
    await banner.get_by_role("button", name="Resume").click()
    await page.get_by_role("dialog").get_by_role("button", name="Resume").click()

    await expect(banner).to_have_count(0)
    assert (await view.shop.http.get("/v1/pauses")).json()["items"] == []
    assert await page.title() != "harmed"


async def test_nothing_that_is_shown_can_run(view: View) -> None:
    keys = [hostile, "javascript:document.title='harmed'", "‮evil", "a" * 200]
    for key in keys:
        await view.shop.order({"charge-card": "refuse"}, business_key=key, tags=[hostile[:64]])
    page = await view.open("sagas")

    for key in keys:
        await expect(page.get_by_role("cell", name=key, exact=True)).to_be_visible()
    await page.evaluate("document.title = 'unharmed'")
    blocked = await page.evaluate(
        """() => new Promise((told) => setTimeout(() => {  // later: what a debugger itself evaluates may do everything
          const tried = (what) => { try { what(); return false } catch { return true } };
          told([
            tried(() => { document.body.innerHTML = "<b>x</b>" }),
            tried(() => eval("1")),
            tried(() => new Function("1")),
            tried(() => document.createElement("img").setAttribute("onerror", "1")),
          ]);
        }))"""
    )

    assert blocked == [True] * 4
    assert await page.title() == "unharmed"
    view.faults[:] = [fault for fault in view.faults if "locked" not in fault]  # those were ours


async def test_a_phone_shows_all_of_it_in_its_width(view: View) -> None:
    await view.shop.until(
        await view.shop.order({"assign-courier": "fail", "refund": "refuse"}, business_key="a" * 150, tags=["x"]),
        "blocked",
    )
    page = view.page
    await page.set_viewport_size({"width": 360, "height": 720})
    for path in ("", "sagas", "sagas?status=blocked&definition=place_order_impatient&tag=x"):
        await view.open(path)
        await expect(page.locator("h1")).to_be_visible()
        await expect(page.locator("main .loading")).to_have_count(0)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360, path
    await page.get_by_role("button", name="Menu").click()
    await page.get_by_role("link", name="Participants").click()
    await expect(page.locator("h1")).to_have_text("Participants")


async def test_under_a_base_path_everything_works(browser: Browser, tmp_path: Path) -> None:
    async with Shop(tmp_path, base_path="/tools/amends").open() as shop:
        saga_id = await shop.order(business_key="here")
        await shop.until(saga_id, "completed")
        view = await viewing(browser, shop)
        page = await view.open()
        await page.get_by_role("link", name="Sagas").click()
        await view.live()
        await view.row("here").click()
        await expect(page).to_have_url(f"{shop.url}/sagas/{saga_id}")
        await page.reload()
        await expect(page.locator("h1")).to_contain_text("here")
        await page.keyboard.press("Escape")
        await expect(page).to_have_url(f"{shop.url}/sagas")
        await view.context.close()
        assert view.faults == []


async def test_numbers_are_read_and_written_as_they_stand(view: View) -> None:
    page = await view.open()
    text = '{"a": [1.0, 12345678901234567890, 1e400, -0], "b": {"é\\u0041": "\\"\\n", "": null}, "c": [], "d": {}}'

    written = await page.evaluate(
        """async (text) => {
          const script = document.querySelector("script[type=module]").src;
          const { parse, partAt, written } = await import(script.replace("app.js", "json.js"));
          const fails = (one) => { try { parse(one) } catch (error) { return error.name === 'SyntaxError' } };
          const broken = ['{', '[1,]', '{"a" 1}', '01', '"', 'nul', '1 2', '['.repeat(300)];
          return [written(parse(text)), partAt(text, ["a", 1]), partAt(text, ["b", "éA"]), partAt(text, ["x"]),
                  broken.filter((one) => !fails(one))];
        }""",
        text,
    )

    expected = '{ "a": [ 1.0, 12345678901234567890, 1e400, -0 ], "b": { "éA": "\\"\\n", "": null }, "c": [], "d": {} }'
    assert " ".join(written[0].split()) == expected
    assert written[1:] == ["12345678901234567890", '"\\"\\n"', None, []]


async def test_whoever_hears_the_page_instead_of_seeing_it_finds_a_name_on_everything(view: View) -> None:
    await view.shop.until(await view.shop.order(business_key="one"), "completed")
    for path in ("", "sagas"):
        page = await view.open(path)
        await expect(page.locator("main .loading")).to_have_count(0)
        nameless = await page.evaluate(
            """() => [...document.querySelectorAll("a, button, input, select, textarea, [role=button]")]
              .filter((one) => one.checkVisibility())
              .filter((one) => !(one.getAttribute("aria-label") || one.textContent.trim() || one.labels?.length))
              .map((one) => one.outerHTML)"""
        )
        assert nameless == []
        assert await page.locator("main").count() == 1
        assert await page.locator("h1").count() == 1
        assert await page.get_attribute("html", "lang") == "en"
