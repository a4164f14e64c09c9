"""One scope: parsed from text, or built from its parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Literal, Self, cast

from smart_async._values import dataclass
from smart_async.errors import ConfigurationError
from smart_async.smart.scopes.grammar import (
    INTERACTIONS,
    MASKS,
    OPENID_NAMES,
    OPENID_PREFIX,
    RESOURCE,
    SMART_PREFIX,
    Kind,
    Level,
    check_token,
    encode_pairs,
    parts_of,
    short_name,
)

__all__ = ("Scope",)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Scope:
    """
    One scope: the text as it was written, and what it means.

    Two scopes are equal when their `name` is: a server that answers with full URIs still granted what was
    asked for. Equality says nothing about meaning (`.read` and `.rs` differ); `Scopes.covers` does.

    Args:
        text: The scope, word for word.

    Attributes:
        text: The scope as it was written; also `str(scope)`.
        name: The scope without the URI prefix of SMART or OpenID Connect.
        kind: "clinical", "launch", "identity" (OpenID Connect and `fhirUser`), "refresh" or "other".
        level: "patient", "user" or "system" for a clinical scope, else None.
        resource: The FHIR resource type of a clinical scope, "*" for all, else None.
        permissions: The letters of a clinical scope, in the order `cruds`, also where it was written in
            version 1; else None.
        parameters: Search constraints as (name, value), percent-decoded, in the order written.
        version: 1 for `.read`, `.write` and `.*`, 2 for letters, None for scopes that are not clinical.
        launch_type: The lower-case type of `launch/patient` and its kin; None for plain `launch`.
        role: The role that a launch scope asks for, or None.

    Raises:
        ConfigurationError: If *text* is empty or holds a character that no scope may hold.

    Spec: SMART App Launch 2.2, scopes and launch context; RFC 6749, section 3.3.

    >>> scope = Scope.parse("patient/Observation.rs?category=laboratory")
    >>> scope.level, scope.resource, scope.permissions, scope.parameters
    ('patient', 'Observation', 'rs', (('category', 'laboratory'),))
    """

    text: str
    name: str = field(init=False)
    kind: Kind = field(init=False)
    level: Level | None = field(init=False)
    resource: str | None = field(init=False)
    permissions: str | None = field(init=False)
    parameters: tuple[tuple[str, str], ...] = field(init=False)
    version: Literal[1, 2] | None = field(init=False)
    launch_type: str | None = field(init=False)
    role: str | None = field(init=False)

    def __post_init__(self) -> None:
        """Take the text apart."""
        check_token(self.text)
        name = short_name(self.text)
        parts = parts_of(name)
        if parts.kind == "other":
            name = self.text
        assign = object.__setattr__
        assign(self, "name", name)
        assign(self, "kind", parts.kind)
        assign(self, "level", parts.level)
        assign(self, "resource", parts.resource)
        assign(self, "permissions", parts.permissions)
        assign(self, "parameters", parts.parameters)
        assign(self, "version", parts.version)
        assign(self, "launch_type", parts.launch_type)
        assign(self, "role", parts.role)

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Read one scope; what SMART's grammar does not know is kept word for word, with kind "other".

        Letters out of order (`.sr`), doubled or missing, and types in lower case are "other" too: servers
        may ignore or reinterpret them, so nothing can be concluded from them.

        Args:
            text: One scope token, plain or in its URI form.

        Raises:
            ConfigurationError: If *text* is no scope token at all: empty, or with a blank, a quote, a
                backslash, a control character or a character beyond ASCII.

        >>> Scope.parse("user/*.read").permissions
        'rs'
        >>> Scope.parse("patient/Observation.sr").kind
        'other'
        """
        return cls(text)

    @classmethod
    def clinical(
        cls,
        level: Level,
        resource: str,
        permissions: str,
        parameters: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    ) -> Self:
        """
        Build a scope for clinical data, such as `patient/Observation.rs`.

        Args:
            level: "patient", "user" or "system".
            resource: A FHIR resource type, as FHIR spells it, or "*" for all, now and in future.
            permissions: Letters out of `cruds` (create, read, update, delete, search), in that order.
            parameters: FHIR search constraints, nothing encoded; give pairs to repeat a name.

        Raises:
            ConfigurationError: If the result would not be a valid scope of version 2.

        Spec: SMART App Launch 2.2, scopes for requesting FHIR resources.

        >>> str(Scope.clinical("patient", "Condition", "rs", {"category": "health concern"}))
        'patient/Condition.rs?category=health%20concern'
        """
        if level not in ("patient", "user", "system"):
            raise ConfigurationError("A scope's level is patient, user or system.", field="level")
        if not RESOURCE.fullmatch(resource):
            raise ConfigurationError(
                "A scope's resource is a FHIR resource type in FHIR's spelling, such as Observation, or *.",
                field="resource",
            )
        if permissions not in MASKS:
            raise ConfigurationError(
                "A scope's permissions are one or more of the letters cruds, each once and in that order.",
                field="permissions",
                advice="For SMART 1.0 words such as read, use Scope.parse() or Scopes.to_v1().",
            )
        if isinstance(parameters, Mapping):
            parameters = cast("Mapping[str, str]", parameters).items()
        query = encode_pairs(parameters)
        return cls(f"{level}/{resource}.{permissions}" + (f"?{query}" if query else ""))

    @classmethod
    def launch(cls, resource_type: str | None = None, role: str | None = None) -> Self:
        """
        Build a scope that asks for launch context.

        Args:
            resource_type: The FHIR resource type that the app needs chosen; None for plain `launch`, which
                belongs to a launch from the EHR.
            role: What the resource is needed as. Build one scope for each role.

        Raises:
            ConfigurationError: If the type is no word, or the role is empty, no string or without a type.

        Spec: SMART App Launch 2.2, scopes for requesting context data.

        >>> str(Scope.launch("DiagnosticReport"))
        'launch/diagnosticreport'
        """
        if role is not None and (resource_type is None or not isinstance(role, str)):
            raise ConfigurationError(
                "A launch scope takes one role, and only beside a resource type.",
                field="role",
                advice="Build one scope for each role.",
            )
        if resource_type is None:
            return cls("launch")
        if not (resource_type.isascii() and resource_type.isalpha()):
            raise ConfigurationError(
                "A launch scope's type is a FHIR resource type, such as Patient.", field="resource_type"
            )
        query = "" if role is None else "?" + encode_pairs([("role", role)])
        return cls(f"launch/{resource_type.lower()}{query}")

    def allows(self, interaction: str) -> bool:
        """
        Tell whether this scope's letters include a FHIR interaction.

        Write permission never includes reading. For a whole grant ask `Scopes.covers`; whether the server
        then lets the user do it is for the server to say.

        Args:
            interaction: FHIR's code: create, read, vread, history-instance, update, patch, delete,
                search-type, history-type, search-system or history-system.

        Raises:
            ConfigurationError: If there is no scope for *interaction*: batches and transactions are judged
                entry by entry, and operations are outside the scope language.

        >>> Scope.parse("user/Task.cu").allows("patch")
        True
        """
        letter = INTERACTIONS.get(interaction)
        if letter is None:
            raise ConfigurationError(
                f"No scope letter stands for this interaction; ask for one of {', '.join(INTERACTIONS)}.",
                field="interaction",
                advice="Batches and transactions are judged entry by entry; operations have no SMART scope.",
            )
        return self.permissions is not None and letter in self.permissions

    def to_uri(self) -> str:
        """
        Return the scope as a URI, as needed where scopes of several vocabularies meet.

        Raises:
            ConfigurationError: If it is an extension without a URI of its own.

        Spec: SMART App Launch 2.2, URI representations of scopes.

        >>> Scope.parse("patient/*.r").to_uri()
        'http://smarthealthit.org/fhir/scopes/patient/*.r'
        """
        if self.kind != "other":
            return (OPENID_PREFIX if self.name in OPENID_NAMES else SMART_PREFIX) + self.name
        if self.text.startswith(("https://", "http://", "urn:")):
            return self.text
        raise ConfigurationError(
            f"The scope '{self.text}' is not SMART's and has no URI form.", field="scope"
        )

    def __eq__(self, other: object) -> bool:
        return self.name == other.name if isinstance(other, Scope) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.name)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Scope({self.text!r})"
