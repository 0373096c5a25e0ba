"""The SDK of Amends: write a participant, start a saga, test both.

What needs a database is imported from its own module: `amends.inbox.SqlInbox`, `amends.database.open_engine`.

A name is loaded when it is first asked for: who only asks a coordinator (`amends.client`) loads nothing of what a
participant needs. `__init__.pyi` tells type checkers the same names.
"""

from importlib import import_module
from typing import Any

_homes = {
    "Address": "broker",
    "AmendsError": "errors",
    "Answer": "message",
    "Broker": "broker",
    "BrokerClosed": "errors",
    "BrokerError": "errors",
    "Command": "message",
    "Confirm": "broker",
    "DefinitionError": "errors",
    "Effect": "message",
    "EffectUnknown": "errors",
    "InboxError": "errors",
    "InboxUnavailable": "errors",
    "Kind": "message",
    "LocalBroker": "local",
    "MessageError": "errors",
    "Participant": "participant",
    "PayloadError": "errors",
    "Refused": "errors",
    "Reply": "message",
    "ServingLimits": "serving",
    "Undone": "message",
    "calling": "calls",
    "check_actions": "participant",
}

__all__ = list(_homes)


def __getattr__(name: str) -> Any:
    if name not in _homes:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_homes[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_homes})
