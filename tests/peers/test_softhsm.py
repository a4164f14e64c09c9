"""Keys in a real PKCS #11 token: SoftHSM2, with keys made inside that never come out."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import pkcs11
import pytest
from joserfc import jws
from joserfc.jwk import KeySet

from smart_async import (
    AsyncSmartClient,
    ConfigurationError,
    PrivateKeyJWT,
    SigningKey,
    SmartClient,
    SmartConfig,
    TransportError,
    public_jwks,
)
from smart_async.keys.jws import compact, signing_input
from smart_async.sandbox import Sandbox
from smart_async.signers import Pkcs11Signer
from smart_async.signers._pkcs11_token import library_at

pytestmark = pytest.mark.peers

PIN = "pin-of-the-user"
SO_PIN = "pin-of-the-officer"
LABELS = {"RS384": "rsa-key", "ES384": "ec-key"}
PLACES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/*/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)


@pytest.fixture(scope="session")
def library() -> str:
    """The path of SoftHSM's library."""
    for place in PLACES:
        for path in Path("/").glob(place.removeprefix("/")):
            return str(path)
    pytest.fail("No SoftHSM2. On Debian run: apt-get install softhsm2", pytrace=False)


@pytest.fixture(scope="session")
def token_folder(tmp_path_factory: pytest.TempPathFactory, library: str) -> Iterator[Path]:
    """A folder with an initialized token, which SoftHSM finds by its environment variable."""
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    config = folder / "softhsm2.conf"
    config.write_text(
        f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    tool = shutil.which("softhsm2-util")
    assert tool is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(config))
        subprocess.run(
            [tool, "--init-token", "--free", "--label", "smart", "--pin", PIN, "--so-pin", SO_PIN],
            check=True,
            capture_output=True,
            timeout=60,
        )
        yield folder
        pkcs11.unload(library)


@pytest.fixture(scope="session")
def token(library: str, token_folder: Path) -> Any:
    """The token, with an RSA and a P-384 key that were made inside."""
    found = pkcs11.lib(library).get_token(token_label="smart")
    with found.open(rw=True, user_pin=PIN) as session:
        session.generate_keypair(pkcs11.KeyType.RSA, 2048, id=b"\1", label="rsa-key", store=True)
        curve = pkcs11.util.ec.encode_named_curve_parameters("secp384r1")
        parameters = session.create_domain_parameters(
            pkcs11.KeyType.EC, {pkcs11.Attribute.EC_PARAMS: curve}, local=True
        )
        parameters.generate_keypair(id=b"\2", label="ec-key", store=True)
    return found


@pytest.fixture
def pins() -> list[str]:
    """Notes each time that the PIN is asked for."""
    return []


@pytest.fixture
def signer(library: str, token: Any, algorithm: str, pins: list[str]) -> Iterator[Pkcs11Signer]:
    """A signer with one of the token's keys."""

    def pin() -> str:
        pins.append("asked")
        return PIN

    made = Pkcs11Signer(library, token_label="smart", key_label=LABELS[algorithm], pin=pin, kid="hsm-1")
    yield made
    made.close()


def verified(signer: Pkcs11Signer, payload: int) -> bool:
    """Sign, and let joserfc, which shares no code with the signer, verify."""
    to_sign = signing_input({"alg": signer.algorithm, "kid": signer.kid}, {"n": payload})
    token = compact(to_sign, signer.sign(to_sign))
    keys = KeySet.import_key_set(public_jwks([signer]))
    return (
        jws.deserialize_compact(token, keys, algorithms=[signer.algorithm]).payload == b'{"n":%d}' % payload
    )


def pull(library: str, token: Any) -> None:
    """Close all sessions behind the signer's back, as a pulled token does."""
    assert ctypes.CDLL(library).C_CloseAllSessions(ctypes.c_ulong(token.slot.slot_id)) == 0


# ------------------------------------------------------------------------------- signatures


def test_the_keys_cannot_leave(token: Any, algorithm: str) -> None:
    """What the tests sign with is held by the token alone."""
    with token.open(user_pin=PIN) as session:
        key = session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, label=LABELS[algorithm])
        attribute = pkcs11.Attribute
        assert key[attribute.EXTRACTABLE] is False
        assert key[attribute.SENSITIVE] is True
        secret = attribute.PRIVATE_EXPONENT if algorithm == "RS384" else attribute.VALUE
        with pytest.raises(pkcs11.AttributeSensitive):
            key[secret]


def test_a_signature(signer: Pkcs11Signer, algorithm: str, pins: list[str]) -> None:
    """RS384 and ES384 as JWS wants them; one login for many signatures."""
    assert (signer.kid, signer.algorithm, signer.blocking) == ("hsm-1", algorithm, True)
    for number in range(20):
        assert verified(signer, number) is True
    assert len(signer.sign(b"a.b")) == {"RS384": 256, "ES384": 96}[algorithm]
    assert pins == ["asked"]


