"""AWS KMS: against moto over HTTP, and its refusals as botocore reports them."""

from __future__ import annotations

import hashlib
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from botocore import exceptions as aws
from botocore.config import Config
from botocore.stub import Stubber
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

from smart_async import (
    AsyncSmartClient,
    ConfigurationError,
    PrivateKeyJWT,
    SmartClient,
    SmartConfig,
    TransportError,
    public_jwks,
)
from smart_async.interfaces import AsyncSigner, Signer
from smart_async.keys.jwks import thumbprint
from smart_async.signers import AwsKmsSigner
from smart_async.signers._aws_errors import translate

SPECS = {"RS384": "RSA_2048", "ES384": "ECC_NIST_P384"}
KMS_ALGORITHMS = {"RS384": "RSASSA_PKCS1_V1_5_SHA_384", "ES384": "ECDSA_SHA_384"}
LONGEST = 4096
ARN = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd"


@pytest.fixture(autouse=True)
def aws_environment(monkeypatch, tmp_path):
    """Credentials from nowhere but here."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example-secret")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)


# ------------------------------------------------------------------------------- over HTTP


@pytest.fixture(scope="module")
def session():
    """One for all tests: reading the description of the service takes boto3 a third of a second."""
    return boto3.session.Session("AKIAEXAMPLE", "example-secret", region_name="eu-central-1")


@pytest.fixture
def kms(session, kms_url):
    """An administrator's client."""
    return session.client("kms", endpoint_url=kms_url)


@pytest.fixture
def key_id(kms, algorithm):
    """A new key in KMS."""
    return kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec=SPECS[algorithm])["KeyMetadata"]["KeyId"]


@pytest.fixture
def signer(kms_url, key_id):
    """A signer with that key."""
    return AwsKmsSigner(key_id, kid="kms-1", region="eu-central-1", endpoint_url=kms_url)


@pytest.fixture
def ehr(signer):
    """A sandbox in memory, where the key in KMS is registered."""
    sandbox = pytest.importorskip("smart_async.sandbox", exc_type=ImportError).Sandbox()
    sandbox.register_client(client_id="nightly", jwks=public_jwks([signer]), scope="system/*.rs")
    return sandbox


def config_for(ehr, signer):
    return SmartConfig(fhir_base=ehr.fhir_base, client_id="nightly", client_auth=PrivateKeyJWT(signer))


def test_a_token_with_a_key_in_kms(ehr, signer, algorithm):
    """A backend token whose assertion was signed in KMS."""
    assert (signer.kid, signer.algorithm, signer.blocking) == ("kms-1", algorithm, True)
    with SmartClient(config_for(ehr, signer), transport=ehr.transport()) as client:
        assert client.backend_token("system/*.rs").access_token.reveal()


@pytest.mark.anyio
async def test_a_token_with_a_key_in_kms_async(ehr, signer, monkeypatch):
    """The same by awaiting, and KMS is asked on another thread than the loop's."""
    threads = set()
    real = AwsKmsSigner.sign
    monkeypatch.setattr(
        AwsKmsSigner, "sign", lambda self, data: threads.add(threading.get_ident()) or real(self, data)
    )
    async with AsyncSmartClient(config_for(ehr, signer), transport=ehr.transport()) as client:
        assert (await client.backend_token("system/*.rs")).access_token.reveal()
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_it_is_a_signer(signer, key_id, kms, algorithm):
    """The JWK is the public key that KMS gives, and without a kid it is called by its thumbprint."""
    assert isinstance(signer, Signer)
    assert not isinstance(signer, AsyncSigner)
    jwk = signer.public_jwk()
    assert (jwk["kid"], jwk["alg"], jwk["use"]) == ("kms-1", algorithm, "sig")
    assert AwsKmsSigner(key_id, client=kms).kid == thumbprint(jwk)


def test_the_public_key_is_read_once(kms_url, kms, key_id, algorithm):
    """One request for the public key, however many threads ask first."""
    asked = []
    kms.meta.events.register("before-call.kms.GetPublicKey", lambda **_: asked.append(1))
    signer = AwsKmsSigner(key_id, client=kms)
    with ThreadPoolExecutor(8) as pool:
        signatures = list(pool.map(signer.sign, [b"a.%d" % number for number in range(16)]))
    assert (len(signatures), len(asked)) == (16, 1)


