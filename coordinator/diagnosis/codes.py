"""Codes: kinds of errors in the words of a standard ("http 429", "sqlstate 40001"), however they are written, and what
they mean. They outrank every wording: whoever writes an error's text does not choose the code."""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping

from coordinator.diagnosis.masking import masked
from coordinator.diagnosis.meaning import Meaning, Resource, SignalFamily, Timeout, meaning

code_chars_max = 80
F = SignalFamily

_no = meaning(F.BUSINESS, 0.7, (F.INVALID_DATA, 0.3), turned_away=True)
_invalid = meaning(F.INVALID_DATA, 0.75, (F.BUSINESS, 0.15), (F.BUG, 0.1), turned_away=True)
_credential = meaning(F.CREDENTIAL, turned_away=True)
_conflict = meaning(F.CONFLICT, turned_away=True)
_limited = meaning(F.RATE_LIMITED, turned_away=True)
_absent = meaning(F.CONFIGURATION, 0.4, (F.INVALID_DATA, 0.3), (F.BUSINESS, 0.3), turned_away=True)
_down = meaning(F.UNAVAILABLE, sent=True)
_unreached = meaning(F.UNAVAILABLE, before_send=True)
_late = meaning(F.TIMEOUT, 0.85, (F.UNAVAILABLE, 0.15), timeout=Timeout.READ, sent=True)
_lock = meaning(F.LOCK, turned_away=True)
_wrong = meaning(F.BUG, 0.7, (F.CONFIGURATION, 0.3), turned_away=True)
_broker = meaning(F.BROKER)
_certificate = meaning(F.CREDENTIAL, 0.85, (F.CONFIGURATION, 0.15), before_send=True)
_disk = meaning(F.RESOURCE, resource=Resource.DISK)
_pool = meaning(F.RESOURCE, resource=Resource.POOL, before_send=True)
_memory = meaning(F.RESOURCE, resource=Resource.MEMORY)


def _each(keys: str, what: Meaning) -> dict[str, Meaning]:
    return dict.fromkeys(keys.split(), what)


