"""A coordinator that asks who one is, and keys for whoever a test needs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx2

from coordinator.access.keys import mint
from coordinator.store.access import Role
from tests.web.conftest import Site
from tests.web.conftest import site as site
from tests.web.conftest import small_site as small_site


async def key_of(
    site: Site, role: Role, *, payloads: bool = True, name: str | None = None, seconds: float | None = None
) -> str:
    """The text of a new key."""
    now = site.app.clock.now()
    key, text = mint(
        name or f"{role}-{'all' if payloads else 'less'}",
        role,
        payloads=payloads,
        by="test",
        now=now,
        expires_at=now + timedelta(seconds=seconds) if seconds is not None else None,
    )
    assert await site.app.access.keys.add(key)
    site.app.access.keyring.forget()
    return text


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def as_(site: Site, text: str) -> httpx2.AsyncClient:
    """Somebody who shows this key with each request."""
    return httpx2.AsyncClient(base_url=site.url, headers=bearer(text), timeout=30.0)


async def audited(site: Site, text: str, **filters: Any) -> list[dict[str, Any]]:
    """What the audit has, the newest first."""
    response = await site.http.get("/v1/audit", headers=bearer(text), params=filters)
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["items"]
    return found