def test_nothing_is_asked_before_it_is_needed(key_id, algorithm, kms):
    """With kid and algorithm given, a signer in a configuration has cost no request."""
    asked = []
    kms.meta.events.register("before-call.kms", lambda **_: asked.append(1))
    signer = AwsKmsSigner(key_id, kid="kms-1", algorithm=algorithm, client=kms)
    PrivateKeyJWT(signer)
    assert repr(signer) == f"<AwsKmsSigner {key_id!r} kid='kms-1' algorithm={algorithm!r}>"
    assert asked == []
    signer.sign(b"a.b")
    assert len(asked) == 2


def test_the_repr_asks_nothing(key_id, algorithm, kms):
    """A repr is for logs; it shows what is known."""
    signer = AwsKmsSigner(key_id, client=kms)
    assert repr(signer) == f"<AwsKmsSigner {key_id!r} kid=None algorithm=None>"
    kid = signer.kid
    assert repr(signer) == f"<AwsKmsSigner {key_id!r} kid={kid!r} algorithm={algorithm!r}>"


def test_other_algorithms(kms):
    """An RSA key in KMS can sign with other hashes as well; the stand-in's PSS has another salt than JWS."""
    key_id = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="RSA_2048")["KeyMetadata"]["KeyId"]
    signer = AwsKmsSigner(key_id, algorithm="RS512", client=kms)
    assert (signer.algorithm, len(signer.sign(b"a.b"))) == ("RS512", 256)


def test_an_unknown_key(kms_url, kms):
    """A key that KMS does not have."""
    with pytest.raises(ConfigurationError, match="has no such key") as caught:
        AwsKmsSigner("alias/missing", client=kms).sign(b"a.b")
    assert caught.value.field == "key_id"


@pytest.mark.parametrize(("spec", "usage"), [("RSA_2048", "ENCRYPT_DECRYPT"), ("SYMMETRIC_DEFAULT", None)])
def test_a_key_for_something_else(kms, spec, usage):
    """A key that cannot sign is refused before a signature is tried."""
    key_id = kms.create_key(KeyUsage=usage or "ENCRYPT_DECRYPT", KeySpec=spec)["KeyMetadata"]["KeyId"]
    with pytest.raises(ConfigurationError) as caught:
        PrivateKeyJWT(AwsKmsSigner(key_id, client=kms))
    assert caught.value.field in ("key_id", "public_key")


def test_a_moved_alias_is_refused(kms, algorithm, key_id):
    """An alias that points at another key now would sign as the key that is registered; it is stopped."""
    other = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec=SPECS[algorithm])["KeyMetadata"]["KeyId"]
    alias = f"alias/{key_id}"
    kms.create_alias(AliasName=alias, TargetKeyId=key_id)
    signer = AwsKmsSigner(alias, client=kms)
    signer.sign(b"a.b")
    kms.update_alias(AliasName=alias, TargetKeyId=other)
    with pytest.raises(ConfigurationError, match="does not fit") as caught:
        signer.sign(b"a.b")
    assert "make a new signer" in caught.value.advice
    assert AwsKmsSigner(alias, client=kms).sign(b"a.b")


def test_nothing_answers(session):
    """A port where nothing listens is the network's fault, and repeating is safe."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        client = session.client("kms", endpoint_url=url, config=Config(retries={"total_max_attempts": 1}))
        with pytest.raises(TransportError, match="could not be reached") as caught:
            AwsKmsSigner("key", client=client).sign(b"a.b")
    assert caught.value.sent is False
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_no_region():
    """boto3's own set-up mistakes are configuration errors."""
    with pytest.raises(ConfigurationError, match="NoRegionError"):
        AwsKmsSigner("key").sign(b"a.b")


