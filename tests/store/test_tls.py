"""PostgreSQL over TLS, as the URL asks for it: a server with a certificate of its own, asked by coordinator and SDK."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy.ext.asyncio import AsyncEngine

from amends.database import open_engine
from coordinator.store.dialect import dialect_of
from tests.servers import ephemeral_postgres

pytestmark = [pytest.mark.postgres, pytest.mark.slow]


def certificate(host: str) -> tuple[str, str]:
    """A certificate for a host that nobody else has signed, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "amends test")]), datetime.now(UTC)
    who = x509.DNSName(host) if host == "localhost" else x509.IPAddress(ip_address(host))
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([who]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return made.public_bytes(pem).decode(), private.decode()


async def let_it_speak_tls(url: str, certified: str, key: str) -> None:
    """Put both into the server's folder, by the server itself, for only it may read its key."""
    engine = open_engine(url)
    async with engine.connect() as connection:
        plain = await connection.execution_options(isolation_level="AUTOCOMMIT")
        for name, text in (("server.crt", certified), ("server.key", key)):
            lines = f"SELECT unnest(string_to_array('{text}', E'\\n'))"
            await plain.exec_driver_sql(f"COPY ({lines}) TO PROGRAM 'umask 077 && cat > {name}'")
        await plain.exec_driver_sql("ALTER SYSTEM SET ssl = on")
    await engine.dispose()


async def over_tls(engine: AsyncEngine) -> bool:
    """Whether the connection that an engine makes is encrypted, as the server says."""
    try:
        async with engine.connect() as connection:
            found = await connection.execute(sa.text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))
            return bool(found.scalar_one())
    finally:
        await engine.dispose()


def engines(url: str) -> list[AsyncEngine]:
    return [open_engine(url), dialect_of(url).writer(connections=1, application_name="amends test")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The URL of a PostgreSQL that speaks TLS, and its certificate."""
    with ephemeral_postgres() as database:
        certified, key = certificate(str(sa.make_url(database.url).host))
        asyncio.run(let_it_speak_tls(database.url, certified, key))
        database.restart()
        root = tmp_path_factory.mktemp("tls") / "root.crt"
        root.write_text(certified)
        yield database.url, root


async def test_what_the_url_asks_for_is_done(server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    url, root = server
    monkeypatch.setenv("HOME", "/nonexistent")
    for asked, expected in (
        ("?sslmode=disable", False),
        ("?ssl=require", True),
        (f"?sslmode=verify-full&sslrootcert={root}", True),
    ):
        assert [await over_tls(engine) for engine in engines(url + asked)] == [expected] * 2
    monkeypatch.setenv("PGSSLROOTCERT", str(root))
    assert [await over_tls(engine) for engine in engines(url + "?sslmode=verify-full")] == [True] * 2


async def test_where_no_authority_is_named_the_systems_are_believed(
    server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, root = server
    monkeypatch.setenv("HOME", "/nonexistent")
    for mode in ("verify-ca", "verify-full"):
        for engine in engines(f"{url}?sslmode={mode}"):
            with pytest.raises(ssl.SSLCertVerificationError):
                await over_tls(engine)
        monkeypatch.setenv("SSL_CERT_FILE", str(root))  # where the system has its authorities
        assert [await over_tls(engine) for engine in engines(f"{url}?sslmode={mode}")] == [True] * 2
        monkeypatch.delenv("SSL_CERT_FILE")
