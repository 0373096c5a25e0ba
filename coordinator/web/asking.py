"""The request at hand: who asks, by which rule, and what the audit will say of it. One per request, for all floors of
the web face: the gate begins it, the door fills it in, handlers add what only they know."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from coordinator.access.principal import Principal
from coordinator.web.rules import Rule


@dataclass(slots=True)
class Asking:
    request_id: str
    address: str | None = None
    principal: Principal | None = None  # None: not asked yet, or not found out
    rule: Rule | None = None
    action: str = ""
    why: str | None = None
    on_behalf_of: str | None = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    problem: str | None = None

    @property
    def hides_payloads(self) -> bool:
        return self.principal is not None and not self.principal.payloads


# Nobody asks where nothing was begun: in a test of one part, say.
at_hand: ContextVar[Asking] = ContextVar("at_hand")


def asking() -> Asking:
    return at_hand.get(None) or Asking("none")
