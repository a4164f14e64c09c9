"""Acceptance 15: a store in files that survives any death and trusts no links; T46, T48."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from smart_async import StoreError
from smart_async.stores import FileStore

# Forks 200 writers, one after the other, and kills each in the middle of its work. A writer says which number
# it has saved; so after the kill there has to be that number, or the one after it.
KILLED_WRITERS = """
import itertools, os, random, signal, stat, sys, time
from smart_async.stores import FileStore

os.umask(0)
modes = lambda: {stat.S_IMODE(entry.stat().st_mode) for entry in os.scandir(sys.argv[1])}
store = FileStore(sys.argv[1])
saved = lambda: int(store.load("erin").data[:20])
version = store.save("erin", b"%020d" % 0 + bytes(20_000), expected=None)
outcomes, delays = {"old": 0, "new": 0}, random.Random(5)
for _ in range(200):
    first = saved() + 1
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        version = store.load("erin").version
        for number in itertools.count(first):
            lease = store.acquire("erin", wait=5)
            data = b"%020d" % number + number.to_bytes(4, "big") * 5_000
            version = store.save("erin", data, expected=version, lease=lease)
            os.write(writing, b"%020d" % number)
            lease.release()
    os.close(writing)
    os.read(reading, 20)  # it has begun
    time.sleep(delays.uniform(0, 0.01))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    said = first - 1 + len(os.read(reading, 1_000_000)) // 20 + 1
    stored = store.load("erin")
    number = int(stored.data[:20])
    assert number in (said, said + 1), (said, number)
    assert stored.data[20:] == number.to_bytes(4, "big") * 5_000
    outcomes["old" if number == said else "new"] += 1
    assert modes() == {0o600}, modes()  # of a temporary file that was left, too
    os.close(reading)
    store.acquire("erin", wait=1).release()
    assert store.save("erin", stored.data, expected=stored.version)
assert not [name for name in os.listdir(sys.argv[1]) if "corrupt" in name]
assert stat.S_IMODE(os.stat(sys.argv[1]).st_mode) == 0o700
print(outcomes, file=sys.stderr)
print(sum(outcomes.values()))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the tokens are."""
    return tmp_path / "tokens"


@pytest.fixture
def open_umask() -> Any:
    """Let files be made for everybody, as some service managers do."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def logged_in(colour, net, provider, config, tools, folder, open_umask) -> Any:
    """A client of each colour whose session is in files, and a way to find the session again."""
    client = colour.make(config, transport=net, clock=provider.clock, store=FileStore(folder))
    pending = colour.call(client.authorize)
    token = colour.call(client.exchange_code, pending, tools.callback_url(pending))

    async def make() -> Any:
        return client.session(token)

    session = client.session(token) if colour.portal is None else colour.call(make)
    colour.call(session.get_token)

    def again() -> Any:
        other = colour.make(config, transport=net, clock=provider.clock, store=FileStore(folder))
        return colour.call(colour.call(other.load_session, session.key).get_token)

    return session, again


def symbolic_link(path: Path, outside: Path) -> None:
    """Put a link in the place of a file; what it leads to would do."""
    outside.write_bytes(path.read_bytes())
    outside.chmod(0o600)
    path.unlink()
    path.symlink_to(outside)


def hard_link(path: Path, outside: Path) -> None:
    """Give a file a second name, elsewhere."""
    os.link(path, outside)


def records(folder: Path) -> list[Path]:
    """The files with something in them, and not the locks."""
    return [path for path in folder.iterdir() if path.stat().st_size]


def test_two_hundred_kills(folder: Path) -> None:
    """Killed at any moment of a save, a writer leaves what it saved last or what it was about to save."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED_WRITERS, str(folder)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "200\n"), done.stderr
    print(done.stderr)  # how many of each


@pytest.mark.rule("TK-17")
def test_modes_under_an_open_umask(logged_in, folder: Path) -> None:
    """Files of a session are ours alone, whatever the umask lets through."""
    _, again = logged_in
    assert again().access_token.reveal() == "at-1"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes
    assert set(modes.values()) == {0o600}


@pytest.mark.parametrize("put", [symbolic_link, hard_link])
@pytest.mark.parametrize("which", ["the record", "a lock"])
def test_links_are_refused(colour, logged_in, folder: Path, tmp_path: Path, net, put, which: str) -> None:
    """A link in the place of a record or a lock is neither read nor written through, and nothing is sent."""
    session, again = logged_in
    colour.call(session.renew)
    filled = records(folder)
    assert filled
    chosen = filled if which == "the record" else [path for path in folder.iterdir() if path not in filled]
    assert chosen
    for number, path in enumerate(chosen):
        put(path, tmp_path / f"outside-{number}")
    outside = {path: path.read_bytes() for path in tmp_path.glob("outside-*")}
    sent = len(net.of("token"))
    with pytest.raises(StoreError, match=r"symbolic link|second name"):
        colour.call(session.renew)
    if which == "the record":
        with pytest.raises(StoreError, match=r"symbolic link|second name"):
            again()
    assert len(net.of("token")) == sent
    assert {path: path.read_bytes() for path in outside} == outside
