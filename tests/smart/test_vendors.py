"""Presets: every value has its evidence, can be used, and stands in the documentation."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from smart_async import ClientSecret, ConfigurationError, SmartConfig
from smart_async.smart.vendors import PRESETS, preset_values

DOCS = Path(__file__).parents[2] / "docs" / "vendors.md"
VALUES = [(vendor, knob) for vendor, presets in PRESETS.items() for knob in presets]


def test_names_are_sorted_and_plain():
    """A name is typed by hand: lower case, hyphens, in the order of the alphabet."""
    assert list(PRESETS) == sorted(PRESETS)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", vendor) for vendor in PRESETS)


@pytest.mark.parametrize(("vendor", "knob"), VALUES)
def test_every_value_says_where_it_is_from(vendor, knob):
    """Evidence names a document or a source file, and what it says."""
    assert len(PRESETS[vendor][knob].evidence.split()) >= 4


@pytest.mark.parametrize(("vendor", "knob"), VALUES)
def test_every_value_changes_something(vendor, knob):
    """A preset holds what differs from a knob's default, and never who somebody is or what they want."""
    defaults = SmartConfig(
        fhir_base="https://a.example",
        client_id="c",
        client_auth=ClientSecret("s"),
        token_endpoint="https://a.example/t",
    )
    assert knob in {field.name for field in fields(SmartConfig)}
    assert knob not in {"fhir_base", "client_id", "client_auth", "redirect_uri", "scope", "vendor"}
    assert PRESETS[vendor][knob].value != getattr(defaults, knob)


@pytest.mark.parametrize("knob", ["strict", "allow_insecure_loopback", "trusted_origins", "id_token"])
def test_no_preset_loosens_security(knob):
    """Whom to trust and what to verify is nothing that a name may decide."""
    assert all(knob not in presets for presets in PRESETS.values())


def test_they_cannot_be_changed():
    """All clients of a process share them."""
    with pytest.raises(TypeError):
        PRESETS["epic"]["aud"] = None  # type: ignore[index]
    with pytest.raises(TypeError):
        PRESETS["mine"] = {}  # type: ignore[index]


def test_values_alone():
    """What a configuration takes is values by the names of its fields."""
    assert preset_values("bcda") == {"discovery": "off", "token_request": "basic-empty"}


@pytest.mark.parametrize("vendor", ["", "EPIC", None, ["epic"]])
def test_unknown(vendor):
    """The error lists all names."""
    with pytest.raises(ConfigurationError, match=r"ab2d, athenahealth, .*va-backend"):
        preset_values(vendor)


@pytest.mark.parametrize(("vendor", "knob"), VALUES)
def test_the_documentation_has_it(vendor, knob):
    """docs/vendors.md lists each value with its evidence."""
    preset = PRESETS[vendor][knob]
    row = f"| `{vendor}` | `{knob}` | `{preset.value!r}` | {preset.evidence} |"
    assert row in DOCS.read_text(encoding="utf-8").splitlines()


def test_the_documentation_has_nothing_else():
    """A row that no preset stands behind would be a promise that is not kept."""
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| `(\w+)` \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == VALUES
