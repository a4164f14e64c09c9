"""
Which issuer owns which token endpoint, as far as the registrations of one app know.

A server that copies another's token endpoint into its own document has the app's proof of identity made out
to that other server. The proof never goes to the copier; yet two issuers that share a token endpoint and a
client id are one registration too many, and the second one to say so is refused.

Spec: RFC 9700, section 4.4 (mix-up); the audience injection of draft-ietf-oauth-rfc7523bis.
"""

from __future__ import annotations

from smart_async.errors import DiscoveryError
from smart_async.smart.metadata import SmartMetadata

__all__ = ("KnownIssuers",)


class KnownIssuers:
    """
    Remember the issuer of each token endpoint for each client id.

    One object is shared by all clients of an app, and by their threads.
    """

    __slots__ = ("_issuers",)

    def __init__(self) -> None:
        self._issuers: dict[tuple[str, str], str] = {}

    def check(self, client_id: str, metadata: SmartMetadata) -> None:
        """
        Refuse a document whose token endpoint belongs to another issuer already.

        A document that names no issuer claims nothing, and is let through.

        Args:
            client_id: The client that is registered there.
            metadata: What the server says of itself.

        Raises:
            DiscoveryError: If another issuer was found first.
        """
        if metadata.issuer is None:
            return
        known = self._issuers.setdefault((client_id, metadata.token_endpoint), metadata.issuer)
        if known != metadata.issuer:
            raise DiscoveryError(
                "The server claims a token endpoint that another registration of this client id has under "
                "another issuer.",
                endpoint=metadata.token_endpoint,
                status=200,
                advice="Register with each server under a client id and a key of its own.",
            )
