"""A registration as a value: stored, restored, and made into a configuration."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from smart_async import (
    ClientMetadata,
    ClientRegistration,
    ClientSecret,
    ConfigurationError,
    Finding,
    PrivateKeyJWT,
    PublicClient,
    Secret,
    SigningKey,
)

ENDPOINT = "https://sso.example.com/oauth2/register"
CALLBACK = "https://app.example.com/callback"


@pytest.fixture
def registration(signing_key: SigningKey, binding: Any) -> ClientRegistration:
    return ClientRegistration(
        client_id="new-client",
        client_secret=Secret("s3cr3t"),
        client_secret_expires_at=1_800_000_000.0,
        client_id_issued_at=1_750_000_000.0,
        registration_access_token=Secret("rat-77aa"),
        registration_client_uri=f"{ENDPOINT}/new-client",
        metadata=ClientMetadata.for_app(
            signing_key, redirect_uris=[CALLBACK, f"{CALLBACK}/2"], scope="openid", extra={"x": [1]}
        ),
        findings=(Finding(rule="registration-silent", severity="warning", message="m", advice="a"),),
        raw={"client_id": "new-client", "client_secret": Secret("s3cr3t"), "x": {"y": None}},
        binding=replace(binding, client_id="new-client"),
        registration_endpoint=ENDPOINT,
    )


def test_it_is_stored_and_restored_whole(registration):
    """What to_json wrote, from_json reads, secrets included; bytes do as well."""
    text = registration.to_json()
    assert ClientRegistration.from_json(text) == registration
    assert ClientRegistration.from_json(text.encode()) == registration
    bare = replace(
        registration,
        client_secret=None,
        client_secret_expires_at=None,
        client_id_issued_at=None,
        registration_access_token=None,
        registration_client_uri=None,
        findings=(),
    )
    assert ClientRegistration.from_json(bare.to_json()) == bare
    members = json.loads(text)
    assert (members["version"], members["type"]) == (1, "registration")
    assert (members["fhir_base"], members["registration_endpoint"]) == (
        "https://ehr.example.com/r4",
        ENDPOINT,
    )


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("version", 2),
        ("type", "token"),
        ("client_id", None),
        ("fhir_base", 5),
        ("registration_endpoint", None),
        ("registration_endpoint", "https://evil.example/register"),
        ("registration_client_uri", "https://evil.example/new-client"),
        ("registration_client_uri", 7),
        ("registration_access_token", "a b"),
        ("registration_access_token", 7),
        ("client_secret", 7),
        ("client_secret_expires_at", "soon"),
        ("client_id_issued_at", True),
        ("metadata", []),
        ("metadata", {"redirect_uris": "x"}),
        ("findings", [["a", "fatal", "b", "c"]]),
        ("findings", [["a", "error", 1, "c"]]),
        ("findings", 3),
        ("response", None),
    ],
)
def test_a_changed_store_is_refused(registration, member, value):
    """A stored registration with one thing changed is refused, and no secret is in the error."""
    members = {**json.loads(registration.to_json()), member: value}
    with pytest.raises(ConfigurationError, match="not a registration") as caught:
        ClientRegistration.from_json(json.dumps(members))
    assert "s3cr3t" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", b"\xff", "{" * 100, '{"version": 1}'])
def test_other_text_is_refused(text):
    """Whatever else lies in the store is an error of ours."""
    with pytest.raises(ConfigurationError):
        ClientRegistration.from_json(text)


def test_secrets_stay_out_of_reprs(registration):
    """A repr names the client and where it is managed, and nothing to act as it with."""
    text = repr(registration)
    assert text == (
        "<ClientRegistration new-client at https://ehr.example.com/r4, private_key_jwt, with secret, "
        f"registration_client_uri={ENDPOINT}/new-client>"
    )
    assert "no secret" in repr(replace(registration, client_secret=None))


def test_the_secret_ends_when_the_server_said(registration):
    """A secret works until its end, and one without an end for ever."""
    assert not registration.secret_expired(1_799_999_999.9)
    assert registration.secret_expired(1_800_000_000.0)
    assert not replace(registration, client_secret_expires_at=None).secret_expired(4e9)


def method(registration: ClientRegistration, name: str | None) -> ClientRegistration:
    return replace(registration, metadata=replace(registration.metadata, token_endpoint_auth_method=name))


def test_the_configuration_keeps_its_key(registration, config):
    """A client registered with its key goes on with that key, under its new id."""
    finished = registration.config(config)
    assert finished == replace(config, client_id="new-client")


@pytest.mark.parametrize(
    ("name", "auth"),
    [
        ("client_secret_basic", ClientSecret("s3cr3t")),
        ("client_secret_post", ClientSecret("s3cr3t", "post")),
        (None, ClientSecret("s3cr3t")),
        ("none", PublicClient()),
    ],
)
def test_the_configuration_authenticates_as_registered(registration, config, name, auth):
    """The method that the server registered decides; unnamed, it is client_secret_basic."""
    assert method(registration, name).config(config).client_auth == auth


def test_a_registered_redirect_uri_is_taken(registration, config):
    """Where the configuration has no redirect URI, the first registered one becomes it."""
    empty = replace(config, redirect_uri=None)
    assert registration.config(empty).redirect_uri == CALLBACK
    assert registration.config(config).redirect_uri == config.redirect_uri
    backend = replace(registration, metadata=replace(registration.metadata, redirect_uris=None))
    assert backend.config(empty).redirect_uri is None


@pytest.mark.parametrize("name", ["private_key_jwt", "client_secret_jwt", "tls_client_auth"])
def test_what_cannot_be_done_is_said(registration, config, signing_key, name):
    """Where the configuration has nothing to authenticate with as registered, the caller gives it."""
    public = replace(config, client_auth=PublicClient())
    with pytest.raises(ConfigurationError, match=name) as caught:
        method(registration, name).config(public)
    assert caught.value.field == "client_auth"
    auth = PrivateKeyJWT(signing_key)
    assert method(registration, name).config(public, client_auth=auth).client_auth == auth


def test_a_missing_secret_is_said(registration, config):
    """A client with a secret that never came cannot authenticate."""
    with pytest.raises(ConfigurationError, match="client_secret_basic"):
        replace(method(registration, "client_secret_basic"), client_secret=None).config(config)


def test_it_belongs_to_one_server(registration, config):
    """A registration makes no configuration for another server."""
    with pytest.raises(ConfigurationError, match=r"not at https://other\.example\.com"):
        registration.config(replace(config, fhir_base="https://other.example.com/r4"))


def test_no_frame_shows_what_was_stored(registration):
    """Error reporters show the variables of every frame; the stored text is in none of ours."""
    text = registration.to_json().replace('"registration"', '"other"')
    with pytest.raises(ConfigurationError) as caught:
        ClientRegistration.from_json(text)
    frames = [entry.frame.f_locals for entry in caught.traceback[1:]]
    assert len(frames) == 1
    assert "s3cr3t" not in repr(frames)
