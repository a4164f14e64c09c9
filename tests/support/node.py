"""Node for the tests that need it: this environment's own or one on the path, and npm packages."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

OLDEST = (20, 12)  # with crypto.hash, which oidc-provider calls


def find_node() -> str:
    """Return the folder of a Node that is new enough: this environment's own, or one on the path."""
    for folder in (str(Path(sys.executable).parent), *os.environ.get("PATH", "").split(os.pathsep)):
        node = shutil.which("node", path=folder)
        if node and shutil.which("npm", path=folder):
            version = subprocess.run(
                [node, "--version"], capture_output=True, text=True, timeout=30, check=False
            )
            if tuple(map(int, re.findall(r"\d+", version.stdout)[:2])) >= OLDEST:
                return folder
    pytest.fail(f"No Node {OLDEST[0]}.{OLDEST[1]} or newer with npm. Run: make test-peers", pytrace=False)


def install(folder: Path) -> str:
    """Install what the package.json in *folder* asks for, once; return a PATH that starts with Node."""
    path = os.pathsep.join([find_node(), os.environ.get("PATH", "")])
    stamp = folder / "node_modules" / ".installed"
    if not stamp.exists() or stamp.stat().st_mtime < (folder / "package.json").stat().st_mtime:
        npm = shutil.which("npm", path=path)
        assert npm is not None
        done = subprocess.run(
            [npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"],
            cwd=folder,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"npm install failed:\n{done.stdout}{done.stderr}"
        stamp.touch()
    return path
