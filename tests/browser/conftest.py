"""A Chromium for the run, and for each test a shop of its own and a tab that notices every fault of the page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Locator, Page, async_playwright, expect

from tests.browser.shop import Shop
from tests.servers import ServerUnavailable
from tests.servers.chromium import chromium

patience_milliseconds = 10_000

expect.set_options(timeout=patience_milliseconds)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium for all tests. Fails, and says what to do, where there is none."""
    try:
        path = chromium()
    except ServerUnavailable as error:
        pytest.fail(str(error), pytrace=False)
    async with async_playwright() as playwright:
        # As root, and in most containers, Chromium can't put itself into a sandbox; it looks at our own pages only.
        launched = await playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield launched
        await launched.close()


@pytest_asyncio.fixture(loop_scope="session")
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with Shop(tmp_path).open() as shop:
        yield shop


@dataclass
class View:
    """A tab on the dashboard. What goes wrong in it is gathered, and fails the test at its end."""

    page: Page
    context: BrowserContext
    shop: Shop
    faults: list[str] = field(default_factory=list)

    async def open(self, path: str = "") -> Page:
        """A page of the dashboard, by its address below the base path."""
        await self.page.goto(f"{self.shop.url}/{path}")
        return self.page

    def row(self, text: str) -> Locator:
        return self.page.locator("tbody tr").filter(has_text=text)

    async def live(self) -> None:
        """Until what happens is shown at once."""
        await expect(self.page.get_by_role("button", name="Live")).to_be_visible()


async def viewing(browser: Browser, shop: Shop, **settings: object) -> View:
    """A tab. Answers that say no are no faults: the page shows them."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800}, **settings)  # type: ignore[arg-type]
    context.set_default_timeout(patience_milliseconds)
    page = await context.new_page()
    view = View(page, context, shop)
    page.on("pageerror", lambda error: view.faults.append(str(error)))
    page.on(
        "console",
        lambda line: (
            view.faults.append(line.text)
            if line.type == "error" and "Failed to load resource" not in line.text
            else None
        ),
    )
    page.on("dialog", lambda dialog: view.faults.append(f"a dialog: {dialog.message}"))
    return view


@pytest_asyncio.fixture(loop_scope="session")
async def view(browser: Browser, shop: Shop) -> AsyncIterator[View]:
    view = await viewing(browser, shop)
    yield view
    await view.context.close()
    assert view.faults == []
