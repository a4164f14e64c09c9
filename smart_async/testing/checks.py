"""What a sandbox saw of an app: its requests, and the rules that it broke."""

from __future__ import annotations

from smart_async.sandbox import Received, Sandbox, Verdict

__all__ = ("assert_no_violations", "requests_to", "violations")


def violations(sandbox: Sandbox, *, client_id: str | None = None) -> list[Verdict]:
    """
    Return the verdicts that name a rule: what was refused, and what was accepted in spite of something.

    Args:
        sandbox: The sandbox.
        client_id: Only of this client.
    """
    return [
        verdict
        for verdict in sandbox.verdicts
        if (verdict.rule is not None or not verdict.accepted) and client_id in (None, verdict.client_id)
    ]


def assert_no_violations(sandbox: Sandbox, *, client_id: str | None = None) -> None:
    """
    Fail the test if the app broke a rule, or sent a code or refresh token twice.

    Args:
        sandbox: The sandbox.
        client_id: Look at this client only.

    Raises:
        AssertionError: With one line for each.
    """
    found = violations(sandbox, client_id=client_id)
    lines = [f"{each.endpoint}: {each.rule or 'refused'}: {each.message}" for each in found]
    lines += [
        f"token: RFC 9700 §4.14: a {replay.kind.replace('_', ' ')} was sent twice"
        for replay in sandbox.replays
        if client_id in (None, replay.client_id)
    ]
    if lines:
        raise AssertionError("The sandbox objected:\n" + "\n".join(f"  {line}" for line in lines))


def requests_to(sandbox: Sandbox, endpoint: str, *, client_id: str | None = None) -> list[Received]:
    """
    Return the requests that arrived at one endpoint, oldest first.

    Args:
        sandbox: The sandbox.
        endpoint: `authorize`, `token`, `introspect`, `revoke`, `register`, `fhir`, `discovery` or `keys`.
        client_id: Only of this client.
    """
    return [
        exchange.received
        for exchange in sandbox.exchanges
        if exchange.endpoint == endpoint and client_id in (None, exchange.client_id)
    ]
