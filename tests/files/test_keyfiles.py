"""Key files: followed anywhere, judged where they are opened, written for their owner only."""

import json
import os
import socket
import stat
from types import SimpleNamespace

import pytest

from smart_async.errors import ConfigurationError
from smart_async.files import keyfiles, load_signing_key, write_private_key
from smart_async.keys import SigningKey
from smart_async.limits import KEY_FILE_BYTES
from smart_async.messages import Secret


@pytest.fixture(scope="session")
def key():
    return SigningKey.generate("ES384", kid="k1")


@pytest.fixture
def path(tmp_path, key):
    """Return the path of a good key file, mode 0600."""
    file = tmp_path / "key.pem"
    file.write_bytes(key.private_pem())
    file.chmod(0o600)
    return file


@pytest.fixture
def claim(monkeypatch):
    """Return a function that makes opened files look otherwise: owner, mode, mount flags, our own uid."""

    def pretend(*, uid=None, mode=None, read_only=False, me=None):
        real = os.fstat

        def fstat(descriptor):
            fields = list(real(descriptor))
            if mode is not None:
                fields[0] = stat.S_IFMT(fields[0]) | mode
            if uid is not None:
                fields[4] = uid
            return os.stat_result(fields)

        monkeypatch.setattr(keyfiles.os, "fstat", fstat)
        monkeypatch.setattr(
            keyfiles.os,
            "fstatvfs",
            lambda descriptor: SimpleNamespace(f_flag=os.ST_RDONLY if read_only else 0),
        )
        if me is not None:
            monkeypatch.setattr(keyfiles.os, "geteuid", lambda: me)

    return pretend


def test_a_key_that_only_its_owner_reads_is_loaded_without_findings(path, key):
    """The normal case: mode 0600, our own file; str and Path do alike."""
    findings = []
    loaded = [load_signing_key(name, kid="k1", findings=findings) for name in (path, str(path))]
    assert [each.public_jwk() for each in loaded] == [key.public_jwk()] * 2
    assert findings == []


def test_kid_and_algorithm_are_passed_on(tmp_path):
    """The arguments of SigningKey are those of the file."""
    file = tmp_path / "rsa.pem"
    write_private_key(file, SigningKey.generate("RS256", key_size=2048))
    loaded = load_signing_key(file, kid="other", algorithm="PS512")
    assert (loaded.kid, loaded.algorithm) == ("other", "PS512")


@pytest.mark.parametrize(
    "passphrase", ["opensesame", b"opensesame", Secret("opensesame"), lambda: "opensesame"]
)
def test_a_passphrase_may_be_a_value_or_asked_for(tmp_path, key, passphrase):
    """An encrypted file is opened by a value, or by a function that is then called."""
    file = tmp_path / "key.pem"
    write_private_key(file, key, passphrase="opensesame")
    assert load_signing_key(file, kid="k1", passphrase=passphrase).public_jwk() == key.public_jwk()


def test_nobody_is_asked_for_a_passphrase_that_is_not_needed(path):
    """A prompt appears only for an encrypted key."""
    load_signing_key(path, passphrase=lambda: pytest.fail("asked"))


def test_links_are_followed_and_the_file_at_their_end_is_judged(tmp_path, path, key):
    """Mounted secrets are links to links; what counts is the file itself."""
    link, second = tmp_path / "..data", tmp_path / "link"
    link.symlink_to(path)
    second.symlink_to(link)
    assert load_signing_key(second, kid="k1").public_jwk() == key.public_jwk()
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="mode 0644"):
        load_signing_key(second)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o777])
def test_a_file_open_to_others_is_refused_with_the_command_that_mends_it(path, mode):
    """Any right of group or others is refused, and the chmod line can be pasted."""
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"mode {mode:04o}") as caught:
        load_signing_key(path)
    assert caught.value.advice == f"Run: chmod 600 {path}"


def test_the_command_survives_a_path_with_blanks(tmp_path, key):
    """The path in the advice is quoted for the shell."""
    file = tmp_path / "my key; rm.pem"
    file.write_bytes(key.private_pem())
    file.chmod(0o644)
    with pytest.raises(ConfigurationError) as caught:
        load_signing_key(file)
    assert caught.value.advice == f"Run: chmod 600 '{file}'"


@pytest.mark.parametrize("mode", [0o444, 0o440, 0o644])
@pytest.mark.parametrize("uid", [0, 4711])
def test_on_a_read_only_mount_open_modes_are_a_finding(path, claim, mode, uid):
    """Where chmod is impossible, as for mounted secrets, the key is used and the finding tells of it."""
    claim(uid=uid, me=4711, mode=mode, read_only=True)
    findings = []
    assert load_signing_key(path, findings=findings).algorithm == "ES384"
    assert [(finding.rule, finding.severity) for finding in findings] == [("key-file", "warning")]
    assert f"mode {mode:04o}), on a read-only mount" in findings[0].message


