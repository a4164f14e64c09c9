"""
A bad network: a proxy between client and server that does to each request what a seeded die says.

It reads a request whole before anything happens to it, so that what the client sent and what reached the
server are both known exactly.
"""

from __future__ import annotations

import contextlib
import random
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs

__all__ = ("FAULTS", "FaultyNetwork", "Passed")

FAULTS: Mapping[str, int] = {
    "pass": 660,
    "delay": 40,  # the answer comes late, but in time
    "duplicate": 60,  # the answer comes twice
    "busy": 30,  # 503 from something in between, with Retry-After; the server never sees the request
    "cut before": 30,  # the connection ends before the server sees the request
    "reset before": 30,
    "cut after": 30,  # the server does what it was asked to, and nobody hears of it
    "reset after": 30,
    "cut in head": 20,  # the answer breaks off
    "cut in body": 30,
    "garbage": 20,  # something that is no HTTP
    "half-open": 8,  # the server acted, and the connection stays open and silent
    "stall in body": 6,
    "late": 6,  # the answer comes when the client has given up
}
"""What happens, and how often in a thousand."""

_LENGTH = re.compile(rb"\r\ncontent-length:[ ]*([0-9]+)\r\n", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection:[^\r]*(?=\r\n|\Z)", re.IGNORECASE)
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """
    One request, as it came out of the client.

    Args:
        line: Method and target.
        body: Its body.
        fault: What happened to it.
        reached: Whether the server saw it.
    """

    line: str
    body: bytes
    fault: str
    reached: bool

    @property
    def form(self) -> dict[str, str]:
        """The fields of its form; nothing for other kinds of bodies."""
        if self.body[:1] in (b"", b"{"):
            return {}
        return {name: values[-1] for name, values in parse_qs(self.body.decode()).items()}


@dataclass
class FaultyNetwork:
    """
    Listen on a port of 127.0.0.1 and pass requests on to *upstream*, well or badly.

    Args:
        upstream: Port of the server.
        seed: Of the die.
        patience: Seconds that the client waits for an answer; "late" is a little more.
        faults: What happens, and how often.
    """

    upstream: int
    seed: int
    patience: float
    faults: Mapping[str, int] = field(default_factory=lambda: FAULTS)

    def __post_init__(self) -> None:
        self.requests: list[Passed] = []
        self.failures: list[BaseException] = []
        self._dice = random.Random(self.seed)
        self._stop = threading.Event()
        self._open: set[socket.socket] = set()
        self._changed = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    @property
    def used(self) -> Counter[str]:
        """How often each fault happened."""
        return Counter(passed.fault for passed in self.requests)

    def idle(self, seconds: float) -> bool:
        """Wait until no client is connected, and return whether that came true."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._open, seconds)

    def close(self) -> None:
        """Stop listening and end every connection."""
        self._stop.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join(10)
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        assert self.idle(10)

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._changed:
                self._open.add(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while self._pass_one(sock):
                pass
        except OSError:
            pass  # the client hung up
        except BaseException as exc:
            self.failures.append(exc)
            raise
        finally:
            sock.close()
            with self._changed:
                self._open.discard(sock)
                self._changed.notify_all()

    def _pass_one(self, sock: socket.socket) -> bool:
        """Read one request, do to it what the die says, and return whether the connection goes on."""
        head, body = _read_request(sock)
        if not head:
            return False
        with self._changed:
            fault = self._dice.choices(list(self.faults), list(self.faults.values()))[0]
            place = self._dice.random()
            before = fault in ("busy", "cut before", "reset before")
            line = b" ".join(head.split(b" ", 2)[:2]).decode()
            self.requests.append(Passed(line=line, body=body, fault=fault, reached=not before))
        answer = b"" if before else self._ask(head, body)
        action: Callable[[socket.socket, bytes, float], bool] = _ACTIONS.get(fault, _pass)
        if fault in ("half-open", "stall in body", "late", "delay"):
            return self._hold(sock, fault, answer, place)
        return action(sock, answer, place)

    def _ask(self, head: bytes, body: bytes) -> bytes:
        head = _CLOSE.sub(b"", head).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        with socket.create_connection(("127.0.0.1", self.upstream), timeout=30) as server:
            server.sendall(head + body)
            answer = b"".join(iter(lambda: server.recv(65536), b""))
        head, end, rest = answer.partition(b"\r\n\r\n")
        return _CLOSE.sub(b"", head) + end + rest

    def _hold(self, sock: socket.socket, fault: str, answer: bytes, place: float) -> bool:
        if fault == "delay":
            self._stop.wait(place * min(0.02, self.patience / 4))
            return _pass(sock, answer, place)
        if fault == "stall in body":
            sock.sendall(answer[: _in_body(answer, place)])
        # Until the client hangs up, which is when its patience ends.
        sock.settimeout(self.patience * 20)
        gone = not sock.recv(1)
        if fault == "late":
            sock.sendall(answer)
        return not gone


def _pass(sock: socket.socket, answer: bytes, place: float) -> bool:
    sock.sendall(answer)
    return True


def _twice(sock: socket.socket, answer: bytes, place: float) -> bool:
    sock.sendall(answer + answer)
    return True


def _busy(sock: socket.socket, answer: bytes, place: float) -> bool:
    sock.sendall(_BUSY)
    return True


def _cut(sock: socket.socket, answer: bytes, place: float) -> bool:
    return False


def _reset(sock: socket.socket, answer: bytes, place: float) -> bool:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def _cut_in_head(sock: socket.socket, answer: bytes, place: float) -> bool:
    sock.sendall(answer[: 1 + int(place * answer.index(b"\r\n\r\n"))])
    return False


def _cut_in_body(sock: socket.socket, answer: bytes, place: float) -> bool:
    sock.sendall(answer[: _in_body(answer, place)])
    return False


def _garbage(sock: socket.socket, answer: bytes, place: float) -> bool:
    sock.sendall(b"\x16\x03\x01" + answer[::-1])
    return False


def _in_body(answer: bytes, place: float) -> int:
    start = answer.index(b"\r\n\r\n") + 4
    # At least one byte is missing; of an empty body, the end of the head is.
    return start + int(place * (len(answer) - start)) if len(answer) > start else start - 1


_ACTIONS: dict[str, Callable[[socket.socket, bytes, float], bool]] = {
    "duplicate": _twice,
    "busy": _busy,
    "cut before": _cut,
    "cut after": _cut,
    "reset before": _reset,
    "reset after": _reset,
    "cut in head": _cut_in_head,
    "cut in body": _cut_in_body,
    "garbage": _garbage,
}


def _read_request(sock: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = sock.recv(65536)
        if not chunk:
            return b"", b""
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    found = _LENGTH.search(head + b"\r\n")
    while len(body) < (int(found[1]) if found else 0):
        chunk = sock.recv(65536)
        if not chunk:
            return b"", b""
        body += chunk
    return head + b"\r\n\r\n", body
