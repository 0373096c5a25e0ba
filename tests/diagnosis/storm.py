"""Ten thousand failures of four causes, as they come from many services: other ids, amounts, hosts, times and wordings
in each, other versions of the code, and one in a hundred that has nothing to do with it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from coordinator.saga.event import Failure, Underlying

_provider_wordings = (
    "charge of {amount} for order {order} failed: {host} did not answer within {seconds} s (request {request})",
    "Zeitüberschreitung nach {seconds} Sekunden: Zahlung {amount} für Bestellung {order}, Anfrage {request}",
    "HTTPSConnectionPool(host='{name}', port=443): Read timed out. (read timeout={seconds})",
    "504 Gateway Timeout from https://{name}/v1/charges/{request}?order={order} at {at}",
)
_stock_wordings = (
    "could not obtain lock on row ({shelf}) in relation stock_{shelf}: reserved by saga {saga}",
    "canceling statement due to lock timeout CONTEXT: while locking tuple ({shelf},{order}) in relation stock",
    "Sperre auf Artikel {order} nicht erhalten, {seconds} s gewartet ({request})",
)
_disk_wordings = (
    "[Errno 28] No space left on device: '/var/lib/labels/{saga}/{request}.pdf'",
    "Kein Speicherplatz mehr auf {name} ({size} MB frei), Etikett {order}",
    "écriture de {request}.pdf impossible sur {host}: espace disque insuffisant",
)
_mail_wordings = (
    "421 4.7.0 {host} too many messages from {mail}, try again in {seconds} seconds ({request})",
    "421-4.7.0 Too many requests, session {saga}",
    "rate limit of {size} messages per hour reached for {mail}",
)
_stray_wordings = (
    "'customer_{order}'",
    "unexpected state of order {order}: {request}",
    "connection to {host} was reset",
)


@dataclass(frozen=True)
class Struck:
    """One failed step, and why it really failed."""

    cause: str
    definition: str
    step: str
    participant: str
    failure: Failure


def storm(count: int, seed: int = 7) -> Iterator[Struck]:
    """So many failures, the same for the same seed."""
    chance = random.Random(seed)
    causes = (_provider, _lock, _disk, _mail)
    for _ in range(count):
        made = _stray if chance.random() < 0.01 else chance.choice(causes)
        yield made(chance)


def _said(chance: random.Random, wordings: tuple[str, ...]) -> str:
    number = chance.randrange(10, 99_999)
    prefix = chance.choice(["req", "ch", "txn"])
    return chance.choice(wordings).format(
        amount=f"{number / 100:.2f} {chance.choice(['EUR', 'USD', 'CHF'])}",
        order=chance.choice([f"ORD-{number}", str(number), f"ord_{number:x}a{number}"]),
        request=f"{prefix}_{chance.getrandbits(60):x}",
        saga=UUID(int=chance.getrandbits(128)),
        host=f"10.{chance.randrange(256)}.{chance.randrange(256)}.7:{chance.choice([443, 5432, 8443])}",
        name=f"{chance.choice(['pay', 'gate', 'label'])}-{chance.randrange(40)}.internal",
        seconds=chance.choice([5, 10, 30, 2.5, 30.001]),
        shelf=chance.randrange(1, 50),
        size=chance.randrange(1, 5000),
        mail=f"user{number}@example.com",
        at=(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number)).isoformat(),
    )


def _provider(chance: random.Random) -> Struck:
    said = _said(chance, _provider_wordings)
    below = (Underlying("httpx.ReadTimeout", said), Underlying("httpcore.ReadTimeout", "timed out"))
    frames = (f"payment.gateway:charge:{chance.randrange(400)}", "payment.service:pay")
    with_code = chance.random() < 0.7
    failure = Failure("GatewayError", said, code="http 504" if with_code else "", causes=below, frames=frames)
    return Struck("provider", chance.choice(["order", "subscription"]), "charge", "payment", failure)


def _lock(chance: random.Random) -> Struck:
    said = _said(chance, _stock_wordings)
    below = (Underlying("asyncpg.exceptions.LockNotAvailableError", said, "sqlstate 55P03"),)
    kind = chance.choice(["DBAPIError", "sqlalchemy.exc.DBAPIError"])
    return Struck("lock", "order", "reserve", "inventory", Failure(kind, f"(sqlalchemy) {said}", causes=below))


def _disk(chance: random.Random) -> Struck:
    said = _said(chance, _disk_wordings)
    code = "errno ENOSPC" if chance.random() < 0.5 else ""
    return Struck("disk", "order", "print-label", "shipping", Failure("OSError", said, code=code))


def _mail(chance: random.Random) -> Struck:
    said = _said(chance, _mail_wordings)
    return Struck("mail", "order", "confirm", "notification", Failure("SMTPResponseException", said))


def _stray(chance: random.Random) -> Struck:
    participant = chance.choice(["payment", "inventory", "shipping", "notification"])
    kind = chance.choice(["KeyError", "RuntimeError", "ConnectionResetError"])
    return Struck("stray", "order", "any", participant, Failure(kind, _said(chance, _stray_wordings)))
