"""
The code blocks of the documentation: found, run, or listed with the reason why not. `make docs-blocks`.

Python blocks of one page are run in order, in one namespace, in an empty folder; `await` may stand at the top
level. Console blocks are run in between, line by line: `smart-async` and `python FILE`, with `> FILE` and
`export NAME=value`. `smart-async sandbox --port N` serves a sandbox for the rest of the page, under whatever
port is free, and what the page says of port N is understood to be that one.

Comments in a page, which readers never see, say what else a block needs:

- `<!-- needs: boto3, moto -->` anywhere: the page is skipped where one of these modules is missing;
- `<!-- not run: it needs an account -->` on the line above a block: Python is then only compiled;
- `<!-- file: app.py -->` above a Python block: it is what the reader saves under this name; a later
  `$ python app.py` or `import app` runs it;
- `<!-- exits: 3 -->` above a console block: its last command ends so;
- a block inside a comment is run like any other: that is how a page is given its surroundings.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

OUTPUT = {"", "text", "http"}
"""Languages of what is shown, not run."""

ELSEWHERE = {
    "apt-get": "installs a program",
    "aws": "needs an AWS account",
    "curl": "needs a public host",
    "git": "needs the network",
    "make": "works on the clone itself",
    "npm": "needs the network",
    "pip": "installs a package",
    "pytest": "run from a hidden block, without the machine's other plugins",
    "softhsm2-util": "needs SoftHSM2; tests/peers runs the same",
    "pkcs11-tool": "needs SoftHSM2; tests/peers runs the same",
    "uvicorn": "serves until it is stopped",
    ".ci/run": "works on the clone itself",
}
"""Commands that are never run, and why."""

NEEDS = re.compile(r"<!-- needs: (?P<modules>[\w., ]+?) -->")
_FENCE = re.compile(r"(?P<mark>`{3,}|:{3,})(?P<language>\S*).*")
_REMARK = re.compile(r"<!-- (?P<kind>not run|file|exits): (?P<text>[^\n]+) -->")


@dataclass(frozen=True)
class Block:
    """One block: where it stands, what it is, and what the comment above it says."""

    page: Path
    line: int
    language: str
    text: str
    remarks: dict[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Where it stands, as an editor takes it."""
        page = self.page.relative_to(ROOT) if self.page.is_relative_to(ROOT) else self.page
        return f"{page}:{self.line}"

    def compiled(self, text: str | None = None) -> CodeType:
        """Return its code, so that errors name the page's own lines."""
        padding = "\n" * self.line
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code: CodeType = compile(
            padding + (text or self.text), str(self.page), "exec", flags=flags, dont_inherit=True
        )
        return code

    def commands(self) -> list[str]:
        """Return the commands of a console block."""
        joined = re.sub(r"\\\n\s*", "", self.text)
        lines = [line for line in joined.splitlines() if line.startswith("$ ")]
        return [line.removeprefix("$ ").partition("  #")[0].strip() for line in lines]

    def not_run(self) -> list[str] | None:
        """Return the reasons why some of it is not run, or None if a part is neither run nor explained."""
        if "not run" in self.remarks:
            return [self.remarks["not run"]]
        if self.language in {"python", "json", "toml"} | OUTPUT:
            return []
        if self.language != "console":
            return None
        reasons = []
        for command in self.commands():
            words = shlex.split(command)
            if words[:2] == ["python", "-m"]:
                words = words[2:]
            if words[0] in ELSEWHERE:
                reasons.append(f"{words[0]}: {ELSEWHERE[words[0]]}")
            elif words[0] not in ("smart-async", "export", "python"):
                return None
        return list(dict.fromkeys(reasons))


def pages() -> list[Path]:
    """Return the pages of the documentation; README.md has tests of its own."""
    found = [page for page in DOCS.rglob("*.md") if page != DOCS / "conformance.md"]
    return sorted([*found, ROOT / "CONTRIBUTING.md", *ROOT.glob("SECURITY.md")])


def blocks(text: str, page: Path) -> list[Block]:
    """Return the blocks of a page in their order, those inside comments included and directives left out."""
    found = []
    lines = text.splitlines()
    row = 0
    while row < len(lines):
        fence = _FENCE.fullmatch(lines[row])
        if fence is None:
            row += 1
            continue
        end = next((n for n in range(row + 1, len(lines)) if lines[n] == fence["mark"]), len(lines))
        if not fence["language"].startswith("{"):
            body = "".join(f"{line}\n" for line in lines[row + 1 : end])
            found.append(Block(page, row + 1, fence["language"], body, _remarks(lines[:row])))
        row = end + 1
    return found


