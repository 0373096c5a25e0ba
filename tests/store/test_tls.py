"""PostgreSQL over TLS, as the URL asks for it: a server with a certificate of its own, asked by coordinator and SDK."""

from __future__ import annotations

import os
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


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that nobody else has signed, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "amends test")]), datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    there, private = folder / "server.crt", folder / "server.key"
    there.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    private.chmod(0o600)
    return there, private


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
        made = certificate(tmp_path_factory.mktemp("tls"))
        data = database.directory / "data"
        owner = data.stat()
        for file in made:
            copied = data / file.name
            copied.write_bytes(file.read_bytes())
            copied.chmod(0o600)
            os.chown(copied, owner.st_uid, owner.st_gid)
        with (data / "postgresql.auto.conf").open("a") as settings:
            settings.write("ssl = on\n")
        database.restart()
        yield database.url, made[0]


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
