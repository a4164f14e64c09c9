"""
Dataclasses that load in a third of the time.

The standard library writes six methods for each frozen dataclass as source text and compiles every one of
them, which takes up to a millisecond a class: it is what a nightly job would mostly wait for. Here only
`__init__` is written and compiled. The others are the same for all classes but for the names of the fields,
so they are plain functions. Making a frozen value is a third faster, too.

What comes out is a dataclass in every respect: for `fields`, `replace`, `match`, `help()`, pickling and type
checkers, which see the standard library's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ("dataclass",)

if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    import dataclasses
    from functools import partial
    from operator import attrgetter
    from reprlib import recursive_repr

    def dataclass(cls=None, /, *, slots=True, frozen=False, kw_only=False, eq=True, repr=True):  # noqa: A002 - as theirs
        """
        Make a dataclass of *cls*; the options mean what they mean in the standard library.

        Args:
            cls: The class. It has no other dataclass among its bases.
            slots: Always given as True, so that type checkers know: there is no other kind here.
            frozen: Whether the fields keep the values that an instance was made with.
            kw_only: Whether the fields are given by name.
            eq: Whether instances are compared by their fields, and frozen ones hashed.
            repr: Whether instances show their fields.
        """
        if cls is None:
            return partial(dataclass, slots=slots, frozen=frozen, kw_only=kw_only, eq=eq, repr=repr)
        own = dict(cls.__dict__)
        cls.__doc__ = cls.__doc__ or cls.__name__  # or the standard library composes a text
        made = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots, kw_only=kw_only)(cls)
        fields = dataclasses.fields(made)
        _add(made, {}, {"__init__": _init(made, fields, frozen=frozen)})
        if repr:
            _add(made, own, {"__repr__": _repr(fields)})
        if eq:
            _add(made, own, _comparison([field.name for field in fields if field.compare]))
            _add_hash(made, own, [field.name for field in fields if _is_hashed(field)], frozen=frozen)
        if frozen:
            _add(made, own, _FROZEN)
        for option, value in (("init", True), ("repr", repr), ("eq", eq), ("frozen", frozen)):
            setattr(made.__dataclass_params__, option, value)  # for whoever makes a dataclass of a subclass
        return made

    class _Made:
        """Stands for the default of a field whose value is made anew for each instance."""

        def __repr__(self):
            return "<factory>"

    _MADE = _Made()

    def _add(made, own, methods):
        for name, method in methods.items():
            if name not in own:
                method.__qualname__ = f"{made.__qualname__}.{name}"
                setattr(made, name, method)

    def _init(made, fields, *, frozen):
        # A default takes its place afterwards, so that the text holds names only.
        known = {"__name__": made.__module__, "_MADE": _MADE}
        lines = []
        for field in fields:
            name = value = field.name
            if not field.init:
                if field.default is dataclasses.MISSING:
                    continue  # left to __post_init__
                known[f"_const_{name}"] = field.default
                value = f"_const_{name}"
            elif field.default_factory is not dataclasses.MISSING:
                known[f"_new_{name}"] = field.default_factory
                value = f"_new_{name}() if {name} is _MADE else {name}"
            if frozen:
                known[f"_set_{name}"] = made.__dict__[name].__set__
                lines.append(f" _set_{name}(self, {value})")
            else:
                lines.append(f" self.{name} = {value}")
        if hasattr(made, "__post_init__"):
            lines.append(" self.__post_init__()")
        given = [field for field in fields if field.init]
        by_place = [field.name for field in given if not field.kw_only]
        by_name = [field.name for field in given if field.kw_only]
        arguments = ", ".join(("self", *by_place, *(("*", *by_name) if by_name else ())))
        exec("\n".join((f"def __init__({arguments}):", *lines, " return")), known)  # noqa: S102 - names of fields
        init = known["__init__"]
        defaults = {f.name: _default(f) for f in given if _default(f) is not dataclasses.MISSING}
        init.__defaults__ = tuple(defaults[name] for name in by_place if name in defaults)
        init.__kwdefaults__ = {name: defaults[name] for name in by_name if name in defaults}
        init.__annotations__ = {field.name: field.type for field in given} | {"return": None}
        return init

    def _default(field):
        return field.default if field.default_factory is dataclasses.MISSING else _MADE

    def _repr(fields):
        shown = [field.name for field in fields if field.repr]

        @recursive_repr()
        def __repr__(self):  # noqa: N807 - it becomes a method
            values = ", ".join([f"{name}={getattr(self, name)!r}" for name in shown])
            return f"{type(self).__qualname__}({values})"

        return __repr__

    def _values(names):
        """Return the function that returns the values of the fields *names* of an object, as a tuple."""
        if len(names) > 1:
            return attrgetter(*names)
        return lambda self: tuple([getattr(self, name) for name in names])

    def _comparison(names):
        values = _values(names)

        def __eq__(self, other):  # noqa: N807 - a method's name
            return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

        return {"__eq__": __eq__}

    def _is_hashed(field):
        return field.compare if field.hash is None else field.hash

    def _add_hash(made, own, names, *, frozen):
        # Python itself gives None to a class that defines __eq__ alone.
        if own.get("__hash__") is not None or ("__hash__" in own and "__eq__" not in own):
            return
        if not frozen:
            made.__hash__ = None
            return
        values = _values(names)

        def __hash__(self):  # noqa: N807 - a method's name
            return hash(values(self))

        _add(made, {}, {"__hash__": __hash__})

    def __setattr__(self, name, value):  # noqa: N807, ARG001 - a method's name
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name):  # noqa: N807, ARG001 - a method's name
        raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")

    def __getstate__(self):  # noqa: N807 - a method's name
        return [getattr(self, field.name) for field in dataclasses.fields(self)]

    def __setstate__(self, state):  # noqa: N807 - a method's name
        for field, value in zip(dataclasses.fields(self), state, strict=True):
            object.__setattr__(self, field.name, value)

    _FROZEN = {method.__name__: method for method in (__setattr__, __delattr__, __getstate__, __setstate__)}
