"""
Where a secret can come out: fifteen sinks, each of them searched, and each of them proven to be searched.

A sink is a name and a function that turns something into the text an onlooker would see.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import io
import json
import logging
import pickle
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

TESTS = str(Path(__file__).parents[1])  # tests


class Detector:
    """Finds secrets in text, however they are written there."""

    def __init__(self, **secrets: str) -> None:
        self.secrets = secrets

    def add(self, **secrets: str) -> None:
        """Look for these, too."""
        self.secrets.update(secrets)

    def found(self, text: str) -> set[str]:
        """The names of the secrets in *text*."""
        return {
            name
            for name, value in self.secrets.items()
            if any(written in text for written in self.written(value))
        }

    @staticmethod
    @cache
    def written(value: str) -> set[str]:
        """The ways in which a secret may be written: as it is, escaped, encoded."""
        ways = {value, quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1], repr(value)[1:-1]}
        raw = value.encode()
        ways |= {repr(raw)[2:-1], quote(value)}
        for shift in range(3):  # where it begins within a group of three bytes
            encoded = base64.b64encode(bytes(shift) + raw)
            inner = encoded[(0, 2, 3)[shift] : len(encoded) - (0, 3, 2)[(len(raw) + shift) % 3]]
            ways |= {inner.decode(), inner.decode().replace("+", "-").replace("/", "_")}
        return ways


def chain(error: BaseException) -> Iterator[BaseException]:
    """*error* and all that led to it, suppressed or not."""
    seen: list[int] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen.append(id(one))
            waiting += [one.__cause__, one.__context__]
            yield one


def _captured_locals(thing: Any) -> str:
    # The frames of the tests are those of the app, which knows its own secrets.
    lines: list[str] = []
    for error in chain(thing) if isinstance(thing, BaseException) else ():
        captured = traceback.TracebackException.from_exception(error, capture_locals=True)
        for frame in captured.stack:
            # So are those of the portal through which tests call into an event loop.
            if not frame.filename.startswith(TESTS) and not frame.filename.endswith("from_thread.py"):
                lines += [f"{frame.name}.{key} = {value}" for key, value in (frame.locals or {}).items()]
    return "\n".join(lines)


def _traceback(thing: Any) -> str:
    if not isinstance(thing, BaseException):
        return ""
    return "".join("".join(traceback.format_exception(one)) for one in chain(thing))


def _logged(thing: Any) -> str:
    stream = io.StringIO()
    logger = logging.Logger("canaries", logging.DEBUG)
    logger.addHandler(logging.StreamHandler(stream))
    logger.error(
        "it failed: %s %r", thing, thing, exc_info=thing if isinstance(thing, BaseException) else None
    )
    return stream.getvalue()


def _attributes(thing: Any) -> str:
    text = ""
    for one in chain(thing) if isinstance(thing, BaseException) else (thing,):
        names = set(getattr(one, "__dict__", {}))
        for kind in type(one).__mro__:
            slots = kind.__dict__.get("__slots__", ())
            names |= {slots} if isinstance(slots, str) else set(slots)
        # Private ones are for a debugger; what shows without one is what counts.
        shown = {name: getattr(one, name, None) for name in names if not name.startswith("_")}
        text += repr({name: value for name, value in shown.items() if not _is_raw(one, name)})
        text += repr(getattr(one, "args", ""))
    return text


def _is_raw(thing: Any, name: str) -> bool:
    # What the documentation calls plain: `raw` and the state of a login, which is in the browser anyway.
    documented = {"raw", "claims", "state", "patient", "encounter", "launch", "findings", "headers", "body"}
    return name in documented and not isinstance(thing, BaseException)


def _pickled(thing: Any) -> str:
    text = ""
    for one in chain(thing) if isinstance(thing, BaseException) else (thing,):
        with contextlib.suppress(TypeError, AttributeError, pickle.PicklingError):
            text += repr(pickle.dumps(one))
    return text


def _copied(thing: Any) -> str:
    with contextlib.suppress(TypeError):
        return repr(copy.copy(thing)) + repr(copy.deepcopy(thing))
    return ""


def _as_dict(thing: Any) -> str:
    with contextlib.suppress(TypeError):  # a Secret cannot be copied, so neither can what holds one
        return repr(asdict(thing)) if is_dataclass(thing) and not isinstance(thing, type) else ""
    return ""


def _as_json(thing: Any) -> str:
    return json.dumps(thing, default=repr)


def _printed(thing: Any) -> str:
    stream = io.StringIO()
    print(thing, [thing], {"it": thing}, file=stream)
    return stream.getvalue()


def _noted(thing: Any) -> str:
    return (
        repr([getattr(one, "__notes__", ()) for one in chain(thing)])
        if isinstance(thing, BaseException)
        else ""
    )


SINKS: Mapping[str, Callable[[Any], str]] = {
    "str": str,
    "repr": repr,
    "format": lambda thing: f"{thing} {thing!r:>400} {[thing]}",
    "traceback": _traceback,
    "captured locals": _captured_locals,
    "logging.exception": _logged,
    "attributes": _attributes,
    "pickle": _pickled,
    "copy": _copied,
    "asdict": _as_dict,
    "json": _as_json,
    "print": _printed,
    "notes": _noted,
}
"""What is looked at of a thing; logs, warnings, files, standard output and command lines come beside it."""


def leaks(
    detector: Detector, things: Iterable[Any], sinks: Iterable[str] = tuple(SINKS)
) -> set[tuple[str, str, str]]:
    """Which secret of *detector* comes out of *things*, through which sink, and in which line."""
    found: set[tuple[str, str, str]] = set()
    for thing in things:
        for sink in sinks:
            text = SINKS[sink](thing)
            for line in text.splitlines() if detector.found(text) else ():
                found |= {(sink, secret, line.partition(" = ")[0][:120]) for secret in detector.found(line)}
    return found


class Watch:
    """Watches what a block of code writes: logs at DEBUG, warnings, files in a folder."""

    def __init__(self, folder: Path, filters: Iterable[logging.Filter] = ()) -> None:
        self.folder = folder
        self.stream = io.StringIO()
        self.handler = logging.StreamHandler(self.stream)
        self.handler.setFormatter(logging.Formatter("%(name)s %(message)s %(args)s"))
        for one in filters:
            self.handler.addFilter(one)

    def __enter__(self) -> Watch:
        root = logging.getLogger()
        self.level = root.level
        root.addHandler(self.handler)
        root.setLevel(logging.DEBUG)
        return self

    def __exit__(self, *_: object) -> None:
        root = logging.getLogger()
        root.removeHandler(self.handler)
        root.setLevel(self.level)

    @property
    def logged(self) -> str:
        """All log records."""
        return self.stream.getvalue()

    @property
    def written(self) -> str:
        """The names and contents of all files."""
        return "\n".join(f"{path} {path.read_bytes()!r}" for path in self.folder.rglob("*") if path.is_file())
