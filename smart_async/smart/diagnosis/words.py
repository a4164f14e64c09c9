"""
What a server's refusal points to, by its code, its status and the words of its description.

Descriptions are free text and every server has its own, so only words are looked for that mean the same in
all of them.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from smart_async.errors import OAuthError, TransportError

__all__ = ("cause_of_discovery", "cause_of_refusal", "cause_of_silence", "cause_of_words")

_WORDS: tuple[tuple[str, str], ...] = (
    ("key-unknown", r"\bkeys?\b[^.]{0,30}\bnot (?:be )?found|\bno (?:matching |suitable )?(?:public )?key\b"),
    ("key-unknown", r"\b(?:certificate|key)\b[^.]{0,80}\bnot registered\b"),
    ("registered-with-secret", r"not registered any keys?\b|no keys? (?:is|are) registered"),
    (
        "registered-with-secret",
        r"not (?:registered|configured|allowed|enabled|permitted) (?:to use|for)\b"
        r"[^.]{0,40}(?:private_key_jwt|client_assertion|auth\w* method)",
    ),
    (
        "registered-with-key",
        r"\b(?:has|have|with) no (?:client )?secret\b|registered (?:as|with) (?:asym|a key|public key)",
    ),
    (
        "blocked",
        r"\bIP(?: address)?\b[^.]{0,40}\b(?:not|block\w*|den\w+|forbidden)\b|(?:white|allow)[ -]?list",
    ),
    ("client-unknown", r"no (?:such )?client\b|\b(?:unknown|unregistered|unrecogni[sz]ed) client\b"),
    (
        "client-unknown",
        r"\bclient\b(?![ _-]assertion)[^.]{0,60}"
        r"(?:not (?:found|known|recogni[sz]ed|registered(?! (?:for|to)\b))"
        r"|unknown|(?:does not|doesn.t) exist)",
    ),
    ("client-unknown", r"invalid (?:value for )?\W?client_id|application with identifier[^.]{0,80}not found"),
    ("client-unknown", r"(?:invalid|unknown|no such) tenant\b|\btenant\b[^.]{0,40}not found"),
    # Of a token it means that nbf is ahead or exp over; of a client, that it waits for somebody's approval.
    ("clock", r"\b(?:token|assertion|jwt) is not (?:yet )?active\b|\btime range\b"),
    (
        "client-not-active",
        r"\b(?:inactive|disabled|suspended|pending|deactivated)\b"
        r"|not (?:yet )?(?:been )?(?:active|activated|approved|enabled)",
    ),
    (
        "jku-missing",
        r"(?:missing|required|without|lacks?|no|must (?:have|contain|include))\b[^.]{0,20}\bjku\b"
        r"|\bjku\b[^.]{0,30}\b(?:missing|required|absent|not (?:present|given|found))",
    ),
    ("jku-differs", r"\bjku\b"),
    ("key-unknown", r"\bload\b[^.]{0,20}\bpublic key\b"),
    (
        "jwks-blocked",
        r"(?:jwks?|jwk set|key set|keys?)\b.{0,200}?\b(?:cannot|could not|unable|failed|not) (?:be |to be )?"
        r"(?:fetched|retrieved|loaded|downloaded|reached|resolved)"
        r"|(?:fetch|retriev|load|download|reach|resolv)\w*\b[^.]{0,40}\b(?:jwks?|key set|keys?)\b"
        r"|\bjwk(?: set|s)\b.{0,200}?\banswers? with status",
    ),
    ("jwks-invalid", r"\bjwk(?: set|s)\b.{0,200}?\b(?:cannot|could not) be (?:read|parsed)"),
    ("assertion-replayed", r"\bjti\b|\breplay|already (?:been )?used"),
    ("aud-wrong", r"\baud\b|\baudiences?\b"),
    ("registered-with-secret", r"client[ _-]?secret|\bsecret\b"),
    (
        "jwks-private",
        r"private (?:key|members?)\b.{0,60}(?:published|jwks|jwk set)"
        r"|(?:published|jwks|jwk set).{0,60}private key",
    ),
    ("auth-method", r"\bauth(?:entication)?[ _-]method|client_assertion_type|private_key_jwt"),
    ("typ-wrong", r"\btyp\b"),
    ("clock-slow", r"\bexpired\b|has expired|no longer valid"),
    ("clock-fast", r"in the future|not yet valid|too far|\bahead\b|\blifetime\b|\bbefore it was issued"),
    ("clock", r"\b(?:exp|iat|nbf)\b|\bclock\b|\bskew\b"),
    ("jwks-key", r"\bsignature\b"),
    (
        "key-unknown",
        r"\bkid\b|\bkey id\b|public key"
        r"|(?:signing|verification|matching|suitable|registered) \w{0,12} ?keys?\b",
    ),
    ("jwks-type", r"\bP-(?:256|384|521)\b|\bcurve\b|\bbits at least\b"),
    ("algorithm", r"\balg(?:orithm)?s?\b"),
    ("assertion-issuer", r"\b(?:iss|sub|issuer|subject)\b"),
    ("scope-not-allowed", r"\bscopes?\b"),
)
_PATTERNS = tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in _WORDS)

_CODES = {
    "invalid_scope": "scope-not-allowed",
    "unauthorized_client": "grant-not-allowed",
    "unsupported_grant_type": "grant-type",
    "temporarily_unavailable": "server-failing",
    "server_error": "server-failing",
    "slow_down": "rate-limited",
}
_STATUSES = {
    403: "blocked",
    404: "token-endpoint-missing-page",
    405: "token-endpoint-method",
    407: "proxy-failed",
    429: "rate-limited",
}
_URN = re.compile(r"\burn:([^/?#\s]{1,200})", re.IGNORECASE)
_SEAMS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[_:-]+")
_OF_CLIENT = ("client-unknown", "client-not-active", "registered-with-secret")
_ABOUT_CLIENT = frozenset({"invalid_client", "invalid_request", "invalid_grant", "access_denied", None})

_SILENCE: tuple[tuple[str, str], ...] = (
    ("host-unknown", r"resolve|name lookup|getaddrinfo|nodename"),
    ("proxy-failed", r"\bproxy\b"),
    ("tls-client-certificate", r"client certificate"),
    ("no-answer", r"broke off|broken off|no answer|not over after|not valid HTTP|\banswer has\b|dropped"),
    ("tls-expired", r"certificate.*expired|expired.*certificate"),
    ("tls-name", r"hostname|mismatch|not valid for|doesn.t match|IP address"),
    ("tls-self-signed", r"self.signed"),
    ("tls-old", r"protocol version|unsupported protocol|version too low|\btls ?1\.[01]\b"),
    ("tls-untrusted", r"certificate"),
    ("tls-failed", r"secure connection|handshake|\btls\b|\bssl\b"),
)
_SILENCES = tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in _SILENCE)


def cause_of_words(text: str | None) -> str | None:
    """
    Return the cause that a server's description points to, or None.

    Args:
        text: The description.

    >>> cause_of_words("Invalid audience in client assertion"), cause_of_words("client authentication failed")
    ('aud-wrong', None)

    A name that stands in its place is read word by word:

    >>> cause_of_words("JWKSNoMatchingKey")
    'key-unknown'
    """
    for each in (text or "", _SEAMS.sub(" ", text or "")):
        for name, pattern in _PATTERNS:
            if pattern.search(each):
                return name
    return None


def _words_of(error: OAuthError) -> str | None:
    # Oracle Health describes nothing; the name of what is wrong stands in the address of a page about it.
    if error.error_description or (found := _URN.search(unquote(error.error_uri or ""))) is None:
        return error.error_description
    return found[1]


def cause_of_refusal(error: OAuthError) -> str:
    """
    Return the cause that a refusal points to, its code and status first, then its words.

    Args:
        error: What the server said.

    Returns:
        An id of the catalogue; `client-refused` or `request-refused` where it does not say.
    """
    status, code = error.status or 0, error.error
    said = cause_of_words(_words_of(error))
    if code in _CODES:
        return said if code == "unauthorized_client" and said in _OF_CLIENT else _of_code(error)
    # A gateway's answer has no code of OAuth; its status says more than its words.
    if code not in _ABOUT_CLIENT or code is None:
        if status in _STATUSES:
            return _STATUSES[status]
        if status >= 500:
            return "server-failing"
    if status == 429:
        return "rate-limited"
    if code in _ABOUT_CLIENT and said:
        return said
    if code is None and (error.error_description or "").startswith("a page of HTML"):
        return "token-endpoint-html"
    if status >= 500:
        return "server-failing"
    return "client-refused" if code == "invalid_client" or status == 401 else "request-refused"


def _of_code(error: OAuthError) -> str:
    found = _CODES[error.error or ""]
    if found == "scope-not-allowed" and re.search(
        r"\bv[12]\b|version|syntax|\.read|\.rs\b", error.error_description or "", re.IGNORECASE
    ):
        return "scope-syntax"
    return found


def cause_of_discovery(status: int) -> str | None:
    """
    Return the cause that the status of an answer to discovery points to, or None if it is 200.

    Args:
        status: The HTTP status.
    """
    if status in (401, 403):
        return "discovery-refused"
    if status in (407, 429):
        return _STATUSES[status]
    if 300 <= status < 400:
        return "discovery-redirect"
    if status >= 500:
        return "discovery-failing"
    return None if status == 200 else "discovery-missing"


def cause_of_silence(error: TransportError) -> str:
    """
    Return the cause that a missing answer points to.

    Args:
        error: Why there was none.
    """
    message = error.message
    return next((name for name, pattern in _SILENCES if pattern.search(message)), "server-unreachable")
