"""Processes that die: nothing stays locked. What they leave to read is in the acceptance tests (15)."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from smart_async.stores import FileStore

KEY = "erin"
AT_ONCE = 1.0
"""Seconds within which a dead holder's lease is somebody else's."""

HOLDER = """
import sys, time
from smart_async.stores import FileStore

lease = FileStore(sys.argv[1]).acquire("erin", wait=5)
print(lease.fence, flush=True)
time.sleep(600)
"""

# A child forked while the lease is held has a copy of the lock's descriptor, and outlives its parent.
FORKED = """
import os, sys
from smart_async.errors import StoreError
from smart_async.stores import FileStore, MemoryStore

store, memory = FileStore(sys.argv[1]), MemoryStore()
lease, turn = store.acquire("erin", wait=5), memory.acquire("erin", wait=5)
if not os.fork():
    saved = store.save("erin", b"1", expected=None, lease=lease)
    lease.release()  # not the child's to release
    held = False
    try:
        store.acquire("erin", wait=0)
    except StoreError:
        held = True
    memory.acquire("erin", wait=0).release()
    print(saved, held, flush=True)
sys.stdin.read()
"""

COUNTER = """
import sys
from smart_async.stores import FileStore

store = FileStore(sys.argv[1])
for _ in range(25):
    lease = store.acquire("erin", wait=60)
    stored = store.load("erin")
    count, version = (int(stored.data), stored.version) if stored else (0, None)
    assert store.save("erin", b"%d" % (count + 1), expected=version, lease=lease)
    print(lease.fence)
    lease.release()
"""


def run(script, folder):
    """Start a Python that runs *script* on the store in *folder*."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", script, str(folder)], text=True, **pipes)


@pytest.fixture
def folder(tmp_path):
    """Return where the tokens are."""
    return tmp_path / "tokens"


def test_a_dead_holder_is_in_nobodys_way(folder):
    """The kernel gives the lease of a killed process to the next in line at once."""
    holder = run(HOLDER, folder)
    store = FileStore(folder)
    with holder, ThreadPoolExecutor(1) as pool:
        fence = int(holder.stdout.readline())
        waiting = pool.submit(store.acquire, KEY, wait=60)
        with pytest.raises(TimeoutError):
            waiting.result(0.1)
        holder.kill()
        begun = time.monotonic()
        lease = waiting.result(60)
        assert time.monotonic() - begun < AT_ONCE
    assert lease.fence > fence
    lease.release()


def test_a_fork_does_not_keep_the_lease(folder):
    """A child forked under a lease neither uses nor frees it, and loses it with its parent."""
    parent = run(FORKED, folder)
    with parent:
        assert parent.stdout.readline() == "None True\n", parent.stderr.read()
        parent.kill()
        begun = time.monotonic()
        FileStore(folder).acquire(KEY, wait=AT_ONCE).release()
        assert time.monotonic() - begun < AT_ONCE
        parent.stdin.close()  # now the child ends as well


def test_processes_take_turns(folder):
    """Processes that read, add and save under the lease lose nothing, and no fence is given twice."""
    processes = [run(COUNTER, folder) for _ in range(4)]
    outputs = [process.communicate(timeout=100) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, outputs
    assert FileStore(folder).load(KEY).data == b"100"
    fences = [[int(line) for line in out.split()] for out, _ in outputs]
    assert all(earlier < later for one in fences for earlier, later in itertools.pairwise(one))
    assert len({fence for one in fences for fence in one}) == 100
