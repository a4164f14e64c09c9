"""Clients without a key: Basic in two encodings, the form, and no authentication at all."""

from __future__ import annotations

import pickle
from base64 import b64decode
from dataclasses import replace

import pytest

from smart_async import ClientSecret, ConfigurationError, PublicClient, Secret
from smart_async.smart.client_auth import Authentication
from smart_async.smart.grants import request_token


def authenticate(script, auth, config, metadata, state):
    found = script.run(auth.authenticate(config, metadata, "https://x.example", entropy=state.entropy))
    assert script.steps == []
    return found


@pytest.fixture
def secret_config(config):
    """The registration of the reference's example."""
    return replace(config, client_id="chart-widget", client_auth=ClientSecret("m0ss-GREEN-kettle"))


@pytest.mark.rule("TK-09", "TK-06", "TK-07", "TK-10")
def test_basic(script, secret_config, metadata, state):
    """The published example, byte for byte, and nothing in the body."""
    found = authenticate(script, secret_config.client_auth, secret_config, metadata, state)
    assert found == Authentication(
        headers=(("Authorization", "Basic Y2hhcnQtd2lkZ2V0Om0wc3MtR1JFRU4ta2V0dGxl"),)
    )


@pytest.mark.rule("TK-09")
@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("literal", "Y2hhcnQgd2lkZ2V0OnBAc3M6dy9yZCsx"),
        ("form", "Y2hhcnQrd2lkZ2V0OnAlNDBzcyUzQXclMkZyZCUyQjE="),
    ],
)
def test_the_two_encodings(script, config, metadata, state, encoding, expected):
    """Id and secret with reserved characters: as they are, or form-encoded first (RFC 6749)."""
    auth = ClientSecret("p@ss:w/rd+1", basic_encoding=encoding)
    config = replace(config, client_id="chart widget", client_auth=auth)
    found = authenticate(script, auth, config, metadata, state)
    assert found.headers == (("Authorization", f"Basic {expected}"),)


@pytest.mark.rule("TK-09")
def test_text_is_utf8(script, config, metadata, state):
    """A secret of other than ASCII characters is sent as UTF-8."""
    auth = ClientSecret("schlüssel")
    found = authenticate(script, auth, config, metadata, state)
    assert b64decode(found.headers[0][1].removeprefix("Basic ")).decode() == "growth-chart:schlüssel"


@pytest.mark.rule("TK-09")
def test_a_colon_in_the_id(config):
    """Literally encoded, such an id would be cut in two; the advice names the ways out."""
    with pytest.raises(ConfigurationError, match="colon") as caught:
        replace(config, client_id="urn:app", client_auth=ClientSecret("s"))
    assert caught.value.field == "client_id"
    assert "basic_encoding" in str(caught.value.advice)
    for auth in (ClientSecret("s", basic_encoding="form"), ClientSecret("s", method="post")):
        assert replace(config, client_id="urn:app", client_auth=auth)


def test_a_colon_in_the_id_form_encoded(script, config, metadata, state):
    """Form-encoded, the colon of the id is not the one in between."""
    auth = ClientSecret("s", basic_encoding="form")
    config = replace(config, client_id="urn:app", client_auth=auth)
    found = authenticate(script, auth, config, metadata, state)
    assert b64decode(found.headers[0][1].removeprefix("Basic ")) == b"urn%3Aapp:s"


@pytest.mark.rule("TK-10")
def test_post(script, config, metadata, state):
    """In the form both go into the body, and nothing into a header; encodings do not matter."""
    auth = ClientSecret("p@ss:w/rd+1", method="post", basic_encoding="form")
    assert authenticate(script, auth, config, metadata, state) == Authentication(
        fields=(("client_id", "growth-chart"), ("client_secret", "p@ss:w/rd+1"))
    )


@pytest.mark.rule("TK-06")
def test_client_id_beside_basic(script, secret_config, metadata, state):
    """Some servers insist on client_id in the body; it is off unless asked for, and never doubled."""
    config = replace(secret_config, client_id_in_body=True)
    found = authenticate(script, config.client_auth, config, metadata, state)
    assert found.fields == (("client_id", "chart-widget"),)
    posted = authenticate(script, ClientSecret("s", method="post"), config, metadata, state)
    assert [name for name, _ in posted.fields] == ["client_id", "client_secret"]


@pytest.mark.rule("TK-05")
@pytest.mark.parametrize("in_body", [False, True])
def test_public(script, config, metadata, state, in_body):
    """A public client names itself, once, and proves nothing."""
    config = replace(config, client_auth=PublicClient(), client_id_in_body=in_body)
    found = authenticate(script, config.client_auth, config, metadata, state)
    assert found == Authentication(fields=(("client_id", "growth-chart"),))


@pytest.mark.rule("TK-05", "TK-06", "TK-07", "TK-08", "TK-10")
@pytest.mark.parametrize(
    ("auth", "header", "fields"),
    [
        (None, False, ["grant_type", "client_assertion_type", "client_assertion"]),
        (ClientSecret("s3"), True, ["grant_type"]),
        (ClientSecret("s3", method="post"), False, ["grant_type", "client_id", "client_secret"]),
        (PublicClient(), False, ["grant_type", "client_id"]),
    ],
)
def test_one_method_in_one_request(script, state, metadata, json_response, form_of, auth, header, fields):
    """Each client type in a token request, at a server that offers both kinds: never two methods at once."""
    assert metadata.token_endpoint_auth_methods_supported == ("client_secret_basic", "private_key_jwt")
    if auth is not None:
        state.config = replace(state.config, client_auth=auth)
    script.answer(json_response({}))
    script.run(request_token(state, metadata, (("grant_type", "x"),), once=False))
    request = script.requests[0]
    assert ("authorization" in request.headers, list(form_of(request))) == (header, fields)


@pytest.mark.parametrize("secret", ["", Secret(""), b"s", None, 5, "a\nb", "a\0", "\x7f", "\ud800"])
def test_secrets_that_cannot_be_sent(secret):
    """Empty, not text, or with characters that no header and no form can hold; it is not quoted."""
    with pytest.raises(ConfigurationError) as caught:
        ClientSecret(secret)
    assert caught.value.field == "client_auth"
    assert "a\nb" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"), [("method", "Basic"), ("method", None), ("basic_encoding", "raw"), ("method", [])]
)
def test_unknown_options(field, value):
    """An option that does not exist is refused, naming the ones that do."""
    with pytest.raises(ConfigurationError) as caught:
        ClientSecret("s", **{field: value})
    assert (caught.value.field, " or " in caught.value.message) == (field, True)


@pytest.mark.parametrize("secret", ["m0ss-GREEN-kettle", Secret("m0ss-GREEN-kettle")])
def test_the_secret_is_never_shown(config, secret):
    """No repr holds it, whether it came as text or wrapped, and no pickle does."""
    auth = ClientSecret(secret)
    shown = f"{auth!r} {auth} {replace(config, client_auth=auth)!r}"
    assert "m0ss" not in shown
    assert auth == ClientSecret("m0ss-GREEN-kettle") != ClientSecret("another")
    with pytest.raises(TypeError):
        pickle.dumps(auth)


def test_every_configuration_suits_a_public_client(config):
    """What a public client cannot do is refused where it is done."""
    assert PublicClient().check(config) is None
