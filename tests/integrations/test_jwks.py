"""The published key set, as an ASGI app and as bytes, and whether the jku that is sent fits it."""

from __future__ import annotations

import json
from dataclasses import replace

import httpx
import pytest

from smart_async import ClientSecret, ConfigurationError, KeyRing, PrivateKeyJWT, SigningKey, SmartConfig
from smart_async.integrations.jwks import check_jku, export_jwks, jwks_app
from smart_async.keys import RingHolder, parse_jwks
from smart_async.keys.jwks import PRIVATE_MEMBERS

URL = "https://app.example.com/.well-known/jwks.json"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    """Both event loops, for tests marked with anyio."""
    return request.param


@pytest.fixture(scope="session")
def keys():
    return [SigningKey.generate("RS384", kid="r1", key_size=2048)] + [
        SigningKey.generate("ES384", kid=kid) for kid in ("e0", "e1", "e2")
    ]


@pytest.fixture
def ring(keys):
    """A ring with keys in all states."""
    rsa, old, active, coming = keys
    return KeyRing(active=[rsa, active], next=[coming], retiring=[old])


@pytest.fixture
def config(ring):
    return SmartConfig(
        fhir_base="https://ehr.example.com/r4", client_id="app", client_auth=PrivateKeyJWT(ring, jku=URL)
    )


async def ask(app, method="GET", url=URL, headers=None):
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport) as client:
        return await client.request(method, url, headers=headers)


@pytest.mark.anyio
@pytest.mark.rule("AS-16", "AS-17", "AS-13")
async def test_everybody_may_read_and_cache_the_set(ring):
    """No login, a content type, a lifetime for caches, a strong ETag, and readable from any page."""
    answer = await ask(jwks_app(ring))
    assert (answer.status_code, answer.json()) == (200, ring.public_jwks())
    tag = answer.headers["etag"]
    assert (tag[0], tag[-1], len(tag)) == ('"', '"', 34)
    assert dict(answer.headers) == {
        "x-content-type-options": "nosniff",
        "cache-control": "public, max-age=300",
        "etag": tag,
        "access-control-allow-origin": "*",
        "content-type": "application/json",
        "content-length": str(len(answer.content)),
    }


@pytest.mark.anyio
@pytest.mark.rule("AS-16")
async def test_credentials_make_no_difference(ring):
    """A server that sends some, right or wrong, gets the same keys."""
    app = jwks_app(ring)
    asked = await ask(app, headers={"Authorization": "Bearer wrong", "Cookie": "session=1"})
    assert (asked.status_code, asked.content) == (200, (await ask(app)).content)


@pytest.mark.anyio
@pytest.mark.rule("AS-05", "AS-13", "AS-14")
async def test_a_server_reads_all_keys_and_nothing_private(ring):
    """What is published are the public halves of all keys, each with an id of its own."""
    document = (await ask(jwks_app(ring))).json()
    findings = []
    assert [key.kid for key in parse_jwks(document, findings=findings)] == ["r1", "e1", "e2", "e0"]
    assert findings == []
    assert not any(PRIVATE_MEMBERS & jwk.keys() for jwk in document["keys"])


@pytest.mark.anyio
@pytest.mark.parametrize("max_age", [0, 60, 86_400])
@pytest.mark.rule("AS-17")
async def test_the_lifetime_is_yours(ring, max_age):
    """The max-age is the one that rotations are planned with."""
    answer = await ask(jwks_app(ring, max_age=max_age))
    assert answer.headers["cache-control"] == f"public, max-age={max_age}"


@pytest.mark.parametrize("max_age", [-1, 86_401, 1.5, "300", None, True])
def test_lifetimes_that_are_none(ring, max_age):
    """A lifetime is whole seconds, and not more than a day."""
    with pytest.raises(ConfigurationError) as caught:
        jwks_app(ring, max_age=max_age)
    assert caught.value.field == "max_age"


