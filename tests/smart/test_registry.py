"""The allow-list: which configuration belongs to a launch, a base, a pending login."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smart_async import ConfigurationError, LaunchRejectedError
from smart_async.smart.authorization import authorize
from smart_async.smart.registry import Registry

LAUNCH = "https://app.example.com/launch?iss=https%3A%2F%2Fehr.example.com%2Fr4&launch=x1"


@pytest.fixture
def other(config):
    return replace(
        config,
        fhir_base="https://other.example.com/r4/",
        redirect_uri="https://app.example.com/callback/other",
    )


@pytest.fixture
def second(config):
    return replace(config, client_id="for-patients", redirect_uri="https://app.example.com/callback/patients")


@pytest.mark.rule("AL-03")
def test_a_launch_finds_its_configuration(config, other):
    """The very object that was configured, and the launch as it came."""
    found, launch = Registry([other, config]).launch(LAUNCH)
    assert found is config
    assert (launch.iss, launch.launch) == ("https://ehr.example.com/r4", "x1")


@pytest.mark.parametrize("base", ["https://ehr.example.com/r4", "https://ehr.example.com/r4/"])
def test_one_slash_is_ignored(config, base):
    """On either side."""
    assert Registry([config]).find(base) is config
    slashed = replace(config, fhir_base="https://ehr.example.com/r4/")
    assert Registry([slashed]).find(base) is slashed


@pytest.mark.parametrize(
    "base",
    [
        "https://EHR.example.com/r4",
        "https://ehr.example.com:443/r4",
        "https://ehr.example.com/R4",
        "https://ehr.example.com/r4//",
        "https://ehr.example.com/r4/x",
        "https://ehr.example.com",
        "http://ehr.example.com/r4",
        "",
    ],
)
def test_nothing_else_is(config, base):
    """What only looks alike is another server."""
    with pytest.raises(LaunchRejectedError, match="no request was made"):
        Registry([config]).find(base)


def test_several_registrations_at_one_ehr(config, second):
    """They are told apart by their client id, and without it that is asked for."""
    registry = Registry([config, second])
    assert registry.launch(LAUNCH, client_id="for-patients")[0] is second
    assert registry.find(config.fhir_base, client_id="growth-chart") is config
    with pytest.raises(ConfigurationError) as caught:
        registry.launch(LAUNCH)
    assert caught.value.field == "client_id"
    with pytest.raises(LaunchRejectedError):
        registry.launch(LAUNCH, client_id="unknown")


def test_a_pending_login_finds_its_configuration(script, state, config, second, document, json_response):
    """The one that it was started with, also after a restart; one that is gone is refused."""
    state.config = second
    pending = script.answer(json_response(document)).run(authorize(state))
    assert Registry([config, second]).of(pending) is second
    assert Registry([config, second]).of(type(pending).from_json(pending.to_json())) is second
    with pytest.raises(LaunchRejectedError):
        Registry([config]).of(pending)


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_same_client_twice(config, slash):
    """Two configurations for one registration would be a lottery."""
    twin = replace(config, fhir_base=config.fhir_base + slash, scope="openid")
    with pytest.raises(ConfigurationError, match="twice"):
        Registry([config, twin])


@pytest.mark.parametrize("thing", [None, "https://ehr.example.com/r4", 5])
def test_what_is_no_configuration(config, thing):
    """A list of URLs is not yet a registry."""
    with pytest.raises(ConfigurationError) as caught:
        Registry([config, thing])
    assert caught.value.field == "configs"


def test_an_empty_registry_knows_nobody():
    """There is no default that lets anyone in."""
    registry = Registry([])
    assert (len(registry), list(registry)) == (0, [])
    with pytest.raises(LaunchRejectedError):
        registry.launch(LAUNCH)


def test_it_is_read_once(config, other):
    """Any iterable will do, and what is in it afterwards is fixed."""
    registry = Registry(one for one in (config, other))
    assert (len(registry), [*registry], [*registry]) == (2, [config, other], [config, other])


class TestDistinctRedirects:
    """T03: one server's answer must not be taken for another's."""

    def test_distinct_ones_pass(self, config, other, second):
        """A path for each; a backend client has none and needs none."""
        backend = replace(config, client_id="nightly", redirect_uri=None)
        another = replace(config, client_id="hourly", redirect_uri=None)
        assert len(Registry([config, other, second, backend, another], distinct_redirects=True)) == 5

    @pytest.mark.parametrize(
        ("one", "two"),
        [
            ("https://app.example.com/callback", "https://app.example.com/callback"),
            ("https://app.example.com/callback", "https://app.example.com/callback?ehr=2"),
            ("https://app.example.com/callback", "https://app2.example.com/callback"),
            ("https://app.example.com", "https://app.example.com"),
            ("https://app.example.com", "https://app.example.com/"),
            ("https://app.example.com/callback", "http://127.0.0.1:8000/callback"),
        ],
    )
    def test_a_shared_path_is_refused(self, config, other, one, two):
        """Query and host do not count, since a callback is told apart by its path; "" and "/" are one."""
        pair = [replace(config, redirect_uri=one), replace(other, redirect_uri=two)]
        with pytest.raises(ConfigurationError) as caught:
            Registry(pair, distinct_redirects=True)
        assert caught.value.field == "redirect_uri"
        assert len(Registry(pair)) == 2
