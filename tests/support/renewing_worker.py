"""
A worker process: it loads one session from a shared store and renews it again and again.

It prints one line of JSON for each attempt: what came of it, and when on the machine's monotonic clock.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from smart_async import PrivateKeyJWT, SigningKey, SmartClient, SmartConfig, SmartError
from smart_async.interfaces import TokenStore


def open_store(spec: str, lease: float) -> TokenStore:
    """Open the store that *spec* names: a folder, or a Redis URL."""
    if spec.startswith("redis:"):
        from smart_async.stores import RedisStore

        return RedisStore(spec, lease_seconds=lease)
    from smart_async.stores import FileStore

    return FileStore(spec)


def main(base: str, spec: str, lease: str, pem: str, session_key: str, count: str, grace: str) -> None:
    """Renew until this process has made *count* refreshes, or an error says that there will be none."""
    done = 0

    def listen(event) -> None:
        nonlocal done
        done += event.name == "token.refresh.ok"

    config = SmartConfig(
        fhir_base=base,
        client_id="app",
        client_auth=PrivateKeyJWT(SigningKey.from_pem(Path(pem).read_bytes(), kid="key-1")),
        allow_insecure_loopback=True,
        refresh_retry="grace" if grace == "grace" else "never",
        extra_token_headers={"X-Worker": str(os.getpid())},
    )
    client = SmartClient(config, store=open_store(spec, float(lease)), on_event=listen)
    session = client.load_session(session_key)
    while done < int(count):
        try:
            outcome = session.renew().access_token.reveal()
        except SmartError as exc:
            outcome = f"{type(exc).__name__}: {exc.message}"
        print(json.dumps({"outcome": outcome, "at": time.monotonic(), "done": done}), flush=True)
        if "Error" in outcome:
            sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