_http = {
    **_each("400 406 411 413 414 415 416 417 422 431", _invalid),
    **_each("401 407 511", _credential),
    "403": meaning(F.CREDENTIAL, 0.8, (F.BUSINESS, 0.2), turned_away=True),
    **_each("402 451", _no),
    **_each("404 410", _absent),
    **_each("405 421 426 501 505", _wrong),
    "408": _late,
    **_each("409 412 425 428", _conflict),
    "423": _lock,
    **_each("429 509 529", _limited),
    "500": meaning(F.UNAVAILABLE, 0.55, (F.BUG, 0.25), (F.OTHER, 0.2), sent=True),
    **_each("424 502 520 521 523 530", _down),
    "503": meaning(F.UNAVAILABLE, 0.9, (F.RATE_LIMITED, 0.1), sent=True),
    "504": _late,
    **_each("522 524 598 599", _late),
    **_each("525 526 495 496", _certificate),
    "507": _disk,
}
_grpc_numbers = """
OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED RESOURCE_EXHAUSTED
FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED
"""
_grpc_names = _grpc_numbers.split()
_grpc = {
    "CANCELLED": meaning(F.TIMEOUT, 0.6, (F.OTHER, 0.4), sent=True),
    **_each("INVALID_ARGUMENT OUT_OF_RANGE", _invalid),
    "DEADLINE_EXCEEDED": _late,
    "NOT_FOUND": _absent,
    **_each("ALREADY_EXISTS ABORTED", _conflict),
    **_each("PERMISSION_DENIED UNAUTHENTICATED", _credential),
    "RESOURCE_EXHAUSTED": meaning(F.RATE_LIMITED, 0.75, (F.RESOURCE, 0.25), resource=Resource.QUOTA, turned_away=True),
    "FAILED_PRECONDITION": meaning(F.BUSINESS, 0.5, (F.CONFLICT, 0.5), turned_away=True),
    "UNIMPLEMENTED": meaning(F.UNKNOWN_HANDLER, 0.6, (F.CONFIGURATION, 0.4), turned_away=True),
    "INTERNAL": meaning(F.UNAVAILABLE, 0.5, (F.BUG, 0.3), (F.OTHER, 0.2), sent=True),
    "DATA_LOSS": meaning(F.UNAVAILABLE, 0.5, (F.RESOURCE, 0.3), sent=True),
    "UNAVAILABLE": meaning(F.UNAVAILABLE),  # before it was sent or after: it does not say
}
_sqlstates = {  # the longest beginning that fits
    "08": _down,
    "08001": _unreached,
    "08004": _unreached,
    "0A": _wrong,
    "21": _wrong,
    "22": _invalid,
    "23": meaning(F.INVALID_DATA, 0.6, (F.CONFLICT, 0.4), turned_away=True),
    "23505": _conflict,
    "23P01": _conflict,
    "23503": meaning(F.INVALID_DATA, 0.6, (F.CONFLICT, 0.4), turned_away=True),
    "25006": _down,
    "25P03": meaning(F.TIMEOUT, timeout=Timeout.STATEMENT),
    "28": _credential,
    "3D": meaning(F.CONFIGURATION, before_send=True),
    "3F": _wrong,
    "40": _lock,
    "42": _wrong,
    "42501": _credential,
    "44": _invalid,
    "53": meaning(F.RESOURCE),
    "53100": _disk,
    "53200": _memory,
    "53300": _pool,
    "54": meaning(F.RESOURCE, 0.6, (F.INVALID_DATA, 0.4), resource=Resource.QUOTA),
    "55P03": _lock,
    "57": _down,
    "57014": meaning(F.TIMEOUT, 0.5, (F.LOCK, 0.4), timeout=Timeout.STATEMENT, outranks=(F.TIMEOUT,)),
    "58": _disk,
    "72": _lock,
    "HYT00": _late,
    "HYT01": meaning(F.TIMEOUT, timeout=Timeout.CONNECT, before_send=True),
    "P0": meaning(F.BUSINESS, 0.6, (F.INVALID_DATA, 0.4), turned_away=True),
    "XX": meaning(F.BUG, 0.5, (F.UNAVAILABLE, 0.5)),
}
_errnos = {
    **_each("ECONNREFUSED ENETUNREACH EHOSTUNREACH EHOSTDOWN ENETDOWN ENOTFOUND EAI_AGAIN EAI_NONAME", _unreached),
    **_each("ECONNRESET EPIPE ECONNABORTED ESHUTDOWN ENOTCONN", _down),
    **_each("ETIMEDOUT ESOCKETTIMEDOUT", meaning(F.TIMEOUT, 0.7, (F.UNAVAILABLE, 0.3))),
    "UND_ERR_CONNECT_TIMEOUT": meaning(F.TIMEOUT, timeout=Timeout.CONNECT, before_send=True),
    **_each("UND_ERR_HEADERS_TIMEOUT UND_ERR_BODY_TIMEOUT ETIME", _late),
    "UND_ERR_SOCKET": _down,
    **_each("ENOSPC EDQUOT EROFS EIO EFBIG", _disk),
    **_each("EMFILE ENFILE", meaning(F.RESOURCE, resource=Resource.FILES)),
    "ENOMEM": _memory,
    "EAGAIN": meaning(F.RESOURCE, 0.6, (F.LOCK, 0.2), (F.TIMEOUT, 0.2), resource=Resource.THREADS),
    "EADDRNOTAVAIL": meaning(F.RESOURCE, 0.8, (F.CONFIGURATION, 0.2), resource=Resource.PORTS, before_send=True),
    "ENOBUFS": _memory,
    **_each("EACCES EPERM", meaning(F.CONFIGURATION, 0.6, (F.CREDENTIAL, 0.4))),
    **_each("ENOENT ENOTDIR EISDIR EADDRINUSE ENOEXEC", meaning(F.CONFIGURATION)),
    "EDEADLK": _lock,
    "EEXIST": _conflict,
}
_amqp = {
    "311": _invalid,
    **_each("312 313 404 406", meaning(F.CONFIGURATION, 0.7, (F.BROKER, 0.3))),
    **_each("320 504 541", _broker),
    **_each("402 501 502 503 505 540", _wrong),
    **_each("403 530", _credential),
    "405": _lock,
    "506": meaning(F.RESOURCE, 0.7, (F.BROKER, 0.3)),
}
_smtp = {
    "421": meaning(F.RATE_LIMITED, 0.7, (F.UNAVAILABLE, 0.3), turned_away=True),
    **_each("450 451", meaning(F.RATE_LIMITED, 0.5, (F.UNAVAILABLE, 0.5), turned_away=True)),
    "452": meaning(F.RESOURCE, 0.6, (F.RATE_LIMITED, 0.4), resource=Resource.DISK, turned_away=True),
    **_each("454 530 534 535 538", _credential),
    **_each("550 551 553 554", meaning(F.BUSINESS, 0.5, (F.INVALID_DATA, 0.4), (F.CREDENTIAL, 0.1), turned_away=True)),
    **_each("500 501 502 503 504 552", _invalid),
}
_mysql = {
    **_each("1205 1213 3572", _lock),
    **_each("1040 1203 1226", _pool),
    **_each("1062 1586", _conflict),
    **_each("1044 1045 1142 1143 1698", _credential),
    **_each("1021 1114", _disk),
    **_each("2002 2003 2005", _unreached),
    **_each("2006 2013 1053", _down),
    **_each("1048 1264 1292 1366 1406 1451 1452", _invalid),
    **_each("1049 1054 1146", _wrong),
    "3024": meaning(F.TIMEOUT, 0.6, (F.LOCK, 0.3), timeout=Timeout.STATEMENT),
}
_oracle = {
    **_each("00054 00060 08177 30006 04021", _lock),
    "00001": _conflict,
    **_each("00018 00020 12516 12519", _pool),
    **_each("12541 12514 12543 12154", _unreached),
    **_each("03113 03114 12537 01033 01034", _down),
    **_each("12170 01013 03136", _late),
    **_each("01017 28000 28001 01031", _credential),
    **_each("01653 01654 01688 09817", _disk),
    "04031": _memory,
    **_each("01400 01722 12899 02290 02291", _invalid),
}
_mssql = {
    **_each("1205 1222 3960", _lock),
    **_each("2601 2627", _conflict),
    **_each("18456 18452", _credential),
    "1105": _disk,
    "-2": _late,
}
_tls = {
    **_each("HANDSHAKE_FAILURE WRONG_VERSION_NUMBER PROTOCOL_VERSION", _unreached),
    **_each("UNEXPECTED_EOF DECRYPTION_FAILED_OR_BAD_RECORD_MAC", _down),
}
_sqlite = {  # the beginning of an extended code's name
    **_each("SQLITE_BUSY SQLITE_LOCKED SQLITE_PROTOCOL", _lock),
    **_each("SQLITE_FULL SQLITE_IOERR SQLITE_READONLY", _disk),
    "SQLITE_CANTOPEN": meaning(F.RESOURCE, 0.5, (F.CONFIGURATION, 0.5)),
    "SQLITE_NOMEM": _memory,
    **_each("SQLITE_CONSTRAINT_UNIQUE SQLITE_CONSTRAINT_PRIMARYKEY SQLITE_CONSTRAINT_ROWID", _conflict),
    **_each("SQLITE_CONSTRAINT SQLITE_MISMATCH SQLITE_TOOBIG SQLITE_RANGE", _invalid),
    "SQLITE_INTERRUPT": meaning(F.TIMEOUT, 0.6, (F.OTHER, 0.4)),
    **_each("SQLITE_AUTH SQLITE_PERM", _credential),
    **_each("SQLITE_ERROR SQLITE_MISUSE SQLITE_SCHEMA", _wrong),
}
_amends = {  # of the SDKs themselves
    "unknown_handler": meaning(F.UNKNOWN_HANDLER),
    "handler_timeout": meaning(F.TIMEOUT, sent=True),
    **_each("transaction_ended unsendable_result", meaning(F.BUG)),
    "transaction_lost": meaning(F.UNAVAILABLE, 0.6, (F.LOCK, 0.2), (F.RESOURCE, 0.2)),
    "no_inbox": meaning(F.CONFIGURATION),
    "cut_off": meaning(F.TIMEOUT, sent=True),  # a call that had not ended when its handler was given up
    "lease_expired": meaning(F.NO_REPLY),
    "invalid_data": _invalid,
}
_dns = {"NXDOMAIN": meaning(F.UNAVAILABLE, 0.7, (F.CONFIGURATION, 0.3), before_send=True)}
_exits = {"137": _memory}

