"""What the store in files does beyond the contract: whom it trusts, and what it leaves on the disk."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import gc
import hashlib
import os
import resource
import secrets
import socket
import stat
import threading
import time
from pathlib import Path

import pytest

from smart_async.errors import ConfigurationError, StoreError
from smart_async.interfaces import Stored
from smart_async.stores import FileStore, _folder, _tidying, file

KEY = "erin"
DIGEST = hashlib.sha256(KEY.encode()).hexdigest()
RECORD = f"{DIGEST}.token"
LOCK = f"{DIGEST}.lock"
LEASE = f"{DIGEST}.lease"


@pytest.fixture
def folder(tmp_path):
    """Return where the tokens are."""
    return tmp_path / "tokens"


@pytest.fixture
def store(folder):
    """Return a store without encryption."""
    return FileStore(folder)


@pytest.fixture
def umask():
    """Return a function that sets the umask, which is set back afterwards."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def modes(folder):
    """Return the mode of each file."""
    return {path.name: stat.S_IMODE(path.lstat().st_mode) for path in folder.iterdir()}


def open_descriptors():
    """Return how many this process has."""
    return len(list(Path("/dev/fd").iterdir()))


def all_calls(store):
    """Return each way of reaching what is stored, by name."""
    return {
        "load": lambda: store.load(KEY),
        "save": lambda: store.save(KEY, b"new", expected=None),
        "delete": lambda: store.delete(KEY),
    }


class TestFolder:
    @pytest.mark.rule("TK-17")
    def test_only_we_can_enter(self, folder, umask):
        """Folder and files are ours alone, whatever the umask is."""
        for mask in (0o000, 0o077, 0o777):
            umask(mask)
            store = FileStore(folder)
            version = store.save(KEY, b"1", expected=None)
            lease = store.acquire(KEY, wait=0)
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            assert modes(folder) == {RECORD: 0o600, LOCK: 0o600, LEASE: 0o600}
            lease.release()
            store.delete(KEY, expected=version)
            folder.rmdir()

    @pytest.mark.parametrize("mode", [0o755, 0o750, 0o701, 0o777, 0o1777])
    def test_an_open_folder_is_refused(self, folder, mode):
        """A folder that others can enter is refused, when the store is opened and at each use."""
        store = FileStore(folder)
        folder.chmod(mode)
        with pytest.raises(StoreError, match="chmod 700"):
            FileStore(folder)
        for call in [*all_calls(store).values(), lambda: store.acquire(KEY, wait=0)]:
            with pytest.raises(StoreError, match=f"mode {mode:04o}"):
                call()

    def test_a_foreign_folder_is_refused(self, store, folder, monkeypatch):
        """A folder of another user is refused."""
        stranger = os.geteuid() + 1
        monkeypatch.setattr(os, "geteuid", lambda: stranger)
        with pytest.raises(StoreError, match="belongs to another user"):
            FileStore(folder)

    def test_a_link_is_refused(self, store, folder, tmp_path):
        """A link to a folder is refused, though the folder would do."""
        link = tmp_path / "link"
        link.symlink_to(folder)
        with pytest.raises(StoreError, match=r"cannot be read or written: (Not a directory|Too many)"):
            FileStore(link)

    def test_what_is_no_folder_is_refused(self, tmp_path):
        """A file, a folder without a parent and an impossible path are typed errors that name the path."""
        (tmp_path / "file").touch()
        for path, reason in [
            (tmp_path / "file", "Not a directory"),
            (tmp_path / "a" / "b", "No such file or directory"),
            (f"{tmp_path}/\0", "it is not a valid path"),
        ]:
            with pytest.raises(StoreError, match=reason) as caught:
                FileStore(path)
            assert ascii(str(path)) in caught.value.message

    def test_a_failure_without_a_text(self, tmp_path, monkeypatch):
        """What the system gives no words for is called by its type."""

        def failing(*args, **options):
            raise BlockingIOError

        monkeypatch.setattr(Path, "mkdir", failing)
        with pytest.raises(StoreError, match="cannot be made: BlockingIOError"):
            FileStore(tmp_path / "tokens")

    def test_a_folder_that_goes_away(self, store, folder):
        """Once the folder is gone every call says so, and none makes another one."""
        folder.rmdir()
        for call in [*all_calls(store).values(), lambda: store.acquire(KEY, wait=0)]:
            with pytest.raises(StoreError, match="No such file"):
                call()
        assert not folder.exists()

    def test_the_path_is_fixed(self, tmp_path, monkeypatch):
        """A relative path goes on meaning the same when the process changes its directory."""
        monkeypatch.chdir(tmp_path)
        store = FileStore("tokens")
        version = store.save(KEY, b"1", expected=None)
        monkeypatch.chdir("/")
        assert store.load(KEY) == Stored(b"1", version)
        assert repr(store) == f"FileStore({str(tmp_path / 'tokens')!r})"

    def test_names_tell_nothing(self, store, folder):
        """The names of the files hold nothing of the key."""
        store.save("Patient/erin", b"1", expected=None)
        assert not [path for path in folder.iterdir() if "erin" in path.name or "Patient" in path.name]


