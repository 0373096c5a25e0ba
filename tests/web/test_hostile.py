"""Hostile requests: each was a 500 somewhere once. Here every one gets a problem document that blames the request."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.web.conftest import Site, chain, problem_of
from tests.web.failures import incident, remedy

depths = (33, 900, 1_000, 1_100, 10_000, 100_000)


def in_input(value: str) -> bytes:
    """A start whose input is this piece of JSON text."""
    return f'{{"definition":"chain","input":{value}}}'.encode()


unreadable: dict[str, bytes] = {
    "nothing": b"",
    "blanks": b"  \n",
    "half an object": b'{"definition":',
    "two values": b"{} {}",
    "a comment": b'{"definition":"chain" /* */}',
    "a trailing comma": b'{"definition":"chain",}',
    "bytes that are not UTF-8": b'{"definition":"\xff\xfe"}',
    "UTF-16": '{"definition":"chain"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "NaN": in_input("NaN"),
    "Infinity": in_input("-Infinity"),
    "a float beyond all floats": in_input("1e999"),
    "an integer of 70 bits": in_input(str(2**70)),
    "a negative integer of 70 bits": in_input(str(-(2**70))),
    "an integer of 100,000 digits": in_input("9" * 100_000),
    "a NUL": in_input('"\\u0000"'),
    "a NUL in a key": in_input('{"\\u0000":1}'),
    "a lone surrogate": in_input('"\\ud800"'),
    "a lone surrogate in a key": in_input('{"\\udfff":1}'),
    "a key twice": in_input('{"a":1,"a":2}'),
    "a key twice among 50,000": in_input("{" + ",".join(f'"k{n}":1' for n in range(50_000)) + ',"k49999":1}'),
    "a key that is twice and hostile": in_input('{"\\ud800":1,"\\ud800":2}'),
    **{f"lists nested {depth} deep": in_input("[" * depth + "]" * depth) for depth in depths},
    **{f"objects nested {depth} deep": in_input('{"a":' * depth + "1" + "}" * depth) for depth in depths},
    **{f"lists opened {depth} times": in_input("[" * depth) for depth in depths},
}

wrong: dict[str, object] = {
    "a list": [],
    "a text": "chain",
    "a number": 7,
    "null": None,
    "an empty object": {},
    "no definition": {"input": 1},
    "a definition that is a number": {"definition": 7},
    "a definition that is a list": {"definition": ["chain"]},
    "a definition that is null": {"definition": None},
    "a version that is a text": {"definition": "chain", "version": "1"},
    "a version that is true": {"definition": "chain", "version": True},
    "a version that is a fraction": {"definition": "chain", "version": 1.5},
    "a version of none": {"definition": "chain", "version": 0},
    "a version beyond 32 bits": {"definition": "chain", "version": 2**31},
    "an unknown key": {"definition": "chain", "inputs": 1},
    "an id": {"definition": "chain", "id": "mine"},
    "a status": {"definition": "chain", "status": "completed"},
    "a business key that is a number": {"definition": "chain", "business_key": 7},
    "a business key that is empty": {"definition": "chain", "business_key": ""},
    "a business key that is a book": {"definition": "chain", "business_key": "x" * 201},
    "tags that are a text": {"definition": "chain", "tags": "blue"},
    "tags that are numbers": {"definition": "chain", "tags": [1]},
    "21 tags": {"definition": "chain", "tags": [f"t{n}" for n in range(21)]},
    "a tag that is long": {"definition": "chain", "tags": ["x" * 65]},
    "an inline definition with a version": {"definition": chain, "version": 1},
    "an input of more than 256 KiB": {"definition": "chain", "input": "x" * (256 * 1024)},
    "an input of more than 10,000 values": {"definition": "chain", "input": [0] * 10_001},
}

bad_paths = (
    "/", "/v1", "/v2/sagas", "/v1/sagas/", "//", "/v1//sagas", "/v1/sagas/../definitions", "/v1/sagas/%2e%2e",
    "/v1/sagas/%00", "/v1/sagas/%ff", "/v1/sagas/%F0%9F", "/v1/sagas/%E2%80%AE", "/v1/sagas/a%2Fb", "/v1/sagas/%zz",
    "/v1/definitions/%00", "/v1/definitions/a/1e3", "/v1/definitions/a/" + "9" * 5000, "/v1/participants/%0d%0a",
    "/v1/dead-letters/%00", "/v1/pauses/%00", "/v1/outbox/%00/redrive", "/problems/%00", "/openapi.json/%00",
    "/v1/sagas?%00=1", "/v1/sagas?tag=%ff", "/v1/sagas?tag=%ed%a0%80", "/v1/sagas?&&&===", "/v1/sagas?tag",
    "/v1/sagas?cursor=%27%20OR%201=1--", "/v1/definitions?cursor=%00", "/v1/sagas?limit=" + "9" * 5000,
    "/v1/sagas?limit=1e3", "/v1/sagas?limit=-1", "/v1/sagas?limit=NaN", "/v1/sagas?limit=true", "/" + "a" * 20_000,
    "/v1/sagas?" + "a=1&" * 3_000, "/v1/sagas/%5B%5B/history?after=" + "9" * 100,
)  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_is_our_fault(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No request of this file is logged as an error of the coordinator."""
    yield
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR] == []


