"""
Acceptance 3: no redirect is followed, at any endpoint, by any code, to any target; T07.

A redirected request would take the code, the verifier, the assertion or the refresh token to whatever host
the answer names.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from loopback import Caller, Connection, Servers
from loopback_ehr import ENDPOINTS, Site

from smart_async import ConfigurationError, ProtocolError, PublicClient, SigningKey, SmartClient, SmartConfig

CODES = ("301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary", "308 Permanent")


def redirect(connection: Connection, code: str, target: str) -> None:
    connection.reply(b"", status=code, headers=(f"Location: {target}",))


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_no_redirect_is_followed(
    caller: Caller, servers: Servers, signing_key: SigningKey, endpoint: str
) -> None:
    """Five codes to five targets: a typed error each time, and no request to any target."""
    site, evil = Site(servers, signing_key), servers.honest()
    targets = {
        "/elsewhere": "127.0.0.1",
        f"{evil.url}/collect": f"127.0.0.1:{evil.port}",
        f"//127.0.0.1:{evil.port}/collect": f"127.0.0.1:{evil.port}",
        f"http://127.0.0.1@127.0.0.1:{evil.port}/": "no web address",
        "file:///etc/passwd": "no web address",
    }
    for code in CODES:
        for target, named in targets.items():
            operation = site.operation(caller, endpoint)
            site.server.requests.clear()
            site.attack(endpoint, partial(redirect, code=code, target=target))
            with pytest.raises(ProtocolError) as caught:
                operation()
            assert named in str(caught.value)
            # A token is revoked in two requests: its refresh token and its access token.
            assert site.paths.count(ENDPOINTS[endpoint]) == (2 if endpoint == "revocation" else 1)
            assert site.paths[-1] == ENDPOINTS[endpoint]
            assert "/elsewhere" not in site.paths
            site.attacks = {}
    assert evil.connections == 0


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_a_client_that_follows_is_refused(library: str) -> None:
    """An HTTP client of the user's that follows redirects cannot be made to carry credentials."""
    module: Any = pytest.importorskip(library)
    config = SmartConfig(fhir_base="https://ehr.example.com/r4", client_id="x", client_auth=PublicClient())
    with pytest.raises(ConfigurationError) as caught:
        SmartClient(config, transport=module.Client(follow_redirects=True))
    assert caught.value.field == "transport"
