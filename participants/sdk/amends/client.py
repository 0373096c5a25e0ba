"""A client of the coordinator's API: register definitions, start sagas, wait for them, ask things of them.

    async with Client("http://127.0.0.1:8274") as client:
        await client.define(place_order)
        saga = await client.start("place_order", {"sku": "book-1"}, key="order-17")
        saga = await client.wait(saga["id"], timeout_seconds=30)

Answers are the API's JSON as dicts. A request that met no coordinator, or one that can't answer now, is repeated; every
request here can be, because a start always has an idempotency key.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import quote

import httpx2

from amends.errors import CoordinatorUnavailable, DefinitionError, ProblemError

Json = dict[str, Any]

repeated_statuses = frozenset({429, 502, 503, 504})
pause_first_seconds = 0.2
pause_cap_seconds = 5.0
wait_seconds_max = 30.0  # of one request; a longer wait is several


class Definable(Protocol):
    """What `amends.definition.Saga` is, and anything else that has a document."""

    def document(self) -> Json: ...


class Client:
    """One coordinator, or a load balancer before several.

    `tries` bounds how often a request is sent; `api_key` (or a token) says who asks, where the coordinator wants to
    know; `actor` is whom it is told they ask for.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8274",
        *,
        api_key: str | None = None,
        actor: str | None = None,
        tries: int = 6,
        timeout_seconds: float = 10.0,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        if tries < 1:
            raise ValueError("a request that is never sent has no answer")
        self._tries = tries
        self._timeout_seconds = timeout_seconds
        headers = {"X-Amends-Actor": actor} if actor else {}
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        self._http = httpx2.AsyncClient(
            base_url=base_url,
            headers=headers,
            timeout=timeout_seconds,
            transport=transport,
            verify=_trusting_nobody() if base_url.startswith("http:") else True,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    # -- definitions -------------------------------------------------------------------------------------------------

    async def define(self, definition: Mapping[str, Any] | Definable) -> Json:
        """Register a definition: {name, version, created, warnings}. Raises DefinitionError with every fault."""
        try:
            return await self._ask("POST", "/v1/definitions", body=_document(definition))
        except ProblemError as problem:
            raise _refused_definition(problem) from problem

    async def definition(self, name: str, version: int | None = None) -> Json:
        """One definition, the newest unless a version is stated."""
        return await self._ask("GET", path_of("v1", "definitions", name, *([] if version is None else [version])))

    async def definitions(self) -> AsyncIterator[Json]:
        """The newest version of every definition, by name."""
        async for item in self._pages("/v1/definitions", {}):
            yield item

    # -- sagas -------------------------------------------------------------------------------------------------------

    async def start(
        self,
        definition: str | Mapping[str, Any] | Definable,
        input: Any = None,  # noqa: A002
        *,
        key: str | None = None,
        version: int | None = None,
        business_key: str | None = None,
        tags: Sequence[str] = (),
    ) -> Json:
        """Start a saga: {id, definition, version, links}.

        The same `key` and the same request give the same saga, however often; without one a new key is drawn, so
        that only the repeats of this very call are recognised. Raises ProblemError, DefinitionError.
        """
        body: Json = {"definition": definition if isinstance(definition, str) else _document(definition)}
        stated = {"input": input, "version": version, "business_key": business_key, "tags": list(tags)}
        body.update({name: value for name, value in stated.items() if value not in (None, [])})
        try:
            return await self._ask(
                "POST", "/v1/sagas", body=body, headers={"Idempotency-Key": key or str(uuid.uuid4())}
            )
        except ProblemError as problem:
            raise _refused_definition(problem) from problem

    async def wait(self, saga_id: str, timeout_seconds: float = 60.0) -> Json:
        """The saga once it has ended. Raises TimeoutError if it has not by then."""
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_seconds
        while True:
            left = until - loop.time()
            seconds = max(0, min(int(left), wait_seconds_max))
            saga = await self._ask("GET", path_of("v1", "sagas", saga_id), wait_seconds=seconds)
            if saga["finished_at"] is not None:
                return saga
            if left <= 0:
                raise TimeoutError(f"saga {saga_id} is {saga['status']} after {timeout_seconds:g} s")
            if seconds == 0:
                await asyncio.sleep(min(left, pause_first_seconds))

    async def get(self, saga_id: str) -> Json:
        """One saga with its steps, attempts, and what it waits for."""
        return await self._ask("GET", path_of("v1", "sagas", saga_id))

    async def result(self, saga_id: str) -> Json:
        """What a saga came to. Raises ProblemError (409) for one that has not ended."""
        return await self._ask("GET", path_of("v1", "sagas", saga_id, "result"))

    async def cancel(self, saga_id: str, reason: str | None = None) -> Json:
        """Ask for everything to be undone. Raises ProblemError (409) when it is too late."""
        body = {"reason": reason} if reason else {}
        return await self._ask("POST", path_of("v1", "sagas", saga_id, "cancel"), body=body)

    async def list(self, *, limit: int = 50, **filters: Any) -> AsyncIterator[Json]:
        """Sagas, the newest first, at most `limit`. The filters are the API's: definition, status, tag, …"""
        async for item in self._some("/v1/sagas", limit, filters):
            yield item

    # -- why it failed -----------------------------------------------------------------------------------------------

    async def diagnosis(self, saga_id: str) -> Json:
        """Why a saga failed, with the evidence. Raises ProblemError (404) for one that nothing happened to."""
        return await self._ask("GET", path_of("v1", "sagas", saga_id, "diagnosis"))

    async def explain(self, saga_id: str, *, form: str = "text", width: int = 100) -> str:
        """The same for people: as `text` of this width, or as `markdown`."""
        query = {"format": form, "width": width}
        return (await self._send("GET", path_of("v1", "sagas", saga_id, "diagnosis"), query=query)).text

    async def incidents(self, *, limit: int = 50, **filters: Any) -> AsyncIterator[Json]:
        """Failures that share a cause, the newest first. The filters are the API's: status, cls, definition, …"""
        async for item in self._some("/v1/incidents", limit, filters):
            yield item

    async def incident(self, incident_id: str) -> Json:
        """One incident with its newest report, its remedies, and what was said of it."""
        return await self._ask("GET", path_of("v1", "incidents", incident_id))

    async def incident_report(self, incident_id: str, *, form: str = "text", width: int = 100) -> str:
        """The newest report of an incident for people: as `text` of this width, or as `markdown`."""
        query = {"format": form, "width": width}
        return (await self._send("GET", path_of("v1", "incidents", incident_id, "report"), query=query)).text

    async def feedback(self, incident_id: str, **said: Any) -> Json:
        """Say whether a report was right, and what resolved the incident: verdict, true_class, resolution, …"""
        return await self._ask("POST", path_of("v1", "incidents", incident_id, "feedback"), body=_stated(said))

    async def remedies(self, **filters: Any) -> Json:
        """What may be done, is done and was done about incidents, the newest first."""
        return await self._ask("GET", "/v1/remedies", query=_stated(filters))

    async def decide(self, remedy_id: str, verb: str, reason: str | None = None) -> Json:
        """`approve`, `reject` or `undo` a remedy. Raises ProblemError (409) when it is too late."""
        return await self._ask("POST", path_of("v1", "remedies", remedy_id, verb), body=_stated({"reason": reason}))

    async def announce(self, text: str, *, subject: str | None = None, at: str | None = None) -> Json:
        """Tell of a deploy or another change, so that what fails after it can be explained by it."""
        return await self._ask("POST", "/v1/changes", body=_stated({"text": text, "subject": subject, "at": at}))

    # -- anything else -----------------------------------------------------------------------------------------------

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Json:
        """What has no method of its own here: one request of the API, whose answer is an object.

        It is repeated as all others are; give what makes something new an Idempotency-Key. Values of the query that
        are None are left out. `path_of` makes paths. Raises ProblemError, CoordinatorUnavailable.
        """
        return await self._ask(method, path, body=body, query=_stated(query or {}), headers=headers)

    async def items(self, path: str, *, limit: int, **filters: Any) -> AsyncIterator[Json]:
        """The items of any list of the API, page by page, at most `limit`."""
        async for item in self._some(path, limit, filters):
            yield item

    # -- requests ----------------------------------------------------------------------------------------------------

    async def _some(self, path: str, limit: int, filters: Mapping[str, Any]) -> AsyncIterator[Json]:
        count = 0
        async for item in self._pages(path, {**_stated(filters), "limit": min(limit, 200)}):
            if count == limit:
                return
            count += 1
            yield item

    async def _pages(self, path: str, query: Mapping[str, Any]) -> AsyncIterator[Json]:
        page = await self._ask("GET", path, query=query)
        while True:
            for item in page["items"]:
                yield item
            if page["next"] is None:
                return
            page = await self._ask("GET", page["next"])

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        wait_seconds: float = 0,
    ) -> Json:
        """The answer to one request as JSON. Raises ProblemError, CoordinatorUnavailable."""
        response = await self._send(method, path, body=body, query=query, headers=headers, wait_seconds=wait_seconds)
        value = _json(response)
        if isinstance(value, dict):
            return value
        raise ProblemError(response.status_code, {})

    async def _send(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        wait_seconds: float = 0,
    ) -> httpx2.Response:
        """One request, repeated while nobody can answer it. Raises ProblemError, CoordinatorUnavailable."""
        sent = dict(headers or {})
        if wait_seconds:
            sent["Prefer"] = f"wait={wait_seconds:g}"
        failed = ""
        for tried in range(self._tries):
            retry_after: str | None = None
            try:
                response = await self._http.request(
                    method, path, json=body, params=query, headers=sent, timeout=self._timeout_seconds + wait_seconds
                )
            except httpx2.TransportError as error:
                failed = str(error) or type(error).__name__
            else:
                if response.status_code not in repeated_statuses:
                    return _unless_refused(response)
                retry_after = response.headers.get("retry-after")
                failed = f"{response.status_code} {response.reason_phrase}"
            if tried + 1 < self._tries:
                await asyncio.sleep(_pause_seconds(tried, retry_after))
        raise CoordinatorUnavailable(str(self._http.base_url), failed, self._tries)


