"""URLs: one strict parser, so that no two can disagree about a host (rules T08 and T10)."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smart_async.errors import ConfigurationError
from smart_async.limits import URL_LENGTH
from smart_async.messages import Url, is_loopback, parse_url, resolve_url, same_base


def refusal(text, **options):
    """Parse *text*, which must be refused, and return the error."""
    with pytest.raises(ConfigurationError) as caught:
        parse_url(text, field="fhir_base", **options)
    assert caught.value.field == "fhir_base"
    assert caught.value.message.startswith("fhir_base ")
    assert caught.value.advice
    return caught.value


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("https://ehr.example.com", ("https", "ehr.example.com", 443, "", None)),
        ("https://ehr.example.com/", ("https", "ehr.example.com", 443, "/", None)),
        ("HTTPS://EHR.Example.com:443/R4/x", ("https", "ehr.example.com", 443, "/R4/x", None)),
        (
            "https://ehr.example.com:8443/r4/%7Btenant%7D",
            ("https", "ehr.example.com", 8443, "/r4/%7Btenant%7D", None),
        ),
        ("https://127.0.0.1/r4", ("https", "127.0.0.1", 443, "/r4", None)),
        ("https://[2001:DB8::0:1]:8443/r4", ("https", "2001:db8::1", 8443, "/r4", None)),
        ("https://xn--mller-kva.example/r4", ("https", "xn--mller-kva.example", 443, "/r4", None)),
        ("https://my_host.internal/a;b=c,d/e", ("https", "my_host.internal", 443, "/a;b=c,d/e", None)),
        ("https://localhost/r4", ("https", "localhost", 443, "/r4", None)),
        ("https://ehr.example.com:65535/r4", ("https", "ehr.example.com", 65535, "/r4", None)),
        ("https://ehr.example.com:1/r4", ("https", "ehr.example.com", 1, "/r4", None)),
    ],
)
def test_good_urls(text, parts):
    """A good URL is taken apart, and its text is kept as it was given."""
    url = parse_url(text, field="fhir_base")
    assert (url.scheme, url.host, url.port, url.path, url.query) == parts
    assert (url.text, str(url)) == (text, text)


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://EHR.example.com:443/r4", "https://ehr.example.com"),
        ("https://ehr.example.com:8443/r4", "https://ehr.example.com:8443"),
        ("https://[::1]:443/r4", "https://[::1]"),
        ("https://[2001:db8::1]:99/r4", "https://[2001:db8::1]:99"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://localhost:8080", "http://localhost:8080"),
    ],
)
def test_origins(text, origin):
    """An origin is scheme, host and port, the scheme's own port left out."""
    assert parse_url(text, field="x", allow_insecure_loopback=True).origin == origin


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "must be a URL, and is empty"),
        ("https://" + "a" * URL_LENGTH, "at most 2048"),
        ("https://ehr.example.com/" + "a" * URL_LENGTH, "at most 2048"),
        ("https:///x", "has no host"),
        ("https:x", "is not an absolute URL"),
        ("https:/x", "is not an absolute URL"),
        ("//ehr.example.com/r4", "is not an absolute URL"),
        ("ehr.example.com/r4", "is not an absolute URL"),
        ("https://", "has no host"),
        ("https://:443/", "has no host"),
        ("ftp://ehr.example.com", "must begin with https://, not ftp:"),
        ("file:///etc/passwd", "must begin with https://, not file:"),
        ("javascript://x/%0aalert(1)", "must begin with https://"),
        # Two parsers disagree about each of these.
        ("https://ehr.example.com\t/r4", r"holds the character '\t'"),
        ("https://ehr.exa\tmple.com/r4", r"holds the character '\t'"),
        ("https://ehr.example.com/r4\n", r"holds the character '\n'"),
        ("\nhttps://ehr.example.com", r"holds the character '\n'"),
        (" https://ehr.example.com", "holds the character ' '"),
        ("https://ehr.example.com ", "holds the character ' '"),
        ("https://ehr.example.com\0/r4", r"holds the character '\x00'"),
        ("https://ehr.example.com/r4\x7f", r"holds the character '\x7f'"),
        ("https://good。example/r4", r"holds the character '\u3002'"),
        ("https://раypal.example/r4", r"holds the character '\u0440'"),
        ("https://ehr.exämple.com/r4", r"holds the character '\xe4'"),
        ("https://ehr.example.com/pfäd", r"holds the character '\xe4'"),
        ("https://evil.test\\@ehr.example.com/", r"holds the character '\\'"),
        ("https:\\\\ehr.example.com", r"holds the character '\\'"),
        ('https://ehr.example.com/"', "holds the character"),
        ("https://ehr.example.com/<x>", "holds the character '<'"),
        ("https://ehr.example.com/{tenant}", "holds the character '{'"),
        ("https://ehr.example.com:99999/", "has a port"),
        ("https://ehr.example.com:-1/", "has a port"),
        ("https://ehr.example.com:0/", "has a port"),
        ("https://ehr.example.com:65536/", "has a port"),
        ("https://ehr.example.com:000443/", "has a port"),
        ("https://ehr.example.com:/", "has a port"),
        ("https://ehr.example.com:44x/", "has a port"),
        ("https://ehr.example.com:+443/", "has a port"),
        ("https://a%00.b/", "not a plain DNS name"),
        ("https://ehr%2eexample.com/", "not a plain DNS name"),
        ("https://ehr.example.com./", "not a plain DNS name"),
        ("https://.ehr.example.com/", "not a plain DNS name"),
        ("https://ehr..example.com/", "not a plain DNS name"),
        ("https://-ehr.example.com/", "not a plain DNS name"),
        ("https://" + "a" * 64 + ".example/", "not a plain DNS name"),
        ("https://" + "a" * 300 + ".example/", "not a plain DNS name"),
        ("https://" + ".".join(["abcdefg"] * 40) + "/", "not a plain DNS name"),
        ("https://ehr.example.com,evil.test/", "not a plain DNS name"),
        ("https://[x]/", "not an IPv6 address"),
        ("https://[]/", "not an IPv6 address"),
        ("https://[::1%25eth0]/", "not an IPv6 address"),
        ("https://[::1].evil/", "cannot be read"),
        ("https://[::1/", "cannot be read"),
        ("https://::1/", "has no host"),
        ("https://a]b/", "cannot be read"),
        ("https://127.1/", "looks like a number"),
        ("https://2130706433/", "looks like a number"),
        ("https://0x7f000001/", "looks like a number"),
        ("https://0177.0.0.1/", "looks like a number"),
        ("https://256.0.0.1/", "looks like a number"),
        ("https://1.2.3.4.5/", "looks like a number"),
        ("https://example.0x1/", "looks like a number"),
        # Who is being talked to must be readable.
        ("https://ann:secret@ehr.example.com/", "user name or password"),
        ("https://ehr.example.com@evil.test/", "user name or password"),
        ("https://@ehr.example.com/", "user name or password"),
        ("https://ehr.example.com/r4#x", "has a fragment"),
        ("https://ehr.example.com/r4#", "has a fragment"),
        ("https://ehr.example.com#@evil.test/", "has a fragment"),
        ("https://ehr.example.com/r4?x=1", "has a query"),
        ("https://ehr.example.com/r4?", "has a query"),
        ("https://ehr.example.com?@evil.test/", "has a query"),
        ("https://ehr.example.com/%", "percent sign"),
        ("https://ehr.example.com/%2", "percent sign"),
        ("https://ehr.example.com/%zz", "percent sign"),
        ("https://ehr.example.com/../admin", ". or .. segments"),
        ("https://ehr.example.com/r4/.", ". or .. segments"),
        ("https://ehr.example.com/r4/%2e%2e/admin", ". or .. segments"),
        ("https://ehr.example.com/r4/.%2E", ". or .. segments"),
    ],
)
def test_bad_urls(text, rule):
    """Each way of writing a URL that could be read in two ways is refused, and the rule is named."""
    error = refusal(text)
    assert rule in error.message
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:8080",
        "127.255.255.254",
        "[::1]",
        "[0:0:0:0:0:0:0:1]:99",
        "localhost",
        "LOCALHOST",
    ],
)
def test_plain_http_on_this_machine(host):
    """Plain http is accepted for loopback hosts, when it is asked for and only then."""
    text = f"http://{host}/r4"
    assert parse_url(text, field="fhir_base", allow_insecure_loopback=True).text == text
    error = refusal(text)
    assert error.message == "fhir_base uses plain http."
    assert "allow_insecure_loopback=True" in error.advice


