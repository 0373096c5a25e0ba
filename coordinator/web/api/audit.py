"""Who did what: the audit, for those who may read it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from coordinator.store.access import AuditEntry, AuditFilter
from coordinator.store.audit import page_max
from coordinator.web.desk import Desk
from coordinator.web.problems import Refusal, documented
from coordinator.web.reading import aware, bad_parameter, next_link


@dataclass(frozen=True, slots=True)
class Audited:
    """A request that was to change something. `who` showed who they are, by `via`; `on_behalf_of` is whom they named.

    `before` and `after` are a few facts of what it was about, none before where it began; `problem` is why it was
    refused.
    """

    id: str
    at: datetime
    who: str
    role: str
    via: str  # key, session, token; open: nobody was asked; database: on the database itself
    key_id: str | None
    on_behalf_of: str | None
    action: str
    target: str
    why: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    status: int
    problem: str | None
    request_id: str
    address: str | None


@dataclass(frozen=True, slots=True)
class AuditList:
    items: tuple[Audited, ...]
    next: str | None


@get("/v1/audit", summary="Who asked for what, the newest first", tags=["access"], responses=documented())
async def list_audit(
    desk: NamedDependency[Desk],
    who: FromQuery[str | None] = None,
    action: FromQuery[str | None] = None,
    target: FromQuery[str | None] = None,
    under: FromQuery[str | None] = None,
    since: FromQuery[datetime | None] = None,
    until: FromQuery[datetime | None] = None,
    limit: FromQuery[int] = 50,
    cursor: FromQuery[str | None] = None,
) -> Response[AuditList]:
    if not 1 <= limit <= page_max:
        raise bad_parameter("limit", f"1 to {page_max}")
    chosen = AuditFilter(who, action, target, under, aware("since", since), aware("until", until))
    page = await desk.coordinator.access.audit.page(chosen, limit=limit, cursor=cursor)
    more = None
    if page.cursor:
        stated = {
            "who": who,
            "action": action,
            "target": target,
            "under": under,
            "since": chosen.since,
            "until": chosen.until,
        }
        filters = {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in stated.items()
            if value is not None
        }
        more = "/v1/audit?" + urlencode({**filters, "limit": limit, "cursor": page.cursor})
    return Response(AuditList(tuple(map(_shown, page.items)), more), headers=next_link(more))


@get("/v1/audit/{entry_id:str}", summary="One entry", tags=["access"], responses=documented("unknown-entry"))
async def one_entry(desk: NamedDependency[Desk], entry_id: FromPath[str]) -> Audited:
    found = await desk.coordinator.access.audit.get(entry_id)
    if found is None:
        raise Refusal("unknown-entry", f"no entry {entry_id[:100]}, or it was forgotten")
    return _shown(found)


def _shown(entry: AuditEntry) -> Audited:
    return Audited(
        id=entry.id,
        at=entry.at,
        who=entry.who,
        role=entry.role,
        via=entry.via,
        key_id=entry.key_id,
        on_behalf_of=entry.on_behalf_of,
        action=entry.action,
        target=entry.target,
        why=entry.why,
        before=None if entry.before is None else dict(entry.before),
        after=None if entry.after is None else dict(entry.after),
        status=entry.status,
        problem=entry.problem,
        request_id=entry.request_id,
        address=entry.address,
    )
