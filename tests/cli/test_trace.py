"""What is made of an exchange before it is shown: also of broken ones."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from dataclasses import replace

import pytest

from smart_async.cli.captions import remarks
from smart_async.cli.masking import SECRETS, Masker
from smart_async.cli.trace import Shown, show
from smart_async.errors import TransportError
from smart_async.messages import FORM, Headers, Request, Response, form_body
from smart_async.transports import Exchange, json_response

URL = "https://ehr.example.com/token"


def token_request(**fields: str) -> Request:
    return Request(
        method="POST",
        url=URL,
        purpose="token",
        headers=Headers({"Content-Type": FORM}),
        body=form_body({"grant_type": "client_credentials", **fields}.items()),
    )


def seen(request: Request, response: Response | None = None, error: Exception | None = None) -> Shown:
    exchange = Exchange(request=request, response=response, error=error, seconds=0.5)
    return show(exchange, Masker(), number=1, sender="App", receiver="EHR")


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_secret_members_are_masked_wherever_they_are(name: str) -> None:
    """A secret member is masked in forms, in queries, in redirects and in bodies at any depth."""
    value = "tell-nobody-about-this"
    location = Headers(
        {"location": f"https://a.example/cb?{name}={value}", "content-type": "application/json"}
    )
    body = b'{"x": [{"%s": "%s"}]}' % (name.encode(), value.encode())
    request = replace(token_request(**{name: value}), url=f"{URL}?{name}={value}")
    shown = seen(request, Response(status=302, headers=location, body=body))
    assert (value in str(shown.members()), value in repr(shown)) == (False, False)
    assert shown.redirect == {name: "<secret 1, 22 characters>"} == shown.query


def test_a_secret_is_recognised_in_other_places() -> None:
    """A secret that turns up where none is expected, say in a server's error text, is masked there too."""
    refusal = json_response(
        {"error": "invalid_grant", "error_description": "bad code abcdefgh-123"}, status=400
    )
    shown = seen(token_request(code="abcdefgh-123"), refusal)
    failed = seen(token_request(code="abcdefgh-123"), error=TransportError("sent abcdefgh-123"))
    assert shown.answer["error_description"] == "bad code <secret 1, 12 characters>"
    assert (failed.problem, failed.status) == ("TransportError: sent <secret 1, 12 characters>", None)


def test_credentials_in_the_header_are_masked() -> None:
    """Of an Authorization header only the scheme is shown."""
    request = Request(method="GET", url=URL, purpose="fhir", headers=Headers({"Authorization": "Bearer abc"}))
    assert seen(request).headers == {"Authorization": "Bearer <secret 1, 3 characters>"}


def test_other_headers_are_left_out() -> None:
    """A cookie, or whatever else a server sends, is not shown."""
    response = Response(status=200, headers=Headers({"set-cookie": "a=b", "content-type": "text/plain"}))
    assert seen(token_request(), response).answer_headers == {"Content-Type": "text/plain"}


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b"{", b"\xff"])
def test_an_answer_that_is_no_object_has_no_members(body: bytes) -> None:
    """Whatever a server answers can be shown."""
    assert seen(token_request(), Response(status=200, body=body)).answer == {}


@pytest.mark.parametrize("part", ["", "!", "bm9wZQ", urlsafe_b64encode(b"[1]").decode(), "\xff"])
def test_an_assertion_that_cannot_be_decoded_shows_nothing(part: str) -> None:
    """A broken assertion is shown as empty, its signature still masked."""
    assertion = seen(token_request(client_assertion=f"{part}.{part}.signature")).assertion
    assert assertion
    assert (assertion.header, assertion.claims, "secret" in assertion.signature) == ({}, {}, True)


@pytest.mark.parametrize("jwt", ["a.b", "a.b.c.d", ""])
def test_what_is_no_assertion_is_not_decoded(jwt: str) -> None:
    """Something that does not have three parts is no JWT."""
    assert seen(token_request(client_assertion=jwt)).assertion is None


def test_a_form_is_read_only_as_a_form() -> None:
    """A body of another media type is not taken for a form."""
    request = replace(token_request(), headers=Headers({"Content-Type": "text/plain"}))
    assert (seen(request).form, seen(request).kind) == ({}, "token")


@pytest.mark.rule("AL-16")
def test_the_challenge_can_be_compared() -> None:
    """Beside a verifier stands its digest: the challenge of the login (the example of RFC 7636)."""
    shown = seen(token_request(code_verifier="dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"))
    assert shown.derived == {"SHA-256(code_verifier)": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}


def test_the_remarkable_is_remarked() -> None:
    """A replaced refresh token and a change of keys are pointed out; their absence is not."""

    def signed(kid: str) -> str:
        return urlsafe_b64encode(b'{"kid": "%s"}' % kid.encode()).decode() + ".e30.sig"

    same = seen(token_request(refresh_token="old", client_assertion=signed("a")), json_response({"x": 1}))
    other = seen(
        token_request(refresh_token="old", client_assertion=signed("b")),
        json_response({"refresh_token": "new"}),
    )
    assert (remarks(same, None), remarks(same, same), len(remarks(other, same))) == ([], [], 2)