@pytest.mark.parametrize(
    "text",
    [
        "http://ehr.example.com/r4",
        "HTTP://ehr.example.com/r4",
        "http://localhost.evil.test/r4",
        "http://localhost:80@evil.test/cb",
        "http://localhost.",
        "http://127.0.0.1.nip.io",
        "http://127.0.0.1@evil.test",
        "http://[::1].evil",
        "http://127.1",
        "http://0.0.0.0",
        "http://[::]",
        "http://[::ffff:10.0.0.1]",
        "http://10.0.0.1",
        "http://evil.test#localhost",
        "http://evil.test/?localhost",
    ],
)
@pytest.mark.parametrize("allowed", [False, True])
def test_plain_http_elsewhere(text, allowed):
    """Plain http to any other host is refused, with and without the permission for loopback."""
    refusal(text, allow_insecure_loopback=allowed)


def test_plain_http_elsewhere_says_why():
    """The reason for https is given, and no permission is offered that would not help."""
    error = refusal("http://ehr.example.com/r4", allow_insecure_loopback=True)
    assert error.message == "fhir_base uses plain http, where tokens could be read on the way."
    assert "allow_insecure_loopback" not in error.advice


def test_queries_where_they_are_allowed():
    """A query is kept where one is allowed, and its percent signs are checked."""
    url = parse_url("https://ehr.example.com/auth?tenant=%20a&x", field="x", allow_query=True)
    assert (url.path, url.query) == ("/auth", "tenant=%20a&x")
    assert parse_url("https://ehr.example.com?", field="x", allow_query=True).query == ""
    assert "percent sign" in refusal("https://ehr.example.com/?a=%", allow_query=True).message
    # Not one of the two that would be right if they stood next to each other.
    assert "percent sign" in refusal("https://ehr.example.com/%?41", allow_query=True).message
    assert parse_url("https://ehr.example.com?x=/../y", field="x", allow_query=True).query == "x=/../y"


