"""
Every size, time and count limit of the library, named, with its reason.

The constants are the defaults and hard ceilings; `Limits` and `Timeouts` are what a client can be given
instead. Real discovery documents and token responses stay far below 20 KiB, so these numbers are reached
only by a broken or hostile server.
"""

from __future__ import annotations

from smart_async._values import dataclass

__all__ = (
    "ASSERTION_BACKDATE",
    "ASSERTION_LIFETIME",
    "CALLBACK_BYTES",
    "CALLBACK_PARAMETER_BYTES",
    "CHALLENGE_BYTES",
    "CHALLENGE_PARAMETERS",
    "CLOCK_SKEW",
    "DOCUMENT_BYTES",
    "DOCUMENT_MEMBERS",
    "ERROR_BODY_BYTES",
    "ERROR_TEXT",
    "GET_URL_LENGTH",
    "ID_TOKEN_AGE",
    "JSON_DEPTH",
    "JWKS_COOLDOWN",
    "JWKS_KEYS",
    "JWKS_MAX_AGE",
    "JWKS_STALE",
    "JWKS_TTL",
    "JWS_HEADER_BYTES",
    "JWS_PAYLOAD_BYTES",
    "JWS_SIGNATURE_BYTES",
    "KEY_FILE_BYTES",
    "LEASE_SECONDS",
    "LINK_BYTES",
    "MEMORY_STORE_ENTRIES",
    "METADATA_TTL",
    "METADATA_TTL_MAX",
    "PAGES",
    "PENDING_TTL",
    "RANDOM_BYTES",
    "REFRESH_GRACE",
    "RENEWAL_LEAD",
    "RENEWAL_LEAD_SHARE",
    "RETRY_AFTER_MAX",
    "RETRY_ATTEMPTS",
    "RETRY_PAUSE",
    "RETRY_PAUSE_MAX",
    "RSA_BITS_MAX",
    "RSA_BITS_MIN",
    "STORED_BYTES",
    "STORE_KEY_BYTES",
    "TOKEN_BYTES",
    "URL_LENGTH",
    "WEB_CONNECTIONS",
    "WEB_IDLE",
    "WEB_LIFETIME",
    "WEB_PENDING",
    "WEB_PENDING_BROWSERS",
    "Limits",
    "Timeouts",
)

ASSERTION_LIFETIME = 300
"""Seconds from `iat` to `exp` of a client assertion: the five minutes that SMART allows at most."""

ASSERTION_BACKDATE = 60
"""Seconds that `iat` lies in the past, so that a clock running fast does no harm."""

CALLBACK_BYTES = 8 * 1024
"""Bytes of a callback's query or form; a code, a state and an issuer need a fraction of it."""

CALLBACK_PARAMETER_BYTES = 4 * 1024
"""Bytes of one callback parameter; some servers use long JWTs as codes."""

CHALLENGE_BYTES = 8 * 1024
"""Characters read of a `WWW-Authenticate` field; one that names every scope there is stays below it."""

CHALLENGE_PARAMETERS = 32
"""Parameters read of one challenge; Bearer has five."""

CLOCK_SKEW = 60.0
"""Seconds that the clocks of two machines may differ before a token counts as expired or not yet valid."""

DOCUMENT_BYTES = 256 * 1024
"""Bytes of an OAuth document or JWK Set; joserfc itself stops at half of that for one signed payload."""

DOCUMENT_MEMBERS = 10_000
"""JSON members and array items in one OAuth document."""

GET_URL_LENGTH = 2000
"""Characters of an authorization URL above which a form is the better choice; some browsers cut long ones."""

ID_TOKEN_AGE = 3600.0
"""Seconds since an ID token was issued, at most, when it comes with a login that has just happened."""

JSON_DEPTH = 32
"""Levels of nesting in a JSON document; OAuth needs five, and Python's parser fails near a thousand."""

ERROR_BODY_BYTES = 64 * 1024
"""Bytes read of an error answer; the rest is not worth waiting for."""

ERROR_TEXT = 256
"""Characters kept of a server's own error text."""

JWKS_COOLDOWN = 60.0
"""Seconds between two requests for the same server's keys, however many unknown keys tokens name."""

JWKS_STALE = 3600.0
"""Seconds that known keys bridge an outage of the server that publishes them."""

JWKS_TTL = 300.0
"""Seconds that a server's keys are believed without asking again."""

JWKS_MAX_AGE = 300
"""Seconds for which servers may cache our own keys: a rotation has to wait that long, twice."""

JWKS_KEYS = 100
"""Keys read from one JWK Set."""

JWS_HEADER_BYTES = 8 * 1024
"""Bytes of a signed token's header; joserfc's own 512 are too few for one that carries certificates."""

JWS_PAYLOAD_BYTES = 128_000
"""Bytes of a signed token's payload, as joserfc has it."""

JWS_SIGNATURE_BYTES = 1024
"""Bytes of a signature: exactly what an RSA-8192 key makes."""

KEY_FILE_BYTES = 64 * 1024
"""Bytes of a key file; an RSA-8192 key in PEM is under 7 KiB."""

