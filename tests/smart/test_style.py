"""The EHR's style: fetched without a token, from hosts that are known, as values and nothing more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smart_async import ConfigurationError, ProtocolError, SmartClient
from smart_async.messages import Headers, Response
from smart_async.smart.style import fetch_style, parse_style, style_request
from smart_async.smart.token_response import parse_token_response
from smart_async.transports.scripted import ScriptedTransport, json_response

STYLE = {
    "color_background": "#edeae3",
    "color_error": "#9e2d2d",
    "color_highlight": "#69b5ce",
    "color_modal_backdrop": "",
    "color_success": "#498e49",
    "color_text": "#303030",
    "dim_border_radius": "6px",
    "dim_font_size": "13px",
    "dim_spacing_size": "20px",
    "font_family_body": "Georgia, Times, 'Times New Roman', serif",
    "font_family_heading": "'HelveticaNeue-Light', Helvetica, Arial, sans-serif;",
}


@pytest.fixture
def token(token_document, json_response, binding):
    def make(url="https://ehr.example.com/style/v14.json"):
        document = {**token_document, "smart_style_url": url}
        return parse_token_response(json_response(document), binding=binding, requested_scope="")

    return make


def test_through_the_client(config, token):
    """One plain GET: no Authorization, no cookie, no body."""
    transport = ScriptedTransport(json_response({**STYLE, "x_vendor": 1}))
    style = SmartClient(config, transport=transport).fetch_style(token())
    (request,) = transport.requests
    assert (request.method, request.url, request.purpose, request.body) == (
        "GET",
        "https://ehr.example.com/style/v14.json",
        "style",
        None,
    )
    assert dict(request.headers) == {"accept": "application/json"}
    assert (style.url, style.values) == (request.url, STYLE)
    assert style.raw["x_vendor"] == 1
    assert "x_vendor" not in repr(style)


def test_no_style_no_request(config, token):
    """An EHR that names none is not asked for one."""
    transport = ScriptedTransport()
    assert SmartClient(config, transport=transport).fetch_style(token(None)) is None
    assert transport.requests == []


@pytest.mark.rule("CTX-11")
@pytest.mark.parametrize(
    "url",
    [
        "https://ehr.example.com/anything.json?v=2",
        "https://EHR.example.com:443/style.json",
        "https://sso.example.com/style.json",
        "https://cdn.example.com/style.json",
    ],
)
def test_known_origins(script, state, json_response, token, url):
    """The FHIR server's, the authorization server's, and those that are trusted by name."""
    state.config = replace(state.config, trusted_origins=("https://cdn.example.com",))
    script.answer(json_response(STYLE))
    assert script.run(fetch_style(state, token(url))).url == url


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/style.json",
        "https://ehr.example.com.evil.example/style.json",
        "https://ehr.example.com:8443/style.json",
        "https://169.254.169.254/latest/meta-data",
        "https://127.0.0.1/style.json",
        "https://[::1]/style.json",
        "http://127.0.0.1/style.json",
    ],
)
def test_unknown_origins(script, state, token, url):
    """The server's word alone sends no request anywhere; the error says how to trust the host."""
    with pytest.raises(ConfigurationError):
        script.run(fetch_style(state, token(url)))
    assert script.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "http://ehr.example.com/style.json",
        "/style.json",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "//evil.example/x",
        5,
    ],
)
def test_what_is_no_style_url(script, state, token, url):
    """It is dropped when the token is read, with a finding, so there is nothing to fetch."""
    received = token(url)
    assert received.context.smart_style_url is None
    assert {finding.rule for finding in received.findings} & {"CTX-11", "CTX-13"}
    assert script.run(fetch_style(state, received)) is None


@pytest.mark.parametrize("member", ["client_id", "fhir_base"])
def test_a_token_of_another_registration(script, state, token, member):
    """Its authorization server is nobody that this client knows."""
    other = {"client_id": "other", "fhir_base": "https://other.example/r4"}
    received = token()
    foreign = replace(received, binding=replace(received.binding, **{member: other[member]}))
    with pytest.raises(ConfigurationError):
        script.run(fetch_style(state, foreign))
    assert script.requests == []


def test_what_is_no_token(script, state):
    """The stored text of a token is not yet one."""
    with pytest.raises(ConfigurationError) as caught:
        script.run(fetch_style(state, "{}"))
    assert caught.value.field == "token"


@pytest.mark.parametrize("status", [301, 302, 404, 500])
def test_a_failure(json_response, status):
    """A redirect is one, too: nothing is followed."""
    with pytest.raises(ProtocolError) as caught:
        parse_style(json_response(STYLE, status, headers={"Location": "https://evil.example"}))
    assert caught.value.status == status


@pytest.mark.parametrize("body", [b"<html></html>", b"[]", b"body {}", b""])
def test_what_is_no_style(body):
    """Pages, lists and style sheets are refused."""
    with pytest.raises(ProtocolError):
        parse_style(Response(status=200, headers=Headers(), body=body))


def test_only_strings_are_values(json_response):
    """Whatever else stands where a value belongs is left out."""
    style = parse_style(json_response({"color_text": 5, "dim_font_size": None, "color_error": ["red"]}))
    assert style.values == {}


def test_limits():
    """The client's limits are those of the request."""
    from smart_async import Limits

    assert style_request("https://a.example/s", limits=Limits(document_bytes=7)).max_bytes == 7
