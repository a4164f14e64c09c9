"""Sign-ins driven through the pages, form by form, as a browser without scripts would."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

CALLBACK = "https://app.example.com/callback"


def authorize(asking, **changes):
    """Return the URL of an authorization request."""
    query = urlencode(asking.authorization(**changes))
    return f"{asking.sandbox.base_url}/oauth2/authorize?{query}"


def came_back(page):
    assert str(page.response.url).startswith(CALLBACK + "?")
    return dict(parse_qsl(page.response.url.query.decode()))


def token_of(asking, page):
    return json.loads(asking.exchange(came_back(page)["code"]).body)


def to_consent(surfer, url, user="Practitioner/nurse-nominal", patient="patient-fable"):
    page = surfer.go(url).submit("user", user=user)
    return page if page.path.endswith("/consent") else page.submit("patient", press=patient)


@pytest.mark.rule("AL-18", "AL-19", "CB-04")
def test_standalone_with_picker(asking, surfer):
    """Who signed in, whom they picked and what they allowed is what the app gets; the state is its own."""
    url = authorize(asking, state="s" * 20 + "0123456789abcdefghijXYZ")
    page = surfer.go(url)
    assert (page.heading, page.path.rpartition("/")[2]) == ("Sign in", "user")
    page = page.submit("user", user="Practitioner/nurse-nominal")
    assert page.heading == "Choose a patient"
    page = page.submit("patient", press="patient-fable")
    assert (page.heading, "Nurse Nominal" in page.text, "Fable Demoville" in page.text) == (
        "Allow Growth Chart?",
        True,
        True,
    )
    page = page.submit("decision", press="allow")
    assert came_back(page)["state"] == "s" * 20 + "0123456789abcdefghijXYZ"
    token = token_of(asking, page)
    assert token["patient"] == "patient-fable"
    assert token["scope"] == "openid fhirUser launch/patient patient/*.rs offline_access"
    assert asking.read("Patient/patient-fable", token["access_token"]).status == 200
    status = asking.post({"token": token["access_token"], **asking.proof()}, "/oauth2/introspect")
    assert json.loads(status.body)["fhirUser"].endswith("/Practitioner/nurse-nominal")


def test_narrowing(asking, surfer):
    """What the user unticks is not granted, and the rest is."""
    page = to_consent(surfer, authorize(asking))
    scopes = {
        one["name"]: one.parent.all("code")[0].text
        for one in page.all("input")
        if one.get("type") == "checkbox"
    }
    unwanted = {name: ... for name, scope in scopes.items() if scope in ("fhirUser", "offline_access")}
    page = page.submit(
        "decision", press="allow", **{name.replace("-", "__"): value for name, value in unwanted.items()}
    )
    token = token_of(asking, page)
    assert (token["scope"], "refresh_token" in token) == ("openid launch/patient patient/*.rs", False)


def test_no_patient_where_none_is_allowed(asking, surfer):
    """Whoever takes away all that is about a patient gives no patient away."""
    page = to_consent(surfer, authorize(asking)).submit(
        "decision", press="allow", scope__3=..., scope__4=..., scope__5=...
    )
    token = token_of(asking, page)
    assert (token["scope"], "patient" in token) == ("openid fhirUser", False)


@pytest.mark.rule("CB-05")
def test_deny(asking, surfer):
    """A denial goes back to the app as access_denied, with the state and the issuer, and no code."""
    url = authorize(asking)
    answer = came_back(to_consent(surfer, url).submit("decision", press="deny"))
    assert (answer["error"], answer["iss"]) == ("access_denied", asking.sandbox.issuer)
    assert answer["state"] == dict(parse_qsl(urlsplit(url).query))["state"]
    assert "code" not in answer
    exchange = asking.sandbox.exchanges[-1]
    assert (exchange.endpoint, exchange.client_id, exchange.status) == ("consent", "asymmetric", 303)
    assert [verdict.message for verdict in exchange.verdicts] == ["the user denied the request"]
    assert asking.verdict.accepted


def test_allowing_nothing_is_asked_again(asking, surfer):
    """Allow without any permission is no decision."""
    page = to_consent(surfer, authorize(asking, scope="openid")).submit(
        "decision", press="allow", scope__1=...
    )
    assert (page.status, page.alert()) == (422, "Choose at least one permission, or deny access.")
    assert token_of(asking, page.submit("decision", press="allow", scope__1="on"))["scope"] == "openid"


@pytest.mark.rule("AL-03", "AL-04")
def test_ehr_launch(asking, surfer):
    """From the launcher into the app, and from there through consent: user and patient are known already."""
    page = surfer.go("/").submit("client", patient="patient-basil", encounter="encounter-basil-3")
    launch = dict(parse_qsl(page.response.url.query.decode()))
    assert (page.response.url.path, launch["iss"]) == ("/launch", asking.sandbox.fhir_base)
    page = surfer.go(authorize(asking, launch=launch["launch"], scope="launch openid fhirUser patient/*.rs"))
    assert page.heading == "Allow Growth Chart?"
    token = token_of(asking, page.submit("decision", press="allow"))
    assert (token["patient"], token["encounter"]) == ("patient-basil", "encounter-basil-3")


@pytest.mark.parametrize(
    ("kept", "context"),
    [
        (("launch", "openid"), {"patient", "encounter", "need_patient_banner"}),
        (("patient/*.rs",), {"patient", "need_patient_banner"}),
        (("openid",), set()),
    ],
)
def test_narrowing_a_launch(asking, surfer, kept, context):
    """Without the scope launch the app learns no more of what is open than its other scopes need."""
    launch = asking.sandbox.new_launch(
        patient="patient-basil", encounter="encounter-basil-3", user="Practitioner/doctor-demo"
    )
    scopes = ("launch", "openid", "patient/*.rs")
    page = surfer.go(authorize(asking, launch=launch, scope=" ".join(scopes)))
    unticked = {f"scope__{n}": ... for n, scope in enumerate(scopes, start=1) if scope not in kept}
    token = token_of(asking, page.submit("decision", press="allow", **unticked))
    assert {"patient", "encounter", "need_patient_banner"} & token.keys() == context


def test_launch_without_a_user(asking, surfer):
    """A launch of nobody's asks who is there, and not for a patient."""
    launch = asking.sandbox.new_launch(patient="patient-gale")
    page = surfer.go(authorize(asking, launch=launch, scope="launch patient/*.rs"))
    assert page.heading == "Sign in"
    page = page.submit("user")
    assert (page.heading, "Gale Trialby" in page.text) == ("Allow Growth Chart?", True)


