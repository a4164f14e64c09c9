"""Capabilities under both their names, and the four sets they make up."""

from __future__ import annotations

from itertools import chain

import pytest

from smart_async.smart.capabilities import CAPABILITY_SETS, Capability, capability_sets, current_names
from smart_async.smart.metadata import parse_metadata

CLIENTS = ("client-public", "client-confidential-symmetric")


def test_all_of_the_specification_are_there():
    """The complete list of SMART 2.2, each once, as the string that servers write."""
    assert sorted(Capability) == sorted(
        [
            *("launch-ehr", "launch-standalone", "authorize-post", "client-public"),
            *("client-confidential-symmetric", "client-confidential-asymmetric", "sso-openid-connect"),
            *("context-banner", "context-style", "context-ehr-patient", "context-ehr-encounter"),
            *("context-standalone-patient", "context-standalone-encounter", "permission-offline"),
            *("permission-online", "permission-patient", "permission-user", "permission-v1"),
            *("permission-v2", "smart-app-state"),
        ]
    )


@pytest.mark.rule("DI-12")
@pytest.mark.parametrize("capability", [*Capability, "https://vendor.example/cap", "health-cards"])
def test_each_has_a_predicate(document, capability):
    """Listed is supported and not listed is not, for those of SMART and for any other."""
    for listed in (True, False):
        document["capabilities"] = [str(capability)] if listed else ["x"]
        metadata = parse_metadata(document, fhir_base="https://a.example", url="https://a.example")
        assert metadata.supports(capability) is listed


@pytest.mark.parametrize("listed", ["context-passthrough-banner", "context-banner"])
@pytest.mark.parametrize("asked", ["context-passthrough-banner", "context-banner"])
def test_a_former_name_is_the_same(document, listed, asked):
    """Whichever name the server uses and whichever the app asks for, they mean one thing."""
    document["capabilities"] = [listed]
    metadata = parse_metadata(document, fhir_base="https://a.example", url="https://a.example")
    assert metadata.supports(asked) is True
    assert metadata.capabilities == (listed,)


def test_current_names():
    """The two former names are replaced, everything else stays."""
    assert current_names(["context-passthrough-style", "context-passthrough-banner", "x"]) == {
        "context-style",
        "context-banner",
        "x",
    }


@pytest.mark.rule("DI-15")
@pytest.mark.parametrize("name", CAPABILITY_SETS)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_set_needs_all_of_its_own_and_a_client_type(name, client):
    """Complete with either client type; one short, or with keys alone, it is none."""
    needed = sorted(CAPABILITY_SETS[name])
    assert name in capability_sets([*needed, client])
    assert name not in capability_sets(needed)
    assert name not in capability_sets([*needed, "client-confidential-asymmetric"])
    for missing in needed:
        assert name not in capability_sets([*(one for one in needed if one != missing), client])


@pytest.mark.rule("DI-15")
def test_all_four_at_once():
    """A server with everything offers all sets, in the order of the specification."""
    everything = [*chain.from_iterable(CAPABILITY_SETS.values()), "client-public"]
    assert capability_sets(everything) == (
        "patient-access-standalone",
        "patient-access-ehr",
        "clinician-access-standalone",
        "clinician-access-ehr",
    )
