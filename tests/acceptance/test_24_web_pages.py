"""
Web pages under attack, in a real browser: nothing that others wrote runs, and nothing secret reaches it.

Payloads go into every field that strangers fill: what an EHR sends to the callback, what a link to the app
says, what a chart holds, what a client calls itself. The watch over each page also hears of what the policy
alone stopped, so that a page is not saved by its policy from its own mistake.
"""

from __future__ import annotations

import base64
import re
import zlib
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from browsers import allow, choose_patient, hold_callback, log_in, sign_in

pytestmark = pytest.mark.peers

HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


def payload(field: str) -> str:
    """Markup that calls out its field, in each way that a template can go wrong."""
    call = f"planted('{field}')"
    return f"\"'></title></textarea><img src=x onerror={call}><script>{call}</script><svg onload={call}>"


def script_url(field: str) -> str:
    """A URL that calls out its field when somebody follows it."""
    return f"javascript:planted('{field}')//https://x.example"


def look(page: Any) -> str:
    """Make sure that the page is shown and harmless; return its text."""
    assert page.locator("h1").count() == 1
    for attribute in ("href", "src", "action", "formaction"):
        hostile = page.locator(f"[{attribute}^='javascript' i], [{attribute}^='data' i]")
        assert hostile.count() == 0, attribute
    for tag in ("script", "svg[onload]", "img[onerror]", "iframe"):
        assert page.locator(tag).count() == 0, tag
    text: str = page.locator("body").inner_text()
    return text


@pytest.mark.parametrize("make", [payload, script_url])
@pytest.mark.parametrize("field", ["error", "error_description", "error_uri", "state", "iss", "code"])
def test_what_comes_back_from_the_ehr(browsing: Any, demo: Any, field: str, make: Any) -> None:
    """Whatever the callback says, the user gets a page in the app's own words."""
    page = browsing.open()
    url = urlsplit(hold_callback(page, demo))
    fields = dict(parse_qsl(url.query))
    if field.startswith("error"):
        del fields["code"]
        fields["error"] = "server_error"
    fields[field] = make(field)
    page.goto(url._replace(query=urlencode(fields)).geturl())
    look(page)
    page.get_by_text("Details for whoever runs this app").click()
    look(page)
    browsing.watch.expect(400)


@pytest.mark.parametrize("make", [payload, script_url])
@pytest.mark.parametrize("field", ["iss", "launch"])
def test_what_a_launch_says(browsing: Any, demo: Any, field: str, make: Any) -> None:
    """A launch from nowhere, or with a strange handle, is refused without an echo that runs."""
    page = browsing.open()
    fields = {"iss": demo.hospital.fhir_base, "launch": "handle", field: make(field)}
    page.goto(f"{demo.app_url}/smart/launch?{urlencode(fields)}")
    look(page)
    browsing.watch.expect(400)


@pytest.mark.parametrize(
    "return_to",
    [
        script_url("return_to"),
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example/",
        "/\t/evil.example/",
        "/%09/evil.example",
        "/..//evil.example/",
    ],
)
def test_where_a_login_leads(browsing: Any, demo: Any, return_to: str) -> None:
    """After the login, a return_to that is no plain path of the app's own is forgotten."""
    page = browsing.open()
    page.goto(f"{demo.app_url}/smart/login?{urlencode({'return_to': return_to})}")
    look(page)
    page.get_by_role("link", name="Sandbox Hospital").click()
    sign_in(page)
    choose_patient(page)
    allow(page)
    page.wait_for_url(f"{demo.app_url}/**")
    assert "evil.example" not in urlsplit(page.url).netloc
    page.goto(f"{demo.app_url}/chart")
    page.get_by_role("heading", name="Amber Sampleton").wait_for()
    browsing.watch.refused.clear()  # the last one is a path of the app's own that does not exist


def test_a_path_with_markup(browsing: Any, demo: Any) -> None:
    """A path of the app's own may hold what it wants: it stays a path."""
    page = browsing.open()
    page.goto(f"{demo.app_url}/smart/login?{urlencode({'return_to': '/chart?x=' + payload('return_to')})}")
    look(page)
    page.get_by_role("link", name="Sandbox Hospital").click()
    sign_in(page)
    choose_patient(page)
    allow(page)
    page.get_by_role("heading", name="Amber Sampleton").wait_for()