def symlink(path, outside):
    outside.write_bytes(path.read_bytes())
    outside.chmod(0o600)
    path.unlink()
    path.symlink_to(outside)


def hard_link(path, outside):
    os.link(path, outside)


def fifo(path, outside):
    path.unlink()
    os.mkfifo(path, 0o600)


def directory(path, outside):
    path.unlink()
    path.mkdir(0o700)


def readable(path, outside):
    path.chmod(0o644)


def writable(path, outside):
    path.chmod(0o620)


INTRUDERS = {
    "symbolic link": (symlink, "is a symbolic link"),
    "hard link": (hard_link, "has a second name"),
    "fifo": (fifo, "is not a plain file"),
    "folder": (directory, "is not a plain file|Is a directory"),
    "readable": (readable, r"mode 0644.*chmod 600"),
    "writable": (writable, r"mode 0620.*chmod 600"),
}


@pytest.fixture(params=INTRUDERS)
def intruder(request):
    """Return how each kind of file is put there that does not belong there, and what is said about it."""
    return INTRUDERS[request.param]


class TestIntruders:
    def test_instead_of_a_record(self, store, folder, tmp_path, intruder):
        """What is not a plain file of ours alone is neither read nor replaced nor deleted."""
        put, said = intruder
        store.save(KEY, b"1", expected=None)
        put(folder / RECORD, tmp_path / "outside")
        before = (folder / RECORD).lstat()
        for call in all_calls(store).values():
            with pytest.raises(StoreError, match=said):
                call()
        assert (folder / RECORD).lstat() == before

    def test_what_to_do(self, store, folder, tmp_path):
        """The advice is a command that can be pasted, and names the file where there is none."""
        version = store.save(KEY, b"1", expected=None)
        path = folder / RECORD
        for put, said, todo in (
            (readable, "can be reached by others than its owner (mode 0644)", f"Run: chmod 600 {path}"),
            (symlink, "is a symbolic link", f"Run: rm {path}"),
            (fifo, "is not a plain file", "Remove it"),
        ):
            put(path, tmp_path / "outside")
            with pytest.raises(StoreError) as caught:
                store.save(KEY, b"2", expected=version)
            assert caught.value.message == f"In the token store, {path} {said}; nothing of it was used."
            assert caught.value.advice.endswith(f"may be known or forged. {todo}")

    def test_a_way_with_blanks(self, tmp_path):
        """A command in the advice is quoted for the shell."""
        folder = tmp_path / "my tokens"
        store = FileStore(folder)
        store.save(KEY, b"1", expected=None)
        (folder / RECORD).chmod(0o644)
        with pytest.raises(StoreError) as caught:
            store.load(KEY)
        assert caught.value.advice.endswith(f"chmod 600 '{folder / RECORD}'")
        folder.chmod(0o755)
        with pytest.raises(StoreError) as caught:
            store.load(KEY)
        assert caught.value.advice.endswith(f"chmod 700 '{folder}'")

    @pytest.mark.parametrize("name", [LOCK, LEASE])
    def test_instead_of_a_lock(self, store, folder, tmp_path, intruder, name):
        """A lock is taken only on a plain file of ours alone; what a link leads to is left alone."""
        put, said = intruder
        store.save(KEY, b"1", expected=None)
        store.acquire(KEY, wait=0).release()
        put(folder / name, tmp_path / "outside")
        call = all_calls(store)["save"] if name == LOCK else lambda: store.acquire(KEY, wait=0)
        with pytest.raises(StoreError, match=said):
            call()

    def test_a_foreign_file_is_refused(self, store, folder, monkeypatch):
        """A file of another user is refused, though it lies in our folder."""
        store.save(KEY, b"1", expected=None)
        me = os.geteuid()
        answers = iter([me, me + 1])  # the folder is judged first
        monkeypatch.setattr(os, "geteuid", lambda: next(answers))
        with pytest.raises(StoreError, match="belongs to another user"):
            store.load(KEY)

    def test_a_socket_is_refused(self, store, folder, monkeypatch):
        """What cannot be opened at all is a typed error, too."""
        monkeypatch.chdir(folder)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(RECORD)
            with pytest.raises(StoreError, match="cannot be read or written"):
                store.load(KEY)


