"""Two issuers with one token endpoint and one client id: the second is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smart_async import DiscoveryError
from smart_async.smart.discovery import discover
from smart_async.smart.issuers import KnownIssuers


def test_the_second_issuer_is_refused(metadata):
    """The first one keeps the endpoint, and may be seen again."""
    issuers = KnownIssuers()
    evil = replace(metadata, issuer="https://evil.example")
    issuers.check("c1", metadata)
    issuers.check("c1", metadata)
    with pytest.raises(DiscoveryError, match="another issuer") as caught:
        issuers.check("c1", evil)
    assert caught.value.endpoint == metadata.token_endpoint


@pytest.mark.parametrize(
    ("client_id", "changes"),
    [
        ("c2", {"issuer": "https://evil.example"}),
        ("c1", {"issuer": None}),
        ("c1", {"issuer": "https://b.example", "token_endpoint": "https://b.example/token"}),
        ("c1", {"fhir_base": "https://ehr.example.com/dstu2"}),
    ],
)
def test_what_is_no_conflict(metadata, client_id, changes):
    """Another client id, no issuer at all, another endpoint, another FHIR base of the same server."""
    issuers = KnownIssuers()
    issuers.check("c1", metadata)
    issuers.check(client_id, replace(metadata, **changes))


def test_discovery_asks(script, state, document, json_response):
    """A refused document is not kept."""
    state.issuers = KnownIssuers()
    script.answer(json_response(document)).run(discover(state))
    state.cached = None
    script.answer(json_response({**document, "issuer": "https://evil.example"}))
    with pytest.raises(DiscoveryError, match="another issuer"):
        script.run(discover(state))
    assert state.cached is None
