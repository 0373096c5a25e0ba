"""What a piece of an error may mean: families of signals with weights, and what it proves beside. A code, the name of
an exception and a wording each have one; signals adds them up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class SignalFamily(StrEnum):
    """What an error says of itself. Not yet what is wrong: a timeout may be a dependency's, a lock's or a setting's."""

    TIMEOUT = "timeout"  # something was awaited in vain
    UNAVAILABLE = "unavailable"  # refused, not found in DNS, reset, 5xx
    RATE_LIMITED = "rate_limited"
    CREDENTIAL = "credential"
    BUSINESS = "business"  # a rule of the trade said no
    CONFLICT = "conflict"  # it is there already, or somebody was faster
    INVALID_DATA = "invalid_data"
    LOCK = "lock"  # a database made them wait for each other
    RESOURCE = "resource"  # no disk, connections, files, memory left
    BROKER = "broker"
    CONFIGURATION = "configuration"  # a setting, a name or a file that isn't there
    UNKNOWN_HANDLER = "unknown_handler"
    BUG = "bug"  # the code itself: AttributeError, NullPointerException
    NO_REPLY = "no_reply"  # the coordinator heard nothing
    OTHER = "other"


class Resource(StrEnum):
    """What ran out."""

    POOL = "pool"
    DISK = "disk"
    FILES = "files"
    MEMORY = "memory"
    THREADS = "threads"
    PORTS = "ports"
    QUOTA = "quota"


class Timeout(StrEnum):
    """What was awaited in vain."""

    CONNECT = "connect"
    READ = "read"
    WRITE = "write"
    POOL = "pool"
    STATEMENT = "statement"
    LOCK = "lock"


@dataclass(frozen=True, slots=True)
class Meaning:
    """`outranks`: families that the same words only seem to speak of ("pool limit reached, connection timed out").

    `before_send`: no request left. `sent`: one did, or may have. `turned_away`: the other side answered, and did not do
    it.
    """

    weights: Mapping[SignalFamily, float]
    resource: Resource | None = None
    timeout: Timeout | None = None
    before_send: bool = False
    sent: bool = False
    turned_away: bool = False
    outranks: frozenset[SignalFamily] = field(default=frozenset())


def meaning(
    first: SignalFamily,
    share: float = 1.0,
    *others: tuple[SignalFamily, float],
    resource: Resource | None = None,
    timeout: Timeout | None = None,
    before_send: bool = False,
    sent: bool = False,
    turned_away: bool = False,
    outranks: tuple[SignalFamily, ...] = (),
) -> Meaning:
    """A Meaning, the likeliest family first. Shares that don't add up to 1 leave the rest open."""
    weights = {first: share, **dict(others)}
    return Meaning(weights, resource, timeout, before_send, sent, turned_away, frozenset(outranks))
