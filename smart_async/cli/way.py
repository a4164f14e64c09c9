"""How the server is reached: the options of every command that sends something, and the client they make."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from smart_async._values import dataclass
from smart_async.cli.options import (
    AllowInsecureLoopback,
    CaFile,
    ClientCert,
    ClientKey,
    FollowRedirects,
    HttpLibrary,
    Library,
    Proxy,
    Timeout,
    TrustEnv,
    client_certificate,
    timeouts,
)
from smart_async.clients import SmartClient
from smart_async.interfaces import TokenStore
from smart_async.smart.config import SmartConfig
from smart_async.transports import open_transport

__all__ = ("Way",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """
    The way to the server.

    Args:
        transport: The HTTP library.
        allow_insecure_loopback: Accept plain http for loopback hosts.
        follow_redirects: Follow redirects when discovering.
        proxy: URL of a proxy.
        ca_file: The certificates to trust.
        client_cert: The client's own certificate, for mutual TLS.
        client_key: Its private key, if that is a file of its own.
        trust_env: Let proxy and certificate variables of the environment count.
        timeout: Seconds that one request may take.
    """

    transport: HttpLibrary = Library.HTTPX
    allow_insecure_loopback: AllowInsecureLoopback = False
    follow_redirects: FollowRedirects = False
    proxy: Proxy = None
    ca_file: CaFile = None
    client_cert: ClientCert = None
    client_key: ClientKey = None
    trust_env: TrustEnv = False
    timeout: Timeout = None

    @contextmanager
    def client(self, config: SmartConfig, store: TokenStore | None = None) -> Generator[SmartClient]:
        """
        Return a client that goes this way, until the block ends.

        Args:
            config: The registration.
            store: Where its sessions keep their tokens.
        """
        transport = open_transport(
            self.transport.value,
            proxy=self.proxy,
            ca_file=self.ca_file,
            cert=client_certificate(self.client_cert, self.client_key),
            trust_env=self.trust_env,
        )
        try:
            # Closing it waits for a renewal in progress, also when the user has pressed Ctrl-C.
            with SmartClient(
                config, transport=transport, timeouts=timeouts(self.timeout), store=store
            ) as client:
                yield client
        finally:
            transport.close()
