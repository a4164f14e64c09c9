"""
PKCS #11: what the signer makes of the library's answers.

The token here is a stand-in with real keys behind python-pkcs11's interface, so that each failure can be
produced; tests/peers has a real one.
"""

from __future__ import annotations

import pickle

import pkcs11
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, utils
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass, TokenFlag

from smart_async import (
    ConfigurationError,
    PrivateKeyJWT,
    Secret,
    SigningKey,
    SmartClient,
    SmartConfig,
    TransportError,
    public_jwks,
)
from smart_async.interfaces import AsyncSigner, Signer
from smart_async.keys.jwks import thumbprint
from smart_async.signers import Pkcs11Signer, _pkcs11_token, _public
from smart_async.signers._pkcs11_errors import is_lost, locks_the_token, translate

LIBRARY = "/opt/vendor/lib.so"
PIN = "1234-user-pin"
ERRORS = {
    name: each
    for name, each in vars(pkcs11).items()
    if isinstance(each, type) and issubclass(each, pkcs11.PKCS11Error)
}


class Token:
    """A token with keys, which fails as it is told to."""

    def __init__(self, *keys):
        self.keys = keys
        self.label = "smart"
        self.slot = self
        self.slot_id = 7
        self.flags = TokenFlag.LOGIN_REQUIRED | TokenFlag.TOKEN_INITIALIZED
        self.pin = PIN
        self.logged_in = False
        self.present = True
        self.sessions = []
        self.failures = []  # raised by the next signatures, one after another
        self.logins = 0
        self.initialized = True

    # --- the library
    def get_token(self, token_label=None):
        if not self.present or token_label not in (None, self.label):
            raise pkcs11.NoSuchToken
        return self

    def get_slots(self):
        return [self]

    def finalize(self):
        raise pkcs11.PKCS11Error("not initialized")

    def initialize(self):
        self.initialized = True

    # --- the token
    def open(self, user_pin=None):
        if user_pin is not None:
            self.logins += 1
            if self.logged_in:
                raise pkcs11.UserAlreadyLoggedIn
            if user_pin != self.pin:
                raise pkcs11.PinIncorrect
            self.logged_in = True
        session = Session(self, with_login=user_pin is not None)
        self.sessions.append(session)
        return session

    def pull(self):
        self.logged_in = False
        for session in self.sessions:
            session.gone = True


class Session:
    def __init__(self, token, with_login):
        self.token, self.with_login, self.gone, self.closed = token, with_login, False, False

    def get_key(self, *, object_class, label=None, id=None):  # noqa: A002 - python-pkcs11's name
        found = [
            key.bound(self)
            for key in self.token.keys
            if key.object_class == object_class
            and label in (None, key.label)
            and id in (None, key.id)
            and (key.object_class == ObjectClass.PUBLIC_KEY or self.token.logged_in or not key.private)
        ]
        if not found:
            raise pkcs11.NoSuchKey
        if len(found) > 1:
            raise pkcs11.MultipleObjectsReturned
        return found[0]

    def close(self):
        if self.gone:
            raise pkcs11.SessionHandleInvalid
        self.closed = True
        if self.with_login:
            self.token.logged_in = False


class Object:
    """A key of the token."""

    def __init__(self, key, object_class):
        self.key, self.object_class, self.label, self.id = key, object_class, "key", b"\1"
        self.private, self.hidden, self.session, self.pins = True, (), None, []
        public = key.public_key()
        numbers = public.public_numbers()
        self.attributes = {Attribute.ALWAYS_AUTHENTICATE: False}
        if hasattr(numbers, "n"):
            self.key_type = KeyType.RSA
            size = (public.key_size + 7) // 8
            self.attributes[Attribute.MODULUS] = numbers.n.to_bytes(size, "big")
            self.attributes[Attribute.PUBLIC_EXPONENT] = numbers.e.to_bytes(3, "big")
        else:
            self.key_type = KeyType.EC
            point = public.public_bytes(
                serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
            )
            self.attributes[Attribute.EC_PARAMS] = pkcs11.util.ec.encode_named_curve_parameters("secp384r1")
            self.attributes[Attribute.EC_POINT] = bytes([4, len(point)]) + point

    def bound(self, session):
        self.session = session
        return self

    def __getitem__(self, attribute):
        return self.attributes[attribute]

    def get_attributes(self, names):
        return {
            name: self.attributes[name]
            for name in names
            if name in self.attributes and name not in self.hidden
        }

    def sign(self, data, *, mechanism, pin=None):
        token = self.session.token
        self.pins.append(pin)
        if self.session.gone:
            raise pkcs11.SessionHandleInvalid
        if token.failures:
            raise token.failures.pop(0)
        if not token.logged_in:
            raise pkcs11.UserNotLoggedIn
        if mechanism == Mechanism.SHA384_RSA_PKCS:
            return self.key.sign(data, padding.PKCS1v15(), hashes.SHA384())
        assert mechanism == Mechanism.ECDSA
        from cryptography.hazmat.primitives.asymmetric import ec

        r, s = utils.decode_dss_signature(self.key.sign(data, ec.ECDSA(utils.Prehashed(hashes.SHA384()))))
        return r.to_bytes(48, "big") + s.to_bytes(48, "big")