def plant(demo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fill Gale's chart, and the doctor's name, with markup."""
    resources = demo.hospital.resources

    def change(kind: str, key: str, **members: Any) -> None:
        monkeypatch.setitem(resources[kind], key, {**resources[kind][key], **members})

    change("Practitioner", "doctor-demo", name=[{"family": payload("doctor"), "given": ["D"]}])
    change(
        "Patient",
        "patient-gale",
        name=[{"family": payload("patient"), "given": ["Gale"]}],
        gender=payload("gender"),
        identifier=[{"value": payload("record")}],
    )
    change("Condition", "condition-gale-1", code={"text": payload("condition")})
    change(
        "MedicationRequest",
        "medication-gale-1",
        medicationCodeableConcept={"text": payload("medication")},
        dosageInstruction=[{"text": payload("dose")}],
    )
    for identifier, observation in list(resources["Observation"].items()):
        if identifier.startswith("observation-gale") and "valueQuantity" in observation:
            value = {**observation["valueQuantity"], "unit": payload("unit")}
            change("Observation", identifier, valueQuantity=value)


def test_what_a_chart_holds(browsing: Any, demo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names, conditions, doses and units of a chart are text: at the EHR's sign-in and in the app."""
    plant(demo, monkeypatch)
    page = browsing.open()
    page.goto(demo.app_url)
    page.get_by_role("link", name="Choose where to sign in").click()
    page.get_by_role("link", name="Sandbox Hospital").click()
    look(page)
    page.locator("#user-doctor-demo").check()
    page.get_by_role("button", name="Sign in").click()
    look(page)
    page.locator("button[value='patient-gale']").click()
    look(page)
    allow(page)
    page.get_by_role("heading", name="Vital signs").wait_for()
    # The page's own drawings hold no handler; the numbers of one are unfolded.
    page.get_by_text("Body weight as a table").click()
    text = look(page)
    for field in ("patient", "gender", "record", "condition", "medication", "dose", "unit"):
        assert payload(field).lower() in text.lower(), field


def test_what_a_client_says_of_itself(browsing: Any, demo: Any) -> None:
    """A client's id, name, picture and scopes are text on each page of the sandbox that shows them."""
    app = "https://app.example.com"
    scope = "openid fhirUser launch/patient patient/Patient.rs <img/src=x/onerror=planted('scope')>"
    client_id = payload("client_id")
    demo.clinic.register_client(
        client_id=client_id,
        client_name=payload("client_name"),
        logo_uri="https://logo.example/'onerror=planted('logo_uri')",
        redirect_uris=[f"{app}/callback?x='onclick=planted(1)"],
        launch_url=f"{app}/launch?x='onclick=planted(1)",
        scope=scope,
    )
    page = browsing.open()
    request = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": f"{app}/callback?x='onclick=planted(1)",
        "scope": scope,
        "state": payload("state"),
        "aud": demo.clinic.fhir_base,
        "code_challenge": "a" * 43,
        "code_challenge_method": "S256",
    }
    page.goto(f"{demo.clinic.base_url}/oauth2/authorize?{urlencode(request)}")
    look(page)
    sign_in(page)
    look(page)
    choose_patient(page)
    assert payload("client_name") in look(page)
    for path in ("/", "/clients", "/faults", "/inspect", f"/inspect?{urlencode({'client': client_id})}"):
        page.goto(f"{demo.clinic.base_url}{path}")
        for summary in page.locator("summary").all()[:4]:
            summary.click()
        look(page)


@pytest.mark.parametrize("field", ["client_id", "redirect_uri", "scope", "state", "aud", "response_type"])
def test_what_an_authorization_request_says(browsing: Any, demo: Any, field: str) -> None:
    """A request that the sandbox cannot send back is refused on a page that quotes it as text."""
    page = browsing.open()
    fields = {"client_id": "nobody", "redirect_uri": "https://app.example.com/", field: payload(field)}
    page.goto(f"{demo.clinic.base_url}/oauth2/authorize?{urlencode(fields)}")
    look(page)
    browsing.watch.expect(400)


