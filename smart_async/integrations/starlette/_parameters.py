"""What a request to the login says, read with limits: its query, or a form that was posted."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from urllib.parse import parse_qsl

from starlette.requests import Request

from smart_async.errors import CallbackError
from smart_async.limits import CALLBACK_BYTES

__all__ = ("Parameters", "form_of", "only", "query_of")

Parameters = Mapping[str, list[str]]
"""Each parameter with all its values."""

_FIELDS = 100
_FORM = "application/x-www-form-urlencoded"


def query_of(request: Request) -> Parameters:
    """
    Return the parameters of the query.

    Raises:
        CallbackError: If it is too long or cannot be read.
    """
    return _parsed(bytes(request.scope.get("query_string", b"")))


async def form_of(request: Request) -> Parameters:
    """
    Return the fields of a posted form.

    Raises:
        CallbackError: If it is no form, too long or cannot be read.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise CallbackError("What was posted is no form.")
    body = b""
    async with aclosing(request.stream()) as stream:  # trio wants it closed, not collected
        async for piece in stream:
            body += piece
            if len(body) > CALLBACK_BYTES:
                raise _too_long()
    return _parsed(body)


def only(parameters: Parameters, name: str) -> str | None:
    """
    Return the value of a parameter that is there once, else None.

    Args:
        parameters: The parameters.
        name: Its name.
    """
    values = parameters.get(name, [])
    return values[0] if len(values) == 1 else None


def _parsed(text: bytes) -> Parameters:
    if len(text) > CALLBACK_BYTES:
        raise _too_long()
    found: dict[str, list[str]] = {}
    try:
        pairs = parse_qsl(
            text.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS
        )
    except ValueError:
        raise CallbackError("The parameters of the request cannot be read.") from None
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def _too_long() -> CallbackError:
    return CallbackError(f"The request has more than {CALLBACK_BYTES} bytes of parameters.")
