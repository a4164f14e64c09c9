"""The listener that the browser comes back to: one callback, and nothing for anybody else."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from http import HTTPStatus

import pytest

from smart_async.cli import listener as module
from smart_async.cli.listener import CallbackListener, listening
from smart_async.cli.loopback import Place, judge
from smart_async.errors import ConfigurationError, TransportError

PLACE = Place(host="127.0.0.1", port=5000, path="/callback", named=True)
QUERY = "/callback?code=the-code&state=the-state"
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def listener() -> Iterator[CallbackListener]:
    with listening(None, 0) as listener:
        yield listener


def ask(
    listener: CallbackListener, target: str, *, method: str = "GET", **headers: str
) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", listener.place.port, timeout=10)
    connection.putrequest(method, target, skip_host="Host" in headers, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    answer = connection.getresponse()
    answer.text = answer.read().decode()  # type: ignore[attr-defined]  # known here, not to the types
    connection.close()
    return answer


def raw(listener: CallbackListener, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", listener.place.port), timeout=10) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer


def test_the_callback_is_taken_whole(listener: CallbackListener) -> None:
    """The URL that is handed on is the one that the browser asked for."""
    answer = ask(listener, QUERY)
    assert (answer.status, listener.wait(1)) == (
        200,
        f"http://127.0.0.1:{listener.place.port}{QUERY}",
    )


def test_the_page_says_nothing_and_does_nothing(listener: CallbackListener) -> None:
    """A page is a fixed text: no script, no cache, no referrer, no sniffing, nothing of the request."""
    answer = ask(listener, f"/callback?error={HOSTILE.replace('<', '%3C')}&state={HOSTILE}")
    headers = {name.lower(): value for name, value in answer.getheaders()}
    assert answer.status == 200
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert (headers["cache-control"], headers["referrer-policy"], headers["x-content-type-options"]) == (
        "no-store",
        "no-referrer",
        "nosniff",
    )
    text = answer.text  # type: ignore[attr-defined]  # known here, not to the types
    assert ("script" in text, "alert" in text, "set-cookie" in headers, "server" in headers) == (False,) * 4


def test_it_answers_once(listener: CallbackListener) -> None:
    """A second callback is too late, and changes nothing."""
    first, second = ask(listener, QUERY), ask(listener, "/callback?code=another&state=s")
    assert (first.status, second.status, "the-code" in listener.wait(1)) == (200, 410, True)


@pytest.mark.parametrize(
    ("status", "target", "method", "headers"),
    [
        (400, QUERY, "GET", {"Host": "evil.example"}),
        (400, QUERY, "GET", {"Host": "127.0.0.1"}),
        (400, QUERY, "GET", {"Host": "127.0.0.1:1"}),
        (400, QUERY, "GET", {"Sec_Fetch_Mode": "no-cors"}),
        (400, "/callback", "GET", {}),
        (400, "/callback?x=y", "GET", {}),
        (404, "/?code=a&state=b", "GET", {}),
        (404, "/callback/?code=a&state=b", "GET", {}),
        (404, "//callback?code=a&state=b", "GET", {}),
        (404, "/favicon.ico", "GET", {}),
        (404, f"/{HOSTILE}?code=a&state=b", "GET", {}),
        (400, "http://127.0.0.1/callback?code=a&state=b", "GET", {}),
        (405, QUERY, "POST", {"Content_Length": "0"}),
        (405, QUERY, "HEAD", {}),
        (405, QUERY, "OPTIONS", {"Access_Control_Request_Private_Network": "true"}),
        (405, QUERY, "<script>", {}),
    ],
)
def test_anything_else_is_no_answer(
    listener: CallbackListener, status: int, target: str, method: str, headers: dict[str, str]
) -> None:
    """A wrong Host, method or path, or what a page loads in the background, leaves the login waiting."""
    answer = ask(listener, target, method=method, **headers)
    text = answer.text  # type: ignore[attr-defined]  # known here, not to the types
    assert (answer.status, "script" in text, answer.getheader("allow")) == (
        status,
        False,
        "GET" if status == 405 else None,
    )
    with pytest.raises(TransportError):
        listener.wait(0.01)
    assert ask(listener, QUERY).status == 200


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /callback?code=a&state=b\r\n\r\n",
        b"GET /callback?code=a&state=b HTTP/9.9\r\n\r\n",
        b"GET /callback?code=a&state=b HTTP/1.1\r\n\r\n",
        b"GET /callback?code=a&state=b HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n",
        b"\x16\x03\x01\x02\x00<script>\xff",
    ],
)
def test_what_is_no_http_is_no_answer(listener: CallbackListener, data: bytes) -> None:
    """Nothing that can be sent repeats itself on a page, ends the wait or breaks the listener."""
    answer = raw(listener, data)
    assert (b"script" in answer, b"200" in answer.partition(b"\r\n")[0]) == (False, False)
    assert ask(listener, QUERY).status == 200


def test_two_hosts_are_none() -> None:
    """A request that names two hosts may be read in two ways."""
    assert judge(PLACE, "GET", QUERY, ["127.0.0.1:5000"] * 2, None) is HTTPStatus.BAD_REQUEST


def test_a_query_of_many_fields_is_none() -> None:
    """More fields than any server sends are not even counted."""
    assert judge(PLACE, "GET", QUERY + "&a=b" * 200, ["127.0.0.1:5000"], None) is HTTPStatus.BAD_REQUEST


def test_idle_connections_do_not_keep_the_browser_out(listener: CallbackListener) -> None:
    """Browsers open connections in advance; the callback comes through beside them."""
    idle = [socket.create_connection(("127.0.0.1", listener.place.port)) for _ in range(4)]
    status = ask(listener, QUERY).status
    for connection in idle:
        connection.close()
    assert status == 200


def test_a_crowd_is_sent_away(listener: CallbackListener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a number of connections at once, new ones are closed unread; later ones are served again."""
    crowd = [
        socket.create_connection(("127.0.0.1", listener.place.port), timeout=10)
        for _ in range(module._CONNECTIONS + 1)
    ]
    assert crowd[-1].recv(1) == b""
    for connection in crowd:
        connection.close()
    for _ in range(100):
        try:
            status = ask(listener, QUERY).status
            break
        except (http.client.RemoteDisconnected, ConnectionError):
            threading.Event().wait(0.05)
    assert status == 200


