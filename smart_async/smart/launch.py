"""
Launch context: what the EHR says the user is looking at, coming in and coming back.

An EHR launch arrives as a URL with `iss` and `launch`; the context it stands for comes back beside the
access token, as `patient`, `encounter`, `fhirContext` and more.

Spec: SMART App Launch 2.2, app launch and scopes-and-launch-context.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from typing import TypeGuard
from urllib.parse import parse_qsl, urlsplit

from smart_async._values import dataclass
from smart_async.errors import ConfigurationError, LaunchRejectedError
from smart_async.limits import CALLBACK_BYTES, CALLBACK_PARAMETER_BYTES
from smart_async.messages import (
    JSON,
    Finding,
    JSONObject,
    as_list,
    as_object,
    clean_text,
    discreet,
    discreet_init,
    parse_url,
)
from smart_async.smart.arguments import check_argument

__all__ = ("EHRLaunch", "FhirContextItem", "LaunchContext", "is_fhir_id", "parse_launch_context")

_FHIR_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_REFERENCE = re.compile(
    r"(?P<type>[A-Z][A-Za-z]{0,63})/(?P<id>[A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9]{1,64})?"
)
_VISIBLE = {"iss": re.compile(r"[!-~]+"), "launch": re.compile(r"[ -~]+")}
_DOTS = frozenset({".", ".."})
_CONTEXT_ITEMS = 100
_MEMBERS = frozenset(
    {"patient", "encounter", "fhirContext", "need_patient_banner", "smart_style_url", "intent", "tenant"}
)


@discreet_init
@dataclass(frozen=True, slots=True, kw_only=True)
class EHRLaunch:
    """
    An EHR asking the app to start.

    Args:
        iss: The FHIR base URL that the EHR named, exactly as received; it becomes `aud`.
        launch: The opaque handle of this launch, exactly as received.

    Raises:
        LaunchRejectedError: If one of them is empty or cannot be what an EHR sends.

    Spec: SMART App Launch 2.2, app launch (EHR launch).
    """

    iss: str
    launch: str = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse what no EHR would send."""
        for name, value in (("iss", self.iss), ("launch", self.launch)):
            if (
                not isinstance(value, str)  # type: ignore[redundant-expr]  # None for a missing parameter
                or not _VISIBLE[name].fullmatch(value)
                or len(value) > CALLBACK_PARAMETER_BYTES
            ):
                raise _rejected(f"The launch parameter {name} is missing, too long or not plain ASCII.")

    @classmethod
    @discreet
    def from_url(cls, url: str) -> EHRLaunch:
        """
        Read the URL with which an EHR opened the app. Other parameters are ignored.

        Args:
            url: The full launch URL, or its query.

        Raises:
            LaunchRejectedError: If `iss` or `launch` is missing, empty or there twice.

        >>> EHRLaunch.from_url("https://app.example.com/launch?iss=https%3A%2F%2Fehr.example.com%2Fr4&launch=x1").iss
        'https://ehr.example.com/r4'
        """
        check_argument(url, str, "url", "Give the full URL that the EHR opened, as text.")
        if len(url) > CALLBACK_BYTES:
            raise _rejected(f"The launch URL has {len(url)} characters; at most {CALLBACK_BYTES} are read.")
        try:
            query = urlsplit(url).query if "?" in url else url
            pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=100)
        except ValueError:
            raise _rejected("The launch URL cannot be read.") from None
        return cls(iss=_only(pairs, "iss"), launch=_only(pairs, "launch"))


def _only(pairs: list[tuple[str, str]], name: str) -> str:
    values = [value for key, value in pairs if key == name]
    if len(values) != 1:
        raise _rejected(f"The launch URL must hold {name} exactly once, and holds it {len(values)} times.")
    return values[0]


