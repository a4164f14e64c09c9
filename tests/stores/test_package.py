"""The package's names are loaded on first use."""

from __future__ import annotations

import pytest

from smart_async import stores


def test_every_name_is_there():
    """Each public name is listed and can be had; others cannot."""
    assert set(stores.__all__) <= set(dir(stores))
    for name in stores.__all__:
        assert getattr(stores, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'SqlStore'"):
        _ = stores.SqlStore
