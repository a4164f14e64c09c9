"""What holds for every page: structure, labels, policy, and that nobody else's words become markup."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from itertools import pairwise
from urllib.parse import urlencode

import pytest

from smart_async.messages import Headers
from smart_async.sandbox.pages.render import source_of
from smart_async.sandbox.pages.texts import problem_of

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{7777*7777}}"


def start(asking, surfer, **changes):
    query = urlencode(asking.authorization(**changes))
    return surfer.go(f"{asking.sandbox.base_url}/oauth2/authorize?{query}")


def every_page(asking, surfer):
    """Yield each kind of page once, those with lists filled."""
    asking.sandbox.faults.add("slow", seconds=0)
    asking.sandbox.faults.add("page_size", client="asymmetric", times=2)
    asking.backend()
    yield "launcher", surfer.go("/")
    yield "launcher with error", surfer.go("/").submit("client", launch_url="nonsense")
    yield "standalone", surfer.go("/").submit("client", launch_type="standalone")
    yield "elsewhere", surfer.go("/").submit("client", launch_url="https://other.example.net/go")
    yield "frame", surfer.go("/").submit("client", framed="on")
    yield "apps", surfer.go("/clients")
    yield "apps with error", surfer.go("/clients").submit("client_id", client_id="x", redirect_uris="y")
    yield (
        "an app",
        surfer.go("/clients").submit(
            "client_id", client_id="x", auth="secret", redirect_uris="https://x.example/"
        ),
    )
    yield "faults", surfer.go("/faults")
    yield "faults with error", surfer.go("/faults").submit("fault", value="x")
    yield "inspector", surfer.go("/inspect?refresh=on")
    user = start(asking, surfer)
    yield "user", user
    yield "user with error", user.submit("user", user=...)
    patient = user.submit("user")
    yield "patient", patient
    consent = patient.submit("patient", press="patient-amber")
    yield "consent", consent
    yield (
        "consent with error",
        consent.submit("decision", press="allow", **{f"scope__{n}": ... for n in range(1, 6)}),
    )
    yield "error", surfer.go("/login/unknown")
    yield "refusal", surfer.go("/oauth2/authorize?client_id=x")


FRAMED = {"user", "user with error", "patient", "consent", "consent with error", "error", "refusal"}


def test_structure(asking, surfer):
    """Each page has one title and heading, headings without gaps, landmarks, a way past them, a language."""
    for name, page in every_page(asking, surfer):
        assert [one["lang"] for one in page.all("html")] == ["en"], name
        assert [bool(one.text) for one in page.all("title")] == [True], name
        levels = [int(one.tag[1]) for one in page.all("h1", "h2", "h3")]
        assert levels[0] == 1, name
        assert levels.count(1) == 1, name
        assert all(later <= earlier + 1 for earlier, later in pairwise(levels)), (name, levels)
        assert [one["id"] for one in page.all("main")] == ["content"], name
        assert (len(page.all("header")), page.all("a")[0]["href"]) == (1, "#content"), name
        assert all(one.get("aria-label") for one in page.all("nav")), name
        assert "Not for production" in page.text, name
        viewport = [one for one in page.all("meta") if one.get("name") == "viewport"]
        assert viewport[0]["content"] == "width=device-width, initial-scale=1", name


def test_controls_have_names(asking, surfer):
    """Each control has a label, each button and link says what it does, and ids are there once."""
    for name, page in every_page(asking, surfer):
        ids = [one.get("id") for one in page.all(*page.tags()) if one.get("id")]
        assert len(ids) == len(set(ids)), name
        labels = {one["for"] for one in page.all("label")}
        for one in page.all("input", "select", "textarea"):
            if one.get("type") != "hidden":
                assert one.get("id") in labels, (name, one)
        assert all(
            one.text or one.get("aria-label") for one in page.all("button", "a", "summary", "legend")
        ), name
        for one in page.all(*page.tags()):
            for attribute in ("aria-labelledby", "aria-describedby"):
                assert set((one.get(attribute) or "").split()) <= set(ids), (name, attribute)
        assert all("alt" in one.attributes for one in page.all("img")), name
        assert all(one.get("title") for one in page.all("iframe")), name


def test_errors_are_in_the_title(asking, surfer):
    """A page that came back with an error says so first, for those who hear it."""
    for name, page in every_page(asking, surfer):
        assert page.all("title")[0].text.startswith("Error: ") == name.endswith("with error"), name


def test_policy(asking, surfer):
    """Nothing runs, nothing comes from elsewhere, and only the sandbox itself may frame a sign-in."""
    for name, page in every_page(asking, surfer):
        policy = page.policy
        assert policy["default-src"] == ["'none'"], name
        assert (policy["style-src"], policy["img-src"]) == (["'self'"], ["'self'"]), name
        assert policy["base-uri"] == ["'none'"], name
        assert policy["frame-ancestors"] == (["'self'"] if name in FRAMED else ["'none'"]), name
        assert policy["form-action"][0] == "'self'", name
        assert "unsafe" not in str(policy), name
        headers = page.response.headers
        assert headers["x-content-type-options"] == "nosniff", name
        assert headers["referrer-policy"] == "no-referrer", name
        assert headers["cache-control"] == "no-store", name
        assert ("x-frame-options" in headers) == (name not in FRAMED), name
        assert page.all("script", "style", "object", "embed", "base") == [], name
        attributes = {attribute for one in page.all(*page.tags()) for attribute in one.attributes}
        assert not [
            attribute for attribute in attributes if attribute.startswith("on") or attribute == "style"
        ], name
        loaded = [one.get("src") or one["href"] for one in page.all("img", "link")]
        assert all(url in ("/style.css", "/icon.svg") for url in loaded), name


def test_frames(asking, surfer):
    """The chart frames the app's origin, and the sandbox's own sign-in in it; no other page does."""
    pages = dict(every_page(asking, surfer))
    assert pages.pop("frame").policy["frame-src"] == ["'self'", "https://app.example.com"]
    assert all("frame-src" not in page.policy for page in pages.values())


def test_ways_out_of_a_frame(asking, surfer):
    """From a page that may be framed, links to pages that may not leave the frame."""
    pages = dict(every_page(asking, surfer))
    for name in FRAMED:
        links = [one for one in pages[name].all("a") if not one["href"].startswith(("#", "/login/"))]
        assert {(one["href"], one.get("target")) for one in links} == {("/", "_top")}, name


def test_forms_lead_where_they_must(asking, surfer):
    """A policy lets a form lead to the app's redirect URI, to which its answer redirects, and no further."""
    pages = dict(every_page(asking, surfer))
    assert pages["consent"].policy["form-action"] == ["'self'", "https://app.example.com"]
    assert pages["apps"].policy["form-action"] == ["'self'"]
    asking.sandbox.register_client(client_id="native", redirect_uris=["com.example.app:/callback"])
    page = start(asking, surfer, client_id="native", redirect_uri="com.example.app:/callback")
    assert page.policy["form-action"] == ["'self'", "com.example.app:"]


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("https://app.example.com:8443/x", "https://app.example.com:8443"),
        ("http://[::1]:5000/", "http://[::1]:5000"),
        ("a.b;script-src data:x", None),
        ("https://a.example;x/", None),
        ("https://user@a.example/", None),
    ],
)
def test_sources(url, source):
    """Only what cannot end a part of the policy gets into it."""
    assert source_of(url) == source


