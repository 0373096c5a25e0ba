"""What the audit says of a request, put together from what the door, the body and the handler have noted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from coordinator.access.journal import Journal
from coordinator.diagnosis.redaction import redact
from coordinator.store.access import AuditEntry
from coordinator.store.ids import new_id
from coordinator.web.asking import Asking, asking

facts_max, fact_chars_max = 20, 200
ours = frozenset({"id", "definition", "status"})  # ids, and names that were checked: there is no secret in them


class Auditing:
    def __init__(self, journal: Journal, now: Callable[[], datetime]) -> None:
        self._journal, self._now = journal, now

    async def record(self, asked: Asking, path: str, status: int) -> None:
        """Add the entry of a request that was to change something, whatever came of it.

        Of those who could not say who they are there is none: anybody could fill the audit.
        """
        rule, principal = asked.rule, asked.principal
        if rule is None or not rule.audited or principal is None:
            return
        at = self._now()
        entry = AuditEntry(
            id=new_id(at),
            at=at,
            who=principal.name,
            role=principal.role,
            via=principal.via,
            key_id=principal.key_id,
            on_behalf_of=asked.on_behalf_of,
            action=asked.action,
            target=path,
            why=redact(asked.why) if asked.why else None,
            before=_small(asked.before),
            after=_small(asked.after),
            status=status,
            problem=redact(asked.problem) if asked.problem else None,
            request_id=asked.request_id,
            address=asked.address,
        )
        await self._journal.write(entry, wait=rule.waits)


def before(**facts: Any) -> None:
    """For handlers: how what is about to change stands now; without facts, that there is nothing yet."""
    asking().before = facts


def after(**facts: Any) -> None:
    """For handlers: how it stands now that it has changed, where the answer doesn't say so by itself."""
    asking().after = facts


def because(reason: str | None) -> None:
    """For handlers of requests without a body: why."""
    asking().why = reason


def _small(facts: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if facts is None:
        return None
    return {
        name: value
        if value is None or name in ours or isinstance(value, bool | int | float)
        else redact(str(value)[:fact_chars_max])
        for name, value in list(facts.items())[:facts_max]
    }
