"""Bodies, parameters and headers, read strictly: what is wrong is said at the door, and nothing is guessed."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any, TypeVar

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.params import HeaderParameter, QueryParameter
from pydantic import BaseModel, ConfigDict, ValidationError

from amends.errors import PayloadError
from amends.message import payload_bytes_max
from amends.payload import check_value, nodes_max, parse
from coordinator.web.asking import asking
from coordinator.web.problems import ProblemError, Refusal

Asked = Request[Any, Any, Any]
Model = TypeVar("Model", bound=BaseModel)

body_bytes_max = 1024 * 1024
# Of a body that was read: no part of it can be too much. There is a byte at least to each value, and none takes more
# than five times what it was read from to write (1e15 becomes 1000000000000000.0).
small_bytes_max = min(nodes_max, payload_bytes_max // 5)
parameter_chars_max = 300
actor_chars_max = 100
key_chars_max = 128
wait_seconds_max = 60.0
harmless = ("GET", "HEAD", "OPTIONS")
created_years = range(1970, 3000)
any_query = "any_query"  # an option of a route: what its query has is not the door's to check

_quoted_key = re.compile(r'"((?:[\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')  # RFC 8941, without spaces
_bare_key = re.compile(r"[\x21\x23-\x7e]+")
_actor = re.compile(r"[\x20-\x7e]+")
_wait = re.compile(r"wait\s*=\s*\"?(\d{1,6})\"?", re.ASCII | re.IGNORECASE)
_minimal = re.compile(r"return\s*=\s*\"?minimal\"?", re.ASCII | re.IGNORECASE)


class Body(BaseModel):
    """The body of a request. An unknown key is refused: nothing is accepted that isn't meant."""

    model_config = ConfigDict(extra="forbid", frozen=True)


async def read_json(request: Asked, *, nodes: int = nodes_max) -> Any:
    """The body as JSON that can be kept. Answers 400, 413 and 415."""
    if not await request.body():
        raise Refusal("unreadable-body", "the body is empty; it must be JSON")
    _check_content_type(request)
    try:
        return parse(await request.body(), nodes=nodes)
    except PayloadError as error:
        errors = [ProblemError(str(error), pointer=pointer(error.path.split(".")))] if error.path else []
        raise Refusal("unreadable-body", str(error), errors=errors) from error