@pytest.fixture(autouse=True)
def fresh_libraries(monkeypatch):
    """No library is known from another test."""
    monkeypatch.setattr(_pkcs11_token, "_libraries", {})


@pytest.fixture
def token(private_key, monkeypatch):
    """A token with the key, in place of the vendor's library."""
    made = Token(Object(private_key, ObjectClass.PRIVATE_KEY), Object(private_key, ObjectClass.PUBLIC_KEY))
    monkeypatch.setattr(pkcs11, "lib", lambda path: made)
    return made


@pytest.fixture
def pins():
    """Notes each time that the PIN is asked for."""
    return []


@pytest.fixture
def signer(token, pins):
    """A signer with the token's key."""
    return make(pins)


def make(pins=None, **arguments):
    def pin():
        if pins is not None:
            pins.append("asked")
        return PIN

    arguments = {"token_label": "smart", "key_label": "key", "pin": pin, "kid": "hsm-1", **arguments}
    return Pkcs11Signer(LIBRARY, **arguments)


def good(signer):
    half = _public.public_half(signer.public_jwk(), kid=None, algorithm=None)
    return half.verifies(signer.sign(b"a.b"), b"a.b")


# ------------------------------------------------------------------------------- signing


def test_it_is_a_signer(signer, elsewhere, algorithm, pins):
    """It has what a client asks of a signer, and logs in once."""
    assert isinstance(signer, Signer)
    assert not isinstance(signer, AsyncSigner)
    assert (signer.kid, signer.algorithm, signer.blocking) == ("hsm-1", algorithm, True)
    assert public_jwks([signer]) == {"keys": [{**elsewhere.public_jwk(), "kid": "hsm-1"}]}
    assert (good(signer), good(signer), pins) == (True, True, ["asked"])


def test_a_token_from_the_sandbox(signer):
    """The sandbox accepts what the token signs."""
    ehr = pytest.importorskip("smart_async.sandbox", exc_type=ImportError).Sandbox()
    ehr.register_client(client_id="nightly", jwks=public_jwks([signer]), scope="system/*.rs")
    config = SmartConfig(fhir_base=ehr.fhir_base, client_id="nightly", client_auth=PrivateKeyJWT(signer))
    with SmartClient(config, transport=ehr.transport()) as client:
        assert client.backend_token("system/*.rs").access_token.reveal()


def test_nothing_is_opened_before_it_is_needed(token, algorithm, pins):
    """With kid and algorithm given, a signer in a configuration has not asked for the PIN."""
    signer = make(pins, algorithm=algorithm)
    PrivateKeyJWT(signer)
    assert (pins, token.sessions) == ([], [])
    assert repr(signer) == f"<Pkcs11Signer token 'smart' kid='hsm-1' algorithm={algorithm!r}>"


def test_the_repr_opens_nothing(token, algorithm, elsewhere):
    """A repr is for logs; it shows what is known."""
    signer = make(kid=None, token_label=None, slot=7)
    assert repr(signer) == "<Pkcs11Signer token in slot 7 kid=None algorithm=None>"
    assert signer.kid == thumbprint(elsewhere.public_jwk())
    assert repr(signer) == f"<Pkcs11Signer token in slot 7 kid={signer.kid!r} algorithm={algorithm!r}>"


@pytest.mark.parametrize("pin", [PIN, PIN.encode(), Secret(PIN)])
def test_each_form_of_the_pin(token, pin):
    """Text, bytes or a Secret."""
    assert good(make(pin=lambda: pin)) is True


