"""Pages and redirects."""

from __future__ import annotations

from smart_async.sandbox.replies import page, redirect


def test_page_escapes():
    """Title and text are text, whatever is in them."""
    body = page("<b>", ['"><img src=x onerror=alert(1)>']).body.decode()
    assert "<b>" not in body
    assert "<img" not in body


def test_links_escape():
    """Neither name nor URL of a link can end it."""
    body = page("x", [], links=[("<b>", 'https://a.example/"><img src=x>')]).body.decode()
    assert "<b>" not in body
    assert "<img" not in body
    assert '<a href="https://a.example/&quot;&gt;' in body


def test_redirect_encodes():
    """Parameters are encoded, and the target's own query is kept."""
    response = redirect("com.example.app:/cb?a=b", {"state": "x y&z=ü"}, status=302)
    assert response.headers["location"] == "com.example.app:/cb?a=b&state=x%20y%26z%3D%C3%BC"
    assert response.headers["referrer-policy"] == "no-referrer"
