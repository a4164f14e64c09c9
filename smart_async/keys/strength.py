"""
Whether a key is one to trust.

Of another type, on a curve that JWS does not use, too short, too long, with a public exponent that invites
known attacks, or made by the chips whose primes can be guessed (ROCA): libraries let much of this pass, so it
is judged here, in our own keys and the servers' alike.
"""

from __future__ import annotations

from functools import cache

from smart_async.errors import ConfigurationError
from smart_async.keys.algorithms import CURVES, PrivateKey, curve_name
from smart_async.limits import RSA_BITS_MAX, RSA_BITS_MIN

__all__ = ("MAKE_ONE", "check_key", "refuse_key", "rsa_problem")

MAKE_ONE = "Make one with: smart-async keygen --alg ES384 --out FILE."
"""The way out for anybody without a usable key."""

_NEEDED = "An RSA key (2048 bits or more) or an elliptic-curve key on P-384 is needed"

_EXPONENT_MIN = 65537
_EXPONENT_BITS_MAX = 64
_ROCA_GENERATOR = 65537
_ROCA_PRIME_MAX = 167


def rsa_problem(n: int, e: int) -> str | None:
    """
    Say what is wrong with the RSA public key (*n*, *e*), or None if nothing is.

    Args:
        n: The modulus.
        e: The public exponent.

    Returns:
        What was found and what is needed, to go after "This is"; None for a good key.

    Spec: RFC 7518, section 3.3 (2048 bits or more); CVE-2017-15361 (ROCA).

    >>> rsa_problem(2**1023, 65537)
    'an RSA key of 1024 bits; 2048 to 8192 are needed'
    """
    bits = n.bit_length()
    if not RSA_BITS_MIN <= bits <= RSA_BITS_MAX:
        return f"an RSA key of {bits} bits; {RSA_BITS_MIN} to {RSA_BITS_MAX} are needed"
    if e < _EXPONENT_MIN or e % 2 == 0 or e.bit_length() > _EXPONENT_BITS_MAX:
        shown = e if e.bit_length() <= _EXPONENT_BITS_MAX else f"of {e.bit_length()} bits"
        return f"an RSA key with the public exponent {shown}; an odd one from 65537 to 2^64 is needed"
    if n % 2 == 0:
        return "an RSA key with an even modulus, which is no product of two primes"
    if _is_roca(n):
        return (
            "an RSA key made by faulty hardware (ROCA, CVE-2017-15361), which can be broken; "
            "one made elsewhere is needed"
        )
    return None


def _is_roca(n: int) -> bool:
    # Such primes are k·M + (65537^a mod M) for a known product M of small primes, so modulo each of those
    # the modulus is a power of 65537. A good key passes all of them once in 2^27 times.
    return all(n % prime in powers for prime, powers in _roca_table())


@cache
def _roca_table() -> tuple[tuple[int, frozenset[int]], ...]:
    primes = [n for n in range(3, _ROCA_PRIME_MAX + 1) if all(n % d for d in range(2, n))]
    return tuple(
        (prime, frozenset(pow(_ROCA_GENERATOR, power, prime) for power in range(prime))) for prime in primes
    )


def check_key(key: object) -> PrivateKey:
    """
    Return *key* if it can sign for a SMART client.

    Args:
        key: Something that was loaded, or a key object of the `cryptography` package.

    Raises:
        ConfigurationError: If it is of another type, weak, or on a curve that JWS does not use.
    """
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    if isinstance(key, RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        if problem := rsa_problem(numbers.n, numbers.e):
            raise ConfigurationError(f"This is {problem}.", field="key", advice=MAKE_ONE)
        return key
    if isinstance(key, EllipticCurvePrivateKey):
        if curve_name(key) not in CURVES:
            raise refuse_key(f"an elliptic-curve key on {curve_name(key)}, which JWS does not use")
        return key
    raise refuse_key(_describe_object(key))


def _describe_object(key: object) -> str:
    name = type(key).__name__.lstrip("_")
    for ending, kind in (("PrivateKey", "key"), ("PublicKey", "public key")):
        if name.endswith(ending):
            article = "an" if name[0] in "AEIOURX" else "a"
            return f"{article} {name.removesuffix(ending)} {kind}"
    return "a certificate, which cannot sign" if name == "Certificate" else f"an object of the type {name}"


def refuse_key(found: str, advice: str = MAKE_ONE) -> ConfigurationError:
    """Return the error for a key that turned out to be *found*."""
    return ConfigurationError(f"This is {found}. {_NEEDED}.", field="key", advice=advice)
