"""
Use the library for minutes, at two servers that are killed meanwhile: `make soak`, or `make soak SECONDS=60`.

Six ways (sync, asyncio and trio over httpx and httpx2) discover, sign in, renew, read, page, introspect,
revoke and register at npm's oidc-provider and at the sandbox, which has faults. Both are killed and started
again, three times each (twice in a short run). In the last part there are neither faults nor restarts, and
then nothing may fail. What makes it fail is in `judge.py`; the exit status is 1 then.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import logging
import os
import random
import re
import sys
import tempfile
import threading
import time
import tracemalloc
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support"), str(HERE.parents[1])]

from crew import Way, Worker  # noqa: E402 - found on the path from here on
from judge import GROWTH, Outage, Record, Sample, judge  # noqa: E402
from peers import OidcProviderPeer, Peer, SandboxPeer  # noqa: E402

from smart_async import SigningKey  # noqa: E402 - its folder had to be put on the path first
from smart_async.stores import FileStore, MemoryStore  # noqa: E402

COLOURS = ("sync", "asyncio", "trio")
LIBRARIES = ("httpx", "httpx2")
WORKERS = 2
"""At each server, for each way."""

SHORTEST = 60
RESTARTS = {"sandbox": (0.08, 0.35, 0.60), "oidc-provider": (0.14, 0.45, 0.70)}
"""When each server is killed, in parts of the whole; the first time within the warm-up."""

SHORT = 240
"""Seconds below which the last of them is left out: to start a server takes seconds on a busy machine."""

WARM = 0.25
CALM = 0.82
AWAY = 1.0
FAULT_EVERY = 1.5
TRACED = 45.0
FAULTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("lost_token_response", {}),
    ("expired_code", {}),
    ("unavailable", {"endpoint": "token"}),
    ("unavailable", {"endpoint": "introspect"}),
    ("unavailable", {"endpoint": "discovery"}),
    ("refresh_reused", {}),
    ("unknown_kid", {}),
    ("wrong_state", {}),
    ("insufficient_scope", {}),
    ("slow", {"seconds": 0.5, "times": 3}),
    ("fhir_401", {}),
)


class Soak:
    """One run: servers, workers, and who watches them."""

    def __init__(self, seconds: float, stack: contextlib.ExitStack) -> None:
        self.seconds = seconds
        self.stack = stack
        self.record = Record()
        self.stop = threading.Event()
        self.ways: list[Way] = []
        self.key = SigningKey.generate("ES384", kid="soak")
        names = [f"soak-{colour}-{library}" for colour in COLOURS for library in LIBRARIES]
        self.sandbox = SandboxPeer(self.key, names)
        self.peers: list[Peer] = [self.sandbox, OidcProviderPeer(self.key, names)]
        self.dice = random.Random(9)
        self.begun = 0.0
        self.open_at_end: Counter[str] = Counter()
        self._report: Counter[str] = Counter()

    def run(self) -> list[str]:
        """Do it all, and return what was wrong."""
        self.listen()
        for peer in self.peers:
            peer.start()
            self.stack.callback(peer.close)
        # The event loops stay, so that what was left on them can be counted.
        self.ways = [Way(c, lib, self.stack, self.record.noise) for c in COLOURS for lib in LIBRARIES]
        before = self.sample()
        self.work()
        self.record.struck, self.record.replays = self.collect()
        after = self.settled(before)
        return judge(self.record, before=before, after=after)

    def work(self) -> None:
        """Let everybody work for the time that was given."""
        with contextlib.ExitStack() as opened, tempfile.TemporaryDirectory() as folder:
            workers = self.hire(opened, Path(folder))
            threads = [threading.Thread(target=worker.work, args=(self.stop,)) for worker in workers]
            self.begun = time.monotonic()
            self.record.warm_since = self.begun + WARM * self.seconds
            threads.append(threading.Thread(target=self.measure))
            for thread in threads:
                thread.start()
            try:
                self.supervise()
                self.open_at_end = open_files()
                if self.record.growth() > GROWTH:
                    self.trace()
            finally:
                self.stop.set()
                for thread in threads:
                    thread.join()

    def hire(self, opened: contextlib.ExitStack, folder: Path) -> list[Worker]:
        """Make clients and workers, which are closed with *opened*."""
        workers = []
        for way in self.ways:
            for peer in self.peers:
                store = (
                    MemoryStore() if way.library == "httpx" else FileStore(folder / f"{way.name}-{peer.name}")
                )
                client, http = way.client(peer, store), way.http(peer)
                blocking = way.portal is None
                opened.callback(way.call, client.close if blocking else client.aclose)
                opened.callback(way.call, http.close if blocking else http.aclose)
                workers += [Worker(n, way, peer, client, http, self.record) for n in range(WORKERS)]
        return workers

    def supervise(self) -> None:
        """Kill, start and disturb, each in its time."""
        restarts = {name: parts if self.seconds >= SHORT else parts[:2] for name, parts in RESTARTS.items()}
        due = sorted(
            ((part, peer) for peer in self.peers for part in restarts[peer.name]), key=lambda each: each[0]
        )
        due_faults = 0.0
        while (part := self.part()) < 1:
            if due and part >= due[0][0]:
                self.restart(due.pop(0)[1])
            now = time.monotonic()
            if part >= CALM and self.record.calm_since == float("inf"):
                self.sandbox.calm()
                self.record.calm_since = now
            elif part < CALM and now >= due_faults:
                fault, options = self.dice.choice(FAULTS)
                self.sandbox.misbehave(fault, **options)
                due_faults = now + FAULT_EVERY
            self.stop.wait(0.2)

    def measure(self) -> None:
        """Take samples until told to stop."""
        while not self.stop.wait(max(0.5, self.seconds / 200)) and self.part() < 1:
            self.record.samples.append(self.sample())

    def part(self) -> float:
        """Return how much of the time is over, from 0 to 1."""
        return (time.monotonic() - self.begun) / self.seconds

    def restart(self, peer: Peer) -> None:
        """Kill a server, and start it again a moment later."""
        outage = Outage(peer.name, time.monotonic())
        if peer is self.sandbox:
            self.sandbox.calm()
            self.keep_report()
        outage.begun = time.monotonic()
        self.record.outages.append(outage)
        peer.kill()
        self.stop.wait(AWAY)
        peer.start()
        outage.ended = time.monotonic()
        self.say(f"restarted {peer.name}, away for {outage.ended - outage.begun:.1f} s")

    def keep_report(self) -> None:
        """Add up what the sandbox saw since it was started last."""
        report = self.sandbox.report()
        for kind, counts in report.items():
            self._report.update({f"{kind} {name}": count for name, count in counts.items()})

    def collect(self) -> tuple[Counter[str], Counter[str]]:
        """Return how often each fault struck, and what was presented twice, in all generations."""
        self.keep_report()

        def part(kind: str) -> Counter[str]:
            return Counter({k.partition(" ")[2]: n for k, n in self._report.items() if k.startswith(kind)})

        return part("struck "), part("replays ")

    def sample(self) -> Sample:
        """Measure this process."""
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)  # what is free but not given back is no leak
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return Sample(
            at=time.monotonic(),
            rss=pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
            descriptors=len(list(Path("/proc/self/fd").iterdir())),
            threads=len([t for t in threading.enumerate() if not t.name.startswith(POOLS)]),
            tasks=sum(way.tasks() for way in self.ways),
        )

    def settled(self, before: Sample) -> Sample:
        """Measure once more, as soon as what is being closed elsewhere is closed."""
        after = self.sample()
        for _ in range(50):
            names = ("descriptors", "threads", "tasks")
            if all(getattr(after, name) <= getattr(before, name) for name in names):
                break
            time.sleep(0.2)
            after = self.sample()
        return after

    def trace(self) -> None:
        """Show what more traffic allocates and keeps."""
        tracemalloc.start(8)
        self.stop.wait(5)
        first = tracemalloc.take_snapshot()
        self.stop.wait(TRACED)
        gc.collect()
        second = tracemalloc.take_snapshot()
        print(f"Memory grew. Most of what {TRACED:.0f} s more of the same allocated and kept:")
        for line in second.compare_to(first, "lineno")[:20]:
            print(f"  {line}")
        tracemalloc.stop()

    def listen(self) -> None:
        """Take for a failure what would only be printed otherwise."""
        noise = self.record.noise

        class Listener(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                noise.append(f"{record.name} logged: {record.getMessage()[:300]}")

        logging.getLogger().addHandler(logging.NullHandler())  # failed renewals are counted, not shown
        for name in ("asyncio", "trio"):
            logging.getLogger(name).addHandler(Listener(logging.WARNING))
        warnings.simplefilter("always", ResourceWarning)
        warnings.showwarning = lambda message, *_, **__: noise.append(f"Warning: {message}")
        sys.unraisablehook = lambda found: noise.append(
            f"Unraisable: {found.exc_value!r} in {found.object!r}"
        )
        threading.excepthook = lambda found: noise.append(f"A thread ended in {found.exc_value!r}")

    def say(self, text: str) -> None:
        """Tell whoever waits how far it is."""
        print(f"  {time.monotonic() - self.begun:6.1f} s  {text}", flush=True)

    def table(self, seconds: float) -> str:
        """Return the report."""
        record = self.record
        lines = [f"{'server':15}{'operation':12}{'done':>8}"]
        lines += [f"{server:15}{kind:12}{n:8}" for (server, kind), n in sorted(record.done.items())]
        total = sum(record.done.values())
        lines += [f"{'all':27}{total:8}   {total / seconds:.0f} a second, in {seconds:.0f} s", ""]
        lines += [f"{'server':15}{'explained by':14}{'error':44}{'times':>6}"]
        lines += [f"{s:15}{why:14}{error:44}{n:6}" for (s, why, error), n in sorted(record.failed.items())]
        lines += [
            "",
            "faults that struck: " + shown(record.struck),
            "presented twice: " + shown(record.replays),
        ]
        warm = [sample for sample in record.samples if sample.at >= record.warm_since]
        lines += ["", f"{'after warm-up':15}{'first':>8}{'last':>8}{'most':>8}"]
        for name in ("rss", "descriptors", "threads", "tasks"):
            values = [getattr(sample, name) for sample in warm] or [0]
            lines.append(f"{name:15}{values[0]:8.0f}{values[-1]:8.0f}{max(values):8.0f}")
        lines.append("open in the end: " + shown(self.open_at_end))
        growth = record.growth() if warm else 0.0
        lines.append(f"memory grew by {growth:+.2f} MiB between medians (allowed: {GROWTH:.0f})")
        return "\n".join(lines)


POOLS = ("AnyIO worker", "Trio thread", "asyncio_", "ThreadPoolExecutor")
"""Threads that pools keep for a while, or that come and go with a burst."""


def open_files() -> Counter[str]:
    """Return how many descriptors of which kind this process has."""
    kinds: Counter[str] = Counter()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            kinds[re.sub(r":.*|/.*", "", str(entry.readlink())) or "file"] += 1
    return kinds


def shown(counts: Counter[str]) -> str:
    """Return counts as a line."""
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"


def main() -> int:
    """Run, report, and return the exit status."""
    parser = argparse.ArgumentParser(description="Use the library for minutes while servers come and go.")
    parser.add_argument(
        "--seconds", type=float, default=600, help=f"how long, from {SHORTEST} on (default: 600)"
    )
    seconds = max(SHORTEST, parser.parse_args().seconds)
    print(f"Soaking for {seconds:.0f} s: {len(COLOURS) * len(LIBRARIES)} ways, 2 servers", flush=True)
    with contextlib.ExitStack() as stack:
        soak = Soak(seconds, stack)
        problems = soak.run()
        print(soak.table(seconds))
    for problem in problems[:40]:
        print(f"FAILED  {problem}")
    if len(problems) > 40:
        print(f"FAILED  and {len(problems) - 40} more")
    print("failed" if problems else "passed")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
