"""People of the charts, as pages show them."""

from __future__ import annotations

from typing import Any

from smart_async.sandbox.charts import Charts
from smart_async.sandbox.codes import Resource

__all__ = ("named", "users")


def named(resource: Resource) -> dict[str, str]:
    """Return id, reference and full name of a person."""
    name = resource["name"][0]
    words = [*name.get("prefix", ()), *name["given"], name["family"]]
    reference = f"{resource['resourceType']}/{resource['id']}"
    return {"id": resource["id"], "reference": reference, "name": " ".join(words)}


def users(charts: Charts) -> list[dict[str, Any]]:
    """Return who can sign in, in groups: those who treat, and the patients themselves."""
    return [
        {"title": "Staff", "people": [named(one) for one in charts.everyone("Practitioner")]},
        {"title": "Patients", "people": [named(one) for one in charts.everyone("Patient")]},
    ]
