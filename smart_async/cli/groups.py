"""Options that belong together: declared once as a dataclass, taken by each command that needs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from inspect import Parameter, signature
from typing import Any, TypeVar, get_type_hints

__all__ = ("expanded",)

T = TypeVar("T")


def expanded(command: Callable[..., T]) -> Callable[..., T]:
    """
    Return *command* as Typer needs it: each group of options among its parameters taken apart.

    Args:
        command: A function. A parameter annotated with a dataclass stands for all its fields, which are
            annotated as options.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Size:
    ...     width: int = 1
    ...     height: int = 1
    >>> def area(size: Size, times: int = 1) -> int:
    ...     return size.width * size.height * times
    >>> list(signature(expanded(area)).parameters), expanded(area)(width=2, height=3, times=2)
    (['width', 'height', 'times'], 12)
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type[Any]] = {}
    parameters: list[Parameter] = []
    for parameter in signature(command).parameters.values():
        kind = hints[parameter.name]
        if isinstance(kind, type) and is_dataclass(kind):
            groups[parameter.name] = kind
            parameters += _options(kind)
        else:
            parameters.append(parameter.replace(annotation=kind, kind=Parameter.KEYWORD_ONLY))

    @wraps(command)
    def call(**values: Any) -> T:
        for name, group in groups.items():
            values[name] = group(**{each.name: values.pop(each.name) for each in fields(group)})
        return command(**values)

    call.__dict__["__signature__"] = signature(command).replace(parameters=parameters)
    call.__annotations__ = {each.name: each.annotation for each in parameters}
    return call


def _options(group: type[Any]) -> list[Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        Parameter(
            each.name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if each.default is MISSING else each.default,
            annotation=hints[each.name],
        )
        for each in fields(group)
    ]