def _rejected(message: str) -> LaunchRejectedError:
    return LaunchRejectedError(
        message, advice="Start the app from the EHR again; an EHR launch names both iss and launch."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FhirContextItem:
    """
    One more resource in context, beside patient and encounter.

    Args:
        reference: A relative FHIR reference, such as `ImagingStudy/88`.
        canonical: A canonical URL, for resources that have one.
        identifier: A FHIR Identifier, for resources that can only be named so.
        type: The resource type, given with `canonical` or `identifier`.
        role: What the resource is in context for; None means the app was launched in its context.
        raw: The whole item, unknown members included.

    Spec: SMART App Launch 2.2, scopes-and-launch-context (fhirContext).
    """

    reference: str | None = None
    canonical: str | None = None
    identifier: Mapping[str, object] | None = None
    type: str | None = None
    role: str | None = None
    raw: Mapping[str, object] = field(default_factory=dict[str, object], repr=False)

    @property
    def role_or_launch(self) -> str:
        """The role, `launch` where none was given."""
        return self.role or "launch"

    def __repr__(self) -> str:
        """Say what kind of resource it is, never which one."""
        relative = _REFERENCE.fullmatch(self.reference or "")
        kind = relative["type"] if relative else self.type or "resource"
        return f"<FhirContextItem {clean_text(kind)} as {clean_text(self.role_or_launch)}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchContext:
    """
    What the user was looking at when the token was issued. It does not follow the chart afterwards.

    Args:
        patient: The patient's bare id: read `Patient/{id}` from the FHIR base.
        encounter: The encounter's bare id.
        fhir_context: Other resources in context.
        need_patient_banner: Whether the app must show whose data this is; None where the server is silent,
            and then an app with a patient in context should show it.
        smart_style_url: A style object to match the EHR's look; its URL changes when its content does.
        intent: What the app should show, by an agreement between app and EHR; None for the default.
        tenant: The healthcare organisation that launched the app.

    Spec: SMART App Launch 2.2, scopes-and-launch-context.
    """

    patient: str | None = None
    encounter: str | None = None
    fhir_context: tuple[FhirContextItem, ...] = ()
    need_patient_banner: bool | None = None
    smart_style_url: str | None = None
    intent: str | None = None
    tenant: str | None = None

    def __repr__(self) -> str:
        """Say what is known without saying of whom."""
        known = [name for name in self.__slots__ if getattr(self, name) not in (None, ())]
        return f"<LaunchContext with {', '.join(known) or 'nothing'}>"


_NO_CONTEXT = LaunchContext()


def parse_launch_context(
    document: JSONObject, *, previous: LaunchContext | None = None
) -> tuple[LaunchContext, tuple[Finding, ...]]:
    """
    Read the launch context out of a token response.

    An id that is no FHIR id is left out rather than handed on: it would end up in a URL.

    Args:
        document: The token response.
        previous: The context of the token that was refreshed; it fills in what the answer omits.

    Returns:
        The context, and what was odd about it.

    Spec: SMART App Launch 2.2, scopes-and-launch-context (launch context parameters).
    """
    if previous is None and _MEMBERS.isdisjoint(document):
        return _NO_CONTEXT, ()  # as in every backend token
    reader = _Reader(document, previous or _NO_CONTEXT)
    context = LaunchContext(
        patient=reader.identifier("patient"),
        encounter=reader.identifier("encounter"),
        fhir_context=reader.fhir_context(),
        need_patient_banner=reader.banner(),
        smart_style_url=reader.style_url(),
        intent=reader.text("intent"),
        tenant=reader.text("tenant"),
    )
    return context, tuple(reader.findings)


class _Reader:
    def __init__(self, document: JSONObject, previous: LaunchContext) -> None:
        self.document = document
        self.previous = previous
        self.findings: list[Finding] = []

    def note(self, rule: str, message: str) -> None:
        self.findings.append(Finding(rule=rule, severity="warning", message=message))

    def identifier(self, name: str) -> str | None:
        value = self.document.get(name)
        if value is None or value == "":
            return getattr(self.previous, name)  # type: ignore[no-any-return]  # its fields are str | None
        if isinstance(value, int) and not isinstance(value, bool):
            self.note("CTX-02", f"{name} is a number; it is read as an id.")
            value = str(value)
        kind = f"{name.capitalize()}/"
        if isinstance(value, str) and value.startswith(kind):
            self.note("CTX-02", f"{name} carries a resource type, which is dropped.")
            value = value.removeprefix(kind)
        if not is_fhir_id(value):
            self.note("CTX-02", f"{name} is not a FHIR id and is left out.")
            return None
        return value

    def text(self, name: str) -> str | None:
        value = self.document.get(name)
        if value is None:
            return getattr(self.previous, name)  # type: ignore[no-any-return]  # its fields are str | None
        if not isinstance(value, str):
            self.note("CTX-13", f"{name} is not a string and is left out.")
            return None
        return value

    def style_url(self) -> str | None:
        url = self.text("smart_style_url")
        if not url:
            return None
        try:
            return parse_url(
                url, field="smart_style_url", allow_insecure_loopback=True, allow_query=True
            ).text
        except ConfigurationError:
            self.note("CTX-11", "smart_style_url is no https URL and is left out.")
            return None

    def banner(self) -> bool | None:
        value = self.document.get("need_patient_banner")
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in ("true", "false"):
            self.note("CTX-03", "need_patient_banner is a string; its word is taken.")
            return value.lower() == "true"
        if value is None:
            return self.previous.need_patient_banner
        self.note("CTX-03", "need_patient_banner is neither true nor false and is left out.")
        return None

    def fhir_context(self) -> tuple[FhirContextItem, ...]:
        value = self.document.get("fhirContext")
        if value is None:
            return self.previous.fhir_context
        listed = as_list(value)
        if listed is None:
            self.note("CTX-04", "fhirContext is not a list and is left out.")
            return ()
        if len(listed) > _CONTEXT_ITEMS:
            self.note("CTX-04", f"fhirContext has {len(listed)} items; {_CONTEXT_ITEMS} are read.")
        items = [self._item(item) for item in listed[:_CONTEXT_ITEMS]]
        return tuple(item for item in items if item)

    def _item(self, value: JSON) -> FhirContextItem | None:
        if isinstance(value, str):  # SMART 2.0 had plain references
            self.note("CTX-09", "fhirContext holds a string; it is read as a reference.")
            value = {"reference": value}
        item = as_object(value) or {}
        read = FhirContextItem(
            reference=self._reference(item.get("reference")),
            canonical=_string(item.get("canonical")),
            identifier=as_object(item.get("identifier")),
            type=_string(item.get("type")),
            role=_string(item.get("role")),
            raw=item,
        )
        if not (read.reference or read.canonical or read.identifier):
            self.note("CTX-04", "An item of fhirContext names no resource and is skipped.")
            return None
        if item.get("role") is not None and read.role is None:
            self.note("CTX-06", "An item of fhirContext has an empty role, read as none.")
        kind = (read.reference or "").partition("/")[0]
        if kind in ("Patient", "Encounter") and read.role_or_launch == "launch":
            self.note("CTX-07", f"fhirContext holds a {clean_text(kind)} without a role of its own.")
        return read

    def _reference(self, value: object) -> str | None:
        # Apps put it into a URL, where ../ would lead to another resource. An absolute URL is taken as it
        # stands: a session sends no token to another server.
        text = _string(value)
        if text is None:
            return None
        relative = _REFERENCE.fullmatch(text)
        if relative and is_fhir_id(relative["id"]):
            return text
        try:
            absolute = parse_url(text, field="reference", allow_insecure_loopback=True).text
        except ConfigurationError:
            self.note("CTX-04", "A reference in fhirContext is not one and is left out.")
            return None
        self.note("CTX-04", "A reference in fhirContext is not relative.")
        return absolute


def is_fhir_id(value: object) -> TypeGuard[str]:
    """
    Return whether *value* is a FHIR id that can stand in a URL.

    One or two dots are an id by the grammar, and in a path the way to another resource.

    >>> is_fhir_id("p-3307"), is_fhir_id("..")
    (True, False)
    """
    return isinstance(value, str) and bool(_FHIR_ID.fullmatch(value)) and value not in _DOTS


def _string(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