@pytest.mark.rule("CTX-01")
def test_launch_without_a_patient(asking, surfer):
    """A launch without a chart offers nothing about a patient."""
    launch = asking.sandbox.new_launch(user="Practitioner/doctor-demo")
    page = surfer.go(authorize(asking, launch=launch, scope="launch openid patient/*.rs"))
    assert [one.text for one in page.all("code")][:2] == ["launch", "openid"]
    assert token_of(asking, page.submit("decision", press="allow"))["scope"] == "launch openid"


def test_a_patient_signs_in(asking, surfer):
    """A patient is not asked for a patient: it is them."""
    page = surfer.go(authorize(asking)).submit("user", user="Patient/patient-iris")
    assert page.heading == "Allow Growth Chart?"
    assert token_of(asking, page.submit("decision", press="allow"))["patient"] == "patient-iris"


def test_a_patient_sees_nobody_else(asking, surfer):
    """The picker of a patient has one entry, and another one cannot be sent."""
    page = surfer.go(authorize(asking)).submit("user", user="Patient/patient-iris")
    picker = surfer.go(page.path.replace("consent", "patient"))
    assert [one["value"] for one in picker.all("button") if one.get("name") == "patient"] == ["patient-iris"]
    assert picker.submit("patient", press="patient-amber").status == 400


