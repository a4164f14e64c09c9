"""Keys that are not to be trusted."""

import math

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519

from smart_async.errors import ConfigurationError
from smart_async.keys.strength import check_key, rsa_problem

ODD_2048 = 2**2047 + 2**1000 + 1
_PRIMES = [n for n in range(3, 168) if all(n % d for d in range(2, n))]


@pytest.mark.parametrize("e", [65537, 65539, 2**64 - 1])
@pytest.mark.parametrize("bits", [2048, 2049, 8192])
def test_good_numbers_have_no_problem(bits, e):
    """Sizes and exponents at the limits are accepted."""
    assert rsa_problem(2 ** (bits - 1) + 2**1000 + 1, e) is None


@pytest.mark.parametrize("bits", [1024, 2047, 8193, 16384, 524281])
def test_moduli_too_short_or_too_long_are_named_by_their_size(bits):
    """RSA keys have 2048 to 8192 bits, and the message says how many were found."""
    assert f"{bits} bits; 2048 to 8192" in rsa_problem(2 ** (bits - 1) + 1, 65537)


@pytest.mark.parametrize("e", [1, 2, 3, 17, 65535, 65538, 2**64 + 1, 2**4000 + 1])
def test_public_exponents_that_invite_attacks_are_refused(e):
    """The exponent is odd, at least 65537 and at most 64 bits long."""
    assert "exponent" in rsa_problem(ODD_2048, e)


def test_an_exponent_is_told_unless_it_is_endless():
    """Up to 64 bits the number itself is in the message; of a longer one, how long it is."""
    assert f"exponent {2**63}; an odd one" in rsa_problem(ODD_2048, 2**63)
    assert "exponent of 65 bits; an odd one" in rsa_problem(ODD_2048, 2**64 + 1)


def test_an_even_modulus_is_refused():
    """No product of two large primes is even."""
    assert "even modulus" in rsa_problem(ODD_2048 + 1, 65537)


def test_a_modulus_with_the_roca_fingerprint_is_refused():
    """A modulus that is a power of 65537 modulo every small prime was made by the faulty chips."""
    n = roca(_PRIMES)
    for more in range(32):  # whatever it is modulo other numbers
        assert "ROCA" in rsa_problem(n + 2 * more * math.prod(_PRIMES), 65537)


@pytest.mark.parametrize("prime", _PRIMES)
def test_one_small_prime_tells_a_good_modulus(prime):
    """Each prime from 3 to 167 is looked at: what is no power of 65537 modulo one of them is not refused."""
    others = math.prod(other for other in _PRIMES if other != prime)
    n = roca([other for other in _PRIMES if other != prime])
    assert (
        rsa_problem(next(n for n in range(n, n + 2 * prime * others, 2 * others) if n % prime == 0), 65537)
        is None
    )


def roca(primes):
    """Return an odd modulus of 2048 bits or more that is a power of 65537 modulo each of *primes*."""
    product = math.prod(primes)
    n = pow(65537, 12345, product) + product * 2**1900
    return n + product * (n % 2 == 0)


def test_fresh_keys_do_not_look_like_roca(rsa_key):
    """The fingerprint does not hit ordinary keys."""
    assert check_key(rsa_key) is rsa_key


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda: ed25519.Ed25519PrivateKey.generate(), "This is an Ed25519 key"),
        (lambda: x25519.X25519PrivateKey.generate(), "This is an X25519 key"),
        (lambda: type("_DHPrivateKey", (), {})(), "This is a DH key"),
        (lambda: rsa.generate_private_key(65537, 1024), "an RSA key of 1024 bits"),
        (lambda: rsa.generate_private_key(3, 2048), "public exponent 3"),
        (lambda: ec.generate_private_key(ec.SECP256K1()), "secp256k1"),
        (
            lambda: ec.generate_private_key(ec.SECP384R1()).public_key(),
            "an EC public key",
        ),
        (lambda: rsa.generate_private_key(65537, 2048).public_key(), "an RSA public key"),
        (lambda: "text", "an object of the type str"),
        (lambda: type("Certificate", (), {})(), "This is a certificate, which cannot sign"),
    ],
)
def test_what_cannot_sign_is_refused_by_what_it_is(make, found):
    """The error says what was found and what is needed."""
    with pytest.raises(ConfigurationError, match=found) as caught:
        check_key(make())
    assert "needed" in caught.value.message
    assert caught.value.field == "key"
    assert "smart-async keygen" in caught.value.advice
