"""What kind of error it is: each from the library, or the part of the standard library, that raises it."""

from __future__ import annotations

import asyncio
import errno
import http
import smtplib
import socket
import sqlite3
import ssl
import urllib.error
from email.message import Message
from enum import Enum
from typing import Any

import aiormq
import asyncpg
import httpx2
import openai
import pytest
import sqlalchemy.exc

from amends import EffectUnknown, Refused
from amends.codes import code_chars_max, code_of


def response(status: int) -> httpx2.Response:
    return httpx2.Response(status, request=httpx2.Request("GET", "http://bank/"))


def like(kind: str, home: str = "tests", **facts: Any) -> Exception:
    """An error as a library that isn't installed here raises it."""
    made = type(kind, (Exception,), {"__module__": home, **facts})
    error: Exception = made("no")
    return error


class Status(Enum):
    UNAVAILABLE = (14, "unavailable")


grpc = like("AioRpcError", "grpc.aio", code=lambda self: Status.UNAVAILABLE, details=lambda self: "no")
throttled = {"Error": {"Code": "ThrottlingException"}, "ResponseMetadata": {"HTTPStatusCode": 400}}


def verified(number: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code = number
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refused("no", code="http 402"), "http 402"),
        (EffectUnknown("perhaps", code="acme E17"), "acme E17"),
        (like("Odd", amends_code="acme E18"), "acme E18"),
        (httpx2.HTTPStatusError("no", request=response(503).request, response=response(503)), "http 503"),
        (urllib.error.HTTPError("http://bank", 429, "slow down", Message(), None), "http 429"),
        (openai.RateLimitError("no", response=response(429), body=None), "http 429"),
        (like("ClientResponseError", "aiohttp", status=502), "http 502"),
        (like("GoogleAPICallError", code=http.HTTPStatus.CONFLICT), "http 409"),
        (like("ServiceUnavailable", grpc_status_code=Status.UNAVAILABLE, code=503), "grpc UNAVAILABLE"),
        (grpc, "grpc UNAVAILABLE"),
        (like("ClientError", "botocore", response=throttled), "aws ThrottlingException"),
        (like("ClientError", "botocore", response={**throttled, "Error": {"Code": "503"}}), "http 400"),
        (asyncpg.SerializationError("again"), "sqlstate 40001"),
        (sqlalchemy.exc.DBAPIError("…", {}, like("UniqueViolation", "psycopg2", pgcode="23505")), "sqlstate 23505"),
        (like("OperationalError", "pymysql.err", args=(1213, "deadlock")), "mysql 1213"),
        (smtplib.SMTPDataError(421, b"try later"), "smtp 421"),
        (smtplib.SMTPRecipientsRefused({"ada@example.org": (550, b"unknown")}), "smtp 550"),
        (like("SMTPResponseException", "aiosmtplib.errors", code=451), "smtp 451"),
        (like("ChannelClosedByBroker", "pika.exceptions", reply_code=404), "amqp 404"),
        (aiormq.exceptions.ChannelClosed(406, "PRECONDITION_FAILED"), "amqp 406"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "dns EAI_NONAME"),
        (like("NXDOMAIN", "dns.resolver"), "dns NXDOMAIN"),
        (verified(10), "tls CERTIFICATE_EXPIRED"),
        (verified(62), "tls HOSTNAME_MISMATCH"),
        (ssl.SSLZeroReturnError(6, "no"), "tls SSLZeroReturnError"),
        (OSError(errno.ENOSPC, "No space left on device"), "errno ENOSPC"),
        (ConnectionRefusedError("no"), "errno ECONNREFUSED"),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 1), …"), "errno ECONNREFUSED"),
        (MemoryError(), "errno ENOMEM"),
        (TimeoutError(), "timeout"),
        (TimeoutError(errno.ETIMEDOUT, "Connection timed out"), "errno ETIMEDOUT"),
        (httpx2.ReadTimeout("no"), "timeout"),
        (sqlalchemy.exc.TimeoutError("QueuePool limit of size 5 overflow 10 reached"), "timeout pool"),
        (httpx2.PoolTimeout("no"), "timeout pool"),
        (like("WriteConflict", code=112), ""),  # MongoDB's own numbers are no HTTP
        (like("Odd", status_code="200"), ""),
        (like("Odder", status_code=7), ""),
        (OSError("something"), ""),
        (OSError(99_999, "something"), ""),
        (asyncio.CancelledError(), ""),
        (ValueError("no"), ""),
        (Refused("no"), ""),
    ],
    ids=repr,
)
def test_an_error_is_known_by_what_it_carries(error: BaseException, code: str) -> None:
    assert code_of(error) == code


def test_sqlites_errors_have_names() -> None:
    with sqlite3.connect(":memory:") as connection:
        connection.execute("CREATE TABLE seats (name TEXT UNIQUE)")
        connection.execute("INSERT INTO seats VALUES ('4A')")
        with pytest.raises(sqlite3.IntegrityError) as caught:
            connection.execute("INSERT INTO seats VALUES ('4A')")
    connection.close()
    assert code_of(caught.value) == "sqlite SQLITE_CONSTRAINT_UNIQUE"
    wrapped = sqlalchemy.exc.IntegrityError("insert", {}, caught.value)
    assert code_of(wrapped) == "sqlite SQLITE_CONSTRAINT_UNIQUE"


async def test_a_connection_that_nobody_takes_is_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening
        with pytest.raises(OSError) as caught:  # noqa: PT011 - the code is what is looked at
            await asyncio.open_connection(*taken.getsockname())
    assert code_of(caught.value) == "errno ECONNREFUSED"


def test_a_code_is_bounded_and_may_travel() -> None:
    assert code_of(Refused("no", code="x" * 500)) == "x" * code_chars_max
    assert code_of(Refused("no", code="http\x00 402")) == "http\ufffd 402"


def test_an_error_that_raises_when_it_is_asked_has_no_code() -> None:
    def explode(_self: object) -> Any:
        raise RuntimeError("asked")

    names = ("amends_code", "code", "response", "sqlstate", "orig", "status_code", "status", "reply_code", "recipients")
    hostile: dict[str, Any] = dict.fromkeys(names, property(explode))
    assert code_of(like("Hostile", **hostile)) == ""
