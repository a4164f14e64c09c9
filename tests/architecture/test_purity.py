"""Pure rooms ask nobody for the time and open no file: what they need is passed in."""

from __future__ import annotations

import ast
from typing import Any

import pytest

FORBIDDEN_METHODS = {"now", "today", "utcnow", "open", "read_text", "read_bytes", "write_text", "write_bytes"}
FORBIDDEN_FUNCTIONS = {"open", "input", "print", "eval", "exec", "__import__"}


def impure_calls(tree: ast.Module) -> list[str]:
    """Return the calls in *tree* that look at the world, with their lines."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Attribute) and called.attr in FORBIDDEN_METHODS:
            found.append(f"{node.lineno}: .{called.attr}()")
        if isinstance(called, ast.Name) and called.id in FORBIDDEN_FUNCTIONS:
            found.append(f"{node.lineno}: {called.id}()")
    return found


def test_pure_rooms_do_not_look_at_the_world(pure: list[Any]) -> None:
    """No pure room calls now(), today(), utcnow() or open(), nor reads or writes a file by path."""
    assert len(pure) > 10
    assert {source.name: calls for source in pure if (calls := impure_calls(source.tree))} == {}


@pytest.mark.parametrize(
    "code", ["datetime.now(UTC)", "date.today()", "datetime.utcnow()", "open('key.pem')", "path.read_bytes()"]
)
def test_the_check_finds_impure_calls(code: str) -> None:
    """Each of the forbidden calls is found."""
    assert len(impure_calls(ast.parse(code))) == 1


def test_asking_the_driver_for_the_time_is_pure() -> None:
    """The flow step now() only asks; the driver answers."""
    assert impure_calls(ast.parse("def f():\n    instant = yield from now()")) == []
