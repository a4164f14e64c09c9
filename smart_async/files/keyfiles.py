"""
Private keys in files: read with suspicion, written for nobody else to read.

A path is followed wherever it leads, because Kubernetes and many others mount secrets behind links; then the
file that was actually opened is judged. Judging before opening would judge a file that could be exchanged in
between.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias, cast

from smart_async.errors import ConfigurationError
from smart_async.keys import Passphrase, SigningKey, hidden, is_public_half, needs_passphrase
from smart_async.limits import KEY_FILE_BYTES
from smart_async.messages import Finding, discreet

__all__ = ("PassphraseSource", "load_signing_key", "write_private_key")

PassphraseSource: TypeAlias = Passphrase | Callable[[], Passphrase]
"""A passphrase, or a function that is called for it if the key turns out to be encrypted."""

_Path: TypeAlias = str | os.PathLike[str]

_POSIX = os.name == "posix"
# A FIFO is opened without waiting for its writer, and refused afterwards.
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_GROUP_READ = stat.S_IRGRP
_NOT_OWNER = stat.S_IRWXG | stat.S_IRWXO


@discreet
def load_signing_key(
    path: _Path,
    *,
    kid: str | None = None,
    passphrase: PassphraseSource | None = None,
    algorithm: str | None = None,
    findings: list[Finding] | None = None,
) -> SigningKey:
    """
    Read a signing key from a file: PEM, DER, PKCS #12, JWK or JWK Set, told apart by content.

    Args:
        path: The file. Links are followed; the file at their end is judged.
        kid: The key's id; of a JWK Set, which key.
        passphrase: What opens an encrypted key, or a function that asks for it.
        algorithm: The algorithm to sign with, if not the one SMART has for the key.
        findings: A list to which is added what is not as it should be, yet not in your hands: others can
            read the file, and it lies on a read-only mount.

    Returns:
        The key; keep it for as long as you sign.

    Raises:
        ConfigurationError: If there is no such file, it is not a plain file of yours or root's, others can
            read it, or there is not exactly one usable private key in it.
    """
    if not callable(passphrase):
        passphrase = hidden(passphrase)  # error reporters show the variables of every frame
    path = _checked(path)
    data = _read(path, [] if findings is None else findings)
    if callable(passphrase):
        passphrase = hidden(passphrase()) if needs_passphrase(data) else None
    try:
        return SigningKey.from_bytes(data, kid=kid, passphrase=passphrase, algorithm=algorithm)
    except ConfigurationError as exc:
        raise ConfigurationError(
            f"The key file {path} cannot be used: {exc.message}",
            field=exc.field,
            advice=exc.advice,
        ) from None


@discreet
def write_private_key(
    path: _Path, key: SigningKey, *, passphrase: Passphrase | None = None, overwrite: bool = False
) -> None:
    """
    Write a private key to a file that only its owner can read (mode 0600), as PKCS #8 PEM.

    Args:
        path: Where; nothing may be there yet, not even a link.
        key: The key.
        passphrase: What the file is encrypted with; None leaves it plain.
        overwrite: Replace a plain file that is there. It is replaced at once: whoever reads meanwhile gets
            the old key or the new one, never half of one.

    Raises:
        ConfigurationError: If something is there already, or the file cannot be written.
    """
    passphrase = hidden(passphrase)
    target = Path(path)
    data = key.private_pem(passphrase)
    try:
        if overwrite:
            _replace(target, data)
        else:
            _create(target, data)
    except FileExistsError:
        raise ConfigurationError(
            f"There is already something at {target}, and a private key is never written over by accident.",
            field="path",
            advice="Choose another path, or say that it may be overwritten.",
        ) from None
    except (OSError, ValueError) as exc:
        raise _unusable(str(target), "be written", exc) from None


def _checked(path: object) -> str:
    try:
        text = os.fsdecode(cast("_Path", path))
    except TypeError:
        raise ConfigurationError(
            f"A key file is named by its path, not by {type(path).__name__}.",
            field="path",
            advice="For a key that is in memory already, use SigningKey.from_bytes.",
        ) from None
    if "-----BEGIN " in text or text.lstrip().startswith('{"'):
        # Not to be quoted like a path that is merely wrong.
        raise ConfigurationError(
            "This is the text of a key, not the path of its file.",
            field="path",
            advice="Use SigningKey.from_pem or from_bytes for it.",
        )
    return text


def _replace(target: Path, data: bytes) -> None:
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(target.lstat().st_mode):
            raise FileExistsError
    draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    _create(draft, data)
    try:
        draft.replace(target)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def _create(target: Path, data: bytes) -> None:
    descriptor = os.open(target, _CREATE, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if _POSIX:
                os.fchmod(descriptor, 0o600)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
    except OSError:
        target.unlink(missing_ok=True)
        raise


def _read(path: str, findings: list[Finding]) -> bytes:
    try:
        descriptor = os.open(path, _READ)
        try:
            data = _judge_and_read(path, descriptor, findings)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as exc:
        raise _unusable(path, "be read", exc) from None
    if len(data) > KEY_FILE_BYTES:
        raise _refuse(path, f"has more than {KEY_FILE_BYTES} bytes, far more than any key")
    if not data.strip():
        raise _refuse(path, "is empty")
    return data


def _judge_and_read(path: str, descriptor: int, findings: list[Finding]) -> bytes:
    found = os.fstat(descriptor)
    _check_kind(path, found)
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        data = file.read(KEY_FILE_BYTES + 1)
    # Of a public key it is said that it is one, not how to hide it.
    if _POSIX and not is_public_half(data):
        _check_access(path, descriptor, found, findings)
    return data


def _check_kind(path: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = next((name for test, name in _KINDS if test(found.st_mode)), "something else")
        raise _refuse(path, f"is {kind}; a key is read from a plain file only")


def _check_access(path: str, descriptor: int, found: os.stat_result, findings: list[Finding]) -> None:
    me = os.geteuid()
    if found.st_uid not in (me, 0):
        raise _refuse(
            path,
            f"belongs to another user (uid {found.st_uid}), who can exchange the key at any time",
            advice=f"Run: sudo chown {me} {shlex.quote(path)}",
        )
    mode = stat.S_IMODE(found.st_mode)
    if not mode & _NOT_OWNER:
        return
    seen = f"can be read or written by others than its owner (mode {mode:04o})"
    if os.fstatvfs(descriptor).f_flag & os.ST_RDONLY:
        findings.append(_finding(path, f"{seen}, on a read-only mount", "Mount the secret with mode 0400."))
    elif found.st_uid != me and not mode & _NOT_OWNER & ~_GROUP_READ:
        # The way services are given keys: root owns the file, the service's group may read it.
        findings.append(
            _finding(path, f"{seen}; it is root's", "See that only this service is in its group.")
        )
    else:
        mine = found.st_uid == me
        command = f"chmod 600 {shlex.quote(path)}" if mine else f"sudo chmod 640 {shlex.quote(path)}"
        raise _refuse(path, seen, advice=f"Run: {command}")


def _finding(path: str, what: str, advice: str) -> Finding:
    return Finding(rule="key-file", severity="warning", message=f"The key file {path} {what}.", advice=advice)


def _refuse(
    path: str, what: str, advice: str = "Name the file that holds your private key."
) -> ConfigurationError:
    return ConfigurationError(f"The key file {path} {what}.", field="path", advice=advice)


def _unusable(path: str, what: str, exc: OSError | ValueError) -> ConfigurationError:
    # The path in an OSError may be that of a draft; its reason is what counts.
    reason = exc.strerror or type(exc).__name__ if isinstance(exc, OSError) else "it is not a valid path"
    return ConfigurationError(
        f"The key file {path!a} cannot {what}: {reason}.",
        field="path",
        advice="Check the path, and whether you may read and write there.",
    )
