"""
Row 3: a backend token with RSA-2048 from a PEM file, against two libraries used as they document it.

Each has its own HTTP library, wired to memory: Authlib httpx or
httpx2, requests_oauth2client requests.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import httpx2

from benchmarks.matter import SCOPE, TOKEN, TOKEN_URL, config, pem
from benchmarks.measure import Effort, Result, alternate, calls, compared
from benchmarks.net import answer, wire_client, wire_transport
from benchmarks.rows.backend_flow import discovered
from smart_async import SigningKey, SmartClient
from smart_async.transports import open_transport

ROW = 3


def ours(path: Path) -> Callable[[], object]:
    """Return our backend token, with the key in a file."""
    key = SigningKey.from_pem(path.read_bytes(), kid="key-1")
    transport = wire_transport(open_transport("httpx"), answer(TOKEN))
    client = discovered(SmartClient(config(key), transport=transport))
    return lambda: client.backend_token(SCOPE)


def authlib(path: Path) -> Callable[[], object]:
    """Return Authlib's: an OAuth2Client with a PrivateKeyJWT that is given the PEM text."""
    from authlib.integrations.httpx_client import OAuth2Client
    from authlib.oauth2.rfc7523 import PrivateKeyJWT

    client = OAuth2Client("growth-chart", path.read_text(), token_endpoint_auth_method="private_key_jwt")
    client.register_client_auth_method(PrivateKeyJWT(TOKEN_URL, alg="RS384"))
    library = httpx if isinstance(client, httpx.Client) else httpx2  # it takes httpx2 where it finds it
    client._transport = wire_client(library, answer(TOKEN), asynchronous=False)._transport
    return lambda: client.fetch_token(TOKEN_URL, grant_type="client_credentials", scope=SCOPE)


def requests_oauth2client(path: Path) -> Callable[[], object]:
    """Return requests_oauth2client's: an OAuth2Client with a PrivateKeyJwt."""
    import requests
    from jwskate import Jwk
    from requests_oauth2client import OAuth2Client, PrivateKeyJwt

    session = requests.Session()
    session.mount("https://", adapter())
    key = Jwk.from_pem(path.read_bytes(), alg="RS384", kid="key-1")
    auth = PrivateKeyJwt("growth-chart", key, alg="RS384")
    client = OAuth2Client(token_endpoint=TOKEN_URL, auth=auth, session=session)
    return lambda: client.client_credentials(scope=SCOPE)


def adapter() -> Any:
    """Return what answers a requests session from memory, with less work than any network would be."""
    from requests import PreparedRequest, Response
    from requests.adapters import BaseAdapter

    class Adapter(BaseAdapter):
        def send(self, request: PreparedRequest, **_: Any) -> Response:
            response = Response()
            response.status_code, response.url, response._content = 200, str(request.url), TOKEN
            response.headers["content-type"] = "application/json"
            response.request = request
            return response

        def close(self) -> None:
            pass

    return Adapter()


def measure(effort: Effort) -> Iterator[Result]:
    """Yield the lines of the row."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "key.pem")
        path.write_bytes(pem("RSA-2048"))
        for name, peer in (("Authlib", authlib), ("requests_oauth2client", requests_oauth2client)):
            pairs = alternate(calls(ours(path)), calls(peer(path)), effort)
            yield compared(ROW, "backend token, RSA-2048 PEM", name, pairs)
