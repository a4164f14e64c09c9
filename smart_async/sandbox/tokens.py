"""The token endpoint: codes, refresh tokens and client credentials become access tokens."""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Any

from smart_async.messages import Response
from smart_async.sandbox.client_auth import ClientAuthenticator
from smart_async.sandbox.clients import SandboxClient
from smart_async.sandbox.faults import Faults
from smart_async.sandbox.forms import post_fields
from smart_async.sandbox.grants import Code, Grant, GrantStore, RefreshToken
from smart_async.sandbox.id_tokens import IdTokenIssuer
from smart_async.sandbox.replies import NO_STORE, error_json, json_reply
from smart_async.sandbox.scopes import covers, data_scopes, grant_scopes, read_scope
from smart_async.sandbox.settings import Place, Settings
from smart_async.sandbox.verdicts import Case, RefusedError, invalid_grant, invalid_request, invalid_scope

__all__ = ("TokenEndpoint",)

_VERIFIER = re.compile(r"[A-Za-z0-9\-._~]{43,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEndpoint:
    """
    Judges token requests and answers the good ones.

    Args:
        authenticator: Recognises the client.
        grants: Keeps what is handed out.
        id_tokens: Signs ID tokens.
        place: The sandbox's URLs.
        settings: Lifetimes and behaviour.
        faults: What goes wrong on demand.

    Spec: SMART App Launch 2.2, obtain access token, refresh access token, backend services; RFC 6749,
        section 5.
    """

    authenticator: ClientAuthenticator
    grants: GrantStore
    id_tokens: IdTokenIssuer
    place: Place
    settings: Settings
    faults: Faults

    def answer(self, case: Case) -> Response:
        """
        Return the token response.

        Raises:
            RefusedError: With the OAuth error and the broken rule.
        """
        fields = post_fields(case.received, rule="TK-01")
        client = self.authenticator.authenticate(fields, (self.place.token_endpoint,), case)
        grant_type = fields.get("grant_type")
        if grant_type is None:
            raise invalid_request("TK-02", "grant_type is missing")
        handlers = {
            "authorization_code": self._exchange,
            "refresh_token": self._refresh,
            "client_credentials": self._client_credentials,
        }
        if grant_type not in handlers:
            raise RefusedError(
                "RFC 6749 §5.2",
                f"the grant type '{grant_type}' is unknown here",
                error="unsupported_grant_type",
            )
        if grant_type not in client.grant_types:
            raise RefusedError(
                "RFC 6749 §5.2",
                f"this client is not registered for {grant_type}",
                error="unauthorized_client",
            )
        return json_reply(handlers[grant_type](client, fields, case), headers=NO_STORE)

    def refuse(self, refusal: RefusedError) -> Response:
        """Return the answer to a refused request."""
        return error_json(refusal)

    def _exchange(self, client: SandboxClient, fields: dict[str, str], case: Case) -> dict[str, Any]:
        if "code" not in fields:
            raise invalid_request("TK-02", "code is missing")
        code = self._live_code(client, fields["code"], case)
        _check_exchange(code, fields)
        for name in ("scope", "state", "aud"):
            if name in fields:
                case.remark("TK-02", f"{name} has no place in the exchange of a code")
        code.used = True
        document = self._issue(code.grant, code.grant.scopes, case, context=True)
        if {"offline_access", "online_access"} & set(code.grant.scopes):
            document["refresh_token"] = self.grants.new_refresh(code.grant)
        return document

    def _live_code(self, client: SandboxClient, text: str, case: Case) -> Code:
        code = self.grants.code(text)
        if code is None or code.grant.client_id != client.client_id:
            raise invalid_grant("RFC 6749 §4.1.3", "the code is unknown here or was issued to another client")
        if code.used:
            case.replays.append("code")
            code.grant.revoked = True
            raise invalid_grant(
                "RFC 6749 §4.1.2", "the code was used before; every token that came of it is revoked now"
            )
        if self.faults.take("expired_code", case):
            code.expires_at = self.settings.clock()
        if self.settings.clock() >= code.expires_at:
            raise invalid_grant("RFC 6749 §4.1.2", f"the code expired after {self.settings.code_lifetime} s")
        return code

    def _refresh(self, client: SandboxClient, fields: dict[str, str], case: Case) -> dict[str, Any]:
        if "refresh_token" not in fields:
            raise invalid_request("RF-01", "refresh_token is missing")
        old = self._live_refresh(client, fields["refresh_token"], case)
        scopes = _narrowed(old.grant, fields.get("scope"), case)
        document = self._issue(old.grant, scopes, case, context=self.settings.repeat_context)
        if self._rotates(case):
            old.used = True
            document["refresh_token"] = self.grants.new_refresh(old.grant)
        return document

    def _rotates(self, case: Case) -> bool:
        if self.faults.take("non_rotating_refresh", case):
            return False
        return bool(self.faults.take("refresh_reuse_detection", case)) or self.settings.rotate_refresh_tokens

    def _live_refresh(self, client: SandboxClient, text: str, case: Case) -> RefreshToken:
        token = self.grants.refresh(text)
        if token is None:
            raise invalid_grant("RFC 6749 §5.2", "the refresh token is unknown here")
        if token.grant.client_id != client.client_id:
            raise invalid_grant("RF-12", "the refresh token was issued to another client")
        if self.faults.take("refresh_reused", case):
            token.used = True
        if token.used:
            case.replays.append("refresh_token")
            token.grant.revoked = True
            raise invalid_grant(
                "RF-06", "the refresh token was replaced before; every token of this login is revoked now"
            )
        if token.grant.revoked:
            raise invalid_grant("RF-10", "the refresh token is revoked; the user has to sign in again")
        if self.settings.clock() >= token.expires_at:
            raise invalid_grant("RF-10", "the refresh token has expired; the user has to sign in again")
        return token

    def _client_credentials(
        self, client: SandboxClient, fields: dict[str, str], case: Case
    ) -> dict[str, Any]:
        if client.kind == "public":
            raise RefusedError("BS-01", "a public client cannot act for itself", error="unauthorized_client")
        if client.kind == "symmetric":
            case.remark(
                "BS-01", "backend services are meant for clients with keys, and this one has a secret"
            )
        if "scope" not in fields:
            raise invalid_scope("BS-02", "scope is missing")
        requested = read_scope(fields["scope"])
        if any(scope.level != "system" for scope in data_scopes(requested)):
            raise invalid_scope("BS-04", "without a user only system/ scopes can be granted")
        granted = tuple(scope.text for scope in data_scopes(grant_scopes(requested, client.scopes)))
        if not granted:
            raise invalid_scope("BS-13", "nothing of the requested scope is pre-authorized for this client")
        grant = Grant(client_id=client.client_id, scopes=granted)
        lifetime = self.settings.backend_token_lifetime
        return self._issue(grant, granted, case, context=False, lifetime=lifetime)

    def _issue(
        self,
        grant: Grant,
        scopes: tuple[str, ...],
        case: Case,
        *,
        context: bool,
        lifetime: int | None = None,
    ) -> dict[str, Any]:
        seconds = self.settings.access_token_lifetime if lifetime is None else lifetime
        if (fault := self.faults.take("token_lifetime", case)) is not None:
            seconds = int(fault.value or 0)
        access_token = self.grants.new_access(grant, scopes, seconds)
        document: dict[str, Any] = {
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": seconds,
            "scope": " ".join(scopes),
        }
        if context:
            document.update(grant.context)
        if "openid" in scopes:
            document["id_token"] = self._id_token(grant, access_token, case)
        return document

    def _id_token(self, grant: Grant, access_token: str, case: Case) -> str:
        if self.faults.take("rotated_server_keys", case):
            self.id_tokens.rotate()
        hidden = self.faults.take("unknown_kid", case) is not None
        return self.id_tokens.issue(grant, access_token, hidden=hidden)


def _check_exchange(code: Code, fields: dict[str, str]) -> None:
    if "redirect_uri" not in fields:
        raise invalid_request("TK-03", "redirect_uri is missing")
    if fields["redirect_uri"] != code.redirect_uri:
        raise invalid_grant("TK-03", "redirect_uri is not the one of the authorization request")
    verifier = fields.get("code_verifier")
    if verifier is None:
        raise invalid_request("TK-04", "code_verifier is missing")
    if not _VERIFIER.fullmatch(verifier):
        raise invalid_grant("AL-16", "code_verifier must be 43 to 128 unreserved characters")
    digest = urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=")
    if not hmac.compare_digest(digest, code.challenge.encode("ascii")):
        raise invalid_grant("TK-04", "code_verifier does not match the code_challenge")


def _narrowed(grant: Grant, scope: str | None, case: Case) -> tuple[str, ...]:
    if scope is None:
        return grant.scopes
    wanted = read_scope(scope)
    for token in wanted:
        if not covers(grant.scopes, token):
            raise invalid_scope("RF-02", f"the scope '{token}' goes beyond what was granted at the login")
    if set(wanted) == set(grant.scopes):
        case.remark("RF-02", "scope repeats the whole grant; it is for narrowing, and otherwise left out")
    return wanted
