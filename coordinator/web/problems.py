"""Every error as a problem document (RFC 9457), with a type that stays the same for as long as its meaning does."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.openapi.datastructures import ResponseSpec
from litestar.types import ExceptionHandlersMap
from sqlalchemy.exc import DataError

from amends.errors import PayloadError
from coordinator.errors import (
    InvalidDefinition,
    MovedSince,
    Quarantined,
    RedriveRefused,
    RemedyRefused,
    StoreUnavailable,
    UnknownDeadLetter,
    UnknownDefinition,
    UnknownRemedy,
    UnknownSaga,
)
from coordinator.web.asking import asking

log = logging.getLogger(__name__)

media_type = "application/problem+json"
detail_chars_max = 1000
errors_max = 200
retry_after_seconds = 1
anywhere = ("bad-parameter", "unauthenticated", "forbidden", "other-site", "unknown-host", "too-many-requests",
            "internal-error", "store-unavailable")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kind:
    """One type of problem: its status code, and its title, which never changes."""

    status: int
    title: str


# The slug is the last part of the type's URI, "/problems/<slug>". One that is published keeps its meaning.
KINDS: Mapping[str, Kind] = {
    "unreadable-body": Kind(400, "The body is not JSON that can be kept"),
    "bad-parameter": Kind(400, "A parameter or header of the request is wrong"),
    "bad-request": Kind(400, "The request is wrong"),
    "unauthenticated": Kind(401, "It is not known who asks"),
    "forbidden": Kind(403, "This is not for who asks"),
    "other-site": Kind(403, "A page of another site asked a browser for this"),
    "unknown-host": Kind(403, "This was asked for by a name that is not this coordinator's"),
    "not-found": Kind(404, "There is nothing here"),
    "unknown-saga": Kind(404, "There is no such saga"),
    "unknown-definition": Kind(404, "There is no such definition"),
    "no-payload": Kind(404, "Nothing went in or came out here"),
    "unknown-bulk": Kind(404, "Nothing of this id was asked of many sagas"),
    "unknown-step": Kind(404, "The saga has no such step"),
    "unknown-dead-letter": Kind(404, "There is no such dead letter"),
    "unknown-participant": Kind(404, "No worker of this participant was ever heard of"),
    "unknown-pause": Kind(404, "There is no such pause, or it has ended"),
    "unknown-command": Kind(404, "There is no such parked command in the outbox"),
    "unknown-incident": Kind(404, "There is no such incident"),
    "unknown-report": Kind(404, "There is no such report, or not yet"),
    "unknown-notification": Kind(404, "There is no such notification"),
    "unknown-entry": Kind(404, "There is no such entry in the audit"),
    "unknown-key": Kind(404, "There is no such key, or it has been revoked or followed"),
    "unknown-subscription": Kind(404, "There is no such subscription, or it has ended"),
    "unknown-remedy": Kind(404, "There is no such remedy"),
    "nothing-to-explain": Kind(404, "Nothing failed that could be explained"),
    "diagnosis-off": Kind(404, "This coordinator explains no failures: it is set so"),
    "method-not-allowed": Kind(405, "This resource does not know this method"),
    "saga-not-final": Kind(409, "The saga has not ended yet"),
    "verb-refused": Kind(409, "This can't be asked of the saga as it stands"),
    "redrive-refused": Kind(409, "This can't be sent again, or discarded, as things stand"),
    "bulk-refused": Kind(409, "This can't be asked of many sagas now"),
    "redelivery-refused": Kind(409, "This can't be delivered again as things stand"),
    "too-many-keys": Kind(409, "There are as many keys as there may be"),
    "too-many-subscriptions": Kind(409, "There are as many subscriptions as there may be"),
    "remedy-refused": Kind(409, "This can't be done with the remedy as it stands"),
    "saga-quarantined": Kind(409, "The saga stands still: this release can't decide it"),
    "moved-since": Kind(412, "The saga has moved since you looked at it"),
    "body-too-large": Kind(413, "The body is too large"),
    "wrong-content-type": Kind(415, "The body is not application/json"),
    "invalid-body": Kind(422, "The body does not say what it must"),
    "address-refused": Kind(422, "A webhook may not go there"),
    "invalid-definition": Kind(422, "The definition breaks the rules"),
    "invalid-input": Kind(422, "The input is not what the definition asks for"),
    "idempotency-key-reused": Kind(422, "The idempotency key belongs to another request"),
    "too-many-requests": Kind(429, "This was asked too often of late"),
    "internal-error": Kind(500, "Something went wrong in the coordinator"),
    "unreadable-record": Kind(500, "What is stored can't be read by this release"),
    "store-unavailable": Kind(503, "The database can't be reached now"),
    "timed-out": Kind(503, "This took too long"),
    "too-many-listeners": Kind(503, "Too many listen to this coordinator already"),
    "provider-unavailable": Kind(503, "The identity provider can't be reached now"),
    "overloaded": Kind(503, "Too much waits already to start more"),
    "stopping": Kind(503, "This coordinator is stopping"),
    "not-alive": Kind(503, "A loop of this coordinator has ended"),
    "not-ready": Kind(503, "This coordinator can't serve now"),
}

_of_status = {404: "not-found", 405: "method-not-allowed", 413: "body-too-large", 415: "wrong-content-type"}


@dataclass(frozen=True, slots=True)
class ProblemError:
    """One of several things that are wrong: where (a JSON pointer, or a rule and a step), and what to do about it."""

    detail: str
    pointer: str | None = None
    parameter: str | None = None
    rule: str | None = None
    step: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """The document. `saga_status` and `allowed` are there when a saga refused what was asked of it."""

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[ProblemError, ...] = ()
    saga_status: str | None = None
    allowed: tuple[str, ...] | None = None


class Refusal(Exception):
    """Ends a request with a problem document."""

    def __init__(
        self,
        slug: str,
        detail: str,
        *,
        errors: Sequence[ProblemError] = (),
        saga_status: str | None = None,
        allowed: Sequence[str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.slug, self.detail, self.errors = slug, detail, tuple(errors)
        self.saga_status, self.headers = saga_status, dict(headers or {})
        self.allowed = None if allowed is None else tuple(allowed)


def respond(refusal: Refusal) -> Response[dict[str, Any]]:
    """The problem document as a response."""
    kind = KINDS[refusal.slug]
    asking().problem = f"{refusal.slug}: {refusal.detail}"
    headers = dict(refusal.headers)
    if kind.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.setdefault("Retry-After", str(retry_after_seconds))
    document: dict[str, Any] = {
        "type": f"/problems/{refusal.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": refusal.detail[:detail_chars_max],
    }
    if refusal.errors:
        document["errors"] = [_stated(error) for error in refusal.errors[:errors_max]]
    if refusal.saga_status is not None:
        document["saga_status"] = refusal.saga_status
    if refusal.allowed is not None:
        document["allowed"] = list(refusal.allowed)
    return Response(document, status_code=kind.status, media_type=media_type, headers=headers)


def _stated(error: ProblemError) -> dict[str, str]:
    names = ("detail", "pointer", "parameter", "rule", "step", "hint")
    return {name: value[:detail_chars_max] for name in names if (value := getattr(error, name)) is not None}


def documented(*slugs: str) -> dict[int, ResponseSpec]:
    """The problems a route may answer, for its OpenAPI description, beside those that any route may."""
    titles: dict[int, list[str]] = {}
    for slug in (*slugs, *anywhere):
        titles.setdefault(KINDS[slug].status, []).append(f"{KINDS[slug].title} (`{slug}`)")
    return {
        status: ResponseSpec(
            data_container=Problem, description="; ".join(said), media_type=media_type, generate_examples=False
        )
        for status, said in sorted(titles.items())
    }


def invalid_definition(error: InvalidDefinition) -> Refusal:
    """Every fault of a definition, each with its rule, step and hint."""
    errors = [ProblemError(fault.message, rule=fault.rule, step=fault.step, hint=fault.hint) for fault in error.faults]
    count = len(error.faults)
    return Refusal("invalid-definition", f"{count} {'fault' if count == 1 else 'faults'} found", errors=errors)


# --- handlers ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Known:
    """An error of the floors below, and which problem it is to a caller."""

    slug: str
    detail: str | None = field(default=None)

    def __call__(self, _: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
        return respond(Refusal(self.slug, self.detail or str(error)))


def _refused(_: Request[Any, Any, Any], refusal: Refusal) -> Response[dict[str, Any]]:
    return respond(refusal)


def _invalid_definition(_: Request[Any, Any, Any], error: InvalidDefinition) -> Response[dict[str, Any]]:
    return respond(invalid_definition(error))


def _http(request: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, Any]]:
    """What the framework refuses: unknown routes, methods, parameters of the wrong type, bodies too large."""
    if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _unhandled(request, error)
    slug = _of_status.get(error.status_code, "bad-request")
    headers = dict(error.headers or {})
    if "GET" in (allowed := headers.get("allow", headers.get("Allow", ""))):  # whatever knows GET knows HEAD
        headers = {"Allow": f"{allowed}, HEAD"}
    errors = []
    if error.status_code == HTTPStatus.BAD_REQUEST and isinstance(error.extra, list):
        slug = "bad-parameter"
        errors = [
            ProblemError(str(item.get("message", "")), parameter=str(item["key"]) if item.get("key") else None)
            for item in error.extra
            if isinstance(item, dict)
        ]
    return respond(Refusal(slug, _sentence(slug, request, error), errors=errors, headers=headers))


def _sentence(slug: str, request: Request[Any, Any, Any], error: HTTPException) -> str:
    match slug:
        case "not-found":
            return f"no route {request.scope['path'][:200]}"
        case "method-not-allowed":
            return f"{request.scope['method']} is not among the methods of {request.scope['path'][:200]}"
        case "bad-parameter":
            return "a parameter has a value it can't have"
        case _:
            return error.detail


def _unhandled(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    log.error(
        "%s %s failed",
        request.scope["method"],
        request.scope["path"][:200],
        exc_info=error,
        extra={"action": "web.unhandled"},
    )
    return respond(Refusal("internal-error", "an unexpected error; the coordinator's log says more"))


def handlers() -> ExceptionHandlersMap:
    """Which error becomes which problem. What is listed nowhere is ours: logged, and 500."""
    return {
        Refusal: _refused,
        HTTPException: _http,
        InvalidDefinition: _invalid_definition,
        UnknownSaga: _Known("unknown-saga"),
        UnknownDefinition: _Known("unknown-definition"),
        UnknownDeadLetter: _Known("unknown-dead-letter"),
        RedriveRefused: _Known("redrive-refused"),
        UnknownRemedy: _Known("unknown-remedy"),
        RemedyRefused: _Known("remedy-refused"),
        Quarantined: _Known("saga-quarantined"),
        MovedSince: _Known("moved-since"),
        StoreUnavailable: _Known("store-unavailable", "nothing was changed, or it is unknown whether: ask again"),
        TimeoutError: _Known("timed-out", "it may still be carried out: ask again, with the same idempotency key"),
        PayloadError: _Known("unreadable-body"),
        RecursionError: _Known("unreadable-body", "nested too deep"),
        UnicodeDecodeError: _Known("bad-parameter", "not UTF-8"),
        DataError: _Known("bad-request", "a value that the database can't hold"),
        Exception: _unhandled,
    }