@pytest.mark.anyio
async def test_head_is_get_without_a_body(ring):
    """A HEAD request gets the headers of a GET."""
    app = jwks_app(ring)
    head, get = await ask(app, "HEAD"), await ask(app)
    assert (head.status_code, head.content, dict(head.headers)) == (200, b"", dict(get.headers))


@pytest.mark.anyio
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get"])
async def test_other_methods_are_refused(ring, method):
    """There is nothing to change here, and the answer says what can be asked."""
    sent = []

    async def send(message):
        sent.append(message)

    await jwks_app(ring)({"type": "http", "method": method, "path": "/", "headers": []}, None, send)
    assert (sent[0]["status"], dict(sent[0]["headers"])[b"allow"]) == (405, b"GET, HEAD")
    assert sent[1] == {"type": "http.response.body", "body": b""}


@pytest.mark.anyio
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("given", ["{}", "W/{}", '"other", {}', '"other" , W/{}', "*"])
async def test_whoever_has_the_set_is_not_sent_it_again(ring, method, given):
    """304 has neither body nor type, and renews the lifetime."""
    app = jwks_app(ring)
    first = await ask(app)
    again = await ask(app, method, headers={"If-None-Match": given.format(first.headers["etag"])})
    assert (again.status_code, again.content) == (304, b"")
    kept = ("etag", "cache-control", "access-control-allow-origin", "x-content-type-options")
    assert dict(again.headers) == {name: first.headers[name] for name in kept}


@pytest.mark.anyio
@pytest.mark.parametrize("given", ['"other"', "", "etag", 'W/"other", "another"'])
async def test_whoever_has_another_set_is_sent_this_one(ring, given):
    """A tag that does not match changes nothing."""
    assert (await ask(jwks_app(ring), headers={"If-None-Match": given})).status_code == 200


@pytest.mark.anyio
async def test_an_exchanged_ring_is_published_at_once(ring):
    """The next answer has the new keys and a new tag; the same ring keeps its tag over restarts."""
    holder = RingHolder(ring)
    app = jwks_app(holder)
    first = await ask(app)
    assert (await ask(jwks_app(ring))).headers["etag"] == first.headers["etag"]
    holder.ring = ring.retire("e0")
    second = await ask(app, headers={"If-None-Match": first.headers["etag"]})
    assert (second.status_code, second.json()) == (200, holder.ring.public_jwks())
    assert second.headers["etag"] != first.headers["etag"]


@pytest.mark.anyio
async def test_a_function_may_return_the_ring(ring):
    """Wherever the ring is kept, a function can fetch it; it is called for each answer."""
    rings = [ring, ring.retire("e0")]
    app = jwks_app(lambda: rings.pop(0))
    assert (await ask(app)).json() == ring.public_jwks()
    assert (await ask(app)).json() == ring.retire("e0").public_jwks()


@pytest.mark.anyio
async def test_a_function_that_returns_something_else(keys):
    """A key is no ring; nothing is published then."""
    with pytest.raises(ConfigurationError, match="returned SigningKey, not a KeyRing"):
        await ask(jwks_app(lambda: keys[0]))


@pytest.mark.parametrize("thing", [None, {"keys": []}, "ring", KeyRing])
def test_what_is_no_ring_is_refused(thing):
    """A mistake shows when the app is made, not when a server asks."""
    for function in (jwks_app, export_jwks):
        with pytest.raises(ConfigurationError, match="come from a KeyRing"):
            function(thing)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("path", "asked", "status"),
    [
        (None, "/", 200),
        (None, "/whatever.json", 200),
        ("/jwks.json", "/jwks.json", 200),
        ("/jwks.json", "/jwks.json?v=2", 200),
        ("/jwks.json", "/jwks.json/", 404),
        ("/jwks.json", "/", 404),
    ],
)
async def test_the_path(ring, path, asked, status):
    """Alone, the app answers everywhere, or at the one path it was given."""
    assert (
        await ask(jwks_app(ring, path=path), url=f"https://keys.example.com{asked}")
    ).status_code == status


