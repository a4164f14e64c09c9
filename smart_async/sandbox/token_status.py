"""Introspection and revocation: what a token is worth, and giving it back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from smart_async.messages import Response
from smart_async.sandbox.client_auth import ClientAuthenticator
from smart_async.sandbox.forms import post_fields
from smart_async.sandbox.grants import Grant, GrantStore
from smart_async.sandbox.id_tokens import IdTokenIssuer
from smart_async.sandbox.replies import NO_STORE, error_json, json_reply
from smart_async.sandbox.settings import Place
from smart_async.sandbox.verdicts import Case, RefusedError, invalid_client, invalid_grant, invalid_request

__all__ = ("Introspection", "Revocation")

_INACTIVE = {"active": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Introspection:
    """
    Tells what a token is worth: to a client about its own tokens, to the bearer of a live token about any.

    Args:
        authenticator: Recognises the client.
        grants: What was handed out.
        id_tokens: Knows the users.
        place: The sandbox's URLs.

    Spec: RFC 7662; SMART App Launch 2.2, token introspection.
    """

    authenticator: ClientAuthenticator
    grants: GrantStore
    id_tokens: IdTokenIssuer
    place: Place

    def answer(self, case: Case) -> Response:
        """
        Return the introspection response.

        Raises:
            RefusedError: If the request or its authorization is wrong; an unknown token is none.
        """
        fields = post_fields(case.received, rule="IN-01")
        only = self._caller(fields, case)
        if "token" not in fields:
            raise invalid_request("IN-01", "token is missing")
        return json_reply(self._status(fields["token"], only), headers=NO_STORE)

    def refuse(self, refusal: RefusedError) -> Response:
        """Return the answer to a refused request."""
        return error_json(refusal)

    def _caller(self, fields: dict[str, str], case: Case) -> str | None:
        # None stands for a bearer, who may ask about the tokens of every client.
        scheme, _, bearer = case.received.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            token = self.grants.access(bearer.strip())
            if token is None:
                raise RefusedError(
                    "IN-02",
                    "the bearer token of this request is unknown, expired or revoked",
                    error="invalid_token",
                    status=401,
                    headers=(("WWW-Authenticate", 'Bearer error="invalid_token"'),),
                )
            case.client_id = token.grant.client_id
            return None
        audiences = (self.place.token_endpoint, self.place.introspection_endpoint)
        client = self.authenticator.authenticate(fields, audiences, case)
        if client.kind == "public":
            raise invalid_client(
                "IN-02", "a public client asks with a bearer token, for it cannot authenticate"
            )
        return client.client_id

    def _status(self, text: str, only: str | None) -> dict[str, Any]:
        if (access := self.grants.access(text)) is not None:
            grant, scopes, expires_at = access.grant, access.scopes, access.expires_at
        else:
            refresh = self.grants.live_refresh(text)
            if refresh is None:
                return _INACTIVE
            grant, scopes, expires_at = refresh.grant, refresh.grant.scopes, refresh.expires_at
        if only not in (None, grant.client_id):
            return _INACTIVE
        return self._active(grant, scopes, int(expires_at))

    def _active(self, grant: Grant, scopes: tuple[str, ...], expires_at: int) -> dict[str, Any]:
        status: dict[str, Any] = {
            "active": True,
            "scope": " ".join(scopes),
            "client_id": grant.client_id,
            "exp": expires_at,
            "token_type": "Bearer",
            **grant.context,
        }
        if "openid" in scopes:
            status |= {"iss": self.place.issuer, "sub": self.id_tokens.subject(grant)}
            status |= {"fhirUser": self.id_tokens.fhir_user(grant)} if "fhirUser" in scopes else {}
        return status


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """
    Takes tokens back: an access token alone, a refresh token with everything from the same login.

    Args:
        authenticator: Recognises the client.
        grants: What was handed out.
        place: The sandbox's URLs.

    Spec: RFC 7009.
    """

    authenticator: ClientAuthenticator
    grants: GrantStore
    place: Place

    def answer(self, case: Case) -> Response:
        """
        Return an empty object with status 200, for unknown tokens too.

        Raises:
            RefusedError: If the request is wrong, or the token was issued to another client.
        """
        fields = post_fields(case.received, rule="RFC 7009 §2.1")
        audiences = (self.place.token_endpoint, self.place.revocation_endpoint)
        client = self.authenticator.authenticate(fields, audiences, case)
        if "token" not in fields:
            raise invalid_request("RFC 7009 §2.1", "token is missing")
        access = self.grants.known_access(fields["token"])
        refresh = self.grants.refresh(fields["token"])
        known = access or refresh
        if known is not None and known.grant.client_id != client.client_id:
            raise invalid_grant("RFC 7009 §2.1", "the token was issued to another client")
        if access is not None:
            access.revoked = True
        if refresh is not None:
            refresh.grant.revoked = True
        return json_reply({}, headers=NO_STORE)

    def refuse(self, refusal: RefusedError) -> Response:
        """Return the answer to a refused request."""
        return error_json(refusal)