async def read_body(request: Asked, model: type[Model], *, may_be_empty: bool = False, nodes: int = nodes_max) -> Model:
    """The body as what it must say. Answers 400, 413, 415 and 422."""
    empty = may_be_empty and not await request.body()
    value = {} if empty else await read_json(request, nodes=nodes)
    try:
        found = model.model_validate(value)
        asking().why = vars(found).get("reason")
        return found
    except ValidationError as error:
        errors = [
            ProblemError(fault["msg"], pointer=pointer(fault["loc"]))
            for fault in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        raise Refusal(
            "invalid-body", f"{errors[0].pointer or 'the body'}: {errors[0].detail}", errors=errors
        ) from error


def pointer(parts: Any) -> str:
    """A JSON pointer (RFC 6901) to a place in the body."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def _check_content_type(request: Asked) -> None:
    media_type, parameters = request.content_type
    charset = parameters.get("charset", "utf-8").lower()
    if media_type != "application/json" and not re.fullmatch(r"application/[\w.-]+\+json", media_type):
        raise Refusal("wrong-content-type", f"{media_type or 'no content type'}; send application/json")
    if charset not in ("utf-8", "utf8", "us-ascii"):
        raise Refusal("wrong-content-type", f"charset {charset[:50]}; JSON is UTF-8")


def check_payload(value: Any, name: str) -> None:
    """Whether this part of a body may travel as one input or result. Answers 422."""
    size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
    try:
        check_value(value)
        if size > payload_bytes_max:
            raise PayloadError(f"{size} bytes; at most {payload_bytes_max}")
    except PayloadError as error:
        raise Refusal("invalid-input", f"{name}: {error}", errors=[ProblemError(str(error), f"/{name}")]) from error


# --- headers ----------------------------------------------------------------------------------------------------------


def idempotency_key(request: Asked) -> str | None:
    """The key of the request: a quoted string of RFC 8941, or the bare token. Answers 400 for what is neither."""
    given = request.headers.getall("idempotency-key", [])
    if not given:
        return None
    value = given[0].strip()
    quoted = _quoted_key.fullmatch(value)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else value if _bare_key.fullmatch(value) else ""
    if len(given) > 1 or not 1 <= len(key) <= key_chars_max:
        detail = f"1 to {key_chars_max} visible ASCII characters, once"
        error = ProblemError(detail, parameter="Idempotency-Key")
        raise Refusal("bad-parameter", f"Idempotency-Key: {detail}", errors=[error])
    return key


def preferred_wait_seconds(request: Asked) -> float | None:
    """How long the caller would wait for the end (`Prefer: wait=10`). As RFC 7240 has it, what is unreadable doesn't
    count."""
    for preference in _preferences(request):
        found = _wait.fullmatch(preference)
        if found:
            return min(float(found[1]), wait_seconds_max)
    return None


def prefers_little(request: Asked) -> bool:
    """Whether the caller wants no more of it than what came of it (`Prefer: return=minimal`)."""
    return any(_minimal.fullmatch(preference) for preference in _preferences(request))


def _preferences(request: Asked) -> list[str]:
    return [one.strip() for given in request.headers.getall("prefer", ()) for one in given.split(",")]


def actor_of(request: Asked, stated: str | None) -> str:
    """Who asks: the name that was found out at the door. Whom the body names, or the header X-Amends-Actor, is then
    whom they ask for. Where nobody is asked who they are, it is what they say, or nobody in particular."""
    named, now = stated or _named(request), asking()
    if now.principal is None or not now.principal.known:
        now.on_behalf_of = named
        return named or "anonymous"
    now.on_behalf_of = None if named == now.principal.name else named
    return now.principal.name


def _named(request: Asked) -> str | None:
    value = request.headers.get("x-amends-actor", "").strip()
    if not value:
        return None
    if len(value) > actor_chars_max or not _actor.fullmatch(value):
        detail = f"at most {actor_chars_max} printable ASCII characters"
        error = ProblemError(detail, parameter="X-Amends-Actor")
        raise Refusal("bad-parameter", f"X-Amends-Actor: {detail}", errors=[error])
    return value


# --- parameters -------------------------------------------------------------------------------------------------------


def check_parameters(request: Asked) -> None:
    """Before any handler: the query has only parameters that the route knows, once each, of text that can be kept."""
    if not request.scope["query_string"] and not request.path_params:
        return
    errors = []
    given = list(request.query_params.multi_items())
    known = _query_names(request) if given else set()
    seen: set[str] = set()
    for name, value in given:
        if name not in known:
            hint = f"this route knows {', '.join(sorted(known))}" if known else "this route knows none"
            errors.append(ProblemError("unknown parameter", parameter=name[:100], hint=hint))
        elif name in seen:
            errors.append(ProblemError("given twice", parameter=name))
        elif not _is_plain(str(value)):
            errors.append(ProblemError(f"not up to {parameter_chars_max} printable characters", parameter=name))
        seen.add(name)
    errors += [
        ProblemError(f"not up to {parameter_chars_max} printable characters", parameter=name)
        for name, value in request.path_params.items()
        if not _is_plain(str(value))
    ]
    if errors:
        raise Refusal("bad-parameter", f"{errors[0].parameter}: {errors[0].detail}", errors=errors)


def _query_names(connection: ASGIConnection[Any, Any, Any, Any]) -> set[str]:
    """The names of the route's query parameters: of its function, without the path's, the headers' and the desk."""
    fields = connection.route_handler.parsed_fn_signature.parameters
    return {
        (isinstance(field.kwarg_definition, QueryParameter) and field.kwarg_definition.name) or name
        for name, field in fields.items()
        if name not in connection.path_params
        and name not in ("request", "desk")
        and not isinstance(field.kwarg_definition, HeaderParameter)
    }


def _is_plain(text: str) -> bool:
    return len(text) <= parameter_chars_max and text.isprintable()


def aware(name: str, at: datetime | None) -> datetime | None:
    """A time that says its offset, in a year that the database knows. Answers 400."""
    if at is None:
        return None
    if at.tzinfo is None or at.year not in created_years:
        detail = "a time with its offset, such as 2030-01-31T12:00:00Z"
        raise Refusal("bad-parameter", f"{name}: {detail}", errors=[ProblemError(detail, parameter=name)])
    return at.astimezone(UTC)


def bad_parameter(name: str, detail: str) -> Refusal:
    """One parameter is wrong."""
    return Refusal("bad-parameter", f"{name}: {detail}", errors=[ProblemError(detail, parameter=name)])


def next_link(more: str | None) -> dict[str, str]:
    """The header that says where the next page is."""
    return {"Link": f'<{more}>; rel="next"'} if more else {}