def _remarks(above: list[str]) -> dict[str, str]:
    remarks = {}
    while above and (match := _REMARK.fullmatch(above[-1])):
        remarks[match["kind"]] = match["text"]
        above = above[:-1]
    return remarks


class PageRun:
    """One run of one page: its namespace, its variables, and the sandboxes that it started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.namespace: dict[str, object] = {"__name__": "__main__"}
        # Neither does the machine's set-up play a part, nor is a token kept in somebody's home.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SMART_", "FHIR_"))}
        home = {"HOME": str(folder), "XDG_STATE_HOME": str(folder / ".state")}
        self.environment = {**kept, **home, "PYTHONPATH": str(folder)}
        self.moved: dict[str, str] = {}
        self.stack = contextlib.ExitStack()

    def run(self, found: list[Block]) -> dict[str, object]:
        """Run the blocks and return what they defined."""
        with self.stack, asyncio.Runner() as runner:
            for block in found:
                match block.language:
                    case "python":
                        self._python(block, runner)
                    case "console" if "not run" not in block.remarks:
                        self._console(block)
                    case "json":
                        json.loads(block.text)
                    case "toml":
                        tomllib.loads(block.text)
        return self.namespace

    def _here(self, text: str) -> str:
        for said, meant in self.moved.items():
            text = text.replace(said, meant)
        return text

    def _python(self, block: Block, runner: asyncio.Runner) -> None:
        code = block.compiled(self._here(block.text))
        if "file" in block.remarks:
            (self.folder / block.remarks["file"]).write_text(self._here(block.text), "utf-8")
        elif "not run" not in block.remarks:
            outcome = eval(code, self.namespace)
            if inspect.iscoroutine(outcome):
                runner.run(outcome)

    def _console(self, block: Block) -> None:
        code = 0
        for command in block.commands():
            assert code == 0, f"{block.place}: a command that fails is the last of its block"
            code = self._command(block, command)
        assert code == int(block.remarks.get("exits", "0")), f"{block.place}: exit code {code}"

    def _command(self, block: Block, command: str) -> int:
        line, _, target = self._here(command).partition(" > ")
        words = shlex.split(line)
        if words[0] == "export":
            name, _, value = words[1].partition("=")
            self.environment[name] = value
            return 0
        if words[:2] == ["smart-async", "sandbox"]:
            return self._sandbox(words[2:])
        if words[0] == "smart-async":
            words = [sys.executable, "-W", "error", "-m", "smart_async", *words[1:]]
        elif words[0] == "python" and words[1] != "-m":
            words = [sys.executable, "-W", "error", *words[1:]]
        else:
            return 0
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if target:
            (self.folder / target.strip()).write_text(done.stdout, "utf-8")
        elif done.returncode != int(block.remarks.get("exits", "0")):
            print(block.place, command, done.stdout, done.stderr, sep="\n")
        return done.returncode

    def _sandbox(self, words: list[str]) -> int:
        from smart_async.sandbox import Sandbox, serve

        options = dict(zip(*[iter(words)] * 2, strict=True))
        sandbox = self.stack.enter_context(serve(Sandbox()))
        jwks = options.get("--jwks")
        if "--client-id" in options:
            sandbox.register_client(
                client_id=options["--client-id"],
                jwks=json.loads((self.folder / jwks).read_text("utf-8")) if jwks else None,
                client_secret=options.get("--client-secret"),
                redirect_uris=[options["--redirect-uri"]] if "--redirect-uri" in options else [],
            )
        self.moved[f"http://127.0.0.1:{options['--port']}"] = sandbox.base_url
        self.namespace["sandbox"] = sandbox
        return 0


def listing() -> Iterator[tuple[str, str | None]]:
    """Yield each block of the documentation that is not run, in whole or in part, with the reason."""
    for page in pages():
        text = page.read_text("utf-8")
        for block in blocks(text, page):
            reasons = block.not_run()
            if reasons is None:
                yield block.place, None
            elif reasons:
                yield block.place, "; ".join(reasons)


def main() -> int:
    """Print the list; fail if a block is neither run nor explained."""
    listed = list(listing())
    for place, reason in listed:
        print(f"{place}: {reason or 'NOT EXPLAINED: give it a language, or a comment <!-- not run: … -->'}")
    total = sum(len(blocks(page.read_text("utf-8"), page)) for page in pages())
    print(f"{total} blocks; {len(listed)} are not run, or not all of them.")
    return int(any(reason is None for _, reason in listed))


if __name__ == "__main__":
    sys.exit(main())
