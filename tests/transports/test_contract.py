"""What every HTTP transport keeps, whatever the server does: one suite for all of them."""

from __future__ import annotations

import functools
import gzip
import json
import pickle
import socket
import threading
import time
import tracemalloc
import zlib

import pytest

from smart_async.errors import ConfigurationError, TransportError
from smart_async.limits import DOCUMENT_BYTES, ERROR_BODY_BYTES, Timeouts
from smart_async.messages import FORM, Headers, Request

HURRIED = Timeouts(total=0.25, discovery=0.25)
SLOW_MACHINE = 10.0
"""Seconds within which a short deadline must have ended even on a busy machine."""

MIB = 1024 * 1024

# Without a time in it: part of a test's name must be the same in every worker.
GZIPPED = gzip.compress(b"plain", mtime=0)


def get(server, path="/r4/metadata", **fields):
    """Return a request for the discovery document of *server*."""
    return Request(method="GET", url=server.url + path, **{"purpose": "discovery", **fields})


def post(server, **fields):
    """Return a token request to *server*."""
    return Request(
        method="POST",
        url=server.url + "/token",
        purpose="token",
        headers=Headers({"Content-Type": FORM}),
        **{"body": b"grant_type=x", **fields},
    )


def failure(caller, request, timeouts=None):
    """Send *request*, which must fail, and return the error."""
    with pytest.raises(TransportError) as caught:
        caller.send(request, timeouts)
    return caught.value


def head(request: bytes) -> dict[str, str]:
    """Return the header fields of a received request."""
    lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    pairs = [line.partition(": ") for line in lines]
    assert len({name.lower() for name, _, _ in pairs}) == len(pairs)
    return {name.lower(): value for name, _, value in pairs}


@functools.cache
def packed_zeros():
    """Return 200 MiB of zeros, which gzip packs into less than the limit."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = b"".join(packer.compress(bytes(MIB)) for _ in range(200)) + packer.flush()
    assert len(packed) < DOCUMENT_BYTES
    return packed


class TestOrdinaryAnswers:
    def test_an_answer_comes_back_whole(self, caller, servers):
        """Status, header fields, body and URL of the answer arrive as they were sent."""
        server = servers.honest(
            b'{"ok": true}', headers=("Content-Type: application/json", "X-A: 1", "X-A: 2")
        )
        request = get(server, "/r4/metadata?x=1")
        response = caller.send(request)
        assert (response.status, response.body, response.url) == (200, b'{"ok": true}', request.url)
        assert response.headers["content-type"] == "application/json"
        assert response.headers["x-a"] == "1, 2"
        assert not response.truncated

    def test_what_goes_out(self, caller, servers):
        """The request line, the fields and the body go out as given, with identity and our own name."""
        server = servers.honest()
        headers = Headers({"Content-Type": FORM, "Accept": "application/json", "Accept-Encoding": "br"})
        request = Request(
            method="POST", url=f"{server.url}/t?a=%20b", purpose="token", headers=headers, body=b"a=1&b=2"
        )
        caller.send(request)
        sent = server.requests[0]
        assert sent.startswith(b"POST /t?a=%20b HTTP/1.1\r\n")
        assert sent.endswith(b"\r\n\r\na=1&b=2")
        fields = head(sent)
        agent = fields.pop("user-agent")
        assert agent.startswith("smart-async/")
        assert fields == {
            "host": f"127.0.0.1:{server.port}",
            "content-type": FORM,
            "accept": "application/json",
            "accept-encoding": "identity",
            "content-length": "7",
        }

    def test_a_root_url_and_a_given_user_agent(self, caller, servers):
        """A URL without a path asks for /, and a User-Agent of the caller's replaces ours."""
        server = servers.honest()
        caller.send(get(server, "", headers=Headers({"User-Agent": "app/1"})))
        assert server.requests[0].startswith(b"GET / HTTP/1.1\r\n")
        assert head(server.requests[0])["user-agent"] == "app/1"

    def test_an_empty_post_says_so(self, caller, servers):
        """A POST without a body has Content-Length 0, which servers insist on."""
        server = servers.honest()
        caller.send(post(server, body=None))
        assert head(server.requests[0])["content-length"] == "0"

    def test_errors_are_answers(self, caller, servers):
        """A 404 is returned, not raised: its meaning is for the protocol to say."""
        server = servers.honest(b"no such thing", status="404 Not Found")
        response = caller.send(get(server))
        assert (response.status, response.body, response.truncated) == (404, b"no such thing", False)

    def test_no_content(self, caller, servers):
        """An answer without a body has an empty one, even if a compression is named."""
        server = servers.honest(b"", status="200 OK", headers=("Content-Encoding: gzip",))
        assert caller.send(get(server)).body == b""

    @pytest.mark.parametrize(
        "status", ["301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent"]
    )
    def test_redirects_are_not_followed(self, caller, servers, status):
        """A redirect comes back as it is, and no second request is made: it would carry credentials."""
        target = servers.honest()
        server = servers.honest(b"", status=status, headers=(f"Location: {target.url}/token",))
        response = caller.send(post(server))
        assert (response.status, response.headers["location"]) == (int(status[:3]), f"{target.url}/token")
        assert (len(server.requests), target.connections) == (1, 0)

    def test_cookies_are_not_kept(self, caller, servers):
        """A server cannot mark us: what it sets as a cookie is not sent back."""
        server = servers.honest(b"{}", headers=("Set-Cookie: id=1; Path=/",))
        caller.send(get(server))
        caller.send(get(server))
        assert "cookie" not in head(server.requests[1])


