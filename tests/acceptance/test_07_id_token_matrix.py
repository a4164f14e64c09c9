"""
Acceptance 7: the OpenID conformance suite's modules for relying parties, each refusal with its own reason;
T27 to T33.

A case is named after its module (`oidcc-client-test-…`, without that prefix); what the suite has no module
for is marked with a plus sign.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from smart_async import IdTokenError, SigningKey

EVIL = "https://evil.example"
DAY = 86_400


class Case:
    """Makes ID tokens for one login."""

    def __init__(self, provider, tools, nonce: str) -> None:
        self.provider, self.tools, self.nonce = provider, tools, nonce
        self.now = int(provider.clock.now)

    def claims(self, **changes):
        return self.provider.claims(**{"nonce": self.nonce, **changes})

    def signed(self, **changes):
        return self.provider.sign(self.claims(**changes))

    def headed(self, kid="RS256", alg=None, /, **header):
        return self.provider.sign(self.claims(), kid, alg, **header)

    def publish(self, *jwks):
        self.provider.jwks_members = list(jwks)

    def raw(self, header, signature: bytes, claims=None) -> str:
        parts = (header, self.claims() if claims is None else claims)
        signed = ".".join(self.tools.b64(json.dumps(part).encode()) for part in parts)
        return f"{signed}.{self.tools.b64(signature)}"

    def hmac_with(self, data: bytes) -> str:
        header = {"alg": "HS256", "kid": "RS256"}
        signed = self.raw(header, b"x").rpartition(".")[0]
        return f"{signed}.{self.tools.b64(hmac.new(data, signed.encode(), hashlib.sha256).digest())}"

    def public(self, encoding="PEM", form="SubjectPublicKeyInfo") -> bytes:
        pem = self.provider.key().private_pem()
        key = serialization.load_pem_private_key(pem, None).public_key()
        return key.public_bytes(
            getattr(serialization.Encoding, encoding), getattr(serialization.PublicFormat, form)
        )

    def tampered(self, kid):
        """One bit of the signature is another."""
        self.publish(self.provider.jwk(kid))
        head, body, signature = self.headed(kid).split(".")
        changed = "A" if signature[5] != "A" else "B"
        return f"{head}.{body}.{signature[:5]}{changed}{signature[6:]}"

    def mixed(self, kid):
        """The claims of one token with the signature of another."""
        self.publish(self.provider.jwk(kid))
        head, _, signature = self.headed(kid).split(".")
        body = self.provider.sign(self.claims(sub="admin"), kid).split(".")[1]
        return f"{head}.{body}.{signature}"

    def weak(self):
        """An honest signature of a key that is too short to be believed."""
        key = rsa.generate_private_key(65537, 1024)
        numbers = key.public_key().public_numbers()
        octets = self.tools.b64(numbers.n.to_bytes(128, "big"))
        self.publish({"kty": "RSA", "kid": "RS256", "n": octets, "e": "AQAB"})
        signed = self.raw({"alg": "RS256", "kid": "RS256"}, b"x").rpartition(".")[0]
        return f"{signed}.{self.tools.b64(key.sign(signed.encode(), padding.PKCS1v15(), SHA256()))}"

    def own_key(self, header):
        """A token signed with the attacker's key, which its own header brings along."""
        key = SigningKey.generate("RS256", kid="RS256", key_size=2048)
        head = {"alg": "RS256", "kid": "RS256", **header(key)}
        signed = self.raw(head, b"x").rpartition(".")[0]
        return f"{signed}.{self.tools.b64(key.sign(signed.encode()))}"

    def wrong_curve(self):
        """ES384 with a key on P-256: the key does not fit, whoever signed."""
        key = ec.generate_private_key(ec.SECP256R1())
        numbers = key.public_key().public_numbers()
        x, y = (self.tools.b64(n.to_bytes(32, "big")) for n in (numbers.x, numbers.y))
        self.publish({"kty": "EC", "crv": "P-256", "kid": "ES384", "x": x, "y": y})
        return self.headed("ES384")