def test_no_picker_without_need(asking, surfer):
    """Scopes that are not about one patient lead straight to consent."""
    page = surfer.go(authorize(asking, scope="openid user/*.rs")).submit("user")
    assert (page.heading, "Patient Name" in page.text) == ("Allow Growth Chart?", False)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", 9),
        ("fable", 1),
        ("  Fable  Demo ", 1),
        ("1958-03-14", 1),
        ("amber basil", 0),
        ("a,b", 0),
        ("<script>alert(1)</script>", 0),
    ],
)
def test_search(asking, surfer, query, found):
    """The picker finds by the beginnings of names and by birth date, and shows what was searched as text."""
    page = surfer.go(authorize(asking)).submit("user").submit("q", q=query)
    rows = [one for one in page.all("button") if one.get("name") == "patient"]
    assert (len(rows), page.one("q")["value"]) == (found, query.strip())
    assert (page.all("script"), f"{found} patient" in page.text) == ([], True)


def test_going_back(asking, surfer):
    """Each step can be opened again, and a new choice replaces the old."""
    page = to_consent(surfer, authorize(asking))
    page = surfer.go(page.path.replace("consent", "user")).submit("user", user="Practitioner/doctor-demo")
    page = page.submit("patient", press="patient-clover")
    assert ("Dr. Doctor Demo" in page.text, "Clover Mockingham" in page.text) == (True, True)


@pytest.mark.parametrize("step", ["patient", "consent", ""])
def test_steps_cannot_be_skipped(asking, surfer, step):
    """Before somebody signs in, every step leads there."""
    start = surfer.go(authorize(asking)).path
    assert surfer.go(start.replace("user", step)).heading == "Sign in"


def test_consent_needs_a_patient(asking, surfer):
    """Before a patient is picked there is nothing to consent to."""
    page = surfer.go(authorize(asking)).submit("user")
    assert surfer.go(page.path.replace("patient", "consent")).status == 404
    token = page.form_with("patient").all("input")[0]["value"]
    sent = surfer.go(
        page.path.replace("patient", "consent"),
        method="post",
        fields={"form_token": token, "decision": "allow", "scope-1": "on"},
    )
    assert sent.status == 404


@pytest.mark.parametrize(
    ("control", "fields", "status", "says"),
    [
        ("user", {"user": "Practitioner/nobody"}, 400, "no such choice"),
        ("user", {"user": ...}, 422, "Choose who you are."),
    ],
)
def test_wrong_users(asking, surfer, control, fields, status, says):
    """Only people of the sandbox can sign in."""
    page = surfer.go(authorize(asking)).submit(control, **fields)
    assert (page.status, says in page.text) == (status, True)


@pytest.mark.parametrize(
    ("patient", "status", "says"),
    [("nobody", 400, "no such choice"), (None, 422, "Choose a patient.")],
)
def test_wrong_patients(asking, surfer, patient, status, says):
    """Only patients of the sandbox can be picked."""
    page = surfer.go(authorize(asking)).submit("user").submit("patient", press=patient)
    assert (page.status, says in page.text) == (status, True)


def test_a_decision_is_allow_or_deny(asking, surfer):
    """Anything else decides nothing."""
    assert to_consent(surfer, authorize(asking)).submit("decision", press="maybe").status == 400


def test_scopes_that_were_not_offered(asking, surfer):
    """A form that ticks more than was offered gets no more."""
    page = to_consent(surfer, authorize(asking, scope="openid")).submit(
        "decision", press="allow", scope__2="on", scope__3="system/*.rs"
    )
    assert token_of(asking, page)["scope"] == "openid"


def test_decided_once(asking, surfer):
    """The same consent sent twice, by a double click or the back button, gives one code."""
    page = to_consent(surfer, authorize(asking))
    assert "code" in came_back(page.submit("decision", press="allow"))
    again = page.submit("decision", press="allow")
    assert (again.status, again.heading) == (409, "This sign-in was already decided")


def test_two_tabs(asking, surfer):
    """Two sign-ins in one browser do not get into each other's way."""
    one, other = surfer.go(authorize(asking)), surfer.go(authorize(asking))
    assert one.path != other.path
    one, other = one.submit("user"), other.submit("user", user="Patient/patient-iris")
    assert one.submit("patient", press="patient-amber").heading == "Allow Growth Chart?"
    assert "Iris Fictionelle" in other.text


def test_too_late(asking, surfer):
    """A sign-in that was left alone is over."""
    page = surfer.go(authorize(asking))
    asking.clock.now += 600
    assert (page.submit("user").status, surfer.go("/login/unknown").heading) == (404, "This sign-in is over")


