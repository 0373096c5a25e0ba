"""How libraries say what went wrong. The same trouble has a different type, code and text in each of them.

A wording is a set of libraries that a company may use together. Two of them are known to whoever works on the analyser;
the cases kept back bring one that nobody has seen.
"""

from __future__ import annotations

import errno
from typing import Any, Protocol


def made(
    name: str,
    message: str,
    *,
    home: str = "",
    base: type[BaseException] = Exception,
    cause: BaseException | None = None,
    arguments: tuple[Any, ...] | None = None,
    **carried: Any,
) -> BaseException:
    """An error as a library would raise it: its class's name and home, what it carries, what it was raised from."""
    kind = type(name, (base,), {"__module__": home or "client", "__str__": lambda self: self.said})
    error: BaseException = kind(*(arguments or (message,)))
    for key, value in {**carried, "said": message}.items():
        setattr(error, key, value)
    error.__cause__ = cause
    return error


class Answer:
    """An HTTP response, as far as errors carry one."""

    def __init__(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.status_code = self.status = status
        self.headers = headers or {}


class Wording(Protocol):
    """One way of saying each trouble."""

    def late(self, place: str, seconds: float) -> BaseException: ...
    def refused(self, place: str) -> BaseException: ...
    def not_found(self, place: str) -> BaseException: ...
    def status(self, place: str, status: int, wait_seconds: int | None = None) -> BaseException: ...
    def expired(self, place: str) -> BaseException: ...
    def reset(self, place: str) -> BaseException: ...
    def unique(self, table: str, key: str) -> BaseException: ...
    def stale(self, table: str) -> BaseException: ...
    def deadlock(self, table: str) -> BaseException: ...
    def lock_wait(self, table: str) -> BaseException: ...
    def statement_late(self, table: str) -> BaseException: ...
    def pool_empty(self, place: str) -> BaseException: ...
    def disk_full(self, path: str) -> BaseException: ...
    def files_full(self, path: str) -> BaseException: ...
    def memory(self) -> BaseException: ...
    def vague(self) -> BaseException: ...


class Httpx:
    """httpx, httpcore, psycopg."""

    def late(self, place: str, seconds: float) -> BaseException:
        inner = made("ReadTimeout", "", home="httpcore", base=TimeoutError)
        return made("ReadTimeout", "timed out", home="httpx", cause=inner)

    def refused(self, place: str) -> BaseException:
        deep = ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('10.2.0.17', 443)")
        inner = made("ConnectError", "All connection attempts failed", home="httpcore", cause=deep)
        return made("ConnectError", "All connection attempts failed", home="httpx", cause=inner)

    def not_found(self, place: str) -> BaseException:
        import socket

        deep = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return made("ConnectError", "[Errno -2] Name or service not known", home="httpx", cause=deep)

    def status(self, place: str, status: int, wait_seconds: int | None = None) -> BaseException:
        names = {401: "Unauthorized", 403: "Forbidden", 409: "Conflict", 429: "Too Many Requests"}
        names |= {402: "Payment Required", 422: "Unprocessable Entity", 400: "Bad Request", 404: "Not Found"}
        names |= {500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout"}
        said = "Client" if status < 500 else "Server"
        answer = Answer(status, {"Retry-After": str(wait_seconds)} if wait_seconds else None)
        message = f"{said} error '{status} {names.get(status, '')}' for url 'https://{place}.internal/v2/calls'"
        return made("HTTPStatusError", message, home="httpx", response=answer)

    def expired(self, place: str) -> BaseException:
        import ssl

        deep = ssl.SSLCertVerificationError(1, "certificate verify failed: certificate has expired (_ssl.c:1006)")
        deep.verify_code = 10
        return made("ConnectError", str(deep), home="httpx", cause=deep)

    def reset(self, place: str) -> BaseException:
        return made("RemoteProtocolError", "Server disconnected without sending a response.", home="httpx")

    def unique(self, table: str, key: str) -> BaseException:
        said = (
            f'duplicate key value violates unique constraint "{table}_pkey"\nDETAIL:  Key (id)=({key}) already exists.'
        )
        return made("UniqueViolation", said, home="psycopg.errors", sqlstate="23505")

    def stale(self, table: str) -> BaseException:
        return made("StaleRow", f"row of {table} was changed since it was read: expected revision 3, found 4")

    def deadlock(self, table: str) -> BaseException:
        detail = "Process 4711 waits for ShareLock on transaction 88123; blocked by process 4720."
        said = f"deadlock detected\nDETAIL:  {detail}"
        return made("DeadlockDetected", said, home="psycopg.errors", sqlstate="40P01")

    def lock_wait(self, table: str) -> BaseException:
        said = f'canceling statement due to lock timeout\nCONTEXT:  while locking tuple (0,12) in relation "{table}"'
        return made("LockNotAvailable", said, home="psycopg.errors", sqlstate="55P03")

    def statement_late(self, table: str) -> BaseException:
        return made(
            "QueryCanceled", "canceling statement due to statement timeout", home="psycopg.errors", sqlstate="57014"
        )

    def pool_empty(self, place: str) -> BaseException:
        return made("PoolTimeout", "couldn't get a connection after 5.00 sec", home="psycopg_pool")

    def disk_full(self, path: str) -> BaseException:
        return OSError(errno.ENOSPC, "No space left on device", path)

    def files_full(self, path: str) -> BaseException:
        return OSError(errno.EMFILE, "Too many open files", path)

    def memory(self) -> BaseException:
        return MemoryError()

    def vague(self) -> BaseException:
        return RuntimeError("something went wrong")


class Aiohttp(Httpx):
    """aiohttp, SQLAlchemy over asyncpg."""

    def late(self, place: str, seconds: float) -> BaseException:
        said = f"Timeout on reading data from socket: https://{place}.internal:443"
        return made("SocketTimeoutError", said, home="aiohttp", base=TimeoutError)

    def refused(self, place: str) -> BaseException:
        deep = ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('10.2.0.17', 443)")
        said = f"Cannot connect to host {place}.internal:443 ssl:default [Connect call failed ('10.2.0.17', 443)]"
        return made("ClientConnectorError", said, home="aiohttp", cause=deep)

    def not_found(self, place: str) -> BaseException:
        import socket

        deep = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        said = f"Cannot connect to host {place}.internal:443 ssl:default [Temporary failure in name resolution]"
        return made("ClientConnectorDNSError", said, home="aiohttp", cause=deep)

    def status(self, place: str, status: int, wait_seconds: int | None = None) -> BaseException:
        headers = {"Retry-After": str(wait_seconds)} if wait_seconds else {}
        said = f"{status}, message='status {status}', url='https://{place}.internal/api/calls'"
        return made("ClientResponseError", said, home="aiohttp", status=status, headers=headers)

    def expired(self, place: str) -> BaseException:
        import ssl

        deep = ssl.SSLCertVerificationError(1, "certificate verify failed: certificate has expired (_ssl.c:1016)")
        deep.verify_code = 10
        said = (
            f"Cannot connect to host {place}.internal:443 ssl:True [SSLCertVerificationError: certificate has expired]"
        )
        return made("ClientConnectorCertificateError", said, home="aiohttp", cause=deep)

    def reset(self, place: str) -> BaseException:
        return made("ServerDisconnectedError", "Server disconnected", home="aiohttp")

    def _wrapped(self, name: str, said: str, state: str) -> BaseException:
        inner = made(name, said, home="asyncpg.exceptions", sqlstate=state)
        outer = "IntegrityError" if state.startswith("23") else "DBAPIError"
        return made(outer, f"(asyncpg.exceptions.{name}) {said}", home="sqlalchemy.exc", cause=inner, orig=inner)

    def unique(self, table: str, key: str) -> BaseException:
        said = f'duplicate key value violates unique constraint "uq_{table}_request"'
        return self._wrapped("UniqueViolationError", said, "23505")

    def stale(self, table: str) -> BaseException:
        said = f"UPDATE statement on table '{table}' expected to update 1 row(s); 0 were matched."
        return made("StaleDataError", said, home="sqlalchemy.orm.exc")

    def deadlock(self, table: str) -> BaseException:
        return self._wrapped("DeadlockDetectedError", "deadlock detected", "40P01")

    def lock_wait(self, table: str) -> BaseException:
        said = "canceling statement due to lock timeout"
        return self._wrapped("LockNotAvailableError", said, "55P03")

    def statement_late(self, table: str) -> BaseException:
        return self._wrapped("QueryCanceledError", "canceling statement due to statement timeout", "57014")

    def pool_empty(self, place: str) -> BaseException:
        said = "QueuePool limit of size 5 overflow 10 reached, connection timed out, timeout 30.00"
        return made("TimeoutError", said, home="sqlalchemy.exc")

    def disk_full(self, path: str) -> BaseException:
        inner = OSError(errno.ENOSPC, "No space left on device")
        return made("UploadFailed", f"could not write {path}/part-0001", home="storage", cause=inner)

    def files_full(self, path: str) -> BaseException:
        inner = OSError(errno.EMFILE, "Too many open files")
        return made("ClientOSError", "[Errno 24] Too many open files", home="aiohttp", cause=inner)

    def vague(self) -> BaseException:
        return made("ServiceError", "internal error")


class German(Httpx):
    """The first wording, where the database and the operating system speak German."""

    def deadlock(self, table: str) -> BaseException:
        return made("DeadlockDetected", "Verklemmung (Deadlock) entdeckt", home="psycopg.errors", sqlstate="40P01")

    def lock_wait(self, table: str) -> BaseException:
        said = "storniere Anfrage wegen Zeitüberschreitung beim Warten auf Sperre"
        return made("LockNotAvailable", said, home="psycopg.errors", sqlstate="55P03")

    def unique(self, table: str, key: str) -> BaseException:
        said = f"doppelter Schlüsselwert verletzt Unique-Constraint »{table}_pkey«"
        return made("UniqueViolation", said, home="psycopg.errors", sqlstate="23505")

    def status(self, place: str, status: int, wait_seconds: int | None = None) -> BaseException:
        answer = Answer(status, {"Retry-After": str(wait_seconds)} if wait_seconds else None)
        said = f"Anfrage an {place} abgelehnt: Statuscode {status}"
        return made("HTTPStatusError", said, home="httpx", response=answer)

    def disk_full(self, path: str) -> BaseException:
        return OSError(errno.ENOSPC, "Auf dem Gerät ist kein Speicherplatz mehr verfügbar", path)

    def late(self, place: str, seconds: float) -> BaseException:
        inner = made("ReadTimeout", "", home="httpcore", base=TimeoutError)
        return made("ReadTimeout", "Zeitüberschreitung der Anforderung", home="httpx", cause=inner)

    def vague(self) -> BaseException:
        return RuntimeError("Vorgang fehlgeschlagen")


wordings: dict[str, Wording] = {"httpx": Httpx(), "aiohttp": Aiohttp(), "german": German()}
