"""The page that posts an authorization request: read back as a browser would, whatever is in it."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from smart_async.smart.pending import AuthorizationForm

NASTY = [
    '"><script>alert(1)</script>',
    "'><img src=x onerror=alert(1)>",
    "</form><form action=https://evil.example>",
    "--><!--",
    "&quot;&lt;&#39;&amp;",
    '" autofocus onfocus="alert(1)',
    "</script>",
    "\\\" ' ` = { }",
    "ünïcode ☃",
]


class Page(HTMLParser):
    """What a browser makes of the page: its tags with attributes, and the text of scripts and buttons."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.comments: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs)
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_data(self, data):
        self.texts.append((self.open[-1], data))

    def handle_comment(self, data):
        self.comments.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def fields(self):
        return [(attributes["name"], attributes["value"]) for attributes in self.all("input")]


@pytest.mark.rule("AL-20")
@pytest.mark.parametrize("nasty", NASTY)
def test_every_place_is_escaped(nasty):
    """In a value, a name, the endpoint, the button and the nonce: it stays text, and the page its shape."""
    form = AuthorizationForm(
        action=f"https://sso.example.com/authorize?x={nasty}", fields=(("launch", nasty), (nasty, "v"))
    )
    page = Page(form.html(nonce=nasty, button=nasty))
    assert [tag for tag, _ in page.tags] == [
        *("html", "head", "meta", "meta", "title", "body", "form", "input", "input", "button", "script")
    ]
    assert page.all("form") == [{"method": "post", "action": f"https://sso.example.com/authorize?x={nasty}"}]
    assert page.fields == [("launch", nasty), (nasty, "v")]
    assert {attributes["type"] for attributes in page.all("input")} == {"hidden"}
    assert page.all("script") == [{"nonce": nasty}]
    assert ("script", "document.forms[0].submit()") in page.texts
    assert page.comments == []


@pytest.mark.parametrize("nonce", [None, ""])
def test_no_script_without_a_nonce(nonce):
    """A page that a policy would block has a button, and nothing to block."""
    page = Page(AuthorizationForm(action="https://sso.example.com/a", fields=(("a", "b"),)).html(nonce=nonce))
    assert page.all("script") == []
    assert len(page.all("button")) == 1
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]


def test_one_script_with_one():
    """The nonce is on the only script, and the script holds nothing from outside."""
    html = AuthorizationForm(action="https://sso.example.com/a", fields=(("a", "b"),)).html(nonce="n-1")
    assert html.count("<script") == 1
    assert '<script nonce="n-1">document.forms[0].submit()</script>' in html


def test_the_page_gives_nothing_away():
    """It sends no referrer, and its repr holds no field."""
    form = AuthorizationForm(action="https://sso.example.com/a", fields=(("state", "s-1"),))
    assert {"name": "referrer", "content": "no-referrer"} in Page(form.html()).all("meta")
    assert "s-1" not in repr(form)
