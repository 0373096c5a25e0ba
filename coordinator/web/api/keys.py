"""API keys: made, listed, followed by new ones, revoked. A key's text is told once, when it is made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from litestar import Controller, Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from pydantic import Field, StrictBool, StrictStr, StringConstraints

from coordinator.access.keys import mint
from coordinator.store.access import ApiKey, Role
from coordinator.store.keys import keys_max
from coordinator.web.api.verbs import Reason
from coordinator.web.asking import asking
from coordinator.web.auditing import after, because, before
from coordinator.web.describing import body_of, taking
from coordinator.web.desk import Desk
from coordinator.web.problems import Refusal, documented
from coordinator.web.reading import Body, actor_of, read_body

seconds_max = 10 * 366 * 86400.0
overlap_seconds_default, overlap_seconds_max = 86400.0, 30 * 86400.0

refusals = ("unreadable-body", "body-too-large", "wrong-content-type", "invalid-body")
Seconds = Annotated[float, Field(strict=True, gt=0, le=seconds_max)]


class Making(Body):
    """Whose key it is to be, what it may do, and for how long. `payloads`: it may see what goes through sagas."""

    name: Annotated[StrictStr, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@:-]{0,62}$")]
    role: Role
    payloads: StrictBool = False
    seconds: Seconds | None = Field(default=None, description="how long it is valid; none: until it is revoked")
    reason: Reason | None = None


class Rotating(Body):
    """How long the key that is followed stays valid beside the new one, and how long the new one is."""

    overlap_seconds: Annotated[float, Field(strict=True, ge=0, le=overlap_seconds_max)] = overlap_seconds_default
    seconds: Seconds | None = None
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class KeySeen:
    """A key. `prefix` is the part of it that may be shown; `key` is all of it, in the answer that made it and never
    again."""

    id: str
    prefix: str
    name: str
    role: str
    payloads: bool
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None  # to the minute or so
    replaced_by: str | None
    revoked_at: datetime | None
    revoked_by: str | None
    valid: bool
    key: str | None = None


@dataclass(frozen=True, slots=True)
class KeyList:
    items: tuple[KeySeen, ...]


class Keys(Controller):
    path = "/v1/keys"
    tags = ("access",)

    @get("/", summary="The keys, the newest first, without what is secret of them", responses=documented())
    async def list_keys(self, desk: NamedDependency[Desk]) -> KeyList:
        now = desk.coordinator.clock.now()
        return KeyList(tuple(shown(key, now) for key in await desk.coordinator.access.keys.list()))

    @post(
        "/",
        summary="Make a key; the answer has it, this once",
        operation_class=taking(body_of(Making)),
        responses=documented(*refusals, "too-many-keys"),
        status_code=201,
    )
    async def make(self, request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[KeySeen]:
        asked = await read_body(request, Making)
        _check_no_more_than_own(asked.payloads)
        before()
        now, access = desk.coordinator.clock.now(), desk.coordinator.access
        key, text = mint(
            asked.name,
            asked.role,
            payloads=asked.payloads,
            by=actor_of(request, None),
            now=now,
            expires_at=now + timedelta(seconds=asked.seconds) if asked.seconds else None,
        )
        if not await access.keys.add(key):
            raise Refusal("too-many-keys", f"there are {keys_max} already: revoke one first")
        access.keyring.forget()
        return Response(shown(key, now, text), status_code=201, headers=_kept_by_nobody)

    @post(
        "/{key_id:str}/rotate",
        summary="Let a new key follow one, which stays valid for a while beside it; the answer has the new one",
        operation_class=taking(body_of(Rotating), required=False),
        responses=documented(*refusals, "unknown-key", "too-many-keys"),
        status_code=201,
    )
    async def rotate(
        self, request: Request[Any, Any, Any], desk: NamedDependency[Desk], key_id: FromPath[str]
    ) -> Response[KeySeen]:
        asked = await read_body(request, Rotating, may_be_empty=True)
        now, access = desk.coordinator.clock.now(), desk.coordinator.access
        old = await access.keys.get(key_id)
        if old is None or not old.valid(now):
            raise _unknown(key_id)
        _check_no_more_than_own(old.payloads)
        before(id=old.id, name=old.name, expires_at=old.expires_at)
        lasts = timedelta(seconds=asked.seconds) if asked.seconds else None
        if lasts is None and old.expires_at is not None:
            lasts = old.expires_at - old.created_at  # as long as the one it follows was to last
        key, text = mint(
            old.name,
            old.role,
            payloads=old.payloads,
            by=actor_of(request, None),
            now=now,
            expires_at=now + lasts if lasts else None,
        )
        until = now + timedelta(seconds=asked.overlap_seconds)
        if await access.keys.rotate(key_id, key, until=until) is None:
            raise _unknown(key_id)
        access.keyring.forget()
        return Response(shown(key, now, text), status_code=201, headers=_kept_by_nobody)

    @delete(
        "/{key_id:str}",
        summary="Revoke a key and the sessions that were made with it, at once",
        responses=documented("unknown-key"),
        status_code=200,
    )
    async def revoke(
        self,
        request: Request[Any, Any, Any],
        desk: NamedDependency[Desk],
        key_id: FromPath[str],
        reason: FromQuery[str | None] = None,
    ) -> KeySeen:
        because(reason)
        access, now = desk.coordinator.access, desk.coordinator.clock.now()
        old = await access.keys.revoke(key_id, by=actor_of(request, None), now=now)
        if old is None:
            raise _unknown(key_id)
        access.keyring.forget()
        before(id=old.id, name=old.name, role=old.role, valid=old.valid(now))
        after(id=old.id, name=old.name, role=old.role, valid=False)
        ended = await access.keys.get(key_id)
        return shown(ended or old, now)


_kept_by_nobody = {"Cache-Control": "no-store"}


def _check_no_more_than_own(payloads: bool) -> None:
    """Nobody gives away what they have not got themselves."""
    principal = asking().principal
    if payloads and principal is not None and not principal.payloads:
        raise Refusal("forbidden", "a key that may see payloads is made by who may see them")


def _unknown(key_id: str) -> Refusal:
    return Refusal("unknown-key", f"no key {key_id[:100]} is valid, or it has been followed already")


def shown(key: ApiKey, now: datetime, text: str | None = None) -> KeySeen:
    return KeySeen(
        id=key.id,
        prefix=f"amends_{key.prefix}",
        name=key.name,
        role=key.role,
        payloads=key.payloads,
        created_at=key.created_at,
        created_by=key.created_by,
        expires_at=key.expires_at,
        last_used_at=key.last_used_at,
        replaced_by=key.replaced_by,
        revoked_at=key.revoked_at,
        revoked_by=key.revoked_by,
        valid=key.valid(now),
        key=text,
    )