def test_no_credentials(monkeypatch, kms_url):
    """The same for credentials that are missing."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ConfigurationError, match="NoCredentialsError"):
        AwsKmsSigner("key", region="eu-central-1", endpoint_url=kms_url).sign(b"a.b")


def test_an_endpoint_that_is_no_url():
    """And for an endpoint that cannot be one."""
    with pytest.raises(ConfigurationError, match="endpoint_url is not a URL"):
        AwsKmsSigner("key", region="eu-central-1", endpoint_url="kms").sign(b"a.b")


def test_a_client_for_each_process(kms_url, key_id, algorithm, monkeypatch):
    """Sockets are not shared after a fork: the child makes a client of its own."""
    import os

    signer = AwsKmsSigner(key_id, region="eu-central-1", endpoint_url=kms_url)
    signer.sign(b"a.b")
    mine = signer._open()
    assert signer._open() is mine
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert signer._open() is not mine


# ------------------------------------------------------------------ long messages, and wrong answers


@pytest.fixture
def stub(session):
    """A client whose answers are written beforehand, and checked against what is asked."""
    client = session.client("kms")
    with Stubber(client) as stubber:
        stubber.kms = client
        yield stubber
        stubber.assert_no_pending_responses()


def public_answer(private_key, algorithm, **members):
    der = private_key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return {
        "KeyId": ARN,
        "PublicKey": der,
        "KeySpec": SPECS[algorithm],
        "KeyUsage": "SIGN_VERIFY",
        "SigningAlgorithms": [KMS_ALGORITHMS[algorithm]],
        **members,
    }


def signature_of_digest(private_key, digest):
    """What KMS answers for MessageType DIGEST: for ECDSA in DER."""
    hashed = utils.Prehashed(hashes.SHA384())
    if isinstance(private_key, ec.EllipticCurvePrivateKey):
        return private_key.sign(digest, ec.ECDSA(hashed))
    return private_key.sign(digest, padding.PKCS1v15(), hashed)


@pytest.mark.parametrize("size", [LONGEST, LONGEST + 1])
def test_long_messages_go_as_a_digest(stub, private_key, algorithm, size):
    """KMS hashes 4,096 bytes at most; of one more it gets the hash, and the signature is the same."""
    message = b"a" * size
    digest = hashlib.sha384(message).digest()
    stub.add_response("get_public_key", public_answer(private_key, algorithm), {"KeyId": "k"})
    stub.add_response(
        "sign",
        {"KeyId": ARN, "Signature": signature_of_digest(private_key, digest)},
        {
            "KeyId": "k",
            "Message": message if size == LONGEST else digest,
            "MessageType": "RAW" if size == LONGEST else "DIGEST",
            "SigningAlgorithm": KMS_ALGORITHMS[algorithm],
        },
    )
    assert len(AwsKmsSigner("k", client=stub.kms).sign(message)) == {"RS384": 256, "ES384": 96}[algorithm]


def test_a_service_that_hashes_a_hash_is_found(signer):
    """The stand-in hashes a digest once more, unlike AWS: no such signature gets out."""
    with pytest.raises(ConfigurationError, match="hashes a hash once more"):
        signer.sign(b"a" * (LONGEST + 1))


@pytest.mark.parametrize("wrong", [{}, {"Signature": b""}, {"Signature": b"\x30\x00"}])
def test_an_answer_without_a_signature(stub, private_key, algorithm, wrong):
    """Whatever comes instead of a signature is refused."""
    stub.add_response("get_public_key", public_answer(private_key, algorithm))
    stub.add_response("sign", {"KeyId": ARN, **wrong})
    with pytest.raises(ConfigurationError):
        AwsKmsSigner("k", client=stub.kms).sign(b"a.b")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"KeyUsage": "KEY_AGREEMENT"}, "is for KEY_AGREEMENT, not for signatures"),
        ({"SigningAlgorithms": ["ECDSA_SHA_256", "OTHER"]}, "only with ECDSA_SHA_256, OTHER"),
        ({"PublicKey": b"\x30\x00"}, "neither a public key"),
    ],
)
def test_a_public_key_that_does_not_do(stub, private_key, algorithm, members, message):
    """What KMS says of the key is believed before anything is signed."""
    stub.add_response("get_public_key", public_answer(private_key, algorithm, **members))
    with pytest.raises(ConfigurationError, match=message):
        AwsKmsSigner("k", client=stub.kms).sign(b"a.b")


# ------------------------------------------------------------------------------- refusals

DENIALS = [
    "AccessDeniedException",
    "NotFoundException",
    "DisabledException",
    "KMSInvalidStateException",
    "InvalidKeyUsageException",
    "UnsupportedOperationException",
    "ValidationException",
    "UnrecognizedClientException",
    "ExpiredTokenException",
    "InvalidSignatureException",
    "SomethingNewException",
]
FAILURES = [
    ("ThrottlingException", 400),
    ("LimitExceededException", 400),
    ("RequestLimitExceeded", 400),
    ("SlowDown", 429),
    ("KMSInternalException", 500),
    ("DependencyTimeoutException", 503),
    ("KeyUnavailableException", 400),
    ("ServiceUnavailable", 503),
]


@pytest.mark.parametrize("operation", ["get_public_key", "sign"])
@pytest.mark.parametrize("code", DENIALS)
def test_denials(stub, ec_key, operation, code):
    """What trying again cannot mend is a configuration error: it says why, and holds none of AWS's text."""
    if operation == "sign":
        stub.add_response("get_public_key", public_answer(ec_key, "ES384"))
    stub.add_client_error(operation, code, "x-amz-security-token:TOKEN", http_status_code=400)
    with pytest.raises(ConfigurationError, match=code) as caught:
        AwsKmsSigner("alias/app", client=stub.kms).sign(b"a.b")
    error = caught.value
    assert error.advice
    assert "alias/app" in str(error)
    assert "TOKEN" not in repr(pickle.dumps(error)) + str(error)
    assert (error.__cause__, error.__context__) == (None, None)


