"""Endpoints out of a CapabilityStatement, however its extension is written."""

from __future__ import annotations

from copy import deepcopy

import pytest

from smart_async import DiscoveryError, Limits
from smart_async.messages import Headers, Response
from smart_async.smart.capability_statement import (
    capability_statement_request,
    openid_configuration_members,
    parse_capability_statement,
)

OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
AUTHORIZE = {"url": "authorize", "valueUri": "https://a.example/authorize"}
TOKEN = {"url": "token", "valueUri": "https://a.example/token"}
STATEMENT = {
    "resourceType": "CapabilityStatement",
    "rest": [
        {
            "mode": "server",
            "security": {"extension": [{"url": OAUTH_URIS, "extension": [AUTHORIZE, TOKEN]}]},
        }
    ],
}


@pytest.fixture
def statement():
    return deepcopy(STATEMENT)


@pytest.fixture
def read(json_response):
    def parse(document, **options):
        return parse_capability_statement(json_response(document), **options)

    return parse


def uris(*members, url=OAUTH_URIS):
    return {"url": url, "extension": list(members)}


def with_extensions(*extensions):
    return {"rest": [{"mode": "server", "security": {"extension": list(extensions)}}]}


@pytest.mark.rule("DI-14")
@pytest.mark.parametrize("base", ["https://a.example/r4", "https://a.example/r4/"])
def test_the_request(base):
    """One slash, JSON asked for because XML is the default of some, no credentials, room for a large one."""
    request = capability_statement_request(base, headers=(("Epic-Client-ID", "x"),))
    assert (request.method, request.url, request.body) == ("GET", "https://a.example/r4/metadata", None)
    assert dict(request.headers) == {
        "accept": "application/fhir+json, application/json;q=0.9",
        "epic-client-id": "x",
    }
    assert request.max_bytes == Limits().capability_statement_bytes
    assert capability_statement_request(base, limits=Limits(capability_statement_bytes=5)).max_bytes == 5


def test_all_six_endpoints(read):
    """Each sub-extension has a member of the smart-configuration; others are passed by."""
    names = ("authorize", "token", "register", "introspect", "revoke", "manage", "other")
    document = with_extensions(
        uris(*({"url": name, "valueUri": f"https://a.example/{name}"} for name in names))
    )
    assert read(document) == {
        "authorization_endpoint": "https://a.example/authorize",
        "token_endpoint": "https://a.example/token",
        "registration_endpoint": "https://a.example/register",
        "introspection_endpoint": "https://a.example/introspect",
        "revocation_endpoint": "https://a.example/revoke",
        "management_endpoint": "https://a.example/manage",
    }


@pytest.mark.parametrize("key", ["valueUri", "valueUrl", "valueString"])
def test_any_of_three_types_of_value(read, key):
    """FHIR versions differ in how they type a URL."""
    assert read(with_extensions(uris({"url": "token", key: "https://a.example/t"}))) == {
        "token_endpoint": "https://a.example/t"
    }


@pytest.mark.parametrize(
    "odd",
    [
        {"url": "https://a.example/revoke", "valueUri": "revoke"},
        {"url": "token", "valueUri": ""},
        {"url": "token", "valueUri": None, "valueCode": "x"},
        {"url": "token", "valueUri": 5},
        {"url": "token"},
        {"url": 5, "valueUri": "https://a.example/x"},
        {"valueUri": "https://a.example/x"},
        {},
        None,
        "token",
        [],
    ],
)
def test_odd_sub_extensions_are_skipped(read, odd):
    """What is malformed, a name and a value that changed places among it, does not hide the others."""
    assert read(with_extensions(uris(odd, AUTHORIZE, TOKEN))) == {
        "authorization_endpoint": "https://a.example/authorize",
        "token_endpoint": "https://a.example/token",
    }


def test_the_first_of_duplicates_counts(read):
    """A second sub-extension of the same name changes nothing."""
    again = {"url": "token", "valueUri": "https://evil.example/token"}
    assert read(with_extensions(uris(TOKEN, again))) == {"token_endpoint": "https://a.example/token"}