_tables: Mapping[str, tuple[Mapping[str, Meaning], Meaning | None]] = {  # a standard: its codes, and any other of them
    "http": (_http, None),
    "grpc": (_grpc, None),
    "errno": (_errnos, None),
    "amqp": (_amqp, _broker),
    "smtp": (_smtp, None),
    "mysql": (_mysql, None),
    "ora": (_oracle, None),
    "mssql": (_mssql, None),
    "tls": (_tls, _certificate),
    "dns": (_dns, _unreached),
    "exit": (_exits, None),
    "amends": (_amends, None),
}
_business_words = re.compile(
    r"declin|insufficient|out_?of_?stock|sold_?out|limit_exceeded|rejected|blocked|not_allowed|fraud|closed|unknown_(?:"
    r"product|customer|order)|not_eligible|expired_card|ineligible",
    re.IGNORECASE,
)
_throttle_words = re.compile(
    r"throttl|rate_?limit|too_?many_?requests|slow_?down|request_?limit_?exceeded", re.IGNORECASE
)
_lock_words = re.compile(r"deadlock|lock_?(?:wait|time)", re.IGNORECASE)
_pool_words = re.compile(r"pool_?(?:time|exhaust|full|limit)", re.IGNORECASE)
_late_words = re.compile(r"time(?:d)?_?out|deadline_?exceeded", re.IGNORECASE)
_win = {"10060": "ETIMEDOUT", "10061": "ECONNREFUSED", "10054": "ECONNRESET", "10053": "ECONNABORTED"}
_standard = re.compile(
    r"(?P<standard>http|grpc|sqlstate|errno|amqp|smtp|mysql|ora|mssql|tls|dns|exit|sqlite|amends)(?:(?<=sqlite)3)?"
    r"[ _:=-]?(?P<rest>[\w-]{1,60})",
    re.IGNORECASE,
)
_sqlstate = re.compile(r"(?=.*[0-9])(?:[0-9]{2}|HY|P0|XX|0[A-Z]|[0-9][A-Z])[0-9A-Z]{3}")
_camel = re.compile(r"(?<=[a-z])(?=[A-Z])")
_as_written = ("ora", "mssql", "amends")


