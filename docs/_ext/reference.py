"""The reference pages that are made from the code while the documentation is built."""

import ast
import inspect
import re
import tomllib
from collections.abc import Iterable, Iterator
from enum import Enum
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import smart_async
from smart_async import errors, limits

_OPTION = re.compile(r"(?<![`\w-])--[a-z][a-z-]*")

REMEDIES = Path(__file__).parent.parent / "reference" / "remedies.toml"


# Errors -----------------------------------------------------------------------------------------


def remedies() -> dict[str, list[dict[str, str]]]:
    """Return, for each class of error, its usual causes with what to do about them."""
    with REMEDIES.open("rb") as file:
        return tomllib.load(file)


def error_classes() -> list[type[errors.SmartError]]:
    """Return the classes in the order of the tree that errors.py draws."""
    assert errors.__doc__ is not None
    classes = [getattr(errors, name) for name in errors.__all__]
    return sorted(classes, key=lambda kind: errors.__doc__.index(f"{kind.__name__} "))


def error_tree() -> str:
    """Return the drawing of the tree."""
    assert errors.__doc__ is not None
    return f"```text{errors.__doc__.split('```')[1]}```"


def errors_page() -> str:
    """Return a section for each class of error: what it means, causes and remedies, attributes."""
    known = remedies()
    parts = []
    for kind in error_classes():
        parts.append(f"### {kind.__name__}\n")
        if known[kind.__name__]:
            parts += ["| Cause | What to do |", "|---|---|"]
            parts += [f"| {row['cause']} | {row['remedy']} |" for row in known[kind.__name__]]
            parts.append("")
        home = "smart_async" if kind.__name__ in smart_async.__all__ else "smart_async.errors"
        parts.append(_rst(f".. autoclass:: {home}.{kind.__name__}\n   :show-inheritance:\n"))
    return "\n".join(parts)


# Limits -----------------------------------------------------------------------------------------


def limits_with_reasons() -> Iterator[tuple[str, object, str]]:
    """Yield each limit: its name, its value, and the text below it."""
    body = ast.parse(inspect.getsource(limits)).body
    for statement, text in pairwise(body):
        if isinstance(statement, ast.Assign) and isinstance(text, ast.Expr):
            name = ast.unparse(statement.targets[0])
            yield name, getattr(limits, name), ast.literal_eval(text.value)


def limits_page() -> str:
    """Return the table of limits."""
    rows = [f"| `{name}` | {value:,} | {reason} |" for name, value, reason in limits_with_reasons()]
    return "\n".join(["| Name | Value | What it counts, and why |", "|---|---|---|", *rows])


# The command line -------------------------------------------------------------------------------


def cli_page() -> str:
    """Return a section for each command of `smart-async`."""
    import typer.main

    from smart_async.cli.app import app

    root: Any = typer.main.get_command(app)
    return "\n".join(_command(name, command) for name, command in _commands(root, ""))


def _commands(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if command.hidden:
            continue
        full = f"{prefix}{name}"
        if hasattr(command, "commands"):
            yield from _commands(command, f"{full} ")
        else:
            yield full, command


def _command(name: str, command: Any) -> str:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    shown = "".join(f" {one.metavar or one.name.upper()}" for one in arguments)
    parts = [
        f"## smart-async {name}\n",
        f"```text\nsmart-async {name} [OPTIONS]{shown}\n```\n",
        _code(inspect.cleandoc(command.help or "")),
        "",
    ]
    parts += [f"`{one.metavar or one.name.upper()}`\n: {_cell(one.help)}\n" for one in arguments]
    options = [one for one in command.params if one.param_type_name == "option" and not one.hidden]
    parts += ["| Option | What it does |", "|---|---|"]
    parts += [f"| {_names(one)} | {_cell(one.help)}{_further(one)} |" for one in options]
    return "\n".join(parts) + "\n"


def _names(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    if option.is_flag:
        return names
    choices = _choices(option)
    if choices:
        return f"{names} " + " or ".join(f"`{one}`" for one in choices)
    return f"{names} {(option.metavar or option.name).upper()}"


def _choices(option: Any) -> list[str]:
    # Typer has described types in two ways so far.
    described = getattr(option, "type_descriptor", None)
    kind = described.annotation if described is not None else option.type
    listed = list(kind) if inspect.isclass(kind) and issubclass(kind, Enum) else getattr(kind, "choices", ())
    return [str(getattr(one, "value", one)) for one in listed]


def _further(option: Any) -> str:
    said = []
    if option.required:
        said.append("Required.")
    if option.envvar:
        variables = [option.envvar] if isinstance(option.envvar, str) else option.envvar
        said.append(f"Also from {', '.join(f'`{one}`' for one in variables)}.")
    default = option.default
    if not option.is_flag and isinstance(default, (str, int, float)) and str(default):
        said.append(f"Default: `{getattr(default, 'value', default)}`.")
    return f" {' '.join(said)}" if said else ""


def _cell(text: str | None) -> str:
    return _code(" ".join((text or "").split())).replace("|", "\\|").replace("*.", "\\*.")


def _code(text: str) -> str:
    # Else two hyphens become a dash.
    return _OPTION.sub(r"`\g<0>`", text)


# The API ----------------------------------------------------------------------------------------


def api_page(module_name: str, names: Iterable[str]) -> str:
    """Return the documentation of *names*, or of all public names that the package itself does not have."""
    module = import_module(module_name)
    wanted = list(names) or [name for name in module.__all__ if name not in smart_async.__all__]
    return _rst("\n".join(_entry(module_name, name, getattr(module, name)) for name in wanted))


def _entry(module_name: str, name: str, value: object) -> str:
    full = f"{module_name}.{name}"
    if inspect.isclass(value):
        options = "   :members:\n"
        if issubclass(value, Exception):
            options += "   :show-inheritance:\n"
        return f".. autoclass:: {full}\n{options}"
    if inspect.isroutine(value):
        return f".. autofunction:: {full}\n"
    # autodoc would describe the type that the value happens to have.
    text = _text_below(module_name, name) or ""
    return f".. py:data:: {full}\n\n   {text}\n"


def _text_below(module_name: str, name: str) -> str | None:
    """Return the text below the assignment to *name*, in the module or in those that it imports from."""
    module = import_module(module_name)
    body = ast.parse(inspect.getsource(module)).body
    for statement, text in zip(body, [*body[1:], None], strict=True):
        targets = [getattr(statement, "target", None), *getattr(statement, "targets", [])]
        if name in [ast.unparse(one) for one in targets if one is not None]:
            value = getattr(text, "value", None)
            return ast.literal_eval(value) if isinstance(value, ast.Constant) else None
        if isinstance(statement, ast.ImportFrom) and name in [one.name for one in statement.names]:
            return _text_below(str(statement.module), name)
    return None


def _rst(text: str) -> str:
    return f"````{{eval-rst}}\n{text}\n````\n"
