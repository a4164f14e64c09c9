"""The tree of errors: drawn as it is, readable, and safe to pickle (rule T44)."""

from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest

from smart_async import errors
from smart_async.errors import (
    ConfigurationError,
    ContextChangedError,
    IdTokenError,
    OAuthError,
    OutcomeUnknownError,
    ProtocolError,
    SmartError,
    TransportError,
)
from smart_async.messages import Secret

ALL = [getattr(errors, name) for name in errors.__all__]

FIELDS = {
    "endpoint": "https://ehr.example.com/token",
    "advice": "Do this.",
    "field": "fhir_base",
    "sent": False,
    "status": 400,
    "received": ("error", "error_description"),
    "error": "invalid_grant",
    "error_description": "too old",
    "error_uri": "https://ehr.example.com/help",
    "retry_after": 2.5,
    "correlation_id": "c-1",
    "scope": "patient/Task.c",
    "permanent": True,
}


def filled(kind):
    """Return an error of *kind* with every field set, and those fields."""
    wanted = set(inspect.signature(kind).parameters) - {"message", "token"}
    fields = {name: FIELDS[name] for name in wanted}
    return kind("It went wrong.", **fields), fields


def test_the_drawing_is_the_tree():
    """The tree at the top of the module has each class once, under its base, with a word about it."""
    drawn, parents = {}, {}
    for line in re.search(r"```\n(.*?)```", errors.__doc__, re.DOTALL)[1].splitlines():
        branch, name, purpose = re.fullmatch(r"([│├└─ ]*)(\w+) +(.+)", line).groups()
        depth = len(branch) // 4
        parents[depth] = name
        drawn[name] = parents.get(depth - 1) if depth else None
        assert purpose
    real = {kind.__name__: None if kind is SmartError else kind.__base__.__name__ for kind in ALL}
    assert drawn == real
    defined = {name for name, value in vars(errors).items() if inspect.isclass(value)}
    assert defined == set(errors.__all__)


@pytest.mark.parametrize("kind", ALL)
def test_every_error_can_be_pickled(kind):
    """An error comes back from another process with its message and all its fields."""
    error, fields = filled(kind)
    for copied in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(copied) is kind
        assert str(copied) == str(error)
        assert vars(copied) == vars(error)
        for name, value in fields.items():
            assert getattr(copied, name) == value


@pytest.mark.parametrize("kind", [ContextChangedError, IdTokenError])
def test_tokens_are_left_out_of_pickles(kind):
    """The token that comes with an error is not pickled, neither as a Secret nor as plain text."""
    error = kind("Another patient.")
    assert error.token is None
    error.token = {"access_token": Secret("canary"), "id": "canary"}
    pickled = pickle.dumps(error)
    assert b"canary" not in pickled
    assert pickle.loads(pickled).token is None
    assert error.token is not None
    assert ContextChangedError("x", token="t").token == "t"


@pytest.mark.parametrize("kind", ALL)
def test_every_error_can_be_made_from_a_message(kind):
    """Everything but the message is optional, and keyword only."""
    error = kind("It went wrong.")
    assert str(error) == "It went wrong."
    assert (error.message, error.endpoint, error.advice, error.args) == (
        "It went wrong.",
        None,
        None,
        ("It went wrong.",),
    )
    assert isinstance(error, SmartError)
    with pytest.raises(TypeError):
        kind("It went wrong.", "https://ehr.example.com")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "It went wrong."),
        ({"advice": "Do this."}, "It went wrong. Do this."),
        ({"endpoint": "https://e.test/t"}, "It went wrong (at https://e.test/t)."),
        (
            {"endpoint": "https://e.test/t", "advice": "Do this."},
            "It went wrong (at https://e.test/t). Do this.",
        ),
    ],
)
def test_the_text_of_an_error(fields, text):
    """The text is one paragraph: what happened, where, and what to do."""
    assert str(SmartError("It went wrong.", **fields)) == text


def test_an_endpoint_is_named_once():
    """An endpoint that the message names already is not repeated."""
    error = SmartError("https://e.test/t said no.", endpoint="https://e.test/t", advice="Ask.")
    assert str(error) == "https://e.test/t said no. Ask."


def test_defaults():
    """What is not known is None or empty, and a transport error claims nothing it does not know."""
    assert ConfigurationError("x").field is None
    assert (TransportError("x").sent, TransportError("x").status) == (None, None)
    assert issubclass(OutcomeUnknownError, TransportError)
    assert (ProtocolError("x").status, ProtocolError("x").received) == (None, ())
    assert (OAuthError("x").error, OAuthError("x").received, OAuthError("x").retry_after) == (None, (), None)


def test_oauth_words():
    """The server's words can be had under OAuth's names and under short ones."""
    error = OAuthError("x", error="invalid_grant", error_description="too old", error_uri="https://e.test/h")
    assert (
        (error.description, error.uri)
        == (error.error_description, error.error_uri)
        == ("too old", "https://e.test/h")
    )
