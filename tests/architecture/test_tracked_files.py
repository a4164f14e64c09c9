"""What is committed is fit for everybody: no machine's paths, no download addresses, no keys."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

LOCK_FILES = {
    "Pipfile.lock", "package-lock.json", "pdm.lock", "pnpm-lock.yaml", "poetry.lock", "uv.lock", "yarn.lock",
}  # fmt: skip

# Written in two pieces, so that this file does not find itself.
FORBIDDEN = {
    "a machine's path": re.compile(
        "/" + r"(?:root|work|workspace|Users)/|/" + r"home/(?!app\b)|[A-Z]:\\\\Users"
    ),
    "a package host": re.compile("registry" + r"\.npmjs|files\." + r"pythonhosted|pypi" + r"\.org/simple"),
    "a private key": re.compile("-----BEGIN " + r"[A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}"),
    "a merge conflict": re.compile("^(?:<<<<" + "<<<|>>>>" + ">>>) ", re.MULTILINE),
}


@pytest.fixture(scope="module")
def tracked(root: Path) -> list[Path]:
    """Return every file under version control."""
    if not (root / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, timeout=60, check=True
    )
    return [root / name for name in listed.stdout.split("\0") if name and (root / name).is_file()]


def findings(text: str) -> list[str]:
    """Return what is wrong with *text*."""
    return [what for what, pattern in FORBIDDEN.items() if pattern.search(text)]


def test_nothing_local_and_nothing_secret(tracked: list[Path], root: Path) -> None:
    """No tracked file holds a machine's path, a package host, a private key or a merge conflict."""
    assert len(tracked) > 20
    wrong = {}
    for path in tracked:
        found = findings(path.read_text(encoding="utf-8", errors="replace"))
        # Published test vectors consist of keys.
        if "vectors" in path.parts:
            found = [what for what in found if what != "a private key"]
        if found:
            wrong[str(path.relative_to(root))] = found
    assert wrong == {}


def test_no_lock_file(tracked: list[Path]) -> None:
    """No lock file is committed: they hold download addresses."""
    assert [path.name for path in tracked if path.name in LOCK_FILES] == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("see /" + "home/erin/key.pem", "a machine's path"),
        ("see /" + "root/.ssh", "a machine's path"),
        ("https://registry" + ".npmjs.example", "a package host"),
        ("-----BEGIN " + "EC PRIVATE KEY-----\n" + "A" * 64, "a private key"),
        ("<<<<" + "<<< HEAD", "a merge conflict"),
    ],
)
def test_the_check_finds_each(text: str, what: str) -> None:
    """Each of the forbidden things is found."""
    assert findings(text) == [what]
