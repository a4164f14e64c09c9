"""
Every how-to page works as it is written.

The Python blocks of one page are run in order, in one namespace, in an empty folder; `await` may stand at
the top level. Comments in the page, which readers never see, say what else a block needs:

- `<!-- needs: boto3, moto -->` anywhere: the page is skipped where one of these modules is missing;
- `<!-- not run: it needs an account -->` on the line above a block: the block is only compiled;
- a block inside a comment is run like any other: that is how a page is given its surroundings.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "how-to"
PAGES = sorted(FOLDER.glob("*.md"))
NEEDS = re.compile(r"<!-- needs: (?P<modules>[\w., ]+?) -->")
BLOCK = re.compile(
    r"(?P<spared>^<!-- not run: [^\n]+ -->\n+)?^```python\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True)
class Block:
    """One Python block: its code, compiled so that errors name the page's own lines."""

    code: CodeType
    run: bool


def blocks(text: str, name: str) -> list[Block]:
    """Return the Python blocks of a page, in their order."""
    found = []
    for match in BLOCK.finditer(text):
        padding = "\n" * text.count("\n", 0, match.start("code"))
        code = compile(
            padding + match["code"], name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
        )
        found.append(Block(code, run=match["spared"] is None))
    return found


def run(text: str, name: str) -> dict[str, object]:
    """Run the blocks of a page and return what they defined."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    with asyncio.Runner() as runner:
        for block in blocks(text, name):
            if block.run:
                outcome = eval(block.code, namespace)
                if inspect.iscoroutine(outcome):
                    runner.run(outcome)
    return namespace


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_how_to(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page tells its reader to write does what the page says."""
    text = page.read_text("utf-8")
    for needed in NEEDS.finditer(text):
        for module in needed["modules"].split(","):
            pytest.importorskip(module.strip())
    monkeypatch.chdir(tmp_path)
    assert blocks(text, page.name), "the page has no Python block"
    run(text, str(page))


PAGE = """
```python
a = 1
```
<!--
```python
b = a + 1
```
-->
<!-- not run: it cannot work -->
```python
b = a / 0
```
```python
import asyncio
await asyncio.sleep(0)
c = b + 1
```
```console
$ d = 4
```
"""


def test_blocks_share_a_namespace_and_run_in_order() -> None:
    """Hidden blocks are run, spared ones are not, and await stands where it likes."""
    found = run(PAGE, "page.md")
    assert (found["a"], found["b"], found["c"], "d" in found) == (1, 2, 3, False)


def test_a_failure_names_the_line_of_the_page() -> None:
    """Whoever breaks a page is told where."""
    with pytest.raises(ZeroDivisionError) as caught:
        run(PAGE.replace("<!-- not run: it cannot work -->", ""), "page.md")
    frame = caught.traceback[-1].frame
    assert (Path(frame.code.path).name, caught.traceback[-1].lineno + 1) == ("page.md", 12)


def test_a_spared_block_is_still_python() -> None:
    """What cannot be run is at least compiled."""
    with pytest.raises(SyntaxError):
        run(PAGE.replace("a / 0", "a /"), "page.md")
