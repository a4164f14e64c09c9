"""
The words that the core and the world exchange: requests, responses, secrets, findings, events, JSON and URLs.

Nothing here knows OAuth. Each subject has its own module; import from here.
"""

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
