"""
The pages of a login: plain HTML that needs no script, and header fields that let nothing else in.

Every value is escaped, although most of them are constants: the next one to be added may not be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from starlette.responses import HTMLResponse, Response

from smart_async._values import dataclass
from smart_async.errors import ConfigurationError
from smart_async.messages import parse_url

__all__ = ("STYLE", "Link", "Pages", "Submit", "protect", "see_other")


@dataclass(frozen=True, slots=True)
class Link:
    """
    A link on a page.

    Args:
        href: Where it leads.
        text: What it says.
    """

    href: str
    text: str

    def html(self) -> str:
        """Return it as HTML."""
        return f'<a class="button" href="{escape(self.href)}">{escape(self.text)}</a>'


@dataclass(frozen=True, slots=True)
class Submit:
    """
    A form with hidden fields and one button.

    Args:
        action: Where it is posted.
        text: What the button says.
        fields: The hidden fields.
    """

    action: str
    text: str
    fields: Sequence[tuple[str, str]] = ()

    def html(self) -> str:
        """Return it as HTML."""
        inputs = "".join(
            f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
            for name, value in self.fields
        )
        return (
            f'<form method="post" action="{escape(self.action)}">{inputs}'
            f"<button>{escape(self.text)}</button></form>"
        )


class Pages:
    """
    Makes the pages.

    Args:
        style: The path of the style sheet.
        framed: Who may show them in a frame: nobody, any https page, or the listed origins.

    Raises:
        ConfigurationError: If one of *framed* is no origin.
    """

    def __init__(self, style: str, framed: bool | Iterable[str]) -> None:
        self._style = style
        self._ancestors = _ancestors(framed)

    def page(
        self,
        title: str,
        body: str,
        actions: Iterable[Link | Submit] = (),
        *,
        status: int = 200,
        form_action: str = "'self'",
    ) -> Response:
        """
        Return a page.

        Args:
            title: The heading.
            body: A sentence or two.
            actions: What can be done; more than one make a list.
            status: The HTTP status.
            form_action: Where forms may lead, as Content-Security-Policy has it.
        """
        items = "".join(f"<li>{action.html()}</li>" for action in actions)
        html = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<title>{escape(title)}</title><link rel="stylesheet" href="{escape(self._style)}"></head>'
            f"<body><main><h1>{escape(title)}</h1><p>{escape(body)}</p>"
            f"{f'<ul>{items}</ul>' if items else ''}</main></body></html>"
        )
        response = HTMLResponse(html, status_code=status)
        protect(response)
        response.headers["Content-Security-Policy"] = (
            "default-src 'none'; style-src 'self'; base-uri 'none'; "
            f"form-action {form_action}; frame-ancestors {self._ancestors}"
        )
        if self._ancestors == "'none'":
            response.headers["X-Frame-Options"] = "DENY"
        return response


def protect(response: Response, extra: Mapping[str, str] | None = None) -> Response:
    """
    Add the header fields that every answer of a login has, unless they are there.

    Args:
        response: The answer.
        extra: Further ones.
    """
    fields = {
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        **(extra or {}),
    }
    for name, value in fields.items():
        response.headers.setdefault(name, value)
    return response


def see_other(url: str) -> Response:
    """
    Send the browser to *url*, byte for byte, with GET.

    Args:
        url: A path of this site, or the EHR's sign-in page.
    """
    return protect(Response(status_code=303), {"Location": url})


def _ancestors(framed: bool | Iterable[str]) -> str:
    if isinstance(framed, bool):
        return "https:" if framed else "'none'"
    if isinstance(framed, str):
        framed = (framed,)
    origins = [parse_url(each, field="framed", allow_insecure_loopback=True) for each in framed]
    if not origins or any(each.text != each.origin for each in origins):
        raise ConfigurationError(
            "framed= lists origins, such as https://ehr.example.com.",
            field="framed",
            advice="Say True for any https page, or False if the app is never shown in a frame.",
        )
    return " ".join(each.origin for each in origins)


STYLE = """\
:root { color-scheme: light dark; --page: #f3f5f6; --card: #fff; --text: #16211f; --quiet: #51605f;
  --accent: #0f6b66; --on-accent: #fff; --focus: #1d4ed8; --line: #d3dadd; }
@media (prefers-color-scheme: dark) { :root { --page: #10171a; --card: #182125; --text: #e8eef0;
  --quiet: #a8b7bc; --accent: #5cc9bf; --on-accent: #06211f; --focus: #9cc2ff; --line: #33424a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); overflow-wrap: break-word;
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 34rem; margin: 10vh auto 2rem; padding: 1.5rem; background: var(--card);
  border: 1px solid var(--line); border-radius: 0.75rem; }
h1 { margin: 0 0 0.5rem; font-size: 1.5rem; line-height: 1.25; }
p { margin: 0 0 1.25rem; color: var(--quiet); }
ul { margin: 0; padding: 0; list-style: none; display: grid; gap: 0.75rem; }
a.button, button { display: block; width: 100%; min-height: 2.75rem; padding: 0.6rem 1rem; border: 0;
  border-radius: 0.5rem; background: var(--accent); color: var(--on-accent); font: inherit; font-weight: 600;
  text-align: center; text-decoration: none; cursor: pointer; }
a.button:hover, button:hover { text-decoration: underline; }
:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }
"""
"""The style sheet of the pages."""
