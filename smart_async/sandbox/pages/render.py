"""Pages from templates, each under a policy that lets nothing run and nothing be loaded from elsewhere."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from email.utils import formatdate
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined

from smart_async.messages import Headers, Response
from smart_async.sandbox.pages.texts import PageError, problem_of
from smart_async.sandbox.replies import NO_STORE
from smart_async.sandbox.settings import Place
from smart_async.sandbox.verdicts import RefusedError

__all__ = ("Renderer", "asset", "filled", "source_of")

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*")
_HOST = re.compile(r"(?:[A-Za-z0-9._\-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_ASSETS = {"style.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml"}


class Renderer:
    """
    Makes pages.

    Args:
        place: The sandbox's URLs.
    """

    def __init__(self, place: Place) -> None:
        self._place = place

    def page(
        self,
        template: str,
        *,
        status: int = 200,
        targets: Iterable[str] = (),
        frames: Iterable[str] = (),
        framed: bool = False,
        headers: Iterable[tuple[str, str]] = (),
        **values: Any,
    ) -> Response:
        """
        Return a page.

        Args:
            template: The template's name.
            status: The HTTP status.
            targets: URLs to which a form of this page may lead in the end, by redirects too.
            frames: URLs that this page may hold in a frame.
            framed: Whether the sandbox's own pages may hold this page in a frame.
            headers: Further header fields.
            **values: What the template shows.
        """
        text = _templates().get_template(template).render(place=self._place, **values)
        fields = [
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Security-Policy", _policy(targets, frames, framed=framed)),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            *([] if framed else [("X-Frame-Options", "DENY")]),
            *NO_STORE,
            *headers,
        ]
        return Response(status=status, headers=Headers(fields), body=text.encode())

    def problem(self, error: PageError) -> Response:
        """Return the page for a mistake with the pages themselves."""
        title, text = problem_of(error.code)
        return self._error(title, text, None, error.detail, error.status)

    def refusal(self, refusal: RefusedError) -> Response:
        """Return the page for an authorization request after which nobody can be sent back to the app."""
        title, text = problem_of(refusal.rule)
        return self._error(title, text, refusal.rule, refusal.message, 400)

    def _error(self, title: str, text: str, rule: str | None, detail: str | None, status: int) -> Response:
        return self.page(
            "error.html", status=status, framed=True, title=title, text=text, rule=rule, detail=detail
        )


@cache
def _templates() -> Environment:
    # One for all sandboxes, for a template takes longer to compile than a test takes to run.
    environment = Environment(
        loader=PackageLoader("smart_async.sandbox"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["clock_time"] = _clock_time
    return environment


@cache
def asset(name: str) -> Response:
    """Return the style sheet or the icon."""
    body = files("smart_async.sandbox").joinpath("templates", name).read_bytes()
    fields = [
        ("Content-Type", _ASSETS[name]),
        ("X-Content-Type-Options", "nosniff"),
        ("Cache-Control", "no-cache"),
    ]
    return Response(status=200, headers=Headers(fields), body=body)


def filled(fields: Mapping[str, str] | None) -> Mapping[str, str]:
    """Return what a form was filled in with, for showing it again; what is missing is empty."""
    return defaultdict(str, fields or {})


def source_of(url: str) -> str | None:
    """
    Return what stands for the origin of *url* in a policy, or None if it cannot stand there.

    >>> source_of("https://app.example.com/callback?x=y"), source_of("com.example.app:/callback")
    ('https://app.example.com', 'com.example.app:')
    """
    parts = urlsplit(url)
    if not _SCHEME.fullmatch(parts.scheme):
        return None
    if parts.scheme not in ("http", "https"):
        return f"{parts.scheme}:"
    return f"{parts.scheme}://{parts.netloc}" if _HOST.fullmatch(parts.netloc) else None


def _clock_time(seconds: float) -> str:
    return formatdate(seconds, usegmt=True)[17:25]


def _policy(targets: Iterable[str], frames: Iterable[str], *, framed: bool) -> str:
    shown = _sources(frames)
    parts = [
        "default-src 'none'",
        "style-src 'self'",
        "img-src 'self'",
        "base-uri 'none'",
        " ".join(["form-action 'self'", *_sources(targets)]),
        "frame-ancestors 'self'" if framed else "frame-ancestors 'none'",
    ]
    # An app in the frame comes back to the sandbox's own sign-in, in the same frame.
    parts += [" ".join(["frame-src 'self'", *shown])] if shown else []
    return "; ".join(parts)


def _sources(urls: Iterable[str]) -> list[str]:
    return sorted({source for url in urls if (source := source_of(url))})
