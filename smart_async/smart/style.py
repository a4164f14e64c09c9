"""
The EHR's style object: colours, fonts and sizes, so that an embedded app can look as if it belonged.

Spec: SMART App Launch 2.2, scopes-and-launch-context (smart_style_url, experimental).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from smart_async._values import dataclass
from smart_async.errors import ConfigurationError, ProtocolError
from smart_async.flow import Flow
from smart_async.limits import Limits
from smart_async.messages import Headers, Request, Response, parse_object, resolve_url
from smart_async.smart.binding import origin_of
from smart_async.smart.endpoint_auth import check_token
from smart_async.smart.retries import send_repeated
from smart_async.smart.state import ClientState
from smart_async.smart.tokens import Token

__all__ = ("SmartStyle", "fetch_style", "parse_style", "style_request")

_MEMBERS = (
    "color_background",
    "color_error",
    "color_highlight",
    "color_modal_backdrop",
    "color_success",
    "color_text",
    "dim_border_radius",
    "dim_font_size",
    "dim_spacing_size",
    "font_family_body",
    "font_family_heading",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmartStyle:
    """
    How the EHR looks. Cache it by `url`: new content comes with a new URL.

    The values are CSS that somebody else wrote: put them where they can be nothing but the value of one
    property, and never into a style sheet as text.

    Args:
        url: Where it came from.
        values: The properties that SMART defines, as far as they are there.
        raw: The whole object.

    Spec: SMART App Launch 2.2, scopes-and-launch-context (styling).
    """

    url: str
    values: Mapping[str, str]
    raw: Mapping[str, object] = field(repr=False)


def style_request(url: str, *, limits: Limits | None = None) -> Request:
    """
    Build the request for a style object. It carries no token.

    Args:
        url: The `smart_style_url`.
        limits: The client's limits.
    """
    return Request(
        method="GET",
        url=url,
        purpose="style",
        headers=Headers({"Accept": "application/json"}),
        max_bytes=(limits or Limits()).document_bytes,
    )


def parse_style(response: Response, *, limits: Limits | None = None) -> SmartStyle:
    """
    Read a style object; members that are no strings are left out.

    Args:
        response: The answer.
        limits: The client's limits.

    Raises:
        ProtocolError: If it is not a JSON object.
    """
    if response.status != 200:
        raise ProtocolError(
            f"The server answered {response.status} to a request for its style object.",
            endpoint=response.url,
            status=response.status,
            advice="Show the app in its own style.",
        )
    document = parse_object(response, ProtocolError, "style object", limits=limits)
    values = {name: document[name] for name in _MEMBERS if isinstance(document.get(name), str)}
    return SmartStyle(url=response.url, values=values, raw=document)


def fetch_style(state: ClientState, token: Token) -> Flow[SmartStyle | None]:
    """
    Fetch the style object that came with *token*.

    The URL is the server's choice, so only a host that the app knows already is asked.

    Args:
        state: The client.
        token: The token of an EHR launch.

    Returns:
        The style, or None where the EHR named none.

    Raises:
        ConfigurationError: If the URL is on a host that is neither the FHIR server's, nor the
            authorization server's, nor listed in `trusted_origins`; or *token* is of another registration.
        ProtocolError: If the answer is no style object.
    """
    check_token(token, state.config)
    if token.context.smart_style_url is None:
        return None
    config = state.config
    url = resolve_url(
        config.fhir_base,
        token.context.smart_style_url,
        field="smart_style_url",
        allow_insecure_loopback=config.allow_insecure_loopback,
    ).text
    origin = origin_of(url)
    known = (origin_of(config.fhir_base), origin_of(token.binding.token_endpoint), *config.trusted_origins)
    if origin not in known:
        raise ConfigurationError(
            f"The style object is on {origin}, which nobody vouched for; it was not fetched.",
            field="trusted_origins",
            endpoint=url,
            advice=f"If it belongs to the EHR, add {origin!r} to trusted_origins.",
        )
    response = yield from send_repeated(state, style_request(url, limits=state.limits))
    return parse_style(response, limits=state.limits)
