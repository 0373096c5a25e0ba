"""Every error of the SDK, in one tree.

AmendsError
├── Refused            raised by a handler: nothing happened, a retry won't help
├── EffectUnknown      raised by a handler: it failed, and something may have happened
├── PayloadError       a value that may not travel: too deep, too large, not JSON
├── MessageError       a message that cannot be read
├── DefinitionError    a definition the coordinator refused, with every fault found
├── ProblemError       the coordinator refused a request, with its problem document
├── CoordinatorUnavailable  no coordinator answered, however often it was asked
├── InboxError         the inbox cannot be used as configured
│   └── InboxUnavailable   nothing can be said about a command now: stay silent, try again
└── BrokerError        the broker cannot be used as configured
    └── BrokerClosed   the connection ended, or was never open; connect again
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class AmendsError(Exception):
    """Something went wrong in Amends, or was refused by it."""


class Refused(AmendsError):
    """The participant says no: nothing happened, and a retry won't help (a declined card).

    Raise it in an action; the saga then compensates what was done before. `error_type` is a short
    machine-readable name, `code` what kind of error it is in the words of a standard ("http 402"), the message is for
    people.
    """

    def __init__(self, message: str = "refused", *, error_type: str = "Refused", code: str = "") -> None:
        super().__init__(message)
        self.error_type = error_type
        self.code = code


class EffectUnknown(AmendsError):
    """The handler failed and may have left something behind: the step will be compensated. As Refused otherwise."""

    def __init__(
        self,
        message: str = "failed, and something may have happened",
        *,
        error_type: str = "EffectUnknown",
        code: str = "",
    ) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.code = code


class PayloadError(AmendsError):
    """A value may not travel. `path` says where it is (`a.b.0`), the message why."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path


class MessageError(AmendsError):
    """A message cannot be read. It is parked with this reason, never dropped."""


class DefinitionError(AmendsError):
    """The coordinator refused a definition. `faults` holds one dict per fault: rule, step, message, hint."""

    def __init__(self, faults: list[dict[str, object]]) -> None:
        super().__init__(
            "; ".join(str(fault.get("message", fault)) for fault in faults) or "the definition was refused"
        )
        self.faults = faults


class ProblemError(AmendsError):
    """The coordinator refused a request. The fields are those of its problem document (RFC 9457).

    `errors` says what is wrong in detail; `saga_status` and `allowed` are there when a saga refused what was asked.
    """

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.type = str(problem.get("type", "about:blank"))
        self.title = str(problem.get("title", ""))
        self.detail = str(problem.get("detail", ""))
        self.errors: list[dict[str, Any]] = list(problem.get("errors") or ())
        self.saga_status: str | None = problem.get("saga_status")
        self.allowed: list[str] | None = problem.get("allowed")
        super().__init__(
            f"{status} {self.title}: {self.detail}" if self.title else f"{status} without a problem document"
        )


class CoordinatorUnavailable(AmendsError):
    """No coordinator answered. Whether the request was carried out is unknown; the same key makes asking again safe."""

    def __init__(self, base_url: str, reason: str, tries: int) -> None:
        super().__init__(f"{base_url} did not answer, asked {tries} times: {reason}")
        self.base_url, self.reason, self.tries = base_url, reason, tries


class InboxError(AmendsError):
    """The inbox cannot be used as configured: a plain SQLite engine, a missing table."""


class InboxUnavailable(InboxError):
    """The inbox could not be read or written now, so nothing is known and nothing may be said. Try again."""


class BrokerError(AmendsError):
    """The broker cannot be used as configured."""


class BrokerClosed(BrokerError):
    """The connection to the broker ended. What was unconfirmed is unknown; connect again and repeat it."""
