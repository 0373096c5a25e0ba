"""What a coordinator refuses to start with: each in one line that says what to set.

On this machine alone everything goes. What others can reach has to ask who they are, and what leaves the machine is
encrypted, unless it goes to a host that is named as one to be spoken to in plaintext.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from urllib.parse import unquote, urlsplit

import sqlalchemy as sa

from coordinator.config import Settings
from coordinator.web.sites import is_loopback

default_credentials = {("guest", "guest"), ("postgres", "postgres"), ("admin", "admin"), ("user", "password")}
encrypted = {"require", "verify-ca", "verify-full"}
debug_switches = ("LITESTAR_DEBUG", "LITESTAR_PDB")
yes = ("1", "true", "t", "yes", "on")


def unsafe(settings: Settings) -> str | None:
    """Why these settings are refused, as far as they alone tell. None: they are not."""
    return next(refusals(settings), None)


def refusals(settings: Settings) -> Iterator[str]:
    """Everything for which these settings are refused, as far as they alone tell."""
    checks: tuple[Callable[[Settings], Iterator[str]], ...] = (_debug, _database, _broker, _provider)
    return (reason for check in checks for reason in check(settings))


def doubts(settings: Settings) -> Iterator[str]:
    """What is let pass, and is less than it could be."""
    mode = _mode(settings)
    if mode in encrypted - {"verify-full"}:
        yield f"AMENDS_DATABASE_URL: sslmode={mode} believes whoever answers in its place: write verify-full"
    public = urlsplit(settings.public_url or "")
    if public.scheme == "http" and not _is_here(public.hostname or ""):
        yield "AMENDS_PUBLIC_URL: keys and sessions travel there in plaintext: let a proxy speak TLS, and write https://"
    believed = settings.broker_participant_user or settings.reply_secret
    if not settings.embedded_broker and not believed:
        yield (
            "whoever may write to the broker can reply in another's name: run `amends broker setup` and set "
            "AMENDS_BROKER_PARTICIPANT_USER, or AMENDS_REPLY_SECRET"
        )


def unasked(settings: Settings) -> str | None:
    """Why this address can't be listened on while nobody is asked who they are. None: it can."""
    if is_loopback(settings.host):
        return None
    return (
        f"Nobody would be asked who they are, and others reach {settings.host}: make a key (amends keys create NAME "
        "--role admin --direct) or set AMENDS_OIDC_ISSUER and AMENDS_OIDC_AUDIENCE; or listen on 127.0.0.1; or say "
        "--insecure"
    )


def _debug(settings: Settings) -> Iterator[str]:
    if is_loopback(settings.host):
        return
    for name in debug_switches:
        if os.environ.get(name, "").lower() in yes:
            yield f"{name} is set, and others reach {settings.host}: unset it"
    if settings.log_level.upper() == "DEBUG":
        yield (
            f"AMENDS_LOG_LEVEL=DEBUG writes what passes through into the log, and others reach {settings.host}: "
            "set INFO"
        )


def _away(settings: Settings) -> tuple[sa.URL, str] | None:
    """A database that is not on this machine, and its host."""
    try:
        url = sa.make_url(settings.database_url)
    except sa.exc.ArgumentError:
        return None  # whoever opens it says what is wrong with it
    host = url.host or str(url.query.get("host", ""))
    return None if url.get_backend_name() == "sqlite" or _is_here(host) else (url, host)


def _mode(settings: Settings) -> str | None:
    """How a database that is away is spoken to."""
    away = _away(settings)
    stated = (away[0].query.get("sslmode") or away[0].query.get("ssl")) if away else None
    return None if stated is None else str(stated)


def _database(settings: Settings) -> Iterator[str]:
    away = _away(settings)
    if away is None:
        return
    url, host = away
    if (url.username, str(url.password)) in default_credentials:
        yield f"AMENDS_DATABASE_URL: {url.username} has the password that everybody knows: give it another"
    if _mode(settings) not in encrypted and not _may_be_plain(settings, host):
        yield (
            f"AMENDS_DATABASE_URL: {host} would be spoken to in plaintext: add ?sslmode=verify-full, or name the host "
            "in AMENDS_PLAINTEXT_TO if the network between is yours alone"
        )


def _broker(settings: Settings) -> Iterator[str]:
    if settings.embedded_broker:
        return
    url = urlsplit(settings.broker_url)
    host = url.hostname or ""
    if _is_here(host):
        return
    name, password = unquote(url.username or "guest"), unquote(url.password or "guest")
    if (name, password) in default_credentials:
        yield f"AMENDS_BROKER_URL: {name} has the password that everybody knows: give the coordinator a user of its own"
    if url.scheme != "amqps" and not _may_be_plain(settings, host):
        yield (
            f"AMENDS_BROKER_URL: {host} would be spoken to in plaintext: write amqps://, or name the host in "
            "AMENDS_PLAINTEXT_TO if the network between is yours alone"
        )


def _provider(settings: Settings) -> Iterator[str]:
    stated = {"AMENDS_OIDC_ISSUER": settings.oidc_issuer, "AMENDS_OIDC_JWKS_URL": settings.oidc_jwks_url}
    for name, address in stated.items():
        if address is None:
            continue
        url = urlsplit(address)
        if url.scheme == "https" or _is_here(url.hostname or "") or _may_be_plain(settings, url.hostname or ""):
            continue
        yield f"{name}: whoever is between could sign as they like: write https://"
    if bool(settings.oidc_issuer) != bool(settings.oidc_audience):
        yield "AMENDS_OIDC_ISSUER and AMENDS_OIDC_AUDIENCE go together: set both, or neither"


def _is_here(host: str) -> bool:
    """Whether it is this machine: by its name, its address, or a socket in the file system."""
    return not host or host.startswith("/") or is_loopback(host)


def _may_be_plain(settings: Settings, host: str) -> bool:
    return host.lower() in {name.strip().lower() for name in settings.plaintext_to.split(",")} - {""}
