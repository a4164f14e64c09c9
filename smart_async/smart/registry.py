"""
The EHRs that an app knows: its allow-list, and which registration belongs to which.

An EHR launch is a URL that anyone can send to anyone's browser, and its `iss` says where the app will
send its secrets. So an EHR is believed only if it was configured beforehand, byte for byte.

Spec: SMART App Launch 2.2, app launch (EHR launch); RFC 9700, section 4.4 (mix-up).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from smart_async.errors import ConfigurationError, LaunchRejectedError
from smart_async.messages import same_base
from smart_async.smart.config import SmartConfig
from smart_async.smart.launch import EHRLaunch
from smart_async.smart.pending import PendingAuthorization

__all__ = ("Registry",)


class Registry:
    """
    Look up configurations by FHIR base.

    One EHR may have several registrations: one for patients and one for providers, say. Then a launch
    names the one it is for, with *client_id*.

    Args:
        configs: The configurations.
        distinct_redirects: Insist that every registration has a redirect path of its own, so that one
            server's answer can never be taken for another's.

    Raises:
        ConfigurationError: If two configurations are for the same client at the same FHIR base, or share
            a redirect path although *distinct_redirects* is set.
    """

    __slots__ = ("_configs",)

    def __init__(self, configs: Iterable[SmartConfig], *, distinct_redirects: bool = False) -> None:
        self._configs = tuple(configs)
        for config in self._configs:
            if not isinstance(config, SmartConfig):
                raise ConfigurationError(
                    f"A registry holds SmartConfig objects, not {type(config).__name__}.", field="configs"
                )
        seen: set[tuple[str, str]] = set()
        for config in self._configs:
            key = (config.fhir_base.removesuffix("/"), config.client_id)
            if key in seen:
                raise ConfigurationError(
                    f"Client {config.client_id} is configured twice for {config.fhir_base}.", field="configs"
                )
            seen.add(key)
        if distinct_redirects:
            _check_redirects(self._configs)

    def __iter__(self) -> Iterator[SmartConfig]:
        return iter(self._configs)

    def __len__(self) -> int:
        return len(self._configs)

    def find(self, fhir_base: str, *, client_id: str | None = None) -> SmartConfig:
        """
        Return the configuration for a FHIR base.

        Args:
            fhir_base: The FHIR base URL; one trailing slash is ignored.
            client_id: Which registration, where an EHR has several.

        Raises:
            LaunchRejectedError: If there is none.
            ConfigurationError: If there are several, and *client_id* does not say which.
        """
        found = [
            config
            for config in self._configs
            if same_base(config.fhir_base, fhir_base) and client_id in (None, config.client_id)
        ]
        if not found:
            raise LaunchRejectedError(
                "No EHR of that FHIR base is configured; no request was made to it.",
                advice="If the EHR is genuine, register with it and add its configuration to the registry.",
            )
        if len(found) > 1:
            raise ConfigurationError(
                f"{len(found)} registrations are configured for this FHIR base.",
                field="client_id",
                advice="Say which one is meant with client_id=.",
            )
        return found[0]

    def launch(self, url: str, *, client_id: str | None = None) -> tuple[SmartConfig, EHRLaunch]:
        """
        Return the configuration for an EHR launch, and the launch, or refuse it.

        Args:
            url: The full launch URL.
            client_id: Which registration, where an EHR has several.

        Raises:
            LaunchRejectedError: If the URL is no launch, or its EHR is not configured.
            ConfigurationError: If the EHR has several registrations, and *client_id* does not say which.
        """
        launch = EHRLaunch.from_url(url)
        return self.find(launch.iss, client_id=client_id), launch

    def of(self, pending: PendingAuthorization) -> SmartConfig:
        """
        Return the configuration that a pending login was started with.

        Args:
            pending: The pending login.

        Raises:
            LaunchRejectedError: If it is not configured any more.
        """
        return self.find(pending.binding.fhir_base, client_id=pending.binding.client_id)


def _check_redirects(configs: tuple[SmartConfig, ...]) -> None:
    # Hosts do not count, since a callback is told apart by its path; a browser writes "/" for no path.
    paths = [urlsplit(config.redirect_uri).path or "/" for config in configs if config.redirect_uri]
    if shared := next((path for path in paths if paths.count(path) > 1), None):
        raise ConfigurationError(
            f"Several registrations share the redirect path {shared}.",
            field="redirect_uri",
            advice="Register a path of its own with each EHR, such as /callback/hospital-a.",
        )