class TestConnections:
    def test_connections_are_kept(self, caller, servers):
        """Ordinary requests to one server share a connection."""
        server = servers.honest()
        for _ in range(3):
            caller.send(get(server))
        assert (len(server.requests), server.connections) == (3, 1)

    def test_fresh_requests_get_their_own(self, caller, servers):
        """A request that must not be repeated gets a new connection, which is closed after it."""
        closed = threading.Semaphore(0)

        def behave(connection):
            while connection.read_request():
                connection.reply()
            closed.release()

        server = servers.start(behave)
        caller.send(get(server))
        for _ in range(2):
            caller.send(post(server, fresh=True))
        assert server.connections == 3
        assert closed.acquire(timeout=SLOW_MACHINE)
        assert closed.acquire(timeout=SLOW_MACHINE)
        assert [head(sent).get("connection") for sent in server.requests] == [None, "close", "close"]
        caller.send(get(server))
        assert server.connections == 3

    def test_a_closed_kept_connection_is_replaced(self, caller, servers):
        """A connection that the server closed while it was idle is noticed before anything is written."""
        gone = threading.Event()

        def behave(connection):
            connection.read_request()
            connection.reply()
            connection.sock.shutdown(socket.SHUT_RDWR)
            gone.set()

        server = servers.start(behave)
        caller.send(get(server))
        assert gone.wait(SLOW_MACHINE)
        assert caller.send(get(server)).status == 200
        assert server.connections == 2

    def test_how_long_connections_are_kept(self, caller, servers):
        """An idle connection is used again only within keepalive_expiry; with 0 never."""
        server = servers.honest()
        caller.open(keepalive_expiry=0)
        for _ in range(3):
            caller.send(get(server))
        assert (len(server.requests), server.connections) == (3, 3)

    def test_nothing_is_sent_after_close(self, caller, servers):
        """A closed transport says so, and may be closed again."""
        server = servers.honest()
        caller.send(get(server))
        caller.close()
        caller.close()
        with pytest.raises(ConfigurationError) as caught:
            caller.send(get(server))
        assert "closed" in str(caught.value)
        assert len(server.requests) == 1

    def test_waiting_for_a_connection_ends(self, caller, servers):
        """Whoever finds all connections busy waits for `pool` seconds, and is told that nothing was sent."""
        caller.open(max_connections=1)
        arrived = threading.Event()

        def behave(connection):
            connection.read_request()
            arrived.set()
            connection.stop.wait(SLOW_MACHINE)

        server = servers.start(behave)
        first = threading.Thread(target=failure, args=(caller, get(server), Timeouts(discovery=3)))
        first.start()
        assert arrived.wait(SLOW_MACHINE)
        error = failure(caller, get(server), Timeouts(pool=0.1))
        assert (error.sent, error.status) == (False, None)
        assert "All 1 connections stayed busy for 0.1 seconds" in error.message
        server.close()
        first.join(SLOW_MACHINE)
        assert server.connections == 1


