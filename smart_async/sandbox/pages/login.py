"""Sign-in, patient picker and consent: what a user sees between an authorization request and its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from smart_async.messages import Response
from smart_async.sandbox.charts import Charts
from smart_async.sandbox.codes import Resource
from smart_async.sandbox.consent import Consent
from smart_async.sandbox.logins import Login, LoginDesk
from smart_async.sandbox.pages.guard import Browser, query_of
from smart_async.sandbox.pages.people import named, users
from smart_async.sandbox.pages.render import Renderer
from smart_async.sandbox.pages.texts import PageError
from smart_async.sandbox.pages.words import scope_words
from smart_async.sandbox.replies import see_other
from smart_async.sandbox.search import matches
from smart_async.sandbox.verdicts import Case, Ledger, Received, Verdict

__all__ = ("LoginPages",)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginPages:
    """
    Leads a user through one sign-in: who are you, whom is it about, do you allow this.

    Args:
        renderer: Makes the pages.
        desk: Keeps the sign-ins.
        charts: The users and patients to choose from.
        consent: Sends the browser back to the app.
        ledger: Where the decision is noted.
    """

    renderer: Renderer
    desk: LoginDesk
    charts: Charts
    consent: Consent
    ledger: Ledger

    def show(self, received: Received, browser: Browser) -> Response:
        """Show the step at the end of the path, or lead to the step that comes next."""
        login, step = self._login(received, browser)
        if step == "user":
            people = users(self.charts)
            return self._page("user.html", login, browser, people=people, chosen=login.user, error=None)
        if login.user is None or not step:
            return see_other(f"/login/{login.key}/{self._next(login)}", headers=browser.headers)
        if step == "patient":
            return self._picker(login, browser, query_of(received).get("q", "").strip(), error=None)
        if step == "consent" and self._next(login) == "consent":
            return self._consent(login, browser, error=None)
        raise PageError("missing", status=404)

    def take(self, received: Received, browser: Browser, fields: dict[str, str]) -> Response:
        """Take the form of a step."""
        login, step = self._login(received, browser)
        if step == "user":
            return self._sign_in(login, browser, fields)
        if step == "patient" and login.user is not None:
            return self._pick(login, browser, fields)
        if step == "consent" and self._next(login) == "consent":
            return self._decide(login, browser, fields, received)
        raise PageError("missing", status=404)

    def _login(self, received: Received, browser: Browser) -> tuple[Login, str]:
        _, _, key, *rest = received.path.split("/")
        login = self.desk.find(key)
        if login is None:
            raise PageError("expired", status=404)
        if login.browser not in (None, browser.name):
            raise PageError("another browser", status=403)
        if login.done:
            raise PageError("decided", status=409)
        login.browser = browser.name
        return login, "/".join(rest)

    def _next(self, login: Login) -> str:
        if login.user is None:
            return "user"
        return "patient" if login.asked.wants_patient and login.patient is None else "consent"

    def _sign_in(self, login: Login, browser: Browser, fields: dict[str, str]) -> Response:
        people = users(self.charts)
        user = fields.get("user")
        if user is None:
            error = "Choose who you are."
            return self._page(
                "user.html", login, browser, status=422, people=people, chosen=None, error=error
            )
        if user not in {person["reference"] for group in people for person in group["people"]}:
            raise PageError("choice")
        login.user = user
        kind, _, identifier = user.partition("/")
        login.patient = identifier if kind == "Patient" else None
        return see_other(f"/login/{login.key}/{self._next(login)}")

    def _picker(self, login: Login, browser: Browser, query: str, *, error: str | None) -> Response:
        found = [patient for patient in self._patients(login) if _found(patient, query)]
        rows = [
            {**named(patient), "born": patient["birthDate"], "sex": patient["gender"]} for patient in found
        ]
        values = {"query": query, "rows": rows, "chosen": login.patient, "error": error}
        return self._page("patient.html", login, browser, status=422 if error else 200, **values)

    def _patients(self, login: Login) -> list[Resource]:
        # A patient who signs in has one record to show: their own.
        everyone = self.charts.everyone("Patient")
        return [one for one in everyone if not _is_patient(login) or login.user == f"Patient/{one['id']}"]

    def _pick(self, login: Login, browser: Browser, fields: dict[str, str]) -> Response:
        patient = fields.get("patient")
        if patient is None:
            return self._picker(login, browser, "", error="Choose a patient.")
        if patient not in {one["id"] for one in self._patients(login)}:
            raise PageError("choice")
        login.patient = patient
        return see_other(f"/login/{login.key}/consent")

    def _consent(self, login: Login, browser: Browser, *, error: str | None) -> Response:
        words = [scope_words(scope) for scope in login.asked.scopes]
        context = login.asked.launch.context if login.asked.launch else {"patient": login.patient}
        patient = context.get("patient")
        values: dict[str, Any] = {
            "words": words,
            "patient": named(self.charts.require(f"Patient/{patient}", field="patient")) if patient else None,
            "picked": login.asked.wants_patient and not _is_patient(login),
            "encounter": context.get("encounter"),
            "user": named(self.charts.require(login.user or "", field="user")),
            "error": error,
        }
        return self._page("consent.html", login, browser, status=422 if error else 200, **values)

    def _decide(self, login: Login, browser: Browser, fields: dict[str, str], received: Received) -> Response:
        asked = login.asked
        allowed = tuple(
            scope for number, scope in enumerate(asked.scopes, start=1) if f"scope-{number}" in fields
        )
        decision = fields.get("decision")
        if decision not in ("allow", "deny"):
            raise PageError("choice")
        if decision == "allow" and not allowed:
            return self._consent(login, browser, error="Choose at least one permission, or deny access.")
        login.done = True
        case = Case(endpoint="authorize", received=received, client_id=asked.client.client_id)
        if decision == "allow":
            response = self.consent.allow(asked, case, scopes=allowed, user=login.user, patient=login.patient)
        else:
            response = self.consent.deny(asked, case)
        self._note(case, allowed if decision == "allow" else ())
        return Response(status=303, headers=response.headers)

    def _note(self, case: Case, allowed: tuple[str, ...]) -> None:
        message = f"the user allowed: {' '.join(allowed)}" if allowed else "the user denied the request"
        case.endpoint = "consent"
        case.verdicts.append(
            Verdict(
                client_id=case.client_id,
                endpoint="consent",
                accepted=bool(allowed),
                rule=None,
                message=message,
            )
        )
        self.ledger.answered(case, 303)

    def _page(
        self, template: str, login: Login, browser: Browser, *, status: int = 200, **values: Any
    ) -> Response:
        client = login.asked.client
        targets = [login.asked.redirect_uri, *([client.launch_url] if client.launch_url else [])]
        return self.renderer.page(
            template,
            status=status,
            targets=targets,
            framed=True,
            headers=browser.headers,
            client=client,
            target=login.asked.redirect_uri,
            path=f"/login/{login.key}",
            asks_for_patient=login.asked.wants_patient,
            form_token=browser.token,
            **values,
        )


def _is_patient(login: Login) -> bool:
    return (login.user or "").startswith("Patient/")


def _found(patient: Resource, query: str) -> bool:
    return all(
        matches(patient, [("name", word.replace(",", ""))]) or word == patient["birthDate"]
        for word in query.split()
    )
