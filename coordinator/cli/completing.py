"""What a shell offers after Tab: ids of sagas, names of definitions and participants, from the coordinator itself.

A coordinator that isn't there, or is slow, has nothing to offer; nobody waits for it, and nothing is said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import typer

from amends.client import Client
from amends.errors import AmendsError
from coordinator.cli import profiles

offered_max = 100
patience_seconds = 1.0


def saga_ids(context: typer.Context, incomplete: str) -> list[str]:
    async def work(client: Client) -> list[str]:
        return [saga["id"] async for saga in client.list(limit=offered_max)]

    return _beginning(incomplete, context, work)


def definition_names(context: typer.Context, incomplete: str) -> list[str]:
    async def work(client: Client) -> list[str]:
        return [definition["name"] async for definition in client.definitions()]

    return _beginning(incomplete, context, work)


def participant_names(context: typer.Context, incomplete: str) -> list[str]:
    async def work(client: Client) -> list[str]:
        return [item["name"] for item in (await client.request("GET", "/v1/participants"))["items"]]

    return _beginning(incomplete, context, work)


def _beginning(
    incomplete: str, context: typer.Context, work: Callable[[Client], Coroutine[None, None, list[str]]]
) -> list[str]:
    async def asked() -> list[str]:
        url, key = profiles.place_of(context.params.get("url"), context.params.get("profile"))
        asking = Client(url, api_key=context.params.get("api_key") or key, tries=1, timeout_seconds=patience_seconds)
        async with asyncio.timeout(patience_seconds), asking as client:
            return await work(client)

    try:
        return [name for name in asyncio.run(asked()) if name.startswith(incomplete)]
    except (AmendsError, TimeoutError, typer.Exit):
        return []
