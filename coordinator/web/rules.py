"""Who may ask for what: every route on one page. A route that is missing here keeps the API from starting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from coordinator.store.access import Role
from coordinator.web.dashboard import pages


@dataclass(frozen=True, slots=True)
class Rule:
    """What a route asks of whoever comes. `needs` is None where nobody is asked who they are."""

    needs: Role | None
    audited: bool = False
    waits: bool = True  # for its entry in the audit to be durable, before the answer is given


everybody = Rule(None)
viewers = Rule(Role.VIEWER)
operators = Rule(Role.OPERATOR, audited=True)
admins = Rule(Role.ADMIN, audited=True)
readers_of_audit = Rule(Role.ADMIN)
# A start is in the saga's own history as well, and there are many: their entries are written a moment later.
starters = Rule(Role.OPERATOR, audited=True, waits=False)
metrics_route = "GET /metrics"

RULES: Mapping[str, Rule] = {
    "GET /": everybody,
    "GET /livez": everybody,
    "GET /readyz": everybody,
    metrics_route: viewers,  # unless a setting opens it
    "GET /problems": everybody,
    "GET /problems/{slug}": everybody,
    "GET /v1/session": everybody,
    "POST /v1/session": viewers,
    "DELETE /v1/session": everybody,
    "GET /v1/keys": readers_of_audit,
    "POST /v1/keys": admins,
    "POST /v1/keys/{key_id}/rotate": admins,
    "DELETE /v1/keys/{key_id}": admins,
    "GET /v1/audit": readers_of_audit,
    "GET /v1/audit/{entry_id}": readers_of_audit,
    "GET /v1/overview": viewers,
    "GET /v1/events": viewers,
    "GET /v1/definitions": viewers,
    "POST /v1/definitions": operators,
    "POST /v1/definitions/validate": viewers,
    "GET /v1/definitions/{name}": viewers,
    "GET /v1/definitions/{name}/{version}": viewers,
    "GET /v1/sagas": viewers,
    "POST /v1/sagas": starters,
    "POST /v1/sagas/bulk": operators,
    "GET /v1/sagas/{saga_id}": viewers,
    "GET /v1/sagas/{saga_id}/diagnosis": viewers,
    "GET /v1/sagas/{saga_id}/history": viewers,
    "GET /v1/sagas/{saga_id}/input": viewers,
    "GET /v1/sagas/{saga_id}/result": viewers,
    "GET /v1/sagas/{saga_id}/timeline": viewers,
    "GET /v1/sagas/{saga_id}/steps/{step}/input": viewers,
    "GET /v1/sagas/{saga_id}/steps/{step}/result": viewers,
    "POST /v1/sagas/{saga_id}/cancel": operators,
    "POST /v1/sagas/{saga_id}/close": operators,
    "POST /v1/sagas/{saga_id}/pause": operators,
    "POST /v1/sagas/{saga_id}/resume": operators,
    "POST /v1/sagas/{saga_id}/steps/{step}/retry": operators,
    "POST /v1/sagas/{saga_id}/steps/{step}/settle": operators,
    "POST /v1/sagas/{saga_id}/steps/{step}/skip": operators,
    "POST /v1/sagas/{saga_id}/steps/{step}/waive": operators,
    "GET /v1/bulk": viewers,
    "GET /v1/bulk/{bulk_id}": viewers,
    "POST /v1/bulk/{bulk_id}/cancel": operators,
    "GET /v1/incidents": viewers,
    "GET /v1/incidents/events": viewers,
    "GET /v1/incidents/{incident_id}": viewers,
    "GET /v1/incidents/{incident_id}/report": viewers,
    "GET /v1/incidents/{incident_id}/sagas": viewers,
    "POST /v1/incidents/{incident_id}/feedback": operators,
    "POST /v1/incidents/{incident_id}/refresh": operators,
    "GET /v1/remedies": viewers,
    "GET /v1/remedies/{remedy_id}": viewers,
    "POST /v1/remedies/{remedy_id}/approve": operators,
    "POST /v1/remedies/{remedy_id}/reject": operators,
    "POST /v1/remedies/{remedy_id}/undo": operators,
    "GET /v1/healing": viewers,
    "PUT /v1/healing": admins,
    "GET /v1/changes": viewers,
    "POST /v1/changes": operators,
    "GET /v1/participants": viewers,
    "GET /v1/participants/{name}": viewers,
    "GET /v1/pauses": viewers,
    "POST /v1/pauses": operators,
    "DELETE /v1/pauses/{pause_id}": operators,
    "POST /v1/pauses/{pause_id}/resume": operators,
    "GET /v1/dead-letters": viewers,
    "GET /v1/dead-letters/{letter_id}": viewers,
    "POST /v1/dead-letters/{letter_id}/discard": operators,
    "POST /v1/dead-letters/{letter_id}/redrive": operators,
    "GET /v1/outbox": viewers,
    "POST /v1/outbox/{command_id}/redrive": operators,
    "GET /v1/notifications": viewers,
    "GET /v1/notifications/{notification_id}": viewers,
    "POST /v1/notifications/{notification_id}/redeliver": operators,
    "GET /v1/notifications/subscriptions": viewers,
    "POST /v1/notifications/subscriptions": admins,
    "GET /v1/notifications/subscriptions/{subscription_id}": viewers,
    "DELETE /v1/notifications/subscriptions/{subscription_id}": admins,
}

# The dashboard's own files, which hold nothing but the program, and the API's description.
FILES: Mapping[str, Rule] = {
    f"GET {place}": everybody
    for place in (
        "/openapi.json",
        "/openapi.json/openapi.json",
        "/openapi.json/{path}",
        "/dashboard/{digest}/{file}",
        *(f"/{name}" for name in pages),
        *(f"/{name}/{{rest}}" for name in pages),
    )
}


def rule_of(route: str) -> Rule | None:
    """The rule of a route, of its method and its template; None: there is none."""
    return RULES.get(route) or FILES.get(route)
