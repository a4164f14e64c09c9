"""What a checked authorization request leads to: a code, or an error, carried back by the browser."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from smart_async.messages import Response
from smart_async.sandbox.charts import Charts
from smart_async.sandbox.clients import SandboxClient
from smart_async.sandbox.faults import Faults
from smart_async.sandbox.grants import Grant, GrantStore, Launch
from smart_async.sandbox.replies import redirect
from smart_async.sandbox.settings import Place
from smart_async.sandbox.verdicts import Case, RefusedError

__all__ = ("Asked", "Consent")

_PATIENT_LAUNCH = ("launch/patient", "launch/encounter")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """
    An authorization request in which nothing is wrong.

    Args:
        client: The client.
        redirect_uri: Where the browser goes back to.
        state: The client's state.
        challenge: The PKCE challenge.
        nonce: The nonce for the ID token, or None.
        scopes: What can be granted at most.
        launch: The launch that it belongs to, or None for a standalone one.
        status: The status of the redirect: 302 after a GET, 303 after a POST.
    """

    client: SandboxClient
    redirect_uri: str
    state: str
    challenge: str
    nonce: str | None
    scopes: tuple[str, ...]
    launch: Launch | None
    status: int

    @property
    def wants_patient(self) -> bool:
        """Whether a patient has to be chosen."""
        return self.launch is None and _about_patient(self.scopes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """
    Turns a decision into the redirect that tells the app of it.

    Args:
        grants: Where codes are kept.
        place: The sandbox's URLs.
        charts: Finds patients and encounters.
        faults: What goes wrong on demand.
        user: The relative reference to the user who is signed in where nobody is asked.
        patient: The patient who is chosen where nobody is asked.

    Spec: RFC 6749, section 4.1.2; RFC 9207; SMART App Launch 2.2, launch context.
    """

    grants: GrantStore
    place: Place
    charts: Charts
    faults: Faults
    user: str
    patient: str

    def allow(
        self,
        asked: Asked,
        case: Case,
        *,
        scopes: tuple[str, ...] | None = None,
        user: str | None = None,
        patient: str | None = None,
    ) -> Response:
        """
        Return the redirect with a code.

        Args:
            asked: The request.
            case: The HTTP request that brought the decision.
            scopes: What the user allows; everything that can be granted by default.
            user: The user; the launch's or the sandbox's own by default.
            patient: The patient of a standalone launch; the sandbox's own by default.
        """
        granted = asked.scopes if scopes is None else scopes
        launched_by = asked.launch.user if asked.launch else None
        grant = Grant(
            client_id=asked.client.client_id,
            scopes=granted,
            context=self._context(asked, granted, patient or self.patient),
            user=user or launched_by or self.user,
            nonce=asked.nonce,
        )
        code = self.grants.new_code(grant, redirect_uri=asked.redirect_uri, challenge=asked.challenge)
        return self.send_back(asked.redirect_uri, {"code": code}, asked.state, case, status=asked.status)

    def deny(self, asked: Asked, case: Case) -> Response:
        """Return the redirect that says that the user does not want to."""
        refusal = RefusedError("RFC 6749 §4.1.2.1", "the user denied the request", error="access_denied")
        parameters = {"error": refusal.error, "error_description": refusal.description}
        return self.send_back(asked.redirect_uri, parameters, asked.state, case, status=asked.status)

    def send_back(
        self, redirect_uri: str, parameters: Mapping[str, str], state: str | None, case: Case, *, status: int
    ) -> Response:
        """Return the redirect to the app with *parameters*, the app's state and the issuer."""
        answer = dict(parameters)
        if state is not None:
            answer["state"] = state
        if self.faults.take("wrong_state", case):
            answer["state"] = secrets.token_urlsafe(32)
        return redirect(redirect_uri, {**answer, "iss": self.place.issuer}, status=status)

    def _context(self, asked: Asked, granted: tuple[str, ...], patient: str) -> dict[str, Any]:
        if asked.launch is not None and "launch" in granted:
            return asked.launch.context
        if not _about_patient(granted):
            return {}
        if asked.launch is not None:
            names = ("patient", "need_patient_banner")
            return {name: value for name, value in asked.launch.context.items() if name in names}
        encounter = self.charts.first_encounter(patient) if "launch/encounter" in granted else None
        return self.charts.context(patient, encounter)


def _about_patient(scopes: tuple[str, ...]) -> bool:
    return any(scope in _PATIENT_LAUNCH or scope.startswith("patient/") for scope in scopes)