@pytest.fixture
async def hostile(database_url: str) -> AsyncIterator[Site]:
    site = Site(database_url)
    await site.start()
    await site.define(chain)
    yield site
    assert (await site.http.get("/livez")).status_code == 200
    await site.stop()


async def post(site: Site, path: str, body: bytes, content_type: str = "application/json") -> httpx2.Response:
    return await site.http.post(path, content=body, headers={"Content-Type": content_type})


async def test_a_body_that_cannot_be_kept_is_refused_everywhere(hostile: Site) -> None:
    for path in ("/v1/sagas", "/v1/definitions", "/v1/definitions/validate", "/v1/pauses"):
        for name, body in unreadable.items():
            response = await post(hostile, path, body)
            assert response.status_code in (400, 422), (path, name, response.text)
            slug = {400: "unreadable-body", 422: "invalid-definition"}[response.status_code]
            problem_of(response, response.status_code, slug)


async def test_a_start_that_says_the_wrong_thing_is_refused(hostile: Site) -> None:
    for name, value in wrong.items():
        response = await post(hostile, "/v1/sagas", json.dumps(value).encode())
        assert response.status_code == 422, (name, response.text)
        assert response.json()["errors"], name
    assert (await hostile.http.get("/v1/sagas")).json()["items"] == []


@pytest.mark.parametrize("path", bad_paths)
async def test_a_path_or_query_that_makes_no_sense_is_refused(small_site: Site, path: str) -> None:
    parts = urlsplit(small_site.url)
    for method in ("GET", "POST", "DELETE", "PATCH"):
        status, _ = await raw(
            parts.port or 0, f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n".encode()
        )
        assert status < 500, (method, path)
        assert status >= 400 or method == "GET", (method, path)


