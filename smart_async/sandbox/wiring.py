"""The parts of the sandbox, put together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from starlette.applications import Starlette

from smart_async.sandbox.app import Conduct, Document, Endpoint, build_app
from smart_async.sandbox.assertions import AssertionJudge
from smart_async.sandbox.authorization import Authorization
from smart_async.sandbox.charts import Charts
from smart_async.sandbox.client_auth import ClientAuthenticator
from smart_async.sandbox.client_keys import ClientKeys, Fetch
from smart_async.sandbox.clients import Registry
from smart_async.sandbox.consent import Consent
from smart_async.sandbox.data import Resource
from smart_async.sandbox.documents import (
    capability_statement,
    openid_configuration,
    smart_configuration,
)
from smart_async.sandbox.faults import Faults
from smart_async.sandbox.fhir import FHIR_JSON, FhirEndpoint
from smart_async.sandbox.grants import GrantStore
from smart_async.sandbox.id_tokens import IdTokenIssuer
from smart_async.sandbox.logins import LoginDesk
from smart_async.sandbox.pages import Renderer, page_routes
from smart_async.sandbox.registration import Management, Registration, RegistrationBook
from smart_async.sandbox.replies import json_reply
from smart_async.sandbox.settings import Place, Settings
from smart_async.sandbox.token_status import Introspection, Revocation
from smart_async.sandbox.tokens import TokenEndpoint
from smart_async.sandbox.verdicts import Ledger

__all__ = ("Parts", "assemble")

_CACHED = (("Cache-Control", "public, max-age=600"),)


class Parts(NamedTuple):
    """What `Sandbox` works with."""

    registry: Registry
    ledger: Ledger
    grants: GrantStore
    app: Starlette
    desk: LoginDesk
    consent: Consent


def assemble(
    *,
    place: Place,
    settings: Settings,
    resources: dict[str, dict[str, Resource]],
    user: str,
    patient: str,
    fetch: Fetch,
    faults: Faults,
) -> Parts:
    """
    Make all parts of a sandbox and the app around them.

    Args:
        place: Its URLs.
        settings: Lifetimes, behaviour and clock.
        resources: The data, by type and id.
        user: The relative reference to the user who is signed in where nobody is asked.
        patient: The id of the patient of standalone launches where nobody is asked.
        fetch: Gets a client's JWK Set from its URL.
        faults: What goes wrong on demand.
    """
    registry, ledger, grants = Registry(), Ledger(), GrantStore(settings)
    id_tokens = IdTokenIssuer(place, settings)
    judge = AssertionJudge(registry, ClientKeys(fetch, settings.clock, faults), settings.clock)
    authenticator = ClientAuthenticator(registry=registry, judge=judge)
    charts, desk, renderer = Charts(resources), LoginDesk(settings.clock), Renderer(place)
    consent = Consent(grants=grants, place=place, charts=charts, faults=faults, user=user, patient=patient)
    book = RegistrationBook(registry=registry, place=place, settings=settings, entries={})
    endpoints: Mapping[str, tuple[str, Endpoint]] = {
        "/oauth2/authorize": (
            "authorize",
            Authorization(
                registry=registry,
                grants=grants,
                place=place,
                consent=consent,
                desk=None if settings.auto_consent else desk,
                show_error=renderer.refusal,
            ),
        ),
        "/oauth2/token": (
            "token",
            TokenEndpoint(
                authenticator=authenticator,
                grants=grants,
                id_tokens=id_tokens,
                place=place,
                settings=settings,
                faults=faults,
            ),
        ),
        "/oauth2/introspect": (
            "introspect",
            Introspection(authenticator=authenticator, grants=grants, id_tokens=id_tokens, place=place),
        ),
        "/oauth2/revoke": ("revoke", Revocation(authenticator=authenticator, grants=grants, place=place)),
        "/oauth2/register": ("register", Registration(book=book)),
        "/oauth2/register/{client_id}": ("register", Management(book=book, grants=grants)),
        "/fhir/{rest:path}": (
            "fhir",
            FhirEndpoint(resources=resources, grants=grants, place=place, faults=faults),
        ),
    }
    app = build_app(
        documents=_documents(place, id_tokens),
        endpoints=endpoints,
        pages=page_routes(
            renderer=renderer,
            registry=registry,
            grants=grants,
            charts=charts,
            consent=consent,
            desk=desk,
            faults=faults,
            ledger=ledger,
            place=place,
            settings=settings,
        ),
        conduct=Conduct(
            ledger=ledger, faults=faults, grants=grants, registry=registry, place=place, settings=settings
        ),
    )
    return Parts(registry, ledger, grants, app, desk, consent)


def _documents(place: Place, id_tokens: IdTokenIssuer) -> dict[str, tuple[str, Document]]:
    return {
        "/fhir/.well-known/smart-configuration": (
            "discovery",
            lambda: json_reply(smart_configuration(place), headers=_CACHED),
        ),
        "/.well-known/openid-configuration": (
            "discovery",
            lambda: json_reply(openid_configuration(place), headers=_CACHED),
        ),
        "/oauth2/keys": ("keys", lambda: json_reply(id_tokens.jwks, headers=_CACHED)),
        "/fhir/metadata": (
            "metadata",
            lambda: json_reply(capability_statement(place), media_type=FHIR_JSON),
        ),
    }
