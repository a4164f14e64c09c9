"""The reader of bodies, at its limits."""

from __future__ import annotations

import pytest

from smart_async.transports._body import Body

EMPTY_BLOCK = b"\x00\x00\x00\xff\xff"
"""A block of deflate that yields nothing: any number of bytes can be sent without any plain text."""


def test_compressed_bytes_count_too():
    """A compressed body that is itself longer than the limit is refused, however little it holds."""
    body = Body(1000, "deflate", cut=False)
    assert not body.feed(b"\x78\x9c" + EMPTY_BLOCK * 190)
    assert body.feed(EMPTY_BLOCK * 20)
    assert body.problem == "has more than the 1000 bytes that are read of it"
    assert body.finish() == b""


def test_damage_in_a_later_chunk():
    """Damage after a good beginning is not taken for the other kind of deflate."""
    body = Body(10_000, "deflate", cut=False)
    assert not body.feed(b"\x78\x01\x00\x03\x00")
    assert body.feed(b"\x01\x00\x00\xff\xff")  # wrong here, and by itself a whole body of raw deflate
    assert body.problem == "is said to be compressed, and is not"


@pytest.mark.parametrize("encoding", ["", "identity", " Identity "])
def test_plain_bodies(encoding):
    """Without a compression the chunks are put together as they come."""
    body = Body(10, encoding, cut=False)
    assert not body.feed(b"abc")
    assert not body.feed(b"defg")
    assert body.finish() == b"abcdefg"
    assert (body.problem, body.truncated) == (None, False)


def test_nothing_is_taken_after_the_end():
    """Chunks that arrive after there was enough are dropped."""
    body = Body(4, "", cut=True)
    assert body.feed(b"abcdef")
    assert body.feed(b"ghi")
    assert (body.finish(), body.truncated, body.problem) == (b"abcd", True, None)