def test_a_pin_of_no_form(token):
    """Whatever else comes is refused, by type only."""
    with pytest.raises(ConfigurationError, match=r"pin\(\) returned NoneType, not text"):
        make(pin=lambda: None).sign(b"a.b")


def test_what_the_pin_function_raises_comes_through(token):
    """A prompt that was cancelled is the caller's to see, and nothing stays locked behind it."""

    def cancelled():
        raise KeyboardInterrupt

    signer = make(pin=cancelled)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            signer.sign(b"a.b")


def test_a_token_without_login(token, pins):
    """A token that needs no login is not given the PIN."""
    token.flags = TokenFlag.TOKEN_INITIALIZED
    token.logged_in = True
    assert (good(make(pins)), pins) == (True, [])


def test_a_key_that_wants_the_pin_each_time(token, pins):
    """Such keys exist on smart cards: the PIN is asked for and passed on with each signature."""
    token.keys[0].attributes[Attribute.ALWAYS_AUTHENTICATE] = True
    signer = make(pins)
    signer.sign(b"a.b")
    signer.sign(b"a.c")
    assert (token.keys[0].pins, len(pins)) == ([PIN, PIN], 3)


# ------------------------------------------------------------------------ the public key


@pytest.mark.parametrize("algorithm", ["RS384"], indirect=False)
@pytest.mark.usefixtures("algorithm")
def test_an_rsa_private_key_without_public_numbers(token):
    """They are taken from the public object then."""
    token.keys[0].hidden = (Attribute.PUBLIC_EXPONENT,)
    assert good(make()) is True


def test_a_public_key_with_another_id(token):
    """The label joins the two where the id does not."""
    token.keys[1].id = b"\2"
    token.keys[0].hidden = (Attribute.MODULUS,)
    assert good(make()) is True


@pytest.mark.parametrize("break_it", ["absent", "twice", "damaged"])
def test_no_readable_public_key(token, break_it, elsewhere):
    """Without one beside the private key it has to be given."""
    token.keys[0].hidden = (Attribute.MODULUS,)
    if break_it == "absent":
        token.keys = token.keys[:1]
    if break_it == "twice":
        token.keys = (*token.keys, token.keys[1])
    if break_it == "damaged":
        for name in (Attribute.EC_POINT, Attribute.PUBLIC_EXPONENT):
            token.keys[1].attributes.pop(name, None)
    with pytest.raises(ConfigurationError, match="no readable public key") as caught:
        make().sign(b"a.b")
    assert "public_key=" in caught.value.advice
    assert good(make(public_key=elsewhere.public_jwk())) is True


def test_a_wrong_public_key(token, algorithm):
    """A public key that is not the token's is found by the first signature."""
    other = SigningKey.generate(algorithm, key_size=2048).public_jwk()
    with pytest.raises(ConfigurationError, match="does not fit"):
        make(public_key=other).sign(b"a.b")


def test_a_jwk_for_pss(token, rsa_key):
    """A public key that is meant for RSASSA-PSS is refused."""
    jwk = SigningKey.from_key(rsa_key, algorithm="PS384").public_jwk()
    with pytest.raises(ConfigurationError, match="no RSASSA-PSS"):
        make(public_key=jwk).sign(b"a.b")


# ------------------------------------------------------------------------- lost sessions

LOST = sorted(name for name in ERRORS if is_lost(ERRORS[name]()))


def test_what_counts_as_lost():
    """Each of these says that the session, the token or the login is gone."""
    assert {"SessionHandleInvalid", "SessionClosed", "DeviceRemoved", "TokenNotPresent"} <= set(LOST)
    assert {"UserNotLoggedIn", "KeyHandleInvalid", "DeviceError"} <= set(LOST)
    assert not {"PinIncorrect", "PinLocked", "MechanismInvalid", "NoSuchKey", "HostMemory"} & set(LOST)


@pytest.mark.parametrize("name", LOST)
def test_a_lost_session_is_opened_again(token, signer, name):
    """Once: the signature comes from the new session."""
    assert good(signer) is True
    token.failures = [ERRORS[name]()]
    assert (good(signer), len(token.sessions)) == (True, 2)


def test_a_library_that_was_finalized(token, signer):
    """The error for that has no class of its own."""
    assert good(signer) is True
    token.failures = [pkcs11.PKCS11Error("Initialisation error (not initialized). Should never see this.")]
    assert good(signer) is True


