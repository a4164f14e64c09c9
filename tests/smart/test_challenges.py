"""WWW-Authenticate: read by its grammar, or not at all."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_async import ProtocolError
from smart_async.limits import CHALLENGE_BYTES, CHALLENGE_PARAMETERS
from smart_async.smart.challenges import bearer_challenge, parse_challenges

TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
names = st.from_regex(r"\A[a-z!#$%&'*+.^_`|~-][a-z0-9-]{0,8}\Z")
values = st.text(
    st.characters(codec="ascii", exclude_categories=["Cc", "Cs"], include_characters="\t"), max_size=20
)


def read(text: str) -> list[tuple[str, dict[str, str]]]:
    return [(each.scheme, dict(each.parameters)) for each in parse_challenges(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" , ,", []),
        ("Bearer", [("bearer", {})]),
        ("BEARER Realm=EHR", [("bearer", {"realm": "EHR"})]),
        ('Bearer  realm = "a"', [("bearer", {"realm": "a"})]),
        ('Bearer realm="a",error="b"', [("bearer", {"realm": "a", "error": "b"})]),
        (',, Bearer ,realm="a" ,, Basic', [("bearer", {"realm": "a"}), ("basic", {})]),
        ('Basic realm="x, Bearer error=\\"y\\""', [("basic", {"realm": 'x, Bearer error="y"'})]),
        ("Negotiate YWJj==, Bearer", [("negotiate", {}), ("bearer", {})]),
        ("Negotiate abc=", [("negotiate", {})]),
        ('Bearer a="\\\\"', [("bearer", {"a": "\\"})]),
        ('Bearer a=""', [("bearer", {"a": ""})]),
        ('Bearer a="\u00fc"', [("bearer", {"a": "\u00fc"})]),
        ("Basic realm=a, Digest b=c, d=e", [("basic", {"realm": "a"}), ("digest", {"b": "c", "d": "e"})]),
    ],
)  # fmt: skip
def test_what_the_grammar_allows(text: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    """Several challenges, empty list items, blanks around the equals sign, quoted commas."""
    assert read(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        'Bearer error="x',
        'Bearer error="x" scope="y"',
        "Bearer a=b c=d",
        "Bearer scope=patient/Task.r",
        'Bearer error=""x"',
        'Bearer a="\n"',
        'Bearer a="b"c',
        "Bearer\trealm=a",
        "=x",
        '"Bearer"',
        "Basic abc=, realm=x",
        "Bearer a=1, A=2",
        "Bearer " + ", ".join(f"p{number}=1" for number in range(CHALLENGE_PARAMETERS + 1)),
        "Bearer a=" + "x" * CHALLENGE_BYTES,
    ],
)
def test_what_it_does_not(text: str) -> None:
    """Half a field is not evidence of anything; it is refused, and no Bearer challenge is found in it."""
    with pytest.raises(ProtocolError) as caught:
        parse_challenges(text)
    assert "x" * 20 not in str(caught.value)
    assert dict(bearer_challenge(text)) == {}


def test_the_longest_that_is_read() -> None:
    """The limit itself is still good."""
    text = "Bearer a=" + "x" * (CHALLENGE_BYTES - 9)
    assert read(text) == [("bearer", {"a": text[9:]})]


def test_where_it_breaks_is_told() -> None:
    """Counted from one, as people do, and without a word of the text."""
    with pytest.raises(ProtocolError) as caught:
        parse_challenges('Bearer a=1, "secret"')
    assert caught.value.message == "WWW-Authenticate cannot be read from its character 13 on."


def test_a_challenge_can_be_a_key() -> None:
    """Two of one kind count as one in a set, as values do."""
    one, same = (parse_challenges("Bearer a=1")[0] for _ in range(2))
    assert len({one, same}) == 1


def test_the_most_parameters_that_are_read() -> None:
    """The limit itself is still read."""
    text = "Bearer " + ", ".join(f"p{number}=1" for number in range(CHALLENGE_PARAMETERS))
    assert len(parse_challenges(text)[0].parameters) == CHALLENGE_PARAMETERS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, {}),
        ("Basic realm=a", {}),
        ("Basic realm=a, bearer error=b", {"error": "b"}),
        ("Bearer error=a, Bearer error=b", {"error": "a"}),
    ],
)
def test_the_bearer_challenge(text: str | None, expected: dict[str, str]) -> None:
    """The first Bearer challenge among all, whatever its case."""
    assert dict(bearer_challenge(text)) == expected


@given(st.text(max_size=300) | st.from_regex(r'\A(?:[A-Za-z ,="\\/.]|Bearer |a=b){0,40}\Z'))
def test_never_another_exception(text: str) -> None:
    """Whatever comes, it is read or refused; and what is read has names that the grammar knows."""
    try:
        found = parse_challenges(text)
    except ProtocolError:
        return
    for each in found:
        assert TOKEN.fullmatch(each.scheme)
        assert all(TOKEN.fullmatch(name) for name in each.parameters)


@given(st.lists(st.tuples(names, st.dictionaries(names, values, max_size=4)), max_size=4))
def test_what_is_written_is_read(challenges: list[tuple[str, dict[str, str]]]) -> None:
    """Any challenges, written with every value quoted, come back as they were."""

    def quoted(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    text = ", ".join(
        f"{scheme} " + ", ".join(f"{name}={quoted(value)}" for name, value in parameters.items())
        if parameters
        else scheme
        for scheme, parameters in challenges
    )
    assert read(text) == challenges


@pytest.mark.parametrize("piece", ["Bearer ", "a=b,", ",", " ", '"', "\\", "a=", '="', "a ", "=", "a,"])
def test_no_field_takes_long(piece: str) -> None:
    """No repetition makes the patterns go back and forth."""
    start = time.process_time()
    for prefix in ("", "Bearer ", 'Bearer a="', "Bearer a=b, "):
        text = prefix + piece * ((CHALLENGE_BYTES - len(prefix)) // len(piece))
        try:
            parse_challenges(text)
        except ProtocolError:
            continue
    assert time.process_time() - start < 2
