"""
Acceptance 23, without the fuzzer: every parser takes valid messages with one thing broken, and nothing but an
error of ours comes out; T20, T22, T36.

The fuzzer's corpus, with every input that ever crashed a parser, is played again as well.
"""

from __future__ import annotations

import copy
import json
import time
from pathlib import Path
from typing import Any

import pytest
from doors import DOORS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from targets import TARGETS

from smart_async import SmartError

CORPUS = Path(__file__).parents[1] / "fuzz" / "corpus"

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**70), 10**70)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        ["", " ", "\0", "\ud800", "\u202e", "../..", "https://evil.example", "%s{0}", "a\r\nX: y"]
    )
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to each member and item."""
    found = [path] if path else []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        found += places(item, (*path, key))
    return found


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


@st.composite
def broken_json(draw: Any, valid: tuple[Any, ...]) -> bytes:
    """One valid document with a member that is gone, doubled, of another type, nested or lengthened."""
    document = copy.deepcopy(draw(st.sampled_from(valid)))
    ways = places(document)
    change = draw(st.sampled_from(("drop", "replace", "nest", "lengthen", "twice", "add", "text", "number")))
    if not ways or change == "text":
        return broken_text(draw, json.dumps(document))
    path = draw(st.sampled_from(ways))
    parent, key = at(document, path[:-1]), path[-1]
    item = parent[key]
    match change:
        case "drop":
            del parent[key]
        case "replace":
            parent[key] = draw(values)
        case "nest":
            for _ in range(draw(st.sampled_from((1, 2, 31, 40)))):
                item = draw(st.sampled_from(([item], {"x": item})))
            parent[key] = item
        case "lengthen":
            longer = {str: lambda: item * 5000, list: lambda: item * 3000}
            parent[key] = longer.get(type(item), lambda: [item] * 3000)()
        case "add":
            target = item if isinstance(item, dict) else parent
            if isinstance(target, dict):
                target[draw(st.text(max_size=10))] = draw(values)
        case "number":
            parent[key] = draw(st.sampled_from((10**63, -1, 1e308, 2**53 + 1, 0, True, float("nan"))))
        case _:
            body = json.dumps(document)
            if isinstance(parent, dict) and body.startswith("{"):
                return f"{{{json.dumps(str(key))}: 1, {body[1:]}".encode()
    return json.dumps(document).encode("utf-8", "surrogatepass")


def broken_text(draw: Any, text: str) -> bytes:
    """One text with a piece cut out, doubled, or replaced by bytes of any kind."""
    raw = text.encode()
    start = draw(st.integers(0, len(raw)))
    end = draw(st.integers(start, min(len(raw), start + 40)))
    piece = draw(st.sampled_from((b"", raw[start:end] * 2)) | st.binary(max_size=12) | st.just(b"x" * 9000))
    return raw[:start] + piece + raw[end:]


def knock(enter: Any, message: bytes) -> float:
    """Give *message* to a parser, and return how many seconds it took."""
    start = time.process_time()
    refusal = ""
    try:
        enter(message)
    except SmartError as refused:
        refusal = str(refused)
    seconds = time.process_time() - start
    assert len(refusal) < 3000
    assert not set(refusal) & {"\x1b", "\x00", "\r", "\u202e"}
    return seconds


@pytest.mark.parametrize("name", DOORS)
def test_valid_messages_come_in(name):
    """What is broken below is valid to begin with, but for keys that are none."""
    door = DOORS[name]
    for message in door.valid:
        body = message if isinstance(message, str) and name not in ("strict JSON",) else json.dumps(message)
        refused = 0
        try:
            door.enter(body.encode())
        except SmartError:
            refused = 1
        # Relative URLs, a signature of something else, an error, keys that are too short.
        fails = {"URL", "JWS", "callback members", "private JWK", "key file"}
        assert not refused or name in fails


@pytest.mark.parametrize("name", DOORS)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(data=st.data())
def test_one_thing_broken(name, data):
    """Only an error of ours escapes, whatever is broken, and its text is fit for a log."""
    door = DOORS[name]
    texts = [message for message in door.valid if isinstance(message, str)]
    if texts and name != "strict JSON":
        message = broken_text(data.draw, data.draw(st.sampled_from(texts)))
    else:
        message = data.draw(broken_json(door.valid))
    knock(door.enter, message)


HOSTILE = {
    "deep arrays": b"[" * 100_000,
    "deep objects": b'{"a":' * 50_000,
    "an endless string": b'"' + b"a" * 250_000,
    "many members": b"{" + b",".join(b'"%d":1' % n for n in range(20_000)) + b"}",
    "many equal members": b"{" + b",".join([b'"a":1'] * 20_000) + b"}",
    "a long number": b"1" * 200_000,
    "escapes": b'"' + b"\\u0061" * 40_000 + b'"',
    "backslashes": b'"' + b"\\" * 200_000,
    "quotes": b'"' * 200_000,
    "blanks": b" " * 250_000,
    "dots": b"." * 200_000,
    "commas": b"," * 200_000,
    "equal signs": b"a=" * 100_000,
    "percent signs": b"%" * 200_000,
    "a long token": b"a." * 100_000,
    "parentheses of a page": b"<title" * 30_000,
    "nothing": b"",
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "a mark and nothing": b"\xef\xbb\xbf",
    "half a character": b'"\xed\xa0\x80"',
    "NUL": b"\0" * 1000,
}


@pytest.mark.parametrize("name", DOORS)
def test_hostile_messages_take_no_time(name):
    """Large and crooked ones are refused, or read, within two seconds each on any machine."""
    for what, message in HOSTILE.items():
        assert knock(DOORS[name].enter, message) < 2, what


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_of_the_fuzzer(target):
    """Every input that the fuzzer kept, and every one that ever crashed, is harmless."""
    seeds = sorted((CORPUS / target).iterdir())
    assert seeds
    for path in seeds:
        TARGETS[target](path.read_bytes())
