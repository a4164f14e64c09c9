"""A token that the user has: from standard input or a file, never from the command line."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from smart_async.cli.options import has_terminal
from smart_async.cli.private import read_private, read_stdin
from smart_async.clients import SmartClient
from smart_async.errors import ConfigurationError
from smart_async.messages import Secret
from smart_async.smart.binding import Binding
from smart_async.smart.launch import LaunchContext
from smart_async.smart.scopes import Scopes
from smart_async.smart.tokens import Token, is_token

__all__ = ("TokenFile", "given_token", "read_token")

_BEARER = "authorization: bearer "

TokenFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="File (mode 0600) with the token, as text or as Token.to_json() wrote it; - is stdin.",
        metavar="F",
        envvar="SMART_TOKEN_FILE",
    ),
]


def given_token(file: Path | None) -> Secret | None:
    """
    Return the text of the token that was given, still to be read.

    Args:
        file: The file of `--token-file`; None for standard input, if that is no terminal.

    Returns:
        The text, or None if nothing was given.

    Raises:
        ConfigurationError: If the file cannot be read.
    """
    if file is not None and str(file) != "-":
        text = read_private(file, field="token_file")
    elif file is None and (sys.stdin is None or has_terminal()):
        return None
    else:
        text = read_stdin(field="token_file")
    return Secret(text.strip()) if text.strip() else None


def read_token(client: SmartClient, text: Secret) -> Token:
    """
    Return the token that *text* is.

    Args:
        client: Whose it is. Of a bare token that is taken on trust, and the server knows.
        text: A token, a header field with one, or what `Token.to_json` returned.

    Raises:
        ConfigurationError: If it is nothing of the kind.
    """
    if text.reveal().startswith("{"):
        return Token.from_json(text.reveal())
    bare = text
    if text.reveal().lower().startswith(_BEARER):  # what --header printed
        bare = Secret(text.reveal()[len(_BEARER) :].strip())
    if not is_token(bare):
        raise ConfigurationError(
            "What was given is no token: it is too long, or holds blanks.",
            field="token_file",
            advice="Give the bare access or refresh token, or what Token.to_json() wrote.",
        )
    return Token(
        access_token=bare,
        expires_at=None,
        refresh_token=None,
        scopes=Scopes(),
        launch_scopes=Scopes(),
        context=LaunchContext(),
        raw={},
        binding=Binding.of(client.config, client.discover()),
        issued_at=time.time(),
    )