def damage(path, change):
    path.write_bytes(change(path.read_bytes()))


DAMAGE = {
    "empty": lambda data: b"",
    "cut": lambda data: data[:-1],
    "longer": lambda data: data + b"\0",
    "one bit": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "zeros": lambda data: bytes(len(data)),
    "too large": lambda data: data + bytes(2 * 1024 * 1024),
}


class TestDamage:
    @pytest.mark.parametrize("change", DAMAGE.values(), ids=DAMAGE)
    @pytest.mark.parametrize("call", ["load", "save", "delete by version"])
    def test_damage_is_reported_and_kept(self, store, folder, change, call):
        """A damaged record is set aside for whoever looks into it, and never taken for nothing stored."""
        version = store.save(KEY, b"token", expected=None)
        damage(folder / RECORD, change)
        found = (folder / RECORD).read_bytes()
        calls = {**all_calls(store), "delete by version": lambda: store.delete(KEY, expected=version)}
        with pytest.raises(StoreError, match=rf"damaged \(.*{DIGEST}\.corrupt-1"):
            calls[call]()
        aside = folder / f"{DIGEST}.corrupt-1"
        assert aside.read_bytes() == found
        assert stat.S_IMODE(aside.stat().st_mode) == 0o600
        assert not (folder / RECORD).exists()
        assert store.save(KEY, b"again", expected=None) is not None

    def test_nothing_set_aside_is_lost(self, store, folder):
        """The next damaged record gets the next number."""
        for number in (1, 2, 3):
            store.save(KEY, b"token", expected=None)
            damage(folder / RECORD, lambda data: b"")
            with pytest.raises(StoreError, match=f"corrupt-{number}"):
                store.load(KEY)

    def test_deleting_damage(self, store, folder):
        """Whatever is there can be deleted, damaged or not: signing out works."""
        store.save(KEY, b"token", expected=None)
        damage(folder / RECORD, lambda data: b"")
        assert store.delete(KEY) is True
        assert list(folder.iterdir()) == []

    def test_a_copied_record_is_refused(self, store, folder):
        """A record under the name of another key is not that key's."""
        store.save("mallory", b"token", expected=None)
        (folder / f"{hashlib.sha256(b'mallory').hexdigest()}.token").rename(folder / RECORD)
        with pytest.raises(StoreError, match="a copy of another key's record"):
            store.load(KEY)

    def test_a_record_repaired_meanwhile_is_loaded(self, store, folder, monkeypatch):
        """Who finds damage looks again under the lock, and takes what was written meanwhile."""
        version = store.save(KEY, b"token", expected=None)
        whole = (folder / RECORD).read_bytes()
        damage(folder / RECORD, lambda data: b"")
        writing = file._writing

        @contextlib.contextmanager
        def repaired(*args):
            (folder / RECORD).write_bytes(whole)
            with writing(*args) as lock:
                yield lock

        monkeypatch.setattr(file, "_writing", repaired)
        assert store.load(KEY) == Stored(b"token", version)

    def test_damage_is_judged_undisturbed(self, store, folder, monkeypatch):
        """Who finds damage waits for whoever is writing that key before anything is set aside."""
        store.save(KEY, b"token", expected=None)
        damage(folder / RECORD, lambda data: b"")
        monkeypatch.setattr(file, "_WRITE_WAIT", 0.05)
        writing = pytest.raises(StoreError, match="has been writing the same token")
        with store._folder.open() as opened, file._writing(opened, DIGEST), writing:
            store.load(KEY)
        assert (folder / RECORD).exists()

    def test_no_more_is_read_than_a_record(self, store, monkeypatch):
        """Of a file, the largest record is read and one byte more, by which it is too large; or one byte."""
        sizes, read = [], _folder.OpenFolder.read
        monkeypatch.setattr(
            _folder.OpenFolder, "read", lambda *args: (sizes.append(args[-1]), read(*args))[1]
        )
        store.save(KEY, b"token", expected=None)
        store.load(KEY)
        store.delete(KEY)
        assert sizes == [1024 * 1024 + 2 * 1024 + 1] * 2 + [1]

    def test_a_later_format_is_left_alone(self, store, folder):
        """What a later version of the library wrote stays where it is, and the error says what to do."""
        store.save(KEY, b"token", expected=None)
        damage(folder / RECORD, lambda data: data.replace(b"store/1 ", b"store/2 "))
        for call in (all_calls(store)["load"], all_calls(store)["save"]):
            with pytest.raises(StoreError, match=r"format 2.*Update smart-async"):
                call()
        assert (folder / RECORD).exists()


