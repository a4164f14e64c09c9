"""The book of requests and verdicts."""

from __future__ import annotations

import pytest

from smart_async.messages import Headers
from smart_async.sandbox.verdicts import Case, Ledger, Received, RefusedError


def received(**changes):
    base = {
        "method": "POST", "url": "https://sandbox.example/t?q=1", "path": "/t", "query": "q=1",
        "headers": Headers({"Authorization": "Basic hush"}), "body": b"client_assertion=hush",
        "received_at": 0.0,
    }  # fmt: skip
    return Received(**(base | changes))


def test_repr_holds_no_credentials():
    """A received request shows neither header values nor body."""
    assert repr(received()) == "<Received POST /t, 21 bytes>"


def test_looking_at_a_request():
    """Form and query can be looked at."""
    assert (received().form, received().parameters) == ({"client_assertion": "hush"}, {"q": "1"})


def test_remarks_come_before_the_verdict():
    """The newest verdict is the one about the whole request."""
    ledger, case = Ledger(), Case(endpoint="token", received=received(), client_id="app")
    case.remark("TK-02", "odd")
    ledger.close(case, None)
    assert [(v.accepted, v.rule) for v in ledger.verdicts] == [(True, "TK-02"), (True, None)]


def test_the_ledger_is_bounded():
    """Only the newest entries are kept, in the same lists."""
    ledger = Ledger(keep=2)
    requests, verdicts = ledger.requests, ledger.verdicts
    for number in range(3):
        ledger.receive(received(received_at=float(number)))
        ledger.close(Case(endpoint=str(number), received=received()), None)
    assert [request.received_at for request in requests] == [1.0, 2.0]
    assert [verdict.endpoint for verdict in verdicts] == ["1", "2"]


@pytest.mark.rule("TK-19")
def test_description_is_what_oauth_allows():
    """error_description holds printable ASCII without quotation mark and backslash."""
    refusal = RefusedError("RFC 6749 §5.2", 'a "b" \\ ä\n\x1b[31m')
    assert refusal.description == "RFC 6749 section 5.2: a 'b' / ? [31m"
