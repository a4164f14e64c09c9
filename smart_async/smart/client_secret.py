"""
The client types without a key of their own: a shared secret, and none at all.

Prefer `PrivateKeyJWT` where the server offers it: a secret is known to two sides, and a public client
proves nothing beyond having started the login.

Spec: SMART App Launch 2.2, client-confidential-symmetric and client-public; RFC 6749, section 2.3.1.
"""

from __future__ import annotations

import re
from base64 import b64encode
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote_plus

from smart_async._values import dataclass
from smart_async.errors import ConfigurationError
from smart_async.flow import Flow
from smart_async.messages import Secret, discreet_init
from smart_async.smart.client_auth import Authentication

if TYPE_CHECKING:
    from smart_async.smart.config import SmartConfig
    from smart_async.smart.entropy import Entropy
    from smart_async.smart.metadata import SmartMetadata

# ruff: noqa: ARG002  # both take what every client authentication takes, and need less

__all__ = ("ClientSecret", "PublicClient")

_UNSENDABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class PublicClient:
    """
    Do not authenticate: for apps that cannot keep a secret, such as native ones.

    The client names itself with `client_id` in each request, and PKCE proves that whoever redeems the code
    is who asked for it.

    Spec: SMART App Launch 2.2, client-public.
    """

    def check(self, config: SmartConfig) -> None:
        """Accept any *config*; Backend Services refuse a public client when they are used."""

    def authenticate(
        self, config: SmartConfig, metadata: SmartMetadata, audience: str, *, entropy: Entropy
    ) -> Flow[Authentication]:
        """Return the `client_id` field."""
        yield from ()  # a flow without steps is still a flow
        return Authentication(fields=(("client_id", config.client_id),))


@discreet_init
@dataclass(frozen=True, slots=True)
class ClientSecret:
    """
    Authenticate with a secret shared with the server.

    Args:
        secret: The secret, from the registration.
        method: `"basic"` sends it in the Authorization header, as SMART says; `"post"` sends it in the
            form, as some servers insist.
        basic_encoding: `"literal"` joins id and secret as they are, as SMART's text and many servers do;
            `"form"` form-encodes both first, as RFC 6749 and Epic do. They agree for letters, digits and
            `-._`.

    Raises:
        ConfigurationError: If the secret is empty, or an option is not one of these.

    Spec: SMART App Launch 2.2, client-confidential-symmetric; RFC 6749, section 2.3.1.

    >>> ClientSecret("m0ss-GREEN-kettle")
    ClientSecret(secret=<Secret: call .reveal()>, method='basic', basic_encoding='literal')
    """

    secret: Secret | str
    method: Literal["basic", "post"] = "basic"
    basic_encoding: Literal["literal", "form"] = "literal"

    def __post_init__(self) -> None:
        """Wrap the secret, so that no repr shows it, and check the options."""
        if isinstance(self.secret, str):
            object.__setattr__(self, "secret", Secret(self.secret))
        if not isinstance(self.secret, Secret) or not self.secret or _UNSENDABLE.search(self.secret.reveal()):
            raise ConfigurationError(
                "The client secret must be the non-empty text from the registration.", field="client_auth"
            )
        for field, value, known in (
            ("method", self.method, ("basic", "post")),
            ("basic_encoding", self.basic_encoding, ("literal", "form")),
        ):
            if value not in known:
                raise ConfigurationError(f"{field} must be {known[0]!r} or {known[1]!r}.", field=field)

    def check(self, config: SmartConfig) -> None:
        """Refuse a client id that the literal encoding would cut in two."""
        if self.method == "basic" and self.basic_encoding == "literal" and ":" in config.client_id:
            raise ConfigurationError(
                "client_id holds a colon, where Basic authentication separates id and secret.",
                field="client_id",
                advice='Use basic_encoding="form" or method="post", whichever the server accepts.',
            )

    def authenticate(
        self, config: SmartConfig, metadata: SmartMetadata, audience: str, *, entropy: Entropy
    ) -> Flow[Authentication]:
        """Return the Authorization header, or the two form fields."""
        yield from ()
        named = (("client_id", config.client_id),)
        if self.method == "post":
            return Authentication(fields=(*named, ("client_secret", self._plain)))
        return Authentication(
            headers=(("Authorization", f"Basic {self._basic(config.client_id)}"),),
            fields=named if config.client_id_in_body else (),
        )

    @property
    def _plain(self) -> str:
        return self.secret.reveal() if isinstance(self.secret, Secret) else self.secret

    def _basic(self, client_id: str) -> str:
        parts = (client_id, self._plain)
        if self.basic_encoding == "form":
            parts = (quote_plus(client_id), quote_plus(self._plain))
        return b64encode(":".join(parts).encode("utf-8")).decode("ascii")
