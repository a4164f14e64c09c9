"""The reference is complete: what the code has, the pages show, and the other way round."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path

import smart_async
from smart_async import errors, limits

sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "_ext"))

from reference import api_page, cli_page, error_classes, errors_page, limits_page, remedies

DOCS = Path(__file__).parents[2] / "docs"
REMEDIES = DOCS / "reference" / "remedies.toml"
API = re.compile(r"```\{api\} (?P<module>[\w.]+)\n(?P<names>.*?)```", re.DOTALL)


def documented() -> list[tuple[str, str]]:
    """Return what the API pages name: module and name."""
    found = []
    for page in sorted((DOCS / "reference" / "api").glob("*.md")):
        for match in API.finditer(page.read_text("utf-8")):
            names = match["names"].split()
            module = import_module(match["module"])
            found += [(match["module"], name) for name in names or module.__all__]
    return found


def test_each_public_name_is_documented_once() -> None:
    """Everything in the package's own __all__ is on one API page, or on the page of errors."""
    named = [name for module, name in documented() if module == "smart_async"]
    expected = sorted(set(smart_async.__all__) - set(errors.__all__))
    assert sorted(named) == expected


def test_each_error_has_causes_and_remedies() -> None:
    """A new class of error comes with what to do about it; no class is explained that is gone."""
    assert sorted(remedies()) == sorted(errors.__all__)
    general = {"SmartError", "ProtocolError"}  # never raised themselves
    assert [name for name, rows in remedies().items() if not rows and name not in general] == []


def test_the_page_of_errors_shows_every_class() -> None:
    """Each class has a section with its causes, in the order of the tree."""
    page = errors_page()
    assert re.findall(r"^### (\w+)$", page, re.MULTILINE) == [kind.__name__ for kind in error_classes()]
    assert all(row["cause"] in page for rows in remedies().values() for row in rows)


def test_the_page_of_limits_shows_every_limit() -> None:
    """Each constant stands there with its value and its reason."""
    shown = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", limits_page(), re.MULTILINE)
    constants = [name for name in limits.__all__ if name.isupper()]
    assert sorted(name for name, _, _ in shown) == sorted(constants)
    assert all(value == f"{getattr(limits, name):,}" and reason for name, value, reason in shown)


def test_the_page_of_commands_shows_every_option() -> None:
    """Each command has its section, and the options that its --help shows."""
    import typer.main

    from smart_async.cli.app import app

    page = cli_page()
    for name, command in typer.main.get_command(app).commands.items():
        section = page.partition(f"## smart-async {name}\n")[2].partition("\n## ")[0]
        assert section
        options = [one for one in command.params if one.param_type_name == "option" and not one.hidden]
        assert all(f"`{one.opts[0]}`" in section for one in options)


def test_rooms_list_what_the_package_does_not() -> None:
    """A room's page has its own names and does not repeat the package's."""
    page = api_page("smart_async.keys", ())
    assert "autoclass:: smart_async.keys.RingHolder" in page
    assert "smart_async.keys.SigningKey" not in page


def test_the_security_model_names_tests_that_there_are() -> None:
    """Who follows a threat to its test finds it."""
    page = (DOCS / "understand" / "security-model.md").read_text("utf-8")
    named = re.findall(r"`(test_\w+\.py)` \|$", page, re.MULTILINE)
    assert named
    assert [name for name in named if not (DOCS.parent / "tests" / "acceptance" / name).is_file()] == []