class TestDisk:
    def test_a_full_disk(self, store, folder):
        """A write that the disk has no room for is a typed error, leaves the old content and no draft."""
        version = store.save(KEY, b"old", expected=None)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, limits[1]))
        try:
            with pytest.raises(StoreError, match=r"File too large.*unchanged"):
                store.save(KEY, bytes(512 * 1024), expected=version)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert store.load(KEY) == Stored(b"old", version)
        assert set(modes(folder)) == {RECORD, LOCK}

    def test_a_draft_is_ours_and_new(self, store, folder, monkeypatch):
        """A draft has the name that sweeping looks for, is ours alone at once, and never an existing file."""
        seen, fchmod, replace = [], os.fchmod, os.replace

        def judged(fd, mode):
            seen.append(stat.S_IMODE(os.fstat(fd).st_mode))
            fchmod(fd, mode)

        def named(source, target, **options):
            seen.append(file._DRAFT.fullmatch(source)[1])
            replace(source, target, **options)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fchmod", judged)
            patch.setattr(os, "replace", named)
            store.save(KEY, b"1", expected=None)
        assert seen == [0o600, 0o600, DIGEST]
        (folder / "draft").write_bytes(b"theirs")
        for draft in ("draft", "link"):
            (folder / "link").symlink_to(folder / "elsewhere")
            with store._folder.open() as opened, pytest.raises(FileExistsError):
                opened.replace("name", draft, b"ours")
            (folder / "link").unlink(missing_ok=True)
        assert {path.name for path in folder.iterdir()} == {RECORD, LOCK}

    def test_as_much_is_read_as_was_asked_for(self, store, folder):
        """A file that somebody made endless does not fill the memory."""
        store.save(KEY, b"1", expected=None)
        with store._folder.open() as opened:
            assert opened.read(RECORD, 11) == b"smart-async"

    def test_a_system_that_lacks_a_flag(self):
        """What a system has no word for is left out of the way in which files are opened."""
        assert _folder._flags("O_CREAT", "O_NO_SUCH_FLAG", "O_EXCL") == os.O_CREAT | os.O_EXCL

    def test_a_link_is_looked_at_itself(self, store, folder):
        """Whether a name is free is not asked of what it leads to."""
        (folder / "link").symlink_to(folder / "nowhere")
        with store._folder.open() as opened:
            assert stat.S_ISLNK(opened.look("link").st_mode)
            assert opened.look("nowhere") is None

    def test_no_room_for_a_lease(self, store, monkeypatch):
        """If a lease's number cannot be written there is no lease, and no lock stays behind."""

        def full(*args):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full)
            with pytest.raises(StoreError, match="No space left"):
                store.acquire(KEY, wait=0)
        store.acquire(KEY, wait=0).release()

    def test_on_the_disk_before_it_is_said(self, store, monkeypatch):
        """Content is flushed before it gets its name, and the name before the save returns."""
        seen = []
        fsync, replace = os.fsync, os.replace
        monkeypatch.setattr(
            os, "fsync", lambda fd: (seen.append(stat.S_ISDIR(os.fstat(fd).st_mode)), fsync(fd))
        )
        monkeypatch.setattr(os, "replace", lambda *a, **k: (seen.append("named"), replace(*a, **k)))
        store.save(KEY, b"1", expected=None)
        assert seen == [False, "named", True]

    def test_nothing_is_left_of_a_deleted_key(self, store, folder):
        """Locks and leases go with the key, so that a folder does not grow for ever."""
        store.acquire(KEY, wait=0).release()
        store.save(KEY, b"1", expected=None)
        store.delete(KEY)
        assert list(folder.iterdir()) == []


