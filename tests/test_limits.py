"""The limits are numbers that fit together and fit the specification."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from itertools import pairwise

import pytest

from smart_async import limits
from smart_async.limits import Limits, Timeouts

CONSTANTS = [name for name in limits.__all__ if name.isupper()]


@pytest.mark.parametrize("name", CONSTANTS)
def test_every_limit_is_a_positive_number(name):
    """Each limit is a positive number, and none of them is a bool."""
    value = getattr(limits, name)
    assert type(value) in (int, float)
    assert value > 0


def test_every_limit_says_why():
    """Each constant is followed by a sentence, with its unit first."""
    body = ast.parse(inspect.getsource(limits)).body
    for node, after in pairwise(body):
        if isinstance(node, ast.Assign) and node.targets[0].id.isupper():
            assert isinstance(after, ast.Expr), node.targets[0].id
            assert after.value.value.rstrip().endswith("."), node.targets[0].id


@pytest.mark.rule("AS-09")
def test_assertions_live_five_minutes_at_most():
    """An assertion lives the 300 seconds that SMART allows, of which at least 200 lie ahead."""
    assert limits.ASSERTION_LIFETIME <= 300
    assert limits.ASSERTION_LIFETIME - limits.ASSERTION_BACKDATE >= 200


def test_random_values_hold_enough():
    """Random values hold more than the 122 bits that SMART asks for, and fit PKCE's 43 characters."""
    assert limits.RANDOM_BYTES * 8 >= 256
    assert (limits.RANDOM_BYTES * 8 + 5) // 6 >= 43


def test_sizes_fit_into_each_other():
    """What is part of something else is not allowed to be larger than that."""
    assert limits.CALLBACK_PARAMETER_BYTES < limits.CALLBACK_BYTES
    assert limits.ERROR_TEXT < limits.ERROR_BODY_BYTES < limits.DOCUMENT_BYTES
    assert limits.TOKEN_BYTES < limits.DOCUMENT_BYTES
    assert limits.METADATA_TTL < limits.METADATA_TTL_MAX
    assert limits.RSA_BITS_MIN < limits.RSA_BITS_MAX == limits.JWS_SIGNATURE_BYTES * 8


def test_defaults_are_the_constants():
    """What a client can be given begins with the constants, and a CapabilityStatement may be larger."""
    default = Limits()
    assert default.document_bytes == limits.DOCUMENT_BYTES
    assert default.document_members == limits.DOCUMENT_MEMBERS
    assert default.json_depth == limits.JSON_DEPTH
    assert default.capability_statement_bytes > default.document_bytes
    assert default.capability_statement_members > default.document_members


def test_the_deadline_is_longer_than_each_step():
    """A deadline below one of its steps' timeouts would make that timeout useless."""
    times = Timeouts()
    for total in (times.total, times.discovery):
        assert total > max(times.connect, times.read, times.write, times.pool)


@pytest.mark.parametrize("kind", [Limits, Timeouts])
def test_values(kind):
    """Both are values: keyword only, equal by contents, unchangeable."""
    value = kind()
    assert value == kind() == dataclasses.replace(value)
    name = dataclasses.fields(kind)[0].name
    assert dataclasses.replace(value, **{name: 1}) != value
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, name, 1)
    with pytest.raises(TypeError):
        kind(1)


def test_what_is_left_of_an_operation():
    """A request within an operation has what is left of it, a discovery not more than its own limit."""
    before = Timeouts(connect=1.0, read=2.0, write=3.0, pool=4.0, total=30.0, discovery=15.0)
    assert dataclasses.replace(before, total=20.0) == before.within(20.0)
    assert dataclasses.replace(before, total=7.0, discovery=7.0) == before.within(7.0)