CASES = {
    # iss
    "invalid-iss": ("iss", lambda c: c.signed(iss=EVIL)),
    "missing-iss": ("iss", lambda c: c.signed(iss=...)),
    "invalid-iss +slash": ("iss", lambda c: c.signed(iss=c.provider.sso + "/")),
    "invalid-iss +list": ("iss", lambda c: c.signed(iss=[c.provider.sso, EVIL])),
    "invalid-iss +prefix": ("iss", lambda c: c.signed(iss=c.provider.sso + ".evil.example")),
    # sub
    "missing-sub": ("sub", lambda c: c.signed(sub=...)),
    "invalid-sub +empty": ("sub", lambda c: c.signed(sub="")),
    "invalid-sub +number": ("sub", lambda c: c.signed(sub=5)),
    "invalid-sub +long": ("sub", lambda c: c.signed(sub="x" * 256)),
    # aud, azp
    "invalid-aud": ("aud", lambda c: c.signed(aud="other")),
    "missing-aud": ("aud", lambda c: c.signed(aud=...)),
    "invalid-aud +empty list": ("aud", lambda c: c.signed(aud=[])),
    "invalid-secondary-aud": ("aud", lambda c: c.signed(aud=["growth-chart", "evil"], azp="growth-chart")),
    "invalid-secondary-aud +no azp": ("aud", lambda c: c.signed(aud=["growth-chart", "evil"])),
    "invalid-azp": ("azp", lambda c: c.signed(azp="evil")),
    "invalid-azp +for the other": (
        "azp",
        lambda c: c.signed(aud=["growth-chart", "trusted"], azp="trusted"),
    ),
    "missing-azp": ("azp", lambda c: c.signed(aud=["growth-chart", "trusted"])),
    # times
    "missing-iat": ("iat", lambda c: c.signed(iat=...)),
    "iat-is-week-in-past": ("iat", lambda c: c.signed(iat=c.now - 7 * DAY)),
    "invalid-iat +future": ("iat", lambda c: c.signed(iat=c.now + 3600, exp=c.now + 7200)),
    "invalid-iat +text": ("iat", lambda c: c.signed(iat=str(c.now))),
    "missing-exp": ("exp", lambda c: c.signed(exp=...)),
    "expired": ("exp", lambda c: c.signed(exp=c.now - 3600)),
    "invalid-exp +true": ("exp", lambda c: c.signed(exp=True)),
    "invalid-exp +text": ("exp", lambda c: c.signed(exp="9999999999")),
    "invalid-exp +1e308": ("exp", lambda c: c.signed(exp=1e308)),
    "invalid-exp +NaN": ("payload", lambda c: c.signed(exp=float("nan"))),
    "invalid-exp +Infinity": ("payload", lambda c: c.signed(exp=float("inf"))),
    "invalid-nbf +future": ("nbf", lambda c: c.signed(nbf=c.now + 3600)),
    # nonce
    "nonce-invalid": ("nonce", lambda c: c.signed(nonce="another")),
    "missing-nonce": ("nonce", lambda c: c.signed(nonce=...)),
    "nonce-invalid +null": ("nonce", lambda c: c.signed(nonce=None)),
    "nonce-invalid +list": ("nonce", lambda c: c.signed(nonce=[c.nonce])),
    # at_hash
    "invalid-at_hash": ("at_hash", lambda c: c.signed(at_hash="AAAAAAAAAAAAAAAAAAAAAA")),
    "invalid-at_hash +number": ("at_hash", lambda c: c.signed(at_hash=5)),
    "invalid-at_hash +empty": ("at_hash", lambda c: c.signed(at_hash="")),
    # alg
    "idtoken-sig-none": ("format", lambda c: c.raw({"alg": "none"}, b"")),
    "idtoken-sig-none +with a signature": ("alg", lambda c: c.headed(alg="none")),
    "invalid-null-alg": ("alg", lambda c: c.headed(alg=None)),
    "invalid-alternate-alg": ("alg", lambda c: c.headed(alg="RS257")),
    "missing-alg": ("alg", lambda c: c.headed(alg=...)),
    "invalid-alg +nOnE": ("alg", lambda c: c.headed(alg="nOnE")),
    "invalid-alg +list": ("alg", lambda c: c.headed(alg=["RS256"])),
    "invalid-sig-hs256 +PEM": ("alg", lambda c: c.hmac_with(c.public())),
    "invalid-sig-hs256 +DER": ("alg", lambda c: c.hmac_with(c.public("DER"))),
    "invalid-sig-hs256 +PKCS1": ("alg", lambda c: c.hmac_with(c.public("PEM", "PKCS1"))),
    "invalid-sig-hs256 +SSH": ("alg", lambda c: c.hmac_with(c.public("OpenSSH", "OpenSSH"))),
    "invalid-sig-hs256 +JWK": ("alg", lambda c: c.hmac_with(json.dumps(c.provider.jwk()).encode())),
    # signatures and keys
    "invalid-sig-rs256": ("signature", lambda c: c.tampered("RS256")),
    "invalid-sig-es256": ("signature", lambda c: c.tampered("ES256")),
    "invalid-sig +other claims": ("signature", lambda c: c.mixed("ES384")),
    "invalid-sig +r and s are 0": (
        "signature",
        lambda c: (
            c.publish(c.provider.jwk("ES256")),
            c.raw({"alg": "ES256", "kid": "ES256"}, bytes(64)),
        )[1],
    ),
    "invalid-sig +empty": ("format", lambda c: c.raw({"alg": "RS256", "kid": "RS256"}, b"")),
    "kid-absent-multiple-jwks": (
        "key",
        lambda c: (c.publish(c.provider.jwk(), c.provider.jwk("second", "RS256")), c.headed(kid=...))[1],
    ),
    "invalid-kid": ("key", lambda c: c.headed(kid="unknown")),
    "invalid-kid +number": ("header", lambda c: c.headed(kid=5)),
    "invalid-key +1024 bit": ("key", lambda c: c.weak()),
    "invalid-key +curve": ("key", lambda c: c.wrong_curve()),
    "invalid-key +for encryption": (
        "key",
        lambda c: (c.publish(c.provider.jwk(use="enc")), c.signed())[1],
    ),
    "invalid-key +symmetric": (
        "key",
        lambda c: (c.publish({"kty": "oct", "kid": "RS256", "k": "AAAA", "alg": "RS256"}), c.signed())[1],
    ),
    # headers that bring keys or demand extensions
    "header +jwk": ("header", lambda c: c.own_key(lambda key: {"jwk": key.public_jwk()})),
    "header +jku": ("header", lambda c: c.own_key(lambda _: {"jku": f"{EVIL}/keys"})),
    "header +x5u": ("header", lambda c: c.own_key(lambda _: {"x5u": f"{EVIL}/cert"})),
    "header +crit": ("header", lambda c: c.headed(crit=["exp"], exp=1)),
    "header +crit empty": ("header", lambda c: c.headed(crit=[])),
    "header +b64": ("header", lambda c: c.headed(b64=False)),
    # form
    "encrypted": ("encrypted", lambda _: "a.b.c.d.e"),
    "two parts": ("format", lambda c: c.signed().rpartition(".")[0]),
    "six parts": ("format", lambda _: "a.b.c.d.e.f"),
    "padded": ("format", lambda c: c.signed() + "=="),
    "wrong alphabet": ("format", lambda c: c.signed().replace(".", "+.", 1)),
    "payload +list": ("payload", lambda c: c.provider.sign([c.claims()])),
    "payload +null": ("payload", lambda c: c.provider.sign(None)),
    "payload +text": ("payload", lambda c: c.provider.sign("x")),
    "header +list": ("header", lambda c: c.provider.sign(c.claims(), header=["RS256"])),
    "header +text": ("header", lambda c: c.provider.sign(c.claims(), header="alg")),
}