class TestDrafts:
    def draft(self, folder, *, age, digest=DIGEST, end=".tmp"):
        path = folder / f".{digest}.{secrets.token_hex(8)}{end}"
        path.write_bytes(b"half a token")
        os.utime(path, (time.time() - age, time.time() - age))
        return path

    def test_old_ones_go_when_a_store_is_opened(self, store, folder):
        """What a process that died left behind is removed after ten minutes, and nothing else is."""
        store.save(KEY, b"1", expected=None)
        gone = [self.draft(folder, age=601), self.draft(folder, age=86400, digest="0" * 64)]
        kept = [self.draft(folder, age=590), self.draft(folder, age=601, end=".txt")]
        link = folder / f".{DIGEST}.{'0' * 16}.tmp"
        link.symlink_to(kept[1])
        os.utime(link, (0, 0), follow_symlinks=False)
        FileStore(folder)
        assert [path.exists() for path in gone] == [False, False]
        assert [path.exists() for path in (*kept, link, folder / RECORD)] == [True] * 4

    def test_ten_minutes(self, store, folder, monkeypatch):
        """A draft of ten minutes stays, and one that is older does not; sweeps keep the same pace."""
        monkeypatch.setattr(time, "time", lambda: 1_750_000_000.0)
        kept, gone = self.draft(folder, age=600), self.draft(folder, age=600.25)
        clock = iter([1000.0, 1600.0, 1600.25, 1600.25])
        with monkeypatch.context() as patch:
            patch.setattr(time, "monotonic", lambda: next(clock))
            store._sweep()
            assert (kept.exists(), gone.exists()) == (True, False)
            later = self.draft(folder, age=601)
            store._sweep_now_and_then()
            assert later.exists()
            store._sweep_now_and_then()
            assert not later.exists()

    def test_not_while_somebody_writes(self, store, folder):
        """A draft whose key is being written is in use, however old the clock says it is."""
        draft = self.draft(folder, age=86400)
        with store._folder.open() as opened, file._writing(opened, DIGEST):
            FileStore(folder)
            assert draft.exists()
        FileStore(folder)
        assert not draft.exists()

    def test_long_lived_stores_sweep_too(self, store, folder, monkeypatch):
        """A store that stays open sweeps again after ten minutes, at the next save."""
        draft = self.draft(folder, age=86400)
        version = store.save(KEY, b"1", expected=None)
        assert draft.exists()
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + 601)
        store.save(KEY, b"2", expected=version)
        assert not draft.exists()

    @pytest.mark.parametrize("obstacle", [Path.mkdir, lambda path: path.symlink_to("/nowhere")])
    def test_a_draft_that_cannot_be_removed_is_in_nobodys_way(self, store, folder, obstacle):
        """Sweeping fails silently: the next one tries again."""
        draft = self.draft(folder, age=86400)
        obstacle(folder / LOCK)
        FileStore(folder)
        assert draft.exists()


