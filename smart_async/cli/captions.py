"""What a newcomer needs to be told about each kind of message; chosen by what the message is."""

from __future__ import annotations

from collections.abc import Mapping

from smart_async.cli.trace import Shown

__all__ = ("CAPTIONS", "TITLES", "gloss", "remarks")

TITLES: Mapping[str, str] = {
    "discovery": "Discovery",
    "authorize": "The user signs in and agrees",
    "callback": "The browser comes back",
    "authorization_code": "The code becomes a token",
    "refresh_token": "A new token without the user",
    "client_credentials": "A token for the app itself",
    "jwks": "The EHR fetches the app's public keys",
    "openid_discovery": "Who signs ID tokens",
    "server_keys": "The app fetches the EHR's public keys",
    "fhir": "Reading data",
}
"""A name for each kind of exchange."""

CAPTIONS: Mapping[str, str] = {
    "discovery": (
        "The app knows one URL, the FHIR server's. It asks there which authorization server guards the data, "
        "where its endpoints are, and what it can do."
    ),
    "authorize": (
        "The app sends the user's browser to the EHR, and says in the URL who asks, for what, and where to "
        "come back to. There the user signs in and agrees; the app never sees the password. (The sandbox "
        "agrees at once.) The answer is a redirect that carries a code."
    ),
    "callback": (
        "The browser follows the redirect, so the code reaches the app. The app first compares state with "
        "the one it sent: a callback that it did not ask for ends here."
    ),
    "authorization_code": (
        "The app redeems the code, server to server. It proves two things: by code_verifier, that it is who "
        "began this login; by client_assertion, a JWT signed with its private key, that it is the app that "
        "was registered. No password and no shared secret is sent."
    ),
    "jwks": (
        "Before it answered, the EHR looked up the key that the assertion's kid names in the JWK Set that "
        "the app publishes, and checked the signature with it. Only public halves are in there."
    ),
    "openid_discovery": (
        "Who the user is, the EHR says in the ID token. Before the app believes it, it asks the issuer for "
        "its own description, which must agree with what discovery said."
    ),
    "server_keys": "With them the app checks the ID token's signature, the way the EHR checked the app's.",
    "refresh_token": (
        "An access token is short-lived. With the refresh token the app gets the next one, while the user "
        "is elsewhere, and proves itself again with a fresh assertion."
    ),
    "client_credentials": (
        "Backend Services: a nightly job has no user and no browser. The signed assertion is all it takes; "
        "the scopes are system/ ones, agreed on when the app was registered. There is no refresh token: "
        "the job just asks again."
    ),
    "fhir": (
        "The access token goes into a header of each FHIR request. Whoever holds it can read, so it is "
        "kept like a password."
    ),
}
"""What happens in each kind of exchange, and why."""

_ROTATED = (
    "The answer holds another refresh token. The old one is void from now on, so that a stolen copy is "
    "noticed when it is used."
)
_OTHER_KEY = (
    "This assertion is signed with another key: see alg and kid. Any registered key may sign; that is how "
    "keys are exchanged without a pause."
)

_GLOSSES: Mapping[str, str] = {
    "issuer": "the authorization server's name",
    "authorization_endpoint": "where to send the browser",
    "token_endpoint": "where to fetch tokens",
    "jwks_uri": "its public keys",
    "grant_types_supported": "what can be exchanged for a token",
    "token_endpoint_auth_methods_supported": "private_key_jwt is the signed assertion below",
    "token_endpoint_auth_signing_alg_values_supported": "how assertions may be signed",
    "code_challenge_methods_supported": "for PKCE, see code_challenge below",
    "capabilities": "what this EHR can do, in SMART's own words",
    "scopes_supported": "what may be asked for",
    "response_type": "answer with a one-time code, not with a token",
    "client_id": "who is asking",
    "redirect_uri": "where the browser comes back to; must be registered",
    "sent scope": "what is asked for",
    "received scope": "what was granted",
    "state": "random; ties the answer to this browser's session",
    "nonce": "random; must come back inside the ID token",
    "aud": "which server this is meant for",
    "code_challenge": "PKCE: SHA-256 of a random code_verifier that stays in the app for now",
    "code": "works once, and not for long",
    "grant_type": "what is exchanged for a token",
    "code_verifier": "shown only now, and only to the EHR itself",
    "SHA-256(code_verifier)": "the code_challenge that the browser carried",
    "client_assertion_type": "the app authenticates with a JWT",
    "client_assertion": "a JWT: signed JSON, decoded below",
    "alg": "signature algorithm",
    "kid": "which of the registered keys",
    "sent iss": "who speaks: the client",
    "received iss": "who answers; must be the issuer from discovery",
    "received sub": "the user, as this EHR calls them",
    "received aud": "whom it was made for: this app",
    "received nonce": "the one that the app sent: this ID token belongs to that login",
    "received iat": "issued at",
    "received exp": "not to be believed after that",
    "received at_hash": "a hash of the access token that came with it",
    "fhirUser": "the user's own record at the FHIR server",
    "sub": "about whom: the client itself",
    "iat": "issued at; a minute ago, so that a fast clock does no harm",
    "exp": "expires five minutes after that, the most that SMART allows",
    "jti": "never used twice, so a stolen assertion cannot be replayed",
    "token_type": "whoever bears it may use it",
    "expires_in": "seconds",
    "access_token": "what opens the FHIR server",
    "refresh_token": "gets the next access token",
    "id_token": "who the user is: a JWT signed by the EHR, decoded below",
    "patient": "whose record is open",
    "encounter": "which visit is open",
    "need_patient_banner": "the app must show whose data it shows",
    "Authorization": "the access token at work",
    "Location": "where the browser is sent next",
    "signature": "made with the private key, which nobody else has",
}


def gloss(side: str, name: str) -> tuple[str, str] | None:
    """
    Return one line about a parameter, member, claim or header field.

    Args:
        side: `sent` or `received`.
        name: Its name.

    Returns:
        What the line is filed under, and the line; None if there is none.
    """
    for entry in (f"{side} {name}", name):
        if entry in _GLOSSES:
            return entry, _GLOSSES[entry]
    return None


def remarks(shown: Shown, before: Shown | None) -> list[str]:
    """
    Return what is remarkable about this very message, beyond its kind.

    Args:
        shown: The message.
        before: The last one before it that carried an assertion.
    """
    found: list[str] = []
    old = shown.form.get("refresh_token")
    if old and shown.answer.get("refresh_token", old) != old:
        found.append(_ROTATED)
    if _kid(shown) and before and _kid(before) and _kid(shown) != _kid(before):
        found.append(_OTHER_KEY)
    return found


def _kid(shown: Shown) -> object:
    return shown.assertion.header.get("kid") if shown.assertion else None