async def raw(port: int, head: bytes, body: bytes = b"") -> tuple[int, bytes]:
    """Send bytes as they are; the status code of the answer and its whole text."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(head + b"Connection: close\r\n\r\n" + body)
        await writer.drain()
        text = await reader.read()
    finally:
        writer.close()
    return int(text.split(b" ", 2)[1]), text


async def test_a_body_of_eleven_megabytes_is_too_large(hostile: Site) -> None:
    body = b'{"definition":"chain","input":"' + b"x" * (11 * 1024 * 1024) + b'"}'

    for path in ("/v1/sagas", "/v1/definitions"):
        problem_of(await post(hostile, path, body), 413, "body-too-large")


async def test_a_large_body_in_pieces_is_too_large(hostile: Site) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 64 * 1024

    response = await hostile.http.post("/v1/sagas", content=pieces(), headers={"Content-Type": "application/json"})

    problem_of(response, 413, "body-too-large")


async def test_what_is_not_json_by_its_own_word_is_refused(hostile: Site) -> None:
    body = json.dumps({"definition": "chain"}).encode()
    kinds = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml",
             "text/json", "", "application/json; charset=utf-16", "application/jsonp", "*/*")  # fmt: skip
    for kind in kinds:
        problem_of(await post(hostile, "/v1/sagas", body, kind), 415, "wrong-content-type")
    for kind in ("application/json", "application/json; charset=UTF-8", "application/vnd.amends+json"):
        assert (await post(hostile, "/v1/sagas", body, kind)).status_code == 202, kind


async def test_a_method_that_a_resource_does_not_know_is_told_which_it_does(hostile: Site) -> None:
    for method, path, allowed in (
        ("DELETE", "/v1/sagas", {"GET", "HEAD", "POST", "OPTIONS"}),
        ("PUT", "/v1/definitions/chain", {"GET", "HEAD", "OPTIONS"}),
        ("GET", "/v1/definitions/validate", {"POST", "OPTIONS"}),
        ("HEAD", "/v1/definitions/validate", {"POST", "OPTIONS"}),
        ("TRACE", "/livez", {"GET", "HEAD", "OPTIONS"}),
    ):
        response = await hostile.http.request(method, path)
        assert response.status_code == 405
        if method != "HEAD":
            problem_of(response, 405, "method-not-allowed")
        assert {one.strip() for one in response.headers["allow"].split(",")} == allowed


async def test_head_is_get_without_a_body(hostile: Site) -> None:
    for path in ("/", "/livez", "/v1/sagas?limit=1", "/v1/sagas/nobody", "/v1/nothing", "/v1/sagas?limit=no"):
        whole, bare = await hostile.http.get(path), await hostile.http.head(path)
        assert (bare.status_code, bare.content) == (whole.status_code, b""), path
        changing = {"date", "x-request-id", "etag"}
        assert {name: value for name, value in bare.headers.items() if name not in changing} == {
            name: value for name, value in whole.headers.items() if name not in changing
        }, path
    async with asyncio.timeout(10):  # what has no end as a body has one as headers
        endless = await hostile.http.head("/v1/events")
    assert endless.headers["content-type"].startswith("text/event-stream")


async def test_headers_that_make_no_sense_are_refused_or_ignored(hostile: Site) -> None:
    for headers, status in (
        ({"X-Amends-Actor": "x" * 101}, 400),
        ({"X-Amends-Actor": "é"}, 400),
        ({"X-Amends-Actor": "a\tb"}, 400),
        ({"Prefer": "wait=forever"}, 202),
        ({"Prefer": "wait=-1"}, 202),
        ({"Prefer": "wait=" + "9" * 30}, 202),
        ({"Prefer": "respond-async, ;;;=,,"}, 202),
        ({"Accept": "text/html"}, 202),
        ({"traceparent": "00-zzz"}, 202),
    ):
        encoded = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
        response = await hostile.http.post("/v1/sagas", json={"definition": "chain"}, headers=encoded)
        assert response.status_code == status, (headers, response.text)


async def test_what_people_say_is_kept_as_they_said_it(hostile: Site) -> None:
    strange = "<script>alert(1)</script> ‮ \t\r\n ${input} '; DROP TABLE sagas; -- 💥 =1+1"
    saga_id = await hostile.begin("chain", input={strange: strange}, business_key=strange[:200], tags=[strange[:60]])

    saga = await hostile.saga(saga_id)

    assert (saga["input"], saga["business_key"], saga["tags"]) == ({strange: strange}, strange, [strange[:60]])
    paused = await hostile.http.post(f"/v1/sagas/{saga_id}/pause", json={"reason": strange})
    assert paused.json()["paused"]["reason"] == strange


# --- whatever JSON there is -------------------------------------------------------------------------------------------

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
names = st.sampled_from(
    ["definition", "version", "input", "business_key", "tags", "name", "filter", "verb", "arguments",
     "status", "steps", "participant", "action", "compensation",
     "after", "kind", "by", "reason", "scope", "settlement", "result", "retry", "when", "timeout", "chain", "p"]
)  # fmt: skip
values = st.recursive(
    scalars | names, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names | st.text(), inner, max_size=5)
)
bodies = st.dictionaries(names, values, max_size=6) | values
posts = (
    "/v1/definitions", "/v1/definitions/validate", "/v1/sagas", "/v1/pauses", "/v1/sagas/{saga}/cancel",
    "/v1/sagas/{saga}/pause", "/v1/sagas/{saga}/resume", "/v1/sagas/{saga}/close",
    "/v1/sagas/{saga}/steps/charge/retry", "/v1/sagas/{saga}/steps/charge/settle",
    "/v1/sagas/{saga}/steps/charge/waive", "/v1/sagas/{saga}/steps/charge/skip", "/v1/dead-letters/x/redrive",
    "/v1/dead-letters/x/discard", "/v1/outbox/x:y/redrive", "/v1/incidents/{incident}/refresh",
    "/v1/incidents/{incident}/feedback", "/v1/remedies/{remedy}/approve", "/v1/remedies/{remedy}/reject", "/v1/changes",
    "/v1/sagas/bulk", "/v1/bulk/{bulk}/cancel", "/v1/remedies/{remedy}/undo", "/v1/pauses/x/resume",
    "/v1/notifications/x/redeliver", "/v1/notifications/subscriptions",
)  # fmt: skip


@pytest.mark.parametrize("path", posts)
async def test_no_body_whatever_is_the_coordinators_fault(hostile: Site, path: str) -> None:
    incident_id = await incident(hostile)
    saga_id = await hostile.begin()
    asked = {"filter": {"ids": [saga_id]}, "verb": "pause", "reason": "r"}
    bulk_id = (await hostile.http.post("/v1/sagas/bulk", json=asked)).json()["id"]
    remedy_id = await remedy(hostile, incident_id)
    path = path.format(saga=saga_id, incident=incident_id, remedy=remedy_id, bulk=bulk_id)
    port = urlsplit(hostile.url).port or 0
    loop = asyncio.get_running_loop()

    @given(body=bodies)
    @settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def send(body: object) -> None:
        text = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(text)}\r\n"
        head += "Content-Type: application/json\r\n"
        status, answer = asyncio.run_coroutine_threadsafe(raw(port, head.encode(), text), loop).result(30)
        assert status < 500, answer

    await asyncio.to_thread(send)


async def test_every_post_of_the_api_is_among_those_tried(small_site: Site) -> None:
    described = (await small_site.http.get("/openapi.json")).json()["paths"]
    known = {path for path, item in described.items() if "post" in item}
    tried = {
        path.replace("{saga}", "{saga_id}")
        .replace("/steps/charge/", "/steps/{step}/")
        .replace("/dead-letters/x/", "/dead-letters/{letter_id}/")
        .replace("/outbox/x:y/", "/outbox/{command_id}/")
        .replace("{incident}", "{incident_id}")
        .replace("{remedy}", "{remedy_id}")
        .replace("{bulk}", "{bulk_id}")
        .replace("/pauses/x/", "/pauses/{pause_id}/")
        .replace("/notifications/x/", "/notifications/{notification_id}/")
        for path in posts
    }
    tried |= {"/v1/session", "/v1/keys", "/v1/keys/{key_id}/rotate"}  # in tests/access

    assert tried == known
