"""A folder of keys: what its names mean, and what happens when it changes."""

from __future__ import annotations

import os

import pytest

from smart_async.errors import ConfigurationError
from smart_async.files import KeyFolder, keyfolder
from smart_async.integrations.jwks import export_jwks
from smart_async.keys import SigningKey, holds_ring
from smart_async.limits import JWKS_KEYS
from smart_async.smart.client_auth import PrivateKeyJWT


@pytest.fixture(scope="session")
def key():
    return SigningKey.generate("ES384", kid="own-kid")


@pytest.fixture(scope="session")
def rsa_key():
    return SigningKey.generate("RS384", kid="rsa", key_size=2048)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "keys"
    path.mkdir()
    return path


@pytest.fixture
def put(folder, key):
    """Return a function that writes a key file, mode 0600."""

    def put(name, data=None):
        path = folder / name
        path.unlink(missing_ok=True)
        path.write_bytes(key.private_pem() if data is None else data)
        path.chmod(0o600)
        return path

    return put


def shape(ring):
    return tuple([key.kid for key in keys] for keys in (ring.active, ring.next, ring.retiring))


def test_names_say_state_and_kid(folder, put, rsa_key):
    """State and kid are in the name; within a state the names decide the order."""
    for name in ("next-2026.pem", "active-b.pem", "retiring-2024.key", "retiring-2023"):
        put(name)
    put("active-a.p8", rsa_key.private_pem())
    keys = KeyFolder(str(folder))
    assert shape(keys.ring) == (["a", "b"], ["2026"], ["2023", "2024"])
    assert ([key.algorithm for key in keys.ring.active], keys.findings) == (["RS384", "ES384"], ())
    assert (keys.path, repr(keys)) == (folder, f"<KeyFolder {str(folder)!r} {keys.ring!r}>")


@pytest.mark.parametrize(
    ("name", "kid"),
    [
        ("active-2026-07.key-a.pem", "2026-07.key-a"),
        ("active-pem", "pem"),
        ("active-.pem", ".pem"),
        ("active-a.pem.pem", "a.pem"),
        ("active-a.txt", "a.txt"),
        ("active-next-1.pem", "next-1"),
    ],
)
def test_a_kid_may_look_like_anything(folder, put, name, kid):
    """Only the state in front and the ending are taken away."""
    put(name)
    assert KeyFolder(folder).ring.active[0].kid == kid


@pytest.mark.parametrize("name", ["active.pem", "active"])
def test_a_key_without_a_kid_has_its_thumbprint(folder, put, name, key):
    """A name without a kid gives the key the id that everybody computes alike."""
    put(name)
    assert KeyFolder(folder).ring.active[0].kid == SigningKey.from_pem(key.private_pem()).kid


def test_encrypted_keys(folder, put, key):
    """One passphrase opens the keys that need one, asked for where it is needed."""
    put("active-a.pem", key.private_pem("secret"))
    put("next-b.pem")
    asked = []
    KeyFolder(folder, passphrase=lambda: asked.append(1) or "secret")
    assert asked == [1]
    with pytest.raises(ConfigurationError, match="passphrase"):
        KeyFolder(folder, passphrase="wrong")


def test_kubernetes_layout(folder, put, key):
    """A mounted secret is a link to a link to a folder that is exchanged as a whole; dots are left out."""

    def mount(version, *names):
        (folder / version).mkdir()
        for name in names:
            put(f"{version}/{name}")
        draft = folder / "..data_tmp"
        draft.symlink_to(version)
        draft.rename(folder / "..data")
        for entry in folder.iterdir():
            if entry.is_symlink() and not entry.name.startswith("."):
                entry.unlink()
        for name in names:
            (folder / name).symlink_to(f"..data/{name}")

    mount("..2026_01", "active-a.pem", "next-b.pem")
    keys = KeyFolder(folder)
    assert (shape(keys.ring), keys.findings) == ((["a"], ["b"], []), ())
    assert not keys.reload_if_changed().changed
    mount("..2026_02", "active-b.pem", "retiring-a.pem")
    assert keys.reload_if_changed().changed
    assert shape(keys.ring) == (["b"], [], ["a"])


