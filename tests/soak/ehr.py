"""
A sandbox in a process of its own, for the soak test: it can be killed, started again, and told to misbehave.

Standard input: {"port", "clients": [arguments of register_client], "keys": [a private JWK to sign ID tokens
with]}, then a command a line. Standard output: a line with the FHIR base once it listens, then an answer to
each command:

    {"fault": NAME, **options}     add a fault, as `sandbox.faults.add` takes it
    {"calm": true}                 remove the faults that were added
    {"report": true}               what struck, what was presented twice, how many requests of which kind came

It ends with its standard input.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import Any

from joserfc.jwk import RSAKey

from smart_async.limits import Timeouts
from smart_async.messages import Request
from smart_async.sandbox import Fault, Sandbox, id_tokens, serve

ALWAYS = {"token_lifetime": {"seconds": 30}, "page_size": {"count": 5}}
"""Tokens that end during the run, and answers of several pages."""


def main() -> None:
    """Serve until standard input ends."""
    wanted = json.loads(sys.stdin.readline())
    sandbox = Sandbox(faults=ALWAYS)
    keep_key(sandbox, wanted["keys"][0])
    for client in wanted["clients"]:
        sandbox.register_client(**client)
    with serve(sandbox, port=wanted["port"]):
        say({"fhir_base": sandbox.fhir_base, "issuer": sandbox.issuer})
        added: list[Fault] = []
        for line in sys.stdin:
            say(obey(sandbox, added, json.loads(line)))


def keep_key(sandbox: Sandbox, jwk: dict[str, Any]) -> None:
    """Let the sandbox sign with the key that it had before it was killed, as a server in earnest would."""
    make, id_tokens._new_key = id_tokens._new_key, lambda: RSAKey.import_key(jwk)
    try:
        # It makes its key when the keys are first asked for.
        published = sandbox.transport().send(
            Request(method="GET", url=f"{sandbox.base_url}/oauth2/keys", purpose="jwks"), Timeouts()
        )
    finally:
        id_tokens._new_key = make
    assert jwk["kid"].encode() in published.body


def obey(sandbox: Sandbox, added: list[Fault], command: dict[str, Any]) -> dict[str, Any]:
    """Do what *command* says, and return the answer to it."""
    if "fault" in command:
        added.append(sandbox.faults.add(command.pop("fault"), **command))
    elif "calm" in command:
        for fault in added:
            sandbox.faults.remove(fault)
    else:
        return {
            "struck": Counter(name for fault in added for name in [fault.name] * fault.struck),
            "replays": Counter(replay.kind for replay in sandbox.replays),
            "requests": Counter(exchange.endpoint for exchange in sandbox.exchanges),
        }
    return {}


def say(answer: dict[str, Any]) -> None:
    """Write *answer* as a line."""
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