def normal_code(code: str) -> str:
    """A code as it is kept and compared: "HTTP_503" is "http 503". A participant's own stays, without ids in it."""
    code = " ".join(code[:code_chars_max].split())
    if found := _standard.fullmatch(code):
        standard, rest = found["standard"].lower(), found["rest"]
        if standard == "grpc":
            rest = _grpc_name(rest)
        elif standard == "errno":
            rest = _errno_name(rest)
        elif standard == "sqlite":
            rest = f"SQLITE_{rest.upper().removeprefix('SQLITE_')}"
        return f"{standard} {rest if standard in _as_written else rest.upper()}"
    if re.fullmatch(r"[1-5][0-9]{2}", code):
        return f"http {code}"
    if code.upper() in _errnos:
        return f"errno {code.upper()}"
    if _sqlstate.fullmatch(code) and code[:2] in {key[:2] for key in _sqlstates}:
        return f"sqlstate {code}"
    if code.startswith("StatusCode."):
        return f"grpc {_grpc_name(code.partition('.')[2])}"
    return masked(code, code_chars_max)


def _grpc_name(text: str) -> str:
    if text.isdigit() and int(text) < len(_grpc_names):
        return _grpc_names[int(text)]
    name = text if text.isupper() else _camel.sub("_", text).upper()
    return "CANCELLED" if name == "CANCELED" else name


def _errno_name(text: str) -> str:
    if text.isdigit():
        return _win.get(text) or errno.errorcode.get(int(text[:6]), text)
    return text.upper()


