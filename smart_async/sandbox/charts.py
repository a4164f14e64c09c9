"""Looking things up in the sandbox's charts."""

from __future__ import annotations

from typing import Any

from smart_async.errors import ConfigurationError
from smart_async.sandbox.data import Resource, compartment

__all__ = ("Charts",)


class Charts:
    """
    Finds resources, and says what is wrong where somebody asks for one that does not exist.

    Args:
        resources: The data, by type and id.
    """

    def __init__(self, resources: dict[str, dict[str, Resource]]) -> None:
        self._resources = resources

    def require(self, reference: str, *, field: str) -> Resource:
        """
        Return the resource that the relative *reference* names.

        Raises:
            ConfigurationError: Naming *field*, if there is none.
        """
        resource_type, _, identifier = reference.partition("/")
        resource = self._resources.get(resource_type, {}).get(identifier)
        if resource is None:
            raise ConfigurationError(
                f"The sandbox has no {reference!r}.",
                field=field,
                advice=f"Its patients are {', '.join(self._resources['Patient'])}.",
            )
        return resource

    def context(
        self, patient: str | None, encounter: str | None, *, need_patient_banner: bool = True
    ) -> dict[str, Any]:
        """
        Return the launch context members for a chart.

        Raises:
            ConfigurationError: If patient or encounter are unknown or do not belong together.

        Spec: SMART App Launch 2.2, launch context.
        """
        context: dict[str, Any] = {}
        if patient is not None:
            self.require(f"Patient/{patient}", field="patient")
            context |= {"patient": patient, "need_patient_banner": need_patient_banner}
        if encounter is not None:
            if compartment(self.require(f"Encounter/{encounter}", field="encounter")) != patient:
                raise ConfigurationError(
                    f"The encounter {encounter!r} is not one of the patient {patient!r}.", field="encounter"
                )
            context["encounter"] = encounter
        return context

    def everyone(self, resource_type: str) -> list[Resource]:
        """Return all resources of a type, in their order."""
        return list(self._resources[resource_type].values())

    def encounters(self, patient: str) -> list[Resource]:
        """Return a patient's encounters, the latest first."""
        return [item for item in self.everyone("Encounter")[::-1] if compartment(item) == patient]

    def first_encounter(self, patient: str) -> str | None:
        """Return the id of a patient's first encounter, or None."""
        encounters = self._resources["Encounter"].values()
        return next((item["id"] for item in encounters if compartment(item) == patient), None)