class TestHostileBodies:
    """Rule T21: a server decides neither how much memory nor how much time an answer takes."""

    @staticmethod
    def endless(connection):
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not connection.stop.is_set():
            connection.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")

    @staticmethod
    def huge(connection):
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (50 * MIB))
        for _ in range(800):
            connection.send(b"x" * 65536)

    @staticmethod
    def bomb(connection):
        connection.reply(packed_zeros(), headers=("Content-Encoding: gzip",))

    @pytest.mark.parametrize("attack", ["endless", "huge", "bomb"])
    def test_too_much_is_refused(self, caller, servers, attack):
        """A body beyond the limit is refused, with the limit named and at most 32 MiB used on the way."""
        server = servers.once(getattr(self, attack))
        caller.send(get(servers.honest()))  # so that loading the library is not counted
        packed_zeros()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            error = failure(caller, get(server))
            peak = tracemalloc.get_traced_memory()[1] - before
        finally:
            tracemalloc.stop()
        assert (error.sent, error.status, error.endpoint) == (None, 200, server.url + "/r4/metadata")
        assert f"{DOCUMENT_BYTES} bytes" in error.message
        assert error.advice
        assert peak < 32 * MIB

    @pytest.mark.parametrize("encoding", ["identity", "gzip"])
    def test_the_limit_itself(self, caller, servers, encoding):
        """A body of exactly `max_bytes` is taken, and one byte more is not."""
        pack = gzip.compress if encoding == "gzip" else bytes
        fields = (f"Content-Encoding: {encoding}",)
        full = servers.honest(pack(b"x" * 1000), headers=fields)
        over = servers.honest(pack(b"x" * 1001), headers=fields)
        assert caller.send(get(full, max_bytes=1000)).body == b"x" * 1000
        assert "more than the 1000 bytes" in failure(caller, get(over, max_bytes=1000)).message

    @pytest.mark.parametrize("status", ["400 Bad Request", "500 Oops", "302 Found"])
    def test_long_refusals_are_cut(self, caller, servers, status):
        """Of a refusal or a redirect the first 64 KiB are read, and its status is not lost."""
        server = servers.honest(b"x" * MIB, status=status)
        response = caller.send(get(server))
        assert (response.status, response.truncated) == (int(status[:3]), True)
        assert response.body == b"x" * ERROR_BODY_BYTES

    def test_refusals_obey_a_lower_limit(self, caller, servers):
        """A limit below 64 KiB holds for refusals too."""
        server = servers.honest(b"x" * 200, status="400 Bad Request")
        response = caller.send(get(server, max_bytes=100))
        assert (response.body, response.truncated) == (b"x" * 100, True)

    def test_an_endless_refusal(self, caller, servers):
        """A refusal without end is cut as well, and the connection is not used again."""

        def behave(connection):
            connection.send(b"HTTP/1.1 400 No\r\nTransfer-Encoding: chunked\r\n\r\n")
            while not connection.stop.is_set():
                connection.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")

        server = servers.once(behave)
        assert caller.send(get(server)).truncated
        assert caller.send(get(server)).truncated
        assert server.connections == 2

    def test_a_refusal_that_is_a_bomb(self, caller, servers):
        """A compressed refusal is cut at 64 KiB of plain text."""
        server = servers.honest(
            gzip.compress(b"x" * MIB), status="400 Bad Request", headers=("Content-Encoding: gzip",)
        )
        response = caller.send(get(server))
        assert (response.body, response.truncated) == (b"x" * ERROR_BODY_BYTES, True)

    @pytest.mark.parametrize(
        ("encoding", "body"),
        [
            ("gzip", GZIPPED),
            ("x-gzip", GZIPPED),
            ("deflate", zlib.compress(b"plain")),
            ("deflate", zlib.compress(b"plain")[2:-4]),
            ("GZIP", GZIPPED),
        ],
    )
    def test_compression_that_nobody_asked_for(self, caller, servers, encoding, body):
        """Gzip and both kinds of deflate are understood, as servers send them unasked."""
        server = servers.honest(body, headers=(f"Content-Encoding: {encoding}",))
        assert caller.send(get(server)).body == b"plain"

    @pytest.mark.parametrize(
        ("encoding", "body", "problem"),
        [
            ("br", b"\x0b\x02\x80plain\x03", "encoded as 'br'"),
            ("gzip, gzip", b"x", "encoded as 'gzip, gzip'"),
            ("gzip", b"not gzip at all", "said to be compressed"),
            ("gzip", gzip.compress(b"plain" * 1000, mtime=0)[:-12], "broke off"),
            ("gzip", GZIPPED + b"more", "goes on after"),
        ],
    )
    def test_compression_that_cannot_be_read(self, caller, servers, encoding, body, problem):
        """Any other encoding, and a damaged one, is an error that names it and keeps the status."""
        server = servers.honest(body, headers=(f"Content-Encoding: {encoding}",))
        error = failure(caller, get(server))
        assert (error.status, error.sent) == (200, None)
        assert problem in error.message