def meaning_of_code(code: str) -> Meaning | None:
    """What a code, written as `normal_code` writes it, means; None: nothing that is known here."""
    standard, _, rest = code.partition(" ")
    if standard == "sqlstate":
        return next((_sqlstates[rest[:n]] for n in (5, 3, 2) if rest[:n] in _sqlstates), None)
    if standard == "sqlite":  # "SQLITE_BUSY_SNAPSHOT" is a kind of SQLITE_BUSY
        parts = rest.split("_")
        return next((_sqlite[key] for n in range(len(parts), 1, -1) if (key := "_".join(parts[:n])) in _sqlite), _wrong)
    if standard in _tables and rest:
        codes, otherwise = _tables[standard]
        return codes.get(rest, otherwise)
    if code in _amends:  # an SDK that leaves out whose word it is
        return _amends[code]
    if _throttle_words.search(code):
        return _limited
    if _lock_words.search(code):
        return _lock
    if _pool_words.search(code):
        return _pool
    if _late_words.search(code):
        return meaning(F.TIMEOUT)
    if _business_words.search(code):
        return _no
    return None


# --- codes within text -----------------------------------------------------------------------------------------------

_grpc_said = re.compile(
    r"\bStatusCode\.([A-Z_]{5,20})|\bcode = ([A-Z][A-Za-z]{4,20})\b"
    r"|\b(DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED|UNAUTHENTICATED|PERMISSION_DENIED|FAILED_PRECONDITION)\b"
)
_amqp_said = re.compile(
    r"\b(?:AMQP|reply[ _-]code|\(reply-code)[ :=]{0,3}([345][0-9]{2})\b"
    r"|\b([345][0-9]{2})[, ]{1,2}[\"']?"
    r"(?:CONNECTION_FORCED|ACCESS_REFUSED|NOT_FOUND|RESOURCE_LOCKED|PRECONDITION_FAILED)"
)
_tls_said = re.compile(
    r"\b(CERTIFICATE_VERIFY_FAILED|CERTIFICATE_EXPIRED|HANDSHAKE_FAILURE|WRONG_VERSION_NUMBER|UNKNOWN_CA"
    r"|CERT_HAS_EXPIRED|UNEXPECTED_EOF)\b",
    re.IGNORECASE,
)
_sqlstate_said = re.compile(
    r"\bsqlstate[ :=(\[\"']{0,3}([0-9A-Z]{5})\b|\bERROR [0-9]{4} \(([0-9A-Z]{5})\)", re.IGNORECASE
)
_said: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("sqlstate", _sqlstate_said),
    ("ora", re.compile(r"\bORA-([0-9]{5})\b")),
    ("mysql", re.compile(r"\((1[0-9]{3}|2[0-9]{3}|3[0-9]{3}), ?[\"']")),
    ("errno", re.compile(r"\[?\b(?:Errno|WinError)[ :=]{1,2}([0-9]{1,5})\b|\b(E[A-Z]{3,16})\b", re.IGNORECASE)),
    ("amqp", _amqp_said),
    ("smtp", re.compile(r"\b([245][0-9]{2})[ -][245]\.[0-9]{1,3}\.[0-9]{1,3}\b|\bSMTP[ :a-z]{0,9}([45][0-9]{2})\b")),
    ("tls", _tls_said),
    ("dns", re.compile(r"\b(NXDOMAIN|SERVFAIL)\b")),
    ("grpc", _grpc_said),
)
_http_said = re.compile(
    r"\b(?:https?(?:/[0-9](?:\.[0-9])?)?|status(?:[ _-]?code)?|response(?:[ _-]code)?|returned|answered)"
    r"(?:[\"']?[ ]{0,2}[:=]?[ ]{0,2}|[_-])[\"'(\[]?([45][0-9]{2})(?![0-9.,]?[0-9])"
    r"|(?<![0-9.])([45][0-9]{2})[ :\-]{1,3}(?:Bad Request|Unauthorized|Payment Required|Forbidden|Not Found"
    r"|Request Time-?out|Conflict|Gone|Precondition|Payload|Content Too|Unprocessable|Locked|Too Many|Internal Server"
    r"|Not Implemented|Bad Gateway|Service (?:Temporarily )?Unavailable|Gateway Time-?out|Insufficient Storage)\b",
    re.IGNORECASE,
)


def code_in(text: str) -> str:
    """The code that a text states, as `normal_code` writes it; "": none."""
    for standard, pattern in _said:
        for found in pattern.finditer(text):
            said = next(group for group in found.groups() if group)
            code = normal_code(f"{standard} {said}")
            if standard not in ("errno", "grpc") or meaning_of_code(code):
                return code
    found_status = _http_said.search(text)
    return f"http {found_status[1] or found_status[2]}" if found_status else ""
