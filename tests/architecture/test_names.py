"""Every public name stands in exactly the places where people and tools look for it."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import Any

import pytest

import smart_async
from smart_async import errors

LINES = 400
PACKAGE = Path(smart_async.__file__).parent
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__main__.py")


def order(name: str) -> tuple[int, str]:
    """Return the sort key that ruff uses for `__all__`: constants, classes, the rest."""
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2), name


def declared(tree: ast.Module) -> Any:
    """Return the literal assigned to `__all__`, or None."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and [ast.unparse(each) for each in node.targets] == ["__all__"]:
            return ast.literal_eval(node.value)
    return None


def test_every_module_says_what_is_public(sources: list[Any]) -> None:
    """Each module has `__all__`, a sorted tuple without repetitions."""
    for source in sources:
        if source.path.name == "__main__.py" or len(source.tree.body) == 1:
            continue  # a package that is nothing but its docstring has nothing to declare
        names = declared(source.tree)
        assert isinstance(names, tuple), f"{source.name} has no tuple __all__"
        assert list(names) == sorted(set(names), key=order), source.name


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_every_public_name_exists(path: Path) -> None:
    """What a module declares, it has."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if str(missing.name).startswith("smart_async"):
            raise
        pytest.skip(f"needs an extra: {missing}")
    for public in declared(ast.parse(path.read_text(encoding="utf-8"))) or ():
        assert hasattr(module, public), public


def test_modules_are_short(sources: list[Any]) -> None:
    """No module is longer than can be read in one sitting."""
    lengths = {source.name: len(source.path.read_text(encoding="utf-8").splitlines()) for source in sources}
    assert {name: length for name, length in lengths.items() if length > LINES} == {}


def typed_names(root: Path) -> dict[str, str]:
    """Return name and home of each import in the root's TYPE_CHECKING block."""
    tree = ast.parse((root / "smart_async" / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    return {
        alias.name: str(statement.module).removeprefix("smart_async.")
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }


def test_type_checkers_and_python_see_the_same(root: Path) -> None:
    """The TYPE_CHECKING block, the lazy table and `__all__` of the root agree, names and homes."""
    assert typed_names(root) == smart_async._HOMES
    assert sorted(smart_async._HOMES) == sorted(smart_async.__all__)


@pytest.mark.parametrize("name", smart_async.__all__)
def test_root_names_load(name: str) -> None:
    """Each public name loads from its home, is listed by dir(), and is loaded once."""
    value = getattr(smart_async, name)
    assert getattr(smart_async, name) is value
    assert name in dir(smart_async)
    home = importlib.import_module(f"smart_async.{smart_async._HOMES[name]}")
    assert name in home.__all__
    assert getattr(home, name) is value


def test_root_has_every_error() -> None:
    """Whatever the library raises can be caught by a name from the root."""
    assert set(errors.__all__) <= set(smart_async.__all__)


def test_unknown_names_fail_as_usual() -> None:
    """A name that does not exist raises AttributeError, so that hasattr and imports behave."""
    with pytest.raises(AttributeError, match="has no attribute 'Smart'"):
        _ = smart_async.Smart