@pytest.mark.parametrize("operation", ["get_public_key", "sign"])
@pytest.mark.parametrize(("code", "status"), FAILURES)
def test_failures(stub, ec_key, operation, code, status):
    """What passes is a transport error, and nothing was sent: trying again is safe."""
    if operation == "sign":
        stub.add_response("get_public_key", public_answer(ec_key, "ES384"))
    stub.add_client_error(operation, code, "text", http_status_code=status)
    with pytest.raises(TransportError, match=code) as caught:
        AwsKmsSigner("alias/app", client=stub.kms).sign(b"a.b")
    assert (caught.value.sent, caught.value.status, bool(caught.value.advice)) == (False, status, True)


def test_a_failure_to_read_the_public_key_is_not_kept(stub, private_key, algorithm):
    """After an outage the next attempt works."""
    signer = AwsKmsSigner("k", client=stub.kms)
    stub.add_client_error("get_public_key", "KMSInternalException", http_status_code=500)
    with pytest.raises(TransportError):
        _ = signer.kid
    stub.add_response("get_public_key", public_answer(private_key, algorithm))
    assert signer.kid == thumbprint(signer.public_jwk())


@pytest.mark.parametrize(
    ("exc", "kind"),
    [
        (aws.ConnectTimeoutError(endpoint_url="u"), TransportError),
        (aws.ReadTimeoutError(endpoint_url="u"), TransportError),
        (aws.EndpointConnectionError(endpoint_url="u"), TransportError),
        (aws.ConnectionClosedError(endpoint_url="u"), TransportError),
        (aws.ProxyConnectionError(proxy_url="u"), TransportError),
        (aws.SSLError(endpoint_url="u", error="e"), TransportError),
        (aws.IncompleteReadError(actual_bytes=1, expected_bytes=2), TransportError),
        (aws.NoCredentialsError(), ConfigurationError),
        (aws.PartialCredentialsError(provider="p", cred_var="v"), ConfigurationError),
        (aws.ParamValidationError(report="r"), ConfigurationError),
        (aws.TokenRetrievalError(provider="p", error_msg="m"), ConfigurationError),
        (aws.ProfileNotFound(profile="p"), ConfigurationError),
    ],
    ids=lambda value: type(value).__name__,
)
def test_failures_without_an_answer(exc, kind):
    """The network's failures can be tried again; boto3's set-up has to be mended."""
    error = translate(exc, operation="Sign", key_id="k")
    assert (type(error), type(exc).__name__ in str(error), bool(error.advice)) == (kind, True, True)
    assert getattr(error, "sent", False) is False


def test_the_request_id_is_named():
    """AWS's support asks for it."""
    exc = aws.ClientError(
        {
            "Error": {"Code": "AccessDeniedException"},
            "ResponseMetadata": {"RequestId": "r-1", "HTTPStatusCode": 400},
        },
        "Sign",
    )
    assert "request r-1" in str(translate(exc, operation="Sign", key_id="k"))
    bare = aws.ClientError({"Error": {}}, "Sign")
    assert "no code" in str(translate(bare, operation="Sign", key_id="k"))


# ------------------------------------------------------------------------------ bad arguments


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"key_id": ""}, "key_id"),
        ({"key_id": None}, "key_id"),
        ({"key_id": "k", "kid": ""}, "kid"),
        ({"key_id": "k", "kid": 5}, "kid"),
        ({"key_id": "k", "algorithm": "HS256"}, "algorithm"),
    ],
)
def test_unusable_arguments(arguments, field):
    """They are refused at once."""
    with pytest.raises(ConfigurationError) as caught:
        AwsKmsSigner(**arguments)
    assert caught.value.field == field


def test_the_pip_line(monkeypatch):
    """Without boto3, the error says what to install."""
    from smart_async.signers import _public

    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name.partition(".")[0])

    monkeypatch.setattr(_public.importlib, "import_module", missing)
    with pytest.raises(ConfigurationError, match='pip install "smart-async\\[aws-kms\\]"'):
        AwsKmsSigner("k").sign(b"a.b")


def test_a_broken_installation_is_not_hidden(monkeypatch):
    """A module that the package itself lacks is another story."""
    from smart_async.signers import _public

    def missing(name):
        raise ModuleNotFoundError("No module named 'six'", name="six")

    monkeypatch.setattr(_public.importlib, "import_module", missing)
    with pytest.raises(ModuleNotFoundError):
        AwsKmsSigner("k").sign(b"a.b")