class TestHostileTiming:
    """Rule T21: the deadline is for the whole exchange, however regularly bytes arrive."""

    @staticmethod
    def body_drip(connection):
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        connection.drip(b"x" * 100000)

    @staticmethod
    def header_drip(connection):
        connection.drip(b"HTTP/1.1 200 OK\r\n" + b"X-Header: value\r\n" * 5000)

    @staticmethod
    def informational(connection):
        while not connection.stop.wait(0.001):
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 10)

    @staticmethod
    def silence(connection):
        connection.stop.wait(60)

    @pytest.mark.parametrize("attack", ["body_drip", "header_drip", "informational", "silence"])
    @pytest.mark.parametrize("fresh", [False, True])
    def test_the_deadline_holds(self, caller, servers, attack, fresh):
        """A server that drips or says nothing is left when the time is up."""
        server = servers.once(getattr(self, attack))
        start = time.monotonic()
        error = failure(caller, get(server, fresh=fresh), HURRIED)
        assert time.monotonic() - start < SLOW_MACHINE
        assert error.sent is None
        assert error.status == (200 if attack == "body_drip" else None)
        assert error.message == "The exchange was not over after 0.25 seconds."

    @pytest.mark.parametrize(
        ("purpose", "quick"),
        [("discovery", True), ("jwks", True), ("style", True), ("token", False), ("fhir", False)],
    )
    def test_which_deadline_counts(self, caller, servers, purpose, quick):
        """Discovery, keys and styles have a deadline of their own; everything else has `total`."""
        server = servers.once(self.silence)
        timeouts = Timeouts(discovery=0.2, total=60) if quick else Timeouts(discovery=60, total=0.2)
        assert "0.2 seconds" in failure(caller, get(server, purpose=purpose), timeouts).message

    def test_the_read_timeout(self, caller, servers):
        """A pause longer than `read` ends the exchange before its deadline."""
        server = servers.once(self.silence)
        error = failure(caller, get(server), Timeouts(read=0.2))
        assert (error.sent, error.message) == (None, "No answer came within 0.2 seconds.")

    def test_the_next_request_is_served(self, caller, servers):
        """A missed deadline leaves nothing behind that would hold up the next request."""
        caller.open(max_connections=1)
        failure(caller, get(servers.once(self.silence)), Timeouts(discovery=0.1))
        assert caller.send(get(servers.honest())).status == 200


