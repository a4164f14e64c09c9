"""`sandbox`: the sandbox EHR on a loopback port, with a client registered, until it is stopped."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from smart_async._values import dataclass
from smart_async.cli.options import Json
from smart_async.cli.output import console, print_json
from smart_async.cli.tables import heading, members_table
from smart_async.errors import ConfigurationError, ProtocolError
from smart_async.files import write_private_key
from smart_async.keys import SigningKey, public_jwks
from smart_async.limits import DOCUMENT_BYTES
from smart_async.messages import JSONObject, strict_loads

if TYPE_CHECKING:
    from smart_async.sandbox import Sandbox, SandboxClient

__all__ = ("add_to", "sandbox")

_CLIENT_ID = "demo-client"
_REDIRECT_URI = "http://127.0.0.1:5000/callback"
_KID = "demo-key"
_NOTICE = "For tests and learning on this machine, not for production. All data is invented."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Keys:
    """Where the client's public keys are, and the private one if it was made here."""

    jwks: JSONObject | None = None
    jwks_uri: str | None = None
    private: Path | None = None


def add_to(app: typer.Typer) -> None:
    """Add this command to *app*."""
    _ = app.command()(sandbox)


def sandbox(
    port: Annotated[int, typer.Option(help="The port on 127.0.0.1; 0 takes a free one.")] = 8080,
    client_id: Annotated[
        str, typer.Option(help="Register this client.", metavar="ID", envvar="SMART_CLIENT_ID")
    ] = _CLIENT_ID,
    jwks: Annotated[
        Path | None, typer.Option(help="File with the client's public JWK Set.", metavar="FILE")
    ] = None,
    jwks_uri: Annotated[
        str | None, typer.Option(help="URL of the client's public JWK Set.", metavar="URL")
    ] = None,
    redirect_uri: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Where logins come back to; may be repeated. {_REDIRECT_URI} by default.", metavar="URL"
        ),
    ] = None,
    launch_url: Annotated[
        str | None, typer.Option(help="Where the launcher starts the app by default.", metavar="URL")
    ] = None,
    scope: Annotated[
        str | None,
        typer.Option(help="What the client may ask for at most; everything by default.", metavar="S"),
    ] = None,
    auto_consent: Annotated[
        bool, typer.Option("--auto-consent", help="Sign in and agree without asking, for scripts.")
    ] = False,
    json: Json = False,
) -> None:
    """
    Serve a SMART EHR with invented patients on 127.0.0.1, for your own app to talk to.

    In a browser it has a launcher, a sign-in with consent, faults to choose, and an inspector of requests.

    It judges requests strictly and says which rule was broken. Without --jwks and --jwks-uri it makes a key
    for the client, kept in a temporary folder until it stops. Not for production.
    """
    from smart_async.sandbox import Sandbox, serve

    with ExitStack() as stack:
        stop = stack.enter_context(_stop_signal())
        keys = _keys(jwks, jwks_uri, stack)
        ehr = Sandbox(auto_consent=auto_consent)
        client = ehr.register_client(
            client_id=client_id,
            redirect_uris=redirect_uri or [_REDIRECT_URI],
            jwks=keys.jwks,
            jwks_uri=keys.jwks_uri,
            scope=scope,
            launch_url=launch_url,
        )
        _ = stack.enter_context(serve(ehr, port=port))
        if json:
            print_json(_members(ehr, client, keys, auto_consent=auto_consent))
        else:
            _show(ehr, client, keys)
        _wait(stop)


@contextmanager
def _stop_signal() -> Generator[threading.Event, None, None]:
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's interface
        stop.set()

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield stop
    finally:
        _ = signal.signal(signal.SIGTERM, before)


def _wait(stop: threading.Event) -> None:
    while not stop.wait(0.5):  # in slices: on Windows Ctrl-C does not end a wait
        pass


def _keys(jwks: Path | None, jwks_uri: str | None, stack: ExitStack) -> _Keys:
    if jwks is not None:
        return _Keys(jwks=_read_jwks(jwks), jwks_uri=jwks_uri)
    if jwks_uri is not None:
        return _Keys(jwks_uri=jwks_uri)
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="smart-async-sandbox-")))
    key = SigningKey.generate("ES384", kid=_KID)
    write_private_key(folder / "key.pem", key)
    return _Keys(jwks=dict(public_jwks([key])), private=folder / "key.pem")


def _read_jwks(path: Path) -> JSONObject:
    try:
        with path.open("rb") as file:
            return dict(strict_loads(file.read(DOCUMENT_BYTES + 1)))
    except OSError as exc:
        reason = exc.strerror or type(exc).__name__
        raise ConfigurationError(f"The JWK Set {path} cannot be read: {reason}.", field="jwks") from None
    except (ProtocolError, TypeError, ValueError):
        raise ConfigurationError(
            f"The file {path} is no JWK Set, which is a JSON object.",
            field="jwks",
            advice="Make one with: smart-async jwks KEYFILE > FILE",
        ) from None


def _token_line(ehr: Sandbox, client: SandboxClient, keys: _Keys) -> str:
    words = ["smart-async", "token", "--fhir-base", ehr.fhir_base, "--allow-insecure-loopback"]
    words += ["--client-id", client.client_id, "--key", str(keys.private or "KEYFILE")]
    words += ["--kid", str(client.jwks["keys"][0]["kid"]) if client.jwks else "KID"]
    return shlex.join([*words, "--scope", "system/Patient.rs"])


def _members(ehr: Sandbox, client: SandboxClient, keys: _Keys, *, auto_consent: bool) -> dict[str, Any]:
    return {
        "notice": _NOTICE,
        "base_url": ehr.base_url,
        "fhir_base": ehr.fhir_base,
        "token_endpoint": ehr.token_endpoint,
        "client_id": client.client_id,
        "redirect_uris": list(client.redirect_uris),
        "launch_url": client.launch_url,
        "auto_consent": auto_consent,
        "scope": " ".join(client.scopes),
        "grant_types": list(client.grant_types),
        "jwks_uri": client.jwks_uri,
        "jwks": client.jwks,
        "key_file": None if keys.private is None else str(keys.private),
        "patients": list(ehr.patients),
        "try": _token_line(ehr, client, keys),
    }


def _show(ehr: Sandbox, client: SandboxClient, keys: _Keys) -> None:
    screen = console()
    screen.print(heading(f"Sandbox EHR at {ehr.base_url}"))
    screen.print(f"  {_NOTICE}\n")
    kids = [str(key["kid"]) for key in client.jwks["keys"]] if client.jwks else []
    members = {
        "FHIR base": ehr.fhir_base,
        "client id": client.client_id,
        "redirect URIs": ", ".join(client.redirect_uris),
        "launch URL": client.launch_url,
        "keys": client.jwks_uri or ", ".join(kids),
        "private key": keys.private and f"{keys.private} (made for this run, gone when it stops)",
        "may ask for": " ".join(client.scopes),
        "patients": ", ".join(ehr.patients),
    }
    screen.print(members_table({name: str(value) for name, value in members.items() if value}))
    screen.print(heading("\nTry it in a second terminal"))
    # Unbroken, so that a copied line works.
    screen.print(_token_line(ehr, client, keys), soft_wrap=True)
    screen.print(f"smart-async discover {ehr.fhir_base} --allow-insecure-loopback", soft_wrap=True)
    screen.print(f"\nOpen {ehr.base_url} in a browser to launch apps and see requests. Ctrl-C stops it.")
    sys.stdout.flush()
