"""Who sends this request: exactly one way of proving it, and the way that was registered."""

from __future__ import annotations

import binascii
import hmac
from base64 import b64decode
from dataclasses import dataclass

from smart_async.sandbox.assertions import ASSERTION_TYPE, AssertionJudge
from smart_async.sandbox.clients import Registry, SandboxClient
from smart_async.sandbox.verdicts import Case, RefusedError, invalid_client, invalid_request

__all__ = ("ClientAuthenticator",)

_CHALLENGE = (("WWW-Authenticate", 'Basic realm="sandbox"'),)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientAuthenticator:
    """
    Recognises the client behind a request to the token, introspection or revocation endpoint.

    Args:
        registry: The known clients.
        judge: Judges assertions.

    Spec: RFC 6749, section 2.3; SMART App Launch 2.2, client authentication (TK-05 to TK-10).
    """

    registry: Registry
    judge: AssertionJudge

    def authenticate(self, fields: dict[str, str], audiences: tuple[str, ...], case: Case) -> SandboxClient:
        """
        Return the client that sends *fields*.

        Args:
            fields: The form.
            audiences: The values of `aud` that an assertion may have.
            case: The request; it learns the client's id.

        Raises:
            RefusedError: If the client is unknown, unproven, or proven in two ways or the wrong one.
        """
        authorization = case.received.headers.get("authorization")
        assertion = {"client_assertion", "client_assertion_type"} & fields.keys()
        methods = [authorization is not None, bool(assertion), "client_secret" in fields]
        if sum(methods) > 1:
            raise invalid_request("TK-10", "the client authenticates in more than one way; one is allowed")
        if "client_secret" in fields:
            raise invalid_client("TK-09", "a client secret is sent by HTTP Basic, not in the body")
        if any(methods) and "client_id" in fields:
            raise invalid_request(
                "TK-06", "client_id must be left out of the body where the client authenticates"
            )
        if authorization is not None:
            return self._basic(authorization, case)
        return self._asserted(fields, audiences, case) if assertion else self._public(fields, case)

    def _asserted(self, fields: dict[str, str], audiences: tuple[str, ...], case: Case) -> SandboxClient:
        if fields.get("client_assertion_type") != ASSERTION_TYPE:
            raise invalid_client("AS-11", f"client_assertion_type must be {ASSERTION_TYPE}")
        if "client_assertion" not in fields:
            raise invalid_client("AS-11", "client_assertion is missing beside client_assertion_type")
        return self.judge.judge(fields["client_assertion"], audiences, case)

    def _basic(self, authorization: str, case: Case) -> SandboxClient:
        scheme, _, text = authorization.partition(" ")
        if scheme.lower() != "basic":
            raise _challenged("TK-09", f"clients authenticate here by HTTP Basic, not by '{scheme[:32]}'")
        try:
            client_id, colon, secret = b64decode(text.strip(), validate=True).decode("utf-8").partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise _challenged(
                "TK-09", "the Basic credentials are not base64 of client_id:client_secret"
            ) from None
        if not colon:
            raise _challenged("TK-09", "the Basic credentials hold no colon")
        client = self._known(client_id, case)
        if client is None:
            raise _challenged("AS-21", f"no client '{client_id}' is registered here")
        if client.client_secret is None:
            raise _challenged("TK-07", f"this client is registered as {client.kind}, and has no secret")
        if not hmac.compare_digest(secret.encode(), client.client_secret.encode()):
            raise _challenged("TK-09", "the client secret is wrong")
        return client

    def _public(self, fields: dict[str, str], case: Case) -> SandboxClient:
        if "client_id" not in fields:
            raise invalid_client("TK-05", "the request names no client: no assertion, no Basic, no client_id")
        client = self._known(fields["client_id"], case)
        if client is None:
            raise invalid_client("AS-21", f"no client '{fields['client_id']}' is registered here")
        if client.kind != "public":
            raise invalid_client("TK-07", f"this client is registered as {client.kind} and must authenticate")
        return client

    def _known(self, client_id: str, case: Case) -> SandboxClient | None:
        client = self.registry.find(client_id)
        case.client_id = client.client_id if client else None
        return client


def _challenged(rule: str, message: str) -> RefusedError:
    # A client that used the Authorization header is told which scheme is wanted (RFC 6749, section 5.2).
    return RefusedError(rule, message, error="invalid_client", status=401, headers=_CHALLENGE)