class TestBrokenAnswers:
    def broken(self, caller, server, **fields):
        error = failure(caller, post(server, **fields))
        assert error.sent is None
        assert error.endpoint == server.url + "/token"
        assert error.advice == "Whether the server acted on the request is unknown."
        return error

    def test_reset_after_the_request(self, caller, servers):
        """A connection reset after the request was written leaves its outcome unknown."""
        assert self.broken(caller, servers.once(lambda c: c.reset())).status is None

    def test_closed_after_the_request(self, caller, servers):
        """So does one that is closed in order but without an answer."""
        assert self.broken(caller, servers.once(lambda c: None)).status is None

    def test_a_body_shorter_than_announced(self, caller, servers):
        """A body that ends before its Content-Length is an error, not a short answer."""
        server = servers.once(lambda c: c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"))
        assert self.broken(caller, server).status == 200

    def test_a_body_longer_than_announced(self, caller, servers):
        """What follows after Content-Length bytes is no part of the answer."""
        server = servers.once(lambda c: c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}evil"))
        assert caller.send(post(server, fresh=True)).body == b"{}"

    def test_reset_within_the_body(self, caller, servers):
        """A reset in the middle of the body keeps the status that had arrived."""

        def behave(connection):
            connection.send(b"HTTP/1.1 400 No\r\nContent-Length: 100\r\n\r\nshort")
            connection.reset()

        assert self.broken(caller, servers.once(behave)).status in (400, None)

    @pytest.mark.parametrize(
        "answer",
        [
            b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX-Secret-Value: canary\0\r\n\r\n",
        ],
    )
    def test_what_is_not_http(self, caller, servers, answer):
        """An answer that is not HTTP is an error that repeats nothing of it."""
        error = self.broken(caller, servers.once(lambda c: c.send(answer)))
        assert "not valid HTTP" in error.message
        assert "canary" not in str(error)

    def test_a_head_of_200_kilobytes(self, caller, servers):
        """A header beyond 100 KiB is refused."""
        fields = b"X-Header: " + b"v" * 990 + b"\r\n"
        server = servers.once(lambda c: c.send(b"HTTP/1.1 200 OK\r\n" + fields * 200 + b"\r\n{}"))
        assert "too large in its header" in self.broken(caller, server).message

    def test_ten_thousand_informational_answers(self, caller, servers):
        """Informational answers are skipped; the final one counts."""

        def behave(connection):
            connection.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10_000)
            connection.reply(b"final")

        assert caller.send(get(servers.once(behave))).body == b"final"


