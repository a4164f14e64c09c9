"""Every page of the documentation works as it is written; blocks.py says how pages are run."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from blocks import NEEDS, ROOT, PageRun, blocks, listing, pages


def name(page: Path) -> str:
    return page.relative_to(ROOT).with_suffix("").as_posix().removeprefix("docs/")


@pytest.mark.parametrize("page", pages(), ids=name)
def test_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page tells its reader to write does what the page says."""
    text = page.read_text("utf-8")
    for needed in NEEDS.finditer(text):
        for module in needed["modules"].split(","):
            pytest.importorskip(module.strip())
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    try:
        PageRun(tmp_path).run(blocks(text, page))
    finally:
        for module in set(sys.modules) - before:
            if str(getattr(sys.modules[module], "__file__", "")).startswith(str(tmp_path)):
                del sys.modules[module]


@pytest.mark.parametrize("page", [page for page in pages() if "how-to" in page.parts], ids=name)
def test_a_how_to_page_shows_code(page: Path) -> None:
    """A task is solved with code, not with prose alone."""
    found = blocks(page.read_text("utf-8"), page)
    assert page.stem == "index" or any(block.language in ("python", "console") for block in found)


def test_each_how_to_page_is_on_the_shelf_once() -> None:
    """A page that is not listed is not found; one that is listed twice looks like two."""
    folder = ROOT / "docs" / "how-to"
    listed = re.findall(r"\]\(([\w-]+)\.md\)", (folder / "index.md").read_text("utf-8"))
    assert sorted(listed) == sorted(page.stem for page in folder.glob("*.md") if page.stem != "index")


def test_what_is_not_run_is_explained() -> None:
    """Whoever adds a block that cannot run says why."""
    assert [place for place, reason in listing() if reason is None] == []


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
```{directive}
not code
```
```python
import asyncio
await asyncio.sleep(0)
c = b + 1
```
```console
$ make tea
```
"""
PATH = Path("page.md")


def run(text: str, folder: Path) -> dict[str, object]:
    return PageRun(folder).run(blocks(text, PATH))


def test_blocks_share_a_namespace_and_run_in_order(tmp_path: Path) -> None:
    """Hidden blocks are run, spared ones and directives are not, and await stands where it likes."""
    found = run(PAGE, tmp_path)
    assert (found["a"], found["b"], found["c"]) == (1, 2, 3)


def test_reasons() -> None:
    """A block that is not run gives the reason of the comment or of its command; a directive is none."""
    assert [block.not_run() for block in blocks(PAGE, PATH)] == [
        [],
        [],
        ["it cannot work"],
        [],
        ["make: works on the clone itself"],
    ]


@pytest.mark.parametrize("block", ["```bash\nls\n```", "```console\n$ frobnicate\n```"])
def test_an_unknown_command_or_language_is_not_explained(block: str) -> None:
    """What the runner does not know has to be explained by hand."""
    assert [one.not_run() for one in blocks(block, PATH)] == [None]


def test_a_failure_names_the_line_of_the_page(tmp_path: Path) -> None:
    """Whoever breaks a page is told where."""
    with pytest.raises(ZeroDivisionError) as caught:
        run(PAGE.replace("<!-- not run: it cannot work -->", ""), tmp_path)
    frame = caught.traceback[-1].frame
    assert (Path(frame.code.path).name, caught.traceback[-1].lineno + 1) == ("page.md", 12)


def test_a_spared_block_is_still_python(tmp_path: Path) -> None:
    """What cannot be run is at least compiled."""
    with pytest.raises(SyntaxError):
        run(PAGE.replace("a / 0", "a /"), tmp_path)


CONSOLE = """
<!-- file: hello.py -->
```python
import os
print(os.environ["WHOM"])
```
```console
$ export WHOM=world
$ python hello.py > said.txt
$ smart-async keygen --alg ES384 \\
    --kid k --out key.pem > jwks.json
$ smart-async sandbox --port 8080 --client-id app --jwks jwks.json
$ smart-async token --fhir-base http://127.0.0.1:8080/fhir --allow-insecure-loopback \\
    --client-id app --key key.pem --kid k --scope system/Patient.rs > token.txt
```
"""


def test_commands_are_run(tmp_path: Path) -> None:
    """Files are saved, variables set, output redirected, and the sandbox stands in for the page's port."""
    run(CONSOLE, tmp_path)
    assert (tmp_path / "said.txt").read_text("utf-8").strip() == "world"
    assert "system/Patient.rs" in (tmp_path / "token.txt").read_text("utf-8")


@pytest.mark.parametrize(
    ("page", "exits"),
    [("```console\n$ smart-async jwks nothing.pem\n```", 2), ("```console\n$ python nothing.py\n```", 2)],
)
def test_a_failing_command_fails_the_page(page: str, exits: int, tmp_path: Path) -> None:
    """A command that does not work is noticed, unless the page says that it does not."""
    with pytest.raises(AssertionError, match=f"exit code {exits}"):
        run(page, tmp_path)
    run(f"<!-- exits: {exits} -->\n{page}", tmp_path)


@pytest.mark.parametrize("block", ["```json\n{'a': 1}\n```", "```toml\na: 1\n```"])
def test_data_is_parsed(block: str, tmp_path: Path) -> None:
    """Data that a reader might copy is well formed."""
    with pytest.raises(ValueError, match=r"line 1|column 1|Expect"):
        run(block, tmp_path)