def test_only_the_link_behind_the_names_moves(folder, put, rsa_key):
    """When a key is exchanged under the same name, only what the link leads to is another file."""
    for version in ("..1", "..2"):
        (folder / version).mkdir()
    put("..1/active-a.pem")
    put("..2/active-a.pem", rsa_key.private_pem())
    (folder / "..data").symlink_to("..1")
    (folder / "active-a.pem").symlink_to("..data/active-a.pem")
    keys = KeyFolder(folder)
    (folder / "..tmp").symlink_to("..2")
    (folder / "..tmp").rename(folder / "..data")
    assert (keys.reload_if_changed().changed, keys.ring.active[0].algorithm) == (True, "RS384")


@pytest.mark.parametrize(
    "name", ["tls.crt", "README", "Active-a.pem", "active_a.pem", "2026.pem", "activea.pem"]
)
def test_what_has_another_name_is_left_out(folder, put, name):
    """A file that is no key of the ring is told of, and disturbs nothing."""
    put("active-a.pem")
    put(name, b"anything")
    put(".hidden", b"anything")
    (finding,) = KeyFolder(folder).findings
    assert (finding.rule, finding.severity) == ("key-folder", "warning")
    assert repr(name) in finding.message


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "holds no active key"),
        (["next-a.pem", "retiring-b.pem"], "holds no active key"),
        (["active-a.pem", "next-a.pem"], "Two keys of the ring have the kid 'a'"),
        (["active.pem", "next.pem"], "Two keys of the ring have the kid"),
    ],
)
@pytest.mark.rule("AS-05")
def test_folders_that_make_no_ring(folder, put, names, message):
    """A ring needs a key that signs, and kids of which none occurs twice."""
    for name in names:
        put(name)
    with pytest.raises(ConfigurationError, match=message):
        KeyFolder(folder)


def test_paths_that_are_no_folder(folder, put):
    """A missing folder, a file, and what is no path at all."""
    for path in (folder / "missing", put("active-a.pem"), "\0"):
        with pytest.raises(ConfigurationError, match=r"The key folder .* cannot be read") as caught:
            KeyFolder(path)
        assert caught.value.field == "path"


def test_a_folder_of_many_files_is_not_read(folder, put):
    """A wrong path, such as that of a home folder, is not read file by file."""
    for number in range(JWKS_KEYS + 1):
        (folder / f"note-{number}").touch()
    with pytest.raises(ConfigurationError, match=f"holds {JWKS_KEYS + 1} files"):
        KeyFolder(folder)


def test_each_key_file_is_judged(folder, put):
    """A key that others can read is refused here as everywhere, and so is what is no file."""
    put("active-a.pem").chmod(0o644)
    if os.name == "posix":
        with pytest.raises(ConfigurationError, match="read or written by others"):
            KeyFolder(folder)
    put("active-a.pem")
    (folder / "next-b.pem").mkdir()
    with pytest.raises(ConfigurationError, match=r"next-b\.pem"):
        KeyFolder(folder)


def test_nothing_is_read_when_nothing_changed(folder, put, monkeypatch):
    """Looking again costs the files' times and no more; the ring is the same object."""
    put("active-a.pem")
    keys = KeyFolder(folder)
    ring = keys.ring
    monkeypatch.setattr(keyfolder, "load_signing_key", None)
    again = keys.reload_if_changed()
    assert (again.changed, again.ring is ring, keys.ring is ring, again.findings) == (False, True, True, ())


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda folder, put: put("next-b.pem"), (["a"], ["b"], ["c"])),
        (lambda folder, put: (folder / "retiring-c.pem").unlink(), (["a"], [], [])),
        (lambda folder, put: (folder / "active-a.pem").rename(folder / "active-z.pem"), (["z"], [], ["c"])),
        (lambda folder, put: put("active-a.pem"), (["a"], [], ["c"])),
        (lambda folder, put: (folder / "active-a.pem").chmod(0o400), (["a"], [], ["c"])),
    ],
)
def test_every_change_is_seen(folder, put, change, expected):
    """A new file, a lost one, another name, another content, another mode."""
    put("active-a.pem")
    put("retiring-c.pem")
    keys = KeyFolder(folder)
    ring = keys.ring
    change(folder, put)
    again = keys.reload_if_changed()
    assert (again.changed, again.ring is keys.ring, keys.ring is ring) == (True, True, False)
    assert shape(keys.ring) == expected
    assert keys.reload_if_changed().changed is False


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda folder, put: put("active-a.pem", b"-----BEGIN PRIVATE KEY-----\nMIG2"), "active-a.pem"),
        (lambda folder, put: put("next-a.pem"), "the kid 'a'"),
        (lambda folder, put: (folder / "active-a.pem").unlink(), "no active key"),
        (lambda folder, put: (folder / "active-a.pem").unlink() or folder.rmdir(), "cannot be read"),
    ],
)
def test_a_broken_folder_keeps_the_old_ring(folder, put, spoil, reason):
    """The keys that worked go on to work, and a finding says what is wrong until it is put right."""
    put("active-a.pem")
    keys = KeyFolder(folder)
    ring = keys.ring
    spoil(folder, put)
    for _ in range(2):
        again = keys.reload_if_changed()
        assert (again.changed, again.ring is ring, keys.ring is ring) == (False, True, True)
        assert [(each.rule, each.severity) for each in again.findings] == [("key-folder", "error")]
        assert (reason in again.findings[0].message, again.findings) == (True, keys.findings)
        assert "still in force" in again.findings[0].advice
        assert "MIG2" not in str(again.findings[0])
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    put("active-b.pem")
    assert keys.reload_if_changed().changed
    assert (shape(keys.ring), keys.findings) == ((["b"], [], []), ())


