"""What errors say, in the libraries, languages and codes that participants speak: typed first, the deepest cause first,
and as a distribution where words are ambiguous."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.diagnosis.codes import code_in, meaning_of_code, normal_code
from coordinator.diagnosis.exceptions import meaning_of_exception
from coordinator.diagnosis.signals import Resource, Signal, SignalFamily, Timeout, signal_of, signal_of_logs
from coordinator.diagnosis.wordings import meanings_of_wording
from coordinator.saga.event import Failure, Underlying
from tests.diagnosis.hostile import combined, seconds_max, slowest
from tests.diagnosis.messages import ordinary

F = SignalFamily


def said(kind: str, message: str = "", code: str = "", *causes: Underlying) -> Signal:
    return signal_of(Failure(kind, message, code=code, causes=causes))


codes = {
    "http 401": F.CREDENTIAL,
    "http 409": F.CONFLICT,
    "http 422": F.INVALID_DATA,
    "http 429": F.RATE_LIMITED,
    "http 502": F.UNAVAILABLE,
    "http 503": F.UNAVAILABLE,
    "http 504": F.TIMEOUT,
    "http 507": F.RESOURCE,
    "grpc UNAVAILABLE": F.UNAVAILABLE,
    "grpc DEADLINE_EXCEEDED": F.TIMEOUT,
    "grpc RESOURCE_EXHAUSTED": F.RATE_LIMITED,
    "grpc UNAUTHENTICATED": F.CREDENTIAL,
    "grpc 14": F.UNAVAILABLE,
    "grpc Unavailable": F.UNAVAILABLE,
    "sqlstate 40001": F.LOCK,
    "sqlstate 40P01": F.LOCK,
    "sqlstate 55P03": F.LOCK,
    "sqlstate 23505": F.CONFLICT,
    "sqlstate 23502": F.INVALID_DATA,
    "sqlstate 53100": F.RESOURCE,
    "sqlstate 53300": F.RESOURCE,
    "sqlstate 28P01": F.CREDENTIAL,
    "sqlstate 08006": F.UNAVAILABLE,
    "sqlstate 57P03": F.UNAVAILABLE,
    "sqlstate 42P01": F.BUG,
    "sqlstate 3D000": F.CONFIGURATION,
    "errno ECONNREFUSED": F.UNAVAILABLE,
    "errno 111": F.UNAVAILABLE,
    "errno ENOSPC": F.RESOURCE,
    "errno EMFILE": F.RESOURCE,
    "ECONNRESET": F.UNAVAILABLE,
    "errno ENOENT": F.CONFIGURATION,
    "errno ETIMEDOUT": F.TIMEOUT,
    "amqp 404": F.CONFIGURATION,
    "amqp 320": F.BROKER,
    "amqp 403": F.CREDENTIAL,
    "smtp 421": F.RATE_LIMITED,
    "smtp 535": F.CREDENTIAL,
    "tls CERTIFICATE_EXPIRED": F.CREDENTIAL,
    "dns NXDOMAIN": F.UNAVAILABLE,
    "mysql 1213": F.LOCK,
    "mysql 1062": F.CONFLICT,
    "ORA-00060": F.LOCK,
    "HTTP_503": F.UNAVAILABLE,
    "503": F.UNAVAILABLE,
    "StatusCode.UNAVAILABLE": F.UNAVAILABLE,
    "card_declined": F.BUSINESS,
    "insufficient_funds": F.BUSINESS,
    "rate_limit_exceeded": F.RATE_LIMITED,
    "exit 137": F.RESOURCE,
    "mssql 1205": F.LOCK,
    "sqlite SQLITE_BUSY": F.LOCK,
    "sqlite SQLITE_BUSY_SNAPSHOT": F.LOCK,
    "SQLITE_LOCKED": F.LOCK,
    "sqlite3 SQLITE_FULL": F.RESOURCE,
    "sqlite SQLITE_CONSTRAINT_UNIQUE": F.CONFLICT,
    "sqlite SQLITE_CONSTRAINT_NOTNULL": F.INVALID_DATA,
    "sqlite SQLITE_ERROR": F.BUG,
    "amends unknown_handler": F.UNKNOWN_HANDLER,
    "amends handler_timeout": F.TIMEOUT,
    "amends cut_off": F.TIMEOUT,
    "amends transaction_ended": F.BUG,
    "transaction_ended": F.BUG,
    "amends lease_expired": F.NO_REPLY,
    "timeout": F.TIMEOUT,
    "gateway_timed_out": F.TIMEOUT,
    "lock_timeout": F.LOCK,
    "pool_timeout": F.RESOURCE,
}

names = {
    "httpx.ReadTimeout": F.TIMEOUT,
    "aiohttp.ServerTimeoutError": F.TIMEOUT,
    "requests.exceptions.ReadTimeout": F.TIMEOUT,
    "asyncio.exceptions.TimeoutError": F.TIMEOUT,
    "java.net.SocketTimeoutException": F.TIMEOUT,
    "APITimeoutError": F.TIMEOUT,
    "context.deadlineExceededError": F.TIMEOUT,
    "ConnectTimeout": F.TIMEOUT,
    "httpx.PoolTimeout": F.RESOURCE,
    "java.sql.SQLTransientConnectionException": F.RESOURCE,
    "TooManyConnectionsError": F.RESOURCE,
    "aiohttp.ClientConnectorError": F.UNAVAILABLE,
    "httpx.ConnectError": F.UNAVAILABLE,
    "ConnectionRefusedError": F.UNAVAILABLE,
    "java.net.ConnectException": F.UNAVAILABLE,
    "java.net.UnknownHostException": F.UNAVAILABLE,
    "BrokenPipeError": F.UNAVAILABLE,
    "redis.exceptions.ConnectionError": F.UNAVAILABLE,
    "botocore.exceptions.EndpointConnectionError": F.UNAVAILABLE,
    "openai.APIConnectionError": F.UNAVAILABLE,
    "CallNotPermittedException": F.UNAVAILABLE,
    "kafka.NoBrokersAvailable": F.UNAVAILABLE,
    "openai.RateLimitError": F.RATE_LIMITED,
    "ThrottlingException": F.RATE_LIMITED,
    "RequestNotPermitted": F.RATE_LIMITED,
    "openai.AuthenticationError": F.CREDENTIAL,
    "botocore.exceptions.NoCredentialsError": F.CREDENTIAL,
    "asyncpg.exceptions.InvalidPasswordError": F.CREDENTIAL,
    "ssl.SSLCertVerificationError": F.CREDENTIAL,
    "asyncpg.exceptions.UniqueViolationError": F.CONFLICT,
    "psycopg.errors.UniqueViolation": F.CONFLICT,
    "sqlalchemy.exc.IntegrityError": F.CONFLICT,
    "javax.persistence.OptimisticLockException": F.CONFLICT,
    "asyncpg.exceptions.DeadlockDetectedError": F.LOCK,
    "psycopg.errors.SerializationFailure": F.LOCK,
    "redis.exceptions.LockError": F.LOCK,
    "CannotAcquireLockException": F.LOCK,
    "LockTimeoutError": F.LOCK,
    "pydantic.ValidationError": F.INVALID_DATA,
    "JsonMappingException": F.INVALID_DATA,
    "ZodError": F.INVALID_DATA,
    "MemoryError": F.RESOURCE,
    "java.lang.OutOfMemoryError": F.RESOURCE,
    "java.util.concurrent.RejectedExecutionException": F.RESOURCE,
    "AttributeError": F.BUG,
    "KeyError": F.BUG,
    "TypeError": F.BUG,
    "ZeroDivisionError": F.BUG,
    "UnboundLocalError": F.BUG,
    "java.lang.NullPointerException": F.BUG,
    "System.NullReferenceException": F.BUG,
    "ReferenceError": F.BUG,
    "FileNotFoundError": F.CONFIGURATION,
    "ImproperlyConfigured": F.CONFIGURATION,
    "UnknownAction": F.UNKNOWN_HANDLER,
    "amends.handler.HandlerEndedTransaction": F.BUG,
    "aio_pika.exceptions.AMQPConnectionError": F.BROKER,
    "NoReply": F.NO_REPLY,
    "LeaseExpired": F.NO_REPLY,
    "OutOfStock": F.BUSINESS,
    "CardDeclined": F.BUSINESS,
    "NoCourier": F.BUSINESS,
    "InvalidData": F.INVALID_DATA,
    "PaymentGatewayTimeout": F.TIMEOUT,
    "Exception": F.OTHER,
    "Error": F.OTHER,
    "RuntimeError": F.OTHER,
    "": F.OTHER,
}

wordings = {
    "QueuePool limit of size 5 overflow 10 reached, connection timed out, timeout 30.00": F.RESOURCE,
    "HikariPool-1 - Connection is not available, request timed out after 30000ms.": F.RESOURCE,
    "FATAL: sorry, too many clients already": F.RESOURCE,
    "canceling statement due to lock timeout": F.LOCK,
    "Lock wait timeout exceeded; try restarting transaction": F.LOCK,
    "could not serialize access due to concurrent update": F.LOCK,
    "no space left on device": F.RESOURCE,
    "Kein Speicherplatz mehr auf dem Gerät": F.RESOURCE,
    "espace disque insuffisant": F.RESOURCE,
    "cannot allocate memory": F.RESOURCE,
    "too many open files": F.RESOURCE,
    "connect: connection refused": F.UNAVAILABLE,
    "Verbindung abgelehnt": F.UNAVAILABLE,
    "Connexion refusée par le serveur": F.UNAVAILABLE,
    "conexión rechazada": F.UNAVAILABLE,
    "接続が拒否されました": F.UNAVAILABLE,
    "lookup pay.internal: no such host": F.UNAVAILABLE,
    "circuit breaker 'payment' is open": F.UNAVAILABLE,
    "Zeitüberschreitung nach 30 Sekunden": F.TIMEOUT,
    "délai d'attente dépassé": F.TIMEOUT,
    "se agotó el tiempo de espera": F.TIMEOUT,
    "タイムアウトしました": F.TIMEOUT,
    "context deadline exceeded": F.TIMEOUT,
    "too many requests, slow down": F.RATE_LIMITED,
    "zu viele Anfragen": F.RATE_LIMITED,
    "Invalid API key provided": F.CREDENTIAL,
    "certificate has expired": F.CREDENTIAL,
    "Zugriff verweigert": F.CREDENTIAL,
    "accès refusé": F.CREDENTIAL,
    "credenciales no válidas": F.CREDENTIAL,
    "認証に失敗しました": F.CREDENTIAL,
    "duplicate key value violates unique constraint": F.CONFLICT,
    "the charge has already been captured": F.CONFLICT,
    "existiert bereits": F.CONFLICT,
    "the card was declined": F.BUSINESS,
    "saldo insuficiente": F.BUSINESS,
    "在庫が不足しています": F.BUSINESS,
    "3 wanted, 2 on hand": F.BUSINESS,
    "'currency' is a required property": F.INVALID_DATA,
    "'NoneType' object has no attribute 'amount'": F.BUG,
    "Cannot read properties of undefined (reading 'id')": F.BUG,
    "no handler for action charge": F.UNKNOWN_HANDLER,
    "PAYMENT_URL: environment variable not set": F.CONFIGURATION,
    "service temporarily unavailable": F.UNAVAILABLE,
    "Server error '503 Service Unavailable' for url 'x'": F.UNAVAILABLE,
    "rpc error: code = DeadlineExceeded desc = x": F.TIMEOUT,
}


@pytest.mark.parametrize(("code", "family"), codes.items())
def test_a_code_decides_whatever_the_words_are(code: str, family: SignalFamily) -> None:
    for message in ("", "the card was declined", "division by zero"):
        signal = said("Any", message, code)
        assert signal.family is family, (signal.weights, message)
        assert signal.stated


@pytest.mark.parametrize(("name", "family"), names.items())
def test_the_name_of_an_exception_is_known(name: str, family: SignalFamily) -> None:
    assert said(name).family is family


@pytest.mark.parametrize(("wording", "family"), wordings.items())
def test_a_wording_is_known(wording: str, family: SignalFamily) -> None:
    assert said("Exception", wording).family is family


def test_the_deepest_cause_outweighs_what_was_raised_from_it() -> None:
    refused = Underlying("ConnectionRefusedError", "[Errno 111] Connect call failed ('10.0.0.3', 443)")
    signal = said("TimeoutError", "charge timed out", "", Underlying("ClientConnectorError"), refused)
    assert signal.family is F.UNAVAILABLE
    assert signal.code == "errno ECONNREFUSED"
    assert not signal.stated
    assert (signal.type, signal.leaf_type) == ("TimeoutError", "ConnectionRefusedError")
    assert signal.weight(F.TIMEOUT) > 0  # what was on top still says something
    assert signal.before_send


def test_what_is_ambiguous_is_said_to_be() -> None:
    signal = said("QueryCanceledError", "canceling statement due to statement timeout", "sqlstate 57014")
    assert signal.timeout is Timeout.STATEMENT
    assert abs(signal.weight(F.TIMEOUT) - signal.weight(F.LOCK)) < 0.2
    assert said("HTTPError", "", "http 500").weight(F.UNAVAILABLE) < 0.7


def test_a_pool_that_ran_out_is_no_timeout() -> None:
    signal = said("TimeoutError", "QueuePool limit of size 5 overflow 10 reached, connection timed out, timeout 30")
    assert signal.resource is Resource.POOL
    assert signal.timeout is Timeout.POOL
    assert signal.before_send
    assert signal.weight(F.TIMEOUT) < 0.25


@pytest.mark.parametrize(
    ("signal", "family"),
    [
        (said("sqlite3.OperationalError", "database is locked"), F.LOCK),
        (said("sqlalchemy.exc.OperationalError", "(sqlite3.OperationalError) x", "sqlite SQLITE_BUSY"), F.LOCK),
        (said("sqlite3.OperationalError", "database or disk is full", "sqlite SQLITE_FULL"), F.RESOURCE),
        (said("TimeoutError", "QueuePool limit of size 5 overflow 10 reached, timeout 30", "timeout"), F.RESOURCE),
        (said("HandlerEndedTransaction", "a handler called commit()", "amends transaction_ended"), F.BUG),
        (said("ProviderUnreachable", "no answer within 5 s", "timeout"), F.TIMEOUT),
    ],
)
def test_a_code_stands_against_a_name_that_only_seems_to_know_better(signal: Signal, family: SignalFamily) -> None:
    assert signal.family is family, signal.weights


@pytest.mark.parametrize(
    ("signal", "resource"),
    [
        (said("OSError", "", "errno ENOSPC"), Resource.DISK),
        (said("OSError", "[Errno 24] Too many open files"), Resource.FILES),
        (said("MemoryError"), Resource.MEMORY),
        (said("OperationalError", "remaining connection slots are reserved"), Resource.POOL),
        (said("RejectedExecutionException"), Resource.THREADS),
    ],
)
def test_it_is_known_what_ran_out(signal: Signal, resource: Resource) -> None:
    assert (signal.family, signal.resource) == (F.RESOURCE, resource)


@pytest.mark.parametrize(
    "signal",
    [
        said("ConnectionRefusedError"),
        said("httpx.ConnectTimeout", "timed out"),
        said("gaierror", "[Errno -2] Name or service not known"),
        said("E", "", "errno ECONNREFUSED"),
        said("E", "", "tls CERTIFICATE_EXPIRED"),
        said("E", "", "dns NXDOMAIN"),
        said("Error", "dial tcp 10.0.0.1:443: i/o timeout"),
        said("CallNotPermittedException"),
    ],
)
def test_what_never_left_is_proven_not_to_have_happened(signal: Signal) -> None:
    assert signal.before_send


@pytest.mark.parametrize(
    "signal",
    [
        said("httpx.ReadTimeout", "timed out"),
        said("TimeoutError", "timed out"),
        said("OSError", "[Errno 110] Connection timed out"),  # of connections that stood, too
        said("ConnectionResetError", "connection reset by peer"),
        said("HTTPError", "503 Service Unavailable: upstream said connection refused"),
        said("E", "", "http 504"),
        said("E", "", "grpc UNAVAILABLE"),
        said("Exception", "connection timed out"),
        said("SSLError", "EOF occurred in violation of protocol"),
        said("ConnectError", "", "", Underlying("ReadTimeout", "timed out")),
        said("Any", "could not connect to the provider: read timed out"),
    ],
)
def test_what_may_have_left_is_never_said_not_to_have(signal: Signal) -> None:
    assert not signal.before_send


def test_who_was_turned_away_did_nothing() -> None:
    for code in ("http 401", "http 429", "http 422", "smtp 421", "sqlstate 40001"):
        assert said("E", "", code).turned_away, code
    for code in ("http 500", "http 503", "http 504", "errno ECONNRESET", "grpc UNAVAILABLE"):
        assert not said("E", "", code).turned_away, code


def test_connect_and_read_timeouts_are_told_apart() -> None:
    assert said("httpx.ConnectTimeout").connect_timeout
    assert said("httpx.ReadTimeout").read_timeout
    pool = "HTTPSConnectionPool(host='pay.internal', port=443): Read timed out. (read timeout=10)"
    assert said("requests.exceptions.RequestException", pool).read_timeout
    assert said(
        "requests.exceptions.ConnectTimeout", "Connection to pay timed out. (connect timeout=10)"
    ).connect_timeout
    neither = said("TimeoutError", "timed out")
    assert not neither.connect_timeout
    assert not neither.read_timeout


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Too many requests. Retry after 30 s", 30.0),
        ("Retry-After: 120", 120.0),
        ("please try again in 1.5s", 1.5),
        ("retry in 250ms", 0.25),
        ("try again in 2 minutes", 120.0),
        ("retry after 9999999 h", 86_400.0),
        ("slow down", None),
    ],
)
def test_how_long_to_wait_is_read_from_the_text(message: str, seconds: float | None) -> None:
    assert said("RateLimitError", message).retry_after_seconds == seconds


def test_how_long_to_wait_is_taken_as_stated_within_a_day() -> None:
    assert signal_of(Failure("E", "retry in 5 s", retry_after_seconds=7.0)).retry_after_seconds == 7.0
    assert signal_of(Failure("E", retry_after_seconds=1e12)).retry_after_seconds == 86_400.0


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ("Cannot connect to host pay.internal:443 ssl:default", "pay.internal:443"),
        ("for url 'https://user:secret@api.stripe.com:8443/v1'", "api.stripe.com:8443"),
        ("HTTPSConnectionPool(host='api.bank.example.com', port=443): Read timed out", "api.bank.example.com:443"),
        ("Connect call failed ('10.0.0.12', 5432)", "<host>:5432"),
        ("dial tcp 10.2.3.4:50051: connect: connection refused", "<host>:50051"),
        ("could not connect to db-7.internal:5432", "db-<num>.internal:5432"),
        ('upstream "card-provider" failed', "card-provider"),
        ("everything is fine", ""),
    ],
)
def test_what_was_called_is_read_from_the_text(message: str, hint: str) -> None:
    assert said("Error", message).dependency_hint == hint


def test_no_failure_is_silence() -> None:
    signal = signal_of(None)
    assert signal.family is F.NO_REPLY
    assert signal.weight(F.NO_REPLY) == 1.0


def test_an_error_that_wraps_itself_says_it_once() -> None:
    twice = said("ReadTimeout", "timed out", "", Underlying("ReadTimeout", "timed out"))
    assert twice.weights == said("ReadTimeout", "timed out").weights


def test_log_lines_say_it_with_less_weight_and_the_grave_ones_alone() -> None:
    lines = ["INFO http: the card was declined", *["ERROR db: deadlock detected in 17"] * 9, "", "DEBUG x: timed out"]
    signal = signal_of_logs(lines)
    assert signal.family is F.LOCK
    assert signal.from_logs
    assert signal.weight(F.LOCK) < said("Exception", "deadlock detected").weight(F.LOCK)
    assert signal.weight(F.BUSINESS, F.TIMEOUT) == 0
    assert signal_of_logs(["upstream answered 503"]).code == "http 503"
    assert signal_of_logs([]).family is F.OTHER


def test_a_code_is_written_one_way() -> None:
    assert normal_code(" HTTP-503 ") == "http 503"
    assert normal_code("Errno 111") == "errno ECONNREFUSED"
    assert normal_code("winerror") == "winerror"
    assert normal_code("ORA-00060") == "ora 00060"
    assert normal_code("sqlstate:40p01") == "sqlstate 40P01"
    assert normal_code("40P01") == "sqlstate 40P01"
    assert normal_code("order-17-2026-x9") == "<id>"
    assert code_in("[WinError 10061] refused") == "errno ECONNREFUSED"
    assert code_in("an ordinary error, errors everywhere") == ""
    assert code_in("psql: ERROR 1205 (HY000): Lock wait") == "sqlstate HY000"
    assert meaning_of_code("http 299") is None
    assert meaning_of_code("order") is None


def test_every_ordinary_error_has_weights_that_add_up() -> None:
    for message in ordinary:
        signal = said("Exception", message)
        assert math.isclose(sum(signal.weights.values()), 1.0)
        assert next(iter(signal.weights)) is signal.family
        assert signal.weights[signal.family] == max(signal.weights.values())


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60), st.text(max_size=200), st.text(max_size=80), st.lists(st.text(max_size=60)))
def test_nothing_that_a_participant_says_makes_it_fail(kind: str, message: str, code: str, lines: list[str]) -> None:
    signal = said(kind, message, code, Underlying(message, kind, code))
    assert math.isclose(sum(signal.weights.values()), 1.0)
    assert signal_of_logs(lines).from_logs


pieces = [
    *("a", "1", " ", ".", ":", "/", "'", '"', "(", "é", "\n", "pool ", "waiting for ", "connection to ", "dial tcp "),
    *(
        "lock",
        "database ",
        "relation ",
        "http",
        "host=",
        "a://",
        "a@",
        "config",
        "retry after ",
        "E",
        "ORA-",
        "(1",
        "to a.",
    ),
]


def test_no_text_of_eight_kilobytes_takes_long() -> None:
    def read(text: str) -> None:
        signal_of(Failure(text[:200], text, code=text[:80], causes=(Underlying(text[:200], text[:1000]),)))
        signal_of_logs([text[:500]])

    seconds, begins = slowest(read, combined(pieces))
    assert seconds < seconds_max * 2, begins


def test_each_table_is_reached() -> None:
    assert meaning_of_exception("   ") is None
    assert meanings_of_wording("nothing of note") == []
