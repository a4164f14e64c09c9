"""How far a request got, which decides whether it may be sent again."""

from __future__ import annotations

import time

import pytest

from smart_async.transports._network import Progress


@pytest.fixture
def progress():
    """The progress of a request that has ten seconds."""
    return Progress(time.monotonic() + 10)


def test_it_begins_with_waiting(progress):
    """Before anything is done for it, a request waits."""
    assert (progress.phase, progress.tunnelled) == ("waiting", False)


def test_a_first_byte_is_sent(progress):
    """From the first byte on nobody knows whether the server has seen the request."""
    progress.writes(b"P")
    assert (progress.phase, progress.tunnelled) == ("sent", False)


def test_asking_a_proxy_is_not_sending(progress):
    """A proxy that is asked for a way through has not seen the request yet; what follows has left."""
    progress.writes(b"CONNECT ehr.example.com:443 HTTP/1.1\r\n")
    assert (progress.phase, progress.tunnelled) == ("tunnelling", True)
    progress.writes(b"")
    assert progress.phase == "tunnelling"
    progress.writes(b"POST /token HTTP/1.1\r\n")
    assert progress.phase == "sent"


def test_a_wait_ends_with_the_deadline(progress):
    """No wait is longer than what is left, and none begins when nothing is."""
    assert progress.left(3.0, ValueError) == 3.0
    assert 9 < progress.left(30.0, ValueError) <= 10
    assert 9 < progress.left(None, ValueError) <= 10
    with pytest.raises(ValueError, match="deadline"):
        Progress(time.monotonic() - 1).left(None, ValueError)