class TestLocks:
    def test_a_lease_file_removed_by_hand(self, store, folder):
        """Who holds a lock on a file that is gone is not the latest holder once there is another."""
        first = store.acquire(KEY, wait=0)
        (folder / LEASE).unlink()
        version = store.save(KEY, b"1", expected=None, lease=first)
        assert version is not None
        second = store.acquire(KEY, wait=0)
        assert second.fence > first.fence
        assert store.save(KEY, b"2", expected=version, lease=first) is None
        assert store.save(KEY, b"2", expected=version, lease=second) is not None
        first.release()
        with pytest.raises(StoreError):
            store.acquire(KEY, wait=0)
        second.release()

    def test_a_number_that_was_overtaken(self, store, folder):
        """A lease with a lower number than what is stored saves nothing."""
        lease = store.acquire(KEY, wait=0)
        version = store.save(KEY, b"1", expected=None, lease=lease)
        lease.fence -= 1
        assert store.save(KEY, b"2", expected=version, lease=lease) is None
        lease.release()

    @pytest.mark.parametrize("content", [b"", b"garbage that is longer than any number", b"-1", b"9" * 15])
    def test_an_unreadable_number(self, store, folder, content):
        """Whatever is in the lease's file, the number is above the clock's and above the last one."""
        first = store.acquire(KEY, wait=0)
        first.release()
        (folder / LEASE).write_bytes(content)
        second = store.acquire(KEY, wait=0)
        second.release()
        third = store.acquire(KEY, wait=0)
        assert first.fence < second.fence < third.fence
        third.release()

    def test_the_first_number(self, store, folder, monkeypatch):
        """It is the clock's, in microseconds: above those of a file that was removed."""
        monkeypatch.setattr(time, "time_ns", lambda: 1_750_000_000_123_456_789)
        assert store.acquire(KEY, wait=0).fence == 1_750_000_000_123_456
        monkeypatch.setattr(time, "time_ns", lambda: 0)
        (folder / LEASE).write_bytes(b"garbage")
        assert store.acquire(KEY, wait=0).fence == 1

    def test_a_clock_that_goes_back(self, store, monkeypatch):
        """Numbers grow though the clock does not."""
        first = store.acquire(KEY, wait=0)
        first.release()
        monkeypatch.setattr(time, "time_ns", lambda: 0)
        second = store.acquire(KEY, wait=0)
        assert second.fence == first.fence + 1
        second.release()

    def test_a_lease_that_is_dropped_is_released(self, store):
        """A lease that nobody refers to any more is in nobody's way."""
        lease = store.acquire(KEY, wait=0)
        del lease
        gc.collect()
        store.acquire(KEY, wait=0).release()

    def test_a_writer_that_was_stopped(self, store, folder, monkeypatch):
        """A process that was stopped in the middle of a write makes others wait, but not for ever."""
        monkeypatch.setattr(file, "_WRITE_WAIT", 0.05)
        with store._folder.open() as opened, file._writing(opened, DIGEST):
            for call in (all_calls(store)["save"], all_calls(store)["delete"]):
                with pytest.raises(StoreError, match="has been writing the same token"):
                    call()

    def test_the_wait_for_a_writer(self, store, monkeypatch):
        """A write waits ten seconds for the one before it."""
        waits = []
        monkeypatch.setattr(file, "retry_until", lambda attempt, wait: waits.append(wait))
        with pytest.raises(StoreError, match=r"for 10 seconds\."):
            store.save(KEY, b"1", expected=None)
        assert waits == [10.0]

    def test_a_lock_file_that_goes_away_while_it_is_opened(self, store, folder, monkeypatch):
        """Who finds that the file has just been removed tries again."""
        names = iter([LEASE])
        opening = _folder.OpenFolder._open

        def removed_first(self, name, flags):
            if next(names, None) is not None:
                (folder / name).unlink()
            return opening(self, name, flags)

        store.acquire(KEY, wait=0).release()
        monkeypatch.setattr(_folder.OpenFolder, "_open", removed_first)
        store.acquire(KEY, wait=5).release()

    def test_a_lock_file_that_is_exchanged_while_it_is_locked(self, store, folder, monkeypatch):
        """A lock on a file that no longer has the name keeps nobody out, so it is taken again."""
        flock, names = fcntl.flock, iter([folder / LEASE])

        def exchanged_first(fd, operation):
            if path := next(names, None):
                path.unlink()
                path.touch(0o600)
            flock(fd, operation)

        monkeypatch.setattr(fcntl, "flock", exchanged_first)
        lease = store.acquire(KEY, wait=5)
        with pytest.raises(StoreError, match="Somebody else"):
            store.acquire(KEY, wait=0)
        lease.release()

    def test_a_copy_of_the_descriptor_does_not_keep_the_lease(self, store):
        """What is released is free, though another process may still have a copy of the descriptor."""
        lease = store.acquire(KEY, wait=0)
        copy = os.dup(lease._lock.fd)
        lease.release()
        store.acquire(KEY, wait=0).release()
        os.close(copy)

    def test_a_child_process_holds_nothing(self, store):
        """After a fork the lease is the parent's: the child neither saves under it nor releases it."""
        lease = store.acquire(KEY, wait=0)
        parents = os.dup(lease._lock.fd)  # what the parent goes on holding
        lease._lock.after_fork()  # as the interpreter calls it in the child
        assert store.save(KEY, b"1", expected=None, lease=lease) is None
        lease.release()
        with pytest.raises(StoreError):
            store.acquire(KEY, wait=0)
        os.close(parents)
        store.acquire(KEY, wait=0).release()
        lease._lock.after_fork()  # of a child of that child: there is nothing to drop

    def test_no_descriptor_leaks(self, store, folder):
        """Calls that succeed and calls that fail close what they opened."""
        gc.collect()  # what other tests dropped is not counted
        before = open_descriptors()
        lease = store.acquire(KEY, wait=0)
        for _ in range(5):
            with pytest.raises(StoreError):
                store.acquire(KEY, wait=0)
            store.save(KEY, b"1", expected=None)
            store.load(KEY)
            (folder / RECORD).chmod(0o644)
            for call in all_calls(store).values():
                with pytest.raises(StoreError):
                    call()
            (folder / RECORD).unlink()
        lease.release()
        assert open_descriptors() == before


