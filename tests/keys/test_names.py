"""The names of the room of keys, which load on first use."""

from __future__ import annotations

import pytest

from smart_async import keys


@pytest.mark.parametrize("name", keys.__all__)
def test_each_name_has_a_home(name: str) -> None:
    """What is offered can be loaded."""
    assert getattr(keys, name) is not None


def test_the_table_names_what_is_offered() -> None:
    """The table, the offer and what dir() shows are the same."""
    assert tuple(sorted(keys._HOMES)) == keys.__all__
    assert set(keys.__all__) <= set(dir(keys))


def test_what_is_not_there_is_an_attribute_error() -> None:
    """A wrong name fails as in any module."""
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = keys.nothing
