"""
The words that the core and the world exchange: requests, responses, secrets, findings, events, JSON and URLs.

Nothing here knows OAuth. Each subject has its own module; import from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from smart_async._lazy import loading

if TYPE_CHECKING:
    from smart_async.messages.discretion import discreet, discreet_init, without_frames
    from smart_async.messages.events import Event, EventName
    from smart_async.messages.findings import Finding, Severity
    from smart_async.messages.http import FORM, Headers, Purpose, Request, Response, form_body
    from smart_async.messages.json import JSON, JSONObject, as_list, as_object, parse_object, strict_loads
    from smart_async.messages.secret import Secret
    from smart_async.messages.text import clean_text, member_names
    from smart_async.messages.urls import Url, is_loopback, parse_url, resolve_url, same_base

__all__ = (
    "FORM",
    "JSON",
    "Event",
    "EventName",
    "Finding",
    "Headers",
    "JSONObject",
    "Purpose",
    "Request",
    "Response",
    "Secret",
    "Severity",
    "Url",
    "as_list",
    "as_object",
    "clean_text",
    "discreet",
    "discreet_init",
    "form_body",
    "is_loopback",
    "member_names",
    "parse_object",
    "parse_url",
    "resolve_url",
    "same_base",
    "strict_loads",
    "without_frames",
)

_HOMES = {
    "FORM": "http",
    "JSON": "json",
    "Event": "events",
    "EventName": "events",
    "Finding": "findings",
    "Headers": "http",
    "JSONObject": "json",
    "Purpose": "http",
    "Request": "http",
    "Response": "http",
    "Secret": "secret",
    "Severity": "findings",
    "Url": "urls",
    "as_list": "json",
    "as_object": "json",
    "clean_text": "text",
    "discreet": "discretion",
    "discreet_init": "discretion",
    "form_body": "http",
    "is_loopback": "urls",
    "member_names": "text",
    "parse_object": "json",
    "parse_url": "urls",
    "resolve_url": "urls",
    "same_base": "urls",
    "strict_loads": "json",
    "without_frames": "discretion",
}

__getattr__, __dir__ = loading(__name__, _HOMES)
