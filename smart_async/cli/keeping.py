"""
Tokens that are kept from one call of the command line to the next, and renewed by the library's sessions.

A session is found in the store by a key that takes a look at the server to know. A second call is to send
nothing at all, so an entry of its own says under which keys the sessions of a client are.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

from smart_async._values import dataclass
from smart_async.clients import SmartClient
from smart_async.clients._session import SmartSession
from smart_async.errors import ConfigurationError, ProtocolError, SessionEndedError, StoreError
from smart_async.interfaces import TokenStore
from smart_async.messages import Finding, as_object, strict_loads
from smart_async.smart.config import SmartConfig
from smart_async.smart.tokens import Token
from smart_async.stores import FileStore

__all__ = (
    "Fresh",
    "Keeping",
    "Kept",
    "KeptToken",
    "Kind",
    "default_folder",
    "kept_tokens",
    "only",
    "usable_token",
)

Kind: TypeAlias = Literal["login", "token"]
"""The command that made a session."""

_KEEPING = "Keeping tokens"
Fresh: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--fresh",
        help="Get a new token although the one that is kept still works.",
        rich_help_panel=_KEEPING,
    ),
]

_VERSION = 1
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """
    Where tokens are kept.

    Args:
        store: The folder; None for the user's own.
        no_store: Keep nothing, and use nothing that was kept.
    """

    store: Annotated[
        Path | None,
        typer.Option(
            help="Folder for tokens (mode 0700); smart-async/tokens in the XDG state folder by default.",
            metavar="DIR",
            envvar="SMART_TOKEN_STORE",
            rich_help_panel=_KEEPING,
        ),
    ] = None
    no_store: Annotated[
        bool,
        typer.Option(
            "--no-store",
            help="Keep nothing, and use nothing that was kept.",
            envvar="SMART_NO_STORE",
            rich_help_panel=_KEEPING,
        ),
    ] = False

    def open(self, findings: list[Finding]) -> FileStore | None:
        """
        Return the store, or None where nothing is to be kept.

        Args:
            findings: A list to which is added why nothing can be kept in the user's own folder.

        Raises:
            StoreError: If a folder was named that cannot be used.
        """
        if self.no_store:
            return None
        if self.store is not None:
            return FileStore(self.store)
        if sys.platform == "win32":  # pragma: no cover - Windows
            return None
        try:
            folder = default_folder()
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return FileStore(folder)
        except (OSError, RuntimeError, StoreError) as exc:
            # A container without a home can do without; whoever wants to be told names a folder.
            reason = exc.message if isinstance(exc, StoreError) else str(exc)
            message = f"Tokens are not kept: {reason}"
            advice = "Name a folder with --store, or say --no-store."
            findings.append(Finding(rule="token-store", severity="warning", message=message, advice=advice))
            return None


def default_folder() -> Path:
    """Return the folder for tokens in the user's XDG state folder."""
    state = os.environ.get("XDG_STATE_HOME", "")
    base = Path(state) if Path(state).is_absolute() else Path.home() / ".local" / "state"
    return base / "smart-async" / "tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptToken:
    """
    A token that was kept.

    Args:
        kept: Where.
        name: The command that got it, and the scopes that were asked for.
        session: Its session.
        token: The token, whether or not it still works.
    """

    kept: Kept
    name: str
    session: SmartSession
    token: Token

    def shares(self, token: Token) -> bool:
        """Return whether *token* has a secret in common with this one."""
        ours = (self.token.access_token, self.token.refresh_token)
        return token.access_token in ours or (token.refresh_token is not None and token.refresh_token in ours)

    def forget(self) -> None:
        """Keep it no longer."""
        self.session.delete()
        self.kept.forget(self.name)