@pytest.fixture
def login(colour, net, provider, config, tools):
    """Signs in with an ID token that a function makes."""
    config = replace(
        config, scope="openid launch/patient patient/*.rs offline_access", id_token_audiences=("trusted",)
    )
    client = colour.make(config, transport=net, clock=provider.clock)

    def run(make):
        pending = colour.call(client.authorize)
        provider.id_token = make(Case(provider, tools, pending.nonce.reveal()))
        return colour.call(client.exchange_code, pending, tools.callback_url(pending))

    return run


def test_there_are_enough():
    """The criterion asks for 45, and every reason occurs."""
    assert len(CASES) >= 45
    assert {reason for reason, _ in CASES.values()} == {
        *("iss", "sub", "aud", "azp", "iat", "exp", "nbf", "nonce", "at_hash"),
        *("format", "encrypted", "header", "alg", "key", "signature", "payload"),
    }


@pytest.mark.parametrize("name", CASES)
def test_a_token_that_is_refused(name, login, net):
    """Refused with its own reason; the access token is not lost, and no identity comes with it."""
    reason, make = CASES[name]
    with pytest.raises(IdTokenError) as caught:
        login(make)
    assert caught.value.reason == reason
    assert caught.value.token.identity is None
    assert caught.value.token.access_token.reveal() == "at-1"
    assert net.to("evil.example") == []


def at_hash(tools):
    return tools.b64(hashlib.sha256(b"at-1").digest()[:16])


ACCEPTED = {
    "oidcc-client-test": lambda c: c.signed(),
    "oidcc-client-test +at_hash": lambda c: c.signed(at_hash=at_hash(c.tools)),
    "kid-absent-single-jwks": lambda c: c.headed(kid=...),
    "idtoken-sig-rs256": lambda c: c.headed("RS256"),
    "idtoken-sig-es256": lambda c: (c.publish(c.provider.jwk("ES256")), c.headed("ES256"))[1],
    "missing-at_hash": lambda c: c.signed(at_hash=...),
    "secondary-aud +trusted": lambda c: c.signed(aud=["growth-chart", "trusted"], azp="growth-chart"),
    "unknown claims": lambda c: c.signed(acr="x", amr=["pwd"]),
    "a bad key beside": lambda c: (c.publish({"kty": "RSA", "n": "!!"}, c.provider.jwk()), c.signed())[1],
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_token_that_is_accepted(name, login):
    """The same login with nothing wrong, so that what is refused above is refused for its fault."""
    assert login(ACCEPTED[name]).identity.subject == "u-1"


def test_discovery_issuer_mismatch(login, provider):
    """The OpenID configuration belongs to another issuer than the pinned one."""
    provider.serve(openid=provider.openid(issuer=EVIL))
    with pytest.raises(IdTokenError, match="another issuer"):
        login(lambda c: c.signed())


def test_userinfo_is_not_asked(login, net, provider):
    """There is no second source for the subject: modules about userinfo have nothing to attack."""
    provider.serve(openid=provider.openid(userinfo_endpoint=f"{EVIL}/userinfo"))
    assert login(lambda c: c.signed()).identity.subject == "u-1"
    assert net.to("evil.example") == []