def test_unknown_steps(asking, surfer):
    """There are three steps and no others."""
    page = to_consent(surfer, authorize(asking))
    path = page.path.replace("consent", "nothing")
    token = page.form_with("decision").all("input")[0]["value"]
    assert surfer.go(path).status == 404
    assert surfer.go(path, method="post", fields={"form_token": token}).status == 404


def test_another_browser(asking, surfer, new_surfer):
    """A sign-in stays in the browser in which it began."""
    page = surfer.go(authorize(asking))
    other = new_surfer().go(page.path)
    assert (other.status, other.heading) == (403, "This sign-in belongs to another browser")


@pytest.mark.parametrize(
    ("headers", "fields"),
    [
        ({}, {"form_token": ...}),
        ({}, {"form_token": "0" * 64}),
        ({"Sec-Fetch-Site": "cross-site"}, {}),
        ({"Sec-Fetch-Site": "same-site"}, {}),
        ({"Cookie": "sandbox_browser=x"}, {}),
        ({"Cookie": "a\x01=b"}, {}),
    ],
)
def test_forged_forms(asking, surfer, headers, fields):
    """A form that no page of ours showed in this browser does nothing, whatever it knows of the URL."""
    page = surfer.go(authorize(asking))
    token = page.form_with("user").all("input")[0]["value"]
    sent = {"form_token": token, "user": "Practitioner/doctor-demo", **fields}
    body = {name: value for name, value in sent.items() if value is not ...}
    answer = surfer.go(page.path, method="post", fields=body, headers=headers)
    assert (answer.status, answer.heading) == (403, "This form was not filled in here")
    assert surfer.go(page.path.replace("user", "consent")).heading == "Sign in"


def test_a_token_of_another_browser(asking, surfer, new_surfer):
    """The token of one browser's forms is worth nothing in another."""
    mine = surfer.go(authorize(asking))
    token = mine.form_with("user").all("input")[0]["value"]
    other = new_surfer()
    page = other.go(authorize(asking))
    answer = other.go(
        page.path, method="post", fields={"form_token": token, "user": "Practitioner/doctor-demo"}
    )
    assert answer.status == 403


def test_other_names_of_the_host(asking, surfer):
    """Under a foreign name, as after DNS rebinding, there is no page and no form."""
    answer = surfer.go("/", headers={"Host": "evil.example.net"})
    assert (answer.status, answer.heading) == (421, "The sandbox has another address")


def test_the_cookie(asking, surfer):
    """The cookie is out of reach of scripts and of other sites' forms, and given once."""
    first = surfer.go("/").response.headers["set-cookie"]
    assert first.endswith("; Path=/; HttpOnly; SameSite=Lax")
    assert "set-cookie" not in surfer.go("/").response.headers


def test_the_apps_cookies_come_along(asking, surfer):
    """Cookies of an app on another port of the same host, whatever their names, do no harm."""
    page = surfer.go(authorize(asking))
    name = surfer.http.cookies["sandbox_browser"]
    cookies = f"a@b:c=1; sandbox_browser=short; sandbox_browser={name}; x"
    token = page.form_with("user").all("input")[0]["value"]
    fields = {"form_token": token, "user": "Practitioner/doctor-demo"}
    answer = surfer.go(page.path, method="post", fields=fields, headers={"Cookie": cookies})
    assert answer.heading == "Choose a patient"


def test_in_python_nobody_has_to_click(asking):
    """`authorize` agrees by itself also where the pages would ask."""
    callback = asking.sandbox.authorize(authorize(asking))
    code = dict(parse_qsl(urlsplit(callback).query))["code"]
    assert json.loads(asking.exchange(code).body)["patient"] == "patient-amber"


def test_only_so_many(asking):
    """Sign-ins that nobody comes for are forgotten, the oldest first."""
    first = asking.ask(asking.authorization()).headers["location"]
    for _ in range(500):
        last = asking.ask(asking.authorization()).headers["location"]
    statuses = [asking.send("GET", asking.sandbox.base_url + path).status for path in (first, last)]
    assert statuses == [404, 303]