def test_without_a_list_for_findings_the_key_is_loaded_all_the_same(path, claim):
    """The findings argument is optional."""
    claim(mode=0o444, read_only=True)
    assert load_signing_key(path).algorithm == "ES384"


def test_a_file_of_roots_that_our_group_may_read_is_a_finding(path, claim):
    """Services are given keys that root owns and their group reads; they could not chmod them."""
    claim(uid=0, me=4711, mode=0o640)
    findings = []
    load_signing_key(path, findings=findings)
    assert "it is root's" in findings[0].message


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o604])
def test_a_file_of_roots_that_everybody_reads_is_refused(path, claim, mode):
    """More than reading by the group is more than a service needs."""
    claim(uid=0, me=4711, mode=mode)
    with pytest.raises(ConfigurationError) as caught:
        load_signing_key(path)
    assert caught.value.advice == f"Run: sudo chmod 640 {path}"


@pytest.mark.parametrize("read_only", [True, False])
def test_a_file_of_another_user_is_refused(path, claim, read_only):
    """Who owns the file can exchange the key."""
    claim(uid=1234, me=4711, mode=0o600, read_only=read_only)
    with pytest.raises(ConfigurationError, match="uid 1234") as caught:
        load_signing_key(path)
    assert caught.value.advice == f"Run: sudo chown 4711 {path}"


def test_where_files_have_no_modes_they_are_not_judged(path, monkeypatch):
    """On Windows the mode says nothing, so it is not looked at."""
    monkeypatch.setattr(keyfiles, "_POSIX", False)
    path.chmod(0o644)
    assert load_signing_key(path).algorithm == "ES384"


def fifo(path):
    os.mkfifo(path, 0o600)


def folder(path):
    path.mkdir()