class TestNoConnection:
    def test_refused(self, caller, servers):
        """Where nobody listens nothing was sent, and the host is named."""
        server = servers.honest()
        server.close()
        error = failure(caller, post(server, fresh=True))
        assert (error.sent, error.status) == (False, None)
        assert error.message == f"No connection to 127.0.0.1:{server.port} could be opened."
        assert f"Is the server running, and {server.port} the right port?" in error.advice

    def test_no_such_host(self, caller):
        """A name that cannot be resolved is named as the problem."""
        url = "https://nothing.invalid/r4"
        error = failure(caller, Request(method="GET", url=url, purpose="discovery"), Timeouts())
        assert error.sent is False
        assert error.message == "The name of the host nothing.invalid cannot be resolved."
        assert "proxy" in error.advice

    def test_connecting_takes_too_long(self, caller):
        """A connection that is not opened in time was not sent anything."""
        with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
            address = full.getsockname()
            waiting = [socket.socket() for _ in range(8)]
            try:
                for sock in waiting:
                    sock.setblocking(False)
                    sock.connect_ex(address)
                url = f"http://127.0.0.1:{address[1]}/"
                request = Request(method="GET", url=url, purpose="token")
                error = failure(caller, request, Timeouts(connect=0.2))
            finally:
                for sock in waiting:
                    sock.close()
        assert error.sent is False
        assert "could be opened within 0.2 seconds" in error.message

    def test_the_deadline_holds_while_connecting(self, caller):
        """The deadline counts while the connection is being opened, too, and nothing was sent then."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"https://127.0.0.1:{silent.getsockname()[1]}/"
            error = failure(caller, Request(method="GET", url=url, purpose="token"), HURRIED)
        assert error.sent is False
        assert error.message == "The exchange was not over after 0.25 seconds."


class TestNothingLeaks:
    """Rules T44 and T50: no error shows what was in a header, a query or a body."""

    CANARY = "canary-7f3a"

    @pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "tök", "nul\0", " blank", "blank ", "\x7f"])
    def test_values_that_a_header_cannot_hold(self, caller, servers, value):
        """A value with a line break, a NUL or an umlaut is refused before anything is sent, and not shown."""
        server = servers.honest()
        headers = Headers(
            {"Authorization": self.CANARY + value + self.CANARY if value.strip() == value else value}
        )
        with pytest.raises(ConfigurationError) as caught:
            caller.send(get(server, headers=headers))
        assert "authorization" in caught.value.message
        assert self.CANARY not in str(caught.value)
        assert server.connections == 0

    def test_names_that_a_header_cannot_have(self, caller, servers):
        """A field name with a colon or a line break is refused."""
        server = servers.honest()
        with pytest.raises(ConfigurationError) as caught:
            caller.send(get(server, headers=Headers({"X:\r\nY": "z"})))
        assert caught.value.field == "headers"

    @pytest.mark.parametrize("suffix", ["?a=ü", "?a=b c", "?a#b", "?a\r\nb", "#f", "/../x", "/ü"])
    def test_urls_that_cannot_be_sent(self, caller, servers, suffix):
        """A URL that two parsers could read differently is refused."""
        server = servers.honest()
        with pytest.raises(ConfigurationError) as caught:
            caller.send(get(server, suffix))
        assert caught.value.field == "url"

    def test_plain_http_leaves_the_machine_never(self, caller):
        """A transport does not speak plain http with anything but loopback, whoever asks it to."""
        request = Request(method="GET", url="http://ehr.example.com/", purpose="discovery")
        with pytest.raises(ConfigurationError):
            caller.send(request)

    @pytest.mark.parametrize("answer", [b"", b"rubbish\r\n\r\n", b"HTTP/1.1 200 OK\r\ncanary-7f3a\r\n\r\n"])
    def test_errors_after_sending(self, caller, servers, answer):
        """Message, attributes, pickle and context of an error hold no header, query, body or answer."""
        server = servers.once(lambda c: c.send(answer))
        request = Request(
            method="POST",
            url=f"{server.url}/token?secret={self.CANARY}",
            purpose="token",
            headers=Headers({"Authorization": f"Bearer {self.CANARY}"}),
            body=f"code={self.CANARY}".encode(),
        )
        error = failure(caller, request)
        assert error.endpoint == f"{server.url}/token"
        assert (error.__cause__, error.__context__) == (None, None)
        for text in (str(error), repr(error), repr(vars(error)), pickle.dumps(error).decode("latin-1")):
            assert self.CANARY not in text


def test_the_environment_is_ignored(caller, servers, monkeypatch, tmp_path, authority, ca_file):
    """Rule T52: neither proxies nor keys nor trust come from the environment."""
    trap = servers.honest()
    keylog = tmp_path / "keys.log"
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login eve password mallory\n")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, trap.url)
        monkeypatch.setenv(name.lower(), trap.url)
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("SSLKEYLOGFILE", str(keylog))
    server = servers.honest(cert=authority.issue_cert("127.0.0.1"))
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    assert failure(caller, get(server)).sent is False
    caller.open(ca_file=ca_file)
    assert caller.send(get(server)).status == 200
    assert trap.connections == 0
    assert "authorization" not in head(server.requests[0])
    assert not keylog.exists()


def test_many_at_once(caller, servers):
    """More requests at once than connections are all served, over no more connections than allowed."""
    caller.open(max_connections=3)
    server = servers.honest(json.dumps({"a": 1}).encode())
    statuses = []
    threads = [
        threading.Thread(target=lambda: statuses.append(caller.send(get(server)).status)) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SLOW_MACHINE)
    assert statuses == [200] * 20
    assert 1 <= server.connections <= 3
