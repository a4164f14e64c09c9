"""ECDSA signatures in the fixed width of JWS, cut out of the DER that `cryptography` makes."""

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from smart_async.keys.algorithms import _fixed_width

WIDTHS = {48: ec.SECP384R1(), 32: ec.SECP256R1(), 66: ec.SECP521R1()}


@pytest.mark.rule("AS-23")
@pytest.mark.parametrize("width", sorted(WIDTHS))
def test_every_size_of_both_numbers(width):
    """Numbers of every length, with and without their highest bit set, fill exactly their width."""
    sizes = [1, 2, 8 * width - 9, 8 * width - 8, 8 * width - 1, 8 * width - (7 if width == 66 else 0)]
    values = [1, 127, 128, *((1 << bits) - 1 for bits in sizes if bits > 0)]
    for r in values:
        for s in values:
            expected = r.to_bytes(width, "big") + s.to_bytes(width, "big")
            assert _fixed_width(utils.encode_dss_signature(r, s), width) == expected


@pytest.mark.rule("AS-23")
@pytest.mark.parametrize("width", sorted(WIDTHS))
def test_real_signatures(width):
    """The bytes are those of the two numbers that the DER holds."""
    key = ec.generate_private_key(WIDTHS[width])
    for number in range(100):
        der = key.sign(bytes([number]), ec.ECDSA(hashes.SHA384()))
        r, s = utils.decode_dss_signature(der)
        assert _fixed_width(der, width) == r.to_bytes(width, "big") + s.to_bytes(width, "big")
