"""Who may do what, and who did what: keys and the audit as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class Role(StrEnum):
    """Each may do what the one before may, and more."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def covers(self, other: Role) -> bool:
        roles = list(Role)
        return roles.index(self) >= roles.index(other)


class KeyKind(StrEnum):
    KEY = "key"
    SESSION = "session"  # of a browser: made from a key or a token, gone after hours


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret, of which only the hash is known."""

    id: str
    kind: KeyKind
    prefix: str  # the part that may be shown
    hash: str  # SHA-256 of the whole, hexadecimal
    name: str  # who it is
    role: Role
    payloads: bool
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    parent_id: str | None = None  # of a session: the key it was made from
    replaced_by: str | None = None  # by whom it is followed after a rotation
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None
    revoked_by: str | None = None

    def valid(self, at: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One request that was to change something: who, as what, when, what, why, and what came of it."""

    id: str
    at: datetime
    who: str
    role: str
    via: str  # key, session, token, open, database
    key_id: str | None
    on_behalf_of: str | None  # whom the request named
    action: str  # the route, such as "POST /v1/sagas/{saga_id}/cancel"
    target: str  # the path as it was asked
    why: str | None
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    status: int  # of the answer
    problem: str | None  # why it was refused
    request_id: str
    address: str | None


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What entries to look for; None: any."""

    who: str | None = None
    action: str | None = None
    target: str | None = None
    under: str | None = None  # this target, and those whose path goes on from it
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class AuditPage:
    items: tuple[AuditEntry, ...]
    cursor: str | None
