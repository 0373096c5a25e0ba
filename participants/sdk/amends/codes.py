"""What kind of error it is, in the words of a standard: "http 429", "sqlstate 40001", "errno ENOSPC", "timeout".

No library is imported to find out: errors are known by what they carry, so that a service's own choice of client does
not matter. An error that knows better says so itself: `amends_code` on its class, or `code=` of Refused and
EffectUnknown.
"""

from __future__ import annotations

import errno
import http
import logging
import re
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from amends.capture import clean_text
from amends.errors import EffectUnknown, Refused

log = logging.getLogger("amends.codes")

code_chars_max = 80

Raised = TypeVar("Raised", bound=BaseException)
Found = TypeVar("Found")

# What OpenSSL says of a certificate, by its number, where that is worth a name.
_verdicts = {
    9: "CERTIFICATE_NOT_YET_VALID",
    10: "CERTIFICATE_EXPIRED",
    18: "SELF_SIGNED_CERTIFICATE",
    19: "SELF_SIGNED_CERTIFICATE",
    20: "UNKNOWN_CA",
    23: "CERTIFICATE_REVOKED",
    62: "HOSTNAME_MISMATCH",
    64: "HOSTNAME_MISMATCH",
}
_lookups = {
    value: name for name, value in sorted(vars(socket).items()) if name.startswith("EAI_") and isinstance(value, int)
}
# Errors that may be raised without their number.
_numbers: dict[type[OSError], int] = {
    ConnectionRefusedError: errno.ECONNREFUSED,
    ConnectionResetError: errno.ECONNRESET,
    ConnectionAbortedError: errno.ECONNABORTED,
    BrokenPipeError: errno.EPIPE,
    PermissionError: errno.EACCES,
    FileNotFoundError: errno.ENOENT,
}
_number = re.compile(r"\[Errno (\d+)\]")
_timeout = re.compile(r"(Timeout|TimedOut)(Error|Exception)?$")
_mail = frozenset({"smtplib", "aiosmtplib"})
_queues = frozenset({"aiormq", "aio_pika", "amqp", "pika"})
_mysql = frozenset({"MySQLdb", "aiomysql", "asyncmy", "pymysql"})


def code_of(error: BaseException) -> str:
    """The code of this very error, not of what it was raised from; "" for one that has none."""
    for look in _looks:
        found = quietly(look, error, "")
        if found:
            return clean_text(found, code_chars_max)
    return ""


def quietly(question: Callable[[Raised], Found], error: Raised, otherwise: Found) -> Found:
    """Ask an error something. Its properties, its `__str__` are somebody's code, which may raise in its turn."""
    try:
        return question(error)
    except Exception as unasked:
        kind = type(unasked).__name__
        log.debug("%s can't be asked: %s", type(error).__name__, kind, extra={"action": "error.unreadable"})
        return otherwise


def _stated(error: BaseException) -> str:
    if isinstance(error, Refused | EffectUnknown):
        return str(error.code)
    said = getattr(error, "amends_code", "")
    return said if isinstance(said, str) else ""


def _of_grpc(error: BaseException) -> str:
    status = getattr(error, "grpc_status_code", None)
    code = getattr(error, "code", None)
    if status is None and hasattr(error, "details") and callable(code):
        status = code()
    name = getattr(status, "name", None)
    return f"grpc {name}" if isinstance(name, str) else ""


def _of_database(error: BaseException) -> str:
    for inner in (error, getattr(error, "orig", None), getattr(error, "driver_exception", None)):
        if inner is None:
            continue
        state = getattr(inner, "sqlstate", None) or getattr(inner, "pgcode", None)
        if isinstance(state, str) and state:
            return f"sqlstate {state}"
        name = getattr(inner, "sqlite_errorname", None)
        if isinstance(name, str) and name:
            return f"sqlite {name}"
        if _home(inner) in _mysql and inner.args and _is_number(inner.args[0]):
            return f"mysql {inner.args[0]}"
    return ""


def _of_mail(error: BaseException) -> str:
    if _home(error) not in _mail:
        return ""
    recipients = getattr(error, "recipients", None)
    refusals = list(recipients.values()) if isinstance(recipients, dict) else []
    candidates = [
        getattr(error, "smtp_code", None),
        getattr(error, "code", None),
        *(refusal[0] for refusal in refusals),
    ]
    return next((f"smtp {number}" for number in candidates if _is_number(number)), "")


def _of_queue(error: BaseException) -> str:
    if _home(error) not in _queues and not hasattr(error, "reply_code"):
        return ""
    candidates: Sequence[Any] = [getattr(error, "reply_code", None), getattr(error, "code", None), *error.args[:1]]
    return next((f"amqp {number}" for number in candidates if _is_number(number)), "")


def _of_http(error: BaseException) -> str:
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore's: its own name for what went wrong says more than the status
        said = response.get("Error", {}).get("Code")
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return f"aws {said}" if isinstance(said, str) and not said.isdigit() else _http(status)
    candidates = [
        getattr(error, "status_code", None),
        getattr(error, "http_status", None),
        getattr(response, "status_code", None),
        getattr(response, "status", None),
        getattr(error, "status", None),
    ]
    code = getattr(error, "code", None)  # many things have a code; this one must come with a sign of HTTP
    if isinstance(code, http.HTTPStatus) or hasattr(error, "headers") or "http" in type(error).__name__.lower():
        candidates.append(code)
    return next((found for found in map(_http, candidates) if found), "")


def _http(status: object) -> str:
    return f"http {int(status)}" if isinstance(status, int) and 100 <= status <= 599 else ""


def _of_lookup(error: BaseException) -> str:
    if isinstance(error, socket.gaierror):
        return f"dns {_lookups.get(error.errno or 0, error.errno)}"
    return f"dns {type(error).__name__}" if _home(error) == "dns" else ""


def _of_tls(error: BaseException) -> str:
    if not isinstance(error, ssl.SSLError):
        return ""
    verdict = _verdicts.get(getattr(error, "verify_code", 0))
    return f"tls {verdict or getattr(error, 'reason', None) or type(error).__name__}"


def _of_system(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "errno ENOMEM"
    if not isinstance(error, OSError):
        return ""
    number = error.errno
    if number is None:
        number = next((known for kind, known in _numbers.items() if isinstance(error, kind)), None)
    if number is None:  # several addresses were tried, and asyncio has put their errors into one sentence
        said = _number.search(str(error))
        number = int(said[1]) if said else 0
    return f"errno {errno.errorcode[number]}" if number in errno.errorcode else ""


def _of_time(error: BaseException) -> str:
    if not any(_timeout.search(kind.__name__) for kind in type(error).__mro__):
        return ""
    # Waiting for a connection of one's own is another thing than waiting for somebody's answer.
    pooled = _home(error) == "sqlalchemy" or "Pool" in type(error).__name__
    return "timeout pool" if pooled else "timeout"


def _home(error: object) -> str:
    """The top-level package that the error's class comes from."""
    return type(error).__module__.partition(".")[0]


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# The first that knows the error says what it is: the narrow ones before those that would take a part for the whole.
_looks: Sequence[Callable[[BaseException], str]] = (
    _stated,
    _of_grpc,
    _of_database,
    _of_mail,
    _of_queue,
    _of_http,
    _of_lookup,
    _of_tls,
    _of_system,
    _of_time,
)
