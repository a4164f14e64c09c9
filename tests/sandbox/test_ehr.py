"""The sandbox as one object."""

from __future__ import annotations

import subprocess
import sys
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from smart_async.errors import ConfigurationError, OAuthError
from smart_async.sandbox import Sandbox


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"base_url": "http://sandbox.example"}, "base_url"),
        ({"base_url": "https://sandbox.example/tenant"}, "base_url"),
        ({"base_url": "sandbox"}, "base_url"),
        ({"patient": "nobody"}, "patient"),
        ({"user": "Practitioner/nobody"}, "user"),
        ({"user": "nonsense"}, "user"),
    ],
)
def test_settings(settings, field):
    """An unusable setting is named."""
    with pytest.raises(ConfigurationError) as caught:
        Sandbox(**settings)
    assert caught.value.field == field


def test_addresses():
    """All URLs follow from the base URL."""
    sandbox = Sandbox(base_url="http://127.0.0.1:8080/")
    assert (sandbox.base_url, sandbox.issuer) == ("http://127.0.0.1:8080", "http://127.0.0.1:8080")
    assert sandbox.fhir_base == "http://127.0.0.1:8080/fhir"
    assert sandbox.token_endpoint == "http://127.0.0.1:8080/oauth2/token"
    assert len(sandbox.patients) == 9


@pytest.mark.parametrize("as_form", [False, True])
def test_authorize(hand, as_form):
    """The browser's part is done in memory, by GET and by POST."""
    url, fields = f"{hand.sandbox.base_url}/oauth2/authorize", hand.authorization()
    callback = (
        hand.sandbox.authorize(url, fields)
        if as_form
        else hand.sandbox.authorize(f"{url}?{urlencode(fields)}")
    )
    assert dict(parse_qsl(urlsplit(callback).query))["state"] == fields["state"]
    assert hand.sandbox.requests[-1].method == ("POST" if as_form else "GET")


def test_authorize_that_ends_on_a_page(hand):
    """Where the browser is not sent back, the error says why."""
    with pytest.raises(OAuthError) as caught:
        hand.sandbox.authorize(f"{hand.sandbox.base_url}/oauth2/authorize?client_id=nobody")
    assert (caught.value.status, caught.value.error) == (400, "invalid_request")
    assert "client_id" in caught.value.description


def test_authorize_somewhere_else(sandbox):
    """A page that judges nothing is an error too."""
    with pytest.raises(OAuthError):
        sandbox.authorize(sandbox.base_url + "/nothing")


@pytest.mark.parametrize(
    "launch_url", ["https://app.example.com/launch", "https://app.example.com/launch?a=b"]
)
def test_launch_url(hand, launch_url):
    """The launch URL carries the FHIR base and a handle that works."""
    url = hand.sandbox.launch_url(launch_url, patient="patient-ember", intent="x")
    parameters = dict(parse_qsl(urlsplit(url).query))
    token = hand.login(launch=parameters["launch"], scope="launch patient/*.rs")
    assert (url.startswith(launch_url), parameters["iss"]) == (True, hand.sandbox.fhir_base)
    assert (token["patient"], token["intent"]) == ("patient-ember", "x")


@pytest.mark.parametrize(
    ("context", "field"),
    [
        ({"patient": "nobody"}, "patient"),
        ({"patient": "patient-amber", "encounter": "nothing"}, "encounter"),
        ({"patient": "patient-amber", "encounter": "encounter-basil-1"}, "encounter"),
        ({"encounter": "encounter-basil-1"}, "encounter"),
    ],
)
def test_launch_context_must_exist(sandbox, context, field):
    """A chart that does not exist cannot be opened."""
    with pytest.raises(ConfigurationError) as caught:
        sandbox.new_launch(**context)
    assert caught.value.field == field


def test_another_patient_and_user(make_hand):
    """Patient and user of standalone launches can be chosen."""
    hand = make_hand(patient="patient-fable", user="Patient/patient-fable")
    assert hand.login()["patient"] == "patient-fable"


def test_revoke_tokens(hand):
    """Tokens can be voided from outside: of one client, or all."""
    token = hand.login()["access_token"]
    hand.sandbox.revoke_tokens("public")
    assert hand.read("Patient/patient-amber", token).status == 200
    hand.sandbox.revoke_tokens("asymmetric")
    assert hand.read("Patient/patient-amber", token).status == 401
    token = hand.login()
    hand.sandbox.revoke_tokens()
    assert hand.refresh(token["refresh_token"]).status == 400


@pytest.mark.parametrize("missing", ["jinja2", "starlette", "uvicorn"])
def test_missing_extra(missing):
    """Without the extra's packages the error names the pip line."""
    code = f"import sys; sys.modules[{missing!r}] = None\nimport smart_async.sandbox"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'pip install "smart-async[sandbox]"' in done.stderr.splitlines()[-1]
