"""Acceptance 1: a launch from an EHR that nobody configured causes no request whatever; T01, T10."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

import pytest

from smart_async import AsyncEHRRegistry, EHRLaunch, EHRRegistry, LaunchRejectedError

ISS = "https://ehr.example.com/r4"
APP = "https://app.example.com/launch"


def launch_url(iss: str) -> str:
    return f"{APP}?iss={quote(iss, safe='')}&launch=x1"


HOSTILE = {
    "another host": launch_url("https://evil.example"),
    "another host, same path": launch_url("https://evil.example/r4"),
    "ours as a prefix": launch_url("https://ehr.example.com.evil.example/r4"),
    "ours without its dot": launch_url("https://ehrxexample.com/r4"),
    "ours as user information": launch_url("https://ehr.example.com@evil.example/r4"),
    "ours as user and password": launch_url("https://ehr.example.com:443@evil.example/r4"),
    "ours behind a backslash": launch_url("https://evil.example\\@ehr.example.com/r4"),
    "ours in the path": launch_url("https://evil.example/https://ehr.example.com/r4"),
    "ours in the query": launch_url("https://evil.example/?https://ehr.example.com/r4"),
    "ours in the fragment": launch_url("https://evil.example/#@ehr.example.com/r4"),
    "a way out": launch_url(f"{ISS}/../evil"),
    "a way out in percent": launch_url(f"{ISS}/%2e%2e/evil"),
    "a longer segment": launch_url(f"{ISS}evil"),
    "a segment more": launch_url(f"{ISS}/evil"),
    "two slashes": launch_url(f"{ISS}//"),
    "plain http": launch_url("http://ehr.example.com/r4"),
    "no scheme": launch_url("//evil.example/r4"),
    "one slash": launch_url("https:/evil.example/r4"),
    "another port": launch_url("https://ehr.example.com:8443/r4"),
    "a port without a number": launch_url("https://ehr.example.com:/r4"),
    "upper case": launch_url("https://EHR.EXAMPLE.COM/r4"),
    "a dot at the end": launch_url("https://ehr.example.com./r4"),
    "Cyrillic": launch_url("https://ehr.exаmple.com/r4"),
    "an ideographic dot": launch_url("https://ehr。example.com/r4"),
    "a tab in the host": launch_url("https://ehr.exam\tple.com/r4"),
    "a leading blank": launch_url(f" {ISS}"),
    "a NUL": launch_url(f"{ISS}\0.evil.example"),
    "a line break": launch_url(f"{ISS}\r\nHost: evil.example"),
    "cloud metadata": launch_url("https://169.254.169.254/latest/meta-data"),
    "loopback as a number": launch_url("https://2130706433/r4"),
    "mapped loopback": launch_url("https://[::ffff:127.0.0.1]/r4"),
    "a file": launch_url("file:///etc/passwd"),
    "a script": launch_url("javascript:alert(1)"),
    "9 KB": launch_url(f"https://evil.example/{'x' * 9000}"),
    "a 300 character label": launch_url(f"https://{'x' * 300}.example/r4"),
    "iss twice": f"{launch_url(ISS)}&iss={quote('https://evil.example', safe='')}",
    "iss twice, evil first": f"{APP}?iss=https%3A%2F%2Fevil.example&iss={quote(ISS, safe='')}&launch=x1",
    "no iss": f"{APP}?launch=x1",
    "an empty iss": f"{APP}?iss=&launch=x1",
    "iss under another name": f"{APP}?fhirServiceUrl={quote(ISS, safe='')}&launch=x1",
}


def test_there_are_enough():
    """The criterion asks for thirty."""
    assert len(HOSTILE) >= 30


@pytest.mark.parametrize("name", HOSTILE)
def test_the_registry_rejects_the_launch(name, colour, net, provider, config):
    """Thirty hostile launches and more: rejected, with nothing sent to anybody."""
    kind = EHRRegistry if colour.portal is None else AsyncEHRRegistry
    registry = kind([config], transport=net)
    with pytest.raises(LaunchRejectedError):
        registry.launch(HOSTILE[name])
    assert net.requests == []


@pytest.mark.parametrize("name", HOSTILE)
def test_the_client_rejects_the_launch(name, colour, net, provider, config):
    """A single client does the same with a launch that it is given, read by whatever means."""
    client = colour.make(config, transport=net)
    with pytest.raises(LaunchRejectedError):
        colour.call(client.authorize, launch=EHRLaunch.from_url(HOSTILE[name]))
    assert net.requests == []


@pytest.mark.parametrize("extra", ["", "&clientId=evil&patientId=p-9&redirectUri=https%3A%2F%2Fevil.example"])
def test_an_honest_launch(extra, colour, net, provider, config):
    """The configured EHR gets in, and no other parameter of the launch URL has a say."""
    client = colour.make(config, transport=net)
    pending = colour.call(client.authorize, launch=EHRLaunch.from_url(launch_url(ISS) + extra))
    assert (pending.aud, pending.binding.client_id, pending.redirect_uri) == (
        ISS,
        "growth-chart",
        config.redirect_uri,
    )
    assert "evil" not in pending.url
    assert {request.url for request in net.requests} == {f"{ISS}/.well-known/smart-configuration"}


def test_one_slash_is_all_that_is_forgiven(colour, net, provider, config):
    """The launch's own spelling, with its slash, becomes aud; discovery asks the configured base."""
    client = colour.make(replace(config, fhir_base=ISS), transport=net)
    pending = colour.call(client.authorize, launch=EHRLaunch.from_url(launch_url(f"{ISS}/")))
    assert pending.aud == f"{ISS}/"
    assert net.to("ehr.example.com")[0].url == f"{ISS}/.well-known/smart-configuration"