class Kept:
    """
    The sessions of one client that are kept, by what they were asked for.

    Args:
        store: Where.
        config: The client's registration.
    """

    def __init__(self, store: TokenStore, config: SmartConfig) -> None:
        self._store = store
        parts = (config.fhir_base.removesuffix("/"), config.client_id)
        text = "".join(f"{len(part)}:{part}" for part in parts)
        self._entry = f"cli-{hashlib.sha256(text.encode()).hexdigest()}"

    def find(self, client: SmartClient, kind: Kind, scope: str) -> SmartSession | None:
        """
        Return the session that was kept, or None; nothing is sent.

        Args:
            client: The client, on the same store.
            kind: The command that made it.
            scope: The scopes that were asked for.
        """
        return self._loaded(client, _name(kind, scope))

    def tokens(self, client: SmartClient, scope: str | None) -> list[KeptToken]:
        """
        Return all tokens that were kept.

        Args:
            client: The client, on the same store.
            scope: Only those that were asked for with these scopes.
        """
        wanted = None if scope is None else {_name(kind, scope) for kind in ("login", "token")}
        names = [name for name in self._read()[0] if wanted is None or name in wanted]
        found = ((name, self._loaded(client, name)) for name in names)
        return [
            KeptToken(kept=self, name=name, session=session, token=session.token)
            for name, session in found
            if session is not None and session.token is not None
        ]

    def keep(self, kind: Kind, scope: str, session: SmartSession) -> None:
        """
        Find *session* from now on.

        Args:
            kind: The command that made it.
            scope: The scopes that were asked for.
            session: A session that has had a token.
        """
        if session.key is not None:
            self._change(_name(kind, scope), session.key)

    def forget(self, name: str) -> None:
        """Find no session any more under *name*, as a `KeptToken` says it."""
        self._change(name, None)

    def _loaded(self, client: SmartClient, name: str) -> SmartSession | None:
        key = self._read()[0].get(name)
        try:
            return None if key is None else client.load_session(key)
        except SessionEndedError:
            self.forget(name)
            return None

    def _read(self) -> tuple[dict[str, str], str | None]:
        stored = self._store.load(self._entry)
        if stored is None:
            return {}, None
        with suppress(ProtocolError):
            document = as_object(strict_loads(stored.data)) or {}
            sessions = as_object(document.get("sessions"))
            if document.get("version") == _VERSION and sessions is not None:
                return {name: key for name, key in sessions.items() if isinstance(key, str)}, stored.version
        return {}, stored.version  # of another version: it is written anew

    def _change(self, name: str, key: str | None) -> None:
        for _ in range(_ATTEMPTS):
            sessions, version = self._read()
            if sessions.get(name) == key:
                return
            _ = sessions.pop(name, None)
            changed = {**sessions, name: key} if key else sessions
            data = json.dumps({"version": _VERSION, "sessions": changed}).encode()
            if self._store.save(self._entry, data, expected=version) is not None:
                return
        raise StoreError(
            "Other calls have changed which tokens are kept, again and again.", advice="Call this one again."
        )


def _name(kind: Kind, scope: str) -> str:
    return " ".join((kind, *sorted(set(scope.split()))))


def kept_tokens(client: SmartClient, store: TokenStore | None, scope: str | None) -> list[KeptToken]:
    """Return all tokens that are kept for *client*: see `Kept.tokens`; none without a store."""
    return [] if store is None else Kept(store, client.config).tokens(client, scope)


def usable_token(session: SmartSession) -> Token:
    """
    Return the token of a session that was kept, renewed if it has expired, or could have.

    Args:
        session: The session.

    Raises:
        SmartError: As `SmartSession.get_token`.
    """
    token = session.token
    if token is None or token.expires_at is not None:
        return session.get_token()
    # It may have expired long ago: nobody here notices a refusal, as a session in a program does.
    renewable = token.refresh_token is not None or session.state.kind == "backend"
    return session.renew() if renewable else token


def only(tokens: Sequence[KeptToken]) -> KeptToken:
    """
    Return the one among *tokens*.

    Raises:
        ConfigurationError: If there is none, or more than one.
    """
    if len(tokens) == 1:
        return tokens[0]
    if tokens:
        asked = "; ".join(each.name.partition(" ")[2] for each in tokens)
        raise ConfigurationError(
            f"Several tokens are kept for this client, asked for with: {asked}.",
            field="scope",
            advice="Say which with --scope.",
        )
    raise ConfigurationError(
        "There is no token: none was given, and none is kept for this client.",
        field="token_file",
        advice="Pipe a token in, or name the file that holds it with --token-file.",
    )