def test_every_page_of_the_app_is_protected(browsing: Any, demo: Any) -> None:
    """Each document comes with a policy that lets no script run, and is neither sniffed, told on nor kept."""
    page = browsing.open()
    documents: list[Any] = []
    page.on(
        "response",
        lambda answer: documents.append(answer) if answer.request.resource_type == "document" else None,
    )
    log_in(page, demo)
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("heading", name="You are signed out").wait_for()
    page.goto(f"{demo.app_url}/smart/launch?iss=https%3A%2F%2Fevil.example&launch=x")
    browsing.watch.expect(400)
    shown = [answer for answer in documents if not 300 <= answer.status < 400]
    assert len(shown) >= 7
    for answer in shown:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy, answer.url
        assert "frame-ancestors" in policy, answer.url
        assert "unsafe" not in policy, answer.url
        assert "script-src" not in policy, answer.url
    for answer in shown:
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS, answer.url


def test_cookies_are_opaque(browsing: Any, demo: Any) -> None:
    """After a login each cookie is out of a script's reach, and holds a random id: no token, no patient."""
    page = browsing.open()
    log_in(page, demo)
    cookies = {each["name"]: each for each in page.context.cookies(demo.app_url)}
    own = {name: each for name, each in cookies.items() if name.startswith("smart-session")}
    assert sorted(own) == ["smart-session", "smart-session-login"]
    for name, cookie in own.items():
        assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Lax", "/"), name
        value = cookie["value"]
        assert re.fullmatch(r"[A-Za-z0-9_-]{43}", value), name
        raw = base64.urlsafe_b64decode(value + "=")
        for known in (b"patient", b"amber", b"eyJ"):  # nothing short: random bytes may hold it
            assert known not in raw, name
        with pytest.raises(zlib.error):
            zlib.decompress(raw)
    assert page.evaluate("document.cookie") == ""
    assert page.evaluate("[localStorage.length, sessionStorage.length]") == [0, 0]


def test_the_session_has_a_new_id_after_each_login(browsing: Any, demo: Any) -> None:
    """An id from before a login, planted or not, is none of a signed-in user."""
    page = browsing.open()
    planted = "A" * 43
    page.context.add_cookies([{"name": "smart-session", "value": planted, "url": demo.app_url}])
    log_in(page, demo)
    first = session_of(page, demo)
    assert first != planted
    page.goto(f"{demo.app_url}/smart/login?return_to=/chart")
    page.get_by_role("link", name="Sandbox Hospital").click()
    sign_in(page)
    choose_patient(page)
    allow(page)
    page.get_by_role("heading", name="Amber Sampleton").wait_for()
    assert session_of(page, demo) != first
    page.context.add_cookies([{"name": "smart-session", "value": first, "url": demo.app_url}])
    page.goto(f"{demo.app_url}/chart")
    page.get_by_role("heading", name="Where is the record kept?").wait_for()


def session_of(page: Any, demo: Any) -> str:
    found = [each["value"] for each in page.context.cookies(demo.app_url) if each["name"] == "smart-session"]
    assert len(found) == 1
    return str(found[0])


def fulfil(body: str, route: Any, _request: Any) -> None:
    route.fulfill(body=body, content_type="text/html")


def test_a_form_from_elsewhere_changes_nothing(browsing: Any, demo: Any) -> None:
    """Another site's form neither logs a user out nor renews: the app does not take it for the user's."""
    page = browsing.open()
    log_in(page, demo)
    evil = "http://localhost:9/"
    for path in ("/smart/logout", "/refresh"):
        form = (
            f'<!doctype html><form method="post" action="{demo.app_url}{path}">'
            '<input name="form_token" value="x"><button>Win</button></form>'
        )
        page.route(evil, partial(fulfil, form))
        page.goto(evil)
        page.get_by_role("button", name="Win").click()
        page.wait_for_url(f"{demo.app_url}/**")
        page.unroute(evil)
    page.goto(f"{demo.app_url}/chart")
    page.get_by_role("heading", name="Amber Sampleton").wait_for()
    browsing.watch.refused.clear()