@pytest.mark.parametrize("order", [1, -1])
def test_the_exact_url_comes_first(read, order):
    """An extension that only ends alike is read where no exact one helps."""
    alike = uris({"url": "token", "valueUri": "https://old.example/token"}, url="http://DSTU2/x/oauth-uris")
    assert read(with_extensions(*[alike, uris(TOKEN)][::order])) == {"token_endpoint": TOKEN["valueUri"]}
    assert read(with_extensions(*[alike, uris()][::order])) == {"token_endpoint": "https://old.example/token"}
    assert read(with_extensions(alike)) == {"token_endpoint": "https://old.example/token"}


def test_the_flat_form(read):
    """Before the extension was nested, each endpoint was one of its own; names without the mark are not."""
    flat = [
        {"url": f"{OAUTH_URIS}#authorize", "valueUri": "https://a.example/authorize"},
        {"url": f"{OAUTH_URIS}#token", "valueUri": "https://a.example/token"},
        {"url": f"{OAUTH_URIS}#nonsense", "valueUri": "https://a.example/x"},
        {"url": "register", "valueUri": "https://a.example/register"},
    ]
    assert read(with_extensions(*flat)) == {
        "authorization_endpoint": "https://a.example/authorize",
        "token_endpoint": "https://a.example/token",
    }


def test_the_first_server_that_carries_them(read, statement):
    """Entries of a client, entries without security and empty ones are passed by."""
    other = {
        "mode": "client",
        "security": {"extension": [uris({"url": "token", "valueUri": "https://c.example"})]},
    }
    statement["rest"] = [
        None,
        other,
        {"mode": "server"},
        {"mode": "server", "security": []},
        {"mode": "server", "security": {"extension": [None, 5, {"url": 7}]}},
        *statement["rest"],
    ]
    assert read(statement)["token_endpoint"] == "https://a.example/token"


def test_a_mode_that_is_not_there_is_a_server(read, statement):
    """The mode is required, and guessed where it is missing."""
    del statement["rest"][0]["mode"]
    assert read(statement)["token_endpoint"] == "https://a.example/token"


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"rest": None},
        {"rest": {}},
        {"rest": []},
        {"rest": [{"mode": "server", "security": {}}]},
        {"rest": [{"mode": "server", "security": {"extension": {}}}]},
        with_extensions({"url": OAUTH_URIS}),
        with_extensions({"url": OAUTH_URIS, "extension": "x"}),
        with_extensions({"url": "https://a.example/other", "extension": [TOKEN]}),
        {"resourceType": "OperationOutcome"},
    ],
)
def test_no_endpoints_at_all(read, document):
    """The error says what is missing, and what to configure in its place."""
    with pytest.raises(DiscoveryError, match="names no OAuth endpoints") as caught:
        read(document)
    assert "token_endpoint" in str(caught.value)


@pytest.mark.parametrize(("status", "advice"), [(404, "Check the FHIR base"), (503, "try again later")])
def test_a_failure(json_response, status, advice):
    """The status is on the error, and decides what it advises."""
    with pytest.raises(DiscoveryError, match=advice) as caught:
        parse_capability_statement(json_response(STATEMENT, status))
    assert caught.value.status == status


@pytest.mark.parametrize("body", [b"<CapabilityStatement/>", b"[]", b"", b"{"])
def test_what_is_no_statement(body):
    """XML, arrays and halves are one kind of error."""
    with pytest.raises(DiscoveryError):
        parse_capability_statement(Response(status=200, body=body))


def test_a_large_one_is_read(read, statement, json_response):
    """Far beyond what any other document may have; limits of the client hold all the same."""
    statement["padding"] = [{"a": "b" * 50} for _ in range(15_000)]
    assert read(statement)["token_endpoint"] == "https://a.example/token"
    with pytest.raises(DiscoveryError):
        read(statement, limits=Limits(capability_statement_members=10_000))
    with pytest.raises(DiscoveryError):
        read(statement, limits=Limits(capability_statement_bytes=100_000))


def test_the_media_type_is_not_looked_at():
    """The body decides."""
    import json

    headers = Headers({"Content-Type": "application/json+fhir"})
    response = Response(status=200, headers=headers, body=json.dumps(STATEMENT).encode())
    assert parse_capability_statement(response)["token_endpoint"] == "https://a.example/token"


def test_openid_members():
    """Only what a smart-configuration has too is taken over."""
    found = openid_configuration_members(
        {"issuer": "i", "jwks_uri": None, "userinfo_endpoint": "u", "capabilities": ["launch-ehr"]}
    )
    assert found == {"issuer": "i", "jwks_uri": None}