def test_a_path_has_a_slash_in_front(ring):
    """A path that no request can have is a mistake."""
    with pytest.raises(ConfigurationError, match="does not begin with a slash"):
        jwks_app(ring, path="jwks.json")


@pytest.mark.anyio
@pytest.mark.parametrize("how", ["route", "mount", "whole"])
async def test_in_starlette(ring, how):
    """As a route, under a prefix, or as the whole mounted app: the URL is the same, without a redirect."""
    applications = pytest.importorskip("starlette.applications")
    from starlette.routing import Mount, Route

    routes = {
        "route": Route("/.well-known/jwks.json", jwks_app(ring)),
        "mount": Mount("/.well-known", jwks_app(ring, path="/jwks.json")),
        "whole": Mount("/", jwks_app(ring, path="/.well-known/jwks.json")),
    }
    app = applications.Starlette(routes=[routes[how]])
    answer = await ask(app)
    assert (answer.status_code, answer.content) == (200, export_jwks(ring))
    assert (await ask(app, url="https://app.example.com/.well-known/other.json")).status_code == 404
    assert (await ask(app, "POST")).headers["allow"] == "GET, HEAD"


@pytest.mark.anyio
async def test_a_server_may_start_and_stop_it(ring):
    """Run on its own, the app takes part in the server's start and stop."""
    events = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent = []

    async def receive():
        return events.pop(0)

    async def send(message):
        sent.append(message["type"])

    await jwks_app(ring)({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


@pytest.mark.anyio
@pytest.mark.parametrize(("kind", "expected"), [("websocket", ["websocket.close"]), ("other", [])])
async def test_other_connections_are_closed(ring, kind, expected):
    """There is nothing to talk about."""
    sent = []

    async def send(message):
        sent.append(message["type"])

    await jwks_app(ring)({"type": kind}, None, send)
    assert sent == expected


@pytest.mark.rule("AS-14")
def test_the_export_is_what_the_app_serves(ring):
    """Uploaded to an object store, the set is the same text, with nothing private."""
    assert json.loads(export_jwks(ring)) == ring.public_jwks()
    assert export_jwks(RingHolder(ring)) == export_jwks(lambda: ring) == export_jwks(ring)


def test_a_jku_that_is_where_the_keys_are(config):
    """Where both agree there is nothing to say, nor where no jku is sent."""
    assert check_jku(config, URL) == ()
    assert check_jku(replace(config, client_auth=PrivateKeyJWT(config.client_auth.key)), URL) == ()
    assert check_jku(replace(config, client_auth=ClientSecret("secret")), URL) == ()


@pytest.mark.rule("AS-06")
@pytest.mark.parametrize(
    "url",
    [
        "https://app.example.com/.well-known/jwks.json/",
        "https://app.example.com/.well-known/JWKS.json",
        "https://app.example.com:443/.well-known/jwks.json",
        "https://keys.example.com/jwks.json",
    ],
)
def test_a_jku_that_is_elsewhere(config, url):
    """Servers compare character for character."""
    (finding,) = check_jku(config, url)
    assert (finding.rule, finding.severity) == ("AS-06", "error")
    assert finding.message == f"The client sends jku={URL!r}, and its keys are hosted at {url!r}."


@pytest.mark.rule("AS-16")
@pytest.mark.parametrize(
    "url", ["http://app.example.com/jwks.json", "jwks.json", "https://u:p@app.example.com/"]
)
def test_keys_are_hosted_over_tls(config, url):
    """A set at a URL that no server should fetch is a finding, whatever the jku."""
    plain = replace(config, client_auth=PrivateKeyJWT(config.client_auth.key))
    assert [(each.rule, each.severity) for each in check_jku(plain, url)] == [("AS-16", "error")]
    assert [each.rule for each in check_jku(config, url)] == ["AS-16", "AS-06"]
    assert not any("u:p" in str(each) for each in check_jku(config, url))
