"""Who comes to the dashboard: keys for people, and coming in with one."""

from __future__ import annotations

from playwright.async_api import expect

from coordinator.access.keys import mint
from coordinator.store.access import Role
from tests.browser.conftest import View, patience_milliseconds


async def key_of(view: View, name: str, role: Role, *, payloads: bool = False) -> str:
    """The text of a new key."""
    app = view.shop.app
    key, text = mint(name, role, payloads=payloads, by="test", now=app.clock.now())
    await app.access.keys.add(key)
    app.access.keyring.forget()
    return text


async def come_in(view: View, path: str, name: str, role: Role, *, payloads: bool = False) -> str:
    """Open a page as somebody; their key."""
    text = await key_of(view, name, role, payloads=payloads)
    await view.context.clear_cookies()
    await view.open(path)
    await enter(view, text)
    await expect(view.page.locator(".who")).to_contain_text(name)
    return text


async def enter(view: View, text: str) -> None:
    """Show a key at the form that asks for one, once the page has come and been told that it is asked."""
    form = view.page.get_by_role("heading", name="Who are you?")
    await expect(form).to_be_visible(timeout=3 * patience_milliseconds)
    await view.page.get_by_label("Key, or a token").fill(text)
    await view.page.get_by_role("button", name="Come in").click()
