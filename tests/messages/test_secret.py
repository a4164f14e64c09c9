"""A secret shows itself nowhere but where it is revealed (rules T44 and T51)."""

from __future__ import annotations

import copy
import dataclasses
import hmac
import json
import logging
import pickle
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_async.messages import Secret

CANARY = "canary-7f3a"
MASK = "<Secret: call .reveal()>"


@dataclasses.dataclass
class Holder:
    secret: Secret


@pytest.mark.parametrize(
    "show",
    [
        str,
        repr,
        ascii,
        lambda secret: f"{secret}",
        lambda secret: f"{secret!r:>60}",
        lambda secret: f"{secret:>60}",
        lambda secret: f"{secret!s}",
        lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 - one of the ways
        lambda secret: "{0} {0!r}".format(secret),  # noqa: UP032 - one of the ways
        lambda secret: str([secret]) + str({"a": secret}) + str((secret,)),
        lambda secret: repr(Holder(secret)),
        lambda secret: str(dir(secret)),
    ],
)
def test_it_is_masked(show):
    """No way of turning it into text shows it."""
    text = show(Secret(CANARY))
    assert CANARY not in text
    assert show is dir or "Secret" in text or "reveal" in text


def test_the_mask():
    """The mask says how to get at the text."""
    assert str(Secret(CANARY)) == repr(Secret(CANARY)) == f"{Secret(CANARY)}" == MASK


@pytest.mark.parametrize(
    "take",
    [
        pickle.dumps,
        *(lambda secret, protocol=protocol: pickle.dumps(secret, protocol) for protocol in range(6)),
        lambda secret: pickle.dumps({"a": [secret]}),
        lambda secret: pickle.dumps(Holder(secret)),
        copy.copy,
        copy.deepcopy,
        lambda secret: dataclasses.asdict(Holder(secret)),
        json.dumps,
        vars,
        hash,
        lambda secret: {secret},
        lambda secret: {secret: 1},
        len,
        iter,
        lambda secret: secret + "x",
        lambda secret: "x" + secret,
        lambda secret: "".join([secret]),
    ],
)
def test_it_cannot_be_taken_out(take):
    """Pickle, copy, JSON, hashing and string operations are errors that do not show it."""
    with pytest.raises(TypeError) as caught:
        take(Secret(CANARY))
    assert CANARY not in str(caught.value)


def test_equality():
    """Two secrets are equal if their text is, whatever characters it has."""
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("ü\ud800") == Secret("ü\ud800")
    assert (Secret("a") == 5) is False
    assert Secret("a") != None  # noqa: E711 - the comparison is the test


@pytest.mark.parametrize("other", ["a", b"a", "", "b"])
def test_plain_text_is_not_compared(other):
    """Comparing with plain text is an error in either order, and so is looking for it."""
    secret = Secret("a")
    for compare in (
        lambda: secret == other,
        lambda: other == secret,
        lambda: secret != other,
        lambda: secret in [other],
    ):
        with pytest.raises(TypeError, match="wrap the other side in Secret"):
            compare()


def test_comparison_takes_constant_time(monkeypatch):
    """The comparison is the standard library's constant-time one, over the bytes."""
    calls = []

    def digest(one, other):
        calls.append((one, other))
        return True

    monkeypatch.setattr(hmac, "compare_digest", digest)
    assert Secret("ä") == Secret("b")
    assert calls == [("ä".encode(), b"b")]


def test_truth_and_attributes():
    """It is true if there is text, and takes no other attributes."""
    assert Secret("a")
    assert not Secret("")
    with pytest.raises(AttributeError):
        Secret("a").note = "b"


@pytest.mark.parametrize("value", [None, b"a", 5, Secret("a")])
def test_what_is_no_text(value):
    """Only a string can be a secret; the error names the type and not the value."""
    with pytest.raises(TypeError, match=f"not {type(value).__name__}$"):
        Secret(value)


def test_logs_and_tracebacks(caplog):
    """Neither a log record nor a traceback with all local variables shows it."""
    secret = Secret(CANARY)
    try:
        raise ValueError("trouble", secret)
    except ValueError as exc:
        logging.getLogger("test").exception("with %s and %r", secret, secret)
        captured = traceback.TracebackException.from_exception(exc, capture_locals=True)
    assert CANARY not in caplog.text
    assert CANARY not in "".join(captured.format())
    assert MASK in caplog.text


@given(st.text())
def test_the_text_comes_back(text):
    """What was put in is revealed, byte for byte, and never shown."""
    secret = Secret(text)
    assert secret.reveal() == text
    assert repr(secret) == MASK
    assert secret == Secret(text)
