"""`keygen` and `jwks`: making private keys, and showing their public halves."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from smart_async.cli.options import Json, KeyFiles, new_passphrase, passphrase
from smart_async.cli.output import note, print_json
from smart_async.cli.progress import waiting
from smart_async.errors import ConfigurationError
from smart_async.files import load_signing_key, write_private_key
from smart_async.keys import SigningKey, public_jwks
from smart_async.messages import Finding

__all__ = ("add_to", "jwks", "keygen", "read_key")

_RSA_BITS = (3072, 4096)


class Algorithm(StrEnum):
    """The two signature algorithms that SMART servers take."""

    ES384 = "ES384"
    RS384 = "RS384"


def add_to(app: typer.Typer) -> None:
    """Add these commands to *app*."""
    _ = app.command()(keygen)
    _ = app.command()(jwks)


def keygen(
    out: Annotated[Path, typer.Option("--out", help="File for the private key (mode 0600).", metavar="F")],
    alg: Annotated[Algorithm, typer.Option(help="What it will sign with.")] = Algorithm.ES384,
    kid: Annotated[
        str | None, typer.Option(help="The key's id; its thumbprint by default.", envvar="SMART_KEY_ID")
    ] = None,
    key_size: Annotated[
        int | None, typer.Option(help="Bits of an RS384 key: 3072 (the default) or 4096.", metavar="BITS")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite F if it is there.")] = False,
    passphrase_prompt: Annotated[
        bool,
        typer.Option(
            "--passphrase-prompt",
            help="Ask for a passphrase and encrypt the file. SMART_KEY_PASSPHRASE, if set, does it unasked.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """
    Make a private key in the file F (of --out F), and print its public JWK Set, to register with a server.

    SMART servers take ES384 and RS384 (--alg).
    """
    size = _key_size(alg, key_size)
    secret = new_passphrase(ask=passphrase_prompt)
    with waiting("Making a key…", quiet=json):
        key = SigningKey.generate(alg.value, kid=kid, key_size=size)
    write_private_key(out, key, passphrase=secret, overwrite=force)
    print_json(public_jwks([key]))
    if not json:
        how = "encrypted" if secret else "not encrypted"
        note(f"Private key ({alg.value}, kid {key.kid}) written to {out}, mode 0600, {how}. Keep it secret.")
        note("The JWK Set on stdout is public: register it, or the https URL where you serve it.")


def jwks(
    files: KeyFiles,
    kid: Annotated[
        list[str] | None,
        typer.Option(
            help="The id of each key, in the order of the files; by default its JWK's, or its thumbprint.",
            envvar="SMART_KEY_ID",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Print the public JWK Set of private keys, safe to publish. Give two keys while you rotate."""
    kids = kid or []
    if kids and len(kids) != len(files):
        raise ConfigurationError(
            f"There are {len(files)} key files and {len(kids)} values for --kid.",
            field="kid",
            advice="Give --kid once for each file, in the same order, or not at all.",
        )
    findings: list[Finding] = []
    names: list[str | None] = [*kids] or [None] * len(files)
    document: dict[str, Any] = public_jwks(
        [read_key(path, name, findings) for path, name in zip(files, names, strict=True)]
    )
    print_json(document)
    if not json:
        for finding in findings:
            note(str(finding))


def read_key(path: Path, kid: str | None, findings: list[Finding], alg: str | None = None) -> SigningKey:
    """
    Return the key in the file *path*, asking for its passphrase if it needs one.

    Args:
        path: The file.
        kid: The key's id.
        findings: A list to which remarks about the file are added.
        alg: The algorithm to sign with.

    Raises:
        ConfigurationError: If there is no usable key in it.
    """
    return load_signing_key(path, kid=kid, passphrase=passphrase, algorithm=alg, findings=findings)


def _key_size(alg: Algorithm, bits: int | None) -> int:
    if alg is Algorithm.ES384 and bits is not None:
        raise ConfigurationError(
            "--key-size is for RS384; an ES384 key is always on the curve P-384.", field="key_size"
        )
    if bits is not None and bits not in _RSA_BITS:
        raise ConfigurationError(
            f"--key-size is 3072 or 4096, not {bits}.",
            field="key_size",
            advice="3072 is a good size for an RSA key.",
        )
    return bits or _RSA_BITS[0]
