"""Flows are used as flows: never dropped, never waiting while they are being closed."""

from __future__ import annotations

import ast
import textwrap
from typing import Any

import pytest


def flow_names(trees: list[ast.Module]) -> set[str]:
    """Return the names of all functions and methods annotated `-> Flow[...]`."""
    return {
        node.name
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and isinstance(node.returns, ast.Subscript)
        and isinstance(node.returns.value, ast.Name)
        and node.returns.value.id == "Flow"
    }


def dropped(tree: ast.Module, flows: set[str]) -> list[str]:
    """Return the calls of *flows* in *tree* whose result goes nowhere, with their lines."""
    found = []
    for node in ast.walk(tree):
        lone = isinstance(node, ast.Expr)
        unnamed = isinstance(node, ast.Assign) and [ast.unparse(each) for each in node.targets] == ["_"]
        if not (lone or unnamed) or not isinstance(node, ast.Expr | ast.Assign):
            continue
        call = node.value
        if isinstance(call, ast.Yield):  # `yield flow()` hands the driver something that is no step
            call = call.value
        if not isinstance(call, ast.Call):
            continue
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", None)
        if name in flows:
            found.append(f"{node.lineno}: {name}()")
    return found


def yields_in_finally(tree: ast.Module) -> list[int]:
    """Return the lines of the yields that stand in a `finally` block."""
    return [
        inner.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Try)
        for statement in node.finalbody
        for inner in ast.walk(statement)
        if isinstance(inner, ast.Yield | ast.YieldFrom)
    ]


def test_no_flow_is_dropped(pure: list[Any]) -> None:
    """In the pure rooms, no flow is called without `yield from`: it would silently do nothing."""
    flows = flow_names([source.tree for source in pure])
    assert {"send", "sign", "now", "sleep"} < flows
    assert {source.name: calls for source in pure if (calls := dropped(source.tree, flows))} == {}


def test_no_flow_waits_in_finally(pure: list[Any]) -> None:
    """No flow yields in `finally`: a cancelled driver closes it, and nobody would perform the step."""
    assert {source.name: lines for source in pure if (lines := yields_in_finally(source.tree))} == {}


@pytest.mark.parametrize("line", ["sleep(1)", "auth.sleep(1)", "_ = sleep(1)", "yield sleep(1)"])
def test_the_check_finds_dropped_flows(line: str) -> None:
    """A flow that nobody runs is found in each shape."""
    assert len(dropped(ast.parse(f"def f():\n    {line}"), {"sleep"})) == 1


@pytest.mark.parametrize(
    "line", ["yield from sleep(1)", "x = sleep(1)", "return sleep(1)", "drive(sleep(1))"]
)
def test_the_check_lets_used_flows_be(line: str) -> None:
    """A flow that somebody holds is no finding."""
    assert dropped(ast.parse(f"def f():\n    {line}"), {"sleep"}) == []


def test_the_check_finds_a_yield_in_finally() -> None:
    """A step in `finally` is found, however deep."""
    code = """
        def f():
            try:
                yield from send(request)
            finally:
                if True:
                    yield from send(request)
    """
    assert yields_in_finally(ast.parse(textwrap.dedent(code))) == [7]
