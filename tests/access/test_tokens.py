"""Tokens of an identity provider: a real one on this machine, whose keys come by HTTP."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from coordinator.access import tokens
from coordinator.access.tokens import ProviderUnavailable, Tokens, provider_of
from coordinator.store.access import Role
from tests.access.conftest import as_, bearer
from tests.web.conftest import Site, problem_of

audience = "amends"
meanings = {"shop-admins": "admin", "shop-viewers": "viewer", "shop-payloads": "payloads"}
signing = rsa.generate_private_key(public_exponent=65537, key_size=2048)
curve = ec.generate_private_key(ec.SECP256R1())
stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Issuer:
    """An identity provider: its discovery document, its keys, and how often they were asked for."""

    def __init__(self) -> None:
        self.asked = 0
        self.keys: list[dict[str, Any]] = [_public(signing, "r1"), _public(curve, "e1")]
        self.answer: bytes | None = None  # in place of the keys
        issuer = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found: dict[str, Any] = {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/keys"}
                if self.path == "/keys":
                    issuer.asked += 1
                    found = {"keys": issuer.keys}
                body = (
                    issuer.answer if issuer.answer is not None and self.path == "/keys" else json.dumps(found).encode()
                )
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def token(self, key: Any = signing, *, algorithm: str = "RS256", kid: str | None = "r1", **claims: Any) -> str:
        now = int(time.time())
        told = {"iss": self.url, "aud": audience, "sub": "ada", "nbf": now - 1, "exp": now + 600,
                "groups": {"shop": ["shop-admins", "shop-payloads"]}, **claims}  # fmt: skip
        stated = {name: value for name, value in told.items() if value is not None}
        return jwt.encode(stated, key, algorithm=algorithm, headers={"kid": kid} if kid else None)

    def tokens(self) -> Tokens:
        provider = provider_of(self.url, audience, None, "groups.shop", "sub", meanings)
        assert provider is not None
        return Tokens(provider)


def _public(key: Any, kid: str) -> dict[str, Any]:
    kind: Any = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    found: dict[str, Any] = kind.to_jwk(key.public_key(), as_dict=True)
    return {**found, "kid": kid, "use": "sig"}


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    thread = threading.Thread(target=issuer.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield issuer
    issuer.server.shutdown()
    thread.join()
    issuer.server.server_close()


async def test_a_token_says_who_somebody_is_and_what_they_may(issuer: Issuer) -> None:
    found = await issuer.tokens().identify(issuer.token())
    assert found is not None
    assert (found.name, found.role, found.payloads, found.via) == ("ada", Role.ADMIN, True, "token")
    found = await issuer.tokens().identify(
        issuer.token(curve, algorithm="ES256", kid="e1", groups={"shop": "shop-viewers other"})
    )
    assert found is not None
    assert (found.role, found.payloads) == (Role.VIEWER, False)


async def test_a_token_that_proves_nothing_is_refused(issuer: Issuer) -> None:
    believed, past = issuer.tokens(), int(time.time()) - 3600
    assert await believed.identify(issuer.token()) is not None
    secret = "a secret as long as one should be: 32"
    refused = {
        "signed by a stranger": issuer.token(stranger),
        "not signed": issuer.token(None, algorithm="none"),
        "signed with a secret": issuer.token(secret, algorithm="HS256"),
        "the other algorithm": issuer.token(signing, algorithm="RS512"),
        "the other key": issuer.token(curve, algorithm="ES256", kid="r1"),
        "an unknown key": issuer.token(signing, kid="r2"),
        "no key": issuer.token(signing, kid=None),
        "expired": issuer.token(exp=past),
        "not yet": issuer.token(nbf=int(time.time()) + 3600),
        "never expires": issuer.token(exp=None),
        "no beginning": issuer.token(nbf=None),
        "for another": issuer.token(aud="somebody"),
        "for nobody": issuer.token(aud=None),
        "of another issuer": issuer.token(iss="https://elsewhere.example"),
        "of nobody": issuer.token(sub=None),
        "without a role": issuer.token(groups={"shop": ["strangers"]}),
        "with the claim elsewhere": issuer.token(groups=["shop-admins"]),
        "a name that is none": issuer.token(sub="a\nb"),
        "too long": issuer.token(more="x" * 9000),
        "nonsense": "a.b.c",
    }
    assert [why for why, token in refused.items() if await believed.identify(token) is not None] == []


async def test_unknown_keys_let_the_providers_be_fetched_again_but_not_often(issuer: Issuer) -> None:
    believed = issuer.tokens()
    for _ in range(5):
        await believed.identify(issuer.token(kid="unknown"))
    assert issuer.asked == 1


async def test_a_new_key_of_the_provider_is_found(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    believed = issuer.tokens()
    assert await believed.identify(issuer.token()) is not None
    issuer.keys = [{"kty": "nonsense"}, _public(stranger, "r2")]
    monkeypatch.setattr(tokens, "again_seconds", 0.0)
    assert await believed.identify(issuer.token(stranger, kid="r2")) is not None
    assert await believed.identify(issuer.token()) is None


@pytest.mark.parametrize("answer", [b"[]", b"{}", b'{"keys": []}', b"x", b" " * 300_000])
async def test_without_the_providers_keys_no_token_is_believed(issuer: Issuer, answer: bytes) -> None:
    issuer.answer = answer
    with pytest.raises(ProviderUnavailable):
        await issuer.tokens().identify(issuer.token())


def test_half_a_provider_is_refused() -> None:
    with pytest.raises(ValueError, match="AMENDS_OIDC_AUDIENCE"):
        provider_of("https://id.example", None, None)


async def test_the_api_and_a_session_are_had_with_a_token(small_site: Site, issuer: Issuer) -> None:
    await small_site.stop()
    told = {"oidc_issuer": issuer.url, "oidc_audience": audience, "oidc_roles_claim": "groups.shop"}
    small_site.settings = small_site.settings.model_copy(update={**told, "oidc_roles": meanings})
    await small_site.start()
    problem_of(await small_site.http.get("/v1/sagas"), 401, "unauthenticated")
    async with as_(small_site, issuer.token()) as ada:
        assert (await ada.get("/v1/keys")).json() == {"items": []}
        begun = await ada.post("/v1/session")
        assert (begun.json()["name"], begun.json()["via"]) == ("ada", "token")
    cookie = {"Cookie": f"amends_session={begun.cookies['amends_session']}"}
    assert (await small_site.http.get("/v1/sagas", headers=cookie)).status_code == 200
    issuer.answer = b"x"
    await small_site.restart()
    problem_of(await small_site.http.get("/v1/sagas", headers=bearer(issuer.token())), 503, "provider-unavailable")
