"""What an error says, in the few meanings that rules ask for. Typed codes say it firmly, wording only weakly; and
wording that speaks to whoever reads it says nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from coordinator.saga.event import Failure


class Meaning(StrEnum):
    """What kind of trouble an error speaks of."""

    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"  # nothing was asked: refused, not found, no secure connection
    SERVER_ERROR = "server_error"  # the other side says that it is broken
    RATE_LIMITED = "rate_limited"
    CREDENTIAL = "credential"
    CONFLICT = "conflict"
    LOCK = "lock"
    RESOURCE = "resource"  # disk, memory, files
    POOL = "pool"  # connections of one's own
    DATA = "data"  # a value of a kind that the code can't handle
    NO_HANDLER = "no_handler"
    BROKER = "broker"
    SILENCE = "silence"  # nobody answered
    REFERENCE = "reference"  # the definition reads a value that isn't there
    SCHEMA = "schema"  # data, or a result, breaks its schema
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Said:
    """The meaning of an error at its root, and how it was found."""

    leaf: Meaning
    firm: bool  # by a typed code or the type of the error; not by wording
    code: str = ""
    suspicious: bool = False  # its wording speaks to the reader


_codes: tuple[tuple[re.Pattern[str], Meaning], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), meaning)
    for pattern, meaning in (
        (r"^http (408|504)$|^grpc DEADLINE_EXCEEDED$|^errno ETIMEDOUT$", Meaning.TIMEOUT),
        (r"^http 429$|^grpc RESOURCE_EXHAUSTED$|^smtp (421|450|451)$", Meaning.RATE_LIMITED),
        (r"^http (401|403|407)$|^grpc (UNAUTHENTICATED|PERMISSION_DENIED)$|^smtp 53\d$", Meaning.CREDENTIAL),
        (r"^tls .*(EXPIRED|REVOKED|UNKNOWN_CA|VERIFY)|^sqlstate (28...|42501)$", Meaning.CREDENTIAL),
        (r"^http (409|412)$|^grpc (ALREADY_EXISTS|ABORTED)$|^sqlstate 23505$|^errno EEXIST$", Meaning.CONFLICT),
        (r"^sqlstate (55P03|40P01|40001)$|^mysql (1205|1213)$", Meaning.LOCK),
        (r"^errno (ENOSPC|EDQUOT|ENOMEM|EMFILE|ENFILE)$|^sqlstate (53100|53200|53400)$|^http 507$", Meaning.RESOURCE),
        (r"^sqlstate 53300$", Meaning.POOL),
        (r"^errno (ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ENETDOWN)$|^dns |^tls |^sqlstate 08", Meaning.UNREACHABLE),
        (r"^http 5\d\d$|^grpc (UNAVAILABLE|INTERNAL)$|^errno (ECONNRESET|EPIPE)$", Meaning.SERVER_ERROR),
        (r"^amqp ", Meaning.BROKER),
    )
)
_types: tuple[tuple[re.Pattern[str], Meaning], ...] = tuple(
    (re.compile(pattern), meaning)
    for pattern, meaning in (
        (r"^(NoReply|LeaseExpired)$", Meaning.SILENCE),
        (r"^UnresolvedReference$", Meaning.REFERENCE),
        (r"^(InputSchema|OutputSchema|InvalidData)$", Meaning.SCHEMA),
        (r"^UnknownHandler$", Meaning.NO_HANDLER),
        (r"^(HandlerTimeout|TimeoutError|.*Timeout(Error|Exception)?|.*TimedOut)$", Meaning.TIMEOUT),
        (r"^(ConnectionRefusedError|gaierror|ConnectError)$", Meaning.UNREACHABLE),
        (r"^(MemoryError)$", Meaning.RESOURCE),
        (r"^(TypeError|ValueError|KeyError|AttributeError|IndexError|ZeroDivisionError)$", Meaning.DATA),
        (r"^(\w*DecodeError|ValidationError|OverflowError|InvalidOperation|PayloadError)$", Meaning.DATA),
    )
)


def meaning_of(failure: Failure | None) -> Said:
    """What a failure means: its deepest cause that means anything, its own code and type else."""
    if failure is None:
        return Said(Meaning.OTHER, firm=False)
    for kind, code in _layers(failure):
        for pattern, meaning in _codes:
            if code and pattern.search(code):
                return Said(meaning, firm=True, code=code)
        for pattern, meaning in _types:
            if pattern.search(kind):
                return Said(meaning, firm=True, code=code)
    return Said(Meaning.OTHER, firm=False, code=failure.code)


def _layers(failure: Failure) -> Iterator[tuple[str, str]]:
    """Where the trouble began goes first."""
    for cause in reversed(failure.causes):
        yield cause.type.rpartition(".")[2], cause.code
    yield failure.type.rpartition(".")[2], failure.code
