"""A store in Redis: for workers on any number of machines. Needs `pip install "smart-async[redis]"`."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, cast

from smart_async.errors import ConfigurationError, StoreError
from smart_async.interfaces import Lease, Stored
from smart_async.limits import LEASE_SECONDS
from smart_async.messages import clean_text
from smart_async.stores import _lua
from smart_async.stores._common import busy, check_data, digest_of, new_version, retry_until

if TYPE_CHECKING:
    from redis import Redis

__all__ = ("RedisStore",)

_FENCE_SECONDS = 24 * 3600.0
"""Seconds that a fence is kept after its latest lease; who wakes later finds none, and saves nothing."""
_TIMEOUT = 5.0
_ERROR_CODE = re.compile(r"([A-Z]{2,32})\b")


class _RedisLease:
    """A key's lease, until it is released or has run out."""

    __slots__ = ("_forget", "fence", "key", "released")

    def __init__(self, key: str, fence: str, forget: Callable[[], object]) -> None:
        self._forget = forget
        self.key = key
        self.fence = int(fence)
        self.released = False

    def release(self) -> None:
        """Let the next one have it; if Redis is away, it runs out by itself."""
        self.released = True
        with contextlib.suppress(StoreError):
            self._forget()


class RedisStore:
    """
    Keeps tokens in Redis 5 or newer, or in Valkey, for workers on any number of machines.

    Every change is one script that runs on the server as a whole, and that does no harm when it is sent
    twice because the first answer was lost. What a `save` has acknowledged is as durable as the server is
    told to make it: turn on `appendonly`, and set `maxmemory-policy noeviction`, else Redis forgets tokens to
    make room. Tokens are stored in plain text: use TLS, authentication, and a server of your own. Keys are
    stored as their SHA-256, so that no name in Redis tells of a patient.

    A lease runs out by itself *lease_seconds* after it was given, and is never renewed. If its holder was
    only slow, the next one has a higher fence by then, and the slow one saves nothing.

    Args:
        client_or_url: A `redis.Redis` that you made, with any options of connection, authentication, TLS or
            Sentinel; it must not decode responses, and stays open when the store is closed. Or a URL such as
            `rediss://user:password@host:6380/0`; redis-py reads further options from its query
            (`?ssl_ca_certs=ca.pem`). Unless it names `socket_timeout`, each answer may take 5 s.
        prefix: What every name in Redis begins with.
        ttl: Seconds after which a token that was not saved again is forgotten; None for never.
        lease_seconds: Seconds that a lease lasts. Keep it longer than one token request may take
            (`Timeouts.total`).

    Raises:
        ConfigurationError: If redis-py is not installed, or what you passed cannot be used.
    """

    def __init__(
        self,
        client_or_url: Redis | str,
        *,
        prefix: str = "smart-async:",
        ttl: float | None = None,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self._ttl = "" if ttl is None else _milliseconds(ttl, "ttl")
        self._lease = _milliseconds(lease_seconds, "lease_seconds")
        self._fence = _milliseconds(max(_FENCE_SECONDS, 2 * lease_seconds), "lease_seconds")
        self._prefix = prefix
        self._owned = isinstance(client_or_url, str)
        self._client = _connect(client_or_url) if isinstance(client_or_url, str) else _usable(client_or_url)
        self._scripts: dict[str, Any] = {
            text: self._client.register_script(text)
            for text in (_lua.LOAD, _lua.SAVE, _lua.DELETE, _lua.ACQUIRE, _lua.RELEASE)
        }

    def __repr__(self) -> str:
        """Say which names are used; not where, for a URL may hold a password."""
        return f"RedisStore(prefix={self._prefix!r})"

    def load(self, key: str) -> Stored | None:
        """Return what is stored under *key*, or None; see `TokenStore.load`."""
        version, data, owner = self._run(_lua.LOAD, [self._name(key, "token")])
        if version is None:
            return None
        if data is None or owner != digest_of(key).encode():
            raise StoreError(
                "What Redis holds for this token was not put there by a token store for this key.",
                advice="Find out who else writes under this prefix, or choose another one.",
            )
        return Stored(data, version.decode())

    def save(self, key: str, data: bytes, *, expected: str | None, lease: Lease | None = None) -> str | None:
        """Store *data* under *key* if nobody has changed it meanwhile; see `TokenStore.save`."""
        data, fence, version = check_data(data), "", new_version()
        if lease is not None:
            held = _own(lease, key)
            if held.released:
                return None
            fence = str(held.fence)
        if expected == "":  # it stands for None in the script, and no version is called that
            return None
        names = [self._name(key, "token"), self._name(key, "fence")]
        done = self._run(_lua.SAVE, names, expected or "", version, data, fence, self._ttl, digest_of(key))
        return version if done else None

    def delete(self, key: str, *, expected: str | None = None) -> bool:
        """Forget *key*; see `TokenStore.delete`. If an answer was lost on the way, False may mean gone."""
        wanted = "" if expected is None else f"={expected}"
        return bool(self._run(_lua.DELETE, [self._name(key, "token")], wanted))

    def acquire(self, key: str, *, wait: float) -> Lease:
        """Return the lease of *key* once nobody else holds it; see `TokenStore.acquire`."""
        names = [self._name(key, "lease"), self._name(key, "fence")]
        owner = secrets.token_urlsafe(15)
        fence = retry_until(lambda: self._run(_lua.ACQUIRE, names, owner, self._lease, self._fence), wait)
        if fence is None:
            raise busy(wait)
        return _RedisLease(key, fence.decode(), lambda: self._run(_lua.RELEASE, names[:1], owner))

    def close(self) -> None:
        """Close the connections, if the store was made from a URL."""
        if self._owned:
            with _store_errors(self._client):
                self._client.close()

    def _name(self, key: str, kind: str) -> str:
        # The braces keep a token, its lease and its fence on one node of a cluster.
        return f"{self._prefix}{{{digest_of(key)}}}:{kind}"

    def _run(self, script: str, names: list[str], *args: str | bytes) -> Any:
        with _store_errors(self._client):
            return self._scripts[script](keys=names, args=list(args))


def _connect(url: str) -> Any:
    redis = _redis()
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    try:
        client = redis.Redis.from_url(
            url,
            socket_timeout=_TIMEOUT,
            socket_connect_timeout=_TIMEOUT,
            # Once: a connection that was kept may have died since, as when the server was restarted.
            retry=Retry(NoBackoff(), 1),
            retry_on_error=[redis.ConnectionError, redis.TimeoutError],
        )
        # Options from the URL are looked at by a connection only; this one is not opened.
        client.connection_pool.connection_class(**client.get_connection_kwargs())
    except Exception as exc:  # ValueError and TypeError, whose text may hold the password
        problem = type(exc).__name__
    else:
        return client
    raise ConfigurationError(
        f"This Redis URL cannot be used ({problem}).",
        field="client_or_url",
        advice="Write it like rediss://user:password@host:6380/0, with special characters percent-encoded.",
    )


def _usable(client: Any) -> Any:
    if not isinstance(client, _redis().Redis):
        kind = cast("type[object]", type(client))
        raise ConfigurationError(
            f"A RedisStore takes a URL or a redis.Redis, not {kind.__module__}.{kind.__name__}.",
            field="client_or_url",
            advice="Pass the synchronous client, for asynchronous code too: it is called in a worker thread.",
        )
    if client.get_connection_kwargs().get("decode_responses"):
        raise ConfigurationError(
            "This Redis client decodes responses into text, and a store keeps bytes.",
            field="client_or_url",
            advice="Make one for the store with decode_responses=False.",
        )
    return client


def _redis() -> Any:
    try:
        import redis
    except ModuleNotFoundError:
        raise ConfigurationError(
            "A RedisStore needs the package redis, which is not installed.",
            field="store",
            advice='Install it with: pip install "smart-async[redis]"',
        ) from None
    return redis


@contextlib.contextmanager
def _store_errors(client: Any) -> Generator[None]:
    redis = _redis()
    try:
        yield
    except (redis.RedisError, OSError) as exc:
        raise _store_error(client, exc) from None


def _store_error(client: Any, exc: Exception) -> StoreError:
    redis = _redis()
    place = _place(client)
    if isinstance(exc, redis.AuthenticationError):
        return StoreError(f"Redis at {place} refused user or password.", advice="Check the credentials.")
    if isinstance(exc, redis.TimeoutError | TimeoutError):
        return StoreError(f"Redis at {place} did not answer in time.", advice=_AWAY)
    if isinstance(exc, redis.ConnectionError | OSError):
        reason = clean_text(str(exc), length=120)
        return StoreError(f"Redis at {place} cannot be reached ({reason}).", advice=_AWAY)
    # The first word of a refusal is its code; the rest may quote what was sent.
    code = _ERROR_CODE.match(str(exc))
    return StoreError(
        f"Redis at {place} refused ({code[1] if code else type(exc).__name__}).",
        advice="A replica, or a server without memory to spare, does not write; and the user needs the right "
        "to run scripts (EVALSHA, SCRIPT LOAD) with TIME and with commands on strings and hashes.",
    )


_AWAY = "Nothing is lost but perhaps this one change; call again once the server is back."


def _place(client: Any) -> str:
    options = cast("dict[str, Any]", client.get_connection_kwargs())
    if "path" in options:
        return str(options["path"])
    return f"{options.get('host', 'its address')}:{options.get('port', 6379)}"


def _milliseconds(seconds: float, name: str) -> str:
    if type(seconds) not in (int, float) or not 0.001 <= seconds < 1e9:
        raise ConfigurationError(f"{name} is a positive number of seconds.", field=name)
    return str(int(seconds * 1000))


def _own(lease: Lease, key: str) -> _RedisLease:
    if not isinstance(lease, _RedisLease) or lease.key != key:
        raise StoreError(
            "This lease was not given by a Redis store for this key.",
            advice="Acquire the lease from the store and for the key that you save to.",
        )
    return lease