def test_by_slot_and_id(library: str, token: Any, algorithm: str) -> None:
    """The slot's id and the key's id name the same key."""
    key_id = {"RS384": b"\1", "ES384": b"\2"}[algorithm]
    signer = Pkcs11Signer(library, slot=token.slot.slot_id, key_id=key_id, pin=lambda: PIN.encode())
    assert verified(signer, 1) is True
    signer.close()


def test_eight_threads(signer: Pkcs11Signer, pins: list[str]) -> None:
    """Eight threads share a signer, from its very first signature on."""
    together = threading.Barrier(8)

    def work(thread: int) -> list[bool]:
        together.wait(20)
        return [verified(signer, 100 * thread + number) for number in range(20)]

    with ThreadPoolExecutor(8) as pool:
        assert [all(results) for results in pool.map(work, range(8))] == [True] * 8
    assert pins == ["asked"]


def test_two_signers_share_a_token(library: str, token: Any) -> None:
    """A login is for the whole process: the second signer needs none, and outlives the first."""
    asked: list[str] = []

    def pin() -> str:
        asked.append("asked")
        return PIN

    rsa, ec = (
        Pkcs11Signer(library, token_label="smart", key_label=label, pin=pin) for label in LABELS.values()
    )
    assert (verified(rsa, 1), verified(ec, 2), len(asked)) == (True, True, 1)
    rsa.close()
    assert (verified(ec, 3), verified(rsa, 4)) == (True, True)
    ec.close()
    assert verified(rsa, 5) is True
    rsa.close()


def test_somebody_else_is_logged_in(library: str, token: Any, signer: Pkcs11Signer) -> None:
    """Other code of the process may have logged in already; its login serves."""
    with token.open(user_pin=PIN):
        assert verified(signer, 1) is True


# ------------------------------------------------------------------------- the token is pulled


def test_sessions_closed(library: str, token: Any, signer: Pkcs11Signer, pins: list[str]) -> None:
    """A session that is gone is opened again, with the PIN asked anew, and the signature is made."""
    assert verified(signer, 1) is True
    pull(library, token)
    assert (verified(signer, 2), pins) == (True, ["asked", "asked"])


def test_sessions_closed_under_eight_threads(library: str, token: Any, signer: Pkcs11Signer) -> None:
    """The same while eight threads sign: each one gets its signature."""
    assert verified(signer, 0) is True

    def work(number: int) -> bool:
        if number % 10 == 0:
            with library_at(library).lock:
                pull(library, token)
        return verified(signer, number)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(80))) is True


def test_the_library_is_started_anew(library: str, token: Any, signer: Pkcs11Signer) -> None:
    """Finalized and initialized again, as after a driver's restart."""
    assert verified(signer, 1) is True
    pkcs11.lib(library).reinitialize()
    assert verified(signer, 2) is True
    pkcs11.lib(library).finalize()
    assert verified(signer, 3) is True


