"""Which hosts `no_proxy` means, and what an unusable entry is answered with."""

from __future__ import annotations

import pytest

from smart_async.errors import ConfigurationError
from smart_async.transports import HttpxTransport
from smart_async.transports._routes import Exceptions, Proxy, Routes


@pytest.mark.parametrize(
    ("entry", "host", "covered"),
    [
        ("hospital.example", "hospital.example", True),
        ("hospital.example", "ehr.hospital.example", True),
        ("hospital.example", "evilhospital.example", False),
        ("hospital.example", "hospital.example.com", False),
        (".hospital.example", "ehr.hospital.example", True),
        (".hospital.example", "hospital.example", True),
        ("*.hospital.example", "ehr.hospital.example", True),
        ("Hospital.Example.", "ehr.hospital.example", True),
        ("hospital.example:443", "ehr.hospital.example", True),
        ("hospital.example:8443", "ehr.hospital.example", False),
        ("localhost", "localhost", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "110.1.2.3", False),
        ("10.1.2.3:443", "10.1.2.3", True),
        ("10.1.2.3:80", "10.1.2.3", False),
        ("10.0.0.0/8", "10.255.0.1", True),
        ("10.0.0.0/8", "11.0.0.1", False),
        ("10.0.0.0/8", "ehr.hospital.example", False),
        ("fd00::/8", "fd00::1", True),
        ("fd00::1", "fd00::1", True),
        ("[fd00::1]", "fd00::1", True),
        ("[fd00::1]:443", "fd00::1", True),
        ("[fd00::1]:80", "fd00::1", False),
        ("0.0.0.0/0", "fd00::1", False),
        ("*", "anything.example", True),
        ("*", "10.1.2.3", True),
    ],
)
def test_entries(entry, host, covered):
    """A name covers itself and all below it, a network its addresses, and nothing covers by accident."""
    assert Exceptions([entry], setting="no_proxy").cover(host, 443) is covered


@pytest.mark.parametrize("text", ["a.example,b.example", "a.example b.example", " a.example, ,b.example,"])
def test_one_string(text):
    """The entries of one string are divided by commas, blanks or both."""
    found = Exceptions(text, setting="no_proxy")
    assert [found.cover(host, 443) for host in ("a.example", "b.example", "c.example")] == [True, True, False]


@pytest.mark.parametrize(
    "entry",
    ["", ".", "10.0.0.0/33", "hospital.example/8", "https://ehr.example", "a.example:x", ":443", None],
)
def test_entries_that_cannot_be_used(entry):
    """An entry that would silently cover nothing is refused, with what can be listed."""
    with pytest.raises(ConfigurationError) as caught:
        HttpxTransport(proxy="http://proxy.example.com:8080", no_proxy=["hospital.example", entry])
    assert caught.value.field == "no_proxy"
    assert "10.0.0.0/8" in caught.value.advice


def test_what_is_no_list():
    """Something that has no entries is refused as such, not with a TypeError."""
    with pytest.raises(ConfigurationError) as caught:
        HttpxTransport(no_proxy=8080)
    assert caught.value.field == "no_proxy"


def test_the_way_by_scheme():
    """Each scheme of a server has its own proxy, or none."""
    proxy = Proxy.from_url("http://proxy.example.com:8080")
    routes = Routes({"https": proxy}, Exceptions("", setting="no_proxy"))
    assert routes.proxy("https", "ehr.example.com", 443) == proxy
    assert routes.proxy("http", "localhost", 80) is None


def test_the_place_of_a_proxy():
    """Messages name host and port of a proxy and never its user; IPv6 hosts stand in brackets."""
    assert Proxy.from_url("http://ann:secret@[FD00::1]:8080").place == "[fd00::1]:8080"
    assert "secret" not in repr(Proxy.from_url("http://ann:secret@proxy.example.com"))
