"""The invented data holds together."""

from __future__ import annotations

import json
import re

from smart_async.sandbox.data import RESOURCE_TYPES, compartment, synthetic_resources


def test_every_type_has_resources():
    """Each served type has at least one resource, under its own id."""
    resources = synthetic_resources()
    assert tuple(resources) == RESOURCE_TYPES
    for resource_type, entries in resources.items():
        assert entries
        assert all(
            (entry["id"], entry["resourceType"]) == (identifier, resource_type)
            for identifier, entry in entries.items()
        )


def test_references_resolve():
    """Every reference leads to a resource that exists."""
    resources = synthetic_resources()
    for reference in re.findall(r'"reference": "([^"]+)"', json.dumps(resources)):
        resource_type, identifier = reference.split("/")
        assert identifier in resources[resource_type]


def test_ids_are_fhir_ids():
    """Every id is one that FHIR allows."""
    for entries in synthetic_resources().values():
        assert all(re.fullmatch(r"[A-Za-z0-9\-.]{1,64}", identifier) for identifier in entries)


def test_compartments():
    """Everything but a practitioner is about exactly one patient."""
    resources = synthetic_resources()
    about = {kind: {compartment(entry) for entry in entries.values()} for kind, entries in resources.items()}
    assert about.pop("Practitioner") == {None}
    assert all(patients == set(resources["Patient"]) for patients in about.values())


def test_the_same_on_every_start():
    """Two sandboxes have equal data and share none of it."""
    one, other = synthetic_resources(), synthetic_resources()
    assert one == other
    one["Patient"]["patient-amber"]["active"] = False
    assert other["Patient"]["patient-amber"]["active"] is True
