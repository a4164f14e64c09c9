"""
What a server registered, compared with what it was asked to register.

A server may change what it likes, and an attacker in its place would change just enough: his own redirect
URI beside ours, his key in the place of ours, no authentication at all. So what decides who can act as the
client has to come back as it was sent; the rest is only reported.

Spec: RFC 7591, section 3.2.1.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from smart_async._values import dataclass
from smart_async.keys import thumbprint
from smart_async.messages import Finding, clean_text
from smart_async.smart.client_metadata import ClientMetadata
from smart_async.smart.scopes import Scopes

__all__ = ("GUARDED", "Change", "changes")

GUARDED = (
    "redirect_uris",
    "token_endpoint_auth_method",
    "grant_types",
    "response_types",
    "jwks_uri",
    "jwks",
)
"""The members that decide who can act as the client."""

_STRENGTH = {
    "none": 0,
    "client_secret_basic": 1,
    "client_secret_post": 1,
    "client_secret_jwt": 2,
    "private_key_jwt": 3,
}


@dataclass(frozen=True, slots=True)
class Change:
    """
    One member that came back otherwise than it was sent.

    Args:
        member: Its name.
        what: What differs, without the server's longer texts.
        dangerous: Whether it changes who can act as the client, or takes away what it needs.
    """

    member: str
    what: str
    dangerous: bool

    def finding(self) -> Finding:
        """Return it as a finding, for where it is no error."""
        return Finding(
            rule="registration-changed",
            severity="warning",
            message=f"{self.member} was registered otherwise than asked for: {self.what}.",
            advice="Judge whether the app can work like that.",
        )


def changes(requested: ClientMetadata, returned: ClientMetadata) -> Iterator[Change]:
    """
    Compare, member by member; what the answer leaves out is no change.

    Args:
        requested: What was asked for.
        returned: What the answer holds.
    """
    yield from _redirect_uris(requested, returned)
    yield from _auth_method(requested, returned)
    yield from _listed("grant_types", requested.grant_types, returned.grant_types)
    yield from _listed("response_types", requested.response_types, returned.response_types)
    yield from _keys(requested, returned)
    yield from _scope(requested.scope, returned.scope)
    yield from _others(requested.to_members(), returned.to_members())


def _redirect_uris(requested: ClientMetadata, returned: ClientMetadata) -> Iterator[Change]:
    if returned.redirect_uris is None:
        return
    asked, got = set(requested.redirect_uris or ()), set(returned.redirect_uris)
    if foreign := len(got - asked):
        yield Change("redirect_uris", f"{foreign} that nobody asked for", dangerous=True)
    if missing := len(asked - got):
        yield Change("redirect_uris", f"{missing} missing", dangerous=True)


def _auth_method(requested: ClientMetadata, returned: ClientMetadata) -> Iterator[Change]:
    asked, got = requested.token_endpoint_auth_method, returned.token_endpoint_auth_method
    if asked is None or got is None or asked == got:
        return
    # A method that is unknown here cannot be called stronger than what was asked for.
    weaker = _STRENGTH.get(got, -1) < _STRENGTH.get(asked, len(_STRENGTH))
    what = f"{clean_text(got, length=64)} in the place of {asked}"
    yield Change("token_endpoint_auth_method", what, dangerous=weaker)


def _listed(name: str, requested: Any, returned: Any) -> Iterator[Change]:
    if requested is None or returned is None:
        return
    if missing := [item for item in requested if item not in returned]:
        yield Change(name, f"{', '.join(missing)} missing", dangerous=True)
    if further := [item for item in returned if item not in requested]:
        yield Change(name, f"{clean_text(', '.join(further), length=64)} added", dangerous=False)


def _keys(requested: ClientMetadata, returned: ClientMetadata) -> Iterator[Change]:
    if returned.jwks_uri is not None and returned.jwks_uri != requested.jwks_uri:
        yield Change("jwks_uri", "another place for the client's keys", dangerous=True)
    if returned.jwks is None:
        return
    asked, got = _key_ids(requested.jwks), _key_ids(returned.jwks)
    if foreign := len(got.keys() - asked.keys()):
        yield Change("jwks", f"{foreign} keys that are not ours", dangerous=True)
    if missing := len(asked.keys() - got.keys()):
        yield Change("jwks", f"{missing} of our keys missing", dangerous=True)
    if any(asked[key] != got[key] for key in asked.keys() & got.keys()):
        yield Change("jwks", "a key has another kid, or none", dangerous=False)


def _key_ids(jwks: Any) -> dict[str, str | None]:
    # By their numbers, since servers add and drop use, alg and certificates.
    return {thumbprint(key): key.get("kid") for key in (jwks or {"keys": ()})["keys"]}


def _scope(requested: str | None, returned: str | None) -> Iterator[Change]:
    if requested is None or returned is None or set(Scopes(requested)) == set(Scopes(returned)):
        return
    narrowed = Scopes(requested).covers(Scopes(returned))
    yield Change("scope", "less than that" if narrowed else "more than that, or other", dangerous=False)


def _others(requested: dict[str, Any], returned: dict[str, Any]) -> Iterator[Change]:
    for name in requested.keys() & returned.keys() - {*GUARDED, "scope"}:
        if json.dumps(requested[name], sort_keys=True) != json.dumps(returned[name], sort_keys=True):
            yield Change(clean_text(name, length=64), "another value", dangerous=False)
