"""Redirects."""

from __future__ import annotations

from smart_async.sandbox.replies import redirect


def test_redirect_encodes():
    """Parameters are encoded, and the target's own query is kept."""
    response = redirect("com.example.app:/cb?a=b", {"state": "x y&z=ü"}, status=302)
    assert response.headers["location"] == "com.example.app:/cb?a=b&state=x%20y%26z%3D%C3%BC"
    assert response.headers["referrer-policy"] == "no-referrer"