def _trusting_nobody() -> ssl.SSLContext:
    """For a plain address, which asks nobody for a certificate: to read all that are trusted takes a tenth of a second
    of every command. Should it lead to TLS all the same, nothing is accepted."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _unless_refused(response: httpx2.Response) -> httpx2.Response:
    if response.is_success:
        return response
    problem = _json(response)
    raise ProblemError(response.status_code, problem if isinstance(problem, dict) else {})


def _json(response: httpx2.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _stated(values: Mapping[str, Any]) -> Json:
    return {name: value for name, value in values.items() if value is not None}


def _pause_seconds(tried: int, retry_after: str | None) -> float:
    """Before the next try: growing, spread so that many clients don't come back at once, or what was asked for."""
    if retry_after is not None and retry_after.isdigit():
        return min(float(retry_after), pause_cap_seconds)
    return min(pause_cap_seconds, pause_first_seconds * 2.0**tried) * random.uniform(0.5, 1.0)


def path_of(*parts: object) -> str:
    """A path of these parts, whatever they hold."""
    return "".join("/" + quote(str(part), safe="") for part in parts)


def _document(definition: Mapping[str, Any] | Definable) -> Json:
    return dict(definition) if isinstance(definition, Mapping) else definition.document()


def _refused_definition(problem: ProblemError) -> ProblemError | DefinitionError:
    if not problem.type.endswith("/invalid-definition"):
        return problem
    faults = [{"message": error.get("detail"), **error} for error in problem.errors]
    return DefinitionError([{name: value for name, value in fault.items() if name != "detail"} for fault in faults])
