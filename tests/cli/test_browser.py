"""Which URLs a browser is sent to, and how."""

from __future__ import annotations

import os
import subprocess
import sys
import webbrowser

import pytest

from smart_async.cli.browser import check_page, open_page
from smart_async.errors import DiscoveryError

BASE = "https://ehr.example.com/r4"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """Return the arguments of each call of `webbrowser.open`, which opens nothing here."""
    calls: list[tuple[object, ...]] = []
    monkeypatch.setattr(webbrowser, "open", lambda *args: calls.append(args) or True)
    return calls


def test_a_url_is_one_argument(opened: list[tuple[object, ...]]) -> None:
    """The browser gets the URL and nothing else."""
    url = "https://ehr.example.com/auth?a=1&b=%24%28id%29&scope=patient%2F%2A.rs"
    assert (open_page(url), opened) == (True, [(url,)])


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "javascript:alert(1)",
        "-flag",
        "--new-window=https://a.example",
        "vbscript:x",
        "\\\\host\\share",
        "",
        "https://a.example/$(id)",
        "https://a.example/`id`",
        'https://a.example/" & calc & "',
        "https://a.example/'x'",
        "https://a.example/a;b",
        "https://a.example/a|b",
        "https://a.example/a b",
        "https://a.example/a\nb",
        "https://a.example/ü",
        "https://a.example/" + "a" * 9000,
    ],
)
def test_what_a_shell_could_take_never_reaches_the_browser(
    opened: list[tuple[object, ...]], url: str
) -> None:
    """Whatever is no plain https URL is refused, with the way out for those who trust it."""
    with pytest.raises(DiscoveryError, match="--no-browser"):
        open_page(url)
    assert opened == []


@pytest.mark.parametrize(
    ("endpoint", "loopback"),
    [
        ("https://ehr.example.com/auth", False),
        ("https://ehr.example.com/auth?a=b", False),
        ("http://127.0.0.1:8080/auth", True),
    ],
)
def test_a_page_is_https_or_on_this_machine(endpoint: str, loopback: bool) -> None:
    """Https anywhere, http on loopback where that was allowed."""
    check_page(endpoint, fhir_base=BASE, allow_insecure_loopback=loopback)


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://127.0.0.1:8080/auth",
        "http://ehr.example.com/auth",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "-flag",
        "https://user:secret@ehr.example.com/auth",
    ],
)
def test_other_pages_are_refused(endpoint: str) -> None:
    """What is no https URL is the server's fault, and not repeated."""
    with pytest.raises(DiscoveryError) as caught:
        check_page(endpoint, fhir_base=BASE, allow_insecure_loopback=False)
    assert (caught.value.endpoint, "secret" in str(caught.value)) == (BASE, False)


@pytest.mark.skipif(os.name != "posix", reason="starts a shell script as the browser")
def test_what_a_browser_prints_is_no_result(tmp_path: object) -> None:
    """A browser that chatters on stdout does not get into the result; where there is none, that is said."""
    code = (
        "import sys, webbrowser; from smart_async.cli.browser import open_page;"
        "webbrowser.open = lambda url: __import__('subprocess').run(['echo', 'chatter']).returncode == 0;"
        "print(open_page('https://a.example/'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("True\n", "chatter\n")