class TestEncryption:
    def test_nothing_is_readable(self, folder):
        """With a key, no byte of the data is on the disk in plain text, and equal data looks different."""
        key = secrets.token_bytes(32)
        store = FileStore(folder, encryption_key=key)
        version = store.save(KEY, b"canary" * 100, expected=None)
        first = (folder / RECORD).read_bytes()
        store.save(KEY, b"canary" * 100, expected=version)
        second = (folder / RECORD).read_bytes()
        assert b"canary" not in first + second
        assert first[-600:-16] != second[-600:-16]  # without the tag, which differs in any case
        assert "canary" not in repr(store)
        assert FileStore(folder, encryption_key=lambda: key).load(KEY).data == b"canary" * 100

    def test_changing_the_key(self, folder):
        """Old keys go on opening what they sealed; the next save seals with the new one."""
        old, new = secrets.token_bytes(32), secrets.token_bytes(32)
        version = FileStore(folder, encryption_key=old).save(KEY, b"1", expected=None)
        both = FileStore(folder, encryption_key=new, old_keys=[secrets.token_bytes(32), lambda: old])
        assert both.load(KEY) == Stored(b"1", version)
        version = both.save(KEY, b"2", expected=version)
        assert FileStore(folder, encryption_key=new).load(KEY) == Stored(b"2", version)

    def test_a_missing_key(self, folder):
        """Without the right key nothing is read, replaced or set aside; the error names its id."""
        FileStore(folder, encryption_key=secrets.token_bytes(32)).save(KEY, b"1", expected=None)
        for store in (FileStore(folder), FileStore(folder, encryption_key=secrets.token_bytes(32))):
            for call in (all_calls(store)["load"], all_calls(store)["save"]):
                with pytest.raises(StoreError, match=r"encrypted with the key [0-9a-f]{16}, which"):
                    call()
        assert (folder / RECORD).exists()

    def test_plain_records_are_not_taken_for_encrypted_ones(self, store, folder):
        """A plain record in an encrypted store may be a forgery; None among the old keys lets it in."""
        key = secrets.token_bytes(32)
        version = store.save(KEY, b"1", expected=None)
        with pytest.raises(StoreError, match="pass None among the old keys"):
            FileStore(folder, encryption_key=key).load(KEY)
        assert FileStore(folder, encryption_key=key, old_keys=[None]).load(KEY) == Stored(b"1", version)

    @pytest.mark.parametrize("member", ["version", "fence"])
    def test_forgeries_are_found(self, folder, member):
        """Encrypted content goes with its key, version and fence: a change is damage, checksum or not."""
        store = FileStore(folder, encryption_key=secrets.token_bytes(32))
        version = store.save(KEY, b"1", expected=None)

        def forge(data):
            old, new = (version, "x" * 20) if member == "version" else ('"fence":0', '"fence":1')
            rest = data.partition(b"\n")[2].replace(old.encode(), new.encode())
            return b"smart-async-store/1 %s\n" % hashlib.sha256(rest).hexdigest().encode() + rest

        damage(folder / RECORD, forge)
        with pytest.raises(StoreError, match="changed after it was encrypted"):
            store.load(KEY)

    @pytest.mark.parametrize("key", [b"", bytes(31), bytes(33), "x" * 32, bytearray(32), 7])
    def test_unusable_keys(self, folder, key):
        """A key that is not 32 bytes is refused at once, and nothing is made."""
        for options in ({"encryption_key": key}, {"old_keys": [key]}):
            with pytest.raises(ConfigurationError) as caught:
                FileStore(folder, **options)
            assert [caught.value.field] == list(options)
        assert not folder.exists()

    def test_functions_that_fail(self, folder):
        """A function that raises, or returns something else, is a typed error at use."""

        def away():
            raise ConnectionError("canary")

        with pytest.raises(StoreError, match="raised ConnectionError") as caught:
            FileStore(folder, encryption_key=away).save(KEY, b"1", expected=None)
        assert "canary" not in str(caught.value)
        with pytest.raises(StoreError, match="did not return 32 bytes"):
            FileStore(folder, encryption_key=lambda: b"short").save(KEY, b"1", expected=None)


def test_reading_takes_no_lock(store):
    """While somebody writes, others read on."""
    version = store.save(KEY, b"1", expected=None)
    with store._folder.open() as opened, file._writing(opened, DIGEST):
        done = []
        reader = threading.Thread(target=lambda: done.append(store.load(KEY)))
        reader.start()
        reader.join(10)
        assert done == [Stored(b"1", version)]