def test_the_token_stays_away(
    library: str, token: Any, token_folder: Path, signer: Pkcs11Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the token is not there the error can be tried again; once it is back, signing goes on."""
    assert verified(signer, 1) is True
    tokens, away = token_folder / "tokens", token_folder / "away"
    tokens.rename(away)
    tokens.mkdir()
    pkcs11.lib(library).reinitialize()
    try:
        with pytest.raises(TransportError, match="does not answer") as caught:
            signer.sign(b"a.b")
        assert caught.value.sent is False
    finally:
        tokens.rmdir()
        away.rename(tokens)
        pkcs11.lib(library).reinitialize()
    assert verified(signer, 2) is True


def test_another_key_of_the_same_label(library: str, token: Any) -> None:
    """A token with other keys behind the same labels is noticed by its first signature."""
    made = Pkcs11Signer(library, token_label="smart", key_label="changing", pin=lambda: PIN)
    pairs: list[Any] = []

    def make() -> None:
        with token.open(rw=True, user_pin=PIN) as session:
            pairs[:] = session.generate_keypair(
                pkcs11.KeyType.RSA, 2048, id=b"\7", label="changing", store=True
            )

    def destroy() -> None:
        with token.open(rw=True, user_pin=PIN) as session:
            for each in list(session.get_objects({pkcs11.Attribute.LABEL: "changing"})):
                each.destroy()

    make()
    try:
        assert verified(made, 1) is True
        made.close()
        destroy()
        make()
        with pytest.raises(ConfigurationError, match="does not fit"):
            made.sign(b"a.b")
    finally:
        made.close()
        destroy()


FORK = """
import os, sys
from smart_async.signers import Pkcs11Signer

signer = Pkcs11Signer(sys.argv[1], token_label="smart", key_label=sys.argv[2], pin=lambda: sys.argv[3])
size = len(signer.sign(b"a.b"))
child = os.fork()
same = len(signer.sign(b"a.b")) == size
if not child:
    os._exit(0 if same else 1)
assert os.waitpid(child, 0)[1] == 0
print(same)
"""


def test_a_fork(library: str, token: Any, algorithm: str) -> None:
    """A child process opens the token for itself, and its parent goes on."""
    done = subprocess.run(
        [sys.executable, "-c", FORK, library, LABELS[algorithm], PIN],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ,
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


# ----------------------------------------------------------------------------- refusals


def test_a_wrong_pin_is_tried_once(library: str, token: Any) -> None:
    """Asking again and again would lock the token; the PIN is in no error."""
    asked: list[str] = []

    def pin() -> str:
        asked.append("asked")
        return "wrong-pin-9876"

    signer = Pkcs11Signer(library, token_label="smart", key_label="rsa-key", pin=pin)
    for _ in range(5):
        with pytest.raises(ConfigurationError, match="refuses the PIN") as caught:
            signer.sign(b"a.b")
        assert "9876" not in str(caught.value) + repr(caught.value.__context__) + repr(signer)
    assert asked == ["asked"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"token_label": "other", "key_label": "rsa-key"}, "There is no token 'other'"),
        ({"slot": 987654321, "key_label": "rsa-key"}, "There is no token in slot 987654321"),
        ({"token_label": "smart", "key_label": "other"}, "no private key of this label and id"),
        ({"token_label": "smart", "key_label": "rsa-key", "key_id": b"\2"}, "no private key of this label"),
    ],
)
def test_nothing_of_that_name(library: str, token: Any, arguments: dict[str, Any], message: str) -> None:
    """Token and key that are not there are configuration errors with the command that lists them."""
    with pytest.raises(ConfigurationError, match=message) as caught:
        Pkcs11Signer(library, pin=lambda: PIN, **arguments).sign(b"a.b")
    assert "pkcs11-tool" in caught.value.advice


def test_a_public_key_that_is_not_there(library: str, token: Any) -> None:
    """An elliptic-curve key without its public object needs public_key=; with the right one it signs."""
    with token.open(rw=True, user_pin=PIN) as session:
        curve = pkcs11.util.ec.encode_named_curve_parameters("secp384r1")
        parameters = session.create_domain_parameters(
            pkcs11.KeyType.EC, {pkcs11.Attribute.EC_PARAMS: curve}, local=True
        )
        public, _ = parameters.generate_keypair(id=b"\5", label="lonely", store=True)
        der = pkcs11.util.ec.encode_ec_public_key(public)
        public.destroy()
    try:
        bare = Pkcs11Signer(library, token_label="smart", key_label="lonely", pin=lambda: PIN)
        with pytest.raises(ConfigurationError, match="no readable public key"):
            bare.sign(b"a.b")
        bare.close()
        told = Pkcs11Signer(library, token_label="smart", key_label="lonely", pin=lambda: PIN, public_key=der)
        assert verified(told, 1) is True
        told.close()
        wrong = Pkcs11Signer(
            library,
            token_label="smart",
            key_label="lonely",
            pin=lambda: PIN,
            public_key=SigningKey.generate("ES384").public_jwk(),
        )
        with pytest.raises(ConfigurationError, match="does not fit"):
            wrong.sign(b"a.b")
        wrong.close()
    finally:
        with token.open(rw=True, user_pin=PIN) as session:
            for each in list(session.get_objects({pkcs11.Attribute.LABEL: "lonely"})):
                each.destroy()


# -------------------------------------------------------------------------- through the clients


@pytest.fixture
def ehr(signer: Pkcs11Signer) -> Sandbox:
    """A sandbox in memory, where the token's key is registered."""
    sandbox = Sandbox()
    sandbox.register_client(client_id="nightly", jwks=public_jwks([signer]), scope="system/*.rs")
    return sandbox


def config_for(ehr: Sandbox, signer: Pkcs11Signer) -> SmartConfig:
    return SmartConfig(fhir_base=ehr.fhir_base, client_id="nightly", client_auth=PrivateKeyJWT(signer))


def test_a_token_with_a_key_in_the_hsm(ehr: Sandbox, signer: Pkcs11Signer) -> None:
    """A backend token whose assertion was signed inside."""
    with SmartClient(config_for(ehr, signer), transport=ehr.transport()) as client:
        assert client.backend_token("system/*.rs").access_token.reveal()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_tokens_with_a_key_in_the_hsm_async(ehr: Sandbox, signer: Pkcs11Signer, backend: str) -> None:
    """Many at once, on both event loops."""

    async def main() -> int:
        tokens: list[str] = []
        async with AsyncSmartClient(config_for(ehr, signer), transport=ehr.transport()) as client:

            async def one() -> None:
                tokens.append((await client.backend_token("system/*.rs")).access_token.reveal())

            async with anyio.create_task_group() as group:
                for _ in range(10):
                    group.start_soon(one)
        return len(set(tokens))

    assert anyio.run(main, backend=backend) == 10