def test_a_hostile_scheme_stays_out(asking, surfer):
    """A redirect URI cannot write into the policy."""
    asking.sandbox.register_client(client_id="evil", redirect_uris=["a.b;script-src data:x"])
    page = start(asking, surfer, client_id="evil", redirect_uri="a.b;script-src data:x")
    assert page.policy["form-action"] == ["'self'"]
    assert "script-src" not in page.policy


def harmless(page):
    """Assert that the hostile text did not become markup, and return whether it is there as text."""
    assert page.all("script") == []
    assert [one["src"] for one in page.all("img")] == ["/icon.svg"]
    assert "60481729" not in page.response.text
    return "alert(1)" in page.text or any(
        "alert(1)" in str(one.attributes) for one in page.all("input", "textarea")
    )


def register(asking, **changes):
    values = {"client_id": "evil", "redirect_uris": ["https://evil.example/cb"], **changes}
    return asking.sandbox.register_client(**values)


@pytest.mark.parametrize("where", ["client_id", "client_name"])
def test_hostile_clients(asking, surfer, where):
    """Id and name of a client are text on every page that shows them."""
    client = register(asking, **{where: HOSTILE})
    asking.ask(asking.authorization(client_id=client.client_id))
    page = start(asking, surfer, client_id=client.client_id, redirect_uri="https://evil.example/cb")
    shown = [harmless(page)]
    page = page.submit("user")
    shown.append(harmless(page))
    shown.append(harmless(page.submit("patient", press="patient-amber")))
    shown += [harmless(surfer.go(path)) for path in ("/", "/clients", "/faults")]
    launched = surfer.go("/").submit("client", client=client.client_id, launch_type="standalone")
    shown.append(harmless(launched))
    if where == "client_id":
        shown.append(harmless(surfer.go("/inspect")))
    assert all(shown)


