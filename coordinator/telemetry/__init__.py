"""One trace per saga. Its ids are derived, never drawn, so that any coordinator can emit any span of it."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version


def span_id(saga_id: str, key: str = "") -> str:
    """The id of a span of a saga, 16 hexadecimal digits: its root without a key, an attempt by its outbox key."""
    return sha256(f"{saga_id}/{key}".encode()).hexdigest()[:16]


def attempt_span_id(saga_id: str, key: str, sent_at: datetime) -> str:
    """The id of the span of a sending. An inquiry's count begins anew with each question, so its time belongs to it;
    an attempt's does not, because an attempt that is in progress is sent again under the same id."""
    inquiry = key.count("/") > 4
    return span_id(saga_id, f"{key}@{sent_at.isoformat()}" if inquiry else key)


def attempt_traceparent(trace_id: str, saga_id: str, key: str, sent_at: datetime) -> str:
    """The W3C trace context under which a participant handles a sending."""
    return f"00-{trace_id}-{attempt_span_id(saga_id, key, sent_at)}-01"


def release() -> str:
    """The version of this coordinator, or "unreleased" where it runs from a checkout that was never installed."""
    try:
        return installed_version("amends-coordinator")
    except PackageNotFoundError:
        return "unreleased"