def test_lengths():
    """The longest URL and the longest host that are accepted are as long as the limits say, and no longer."""
    base = "https://ehr.example.com/"
    longest = base + "a" * (URL_LENGTH - len(base))
    assert parse_url(longest, field="x").text == longest
    assert "has 2049 characters" in refusal(longest + "a").message
    host = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
    assert (len(host), parse_url(f"https://{host}", field="x").host) == (253, host)
    assert "not a plain DNS name" in refusal(f"https://{host}d").message


HOSTS = st.one_of(
    st.from_regex(r"[a-zA-Z0-9_-]{1,12}(\.[a-zA-Z0-9_-]{1,12}){0,3}", fullmatch=True),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
    st.ip_addresses(v=6).map(lambda address: f"[{address.exploded.upper()}]"),
    st.text(alphabet="aA0.:@[]%-_\\/?#。ä\t", max_size=12),
)
URLS = st.one_of(
    st.builds(
        "{}://{}{}{}".format,
        st.sampled_from(["https", "HTTPS", "http", "ftp", ""]),
        HOSTS,
        st.one_of(st.just(""), st.integers(-1, 70000).map(":{}".format), st.just(":")),
        st.one_of(st.just(""), st.from_regex(r"/[!-~]{0,20}", fullmatch=True), st.text(max_size=8)),
    ),
    st.text(max_size=40),
)


