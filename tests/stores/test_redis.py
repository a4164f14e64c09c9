"""What the store in Redis does without one: how it is made, and what it says when nobody answers."""

from __future__ import annotations

import pickle
import socket
import subprocess
import sys

import pytest

from smart_async.errors import ConfigurationError, StoreError

redis = pytest.importorskip("redis", reason="needs the extra redis")

from smart_async.stores import RedisStore  # noqa: E402

CANARY = "c4n4ry"


def all_calls(store):
    """Return each way of reaching the server."""
    return [
        lambda: store.load("key"),
        lambda: store.save("key", b"token-" + CANARY.encode(), expected=None),
        lambda: store.delete("key"),
        lambda: store.acquire("key", wait=0),
    ]


@pytest.fixture
def closed_port():
    """Return a port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.mark.parametrize(
    "url",
    [
        f"http://:{CANARY}@127.0.0.1",
        f"redis://:{CANARY}@127.0.0.1:port",
        f"redis://:{CANARY}/x@127.0.0.1:6379",
        f"redis://:{CANARY}@127.0.0.1/0?no_such_option=1",
        f"redis://:{CANARY}@127.0.0.1/0?socket_timeout=soon",
        CANARY,
        "",
    ],
)
def test_an_unusable_url(url):
    """A URL that cannot be used is an error of yours, which does not repeat it."""
    with pytest.raises(ConfigurationError, match="Redis URL cannot be used") as caught:
        RedisStore(url)
    assert caught.value.field == "client_or_url"
    assert CANARY not in str(caught.value)
    assert caught.value.__context__ is None


def test_clients_that_cannot_be_used():
    """An asynchronous client, one that decodes, or something else is refused, with what to pass instead."""
    for client, said in [
        (redis.asyncio.Redis(), "redis.asyncio.*synchronous client"),
        (object(), "not builtins.object"),
        (redis.Redis(decode_responses=True), "decode_responses=False"),
    ]:
        with pytest.raises(ConfigurationError, match=said) as caught:
            RedisStore(client)
        assert caught.value.field == "client_or_url"


@pytest.mark.parametrize("seconds", [0, -1, 0.0001, True, "30", float("nan"), float("inf")])
def test_times_have_to_be_times(seconds):
    """A lifetime and a lease are a positive number of seconds."""
    for name in ("ttl", "lease_seconds"):
        with pytest.raises(ConfigurationError) as caught:
            RedisStore("redis://127.0.0.1", **{name: seconds})
        assert caught.value.field == name


def test_nobody_listens(closed_port):
    """A server that cannot be reached is a typed error with its place, but no password or token."""
    store = RedisStore(f"redis://:{CANARY}@127.0.0.1:{closed_port}")
    for call in all_calls(store):
        with pytest.raises(StoreError, match=f":{closed_port} cannot be reached") as caught:
            call()
        assert CANARY not in str(caught.value) + repr(store) + str(vars(caught.value))
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    store.close()


def test_no_such_socket(tmp_path):
    """A Unix socket is named by its path."""
    store = RedisStore(f"unix://{tmp_path}/redis.sock")
    with pytest.raises(StoreError, match=r"redis\.sock cannot be reached"):
        store.load("key")


def test_nobody_answers():
    """A server that accepts and then says nothing costs the time in the URL, not for ever."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = RedisStore(f"redis://127.0.0.1:{silent.getsockname()[1]}?socket_timeout=0.05")
        with pytest.raises(StoreError, match="did not answer in time"):
            store.load("key")
        store.close()


def test_without_the_package():
    """Where redis-py is not installed, the error names the pip line."""
    script = (
        "import sys; sys.modules['redis'] = None\n"
        "from smart_async.errors import ConfigurationError\n"
        "from smart_async.stores import RedisStore\n"
        "try: RedisStore('redis://127.0.0.1')\n"
        "except ConfigurationError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert 'pip install "smart-async[redis]"' in done.stdout