def test_a_broken_folder_is_read_once(folder, put, monkeypatch):
    """As long as it is broken in the same way, it is not tried again."""
    put("active-a.pem")
    keys = KeyFolder(folder)
    put("active-a.pem", b"no key")
    first = keys.reload_if_changed()
    monkeypatch.setattr(keyfolder, "load_signing_key", None)
    assert keys.reload_if_changed() == first


def test_a_folder_that_changes_while_it_is_read(folder, put, monkeypatch):
    """What may be half of one content and half of another is read again."""
    put("active-a.pem")
    put("next-b.pem")
    real = keyfolder.load_signing_key
    rounds = []

    def load(path, **arguments):
        key = real(path, **arguments)
        if not rounds and path.name == "active-a.pem":
            rounds.append(1)
            (folder / "active-a.pem").rename(folder / "retiring-a.pem")
            (folder / "next-b.pem").rename(folder / "active-b.pem")
        return key

    monkeypatch.setattr(keyfolder, "load_signing_key", load)
    assert shape(KeyFolder(folder).ring) == (["b"], [], ["a"])


def test_a_folder_that_never_comes_to_rest(folder, put, monkeypatch):
    """After some attempts what was read is taken, and the next look reads again."""
    put("active-a.pem")
    real = keyfolder.load_signing_key
    reads = []

    def load(path, **arguments):
        key = real(path, **arguments)
        reads.append(put("active-a.pem"))
        return key

    monkeypatch.setattr(keyfolder, "load_signing_key", load)
    keys = KeyFolder(folder)
    assert (shape(keys.ring), len(reads)) == ((["a"], [], []), 3)
    monkeypatch.setattr(keyfolder, "load_signing_key", real)
    assert (keys.reload_if_changed().changed, keys.reload_if_changed().changed) == (True, False)


def test_a_folder_serves_a_client_and_a_publisher(folder, put):
    """Whoever takes a ring takes the folder, and follows it."""
    put("active-a.pem")
    keys = KeyFolder(folder)
    auth = PrivateKeyJWT(keys)
    assert holds_ring(keys)
    put("active-b.pem")
    before = export_jwks(keys)
    keys.reload_if_changed()
    assert [signer.kid for signer in auth.signers] == ["a", "b"]
    assert before != export_jwks(keys)


def test_a_link_that_leads_nowhere_is_broken_until_it_leads_somewhere(folder, put):
    """A name whose file is missing is no key, and its coming is a change."""
    put("active-a.pem")
    (folder / "next-b.pem").symlink_to("..later")
    with pytest.raises(ConfigurationError, match=r"next-b\.pem"):
        KeyFolder(folder)
    (folder / "next-b.pem").unlink()
    keys = KeyFolder(folder)
    (folder / "next-b.pem").symlink_to("..later")
    assert [each.severity for each in keys.reload_if_changed().findings] == ["error"]
    put("..later")
    assert (keys.reload_if_changed().changed, shape(keys.ring)) == (True, (["a"], ["b"], []))