@given(URLS)
@example("https://EHR.example.com:443/a?b")
@example("https://xn--a.example")
def test_all_parsers_agree_on_what_is_accepted(text):
    """What is accepted has the same host and port for us, for urllib and for httpx; all else is our error."""
    try:
        url = parse_url(text, field="x", allow_insecure_loopback=True, allow_query=True)
    except ConfigurationError:
        return
    other = urlsplit(text)
    hosts = {other.hostname, httpx.URL(text).raw_host.decode("ascii")}
    if ":" in url.host:
        hosts = {ipaddress.ip_address((host or "").strip("[]")).compressed for host in hosts}
    assert {host.lower() for host in hosts} == {url.host}
    assert (other.port or {"https": 443, "http": 80}[other.scheme]) == url.port
    assert (httpx.URL(text).port or {"https": 443, "http": 80}[other.scheme]) == url.port
    assert (other.path, other.username, other.fragment) == (url.path, None, "")
    assert url.scheme == "https" or is_loopback(url.host)
    assert url.text == text
    again = parse_url(url.origin, field="x", allow_insecure_loopback=True)
    assert (again.origin, again.host, again.port) == (url.origin, url.host, url.port)


@pytest.mark.parametrize(
    ("base", "reference", "result"),
    [
        ("https://ehr.example.com/r4", "https://as.example.com/token", "https://as.example.com/token"),
        ("https://ehr.example.com/r4", "HTTPS://as.example.com/token", "HTTPS://as.example.com/token"),
        (
            "https://ehr.example.com/r4",
            "https://as.example.com/t?u=https://x",
            "https://as.example.com/t?u=https://x",
        ),
        ("https://ehr.example.com/a/r4", "token", "https://ehr.example.com/a/token"),
        ("https://ehr.example.com/a/r4/", "token", "https://ehr.example.com/a/r4/token"),
        ("https://ehr.example.com/a/r4", "/token", "https://ehr.example.com/token"),
        ("https://ehr.example.com/a/r4", "../token?x=1", "https://ehr.example.com/token?x=1"),
        ("https://ehr.example.com/a/r4", "t?u=https://x", "https://ehr.example.com/a/t?u=https://x"),
        ("https://ehr.example.com/a/r4", "//as.example.com/t", "https://as.example.com/t"),
    ],
)
def test_relative_references(base, reference, result):
    """A relative reference is resolved against the base; an absolute one stays byte for byte."""
    assert resolve_url(base, reference, field="token_endpoint").text == result


@pytest.mark.parametrize(
    "reference",
    [
        "http://as.example.com/token",
        "https:token",
        "https://as.exa\tmple.com/token",
        "to\nken",
        "javascript:alert(1)",
        "//ann:secret@as.example.com/t",
        "//[x]/t",
        "https://as.example.com/token#x",
        "tökén",
    ],
)
def test_references_that_are_refused(reference):
    """What comes out of resolving is judged like any other URL."""
    with pytest.raises(ConfigurationError) as caught:
        resolve_url("https://ehr.example.com/r4", reference, field="token_endpoint")
    assert caught.value.field == "token_endpoint"


def test_references_on_this_machine():
    """The permission for loopback holds for relative references, too."""
    url = resolve_url("http://127.0.0.1:1/r4", "token", field="x", allow_insecure_loopback=True)
    assert url == Url("http://127.0.0.1:1/token", "http", "127.0.0.1", 1, "/token", None)
    with pytest.raises(ConfigurationError):
        resolve_url("http://127.0.0.1:1/r4", "token", field="x")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://ehr.example.com/r4", "https://ehr.example.com/r4/", True),
        ("https://ehr.example.com/r4", "https://ehr.example.com/r4", True),
        ("https://ehr.example.com/r4//", "https://ehr.example.com/r4", False),
        ("https://ehr.example.com/r4", "https://ehr.example.com/R4", False),
        ("https://ehr.example.com/r4", "https://ehr.example.com/r", False),
    ],
)
def test_same_base(one, other, same):
    """Two bases are the same if their text is, one trailing slash ignored."""
    assert same_base(one, other) is same
    assert same_base(other, one) is same


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("128.0.0.1", False),
        ("0.0.0.0", False),
        ("localhost.evil.test", False),
        ("127.1", False),
        ("", False),
    ],
)
def test_is_loopback(host, loopback):
    """Only addresses that can be nothing but this machine count as loopback."""
    assert is_loopback(host) is loopback
