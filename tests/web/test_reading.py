"""What a request costs is kept small: what is left out for that changes no answer."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from litestar import Litestar, Response, get
from litestar.testing import AsyncTestClient

from amends.message import payload_bytes_max
from amends.payload import nodes_max, parse
from coordinator.web.api import sagas
from coordinator.web.api.sagas import StartSaga
from coordinator.web.door import glance
from coordinator.web.reading import small_bytes_max
from coordinator.web.responses import JsonResponse
from coordinator.web.seen import Accepted
from coordinator.web.showing import links

numbers = st.builds(
    "{}{}e{}".format, st.sampled_from(["", "-"]), st.integers(0, 99) | st.just("1.5"), st.integers(-20, 20)
)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@given(st.lists(numbers | texts.map(json.dumps) | texts.map(lambda text: json.dumps(text, ensure_ascii=False))))
def test_no_value_takes_more_than_five_times_what_it_was_read_from(written: list[str]) -> None:
    body = f"[{','.join(written)}]".encode()
    again = json.dumps(parse(body), ensure_ascii=False, separators=(",", ":")).encode()
    assert len(again) <= 5 * len(body)
    assert small_bytes_max * 5 <= payload_bytes_max
    assert small_bytes_max <= nodes_max


def test_the_identity_of_a_request_is_what_it_was() -> None:
    said = {"definition": {"name": "a", "steps": [{"b": 1.0, "a": None}]}, "input": {"ü": [1, True]}, "tags": ["x"]}
    assert sagas._hash(StartSaga.model_validate(said)) == (
        "a6996c537f6dbb2f3ff0d2b8c83cea34bca7256e1e5db59719111bb648c67d09"
    )


async def test_a_json_response_is_what_the_frameworks_own_would_be() -> None:
    accepted = Accepted("01", "chain", 1, links("01", "chain", 1))
    told: dict[str, Any] = {"status_code": 202, "headers": {"Location": "/v1/sagas/01", "Retry-After": "1"}}

    @get("/own")
    async def own() -> Response[Accepted]:
        return Response(accepted, **told)

    @get("/lean")
    async def lean() -> Response[Accepted]:
        return JsonResponse(accepted, **told)

    async with AsyncTestClient(Litestar([own, lean], openapi_config=None)) as client:
        first, second = await client.get("/own"), await client.get("/lean")
    assert (first.status_code, first.content, sorted(first.headers.items())) == (
        second.status_code, second.content, sorted(second.headers.items()),
    )  # fmt: skip


def test_a_glance_sees_facts_and_nothing_else() -> None:
    accepted = Accepted("01", "chain", 1, links("01", "chain", 1))
    assert glance(accepted) == {"id": "01", "definition": "chain", "version": 1}
    assert glance({"id": "01"}) is None
    assert glance(None) is None
