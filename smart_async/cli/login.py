"""`login`: a token for a user, who signs in with the browser on this machine."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from smart_async.cli.browser import check_page, open_page
from smart_async.cli.groups import expanded
from smart_async.cli.issued import Output
from smart_async.cli.keeping import Fresh, Keeping, Kept, usable_token
from smart_async.cli.listener import CallbackListener, listening
from smart_async.cli.loopback import LISTENING
from smart_async.cli.output import note
from smart_async.cli.progress import waiting
from smart_async.cli.way import Way
from smart_async.cli.who import Who
from smart_async.clients import SmartClient
from smart_async.errors import ConfigurationError, SessionEndedError
from smart_async.limits import PENDING_TTL
from smart_async.messages import Finding
from smart_async.smart.config import SmartConfig
from smart_async.smart.tokens import Token
from smart_async.stores import FileStore

__all__ = ("add_to", "login")

_SCOPE = "openid fhirUser launch/patient patient/*.rs offline_access"
_WAIT = 120.0
_LOGIN = "Signing in"
_HELP = f"""
Sign a user in with the browser on this machine, and get a token for that user.

The browser comes back to a listener on 127.0.0.1 that takes one answer and is gone after two minutes.
Register its URL with the server: {LISTENING}, with a port of your choice if the server compares ports.

The token is kept in the store, for its owner alone to read. While it works, a second call sends nothing; when
it has expired, it is renewed without the browser, for as long as the server allows. Say --fresh to sign in
again all the same, and --no-store to keep nothing.

Without a key and without a secret it is a public client. A secret is taken from SMART_CLIENT_SECRET or asked
for, never from the command line, where every user of this machine could read it.
"""


def add_to(app: typer.Typer) -> None:
    """Add this command to *app*."""
    _ = app.command(help=_HELP)(expanded(login))


def login(
    who: Who,
    way: Way,
    output: Output,
    keeping: Keeping,
    scope: Annotated[
        str, typer.Option(help="Scopes, separated by blanks.", metavar="S", envvar="SMART_SCOPE")
    ] = _SCOPE,
    redirect_uri: Annotated[
        str | None,
        typer.Option(
            help=f"The registered redirect URI on loopback; by default {LISTENING} with the port taken.",
            metavar="URL",
            envvar="SMART_REDIRECT_URI",
            rich_help_panel=_LOGIN,
        ),
    ] = None,
    port: Annotated[
        int,
        typer.Option(
            help="The port to listen on, if the redirect URI names none; 0 takes a free one.",
            min=0,
            max=65535,
            rich_help_panel=_LOGIN,
        ),
    ] = 0,
    browser: Annotated[
        bool,
        typer.Option(
            "--browser/--no-browser",
            help="Open the browser, or print the URL on stderr for you to open.",
            rich_help_panel=_LOGIN,
        ),
    ] = True,
    login_timeout: Annotated[
        float,
        typer.Option(
            help="Seconds to wait for the browser to come back, at most 600.",
            metavar="SECONDS",
            rich_help_panel=_LOGIN,
        ),
    ] = _WAIT,
    fresh: Fresh = False,
) -> None:
    """Sign a user in, and get a token for that user."""
    output.check()
    _check_timeout(login_timeout)
    findings: list[Finding] = []
    store = keeping.open(findings)
    config = who.config(way, findings, scope=scope)
    issued = None if store is None or fresh else _kept_token(way, config, store, quiet=output.json)
    if issued is None:
        given = redirect_uri or next(iter(who.redirect_uris()), None)
        with listening(given, port) as listener:
            config = replace(config, redirect_uri=listener.redirect_uri)
            with way.client(config, store) as client:
                issued = _sign_in(client, listener, findings, browser, login_timeout, quiet=output.json)
                if store is not None:
                    issued = _keep(client, store, issued)
    output.show(issued, [*findings, *issued.findings])


def _kept_token(way: Way, config: SmartConfig, store: FileStore, *, quiet: bool) -> Token | None:
    kept = Kept(store, config)
    with way.client(config, store) as client:
        session = kept.find(client, "login", config.scope)
        if session is None:
            return None
        try:
            with waiting("Renewing the token…", quiet=quiet):
                return usable_token(session)
        except SessionEndedError:
            note("The last login has ended, so you have to sign in again.")
            session.delete()
            return None


def _keep(client: SmartClient, store: FileStore, issued: Token) -> Token:
    session = client.session(issued)
    issued = session.get_token()  # what a session gives out is stored
    Kept(store, client.config).keep("login", client.config.scope, session)
    return issued


def _sign_in(
    client: SmartClient,
    listener: CallbackListener,
    findings: list[Finding],
    browser: bool,
    seconds: float,
    *,
    quiet: bool,
) -> Token:
    config = client.config
    with waiting("Asking the server where to sign in…", quiet=quiet):
        pending = client.authorize()
    findings.extend(pending.findings)
    check_page(
        pending.authorization_endpoint,
        fhir_base=config.fhir_base,
        allow_insecure_loopback=config.allow_insecure_loopback,
    )
    _send_browser(pending.url, browser=browser)
    with waiting("Waiting for you to sign in, in the browser…", quiet=quiet):
        callback = listener.wait(seconds)
    with waiting("Fetching the token…", quiet=quiet):
        return client.exchange_code(pending, callback)


def _send_browser(url: str, *, browser: bool) -> None:
    if browser and open_page(url):
        note("Sign in with the browser that has opened. If none has, stop this and use --no-browser.")
    else:
        note(f"Open this URL in a browser on this machine to sign in:\n{url}")


def _check_timeout(seconds: float) -> None:
    if not 0 < seconds <= PENDING_TTL:
        raise ConfigurationError(
            f"--login-timeout must be a number of seconds above 0, at most {PENDING_TTL:g}.",
            field="login_timeout",
            advice="A login expires after that.",
        )
