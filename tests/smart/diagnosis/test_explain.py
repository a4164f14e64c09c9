"""Any error of ours in plain words."""

from __future__ import annotations

import json

import pytest

from smart_async import errors
from smart_async.errors import ConfigurationError, DiscoveryError, OAuthError, SmartError, TransportError
from smart_async.smart.diagnosis import explain
from smart_async.smart.diagnosis.explain import suspects

KINDS = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_is_explained(kind: type[SmartError]) -> None:
    """Each class has a meaning, its advice becomes a step, and all of it is JSON."""
    found = explain(kind("What happened.", advice="Do this."))
    assert (bool(found.meaning), found.steps[0]) == (True, "Do this.")
    assert json.loads(json.dumps(found.to_dict()))["meaning"] == found.meaning
    assert found.meaning in str(found)


def test_an_error_without_advice_has_no_steps() -> None:
    """Nothing is made up."""
    assert explain(SmartError("What happened.")).steps == ()


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ConfigurationError("The key file /k is empty.", field="path"), "key-unreadable"),
        (
            ConfigurationError(
                "The key signs with ES384, and the server accepts only RS384.", field="client_auth"
            ),
            "algorithm",
        ),
        (ConfigurationError("The setting is odd.", field="aud"), "configuration"),
        (TransportError("The name of the host cannot be resolved."), "host-unknown"),
        (DiscoveryError("The server answered 404 to discovery.", status=404), "discovery-missing"),
        (DiscoveryError("The server answered 503 to discovery.", status=503), "discovery-failing"),
        (DiscoveryError("It is no JSON.", status=200), "discovery-invalid"),
        (errors.TokenResponseError("There is no access_token."), "token-response-broken"),
        (OAuthError("no", error="invalid_scope", status=400), "scope-not-allowed"),
        (OAuthError("no", error="invalid_client", error_description="Invalid audience"), "aud-wrong"),
        (OAuthError("no", error="invalid_client"), "client-unknown"),
    ],
)
def test_the_first_cause(error: SmartError, cause: str) -> None:
    """What is likely comes first."""
    assert explain(error).causes[0].id == cause


def test_an_error_with_no_usual_cause() -> None:
    """Where only the message helps there is no list."""
    assert explain(errors.StoreError("The disk is full.")).causes == ()


def test_vendor_server_and_steps() -> None:
    """The make's notes, the server's words, and where to go with them."""
    error = OAuthError(
        "no",
        endpoint="https://authorization.cerner.com/token",
        error="invalid_client",
        status=401,
        error_uri="https://authorization.cerner.com/errors/1",
        correlation_id="c-1",
    )
    found = explain(error)
    assert (found.vendor, found.server["correlation_id"]) == ("oracle-health", "c-1")
    assert any("smart-async doctor --try" in step for step in found.steps)
    assert any("correlation id" in step for step in found.steps)
    assert "The server's correlation_id: c-1" in str(found)


def test_suspects_differ_by_make() -> None:
    """The set is the same, the order is the make's."""
    assert (sorted(suspects("epic")), suspects("epic")[1]) == (sorted(suspects(None)), "client-not-active")
