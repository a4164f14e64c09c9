"""
Ask the advisory service about everything that the library brings along: `make audit`.

The answer is one of three, and each has its own exit status: nothing is known against these versions (0),
something is (1), or the service could not be reached and nobody has looked (2). The third is no pass.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).parents[2]


def requirements() -> list[str]:
    """What the package needs, its extras included, without the extras that name the package itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = [*project["dependencies"], *chain.from_iterable(project["optional-dependencies"].values())]
    return sorted({line for line in listed if not line.startswith("smart-async[")})


def main() -> int:
    """Audit, and say plainly what was found, or that nobody looked."""
    with tempfile.TemporaryDirectory() as folder:
        listing = Path(folder) / "requirements.txt"
        listing.write_text("\n".join(requirements()) + "\n")
        command = [
            "pip_audit",
            "--requirement",
            str(listing),
            "--format",
            "json",
            "--progress-spinner",
            "off",
        ]
        done = subprocess.run(
            [sys.executable, "-m", *command, "--timeout", "15"],
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
    try:
        audited = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        reason = (done.stderr.strip().splitlines() or ["no output"])[-1][:300]
        print(f"NOT AUDITED: the advisory service could not be reached, and nobody has looked.\n{reason}")
        return 2
    known = [(one["name"], one["version"], bad["id"]) for one in audited for bad in one.get("vulns", ())]
    skipped = [one["name"] for one in audited if "skip_reason" in one]
    if len(skipped) == len(audited):
        # Behind a mirror the service knows no package at all, which is no clean bill of health.
        print("NOT AUDITED: the advisory service knows none of the packages, so nobody has looked.")
        return 2
    for name, version, advisory in known:
        print(f"{name} {version}: {advisory}")
    print(
        f"{len(audited) - len(skipped)} packages audited, {len(skipped)} not found, {len(known)} advisories"
    )
    return bool(known or skipped)


if __name__ == "__main__":
    sys.exit(main())
