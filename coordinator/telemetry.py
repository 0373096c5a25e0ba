"""One trace per saga. Its ids are derived, never drawn, so that any coordinator can emit any span of it."""

from __future__ import annotations

from hashlib import sha256
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version


def span_id(saga_id: str, key: str = "") -> str:
    """The id of a span of a saga, 16 hexadecimal digits: its root without a key, an attempt by its outbox key."""
    return sha256(f"{saga_id}/{key}".encode()).hexdigest()[:16]


def attempt_traceparent(trace_id: str, saga_id: str, key: str) -> str:
    """The W3C trace context under which a participant handles an attempt."""
    return f"00-{trace_id}-{span_id(saga_id, key)}-01"


def release() -> str:
    """The version of this coordinator, or "unreleased" where it runs from a checkout that was never installed."""
    try:
        return installed_version("amends-coordinator")
    except PackageNotFoundError:
        return "unreleased"
