"""
Signatures by a key in AWS KMS, which never leaves it.

Spec: AWS KMS API Reference, GetPublicKey and Sign.
"""

from __future__ import annotations

import hashlib
import os
import threading
from types import MappingProxyType
from typing import Any

from smart_async.errors import ConfigurationError
from smart_async.keys.algorithms import ALGORITHMS
from smart_async.signers._aws_errors import translate
from smart_async.signers._public import FirstSignature, PublicHalf, check_text, load_extra, public_half
from smart_async.signers.der import der_to_raw

__all__ = ("AwsKmsSigner",)

MESSAGE_BYTES = 4096
"""Bytes of the longest message that KMS hashes itself; of a longer one it gets the hash."""

_NAMES = MappingProxyType(
    {
        name: ("ECDSA" if each.curve else "RSASSA_PSS" if each.pss else "RSASSA_PKCS1_V1_5")
        + f"_SHA_{each.hash_bits}"
        for name, each in ALGORITHMS.items()
    }
)
_MISMATCH = (
    "If the alias was pointed at another key, make a new signer, which reads the new key, and register "
    "that one. Otherwise the endpoint is not AWS KMS, or hashes a hash once more."
)


class AwsKmsSigner:
    """
    Signs client assertions with an asymmetric key in AWS KMS (`pip install "smart-async[aws-kms]"`).

    The public key and the algorithms are read from KMS once, when first needed: by `PrivateKeyJWT` when it
    is made, or by the first signature where both `kid` and `algorithm` are given here. RSA keys sign with
    RSASSA_PKCS1_V1_5_SHA_384 (RS384), ECC_NIST_P384 keys with ECDSA_SHA_384 (ES384). The caller needs
    kms:GetPublicKey and kms:Sign. Share one signer between clients and threads.

    Args:
        key_id: The key's id or ARN, or an alias: `alias/NAME`. An alias that is moved later is noticed and
            refused, because another public key is registered.
        kid: The id under which the public key is registered; its RFC 7638 thumbprint if left out.
        algorithm: Another algorithm than RS384 or ES384, such as `PS384`.
        client: A boto3 KMS client of yours, with its own region, retries and timeouts.
        region: The region, where boto3 would not find it by itself.
        endpoint_url: Another endpoint: a VPC endpoint, or a stand-in for tests.

    Raises:
        ConfigurationError: If an argument is unusable. Signing, and whatever needs the public key, raises it
            if KMS denies or does not know the key, if the key cannot sign or boto3 lacks something; and
            `TransportError` if KMS is busy, failing or out of reach.

    Spec: SMART App Launch 2.2, client-confidential-asymmetric; AWS KMS API Reference, Sign.
    """

    __slots__ = (
        "_algorithm",
        "_client",
        "_first",
        "_given",
        "_key_id",
        "_kid",
        "_lock",
        "_options",
        "_public",
    )

    def __init__(
        self,
        key_id: str,
        *,
        kid: str | None = None,
        algorithm: str | None = None,
        client: Any = None,
        region: str | None = None,
        endpoint_url: str | None = None,
    ) -> None:
        check_text(key_id, field="key_id")
        if kid is not None:
            check_text(kid, field="kid")
        if algorithm is not None and algorithm not in _NAMES:
            raise ConfigurationError(
                f"algorithm={algorithm!r} is not a signature algorithm of KMS.",
                field="algorithm",
                advice=f"Use one of {', '.join(_NAMES)}, or leave it out.",
            )
        self._key_id = key_id
        self._kid = kid
        self._algorithm = algorithm
        self._given = client
        self._options = {"region_name": region, "endpoint_url": endpoint_url}
        self._client: tuple[int, Any] | None = None
        self._public: PublicHalf | None = None
        self._first = FirstSignature()
        self._lock = threading.Lock()

    @property
    def kid(self) -> str:
        """The key's id in the published JWK Set; asks KMS for the public key, unless it was given."""
        return self._kid or self._load().kid

    @property
    def algorithm(self) -> str:
        """The JWS algorithm; asks KMS for the public key, unless `kid` and `algorithm` were given."""
        return self._algorithm if self._kid and self._algorithm else self._load().algorithm.name

    @property
    def blocking(self) -> bool:
        """True: each signature is a request to KMS."""
        return True

    def public_jwk(self) -> dict[str, str]:
        """
        Return the public key as a JWK, to register with a server.

        Raises:
            ConfigurationError: If KMS refuses to give it, or it is no key for signatures.
            TransportError: If KMS could not be asked.
        """
        return self._load().jwk()

    def sign(self, signing_input: bytes) -> bytes:
        """
        Return the JWS signature of *signing_input*, made by KMS.

        Raises:
            ConfigurationError: If KMS refuses, or the first signature is not the public key's.
            TransportError: If KMS is busy, failing or out of reach; nothing was sent to the server.

        Spec: AWS KMS API Reference, Sign (4,096 bytes of message, or a digest).
        """
        public = self._load()
        message, kind = signing_input, "RAW"
        if len(signing_input) > MESSAGE_BYTES:
            digest = hashlib.new(f"sha{public.algorithm.hash_bits}", signing_input).digest()
            message, kind = digest, "DIGEST"
        answer = self._ask(
            "Sign", Message=message, MessageType=kind, SigningAlgorithm=_NAMES[public.algorithm.name]
        )
        signature = answer.get("Signature", b"")
        if public.algorithm.curve:
            signature = der_to_raw(signature, public.algorithm.name)
        # The key that signed, whatever the alias means by now.
        return self._first.check(
            public, signing_input, signature, source=answer.get("KeyId"), advice=_MISMATCH
        )

    def _load(self) -> PublicHalf:
        if (public := self._public) is None:
            with self._lock:
                if (public := self._public) is None:
                    self._public = public = self._read()
        return public

    def _read(self) -> PublicHalf:
        answer = self._ask("GetPublicKey")
        usage = answer.get("KeyUsage")
        if usage != "SIGN_VERIFY":
            raise ConfigurationError(
                f"The KMS key {self._key_id} is for {usage}, not for signatures.",
                field="key_id",
                advice="Make a key with key usage SIGN_VERIFY, RSA or ECC_NIST_P384.",
            )
        public = public_half(answer.get("PublicKey", b""), kid=self._kid, algorithm=self._algorithm)
        needed, offered = _NAMES[public.algorithm.name], answer.get("SigningAlgorithms", ())
        if needed not in offered:
            raise ConfigurationError(
                f"The KMS key {self._key_id} does not sign with {needed}, only with {', '.join(offered)}.",
                field="algorithm",
                advice="Use an RSA or ECC_NIST_P384 key, or another algorithm.",
            )
        return public

    def _ask(self, operation: str, **parameters: Any) -> dict[str, Any]:
        exceptions = load_extra("botocore.exceptions", extra="aws-kms", package="boto3")
        try:
            client = self._open()
            method = {"GetPublicKey": "get_public_key", "Sign": "sign"}[operation]
            answer: dict[str, Any] = getattr(client, method)(KeyId=self._key_id, **parameters)
        except (exceptions.ClientError, exceptions.BotoCoreError) as exc:
            failure = translate(exc, operation=operation, key_id=self._key_id)
        except ValueError:  # boto3's word for an endpoint that is no URL
            failure = ConfigurationError("endpoint_url is not a URL.", field="endpoint_url")
        else:
            return answer
        # Outside the handler, so that AWS's own error, with its quotes, does not travel along.
        raise failure

    def _open(self) -> Any:
        # A client of ours is made anew after a fork, because sockets must not be shared.
        if self._given is not None:
            return self._given
        known, process = self._client, os.getpid()
        if known is None or known[0] != process:
            boto3 = load_extra("boto3", extra="aws-kms", package="boto3")
            config = load_extra("botocore.config", extra="aws-kms", package="boto3").Config(
                connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3}
            )
            # boto3's default session is not for several threads.
            client = boto3.session.Session().client("kms", config=config, **self._options)
            self._client = known = (process, client)
        return known[1]

    def __repr__(self) -> str:
        """Show the key's id and, where they are known already, its kid and algorithm."""
        public = self._public
        kid = public.kid if public else self._kid
        algorithm = public.algorithm.name if public else self._algorithm
        return f"<AwsKmsSigner {self._key_id!r} kid={kid!r} algorithm={algorithm!r}>"
