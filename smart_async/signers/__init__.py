"""
Signers whose private key never enters this process: AWS KMS, PKCS #11 tokens, or any function of yours.

Each one can go wherever a `SigningKey` can. What a remote key signs first is verified against its public key
before anybody gets to see it, so a wrong key, algorithm or encoding is a `ConfigurationError` here and no
`invalid_client` from a server. Importing this package loads neither boto3 nor python-pkcs11.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from smart_async._lazy import loading

if TYPE_CHECKING:
    from smart_async.signers.aws_kms import AwsKmsSigner
    from smart_async.signers.callable import AsyncCallableSigner, CallableSigner
    from smart_async.signers.der import der_to_raw
    from smart_async.signers.pkcs11 import Pkcs11Signer

__all__ = ("AsyncCallableSigner", "AwsKmsSigner", "CallableSigner", "Pkcs11Signer", "der_to_raw")

_HOMES = {
    "AsyncCallableSigner": "callable",
    "AwsKmsSigner": "aws_kms",
    "CallableSigner": "callable",
    "Pkcs11Signer": "pkcs11",
    "der_to_raw": "der",
}

__getattr__, __dir__ = loading(__name__, _HOMES)
