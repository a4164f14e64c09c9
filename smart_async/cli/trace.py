"""From what went over the wire to what can be shown of it: taken apart, decoded, masked."""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import field
from urllib.parse import parse_qsl, urlsplit

from smart_async._values import dataclass
from smart_async.cli.masking import Masker
from smart_async.errors import ProtocolError
from smart_async.messages import FORM, Headers, JSONObject, as_object, strict_loads
from smart_async.transports import Exchange

__all__ = ("Assertion", "Shown", "show")

_REQUEST_HEADERS = ("accept", "authorization", "content-type")
_RESPONSE_HEADERS = ("content-type", "cache-control", "location", "www-authenticate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """A client assertion or an ID token, decoded; its signature is only measured."""

    header: JSONObject
    claims: JSONObject
    signature: str

    def members(self) -> JSONObject:
        """Return it as a JSON object."""
        return {"header": self.header, "claims": self.claims, "signature": self.signature}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """
    One exchange, fit to be shown: everything in it comes from the trace, and no secret is left.

    Args:
        number: Its place in the trace.
        sender: Who asked.
        receiver: Who answered.
        kind: What it was, told by its content; see `kind_of`.
        method: The HTTP method.
        url: The URL without its query.
        query: The parameters of the query.
        headers: The header fields worth a look.
        form: The fields of the form.
        derived: What the receiver works out from the form: the digest that it compares.
        assertion: The signed JWT of the form, decoded.
        status: The HTTP status; None without an answer.
        answer_headers: The header fields of the answer worth a look.
        redirect: Where the answer sends the browser: the parameters in its Location.
        answer: The members of the answer's JSON object.
        id_token: The ID token among them, decoded.
        problem: What went wrong, if there was no answer.
        milliseconds: How long it took.
    """

    number: int
    sender: str
    receiver: str
    kind: str
    method: str
    url: str
    query: dict[str, str]
    headers: dict[str, str]
    form: dict[str, str]
    derived: dict[str, str]
    assertion: Assertion | None
    status: int | None
    answer_headers: dict[str, str]
    redirect: dict[str, str]
    answer: JSONObject
    id_token: Assertion | None
    problem: str | None
    milliseconds: int = field(compare=False)

    def members(self) -> JSONObject:
        """Return it as a JSON object."""
        request: JSONObject = {
            "method": self.method,
            "url": self.url,
            "query": self.query,
            "headers": self.headers,
            "form": self.form,
        }
        if self.assertion:
            request["client_assertion"] = self.assertion.members()
        response: JSONObject = {
            "status": self.status,
            "headers": self.answer_headers,
            "redirect": self.redirect,
            "body": self.answer,
        }
        if self.id_token:
            response["id_token"] = self.id_token.members()
        return {
            "number": self.number,
            "from": self.sender,
            "to": self.receiver,
            "kind": self.kind,
            "request": request,
            "response": response,
            "problem": self.problem,
            "milliseconds": self.milliseconds,
        }


def show(exchange: Exchange, masker: Masker, *, number: int, sender: str, receiver: str) -> Shown:
    """
    Take *exchange* apart and mask its secrets.

    Args:
        exchange: From the trace.
        masker: Knows the secrets seen so far.
        number: Its place in the trace.
        sender: Who sent the request.
        receiver: Who answered.
    """
    request, response = exchange.request, exchange.response
    query, form = _pairs(urlsplit(request.url).query), _form(request.headers, request.body)
    answer_headers, answer = (response.headers, _json(response.body)) if response else (Headers(), {})
    return Shown(
        number=number,
        sender=sender,
        receiver=receiver,
        kind=kind_of(exchange, query, form, sender),
        method=request.method,
        url=request.url.partition("?")[0],
        headers=_headers(request.headers, _REQUEST_HEADERS, masker),
        query=_masked(query, masker),
        form=_masked(form, masker),
        derived=_derived(form),
        assertion=_jwt(form.get("client_assertion"), masker),
        status=response.status if response else None,
        redirect=_masked(_pairs(urlsplit(answer_headers.get("location", "")).query), masker),
        answer=masker.member("", answer),
        id_token=_jwt(answer.get("id_token"), masker),
        answer_headers=_headers(answer_headers, _RESPONSE_HEADERS, masker),
        problem=_problem(exchange.error, masker),
        milliseconds=round(exchange.seconds * 1000),
    )


def kind_of(exchange: Exchange, query: Mapping[str, str], form: Mapping[str, str], sender: str) -> str:
    """
    Return what an exchange is, judged by what it carries.

    `authorize` and `callback` are the browser's; a token request is named by its grant type; everything
    else by its purpose.
    """
    if "response_type" in query:
        return "authorize"
    if "state" in query:
        return "callback"
    if exchange.request.url.endswith("/.well-known/openid-configuration"):
        return "openid_discovery"
    if exchange.request.purpose == "jwks" and sender == "App":
        return "server_keys"
    return form.get("grant_type", exchange.request.purpose)


def _pairs(query: str) -> dict[str, str]:
    return dict(parse_qsl(query, keep_blank_values=True))


def _form(headers: Headers, body: bytes | None) -> dict[str, str]:
    if body is None or headers.get("content-type") != FORM:
        return {}
    return _pairs(body.decode("utf-8", "replace"))


def _masked(pairs: Mapping[str, str], masker: Masker) -> dict[str, str]:
    return {name: masker.member(name, value) for name, value in pairs.items()}


def _derived(form: Mapping[str, str]) -> dict[str, str]:
    verifier = form.get("code_verifier")
    if verifier is None:
        return {}
    digest = hashlib.sha256(verifier.encode()).digest()
    return {"SHA-256(code_verifier)": urlsafe_b64encode(digest).rstrip(b"=").decode()}


def _problem(error: BaseException | None, masker: Masker) -> str | None:
    return None if error is None else masker.scrub(f"{type(error).__name__}: {error}")


def _headers(headers: Headers, wanted: Iterable[str], masker: Masker) -> dict[str, str]:
    shown = {name: headers[name] for name in wanted if name in headers}
    scheme, _, credentials = shown.get("authorization", "").partition(" ")
    if credentials:
        shown["authorization"] = f"{scheme} {masker.mask(credentials)}"
    if "location" in shown:
        shown["location"] = shown["location"].partition("?")[0]
    return {name.title(): masker.scrub(value) for name, value in shown.items()}


def _json(body: bytes) -> JSONObject:
    try:
        document = strict_loads(body)
    except ProtocolError:
        return {}
    return as_object(document) or {}


def _jwt(jwt: object, masker: Masker) -> Assertion | None:
    parts = jwt.split(".") if isinstance(jwt, str) else ()
    if len(parts) != 3:
        return None
    header, claims = (masker.member("", _decoded(part)) for part in parts[:2])
    return Assertion(header=header, claims=claims, signature=masker.mask(parts[2]))


def _decoded(part: str) -> JSONObject:
    try:
        document = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except ValueError:
        return {}
    return as_object(document) or {}
