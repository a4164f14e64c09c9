"""The inspector: every request with its verdict, and no credential."""

from __future__ import annotations

import base64
import json
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest


def login(asking):
    """Log in with everything agreed to."""
    url = f"{asking.sandbox.base_url}/oauth2/authorize?{urlencode(asking.authorization())}"
    code = dict(parse_qsl(urlsplit(asking.sandbox.authorize(url)).query))["code"]
    return json.loads(asking.exchange(code).body)


def rows(page):
    return page.all("details")


def opened(page, number=0):
    return rows(page)[number].text


def test_newest_first(asking, surfer):
    """The newest request stands first, with its verdict, its rule and its status."""
    asking.backend()
    asking.backend(header={"kid": "other"})
    page = surfer.go("/inspect")
    first, second = (row.all("summary")[0].text for row in rows(page)[:2])
    assert [word in first for word in ("POST", "/oauth2/token", "asymmetric", "401", "refused", "AS-18")] == [
        True
    ] * 6
    assert [word in second for word in ("asymmetric", "200", "accepted")] == [True] * 3


def test_remarks_are_told(asking, surfer):
    """A request that was accepted in spite of something shows what."""
    asking.ask(asking.authorization(state="short"))
    assert ("accepted, but" in opened(surfer.go("/inspect")), "AL-10" in opened(surfer.go("/inspect"))) == (
        True,
        True,
    )


def test_documents_are_not_judged(asking, surfer):
    """A document that anybody may fetch has no verdict, and nobody knows whose request it was."""
    asking.send("GET", asking.sandbox.fhir_base + "/metadata")
    row = opened(surfer.go("/inspect"))
    assert ("client unknown" in row, "accepted" in row, "refused" in row) == (True, False, False)


def test_the_assertion_is_taken_apart(asking, surfer):
    """Header and claims of an assertion are shown, and the assertion itself is not."""
    fields = {"grant_type": "client_credentials", "scope": "system/*.rs", **asking.proof()}
    asking.post(fields)
    shown = [one.text for one in rows(surfer.go("/inspect"))[0].all("pre")]
    header, claims = (json.loads(text) for text in shown)
    assert (header["alg"], header["kid"], claims["iss"]) == ("ES384", "key-ec", "asymmetric")
    assert fields["client_assertion"].rpartition(".")[2] not in surfer.go("/inspect").response.text


@pytest.mark.parametrize("assertion", ["nonsense", "a.b.c"])
def test_assertions_that_cannot_be_read(asking, surfer, assertion):
    """An assertion that is none is said to be so."""
    asking.post({"client_assertion": assertion})
    assert [one.text for one in rows(surfer.go("/inspect"))[0].all("pre")] == ["cannot be read"] * 2


def test_no_credential_is_shown(asking, surfer):
    """Codes, verifiers, secrets, tokens and passwords are masked wherever they came in."""
    token = login(asking)
    asking.refresh(token["refresh_token"])
    asking.read("Patient/patient-amber?access_token=in-the-url", token["access_token"])
    basic = base64.b64encode(b"symmetric:in-the-header").decode()
    asking.post(
        {"client_secret": "in-the-form", "code": "the-code"}, headers={"Authorization": f"Basic {basic}"}
    )
    asking.send("GET", asking.sandbox.fhir_base + "/metadata", headers={"Cookie": "session=in-the-cookie"})
    asking.send("GET", asking.sandbox.fhir_base + "/Patient", headers={"Authorization": "raw-token"})
    body = {
        "jwks": {"keys": [{"kty": "EC", "d": "private-part"}]},
        "client_secret": "in-json",
        "software_id": 7,
    }
    asking.send(
        "POST",
        asking.sandbox.base_url + "/oauth2/register",
        body=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    page = surfer.go("/inspect").response.text
    secrets = (token["access_token"], token["refresh_token"], asking.verifier, basic)
    secrets += ("in-the-url", "in-the-header", "in-the-form", "in-the-cookie", "raw-token", "the-code")
    secrets += ("private-part", "in-json")
    assert [secret for secret in secrets if secret in page] == []
    assert ("software_id" in page, "Bearer ••••" in page) == (True, True)


@pytest.mark.parametrize(("body", "says"), [(b"{", "cannot be read as JSON"), (b"[]", "is no JSON object")])
def test_bodies_that_are_no_object(asking, surfer, body, says):
    """A JSON body that is none is said to be so."""
    asking.send(
        "POST",
        asking.sandbox.base_url + "/oauth2/register",
        body=body,
        headers={"Content-Type": "application/json"},
    )
    assert says in opened(surfer.go("/inspect"))


def test_per_client(asking, surfer):
    """One app's requests can be seen alone, also of an app that is not registered."""
    asking.backend()
    asking.post({"client_id": "stranger"})
    assert len(rows(surfer.go("/inspect"))) == 2
    page = surfer.go("/inspect").submit("client", client="stranger")
    assert (len(rows(page)), "stranger" in opened(page)) == (1, True)
    assert "1 request." in page.text


def test_faults_and_replays(asking, surfer):
    """What a fault did, and that an answer was kept back, is in the row; replays are counted."""
    asking.sandbox.faults.add("refresh_reused")
    asking.refresh(login(asking)["refresh_token"])
    assert "fault: refresh_reused" in opened(surfer.go("/inspect"))
    asking.sandbox.faults.add("lost_token_response")
    with pytest.raises(Exception, match="broke off"):
        asking.backend()
    page = surfer.go("/inspect")
    assert ("no answer" in opened(page), "1 replay of a code" in page.text) == (True, True)


@pytest.mark.parametrize(
    ("decision", "says"), [("allow", "allowed by the user"), ("deny", "denied by the user")]
)
def test_decisions(asking, surfer, decision, says):
    """What a user decided is a row of its own, without the name of the sign-in."""
    url = f"{asking.sandbox.base_url}/oauth2/authorize?{urlencode(asking.authorization(scope='openid'))}"
    page = surfer.go(url).submit("user")
    page.submit("decision", press=decision)
    row = opened(surfer.go("/inspect"))
    assert (says in row, "allowed: openid" in row) == (True, decision == "allow")
    assert page.path.split("/")[2] not in surfer.go("/inspect").response.text


def test_only_the_newest(asking, surfer):
    """Of very many requests the newest fifty are shown, and the rest are counted."""
    for _ in range(60):
        asking.read("Patient", None)
    page = surfer.go("/inspect")
    assert (len(rows(page)), "60 requests, the newest 50 shown" in page.text) == (50, True)


def test_refresh_is_asked_for(surfer):
    """The page loads itself again only if one wants it to."""
    page = surfer.go("/inspect")
    assert [one for one in page.all("meta") if one.get("http-equiv")] == []
    page = page.submit("client", refresh="on")
    assert [one["content"] for one in page.all("meta") if one.get("http-equiv") == "refresh"] == ["5"]
    assert "Nothing has arrived yet." in page.text


def test_pages_leave_no_trace(asking, surfer):
    """Looking is not counted: pages are in neither list of requests."""
    surfer.go("/")
    surfer.go("/inspect")
    assert (asking.sandbox.requests, asking.sandbox.exchanges) == ([], [])
