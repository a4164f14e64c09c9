"""
Proof Key for Code Exchange: whoever redeems the code must be who asked for it.

Only S256 exists here. SMART demands it of every client and forbids `plain`, so there is no switch.

Spec: RFC 7636; SMART App Launch 2.2, app launch (PKCE).
"""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode

from smart_async.errors import ConfigurationError
from smart_async.messages import Secret
from smart_async.smart.entropy import Entropy, new_token

__all__ = ("CODE_CHALLENGE_METHOD", "code_challenge", "new_verifier")

CODE_CHALLENGE_METHOD = "S256"
"""The only `code_challenge_method` of SMART."""

_VERIFIER = re.compile(r"[A-Za-z0-9\-._~]{43,128}")


def new_verifier(entropy: Entropy) -> Secret:
    """
    Make a code verifier of 256 random bits, to be used for one login.

    Args:
        entropy: The source of random bytes.
    """
    return Secret(new_token(entropy))


def code_challenge(verifier: Secret) -> str:
    """
    Derive the S256 code challenge of *verifier*.

    The challenge travels with the authorization request through the browser; the verifier stays here
    until the token request, and proves that both came from the same client.

    Args:
        verifier: 43 to 128 unreserved characters, as made by `new_verifier`.

    Returns:
        43 characters of base64url without padding.

    Raises:
        ConfigurationError: If *verifier* is not a code verifier.

    Spec: RFC 7636, section 4.2 (the example is its appendix B).

    >>> code_challenge(Secret("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"))
    'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'
    """
    if not _VERIFIER.fullmatch(verifier.reveal()):
        raise ConfigurationError("A code verifier is 43 to 128 characters of A-Z a-z 0-9 - . _ ~.")
    digest = hashlib.sha256(verifier.reveal().encode("ascii")).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
