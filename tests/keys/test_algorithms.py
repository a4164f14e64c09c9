"""Which algorithm goes with which key."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from smart_async.errors import ConfigurationError
from smart_async.keys.algorithms import ALGORITHMS, choose_algorithm


def test_only_asymmetric_algorithms_exist():
    """Neither none nor an HMAC algorithm can be expressed."""
    assert sorted(ALGORITHMS) == sorted(
        f"{family}{bits}" for family in ("RS", "PS", "ES") for bits in (256, 384, 512)
    )


def test_which_algorithms_are_pss():
    """The PS family is RSASSA-PSS, and nothing else is."""
    assert {name: each.pss for name, each in ALGORITHMS.items()} == {
        name: name.startswith("PS") for name in ALGORITHMS
    }


@pytest.mark.rule("AS-02")
def test_rsa_keys_sign_with_rs384_by_default(rsa_key):
    """SMART's algorithm for RSA keys is RS384."""
    assert choose_algorithm(rsa_key).name == "RS384"


@pytest.mark.rule("AS-03")
def test_p384_keys_sign_with_es384_by_default(p384_key):
    """SMART's algorithm for P-384 keys is ES384."""
    assert choose_algorithm(p384_key).name == "ES384"


@pytest.mark.parametrize(("curve", "name"), [(ec.SECP256R1(), "ES256"), (ec.SECP521R1(), "ES512")])
def test_other_curves_need_an_explicit_algorithm(curve, name):
    """SMART speaks of P-384; another curve is used only by one who says so."""
    key = ec.generate_private_key(curve)
    with pytest.raises(ConfigurationError, match=f"needs one on P-384.*algorithm='{name}'") as caught:
        choose_algorithm(key)
    assert caught.value.field == "algorithm"
    assert choose_algorithm(key, name).name == name


def test_a_curve_that_jws_does_not_know_gets_no_suggestion():
    """A curve without an algorithm leads to the advice to make another key."""
    with pytest.raises(ConfigurationError, match=r"secp256k1.*or an RSA key"):
        choose_algorithm(ec.generate_private_key(ec.SECP256K1()))


@pytest.mark.parametrize("name", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"])
def test_rsa_keys_take_every_rsa_algorithm(rsa_key, name):
    """An override that fits the key is taken."""
    assert choose_algorithm(rsa_key, name).name == name


@pytest.mark.parametrize(
    ("fixture", "name", "message"),
    [
        ("p256_key", "ES384", "ES384 needs an elliptic-curve key on P-384; this is .* on P-256"),
        ("p384_key", "RS384", "RS384 needs an RSA key; this is an elliptic-curve key on P-384"),
        ("rsa_key", "ES384", "ES384 needs an elliptic-curve key on P-384; this is an RSA key"),
        ("p384_key", "ES256", "ES256 needs an elliptic-curve key on P-256"),
    ],
)
def test_an_algorithm_that_does_not_fit_the_key_is_refused(request, fixture, name, message):
    """The error says which key the algorithm needs and which one was found."""
    with pytest.raises(ConfigurationError, match=message) as caught:
        choose_algorithm(request.getfixturevalue(fixture), name)
    assert caught.value.field == "algorithm"


@pytest.mark.parametrize("name", ["none", "HS256", "EdDSA", "rs384", "", "ES521"])
def test_names_of_no_algorithm_of_ours_are_refused(rsa_key, name):
    """Unknown names, other letter cases and symmetric algorithms are refused with the list."""
    with pytest.raises(ConfigurationError, match="Use one of RS256, RS384") as caught:
        choose_algorithm(rsa_key, name)
    assert caught.value.field == "algorithm"
