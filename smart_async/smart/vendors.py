"""
What production servers want done differently, as data.

`SmartConfig(..., vendor="epic")` fills in what you leave out; whatever you give yourself wins. Only values
that a vendor documents, or that were read in a server's own source, are here, each with where it is from.
Sites differ by version and set-up: check a preset against yours, and override it field by field.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from smart_async._values import dataclass
from smart_async.errors import ConfigurationError

__all__ = ("PRESETS", "Preset", "preset_values")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """
    One value that a server wants.

    Args:
        value: The value of the `SmartConfig` field.
        evidence: Where it is documented, or in which server's source it was read.
    """

    value: object
    evidence: str


def _preset(**fields: tuple[object, str]) -> Mapping[str, Preset]:
    return MappingProxyType(
        {name: Preset(value=value, evidence=evidence) for name, (value, evidence) in fields.items()}
    )


PRESETS: Mapping[str, Mapping[str, Preset]] = MappingProxyType(
    {
        "ab2d": _preset(
            discovery=(
                "off",
                "CMS AB2D has no discovery document (its test scripts name the Okta token URL)",
            ),
            token_rejected_statuses=(
                (401, 403),
                "CMS AB2D answers 403 to an expired token and 401 to none at all (AB2D documentation)",
            ),
        ),
        "athenahealth": _preset(
            refresh_includes_scope=(True, "athenahealth documentation: a refresh names its scope"),
            refresh_includes_client_id=(True, "athenahealth documentation: a refresh names its client_id"),
        ),
        "azure-ahds": _preset(
            discovery=(
                "auto",
                "Microsoft FHIR server: its smart-configuration answers 400 in some set-ups "
                "(GetSmartConfigurationHandler.cs)",
            ),
            assertion_nbf=(
                True,
                "Microsoft Entra ID documentation (certificate credentials): nbf is expected",
            ),
        ),
        "bcda": _preset(
            discovery=("off", "CMS BCDA publishes no smart-configuration (bcda/auth/api.go)"),
            token_request=("basic-empty", "CMS BCDA reads Basic credentials and no body (bcda/auth/api.go)"),
        ),
        "bcda-ssas": _preset(
            discovery=("off", "CMS SSAS publishes no smart-configuration (ssas/service/public/api.go)"),
        ),
        "bluebutton": _preset(
            aud=(None, "Blue Button answers 400 to unknown parameters (apps/dot_ext/views/authorization.py)"),
        ),
        "dpc": _preset(
            discovery=("off", "CMS DPC publishes no smart-configuration (TokenResource.java)"),
        ),
        "epic": _preset(
            discovery=("auto", "Epic documentation: before August 2021 only /metadata names the endpoints"),
            introspection_auth=(
                "bearer",
                "Epic documentation: introspection takes the access token as bearer",
            ),
        ),
        "openemr": _preset(
            refresh_includes_client_id=(True, "OpenEMR: public clients name client_id on refresh"),
        ),
        "oracle-health": _preset(
            discovery=("auto", "Oracle documentation: endpoints are also in the CapabilityStatement"),
        ),
        "va-backend": _preset(
            discovery=("off", "VA Lighthouse: the token URL for system access is in no FHIR document"),
        ),
    }
)
"""Server, then `SmartConfig` field, then value and evidence."""


def preset_values(vendor: object) -> Mapping[str, object]:
    """
    Return the values that *vendor* wants, by `SmartConfig` field.

    Args:
        vendor: A name in `PRESETS`.

    Raises:
        ConfigurationError: If there is none of that name; the message lists those there are.
    """
    if not isinstance(vendor, str) or vendor not in PRESETS:
        raise ConfigurationError(
            f"There is no preset called {vendor!r}; there are {', '.join(sorted(PRESETS))}.", field="vendor"
        )
    return {name: preset.value for name, preset in PRESETS[vendor].items()}
