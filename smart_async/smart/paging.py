"""
The pages of an answer that is too long for one: reading each, and finding the way to the next.

A server says where the next page is, and that may be anywhere: another host, a page that was read already,
a page without end. So a link is read strictly and each page is counted.

Spec: HL7 FHIR R4, RESTful API (paging) and Bundle.link; RFC 5988.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from urllib.parse import urljoin

from smart_async.errors import ConfigurationError, ProtocolError
from smart_async.limits import LINK_BYTES, PAGES
from smart_async.messages import JSONObject, Response, as_list, as_object, clean_text, member_names
from smart_async.smart.redirects import redirect_target
from smart_async.smart.refusals import parse_refusal, shown_url

__all__ = ("Trail", "next_link", "parse_page")

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
# Servers leave pipes, blanks and backslashes in their queries, where they do no harm: | and \ are FHIR's own.
_LINK = re.compile(r"[!$-;=@-\[\]_a-z~]*(?:\?[^\x00-\x1f\x7f-\x9f]*)?")


class Trail:
    """
    Where a reader of pages is, and where it must not go.

    Args:
        first: The first URL, as the caller gave it; relative to the client's base URL perhaps.
        check: Raises for a URL that must not be requested.
        max_pages: Pages to read at most.

    Attributes:
        url: The URL of the page to read now, or None after the last one.
        check: As given.

    Raises:
        ConfigurationError: If *max_pages* is no number above 0.
    """

    def __init__(self, first: str, *, check: Callable[[str], None], max_pages: int = PAGES) -> None:
        if type(max_pages) is not int or max_pages < 1:
            raise ConfigurationError("max_pages must be a whole number above 0.", field="max_pages")
        self.check = check
        self._max_pages = max_pages
        self._seen: set[str] = set()
        self._read = 0
        self._after: tuple[JSONObject, str] | None = None
        self.url: str | None = first

    @property
    def started(self) -> bool:
        """Whether a page has been read already."""
        return self._read > 0

    def move(self) -> str | None:
        """
        Return the URL of the page to read now, or None after the last one.

        Asked again after a request that failed, it is the same.

        Raises:
            ProtocolError: If the link cannot be used, leads back, or is one too many.
            TokenOriginError: If it leads to where the token must not go.
        """
        if self._after is not None:
            bundle, url = self._after
            target = next_link(bundle, url)
            if target is not None:
                self._refuse_detour(target, url)
            self.url, self._after = target, None
        return self.url

    def arrive(self, response: Response) -> JSONObject:
        """
        Return the Bundle that *response* is.

        Args:
            response: The answer; its `url` is where it came from, after redirects.

        Raises:
            OAuthError: If the server refused.
            ProtocolError: If it sent something else.
        """
        bundle = parse_page(response)
        self._read += 1
        self._seen |= {response.url, *((self.url,) if self.url else ())}
        self._after = (bundle, response.url)
        return bundle

    def _refuse_detour(self, target: str, url: str) -> None:
        if target in self._seen:
            raise ProtocolError(
                f"After {self._read} pages the link to the next leads back to one that was read already.",
                endpoint=shown_url(url),
                advice="The server's paging is broken, and would go on for ever; report it to its operator.",
            )
        if self._read >= self._max_pages:
            raise ProtocolError(
                f"There are more than {self._max_pages} pages.",
                endpoint=shown_url(url),
                advice="Ask for less, or for larger pages (_count), or raise max_pages.",
            )
        self.check(target)


def parse_page(response: Response) -> JSONObject:
    """
    Read a FHIR server's answer as a Bundle.

    Args:
        response: The answer. Its size is the business of the client that read it.

    Raises:
        OAuthError: If the status says no; with the server's words, the status and `retry_after`.
        ProtocolError: If it is a redirect, or no Bundle; it says what came instead.

    Spec: HL7 FHIR R4, Bundle.
    """
    if response.status >= 400:
        raise parse_refusal(response)
    if 300 <= response.status < 400:
        raise _not_a_bundle(
            response,
            f"redirected ({response.status}) to {redirect_target(response)}",
            "Ask there, or make the HTTP client with follow_redirects=True.",
        )
    try:
        document: object = json.loads(response.body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        document, came = None, _unreadable(response)
    else:
        came = _described(document)
    bundle = as_object(document)
    if bundle is None or bundle.get("resourceType") != "Bundle":
        raise _not_a_bundle(response, f"answered {response.status} with {came}", "Check the URL.")
    return bundle


def next_link(bundle: JSONObject, url: str) -> str | None:
    """
    Return the absolute URL of the page after *bundle*, or None if it is the last one.

    Args:
        bundle: The page.
        url: Where it came from: a relative link is relative to that.

    Raises:
        ProtocolError: If there are links, but not as a Bundle has them, or two that differ.

    Spec: HL7 FHIR R4, Bundle.link; RFC 3986, section 5.

    >>> next_link({"link": [{"relation": "next", "url": "?page=2"}]}, "https://ehr.example.com/r4/Task?page=1")
    'https://ehr.example.com/r4/Task?page=2'
    """
    links = as_list(bundle.get("link", []))
    members = [as_object(link) for link in links or ()]
    if links is None or None in members:
        raise _bad_link(url, "The links of the Bundle are no list of links.")
    found = [link.get("url") for link in members if link and link.get("relation") == "next"]
    if not found:
        return None
    target = found[0]
    if any(other != target for other in found):
        raise _bad_link(url, "The Bundle has several links to the next page, and they differ.")
    if not isinstance(target, str) or not target or len(target) > LINK_BYTES:
        raise _bad_link(url, "The link to the next page is no URL, or a very long one.")
    target = target.partition("#")[0]
    if not _LINK.fullmatch(target):
        raise _bad_link(url, "The link to the next page holds characters that a URL cannot hold.")
    try:
        # urljoin would read "https:x" as a path; what has a scheme is judged as it is.
        return target if _SCHEME.match(target) else urljoin(url, target)
    except ValueError:
        problem = "The link to the next page cannot be read as a URL."
    raise _bad_link(url, problem)


def _bad_link(url: str, message: str) -> ProtocolError:
    return ProtocolError(
        message, endpoint=shown_url(url), advice="Report it to the server's operator; this page was read."
    )


def _not_a_bundle(response: Response, came: str, advice: str) -> ProtocolError:
    return ProtocolError(
        f"Where a Bundle was expected, the FHIR server {came}.",
        endpoint=shown_url(response.url),
        status=response.status,
        advice=advice,
    )


def _unreadable(response: Response) -> str:
    start = response.body.lstrip()[:1]
    return (
        "nothing" if not start else "a page of HTML or XML" if start == b"<" else "something that is no JSON"
    )


def _described(document: object) -> str:
    resource = as_object(document)
    if resource is None:
        return "JSON that is no resource"
    kind = resource.get("resourceType")
    if not isinstance(kind, str):
        return f"JSON that is no resource (members: {', '.join(member_names(document)) or 'none'})"
    article = "an" if kind[:1] in "AEIO" else "a"
    return f"{article} {clean_text(kind, length=64)} resource"
