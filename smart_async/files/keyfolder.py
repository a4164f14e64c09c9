"""
The keys of a ring in a folder, as Kubernetes, Docker and configuration management mount secrets.

A file's name says what its key is: the state, and the `kid` under which it is published.

    active-2025.pem          signs, published as "2025"
    next-2026.pem            published, does not sign yet
    retiring-2024.pem        published, signs no more
    active.jwk               the kid that the JWK names itself; of a PEM key, its thumbprint

A rotation is a new file and then two new names, in this folder or in the secret that is mounted as it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TypeAlias

from smart_async._values import dataclass
from smart_async.errors import ConfigurationError
from smart_async.files.keyfiles import PassphraseSource, load_signing_key
from smart_async.keys import KeyRing, SigningKey
from smart_async.limits import JWKS_KEYS
from smart_async.messages import Finding

__all__ = ("KeyFolder", "Reload")

_NAME = re.compile(
    r"(?P<state>active|next|retiring)(?:-(?P<kid>.+?))?(?:\.(?:pem|key|der|p8|p12|pfx|jwk|json))?", re.DOTALL
)
_ATTEMPTS = 3

_Stamp: TypeAlias = tuple[tuple[str, tuple[int, ...] | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reload:
    """
    What came of looking at a folder of keys again.

    Args:
        changed: Whether another ring is in force now.
        ring: The ring in force, new or old.
        findings: What is not as it should be. One with the severity `error` says that the folder cannot be
            used as it is, and that the ring before is still in force.
    """

    changed: bool
    ring: KeyRing
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class _Loaded:
    stamp: _Stamp
    ring: KeyRing
    findings: tuple[Finding, ...]


class KeyFolder:
    """
    A folder of private keys, and the `KeyRing` that they make.

    Give it to `PrivateKeyJWT` and to `jwks_app`: they use the ring that was read last. It is read when the
    object is made and when you call `reload_if_changed`: from a timer, on a signal, or before each job. No
    thread watches it, and signing never waits for a disk.

    Files are named `STATE.EXT` or `STATE-KID.EXT`, STATE being `active`, `next` or `retiring`; keys of one
    state are ordered by file name. Names that begin with a dot are left out, links are followed, and each
    file is judged as by `load_signing_key`. One replica after the other may read it, in any order.

    Args:
        path: The folder.
        passphrase: What opens the encrypted keys in it, or a function that asks for it.

    Raises:
        ConfigurationError: If the folder cannot be read, or its keys make no ring.
    """

    __slots__ = ("_loaded", "_passphrase", "_path")

    def __init__(self, path: str | os.PathLike[str], *, passphrase: PassphraseSource | None = None) -> None:
        self._path = Path(path)
        self._passphrase = passphrase
        stamp, outcome, findings = self._look()
        if isinstance(outcome, ConfigurationError):
            raise outcome
        self._loaded = _Loaded(stamp, outcome, findings)

    @property
    def path(self) -> Path:
        """The folder."""
        return self._path

    @property
    def ring(self) -> KeyRing:
        """The ring in force: what was read last and could be used."""
        return self._loaded.ring

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is not as it should be, as of the last look."""
        return self._loaded.findings

    def reload_if_changed(self) -> Reload:
        """
        Read the keys again if anything in the folder changed; otherwise only ask for the files' times.

        The ring is exchanged at once: whoever signs meanwhile has the old one or the new one. When the new
        content cannot be used, the old ring stays in force and a finding says why; it is tried again when
        the folder has changed again.

        Returns:
            Whether the ring changed, and what is not as it should be. Nothing is raised but what your own
            passphrase function raises.
        """
        before = self._loaded
        if _stamp(self._path) == before.stamp:
            return Reload(changed=False, ring=before.ring, findings=before.findings)
        stamp, outcome, findings = self._look()
        changed = isinstance(outcome, KeyRing)
        if isinstance(outcome, ConfigurationError):
            # The stamp is kept all the same: a broken folder costs no more to look at than a good one.
            findings = (self._broken(outcome),)
            outcome = before.ring
        self._loaded = _Loaded(stamp, outcome, findings)
        return Reload(changed=changed, ring=outcome, findings=findings)

    def __repr__(self) -> str:
        """Show path and ring."""
        return f"<KeyFolder {str(self._path)!r} {self.ring!r}>"

    def _look(self) -> tuple[_Stamp, KeyRing | ConfigurationError, tuple[Finding, ...]]:
        # A mount is exchanged as a whole, but perhaps while it is being read: then some is of either. Should
        # it never come to rest, the stamp from before the reading sees to it that the next look reads again.
        attempt = 1
        while True:
            stamp = _stamp(self._path)
            findings: list[Finding] = []
            outcome: KeyRing | ConfigurationError
            try:
                outcome = self._read(findings)
            except ConfigurationError as exc:
                outcome = exc
            if attempt == _ATTEMPTS or _stamp(self._path) == stamp:
                return stamp, outcome, tuple(findings)
            attempt += 1

    def _read(self, findings: list[Finding]) -> KeyRing:
        keys: dict[str, list[SigningKey]] = {"active": [], "next": [], "retiring": []}
        for name in _names_or_error(self._path):
            match = _NAME.fullmatch(name)
            if match is None:
                findings.append(self._stray(name))
            else:
                key = load_signing_key(
                    self._path / name, kid=match["kid"], passphrase=self._passphrase, findings=findings
                )
                keys[match["state"]].append(key)
        if not keys["active"]:
            raise ConfigurationError(
                f"The folder {self._path} holds no active key.",
                field="path",
                advice="Name the file of the key that signs active-KID.pem, KID being its published id.",
            )
        return KeyRing(active=keys["active"], next=keys["next"], retiring=keys["retiring"])

    def _broken(self, error: ConfigurationError) -> Finding:
        return Finding(
            rule="key-folder",
            severity="error",
            message=f"The keys in {self._path} changed and cannot be used: {error.message}",
            advice=f"The keys from before are still in force. {error.advice or ''}".rstrip(),
        )

    def _stray(self, name: str) -> Finding:
        return Finding(
            rule="key-folder",
            severity="warning",
            message=f"{name!a} in {self._path} is no key of the ring and was left out.",
            advice="Keys are active-KID.pem, next-KID.pem and retiring-KID.pem; keep the rest elsewhere.",
        )


def _names(path: Path) -> list[str]:
    with os.scandir(path) as entries:
        return sorted(entry.name for entry in entries if not entry.name.startswith("."))


def _names_or_error(path: Path) -> list[str]:
    try:
        names = _names(path)
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not a valid path"
        raise ConfigurationError(
            f"The key folder {str(path)!a} cannot be read: {reason}.",
            field="path",
            advice="Name the folder that holds active-KID.pem.",
        ) from None
    if len(names) > JWKS_KEYS:
        raise ConfigurationError(
            f"The key folder {str(path)!a} holds {len(names)} files; at most {JWKS_KEYS} are read.",
            field="path",
            advice="Keep the keys in a folder of their own, and remove those that are done with.",
        )
    return names


def _stamp(path: Path) -> _Stamp:
    try:
        return tuple((name, _times(path / name)) for name in _names(path))
    except (OSError, ValueError):
        return ()


def _times(path: Path) -> tuple[int, ...] | None:
    # The change time moves with mode and owner too: a chmod is how a refused file is put right.
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