def test_nobody_can_reach_it_from_elsewhere(listener: CallbackListener) -> None:
    """It listens on loopback, and its redirect URI says so, with the port that was taken."""
    assert listener.redirect_uri == f"http://127.0.0.1:{listener.place.port}/callback"
    assert listener._server.socket.getsockname()[0] == "127.0.0.1"


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
def test_ipv6_loopback_is_loopback() -> None:
    """A redirect URI on [::1] is listened on there."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with listening("http://[::1]/back", 0) as listener:
        connection = http.client.HTTPConnection("::1", listener.place.port, timeout=10)
        connection.request("GET", "/back?code=a&state=b")
        status = connection.getresponse().status
        connection.close()
    assert (status, listener.redirect_uri) == (200, f"http://[::1]:{listener.place.port}/back")


def test_localhost_listens_on_loopback() -> None:
    """A redirect URI that says localhost is listened on at 127.0.0.1, under the name that was registered."""
    with listening("http://localhost", 0) as listener:
        status = ask(listener, "/?code=a&state=b", Host=f"localhost:{listener.place.port}").status
    assert (status, listener.redirect_uri) == (200, f"http://localhost:{listener.place.port}/")


def test_a_registered_uri_is_kept_byte_for_byte() -> None:
    """A redirect URI with a port is the one that is sent: servers compare it as text."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with listening(f"http://127.0.0.1:{port}/x/Y", port) as listener:
        assert listener.redirect_uri == f"http://127.0.0.1:{port}/x/Y"


def test_port_80_is_not_named() -> None:
    """Browsers leave out the port that a scheme has anyway."""
    assert Place.of("http://127.0.0.1:80/callback", 0).authority == "127.0.0.1"


@pytest.mark.parametrize(
    "uri",
    [
        "https://127.0.0.1/callback",
        "http://app.example.com/callback",
        "http://127.0.0.1.evil.example/callback",
        "http://user@127.0.0.1/callback",
        "http://127.0.0.1/callback?x=y",
        "http://127.0.0.1/callback#x",
        "http://127.0.0.1:99999/callback",
        "http://[::1/callback",
        "org.example.app:/callback",
        "",
    ],
)
def test_elsewhere_nobody_can_listen(uri: str) -> None:
    """A redirect URI that is not this machine's is refused, with the one to register."""
    with pytest.raises(ConfigurationError, match=r"http://127\.0\.0\.1/callback"):
        Place.of(uri, 0)


def test_two_ports_contradict_each_other() -> None:
    """The port of the redirect URI is the one that was registered."""
    with pytest.raises(ConfigurationError, match="5000"):
        Place.of("http://127.0.0.1:5000/callback", 5001)


def test_a_taken_port_is_your_input() -> None:
    """Where something else listens already, the port is named."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=str(port)), listening(None, port):
            pass


def test_nobody_came(listener: CallbackListener) -> None:
    """The wait ends, and says what may have gone wrong."""
    with pytest.raises(TransportError, match=r"within 0\.01 seconds"):
        listener.wait(0.01)
