"""The library's dataclasses are the standard library's, made in less time."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import pickle
import pkgutil
import typing
from collections.abc import Callable
from dataclasses import field
from typing import Any

import pytest

import smart_async
from smart_async import _values
from smart_async.smart.config import SmartConfig
from smart_async.smart.scopes import Scope

PURE = (
    "smart_async.messages",
    "smart_async.keys",
    "smart_async.smart",
    "smart_async.flow",
    "smart_async.limits",
)


class Full:
    """One field of each kind."""

    name: str
    size: int = 3
    parts: list[str] = field(default_factory=list[str], hash=False)
    quiet: str = field(default="hush", repr=False, compare=False)
    fixed: int = field(default=7, init=False)
    later: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "later", self.size + 1)


class Lonely:
    """A single field."""

    name: str


class Empty:
    """No field at all."""


class Shown:
    """A class with its own repr and equality, which costs it its hash."""

    name: str

    def __repr__(self) -> str:
        return "<shown>"

    def __eq__(self, other: object) -> bool:
        return True


class Hashed:
    """A class with its own hash."""

    name: str

    def __hash__(self) -> int:
        return 5


OPTIONS = (
    {"frozen": True},
    {"frozen": True, "kw_only": True},
    {},
    {"kw_only": True},
    {"eq": False},
    {"frozen": True, "eq": False, "repr": False},
)
CALLS: tuple[Callable[[type[Any]], Any], ...] = (
    lambda cls: cls(),
    lambda cls: cls("a"),
    lambda cls: cls(name="a"),
    lambda cls: cls("a", 4, ["x"], "shh"),
    lambda cls: cls(name="a", size=4, parts=["x"], quiet="shh"),
    lambda cls: cls("a", 4, ["x"], "shh", 9),
    lambda cls: cls(name="a", fixed=9),
)


def twins(cls: type[Any], options: dict[str, bool]) -> tuple[type[Any], type[Any]]:
    """Return *cls* as the standard library makes a dataclass of it, and as the library does."""

    def copied() -> type[Any]:
        return type(cls.__name__, (), {**vars(cls), "__dict__": {}, "__weakref__": None})

    return dataclasses.dataclass(slots=True, **options)(copied()), _values.dataclass(slots=True, **options)(
        copied()
    )


def outcome(call: Callable[[], Any]) -> Any:
    """Return what *call* comes to: its value, or the type and text of its error."""
    try:
        return call()
    except Exception as exc:
        return type(exc), str(exc)


def seen(cls: type[Any], call: Callable[[type[Any]], Any]) -> dict[str, Any]:
    """Return all that can be seen of what *call* makes of *cls*."""
    one, other = outcome(lambda: call(cls)), outcome(lambda: call(cls))
    if not isinstance(one, cls):
        return {"refused": one}
    names = [f.name for f in dataclasses.fields(one)]
    return {
        "values": [getattr(one, name) for name in names],
        "repr": repr(one) if cls.__repr__ is not object.__repr__ else None,
        "equal": (one == other, one != other, one == one, one == "a", one.__eq__("a")),
        "hash": outcome(lambda: hash(one)) if cls.__hash__ is not object.__hash__ else None,
        "match": cls.__match_args__,
        "replaced": outcome(lambda: getattr(dataclasses.replace(one, name="b"), "name", None)),
        "copied": [getattr(copy.deepcopy(one), name) for name in names],
        "state": outcome(lambda: one.__reduce_ex__(5)[2]),
        # Python's own answer for a name that is no field speaks of super().
        "set": [outcome(lambda name=name: setattr(one, name, 1)) for name in names],
        "deleted": [outcome(lambda name=name: delattr(one, name)) for name in names],
        "no dict": hasattr(one, "__dict__"),
    }


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("cls", [Full, Lonely, Empty, Shown, Hashed])
class TestTheSame:
    """What the standard library makes, and what the library makes, cannot be told apart."""

    @pytest.mark.parametrize("call", CALLS)
    def test_instances(
        self, cls: type[Any], options: dict[str, bool], call: Callable[[type[Any]], Any]
    ) -> None:
        """Both take the same arguments, and make objects that behave alike."""
        theirs, ours = twins(cls, options)
        assert seen(theirs, call) == seen(ours, call)

    def test_signature(self, cls: type[Any], options: dict[str, bool]) -> None:
        """help() shows the same parameters, types and defaults for both."""
        theirs, ours = twins(cls, options)
        assert str(inspect.signature(theirs)) == str(inspect.signature(ours))
        assert typing.get_type_hints(theirs.__init__) == typing.get_type_hints(ours.__init__)
        assert theirs.__init__.__qualname__ == ours.__init__.__qualname__
        assert theirs.__doc__ == ours.__doc__

    def test_subclasses(self, cls: type[Any], options: dict[str, bool]) -> None:
        """A dataclass of a subclass can be made by anybody, with the standard library's rules."""
        for base in twins(cls, options):
            derived = type("Derived", (base,), {"__doc__": "More.", "__annotations__": {"more": "int"}})
            frozen = bool(options.get("frozen"))
            made = dataclasses.dataclass(frozen=frozen, kw_only=True)(derived)
            assert (*dataclasses.fields(base), "more") == (*dataclasses.fields(made)[:-1], "more")
            with pytest.raises(TypeError, match="cannot inherit"):
                dataclasses.dataclass(frozen=not frozen)(derived)


def test_an_object_that_leads_to_itself_is_shown() -> None:
    """A repr that would never end ends at the repetition."""
    made = _values.dataclass(slots=True)(type("Knot", (), dict(vars(Lonely))))
    knot = made(None)
    knot.name = knot
    assert repr(knot) == "Knot(name=...)"


def test_a_class_without_text_is_named() -> None:
    """No text is composed for a class that has no docstring."""
    made = _values.dataclass(slots=True)(type("Untold", (), {"__annotations__": {"name": "str"}}))
    assert made.__doc__ == "Untold"


def test_a_value_survives_a_pickle() -> None:
    """A value that may be pickled is the same afterwards."""
    scope = Scope("patient/Observation.rs")
    assert scope == pickle.loads(pickle.dumps(scope))


def test_all_values_have_the_parameters_of_the_standard_library() -> None:
    """In each value of the core, defaults belong to the parameters that were written beside them."""
    checked = 0
    for module in pkgutil.walk_packages(smart_async.__path__, "smart_async."):
        if not module.name.startswith(PURE):
            continue
        for cls in vars(importlib.import_module(module.name)).values():
            if (
                not dataclasses.is_dataclass(cls)
                or not isinstance(cls, type)
                or cls.__module__ != module.name
            ):
                continue
            defaults = {
                f.name: inspect.Parameter.empty if f.default is dataclasses.MISSING else f.default
                for f in dataclasses.fields(cls)
                if f.init and f.default_factory is dataclasses.MISSING
            }
            parameters = inspect.signature(cls).parameters
            assert defaults == {name: parameters[name].default for name in defaults}
            checked += 1
    assert checked > 50


def test_the_signature_of_a_configuration_shows_its_defaults() -> None:
    """help(SmartConfig) shows what a knob does where nobody turns it."""
    assert "attempts: int = 3" in str(inspect.signature(SmartConfig)).replace("'", "")
