"""Causes that lie in the registration: what the server knows of the client, and allows it."""

from __future__ import annotations

__all__ = ("REGISTRATION_CAUSES",)

_CONSOLE = "in the server's developer console"

REGISTRATION_CAUSES: dict[str, tuple[int, str, str, str]] = {
    "client-unknown": (
        60,
        "The server does not know this client_id.",
        "It is mistyped, or of another environment: sandbox and production have client ids of their own.",
        f"Compare client_id and FHIR base with what stands {_CONSOLE}; both must be of the same environment.",
    ),
    "kid-not-given": (
        59,
        "No kid was given, and the server does not know the key by its thumbprint.",
        "The key's thumbprint stands in for the missing kid; the server looks the key up by that name.",
        "Give the kid that the key has in the registered JWK Set: --kid, or SMART_KEY_ID.",
    ),
    "key-unknown": (
        58,
        "The server does not know the key that signs.",
        "The registered keys, or the registered JWK Set URL, are not those that you sign with.",
        f"Compare the JWK Set, or its URL, {_CONSOLE} with the output of: smart-async jwks FILE.",
    ),
    "server-stale-jwks": (
        57,
        "The server still works with an older copy of your JWK Set.",
        "The published set is right. Servers keep a copy for minutes to a day, as the cache headers allow.",
        "Wait as long as the cache headers allow, and publish a new key before you sign with it.",
    ),
    "client-not-active": (
        56,
        "The client is registered, but not active yet.",
        "New apps and keys take from minutes to two days to arrive (Epic: up to 12 hours, sometimes more).",
        f"Look at the state of the app {_CONSOLE}, wait, and ask the operator to activate it at this site.",
    ),
    "jwks-blocked": (
        54,
        "The server cannot fetch your JWK Set from where it is.",
        "Hospital networks often allow no outgoing requests, or only to listed hosts.",
        "Ask the operator to allow the URL, or register the keys themselves instead of a URL.",
    ),
    "registered-with-secret": (
        52,
        "The client is registered with another way to authenticate than private_key_jwt.",
        "A client registered with a secret cannot authenticate with a key, nor the other way round.",
        f"Change the registration to a public key (JWK Set) {_CONSOLE}, or use the client secret.",
    ),
    "secret-wrong": (
        53,
        "The client secret is not the one that the server knows.",
        "It is mistyped, was renewed or has expired, or it is encoded otherwise than the server expects.",
        f"Compare it {_CONSOLE}; try the other secret method, or the other basic_encoding.",
    ),
    "registered-with-key": (
        53,
        "A client secret is sent where a key is wanted.",
        "A client that is registered with a key has no secret, and proves itself by signing an assertion.",
        f"Give the private key: --key F, or SMART_PRIVATE_KEY_PATH; or register a secret {_CONSOLE}.",
    ),
    "client-refused": (
        50,
        "The server refuses the client and does not say why.",
        "Nothing that can be seen from here explains it.",
        "Give the operator the client id, the kid, the time and the correlation id.",
    ),
    "scope-level": (
        48,
        "The scopes are for users, and this is a client without one.",
        "Backend Services use system/ scopes; patient/, user/, launch and openid need a user who signs in.",
        "Ask for system/ scopes.",
    ),
    "scope-syntax": (
        46,
        "The scopes are written in a syntax that the server does not take.",
        "Version 1 is written .read and .write, version 2 .rs and .cruds; many servers know only one.",
        "Write the scopes in the server's version.",
    ),
    "scope-not-granted": (
        45,
        "A token was issued, and it permits nothing of what was asked for.",
        "Servers leave out what the registration does not allow, and say nothing.",
        f"Have the scopes added to the registration {_CONSOLE}, or ask for those that are ticked there.",
    ),
    "scope-not-allowed": (
        45,
        "The client may not have these scopes.",
        "A scope only narrows what was agreed when the client was registered.",
        f"Ask for scopes that are ticked {_CONSOLE}; wildcards (*) are refused by several servers.",
    ),
}
