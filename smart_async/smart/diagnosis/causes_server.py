"""Causes on the server's side and on the way there: discovery, the token endpoint, TLS, what is on offer."""

from __future__ import annotations

__all__ = ("SERVER_CAUSES",)

_OPERATOR = "Tell the server's operator."

SERVER_CAUSES: dict[str, tuple[int, str, str, str]] = {
    # The way there.
    "host-unknown": (
        97,
        "The server's host name cannot be resolved.",
        "No such name is known to the DNS that this machine asks.",
        "Check the spelling of the host, and whether it needs a VPN or a proxy.",
    ),
    "proxy-needed": (
        97,
        "The server cannot be reached directly; a proxy seems to be needed.",
        "This machine's environment names a proxy; it was not used, since that has to be asked for.",
        "Name the proxy with --proxy URL, or let the environment count with --trust-env.",
    ),
    "proxy-failed": (
        97,
        "The proxy does not open a way to the server.",
        "It cannot be reached, asks for a password, or does not allow this host.",
        "Check the proxy's address, user name and password, and that it allows the host.",
    ),
    "tls-expired": (
        96,
        "The server's TLS certificate has expired.",
        "No client that checks certificates connects to it.",
        f"{_OPERATOR} If it should still be valid, check this machine's clock.",
    ),
    "tls-name": (
        96,
        "The server's TLS certificate is for another host name.",
        "The host in the URL is not one of the names in the certificate.",
        "Use the host name that the certificate is for; else tell the server's operator.",
    ),
    "tls-self-signed": (
        96,
        "The server's TLS certificate is self-signed.",
        "Nobody vouches for it.",
        "If that is meant, name the certificate with --ca-file; else tell the server's operator.",
    ),
    "tls-untrusted": (
        96,
        "The server's TLS certificate comes from an authority that is not trusted here.",
        "It is a private one, a proxy that looks into TLS, or the intermediate certificates are missing.",
        "Name the authority's certificate with --ca-file; else tell the server's operator.",
    ),
    "tls-old": (
        96,
        "The server speaks no TLS version that is still safe.",
        "TLS 1.2 or later is needed.",
        f"{_OPERATOR}",
    ),
    "tls-client-certificate": (
        96,
        "The server wants a client certificate (mutual TLS), and got none that it accepts.",
        "It ends the connection before it looks at the request.",
        "Name one with --client-cert and --client-key; the server's operator says from which authority.",
    ),
    "tls-failed": (
        96,
        "No secure connection can be agreed with the server.",
        "The port speaks no TLS, an old version of it, or something in between breaks it off.",
        "Check the port, that the server offers TLS 1.2 or later, and whether a proxy is needed.",
    ),
    "server-unreachable": (
        95,
        "The server cannot be reached.",
        "No connection could be opened, or no answer came in time.",
        "Check host, port and network; a firewall, an allow-list or a missing proxy (--proxy) are usual.",
    ),
    "no-answer": (
        95,
        "The server takes the request, and no usable answer arrives.",
        "It is slow, breaks off, or answers with something that is not HTTP or far too large.",
        "Try again, with a higher --timeout too; then tell the operator the time. A proxy may be in between.",
    ),
    # The discovery document.
    "fhir-base-path": (
        94,
        "The FHIR base URL is not right: its path leads to no SMART document, and another one does.",
        "The server's document was found under another path of the same host.",
        "Use the FHIR base that was found.",
    ),
    "discovery-missing": (
        93,
        "There is no SMART configuration under this FHIR base URL.",
        "The FHIR base is wrong (host, path, version or tenant), or the server offers no SMART there.",
        "Check the FHIR base, path included; else configure token_endpoint and discovery='off'.",
    ),
    "discovery-refused": (
        93,
        "The server does not show its SMART configuration without authentication.",
        "It must be open to everybody; a gateway in front of it seems to guard it.",
        "Check the path; else tell the operator, or configure token_endpoint and discovery='off'.",
    ),
    "discovery-redirect": (
        93,
        "Discovery is redirected.",
        "Redirects are not followed, since they decide where credentials go.",
        "Configure the FHIR base that it leads to, or allow it with --follow-redirects.",
    ),
    "discovery-failing": (
        93,
        "The server fails when it is asked for its SMART configuration.",
        "It answers with a server error.",
        "Try again later; check that the tenant in the path is right.",
    ),
    "discovery-html": (
        93,
        "The FHIR base URL answers with a web page instead of a SMART configuration.",
        "It is the address of a portal, of documentation or of a single-page app.",
        "Use the address of the API, not of the portal.",
    ),
    "discovery-invalid": (
        93,
        "The server's SMART configuration is not valid JSON, or not an object.",
        "Nothing can be concluded from it.",
        f"{_OPERATOR} Until then configure token_endpoint and discovery='off'.",
    ),
    "discovery-strict": (
        93,
        "The server's SMART configuration breaks the specification, and strict=True refuses it.",
        "Without strict such findings are only noted.",
        "Leave out strict=True to work with this server all the same.",
    ),
    "token-endpoint-missing": (
        92,
        "The server's SMART configuration names no usable token endpoint.",
        "So nobody knows where to ask for a token.",
        "Check the FHIR base; else tell the operator, or configure token_endpoint.",
    ),
    "token-endpoint-http": (
        92,
        "The server's SMART configuration names a token endpoint with plain http.",
        "Nothing is sent there, since credentials and tokens could be read on the way.",
        f"{_OPERATOR} The endpoint must be https.",
    ),
    # The token endpoint.
    "token-endpoint-host": (
        91,
        "The token endpoint is on another host than everything else that the server names.",
        "One URL of the document is out of line, which is a mistake there or an attack.",
        "Compare it with the server's documentation; if it is wrong, tell the operator.",
    ),
    "token-endpoint-override": (
        90,
        "The configured token_endpoint is not the one that the server names.",
        "The assertion is made out to the configured URL, so the server may refuse it.",
        "Leave token_endpoint out, unless the server documents this very URL.",
    ),
    "token-endpoint-missing-page": (
        90,
        "The token endpoint does not exist (404).",
        "Its URL is wrong, or belongs to another version or tenant.",
        "Compare it with the server's documentation, a trailing slash included.",
    ),
    "token-endpoint-method": (
        90,
        "The token endpoint accepts no POST (405).",
        "So it is no token endpoint, or the slash at its end makes the difference.",
        "Compare the URL with the server's documentation, a trailing slash included.",
    ),
    "token-endpoint-redirect": (
        90,
        "The token endpoint redirects.",
        "Credentials are never sent along a redirect.",
        "The document should name the final URL; tell the operator, or set token_endpoint to it.",
    ),
    "token-endpoint-html": (
        89,
        "The token endpoint answers with a web page.",
        "A portal, a login page or a firewall stands in front of it.",
        "Check the URL; if it is right, ask the operator to let this machine's address through.",
    ),
    "rate-limited": (
        88,
        "The server is being asked too often (429).",
        "It refuses everything for a while, whoever asks.",
        "Wait as long as it says, keep tokens until they expire, and do not ask for one per request.",
    ),
    "server-failing": (
        88,
        "The server, or something in front of it, is failing.",
        "It answers with a server error, which some servers do for bad clients, too.",
        "Try again later, and give its operator the correlation id.",
    ),
    "token-response-broken": (
        66,
        "The server answers the token request in a way that cannot be used.",
        "It broke the protocol.",
        f"{_OPERATOR}",
    ),
    "request-refused": (
        40,
        "The server refuses the token request and does not say why.",
        "The answer holds no reason that could be read.",
        "Give the operator the client id, the time and the correlation id.",
    ),
    "blocked": (
        40,
        "Something in front of the server refuses the request (403).",
        "A firewall or gateway answers in its place, often because this address is not on its list.",
        "Ask the operator to allow this machine's address.",
    ),
    # What is on offer.
    "algorithm": (
        68,
        "The server does not accept the algorithm that the key signs with.",
        "Its list of signing algorithms lacks it.",
        "Register and use a key of a kind that the server lists: RSA for RS384, P-384 for ES384.",
    ),
    "auth-method": (
        65,
        "The server does not list private_key_jwt among its ways to authenticate.",
        "So it may accept client secrets only.",
        "Ask the operator whether it takes public keys; else register a secret and use that.",
    ),
    "grant-type": (
        64,
        "The server does not offer the grant type client_credentials.",
        "So there are no tokens for clients without a user (Backend Services) here.",
        "Ask the operator whether Backend Services are offered, perhaps at another address.",
    ),
    "grant-not-allowed": (
        64,
        "The client is not registered for this grant type.",
        "The server knows the client and does not let it have tokens for itself.",
        "Have client_credentials (Backend Services) added to the registration.",
    ),
    "vendor-preset": (
        20,
        "The server is of a make that wants things done otherwise.",
        "There is a preset for it.",
        "Set vendor= in the configuration.",
    ),
}