def test_a_pulled_token(token, signer, pins):
    """After the token was pulled and put back, there is a new login."""
    assert good(signer) is True
    token.pull()
    assert (good(signer), pins) == (True, ["asked", "asked"])


def test_a_token_that_stays_away(token, signer):
    """That is an outage, to be tried again; a token that never was there is a wrong name."""
    assert good(signer) is True
    token.pull()
    token.present = False
    with pytest.raises(TransportError, match="token 'smart' does not answer") as caught:
        signer.sign(b"a.b")
    assert (caught.value.sent, bool(caught.value.advice)) == (False, True)
    token.present = True
    assert good(signer) is True


def test_a_second_failure_is_not_hidden(token, signer):
    """The session is opened again once per signature, not for ever."""
    assert good(signer) is True
    token.failures = [pkcs11.DeviceRemoved(), pkcs11.DeviceRemoved()]
    with pytest.raises(TransportError, match="DeviceRemoved"):
        signer.sign(b"a.b")
    assert good(signer) is True


def test_other_failures_are_not_tried_again(token, signer):
    """An error that a new session cannot mend is reported at once."""
    assert good(signer) is True
    token.failures = [pkcs11.HostMemory()]
    with pytest.raises(TransportError, match="HostMemory"):
        signer.sign(b"a.b")
    assert len(token.sessions) == 1


def test_the_first_signature_of_a_session_is_verified(token, signer, algorithm):
    """Another key behind the same label, after the token was pulled, is noticed."""
    assert good(signer) is True
    token.pull()
    other = SigningKey.generate(algorithm, key_size=2048)
    token.keys[0].key = other._key
    with pytest.raises(ConfigurationError, match="does not fit"):
        signer.sign(b"a.b")


def test_closing(token, signer):
    """It can be closed at any time, also twice, and opens again by itself."""
    signer.close()
    assert good(signer) is True
    signer.close()
    signer.close()
    assert (token.sessions[0].closed, token.logged_in) == (True, False)
    assert good(signer) is True


# ------------------------------------------------------------------------------ shared logins


def test_a_second_signer_needs_no_login(token, pins):
    """The first one's login is the process's."""
    first, second = make(pins), make(pins)
    assert (good(first), good(second), pins, token.logins) == (True, True, ["asked"], 1)


def test_a_login_that_is_gone(token, pins):
    """Whoever closes first logs everybody out; the others log in again."""
    first, second, third = make(pins), make(pins), make(pins)
    assert (good(first), good(second)) == (True, True)
    token.logged_in = False
    assert (good(third), len(pins)) == (True, 2)
    first.close()
    assert (good(second), good(third)) == (True, True)


def test_a_login_by_others(token, pins):
    """Other code of the process may have logged in; its login serves."""
    token.logged_in = True
    assert (good(make(pins)), token.logged_in) == (True, True)


def test_a_visible_key_without_login(token, pins):
    """A private key may be in sight although nobody is logged in: the first refusal tells."""
    token.keys[0].private = False
    first, second = make(pins), make(pins)
    assert (good(first), good(second)) == (True, True)
    token.logged_in = False
    assert (good(second), good(first), len(pins)) == (True, True, 2)


# ------------------------------------------------------------------------------- processes


def test_a_fork(token, signer, monkeypatch, pins):
    """The child's library is initialized anew, and the parent's session is left alone."""
    assert good(signer) is True
    monkeypatch.setattr(_pkcs11_token.os, "getpid", lambda: -1)
    token.logged_in = token.initialized = False
    assert (good(signer), token.initialized, len(pins)) == (True, True, 2)
    assert token.sessions[0].closed is False
    assert good(signer) is True


# ------------------------------------------------------------------------------- refusals


def test_a_wrong_pin_is_tried_once(token, pins):
    """Each attempt brings the token nearer to being locked, so there is one."""
    token.pin = "other"
    signer = make(pins)
    seen = []
    for _ in range(3):
        with pytest.raises(ConfigurationError, match="refuses the PIN") as caught:
            signer.sign(b"a.b")
        assert caught.value.field == "pin"
        assert PIN not in str(caught.value) + repr(signer) + repr(pickle.dumps(caught.value))
        assert (caught.value.__cause__, caught.value.__context__) == (None, None)
        seen.append(caught.value)
    assert (pins, token.logins) == (["asked"], 1)
    assert seen[1] is not seen[2]


