"""The plugin as an app's tests use it: in a pytest of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("starlette")
pytest.importorskip("jinja2")

pytest_plugins = ["pytester"]

TESTS = """
import pytest
from smart_async import AsyncSmartClient, OAuthError, SmartClient
from smart_async.testing import (
    assert_no_violations, async_sign_in, registered, requests_to, sign_in, violations,
)
from smart_async.transports import json_response


def test_each_type(smart_sandbox, smart_transport, smart_public_config, smart_symmetric_config,
                   smart_asymmetric_config):
    for config in (smart_public_config, smart_symmetric_config, smart_asymmetric_config):
        with SmartClient(config, transport=smart_transport) as client:
            assert sign_in(client, smart_sandbox).identity is not None
            token = sign_in(client, smart_sandbox, patient="patient-basil")
            assert token.context.patient == "patient-basil"
        smart_transport = smart_sandbox.transport()
    assert_no_violations(smart_sandbox)
    assert len(requests_to(smart_sandbox, "token")) == 6
    assert len(requests_to(smart_sandbox, "token", client_id="public-client")) == 2


@pytest.mark.anyio
async def test_async(smart_sandbox, smart_transport, smart_asymmetric_config):
    async with AsyncSmartClient(smart_asymmetric_config, transport=smart_transport) as client:
        assert (await async_sign_in(client, smart_sandbox)).context.patient


def test_what_went_wrong(smart_sandbox, smart_transport, smart_backend_config):
    from dataclasses import replace
    from smart_async import PrivateKeyJWT, SigningKey

    stranger = replace(smart_backend_config, client_auth=PrivateKeyJWT(SigningKey.generate("ES384")))
    with SmartClient(stranger, transport=smart_transport) as client, pytest.raises(OAuthError):
        client.backend_token("system/Patient.rs")
    assert violations(smart_sandbox)
    assert violations(smart_sandbox, client_id="another") == []
    with pytest.raises(AssertionError, match="The sandbox objected:\\n  token: AS-"):
        assert_no_violations(smart_sandbox)


def test_replays_are_told(smart_sandbox, smart_transport, smart_asymmetric_config):
    with SmartClient(smart_asymmetric_config, transport=smart_transport) as client:
        token = sign_in(client, smart_sandbox)
        client.refresh(token)
        with pytest.raises(OAuthError):
            client.refresh(token)
    with pytest.raises(AssertionError, match="a refresh token was sent twice"):
        assert_no_violations(smart_sandbox)


def test_served(smart_served_sandbox):
    with SmartClient(registered(smart_served_sandbox, "backend")) as client:
        assert client.backend_token("system/Patient.rs")


def test_scripted(smart_scripted_transport, smart_public_config):
    transport = smart_scripted_transport(json_response({"token_endpoint": "https://sandbox.example/t"}))
    SmartClient(smart_public_config, transport=transport).discover()


def test_a_kind_that_is_none(smart_sandbox):
    from smart_async import ConfigurationError
    with pytest.raises(ConfigurationError, match="no kind of client named 'native'"):
        registered(smart_sandbox, "native")


def test_names():
    import smart_async.testing as testing
    assert set(testing.__all__) <= set(dir(testing))
    assert all(hasattr(testing, name) for name in testing.__all__)
    with pytest.raises(AttributeError):
        testing.nothing
"""


def run(pytester: pytest.Pytester, tests: str) -> pytest.RunResult:
    pytester.makeconftest("import pytest\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n")
    pytester.makepyfile(tests)
    return pytester.runpytest_inprocess("-p", "no:randomly", "-p", "no:cov", "-p", "no:cacheprovider")


def test_fixtures_and_checks(pytester: pytest.Pytester) -> None:
    """Every fixture and every check does what it says."""
    run(pytester, TESTS).assert_outcomes(passed=8)


def test_answers_left_over(pytester: pytest.Pytester) -> None:
    """A script that was not played to its end is an error."""
    tests = """
    from smart_async.transports import json_response
    def test_nothing(smart_scripted_transport):
        smart_scripted_transport(json_response({}))
    """
    run(pytester, textwrap.dedent(tests)).assert_outcomes(passed=1, errors=1)


def test_it_is_found_by_itself(tmp_path: Path) -> None:
    """The entry point brings the fixtures to every pytest run of an app, and loads nothing with them."""
    program = """
        import sys, pytest
        class Look:
            def pytest_sessionfinish(self):
                print("loaded:", sorted(name for name in sys.modules if name.startswith("smart_async.")))
        pytest.main(["--fixtures", "-q", "-p", "no:cacheprovider"], plugins=[Look()])
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert "smart_served_sandbox" in found.stdout
    loaded = ["smart_async._lazy", "smart_async.testing", "smart_async.testing.plugin"]
    assert f"loaded: {loaded}" in found.stdout
