"""`keygen` and `jwks`."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smart_async import SigningKey
from smart_async.files import load_signing_key, write_private_key

Run = Callable[..., Any]
PUBLIC = {"kty", "kid", "use", "alg"}


@pytest.mark.rule("AS-01")
@pytest.mark.parametrize(("alg", "members"), [("ES384", {"crv", "x", "y"}), ("RS384", {"n", "e"})])
def test_keygen_writes_the_private_and_prints_the_public_half(
    run: Run, tmp_path: Path, alg: str, members: set[str]
) -> None:
    """The private key lands in a file of mode 0600; on stdout is a JWK Set with public members only."""
    done = run("keygen", "--alg", alg, "--kid", "K", "--out", tmp_path / "F")
    (jwk,) = json.loads(done.stdout)["keys"]
    mode = stat.S_IMODE((tmp_path / "F").stat().st_mode)
    assert (done.exit_code, mode, jwk["kid"], set(jwk)) == (0, 0o600, "K", PUBLIC | members)
    assert load_signing_key(tmp_path / "F", kid="K").public_jwk() == jwk
    assert ("mode 0600, not encrypted" in done.stderr, "PRIVATE" in done.output) == (True, False)


@pytest.mark.parametrize(("words", "bits"), [((), 3072), (("--key-size", "4096"), 4096)])
def test_keygen_makes_rsa_keys_of_a_good_size(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], bits: int
) -> None:
    """RSA keys have 3072 bits, or 4096 if asked."""
    asked: list[int] = []

    def generate(algorithm: str, *, kid: str | None, key_size: int) -> SigningKey:
        asked.append(key_size)
        return real("ES384", kid=kid)

    real = SigningKey.generate
    monkeypatch.setattr(SigningKey, "generate", generate)  # an RSA-4096 key takes seconds to make
    done = run("keygen", "--alg", "RS384", "--out", tmp_path / "F", *words)
    assert (done.exit_code, asked) == (0, [bits])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--alg", "ES384", "--key-size", "3072"), "--key-size is for RS384"),
        (("--alg", "RS384", "--key-size", "1024"), "--key-size is 3072 or 4096, not 1024"),
    ],
)
def test_keygen_refuses_sizes_that_do_not_fit(
    run: Run, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    """A size that the algorithm does not have is refused, and nothing is written."""
    done = run("keygen", "--out", tmp_path / "F", *words)
    assert (done.exit_code, said in done.stderr, list(tmp_path.iterdir())) == (2, True, [])


def test_keygen_never_overwrites_by_accident(run: Run, tmp_path: Path) -> None:
    """A file that is there stays, unless --force says otherwise."""
    path = tmp_path / "F"
    path.write_text("precious")
    refused = run("keygen", "--out", path)
    kept = path.read_text()
    forced = run("keygen", "--out", path, "--force")
    assert (refused.exit_code, refused.stdout, kept, forced.exit_code) == (2, "", "precious", 0)
    assert ("--force" in refused.stderr, path.read_text() != "precious") == (True, True)


def test_keygen_encrypts_with_the_passphrase_of_the_environment(run: Run, tmp_path: Path) -> None:
    """With SMART_KEY_PASSPHRASE set, the file is encrypted, and the passphrase is shown nowhere."""
    done = run("keygen", "--out", tmp_path / "F", env={"SMART_KEY_PASSPHRASE": "open sesame"})
    text = (tmp_path / "F").read_text()
    assert (done.exit_code, "ENCRYPTED" in text, "open sesame" in done.output) == (0, True, False)
    assert ", encrypted" in done.stderr


def test_keygen_cannot_ask_without_a_terminal(run: Run, tmp_path: Path) -> None:
    """--passphrase-prompt off a terminal fails at once and names the variable."""
    done = run("keygen", "--out", tmp_path / "F", "--passphrase-prompt")
    assert (done.exit_code, "SMART_KEY_PASSPHRASE" in done.stderr) == (2, True)


def test_json_is_the_jwk_set_alone(run: Run, tmp_path: Path) -> None:
    """With --json nothing but the JWK Set is printed, on either stream."""
    made = run("keygen", "--out", tmp_path / "F", "--json")
    read = run("jwks", tmp_path / "F", "--json")
    assert (json.loads(made.stdout), made.stderr, read.stderr) == (json.loads(read.stdout), "", "")


def test_jwks_takes_several_keys(run: Run, tmp_path: Path) -> None:
    """Several files become one set, with the ids given in their order."""
    for name in ("a", "b"):
        write_private_key(tmp_path / name, SigningKey.generate("ES384"))
    done = run("jwks", tmp_path / "a", tmp_path / "b", "--kid", "old", "--kid", "new")
    keys = json.loads(done.stdout)["keys"]
    assert (done.exit_code, [key["kid"] for key in keys]) == (0, ["old", "new"])
    assert all("d" not in key for key in keys)


@pytest.mark.rule("AS-05")
@pytest.mark.parametrize(
    ("kids", "said"), [(("x",), "2 key files and 1 values"), (("x", "x"), "the kid 'x'")]
)
def test_jwks_refuses_ids_that_do_not_fit(run: Run, tmp_path: Path, kids: tuple[str, ...], said: str) -> None:
    """Too few ids, or the same id twice, are refused."""
    for name in ("a", "b"):
        write_private_key(tmp_path / name, SigningKey.generate("ES384"))
    done = run("jwks", tmp_path / "a", tmp_path / "b", *(word for kid in kids for word in ("--kid", kid)))
    assert (done.exit_code, done.stdout, said in done.stderr) == (2, "", True)


@pytest.mark.parametrize("passphrase", [None, "wrong"])
def test_a_locked_key_is_refused_without_its_passphrase(
    run: Run, tmp_path: Path, passphrase: str | None
) -> None:
    """Without the right passphrase an encrypted key is your input, and the passphrase is not repeated."""
    write_private_key(tmp_path / "F", SigningKey.generate("ES384"), passphrase="right")
    done = run("jwks", tmp_path / "F", env={"SMART_KEY_PASSPHRASE": passphrase})
    assert (done.exit_code, done.stdout) == (2, "")
    assert ("SMART_KEY_PASSPHRASE" in done.stderr, "wrong" in done.stderr) == (True, False)


def test_a_locked_key_opens_with_the_environment(run: Run, tmp_path: Path) -> None:
    """SMART_KEY_PASSPHRASE opens an encrypted key."""
    write_private_key(tmp_path / "F", SigningKey.generate("ES384"), passphrase="right")
    assert run("jwks", tmp_path / "F", env={"SMART_KEY_PASSPHRASE": "right"}).exit_code == 0


@pytest.mark.parametrize(
    "content", ["", "nonsense", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"]
)
def test_what_is_no_key_is_refused(run: Run, tmp_path: Path, content: str) -> None:
    """A file without a private key is your input; its text is not repeated."""
    (tmp_path / "F").write_text(content)
    (tmp_path / "F").chmod(0o600)
    done = run("jwks", tmp_path / "F")
    assert (done.exit_code, done.stdout, "AAAA" in done.stderr) == (2, "", False)


def test_findings_about_a_key_file_go_to_stderr(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a read-only mount an open key file works, and stderr says so; stdout stays a JWK Set."""
    from smart_async.cli import keys
    from smart_async.messages import Finding

    def read(path: Path, kid: str | None, findings: list[Finding]) -> SigningKey:
        findings.append(Finding(rule="key-file", severity="warning", message="Others can read it."))
        return SigningKey.generate("ES384")

    monkeypatch.setattr(keys, "read_key", read)
    done = run("jwks", tmp_path / "F")
    assert (json.loads(done.stdout).keys(), done.stderr) == (
        {"keys"},
        "warning key-file: Others can read it.\n",
    )