class TestPrune:
    """What was not saved for long is forgotten when somebody says so, and never by itself."""

    @staticmethod
    def age(folder, name, seconds):
        """Make a file older."""
        then = time.time() - seconds
        os.utime(folder / name, (then, then))

    def test_what_is_old_goes(self, store, folder):
        """The record and the files of its locks; the key is then as if it had never been there."""
        store.save(KEY, b"old", expected=None)
        store.acquire(KEY, wait=0).release()
        store.save("other", b"new", expected=None)
        self.age(folder, RECORD, 100)
        assert store.prune(time.time() - 50) == 1
        assert (store.load(KEY), store.load("other").data) == (None, b"new")
        assert not [name for name in modes(folder) if name.startswith(DIGEST)]
        assert store.save(KEY, b"again", expected=None) is not None

    def test_what_is_new_stays(self, store, folder):
        """A moment is a limit that is kept to."""
        store.save(KEY, b"1", expected=None)
        assert store.prune((folder / RECORD).stat().st_mtime) == 0
        assert store.load(KEY).data == b"1"
        assert store.prune((folder / RECORD).stat().st_mtime + 1) == 1

    def test_all_that_is_old_is_counted(self, store):
        """The number is that of all keys that went, whatever others had nothing to forget."""
        for key in ("a", "b", "c"):
            store.save(key, b"1", expected=None)
        store.acquire("without a record", wait=0).release()
        assert store.prune(time.time() + 100) == 3

    def test_what_is_new_is_not_even_locked(self, store, monkeypatch):
        """Whoever writes or renews it does not have to wait for the sweep."""
        store.save(KEY, b"1", expected=None)
        locked = []
        monkeypatch.setattr(_tidying, "try_lock", lambda opened, name: locked.append(name))
        assert (store.prune(0), locked) == (0, [])

    @pytest.mark.parametrize("name", [LOCK, LEASE])
    def test_what_is_in_use_stays(self, store, folder, name):
        """A record that somebody renews or writes at the moment is not taken away from under them."""
        store.save(KEY, b"1", expected=None)
        self.age(folder, RECORD, 100)
        lease = store.acquire(KEY, wait=0)
        if name is LOCK:
            lease.release()
            with (folder / LOCK).open("rb") as held:
                fcntl.flock(held, fcntl.LOCK_EX)
                assert store.prune(time.time()) == 0
        else:
            assert store.prune(time.time()) == 0
            assert store.save(KEY, b"2", expected=store.load(KEY).version, lease=lease) is not None
            lease.release()
        assert store.load(KEY) is not None
        self.age(folder, RECORD, 100)
        assert store.prune(time.time()) == 1

    def test_what_is_saved_meanwhile_stays(self, store, folder, monkeypatch):
        """It is looked at again once nobody can write any more."""
        version = store.save(KEY, b"1", expected=None)
        self.age(folder, RECORD, 100)
        real, seen = _tidying.try_lock, []

        def quicker(opened, name):
            if not seen:
                seen.append(name)
                store.save(KEY, b"2", expected=version)
            return real(opened, name)

        monkeypatch.setattr(_tidying, "try_lock", quicker)
        assert store.prune(time.time() - 50) == 0
        assert store.load(KEY).data == b"2"

    def test_locks_without_a_record_go(self, store, folder):
        """Of a key that was only asked for, the files of its locks are left; they are not counted."""
        store.acquire(KEY, wait=0).release()
        (folder / LOCK).touch(0o600)
        assert (store.prune(0), modes(folder)) == (0, {})

    def test_what_is_not_ours_stays(self, store, folder):
        """Other files, what was set aside, and what others can reach: somebody should look at it."""
        aside = f"{DIGEST}.corrupt-1"
        for name in ("notes.txt", aside, f"{DIGEST}.token.bak"):
            (folder / name).touch(0o600)
        store.save("open", b"1", expected=None)
        lock = hashlib.sha256(b"open").hexdigest() + ".lock"
        (folder / lock).chmod(0o644)
        before = set(modes(folder))
        assert store.prune(time.time() + 100) == 0
        assert set(modes(folder)) == before

    @pytest.mark.parametrize("before", [None, "2026-01-01", True])
    def test_what_is_no_moment(self, store, before):
        """Nothing is forgotten by a slip."""
        with pytest.raises(ConfigurationError, match="Unix seconds") as caught:
            store.prune(before)
        assert caught.value.field == "before"

    def test_an_unreadable_folder(self, store, folder):
        """It is an error like any other of the store."""
        folder.rmdir()
        with pytest.raises(StoreError):
            store.prune(0)
