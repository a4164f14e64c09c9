"""The sessions that are in use: one for each login, also in a child process."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_while_a_session_is_looked_for():
    """In the child nobody holds the lock that another thread held then; sessions can be had."""
    program = """
        import os, threading
        from types import SimpleNamespace
        from smart_async.clients._live import LiveSessions
        class Session:
            def __init__(self, state):
                self.state = state
        live = LiveSessions(Session)
        state = SimpleNamespace(key="user-1", merge=lambda other: None)
        kept = live.of(state)
        live._lock.acquire()
        child = os.fork()
        if child == 0:
            found = []
            asker = threading.Thread(target=lambda: found.extend([live.of(state), *live]), daemon=True)
            asker.start()
            asker.join(10)
            os._exit(0 if found == [kept, kept] else 1)
        live._lock.release()
        assert list(live) == [kept]
        raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(program)]
    assert subprocess.run(command, timeout=60, check=False).returncode == 0