LEASE_SECONDS = 35.0
"""Seconds that a lease lasts in a shared store: more than the 30 that one token request may take in all."""

LINK_BYTES = 16 * 1024
"""Characters of a link to the next page; servers put whole queries into it, and proxies take no more."""

MEMORY_STORE_ENTRIES = 100_000
"""Entries that a `MemoryStore` keeps before it forgets the one that was used longest ago."""

METADATA_TTL = 600.0
"""Seconds that a discovery document is kept when the server does not say."""

METADATA_TTL_MAX = 24 * 3600.0
"""Seconds that a discovery document is kept at most, whatever the server says."""

PAGES = 10_000
"""Pages of one answer that are read before it counts as endless; of 100 entries each, a million."""

PENDING_TTL = 600.0
"""Seconds that a user has to sign in before a pending login expires."""

RANDOM_BYTES = 32
"""Random bytes behind each state, nonce, `jti` and code verifier (SMART asks for 122 bits of state)."""

REFRESH_GRACE = 5.0
"""Seconds after which a refresh token is not tried again: no server forgives a repetition for longer."""

RENEWAL_LEAD = 60.0
"""Seconds before its end that a token is renewed, at most."""

RENEWAL_LEAD_SHARE = 0.1
"""The share of a token's lifetime that renewal may cost: a token of one minute is renewed 6 seconds early."""

RETRY_AFTER_MAX = 60.0
"""Seconds that a server may ask to wait; told to wait longer, we tell the caller instead."""

RETRY_ATTEMPTS = 3
"""Attempts at one request, the first included, where repeating it does no harm."""

RETRY_PAUSE = 0.5
"""Seconds that the first pause between two attempts may last; each further one twice as long."""

RETRY_PAUSE_MAX = 10.0
"""Seconds that a pause between two attempts may last."""

RSA_BITS_MIN = 2048
"""Bits of the smallest RSA modulus accepted, as RFC 7518 demands."""

RSA_BITS_MAX = 8192
"""Bits of the largest RSA modulus accepted; larger ones cost seconds and gain nothing."""

STORED_BYTES = 1024 * 1024
"""Bytes that a token store takes and gives back under one key; a token with its context needs a hundredth."""

STORE_KEY_BYTES = 4 * 1024
"""Bytes of a token store's key; a full identity with a long scope fits."""

TOKEN_BYTES = 16 * 1024
"""Characters of an access or refresh token; it has to fit into a request header."""

URL_LENGTH = 2048
"""Characters of a URL that names a server or an endpoint."""

WEB_CONNECTIONS = 100
"""Connections to FHIR servers that a web app's signed-in users share."""

WEB_IDLE = 1800.0
"""Seconds after which a user of a web app who does nothing is signed out there."""

WEB_LIFETIME = 12 * 3600.0
"""Seconds after which a user of a web app signs in again, however busy: a long working day."""

WEB_PENDING = 10
"""Logins that one browser may have begun at a time; the oldest is given up for the next."""

WEB_PENDING_BROWSERS = 10_000
"""Browsers whose logins are kept in memory at a time: anybody can begin one, and each costs a few KiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    How much of a server's answer is read before it counts as hostile.

    Raise a limit for a server whose documents are honestly larger; the defaults fit every server known.

    Args:
        document_bytes: Bytes of a discovery, token, introspection or registration answer, or of a JWK Set.
        document_members: JSON members and array items in one of those.
        capability_statement_bytes: Bytes of a CapabilityStatement, which honest servers make large.
        capability_statement_members: JSON members and array items in one of those.
        json_depth: Levels of nesting in any JSON document.
    """

    document_bytes: int = DOCUMENT_BYTES
    document_members: int = DOCUMENT_MEMBERS
    capability_statement_bytes: int = 8 * 1024 * 1024
    capability_statement_members: int = 200_000
    json_depth: int = JSON_DEPTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """
    How long one request to an OAuth endpoint may take, in seconds.

    `total` is a deadline for the whole exchange: a server that sends one byte a second keeps every
    single read within its limit, and only a deadline ends that.

    Args:
        connect: To open the connection, TLS included.
        read: Between two arriving pieces of the answer.
        write: To hand over one piece of the request.
        pool: To wait for a free connection.
        total: For a whole operation, such as a refresh, with all its requests and repetitions. It begins
            when it is this operation's turn.
        discovery: For one whole discovery or JWK Set request.
    """

    connect: float = 5.0
    read: float = 10.0
    write: float = 10.0
    pool: float = 5.0
    total: float = 30.0
    discovery: float = 15.0

    def within(self, seconds: float) -> Timeouts:
        """
        Return the timeouts of a request in an operation that is half over.

        Args:
            seconds: What is left for all of it.
        """
        # Spelt out, as it is made for every request and `replace` takes five times as long.
        return Timeouts(
            connect=self.connect,
            read=self.read,
            write=self.write,
            pool=self.pool,
            total=seconds,
            discovery=min(seconds, self.discovery),
        )
