"""DER to R‖S: every signature that is DER to the letter, and nothing else."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from smart_async import ConfigurationError
from smart_async.signers import der_to_raw

WIDTHS = {"ES256": 32, "ES384": 48, "ES512": 66}
BITS = {"ES256": 256, "ES384": 384, "ES512": 521}
GOOD = bytes.fromhex("3006020101020102")


@given(data=st.data(), algorithm=st.sampled_from(sorted(WIDTHS)))
def test_each_pair_of_numbers(data, algorithm):
    """R and S come out in fixed width, whatever their size."""
    numbers = st.integers(1, 2 ** BITS[algorithm] - 1)
    r, s = data.draw(numbers), data.draw(numbers)
    width = WIDTHS[algorithm]
    expected = r.to_bytes(width, "big") + s.to_bytes(width, "big")
    assert der_to_raw(encode_dss_signature(r, s), algorithm) == expected


@given(junk=st.binary(max_size=150), algorithm=st.sampled_from(sorted(WIDTHS)))
def test_anything_else(junk, algorithm):
    """Whatever bytes come, they are converted without loss or refused with our own error."""
    try:
        raw = der_to_raw(junk, algorithm)
    except ConfigurationError:
        return
    half = len(raw) // 2
    again = encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))
    assert again == junk


@pytest.mark.parametrize(
    "text",
    [
        "",
        "30",
        "3081",
        "3006020101",
        "3006020101020102ff",
        "3007020101020102",
        "3005020101020102",
        "3106020101020102",
        "308106020101020102",
        "30820006020101020102",
        "3080020101020102",
        "3006030101020102",
        "3006020101030102",
        "3006020100020102",
        "3006020181020102",
        "300702020001020102",
        "30070202018102020102",
        "3005020002020102",
        "3006020101020002",
        "3008020101020102" + "0101",
        "3035" + "0230" + "01" * 48 + "0201",
        "3036" + "0231" + "01" * 49 + "0201" + "01",
        "3009020101020102020103",
    ],
)
def test_not_der_to_the_letter(text):
    """Lengths, tags, padding, zero, minus and trailing bytes: a single deviation is refused."""
    with pytest.raises(ConfigurationError, match="not an ES384 signature in DER") as caught:
        der_to_raw(bytes.fromhex(text), "ES384")
    assert caught.value.field == "signature_format"


def test_the_valid_one_among_them():
    """The message that the deviations start from is fine."""
    assert der_to_raw(GOOD, "ES384") == bytes(47) + b"\1" + bytes(47) + b"\2"


@pytest.mark.parametrize("algorithm", ["RS384", "PS384", "HS256", "none", ""])
def test_algorithms_without_a_der_form(algorithm):
    """Only ECDSA signatures are converted."""
    with pytest.raises(ConfigurationError, match="have no DER form"):
        der_to_raw(GOOD, algorithm)