def test_no_frame_of_an_error_knows_the_pin(token):
    """Error trackers record the local variables of every frame; the PIN is in none of ours."""
    token.pin = "other"
    with pytest.raises(ConfigurationError) as caught:
        make().sign(b"a.b")
    trace, held = caught.value.__traceback__, []
    while trace:
        if (
            "smart_async" in trace.tb_frame.f_code.co_filename
            and "tests" not in trace.tb_frame.f_code.co_filename
        ):
            held += [repr(value) for value in trace.tb_frame.f_locals.values()]
        trace = trace.tb_next
    assert held
    assert PIN not in "".join(held)


@pytest.mark.parametrize(
    ("arguments", "message", "field"),
    [
        ({"token_label": "other"}, "There is no token 'other'", "token_label"),
        ({"token_label": None, "slot": 8}, "There is no token in slot 8", "token_label"),
        ({"key_label": "other"}, "has no private key of this label and id", "key_label"),
        ({"key_id": b"\7"}, "has no private key of this label and id", "key_label"),
    ],
)
def test_nothing_of_that_name(token, arguments, message, field):
    """What is not there is named, with the command that lists what is."""
    with pytest.raises(ConfigurationError, match=message) as caught:
        make(**arguments).sign(b"a.b")
    assert (caught.value.field, "pkcs11-tool" in caught.value.advice) == (field, True)


def test_two_private_keys(token):
    """One has to be named."""
    token.keys = (token.keys[0], *token.keys)
    with pytest.raises(ConfigurationError, match="several private keys"):
        make().sign(b"a.b")


REFUSED = ["MechanismInvalid", "KeyTypeInconsistent", "KeySizeRange", "FunctionNotSupported"]


@pytest.mark.parametrize("name", REFUSED)
def test_a_token_that_cannot_sign_so(token, signer, name):
    """What the token cannot do it will not be able to do the next time either."""
    token.failures = [ERRORS[name]()]
    with pytest.raises(ConfigurationError, match=name):
        signer.sign(b"a.b")


@pytest.mark.parametrize("opened", [True, False])
@pytest.mark.parametrize("name", sorted(ERRORS))
def test_every_error_has_a_translation(name, opened):
    """Each class of python-pkcs11 becomes one of ours, with advice and without its text."""
    error = translate(ERRORS[name]("SECRET"), token="'smart'", library=LIBRARY, opened=opened)
    assert isinstance(error, ConfigurationError | TransportError)
    assert (name in str(error), bool(error.advice), "SECRET" in str(error)) == (True, True, False)


def test_wrong_pins_are_known():
    """All refusals of a PIN stop the signer, and nothing else does."""
    locking = {name for name in ERRORS if locks_the_token(ERRORS[name]())}
    assert locking == {
        "PinExpired",
        "PinIncorrect",
        "PinInvalid",
        "PinLenRange",
        "PinLocked",
        "UserPinNotInitialized",
    }


def test_a_library_that_cannot_be_loaded(tmp_path):
    """The path is named; what is found there is not loaded twice."""
    path = tmp_path / "lib.so"
    path.write_bytes(b"no library")
    signer = Pkcs11Signer(path, token_label="smart", key_label="key", pin=lambda: PIN)
    with pytest.raises(ConfigurationError, match="cannot be loaded") as caught:
        signer.sign(b"a.b")
    assert (caught.value.field, str(path) in str(caught.value)) == ("library", True)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"slot": 7}, "token_label"),
        ({"token_label": None}, "token_label"),
        ({"token_label": 5}, "token_label"),
        ({"token_label": None, "slot": "7"}, "slot"),
        ({"token_label": None, "slot": True}, "slot"),
        ({"key_label": None}, "key_label"),
        ({"key_label": b"key"}, "key_label"),
        ({"key_id": "01"}, "key_id"),
        ({"pin": PIN}, "pin"),
        ({"kid": ""}, "kid"),
        ({"algorithm": "PS384"}, "algorithm"),
        ({"algorithm": "none"}, "algorithm"),
    ],
)
def test_unusable_arguments(arguments, field):
    """They are refused at once, and a PIN given as text is not quoted."""
    with pytest.raises(ConfigurationError) as caught:
        make(**arguments)
    assert (caught.value.field, PIN in str(caught.value)) == (field, False)


def test_the_pip_line(monkeypatch):
    """Without python-pkcs11, the error says what to install."""

    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(_public.importlib, "import_module", missing)
    with pytest.raises(ConfigurationError, match='pip install "smart-async\\[pkcs11\\]"'):
        make().sign(b"a.b")
