"""
Build what is released, and look at it: `make build`.

Source distribution and wheel are built twice, from the same commit and with the commit's time, and have to
come out byte for byte the same. The wheel has to hold the package and its papers and nothing else, and to
import in an environment of its own. The bill of materials (CycloneDX) is made of that environment.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
EPOCH = "1577836800"
"""Unix seconds for archives that are built outside a repository: the first day of 2020."""

PAPERS = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}
SOURCES = ("pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "PKG-INFO", "smart_async/__init__.py")


def run(*command: str | Path, **named: object) -> str:
    """What a command prints; the build ends with the command if that fails."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **named)
    if done.returncode:
        sys.exit(f"{command[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def commit_time() -> str:
    """When the commit was made, in Unix seconds."""
    done = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or EPOCH


def build(folder: Path) -> dict[str, Path]:
    """Build both archives into *folder*."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": commit_time(), "PYTHONHASHSEED": "0"}
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT, env=environment)
    return {path.name: path for path in sorted(folder.iterdir()) if path.suffix in (".whl", ".gz")}


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def package_files() -> set[str]:
    """What belongs into the wheel: every file of the package that is under version control."""
    listed = run("git", "ls-files", "smart_async", cwd=ROOT).split()
    return set(listed)


def check_wheel(path: Path) -> list[str]:
    """What is wrong with the wheel."""
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
    papers = {name for name in names if ".dist-info/" in name}
    problems = [f"the wheel lacks {name}" for name in sorted(package_files() - names)]
    problems += [f"the wheel holds {name}" for name in sorted(names - papers - package_files())]
    found = {name.split(".dist-info/", 1)[1] for name in papers}
    problems += [f"the wheel's papers lack {name}" for name in sorted(PAPERS - found)]
    problems += [f"the wheel's papers hold {name}" for name in sorted(found - PAPERS)]
    return problems


def check_source(path: Path) -> list[str]:
    """What is wrong with the source distribution."""
    with tarfile.open(path) as archive:
        names = {member.name.split("/", 1)[-1] for member in archive.getmembers()}
    problems = [f"the source distribution lacks {name}" for name in SOURCES if name not in names]
    strange = [name for name in sorted(names) if name.startswith((".", "dist/", "build/")) or ".venv" in name]
    return problems + [f"the source distribution holds {name}" for name in strange if name != ".gitignore"]


def bill_of_materials(wheel: Path, target: Path) -> list[str]:
    """Install the wheel alone, import it, and write what came with it to *target*."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        run(python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", wheel)
        loaded = run(python, "-c", "import smart_async; print(smart_async.SmartClient.__name__)", cwd=folder)
        run(python, "-m", "pip", "--disable-pip-version-check", "uninstall", "--quiet", "--yes", "pip")
        run(
            *(sys.executable, "-m", "cyclonedx_py", "environment", python, "--output-reproducible"),
            *("--pyproject", ROOT / "pyproject.toml", "--output-file", target),
        )
    document = json.loads(target.read_text())
    document["metadata"]["component"]["version"] = wheel.name.split("-")[1]  # pyproject.toml names none
    clean(document)
    target.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
    names = {component["name"].lower() for component in document["components"]}
    needed = {"anyio", "cryptography", "httpx", "joserfc"}
    problems = [f"the bill of materials lacks {name}" for name in sorted(needed - names)]
    if loaded.strip() != "SmartClient":
        problems.append("the wheel does not import with its own dependencies alone")
    if str(ROOT) in target.read_text() or "file://" in target.read_text():
        problems.append("the bill of materials names paths of this machine")
    return problems


def clean(value: object) -> None:
    """Take out where something was installed from: it is a path, or a mirror, of this machine."""
    if isinstance(value, dict):
        value.pop("externalReferences", None)
        for inner in value.values():
            clean(inner)
    elif isinstance(value, list):
        for inner in value:
            clean(inner)


def main() -> int:
    """Build, check, and put the result into dist/."""
    argparse.ArgumentParser(description="Build sdist, wheel and bill of materials.").parse_args()
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        first, second = build(Path(one)), build(Path(two))
        problems = [
            f"{name} comes out different the second time"
            for name, path in first.items()
            if digest(path) != digest(second[name])
        ]
        target = ROOT / "dist"
        target.mkdir(exist_ok=True)
        for path in target.iterdir():
            path.unlink()
        for name, path in first.items():
            (target / name).write_bytes(path.read_bytes())
    (wheel,) = target.glob("*.whl")
    (source,) = target.glob("*.tar.gz")
    problems += check_wheel(wheel) + check_source(source)
    problems += bill_of_materials(wheel, target / f"{wheel.name.split('-py3')[0]}.cdx.json")
    for path in sorted(target.iterdir()):
        print(f"{digest(path)}  {path.relative_to(ROOT)}")
    for problem in problems:
        print(f"FAILED: {problem}", file=sys.stderr)
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