def bind(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (fifo, "is a named pipe"),
        (folder, "is a folder"),
        (bind, "cannot be read: No such device or address"),
        (lambda path: None, "cannot be read: No such file or directory"),
        (lambda path: path.symlink_to(path), "cannot be read: Too many levels of symbolic links"),
        (lambda path: path.symlink_to("/dev/null"), "is a device"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(b" \n"), "is empty"),
        (lambda path: path.write_bytes(b"x" * (KEY_FILE_BYTES + 1)), f"more than {KEY_FILE_BYTES} bytes"),
        (lambda path: path.write_bytes(b"hello"), "not a key in PEM"),
    ],
)
@pytest.mark.timeout(10)
def test_what_is_no_key_file_is_refused_at_once(tmp_path, monkeypatch, make, message):
    """Pipes, folders, devices, missing, empty, huge and senseless files are errors that name the path."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "key"
    umask = os.umask(0o077)
    try:
        make(path)
    finally:
        os.umask(umask)
    with pytest.raises(ConfigurationError, match=message) as caught:
        load_signing_key(path)
    assert str(path) in caught.value.message


def test_a_file_of_an_unknown_kind_is_refused(path, monkeypatch):
    """Whatever an operating system may have besides, it is no plain file."""
    found = os.stat_result([0o600, *path.stat()[1:]])
    monkeypatch.setattr(keyfiles.os, "fstat", lambda descriptor: found)
    with pytest.raises(ConfigurationError, match="is something else"):
        load_signing_key(path)


def test_a_path_that_is_none_is_our_error():
    """A NUL in a path is a mistake of configuration, not a crash."""
    with pytest.raises(ConfigurationError, match="not a valid path"):
        load_signing_key("key\0.pem")


def test_a_key_at_the_size_limit_is_read(tmp_path, key):
    """64 KiB are read, comments included."""
    file, pem = tmp_path / "key.pem", key.private_pem()
    file.write_bytes(b"#" * (KEY_FILE_BYTES - len(pem) - 1) + b"\n" + pem)
    file.chmod(0o600)
    assert load_signing_key(file, kid="k1").public_jwk() == key.public_jwk()


def test_the_errors_name_the_file_and_never_the_key(tmp_path, key):
    """A key that cannot be used is named by its path; the field at fault stays."""
    file = tmp_path / "key.pem"
    write_private_key(file, key, passphrase="opensesame")
    with pytest.raises(ConfigurationError, match="does not open") as caught:
        load_signing_key(file, passphrase="CANARY")
    assert (str(file) in caught.value.message, "CANARY" in str(caught.value)) == (True, False)
    assert caught.value.field == "passphrase"


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_written_key_has_mode_0600_whatever_the_umask(tmp_path, key, umask, overwrite):
    """Nobody but the owner can read it, and the owner always can."""
    file = tmp_path / "new.pem"
    before = os.umask(umask)
    try:
        write_private_key(file, key, overwrite=overwrite)
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert load_signing_key(file, kid="k1").public_jwk() == key.public_jwk()
    assert [each.name for each in tmp_path.iterdir()] == ["new.pem"]


def test_nothing_is_written_over_by_accident(path, key):
    """An existing file stays as it is."""
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="already something") as caught:
        write_private_key(path, SigningKey.generate())
    assert (path.read_bytes(), caught.value.field) == (before, "path")


def test_a_file_is_replaced_at_once_if_asked(path, key):
    """The old file stays whole for whoever has it open; the path leads to the new one, mode 0600."""
    path.chmod(0o644)
    new = SigningKey.generate("ES384", kid="k2")
    with path.open("rb") as reader:
        write_private_key(path, new, overwrite=True)
        assert reader.read() == key.private_pem()
    assert load_signing_key(path, kid="k2").public_jwk() == new.public_jwk()
    assert [each.name for each in path.parent.iterdir()] == ["key.pem"]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("make", [folder, fifo, lambda path: path.symlink_to(path.parent / "elsewhere")])
def test_no_link_folder_or_pipe_is_written_to(tmp_path, key, make, overwrite):
    """A link could lead the key anywhere; it is refused, overwriting or not; nothing appears behind it."""
    target = tmp_path / "key"
    make(target)
    with pytest.raises(ConfigurationError, match="already something"):
        write_private_key(target, key, overwrite=overwrite)
    assert [each.name for each in tmp_path.iterdir()] == ["key"]


def test_a_missing_folder_is_our_error(tmp_path, key):
    """The reason of the operating system is passed on."""
    with pytest.raises(ConfigurationError, match="cannot be written: No such file or directory"):
        write_private_key(tmp_path / "none" / "key.pem", key)


@pytest.mark.parametrize("overwrite", [False, True])
def test_nothing_half_written_stays_behind(tmp_path, key, monkeypatch, overwrite):
    """When the disk is full, no part of a key stays, and the old file is untouched."""
    target = tmp_path / "key.pem"
    if overwrite:
        target.write_text("old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keyfiles.os, "fsync", full)
    with pytest.raises(ConfigurationError, match="No space left on device"):
        write_private_key(target, key, overwrite=overwrite)
    assert [each.read_text() for each in tmp_path.iterdir()] == (["old"] if overwrite else [])


def test_a_draft_that_cannot_take_its_place_is_removed(path, key, monkeypatch):
    """If the last step of replacing fails, the old key stays and no copy of the new one lies around."""
    before = path.read_bytes()

    def refuse(self, target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(keyfiles.Path, "replace", refuse)
    with pytest.raises(ConfigurationError, match="cannot be written: Permission denied"):
        write_private_key(path, SigningKey.generate(), overwrite=True)
    assert [each.read_bytes() for each in path.parent.iterdir()] == [before]


def test_where_files_have_no_modes_a_key_is_written_too(tmp_path, key, monkeypatch):
    """On Windows there is no fchmod, and none is needed."""
    monkeypatch.setattr(keyfiles, "_POSIX", False)
    write_private_key(tmp_path / "key.pem", key)
    assert load_signing_key(tmp_path / "key.pem", kid="k1").public_jwk() == key.public_jwk()


def test_a_public_half_is_called_that_whoever_may_read_it(tmp_path, key):
    """Advice to hide a public key would lead nowhere: it is not the file that was meant."""
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [key.public_jwk()]}))
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="This is the public half") as caught:
        load_signing_key(path)
    assert caught.value.advice == "Give the private key (such as key.pem)."


def test_a_key_in_the_place_of_its_path_is_not_quoted(key):
    """The text of a key given as a path would stand in the message that there is no such file."""
    for text in (key.private_pem().decode(), key.private_pem(), '{"kty": "EC", "d": "x"}'):
        with pytest.raises(ConfigurationError, match="the text of a key, not the path") as caught:
            load_signing_key(text)
        assert "PRIVATE" not in str(caught.value)


@pytest.mark.parametrize("path", [None, 5, object()])
def test_what_can_be_no_path_is_our_error(path):
    """A path of the wrong type is a configuration error, not a TypeError."""
    with pytest.raises(ConfigurationError, match="named by its path, not by"):
        load_signing_key(path)
