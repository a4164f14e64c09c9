"""What a callback brings along beside its code decides nothing."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote, urlencode

import pytest

from smart_async.errors import CallbackError, OAuthError
from smart_async.smart.authorization import authorize
from smart_async.smart.callback import exchange_code, parse_callback

EVIL = "https://evil.example/steal"
ADDRESSES = dict.fromkeys(
    (
        *("next", "redirect_uri", "return_to", "url", "aud", "fhir_base", "error_uri"),
        *("token_endpoint", "jwks_uri", "server", "session_state"),
    ),
    EVIL,
)


@pytest.fixture
def pending(script, state, document, json_response):
    """A login without openid, so that its exchange is one request."""
    state.config = replace(state.config, scope="launch/patient patient/*.rs")
    script.answer(json_response(document))
    return script.run(authorize(state))


@pytest.mark.rule("CB-06", "CB-07")
@pytest.mark.parametrize("as_url", [True, False])
def test_no_address_in_it_is_followed(script, state, pending, token_document, json_response, form_of, as_url):
    """The code goes to the recorded token endpoint, with the recorded redirect URI, and nowhere else."""
    callback = {**ADDRESSES, "state": pending.state, "code": "c-1"}
    script.answer(json_response(token_document))
    script.run(
        exchange_code(state, pending, f"{pending.redirect_uri}?{urlencode(callback)}" if as_url else callback)
    )
    _, request = script.requests
    assert request.url == pending.binding.token_endpoint
    form = form_of(request)
    assert (form["code"], form["redirect_uri"]) == ("c-1", pending.redirect_uri)
    assert set(form) == {
        *("grant_type", "code", "redirect_uri", "code_verifier"),
        *("client_assertion_type", "client_assertion"),
    }
    assert "evil" not in repr([*request.headers.items(), *form.items()])


@pytest.mark.rule("CB-05", "CB-07")
def test_the_page_about_an_error_is_not_fetched(script, state, pending):
    """error_uri is for people to read: it is handed on, and no request is made."""
    with pytest.raises(OAuthError) as caught:
        script.run(
            exchange_code(
                state, pending, {"state": pending.state, "error": "access_denied", "error_uri": EVIL}
            )
        )
    assert (caught.value.uri, len(script.requests)) == (EVIL, 1)
    assert caught.value.endpoint == pending.authorization_endpoint


@pytest.mark.rule("CB-08")
def test_what_it_says_is_text(pending):
    """An error message is one line of text; nothing in it drives a terminal or forges a line in a log."""
    said = "\x1b]0;owned\x07no\r\nERROR root: forged \u202egnp.exe"
    url = f"{pending.redirect_uri}?state={pending.state}&error=access_denied&error_description={quote(said)}"
    with pytest.raises(OAuthError) as caught:
        parse_callback(pending, url, now=pending.created_at)
    assert caught.value.description == "]0;ownedno ERROR root: forged gnp.exe"
    assert str(caught.value).isprintable()


@pytest.mark.rule("AL-11", "CB-01", "CB-02")
def test_two_logins_at_once_do_not_mix(script, state, document, json_response):
    """Each of two browsers has a login of its own; an answer that reaches the wrong one is refused unsent."""
    script.answer(json_response(document))
    one, other = script.run(authorize(state)), script.run(authorize(state))
    assert len(one.state) == len(other.state)
    for pending, answered in ((one, other), (other, one)):
        with pytest.raises(CallbackError, match="another login"):
            script.run(exchange_code(state, pending, {"state": answered.state, "code": "c-1"}))
    assert [request.purpose for request in script.requests] == ["discovery"]
