"""Definitions: registered, looked at, checked without being kept."""

from __future__ import annotations

import json
from typing import Any

from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from coordinator.errors import Fault, UnknownDefinition
from coordinator.saga.definition import SagaDefinition
from coordinator.saga.registration import document_nodes_max, version_max, warnings
from coordinator.store.values import StoredDefinition
from coordinator.web import seen
from coordinator.web.auditing import before
from coordinator.web.describing import any_object, taking
from coordinator.web.desk import Desk
from coordinator.web.problems import documented
from coordinator.web.reading import actor_of, bad_parameter, read_json

page_max = 200
# Registration counts values itself, to a limit of its own, and names the rule; beyond this nobody looks at all.
nodes_read_max = document_nodes_max + 10_000

refusals = documented("unreadable-body", "body-too-large", "wrong-content-type", "invalid-definition")


class Definitions(Controller):
    path = "/v1/definitions"
    tags = ("definitions",)

    @post(
        "/",
        summary="Register a definition: a new version, unless it equals the newest",
        operation_class=taking(any_object("A definition: name, steps, …")),
        responses=refusals,
        status_code=201,
    )
    async def register(
        self, request: Request[Any, Any, Any], desk: NamedDependency[Desk]
    ) -> Response[seen.Registration]:
        document = await read_json(request, nodes=nodes_read_max)
        definition, created = await register(desk, document, actor_of(request, None))
        return Response(
            seen.Registration(definition.name, definition.version, created, await _warnings(desk, definition)),
            status_code=201 if created else 200,
            headers={"Location": f"/v1/definitions/{definition.name}/{definition.version}"},
        )

    @post(
        "/validate",
        summary="Check a definition without keeping it",
        operation_class=taking(any_object("A definition: name, steps, …")),
        responses=refusals,
        status_code=200,
    )
    async def validate(self, request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> seen.Validation:
        definition = desk.coordinator.definitions.check(await read_json(request, nodes=nodes_read_max))
        return seen.Validation(definition.name, True, await _warnings(desk, definition))

    @get("/", summary="The newest version of each definition, by name", responses=documented())
    async def list_newest(
        self, desk: NamedDependency[Desk], limit: FromQuery[int] = 50, cursor: FromQuery[str | None] = None
    ) -> seen.DefinitionList:
        if not 1 <= limit <= page_max:
            raise bad_parameter("limit", f"1 to {page_max}")
        found = await desk.coordinator.stores.definitions.newest(after=cursor, limit=limit)
        more = f"/v1/definitions?limit={limit}&cursor={found[-1].name}" if len(found) == limit else None
        return seen.DefinitionList(tuple(_line(stored) for stored in found), more)

    @get("/{name:str}", summary="The newest version of a definition", responses=documented("unknown-definition"))
    async def newest(self, desk: NamedDependency[Desk], name: FromPath[str]) -> Response[seen.Definition]:
        versions = await desk.coordinator.stores.definitions.versions(name)
        if not versions:
            raise UnknownDefinition(name)
        return _shown(versions[0], tuple(stored.version for stored in versions))

    @get("/{name:str}/{version:int}", summary="One version of a definition", responses=documented("unknown-definition"))
    async def one(
        self, desk: NamedDependency[Desk], name: FromPath[str], version: FromPath[int]
    ) -> Response[seen.Definition]:
        known = 1 <= version <= version_max
        stored = await desk.coordinator.stores.definitions.get(name, version) if known else None
        if stored is None:
            raise UnknownDefinition(name, version)
        return _shown(stored, ())


async def register(desk: Desk, document: Any, by: str) -> tuple[SagaDefinition, bool]:
    """Keep a definition. True: as a new version. Raises InvalidDefinition."""
    name = desk.coordinator.definitions.check(document).name
    newest = await desk.coordinator.stores.definitions.get(name)
    before(**({} if newest is None else {"name": name, "version": newest.version}))
    definition = await desk.coordinator.definitions.register(document, by)
    return definition, newest is None or newest.version < definition.version


async def _warnings(desk: Desk, definition: SagaDefinition) -> tuple[seen.Fault, ...]:
    return tuple(_fault(fault) for fault in warnings(definition, await desk.live_handlers()))


def _fault(fault: Fault) -> seen.Fault:
    return seen.Fault(fault.rule, fault.message, fault.hint, fault.step)


def _shown(stored: StoredDefinition, versions: tuple[int, ...]) -> Response[seen.Definition]:
    document = json.loads(stored.document)
    return Response(
        seen.Definition(stored.name, stored.version, document, stored.created_at, stored.created_by, versions),
        headers={"ETag": f'"{stored.hash}"'},
    )


def _line(stored: StoredDefinition) -> seen.DefinitionLine:
    document = json.loads(stored.document)
    return seen.DefinitionLine(
        stored.name,
        stored.version,
        len(document["steps"]),
        document.get("description"),
        stored.created_at,
        stored.created_by,
    )
