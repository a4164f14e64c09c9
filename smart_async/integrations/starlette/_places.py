"""
Which EHRs users can sign in at, and where in the app's site the login lives.

The redirect URI says it all: its origin is the app's, what stands before `/callback` is where the routes are
as browsers see them, proxy included, and what follows names the registration.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import field
from urllib.parse import urlsplit

from smart_async._values import dataclass
from smart_async.clients._async import AsyncSmartClient
from smart_async.clients._registry import AsyncEHRRegistry
from smart_async.errors import ConfigurationError, LaunchRejectedError
from smart_async.integrations.starlette._local import local_path
from smart_async.messages import parse_url, same_base
from smart_async.smart.config import SmartConfig
from smart_async.smart.launch import EHRLaunch

__all__ = ("EHRChoice", "Places")


@dataclass(frozen=True, slots=True, kw_only=True)
class EHRChoice:
    """
    One registration that a user can sign in with.

    Args:
        id: What stands for it in a link; the same in every replica and after every restart.
        name: Its name for people.
        fhir_base: Its FHIR base.
        client_id: The client there.
        client: The client that talks to it.
        callback_name: What follows `/callback/` in its redirect URI.
    """

    id: str
    name: str
    fhir_base: str
    client_id: str
    client: AsyncSmartClient = field(repr=False, compare=False)
    callback_name: str = ""


class Places:
    """
    All registrations, and what their redirect URIs have in common.

    Args:
        ehrs: The registry, or the one client.
        names: FHIR base to name for people.
        callback_path: What the redirect URIs have after the place of the routes.
        allow_insecure_loopback: Accept http redirect URIs on loopback.

    Raises:
        ConfigurationError: If there is no EHR, a registration lacks what a login needs, or the redirect URIs
            do not go together.
    """

    def __init__(
        self,
        ehrs: AsyncEHRRegistry | AsyncSmartClient,
        *,
        names: Mapping[str, str] | None,
        callback_path: str,
        allow_insecure_loopback: bool,
    ) -> None:
        if not isinstance(ehrs, AsyncEHRRegistry | AsyncSmartClient):
            raise ConfigurationError(
                f"SmartLogin is built from an AsyncEHRRegistry or an AsyncSmartClient, not from "
                f"{type(ehrs).__name__}.",
                field="ehrs",
            )
        clients = ehrs.clients if isinstance(ehrs, AsyncEHRRegistry) else (ehrs,)
        uris = [_redirect_uri(client.config) for client in clients]
        for client in clients:
            _check_scope(client.config)
        self.origin = _only({_origin(uri) for uri in uris}, "origin")
        self.secure = self.origin.startswith("https://")
        if not (self.secure or allow_insecure_loopback):
            raise ConfigurationError(
                "The redirect URI is plain http, where no cookie is safe.",
                field="allow_insecure_loopback",
                advice="For development on loopback say allow_insecure_loopback=True; else use https.",
            )
        self.callback_path = _checked_path(callback_path)
        split = [_split(uri, self.callback_path) for uri in uris]
        self.prefix = _only({before for before, _ in split}, "path before the callback")
        self.choices = tuple(
            EHRChoice(
                id=_id(client.config),
                name=(names or {}).get(client.config.fhir_base) or _name(client.config),
                fhir_base=client.config.fhir_base,
                client_id=client.config.client_id,
                client=client,
                callback_name=name,
            )
            for client, (_, name) in zip(clients, split, strict=True)
        )
        self.posts = any(client.config.response_mode == "form_post" for client in clients)

    def launched(self, launch: EHRLaunch) -> tuple[EHRChoice, ...]:
        """
        Return the registrations with the EHR that launches the app.

        Args:
            launch: The launch.

        Raises:
            LaunchRejectedError: If there is none; nothing is sent to it.
        """
        found = tuple(choice for choice in self.choices if same_base(choice.fhir_base, launch.iss))
        if not found:
            raise LaunchRejectedError(
                "No EHR of that FHIR base is configured; no request was made to it.",
                advice="If the EHR is genuine, register with it and add its configuration.",
            )
        return found

    def of(self, fhir_base: str, client_id: str) -> EHRChoice:
        """
        Return a registration.

        Args:
            fhir_base: Its FHIR base.
            client_id: The client there.

        Raises:
            LaunchRejectedError: If it is not configured any more.
        """
        for choice in self.choices:
            if same_base(choice.fhir_base, fhir_base) and choice.client_id == client_id:
                return choice
        raise LaunchRejectedError("This login was with an EHR that is not configured any more.")


def _redirect_uri(config: SmartConfig) -> str:
    if config.redirect_uri is None:
        raise ConfigurationError(
            f"Client {config.client_id} has no redirect_uri, so nobody can sign in with it.",
            field="redirect_uri",
        )
    return config.redirect_uri


def _check_scope(config: SmartConfig) -> None:
    # Found out at the first login, this would be a user's error page.
    if not config.scope.strip():
        raise ConfigurationError(
            f"Client {config.client_id} has no scope, so there is nothing that a user could agree to.",
            field="scope",
            advice="Give SmartConfig a scope, or set SMART_SCOPE. To read one patient's record and to learn "
            'who the user is: "openid fhirUser launch/patient patient/*.rs".',
        )


def _origin(uri: str) -> str:
    return parse_url(uri, field="redirect_uri", allow_query=True, allow_insecure_loopback=True).origin


def _only(found: set[str], what: str) -> str:
    if len(found) == 1:
        return found.pop()
    problem = "There is no registration." if not found else f"The redirect URIs have more than one {what}."
    raise ConfigurationError(
        problem,
        field="redirect_uri",
        advice="One SmartLogin serves one app at one place: cookies of one host are not sent to another.",
    )


def _split(uri: str, callback_path: str) -> tuple[str, str]:
    path = urlsplit(uri).path
    if path.endswith(callback_path):
        return path.removesuffix(callback_path), ""
    above, _, name = path.rpartition("/")
    if name and above.endswith(callback_path):
        return above.removesuffix(callback_path), name
    raise ConfigurationError(
        f"The redirect URI's path {path} is not PREFIX{callback_path} or PREFIX{callback_path}/NAME.",
        field="redirect_uri",
        advice="Register such a one, or say what comes after the prefix with callback_path=.",
    )


def _checked_path(value: object) -> str:
    path = local_path(value)
    if path is None or path.endswith("/"):
        raise ConfigurationError(
            "callback_path is a path such as /callback, without a slash at its end.", field="callback_path"
        )
    return path


def _id(config: SmartConfig) -> str:
    text = f"{config.fhir_base.removesuffix('/')} {config.client_id}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _name(config: SmartConfig) -> str:
    parts = urlsplit(config.fhir_base)
    return f"{parts.netloc}{parts.path}"
