"""The flows that the clients load on first use."""

from __future__ import annotations

import subprocess
import sys
from inspect import isgeneratorfunction

import pytest

import smart_async.clients
from smart_async.clients import _flows as flows


@pytest.mark.parametrize("name", flows.__all__)
def test_each_flow_has_a_home(name: str) -> None:
    """A name that is offered can be loaded, and stays loaded."""
    assert callable(getattr(flows, name))
    assert name in vars(flows)


def test_the_table_names_what_is_offered() -> None:
    """Nothing is offered that has no home, and nothing has one in vain."""
    assert tuple(sorted(flows._HOMES)) == flows.__all__


def test_a_flow_is_a_plan() -> None:
    """What is loaded is the flow itself."""
    assert isgeneratorfunction(flows.discover)


@pytest.mark.parametrize("module", [flows, smart_async.clients], ids=["flows", "clients"])
def test_what_is_not_there_is_an_attribute_error(module: object) -> None:
    """A wrong name fails as in any module."""
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = module.nothing  # type: ignore[attr-defined]  # known here, not to the types


def test_the_clients_are_those_of_the_front_page() -> None:
    """Both ways to import a client lead to the same class."""
    assert smart_async.clients.SmartClient is smart_async.SmartClient
    assert smart_async.clients.AsyncSmartClient is smart_async.AsyncSmartClient


def test_a_client_loads_no_flow_before_it_is_asked() -> None:
    """A process that wants one thing does not load the code of all others."""
    code = (
        "import sys; from smart_async import SmartClient, SmartConfig, PrivateKeyJWT, SigningKey; "
        "print([name for name in 'registration introspection renewal callback id_token style'.split() "
        "if f'smart_async.smart.{name}' in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
