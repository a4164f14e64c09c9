"""
What AWS KMS says no with, in this library's own errors.

AWS's own texts are left out: that of a wrong signature quotes the whole request, session token included.

Spec: AWS KMS API Reference, errors of GetPublicKey and Sign, and the common errors.
"""

from __future__ import annotations

from typing import Any

from smart_async.errors import ConfigurationError, SmartError, TransportError
from smart_async.messages import clean_text

__all__ = ("translate",)

_DENIED = "Allow kms:GetPublicKey and kms:Sign on this key, in the key policy or the caller's IAM policy."
_CREDENTIALS = "Check the AWS credentials that this process finds, and that its clock is right."
_REFUSALS = {
    "AccessDeniedException": ("denies this caller", _DENIED),
    "NotFoundException": (
        "has no such key",
        "Check the key id, ARN or alias (alias/NAME), the region and the account.",
    ),
    "DisabledException": ("has disabled the key", "Enable it, or sign with another key."),
    "KMSInvalidStateException": (
        "cannot use the key in its present state",
        "It may be waiting for deletion or for key material: look at its status.",
    ),
    "InvalidKeyUsageException": (
        "keeps this key for something else than signatures",
        "Make a key with key usage SIGN_VERIFY.",
    ),
    "UnsupportedOperationException": (
        "cannot do this with the key",
        "Make an asymmetric key with key usage SIGN_VERIFY, RSA or ECC_NIST_P384.",
    ),
    "ValidationException": ("finds the request invalid", "Check the key id and the region."),
    "InvalidArnException": ("finds the key's ARN invalid", "Check the key's ARN."),
    "UnrecognizedClientException": ("does not know the credentials", _CREDENTIALS),
    "InvalidClientTokenId": ("does not know the credentials", _CREDENTIALS),
    "InvalidSignatureException": ("refuses the credentials", _CREDENTIALS),
    "IncompleteSignature": ("refuses the credentials", _CREDENTIALS),
    "MissingAuthenticationTokenException": ("was asked without credentials", _CREDENTIALS),
    "ExpiredTokenException": ("says that the credentials have expired", "Renew the AWS credentials."),
    "RequestExpired": ("says that the request is too old", _CREDENTIALS),
    "OptInRequired": ("is not enabled for this account", "Sign up for the service."),
    "NotAuthorized": ("denies this caller", _DENIED),
}

_THROTTLED = frozenset(
    {
        "LimitExceededException",
        "RequestLimitExceeded",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
    }
)

_UNREACHED = frozenset(
    {"HTTPClientError", "ConnectionError", "IncompleteReadError", "ResponseStreamingError"}
)


def translate(exc: Any, *, operation: str, key_id: str) -> SmartError:
    """
    Return the error to raise for one of botocore's.

    A failure of the service or the network is a `TransportError` with `sent=False`: it is the token
    request that was not sent, and another signature does no harm.

    Args:
        exc: A `ClientError` or `BotoCoreError`.
        operation: What was asked for.
        key_id: The key, as it was configured.
    """
    response = getattr(exc, "response", None)
    if isinstance(response, dict) and "Error" in response:
        return _refused(response, operation, key_id)
    name = type(exc).__name__
    if _UNREACHED & {each.__name__ for each in type(exc).__mro__}:
        return TransportError(
            f"AWS KMS could not be reached for {operation} ({name}); nothing was sent to the server.",
            advice="Try again; if it lasts, check the region, the network and the VPC endpoint.",
            sent=False,
        )
    return ConfigurationError(
        f"boto3 cannot ask AWS KMS for {operation} ({name}).",
        field="client",
        advice="Set up a region and credentials as for any program with boto3, or pass client=.",
    )


def _refused(response: Any, operation: str, key_id: str) -> SmartError:
    code = clean_text(str(response["Error"].get("Code", "")), length=64) or "no code"
    metadata = response.get("ResponseMetadata", {})
    status = metadata.get("HTTPStatusCode")
    request_id = clean_text(str(metadata.get("RequestId", "")), length=64)
    noted = f"{operation}: {code}" + (f", request {request_id}" if request_id else "")
    if code in _THROTTLED or status == 429:
        return TransportError(
            f"AWS KMS has too many requests just now ({noted}); nothing was sent to the server.",
            advice="Wait and try again; if it lasts, raise the account's quota for keys of this kind.",
            sent=False,
            status=status,
        )
    if code in _REFUSALS:
        said, advice = _REFUSALS[code]
        return ConfigurationError(f"AWS KMS {said} ({noted}, key {key_id}).", field="key_id", advice=advice)
    if isinstance(status, int) and 400 <= status < 500 and code != "KeyUnavailableException":
        return ConfigurationError(
            f"AWS KMS refuses ({noted}, key {key_id}).",
            field="key_id",
            advice="Look the code up among the errors of the KMS API.",
        )
    return TransportError(
        f"AWS KMS failed ({noted}); nothing was sent to the server.",
        advice="Try again; if it lasts, look at the AWS Health Dashboard.",
        sent=False,
        status=status,
    )
