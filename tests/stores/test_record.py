"""The form of a stored record: whatever stands in a file, only what was packed for the key comes out."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_async.errors import StoreError
from smart_async.limits import STORED_BYTES
from smart_async.stores._record import Damaged, Record, pack, unpack
from smart_async.stores._sealing import Seal, Sealer

PLAIN = Sealer(None)
SEALED = Sealer(bytes(range(32)))

DIGEST = b"7cbccb0c4caadf9fcdb51ee457a828cc72a45879831b5b978ae2e2cefc449705"
WRITTEN = {
    "plain": (
        PLAIN,
        b"smart-async-store/1 2ab83bcfc66f16513c478f8fa6be7da9998fe8615481d497c5bb38db9b3fc108\n"
        b'{"fence":7,"key":"%s","seal":null,"version":"v1"}\ntoken' % DIGEST,
    ),
    "sealed": (
        SEALED,
        b"smart-async-store/1 34d73d61b61244b6007de62f49616c568672752e05b6ca342740d8c78d7f00bc\n"
        b'{"fence":7,"key":"%s",'
        b'"seal":{"kid":"df8275214d432aa9","nonce":"00112233445566778899aabb"},"version":"v1"}\n'
        b"\xae\xe9\x9b\xd6!\xcaO9\x87[\xc2\x03\xc3\xee\x13DZ-\xa6\xdc\x1a" % DIGEST,
    ),
}
"""Records of the key erin, as the first version of the format has them."""


def with_header(**members):
    """Return a record whose checksum is right and whose header has these members changed."""
    blob = pack(Record(data=b"x", version="v", fence=1), "key", PLAIN)
    line, _, payload = blob.partition(b"\n")[2].partition(b"\n")
    return framed(json.dumps(json.loads(line) | members).encode() + b"\n" + payload)


def with_spaces(count):
    """Return a record whose header line has that many bytes, with blanks at its end."""
    line, _, payload = with_header().partition(b"\n")[2].partition(b"\n")
    return framed(line.ljust(count) + b"\n" + payload)


def framed(rest):
    """Return *rest* behind a first line with its checksum."""
    return b"smart-async-store/1 %s\n" % hashlib.sha256(rest).hexdigest().encode() + rest


@pytest.mark.parametrize("kind", WRITTEN)
def test_what_was_written_before_is_read_ever_after(kind):
    """The form of a record is fixed: an update finds the tokens that the version before has stored."""
    sealer, blob = WRITTEN[kind]
    assert unpack(blob, "erin", sealer) == Record(data=b"token", version="v1", fence=7)


@given(data=st.binary(), fence=st.integers(0, 2**53), sealer=st.sampled_from([PLAIN, SEALED]))
def test_what_is_packed_is_unpacked(data, fence, sealer):
    """A record comes back as it was."""
    record = Record(data=data, version="v", fence=fence)
    assert unpack(pack(record, "key", sealer), "key", sealer) == record


@given(position=st.integers(0, 10_000), bit=st.integers(0, 7), sealer=st.sampled_from([PLAIN, SEALED]))
def test_no_flipped_bit_goes_unnoticed(position, bit, sealer):
    """Each bit of a record counts."""
    blob = bytearray(pack(Record(data=b"token", version="v", fence=1), "key", sealer))
    blob[position % len(blob)] ^= 1 << bit
    with pytest.raises((Damaged, StoreError)):
        unpack(bytes(blob), "key", sealer)


@given(blob=st.binary() | st.binary().map(framed))
def test_anything_else_is_damage(blob):
    """Bytes that nobody packed are damage, and no other error."""
    with pytest.raises(Damaged):
        unpack(blob, "key", PLAIN)


@pytest.mark.parametrize(
    "members",
    [
        {"version": None}, {"version": 1}, {"version": ""}, {"version": "a b"}, {"version": "x" * 65},
        {"fence": None}, {"fence": "1"}, {"fence": 1.0}, {"fence": True}, {"fence": -1},
        {"key": None}, {"key": "key"}, {"seal": 1}, {"seal": {}}, {"seal": {"kid": 1, "nonce": 2}},
        {"seal": {"kid": "0" * 16, "nonce": "0" * 23}}, {"seal": {"kid": "0" * 15, "nonce": "0" * 24}},
        {"more": "x" * 2000},
    ],
)  # fmt: skip
def test_a_header_that_is_none(members):
    """Each member of the header has its form, though the checksum be right."""
    assert unpack(with_header(), "key", PLAIN).data == b"x"
    with pytest.raises(Damaged):
        unpack(with_header(**members), "key", SEALED if members.get("seal") else PLAIN)


@pytest.mark.parametrize("line", [b"", b"[]", b"{", b'{"a":1,"a":2}', b"\xff", b"[[[[]]]]"])
def test_a_header_that_is_no_object(line):
    """The header is one strict JSON object."""
    with pytest.raises(Damaged, match="header"):
        unpack(framed(line + b"\nx"), "key", PLAIN)


def test_a_header_has_room_for_more():
    """What a later version adds to a header is passed over, up to 16 members, two levels and 1,024 bytes."""
    twelve = {f"more{number}": number for number in range(12)}
    for blob in (with_header(**twelve), with_header(more=[]), with_spaces(1024)):
        assert unpack(blob, "key", PLAIN).data == b"x"
    for blob in (with_header(**twelve, one=1), with_header(more=[[]]), with_spaces(1025)):
        with pytest.raises(Damaged, match="header"):
            unpack(blob, "key", PLAIN)


def test_the_largest_record():
    """A record takes what a store may hold and 2,048 bytes; with one more its contents are not looked at."""
    start = with_header()
    largest = STORED_BYTES + 2048 - len(start)
    rest = start.partition(b"\n")[2]
    assert unpack(framed(rest + b"x" * largest), "key", PLAIN).data == b"x" * (largest + 1)
    with pytest.raises(Damaged, match="larger than any record"):
        unpack(framed(rest + b"x" * (largest + 1)), "key", PLAIN)
    with pytest.raises(Damaged, match="is no record"):
        unpack(b"x" * (STORED_BYTES + 2049), "key", PLAIN)


def test_a_repr_shows_nothing():
    """Neither a record nor a sealer shows token or key."""
    assert "canary" not in repr(Record(data=b"canary", version="v", fence=0))
    assert repr(PLAIN) == "<Sealer: plain>"
    assert repr(SEALED) == "<Sealer: AES-256-GCM>"


def test_a_seal_does_not_show_its_key():
    """What it holds of the key is left out of its text."""
    assert "k" * 16 not in repr(Seal(kid="a", nonce="b", secret=b"k" * 32))


def test_a_seal_that_was_read_holds_no_key():
    """Which key opens a record is looked up among those that the store was given."""
    assert Seal(kid="a", nonce="b").secret == b""
