"""The two facades are one client in two colours, and neither of them decides anything."""

from __future__ import annotations

import ast
import inspect
from typing import Any

import pytest

from smart_async import AsyncSmartClient, SmartClient

CLOSING = {"close", "aclose"}
SESSIONS = {"session", "backend_session", "load_session"}
"""What they make has the colour of its client."""


def public(facade: type) -> dict[str, Any]:
    """Return the facade's public methods and properties."""
    return {name: value for name, value in vars(facade).items() if not name.startswith("_")}


def parameters(function: Any) -> list[tuple[str, Any, Any]]:
    """Return name, kind and default of each parameter."""
    return [(each.name, each.kind, each.default) for each in inspect.signature(function).parameters.values()]


@pytest.fixture(params=["smart_async.clients._async", "smart_async.clients._sync"])
def methods(request: pytest.FixtureRequest, sources: list[Any]) -> list[Any]:
    """Return the syntax trees of a facade's public methods."""
    (tree,) = (source.tree for source in sources if source.name == request.param)
    (facade,) = (node for node in tree.body if isinstance(node, ast.ClassDef))
    return [
        node
        for node in facade.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_")
    ]


def test_methods_are_one_return(methods: list[Any]) -> None:
    """
    Each method is a docstring and one return: a branch in a facade is a flow in the wrong place.

    One that is given a secret makes its flow, forgets the secret and runs the flow, since error reporters
    show the variables of every frame.
    """
    assert len(methods) > 5
    for method in methods:
        if method.name in CLOSING:
            continue
        docstring, *body = method.body
        assert isinstance(docstring, ast.Expr), f"{method.name} has no docstring"
        kinds = [type(statement) for statement in body]
        assert kinds in ([ast.Return], [ast.Assign, ast.Delete, ast.Return]), method.name
        branches = (ast.IfExp, ast.BoolOp, ast.comprehension)
        assert not [
            node for statement in body for node in ast.walk(statement) if isinstance(node, branches)
        ], method.name


def test_same_names() -> None:
    """Both facades have the same public names, but for how they are closed."""
    assert set(public(AsyncSmartClient)) - CLOSING == set(public(SmartClient)) - CLOSING


def test_same_signatures() -> None:
    """Each method takes and returns the same in both colours."""
    for name in set(public(SmartClient)) - CLOSING:
        ours, theirs = public(SmartClient)[name], public(AsyncSmartClient)[name]
        if isinstance(ours, property):
            assert isinstance(theirs, property), name
            ours, theirs = ours.fget, theirs.fget
        here, there = inspect.signature(ours), inspect.signature(theirs)
        if name in SESSIONS:
            assert (here.return_annotation, there.return_annotation) == ("SmartSession", "AsyncSmartSession")
            here = here.replace(return_annotation=there.return_annotation)
        assert here == there, name


def test_same_construction() -> None:
    """Both are made with the same arguments."""
    assert parameters(SmartClient) == parameters(AsyncSmartClient)


def test_colours() -> None:
    """What the one awaits, the other returns."""
    awaited = {name for name, value in public(AsyncSmartClient).items() if inspect.iscoroutinefunction(value)}
    assert not {name for name, value in public(SmartClient).items() if inspect.iscoroutinefunction(value)}
    assert {"authorize", "backend_token", "discover", "exchange_code", "refresh"} < awaited


def test_same_words() -> None:
    """Each method's documentation reads the same in both colours."""
    for name in set(public(SmartClient)) - CLOSING:
        assert inspect.getdoc(public(SmartClient)[name]) == inspect.getdoc(public(AsyncSmartClient)[name])
