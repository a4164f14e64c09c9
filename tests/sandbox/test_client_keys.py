"""Keys by URL: fetched, cached as the client says, and refused when unusable."""

from __future__ import annotations

import http.server
import json
import threading
from contextlib import contextmanager

import pytest

from smart_async.errors import ConfigurationError
from smart_async.messages import Headers, Response
from smart_async.sandbox.client_keys import fetch_jwks

JWKS_URI = "https://app.example.com/jwks.json"


class Host:
    """Stands for the web server that publishes a client's keys."""

    def __init__(self, keys, cache=None):
        self.keys = keys
        self.cache = cache
        self.asked = []

    def __call__(self, url):
        self.asked.append(url)
        headers = Headers({"Cache-Control": self.cache} if self.cache else {})
        return Response(status=200, headers=headers, body=json.dumps({"keys": self.keys}).encode())


@pytest.fixture
def by_url(make_hand):
    def make(fetch):
        hand = make_hand(fetch=fetch)
        hand.sandbox.register_client(client_id="asymmetric", jwks_uri=JWKS_URI)
        return hand

    return make


@pytest.mark.rule("AS-06", "AS-15")
@pytest.mark.parametrize("header", [{}, {"jku": JWKS_URI}])
def test_keys_from_the_url(by_url, ec_key, header):
    """Keys are fetched from the registered URL, with or without a jku that equals it."""
    host = Host([ec_key.jwk])
    hand = by_url(host)
    assert hand.backend(header=header).status == 200
    assert host.asked == [JWKS_URI]


@pytest.mark.rule("AS-06")
def test_other_jku(by_url, ec_key):
    """A jku that is not the registered URL is refused, and nothing is fetched."""
    host = Host([ec_key.jwk])
    hand = by_url(host)
    assert hand.backend(header={"jku": JWKS_URI + "/"}).status == 401
    assert (hand.verdict.rule, host.asked) == ("AS-06", [])


@pytest.mark.rule("AS-17")
def test_cached_as_the_client_says(by_url, ec_key, make_key):
    """A fetched set is used for max-age seconds and then fetched again."""
    host = Host([ec_key.jwk], "public, max-age=300")
    hand = by_url(host)
    successor = make_key("EC", "key-next")
    assert hand.backend().status == 200
    host.keys = [successor.jwk]
    assert (hand.backend(key=successor).status, hand.verdict.rule) == (401, "AS-18")
    hand.clock.now += 300
    assert (hand.backend(key=successor).status, len(host.asked)) == (200, 2)


@pytest.mark.rule("AS-17")
@pytest.mark.parametrize("cache", [None, "no-store, max-age=300", "no-cache", "private"])
def test_not_cached(by_url, ec_key, cache):
    """Without a max-age, or against it, every assertion has the set fetched anew."""
    host = Host([ec_key.jwk], cache)
    hand = by_url(host)
    assert [hand.backend().status, hand.backend().status, len(host.asked)] == [200, 200, 2]


def test_fetch_may_return_bytes(by_url, ec_key):
    """A replaced fetch can simply return the document."""
    hand = by_url(lambda url: json.dumps({"keys": [ec_key.jwk]}).encode())
    assert hand.backend().status == 200


@pytest.mark.parametrize(
    ("answer", "rule"),
    [
        pytest.param(b"<html>", "AS-15", id="not JSON"),
        pytest.param(b"[]", "AS-13", id="an array"),
        pytest.param(b'{"keys": {}}', "AS-13", id="keys is an object"),
        pytest.param(json.dumps({"keys": [{}] * 101}).encode(), "AS-13", id="too many keys"),
        pytest.param(b'{"keys": [1]}', "AS-18", id="a key that is a number"),
        pytest.param(Response(status=404), "AS-16", id="not found"),
        pytest.param(Response(status=401), "AS-16", id="protected"),
    ],
)
@pytest.mark.rule("AS-13", "AS-15", "AS-16")
def test_unusable_sets(by_url, answer, rule):
    """A set that cannot be had or read is named as the fault."""
    hand = by_url(lambda url: answer)
    assert (hand.backend().status, hand.verdict.rule) == (401, rule)


@pytest.mark.rule("AS-16")
def test_unreachable_set(by_url):
    """A fetch that fails, in whatever way, makes the client unknown and not the sandbox broken."""

    def fail(url):
        raise OSError("no route")

    hand = by_url(fail)
    assert (hand.backend().status, hand.verdict.rule) == (401, "AS-16")


@pytest.mark.rule("AS-14")
@pytest.mark.parametrize("member", ["d", "p", "k"])
def test_private_material_in_the_set(by_url, ec_key, member):
    """A published private key is refused: whoever reads it can sign as the client."""
    hand = by_url(Host([{**ec_key.jwk, member: "AQAB"}]))
    assert (hand.backend().status, hand.verdict.rule) == (401, "AS-14")


@contextmanager
def web_server(status, body, headers):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/jwks"
        finally:
            server.shutdown()
            thread.join()


def test_fetch_over_http():
    """The default fetch returns status, headers and body."""
    with web_server(200, b"{}", {"Cache-Control": "max-age=5"}) as url:
        response = fetch_jwks(url)
    assert (response.status, response.body, response.headers["cache-control"]) == (200, b"{}", "max-age=5")


@pytest.mark.parametrize("status", [302, 404])
def test_fetch_follows_nothing(status):
    """A redirect is an answer like any other: the keys are where they were registered."""
    with web_server(status, b"", {"Location": "http://127.0.0.1:9/elsewhere"}) as url:
        assert fetch_jwks(url).status == status


@pytest.mark.parametrize("url", ["http://app.example.com/jwks", "file:///etc/passwd"])
def test_fetch_refuses_other_schemes(url):
    """Only https, and plain http on loopback, are fetched."""
    with pytest.raises(ConfigurationError):
        fetch_jwks(url)
