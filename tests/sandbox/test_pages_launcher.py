"""The launcher, the registration of apps and the ordering of faults, form by form."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl

import pytest


def launched(page):
    return dict(parse_qsl(page.response.url.query.decode()))


def test_defaults(surfer):
    """The launcher proposes a launch from the EHR, of the first patient, by the first of the staff."""
    page = surfer.go("/").submit("client")
    assert str(page.response.url).startswith(
        "https://app.example.com/launch?iss=https%3A%2F%2Fsandbox.example%2Ffhir"
    )


@pytest.mark.parametrize(
    ("fields", "context", "user"),
    [
        ({}, {"patient": "patient-amber", "need_patient_banner": True}, "Practitioner/doctor-demo"),
        ({"patient": ""}, {}, "Practitioner/doctor-demo"),
        (
            {"patient": "patient-gale", "encounter": "encounter-gale-2", "user": ""},
            {"patient": "patient-gale", "need_patient_banner": True, "encounter": "encounter-gale-2"},
            None,
        ),
    ],
)
def test_the_launch_knows_what_was_chosen(asking, surfer, fields, context, user):
    """The handle stands for the chart and the user that were chosen."""
    page = surfer.go("/").submit("client", **fields)
    launch = asking.sandbox._grants.launch(launched(page)["launch"])
    assert (launch.context, launch.user) == (context, user)


def test_another_launch_url(surfer):
    """A launch URL with a query of its own, at an origin that is known, is gone to at once."""
    page = surfer.go("/").submit("client", launch_url="https://app.example.com/other?tenant=7")
    assert (page.response.url.path, launched(page)["tenant"]) == ("/other", "7")


def test_an_origin_that_nobody_registered(surfer):
    """To an unknown origin the browser is not sent; the user sees the address and may go there."""
    page = surfer.go("/").submit("client", launch_url="https://elsewhere.example.net/go")
    assert page.heading == "Ready to launch"
    link = page.one("start")
    assert link["href"].startswith("https://elsewhere.example.net/go?iss=")
    assert "https://elsewhere.example.net" not in page.policy["form-action"]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"client": "nobody"}, "Choose an app."),
        ({"launch_url": "javascript:alert(1)"}, "launch URL"),
        ({"launch_url": "http://app.example.com/"}, "launch URL"),
        ({"patient": "nobody"}, "has no 'Patient/nobody'"),
        ({"encounter": "encounter-basil-1"}, "not one of the patient"),
        ({"user": "Practitioner/nobody"}, "has no 'Practitioner/nobody'"),
        ({"client": "nameless"}, "no launch URL"),
    ],
)
def test_what_cannot_be_launched(asking, surfer, fields, says):
    """A launch that cannot be is explained, and the form stays as it was filled in."""
    asking.sandbox.register_client(client_id="nameless", redirect_uris=["https://n.example/"])
    page = surfer.go("/").submit("client", **fields)
    assert (page.status, says in page.alert()) == (422, True)
    if "launch_url" in fields:
        assert page.one("launch_url")["value"] == fields["launch_url"]


def test_standalone(surfer):
    """For an app that starts by itself there are its settings, to be copied."""
    page = surfer.go("/").submit("client", launch_type="standalone", scope="openid patient/*.rs")
    assert page.heading == "Start it by itself"
    shown = [one.text for one in page.all("code")]
    assert {"https://sandbox.example/fhir", "asymmetric", "openid patient/*.rs"} <= set(shown)
    assert 'SMART_SCOPE="openid patient/*.rs"' in shown[-2] + shown[-1]


def test_framed(surfer):
    """In a frame the chart page holds the app, opened with its launch."""
    page = surfer.go("/").submit("client", framed="on", patient="patient-iris")
    assert page.path.startswith("/ehr/")
    assert (page.heading, page.one("app")["src"].startswith("https://app.example.com/launch?iss=")) == (
        "Iris Fictionelle",
        True,
    )


def test_what_was_not_prepared(surfer):
    """A launch that is unknown, or has nothing to frame, has no page."""
    path = surfer.go("/").submit("client", launch_type="standalone").path
    pages = [surfer.go(path.replace("/launch/", "/ehr/")), surfer.go("/launch/x"), surfer.go("/ehr/x")]
    assert [page.status for page in pages] == [404, 404, 404]


def test_links_into_the_launcher(surfer):
    """The query of the launcher chooses beforehand, for links in documentation."""
    page = surfer.go("/?client=asymmetric&patient=patient-ember&launch_type=standalone")
    chosen = [one["value"] for one in page.one("patient").all("option") if "selected" in one.attributes]
    assert (chosen, "checked" in page.one("launch-standalone").attributes) == (["patient-ember"], True)
    page = surfer.go("/?patient=patient-ember&user=Patient/patient-ember")
    chosen = [one["value"] for one in page.all("option") if "selected" in one.attributes]
    assert chosen == ["patient-ember", "Patient/patient-ember"]


def test_without_apps(make_hand, surfer):
    """Without a single app the launcher leads to where one is registered."""
    surfer.sandbox._registry.remove("asymmetric")
    page = surfer.go("/")
    assert ("No app is registered yet." in page.text, page.all("select")[0]["name"]) == (True, "fault")
    assert "None yet." in surfer.go("/clients").text


def test_only_so_many_launches(surfer):
    """Old launches are forgotten in the end."""
    first = surfer.go("/").submit("client", launch_type="standalone").path
    page = surfer.go("/")
    for _ in range(200):
        page.submit("client", launch_type="standalone")
    assert surfer.go(first).status == 404


# Apps.


def test_a_public_app_is_registered(asking, surfer):
    """An app registered on the page can be launched and may sign users in at once."""
    page = surfer.go("/clients").submit(
        "client_id",
        client_id="mine",
        client_name="My app",
        redirect_uris="https://mine.example/a\n  https://mine.example/b",
        launch_url="https://mine.example/launch",
        scope="openid  launch/patient patient/*.rs",
    )
    client = asking.sandbox._registry.find("mine")
    assert (client.kind, client.redirect_uris) == (
        "public",
        ("https://mine.example/a", "https://mine.example/b"),
    )
    assert (client.scopes, client.launch_url) == (
        ("openid", "launch/patient", "patient/*.rs"),
        "https://mine.example/launch",
    )
    assert "My app is registered." in page.one("made").text
    assert surfer.go("/").submit("client", client="mine").response.url.host == "mine.example"


def test_a_secret_is_shown_once(asking, surfer):
    """A secret is made for the app, works, and is not shown again."""
    page = surfer.go("/clients").submit(
        "client_id", client_id="s", auth="secret", redirect_uris="https://s.example/"
    )
    secret = page.one("client-secret").text
    assert asking.sandbox._registry.find("s").client_secret == secret
    assert secret not in surfer.go("/clients").text


@pytest.mark.parametrize("auth", ["jwks", "jwks_uri"])
def test_an_app_with_keys(asking, surfer, auth):
    """Keys come by value or by URL."""
    values = {"jwks": json.dumps({"keys": [asking.ec_key.jwk]}), "jwks_uri": "https://k.example/jwks"}
    surfer.go("/clients").submit("client_id", client_id="k", auth=auth, **values)
    client = asking.sandbox._registry.find("k")
    assert (client.jwks, client.jwks_uri) == (
        ({"keys": [asking.ec_key.jwk]}, None) if auth == "jwks" else (None, "https://k.example/jwks")
    )


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"client_id": ""}, "client_id must be"),
        ({"redirect_uris": "nonsense"}, "redirect_uris"),
        ({"auth": "jwks", "jwks": "{"}, "no JSON object"),
        ({"auth": "jwks", "jwks": "[]"}, "no JSON object"),
        ({"auth": "jwks", "jwks": '{"keys": []}'}, "at least one key"),
        ({"auth": "magic"}, "how the app authenticates"),
        ({"scope": "patient/*.sr"}, "scope is wrong"),
    ],
)
def test_what_cannot_be_registered(surfer, fields, says):
    """A registration that contradicts itself is explained, and nothing is registered."""
    values = {"client_id": "new", "client_name": "Kept", "redirect_uris": "https://n.example/", **fields}
    page = surfer.go("/clients").submit("client_id", **values)
    assert (page.status, says in page.alert()) == (422, True)
    assert page.one("client_name")["value"] == "Kept"
    assert surfer.sandbox._registry.find("new") is None


# Faults.


def test_a_fault_is_ordered_and_strikes(asking, surfer):
    """A fault added on the page strikes as it would from Python, and is listed with what it did."""
    page = surfer.go("/faults").submit(
        "fault",
        fault="unavailable",
        value="9",
        times="2",
        fault_client="asymmetric",
        endpoint="token",
        action="add",
    )
    assert page.path == "/faults"
    answer = asking.backend()
    assert (answer.status, answer.headers["retry-after"]) == (503, "9")
    assert "asymmetric, once, struck 1 so far" in surfer.go("/faults").text


def test_faults_on_the_launcher(asking, surfer):
    """The launcher lists and takes back faults too, and one stays on it."""
    page = surfer.go("/").submit("fault", fault="fhir_401")
    assert (page.path, [fault.name for fault in asking.sandbox.faults]) == ("/", ["fhir_401"])
    page = page.submit("number", action="remove")
    assert (page.path, len(asking.sandbox.faults)) == ("/", 0)


def test_all_faults_are_taken_back(asking, surfer):
    """One button ends them all."""
    for name in ("slow", "wrong_state"):
        asking.sandbox.faults.add(name)
    page = surfer.go("/faults")
    (clear,) = [form for form in page.all("form") if "Remove all faults" in form.text]
    token = clear.all("input")[0]["value"]
    surfer.go("/faults", method="post", fields={"form_token": token, "action": "clear"})
    assert len(asking.sandbox.faults) == 0


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"fault": "sloth"}, "Choose a fault."),
        ({"value": "much"}, "must hold a number"),
        ({"value": "-1"}, "from 0 on"),
        ({"times": "0"}, "at least 1"),
        ({"times": "nan"}, "must hold a number"),
        ({"fault": "fhir_401", "endpoint": "fhir"}, "endpoint of its own"),
    ],
)
def test_what_cannot_be_ordered(surfer, fields, says):
    """An order that does not fit is explained."""
    page = surfer.go("/faults").submit("fault", **fields)
    assert (page.status, says in page.alert(), len(surfer.sandbox.faults)) == (422, True, 0)


@pytest.mark.parametrize("path", ["/", "/clients", "/faults"])
def test_forged_forms_set_nothing_up(surfer, path):
    """A foreign page can neither launch, nor register, nor order faults."""
    answer = surfer.go(path, method="post", fields={"client_id": "x", "action": "clear"})
    assert (answer.status, answer.heading) == (403, "This form was not filled in here")


@pytest.mark.parametrize("path", ["/inspect", "/launch/x", "/ehr/x", "/login/x"])
def test_pages_without_forms_take_none(surfer, path):
    """A page that has no form of its own does nothing with one."""
    assert surfer.go(path, method="post", fields={"a": "b"}).status in (200, 404)