@pytest.mark.parametrize(
    "metadata",
    [
        {"client_name": HOSTILE},
        {"logo_uri": "https://evil.example/x?" + HOSTILE},
        {"logo_uri": "javascript:alert(1)"},
    ],
)
def test_hostile_registrations(asking, surfer, metadata):
    """What a client says of itself over the protocol is refused, or is text; its logo is never loaded."""
    body = {"redirect_uris": ["https://evil.example/cb"], "token_endpoint_auth_method": "none", **metadata}
    asking.send(
        "POST",
        asking.sandbox.base_url + "/oauth2/register",
        body=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    assert harmless(surfer.go("/clients")) == ("client_name" in metadata)
    harmless(surfer.go("/inspect"))


@pytest.mark.parametrize(
    "name", ["state", "scope", "aud", "launch", "redirect_uri", "client_id", "nonce", "error"]
)
def test_hostile_parameters(asking, surfer, name):
    """No parameter of an authorization request gets onto a page as markup, not in the inspector either."""
    page = start(asking, surfer, **{name: HOSTILE})
    if page.response.url.host == "sandbox.example":
        harmless(page)
    assert harmless(surfer.go("/inspect"))


@pytest.mark.parametrize("field", ["state", "code", "iss", "error_description", "grant_type", "x<script>"])
def test_hostile_bodies(asking, surfer, field):
    """No field of a form gets into the inspector as markup."""
    asking.post({field: HOSTILE, "client_id": HOSTILE})
    harmless(surfer.go("/inspect"))


def test_hostile_assertions_and_headers(asking, surfer):
    """Neither what an assertion holds, nor a header, nor a path gets into the inspector as markup."""
    asking.backend(header={"kid": HOSTILE}, claims={"iss": HOSTILE, "sub": HOSTILE, "extra": HOSTILE})
    asking.send(
        "GET",
        asking.sandbox.fhir_base + "/%3Cscript%3Ealert(1)",
        headers={"User-Agent": HOSTILE, "Accept": HOSTILE},
    )
    assert harmless(surfer.go("/inspect"))
    assert harmless(surfer.go("/inspect?" + urlencode({"client": HOSTILE})))


def test_hostile_patients(asking, surfer):
    """The names of people are text."""
    patient = asking.sandbox.resources["Patient"]["patient-amber"]
    patient["name"] = [{"family": HOSTILE, "given": [HOSTILE]}]
    patient["birthDate"] = HOSTILE
    page = start(asking, surfer)
    assert harmless(page)
    page = page.submit("user")
    assert harmless(page)
    assert harmless(page.submit("patient", press="patient-amber"))
    assert harmless(surfer.go("/"))


@pytest.mark.parametrize("path", ["/", "/clients", "/faults"])
def test_hostile_input(asking, surfer, path):
    """What a form is filled in with comes back as it was typed, as text."""
    names = {
        "/": ["launch_url", "scope", "client"],
        "/clients": ["client_name", "redirect_uris", "jwks"],
        "/faults": ["value", "times", "fault"],
    }
    for name in names[path]:
        page = surfer.go(path)
        harmless(page.submit(name, **{"launch_url": "x", "client_id": "", name: HOSTILE}))


def test_fixed_texts(asking, surfer):
    """What an error page says comes from a table, whatever the request says."""
    query = {"client_id": "nobody", "error": "stolen", "error_description": HOSTILE}
    page = surfer.go("/oauth2/authorize?" + urlencode(query))
    assert (page.heading, problem_of("AL-06")[1] in page.text, "stolen" in page.text) == (
        problem_of("AL-06")[0],
        True,
        False,
    )
    assert problem_of("whatever") == problem_of("AL-99")


def test_unreadable_requests(asking, surfer):
    """A parameter that occurs twice is an error with a page of its own."""
    page = surfer.go("/inspect?client=a&client=b")
    assert (page.status, page.heading) == (400, "This request cannot be read")


@pytest.mark.parametrize(("path", "kind"), [("/style.css", "text/css"), ("/icon.svg", "image/svg+xml")])
def test_assets(asking, surfer, path, kind):
    """Style sheet and icon are there, as what they are."""
    headers: Headers = asking.send("GET", asking.sandbox.base_url + path).headers
    assert (headers["content-type"].startswith(kind), headers["x-content-type-options"]) == (True, "nosniff")


def palettes():
    text = files("smart_async.sandbox").joinpath("templates/style.css").read_text()
    light, dark = (
        dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block))
        for block in re.findall(r":root \{(.*?)\}", text, re.S)
    )
    return {"light": light, "dark": {**light, **dark}}


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("front", "back", "least"),
    [
        *(
            (front, back, 4.5)
            for front in ("text", "quiet", "accent", "accent-strong")
            for back in ("page", "card", "sunken")
        ),
        ("on-accent", "accent", 4.5),
        ("on-accent", "accent-strong", 4.5),
        ("good", "good-back", 4.5),
        ("bad", "bad-back", 4.5),
        ("warn", "warn-back", 4.5),
        ("field", "card", 3),
        ("focus", "page", 3),
        ("focus", "card", 3),
    ],
)
def test_contrast(scheme, front, back, least):
    """Text has the contrast of WCAG's level AA in both schemes, borders of controls and the focus theirs."""
    palette = palettes()[scheme]
    bright, dim = sorted((luminance(palette[front]), luminance(palette[back])), reverse=True)
    assert (bright + 0.05) / (dim + 0.05) >= least
