"""The app's own web server in the demo."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest

from smart_async.cli.appserver import AppServer
from smart_async.transports import Exchange


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return bytes(answer.read())


def test_it_publishes_keys_takes_callbacks_and_nothing_else() -> None:
    """Keys are served and each fetch reported, callbacks are kept whole, other paths are not there."""
    fetched: list[Exchange] = []
    with AppServer({"keys": []}, fetched.append).running() as app:
        keys = json.loads(get(app.jwks_uri))
        page = get(f"{app.redirect_uri}?code=a&state=b")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(f"{app.base_url}/other")
    assert (keys, b"signed in" in page, app.callbacks) == (
        {"keys": []},
        True,
        [f"{app.redirect_uri}?code=a&state=b"],
    )
    assert [(item.request.url, item.request.purpose) for item in fetched] == [(app.jwks_uri, "jwks")]