@pytest.mark.skipif(os.name != "posix", reason="needs a terminal")
@pytest.mark.parametrize(
    ("words", "times"), [(("keygen", "--passphrase-prompt", "--out"), 2), (("jwks",), 1)]
)
def test_a_terminal_is_asked_for_the_passphrase(tmp_path: Path, words: tuple[str, ...], times: int) -> None:
    """On a terminal the passphrase is asked for, unseen, and stdout still holds only the JWK Set."""
    import pty
    import subprocess
    import sys

    if words[0] == "jwks":
        write_private_key(tmp_path / "F", SigningKey.generate("ES384"), passphrase="open sesame")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "smart_async", *words, str(tmp_path / "F")],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    seen = b""
    for _ in range(times):
        while not seen.endswith(b": "):  # the blank comes when the echo is off and typed text is read
            seen += os.read(ours, 100)
        seen += b"|"
        os.write(ours, b"open sesame\n")
    out, _ = process.communicate(timeout=30)
    os.close(ours)
    assert (process.returncode, list(json.loads(out))) == (0, ["keys"])
    assert b"open sesame" not in seen + out
    assert "ENCRYPTED" in (tmp_path / "F").read_text()


def test_an_unknown_algorithm_is_refused_in_plain_words(run: Run, tmp_path: Path) -> None:
    """The message names what there is, and nothing of the parser's own wording."""
    done = run("keygen", "--alg", "RS256", "--out", str(tmp_path / "k.pem"))
    assert (done.exit_code, "Value error" in done.stderr, "RS384" in done.stderr) == (2, False, True)


def test_the_help_names_the_file_and_the_passphrase(run: Run) -> None:
    """Keygen says in its first line what F is, the other where a passphrase comes from."""
    assert "in the file F" in run("keygen", "--help").stdout
    assert "SMART_KEY_PASSPHRASE" in run("token", "--help").stdout
