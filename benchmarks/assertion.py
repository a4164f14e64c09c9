"""
What a client assertion costs beyond its signature.

The whole `PrivateKeyJWT.authenticate` flow, performed without I/O, is compared with the bare signature of
the same bytes by `cryptography`. Both are timed in short alternating rounds of one process, so that a
machine that slows down slows both, and in processor time; the figures are medians over the rounds, the
ratio the median of the rounds' own ratios.

    python benchmarks/assertion.py            a table; exit code 1 if a limit is exceeded
    python benchmarks/assertion.py --json     one JSON object
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from time import monotonic, thread_time, time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from smart_async import PrivateKeyJWT, SigningKey, SmartConfig
from smart_async.flow import Instant, Now, Sign
from smart_async.smart.client_auth import Authentication
from smart_async.smart.entropy import system_entropy
from smart_async.smart.metadata import SmartMetadata

LIMIT = 1.10
"""Times the bare signature that an assertion may cost."""

ROUND_SECONDS = 0.02
"""How long each side of a round is timed."""

TOKEN_URL = "https://sso.example.com/oauth2/token"
BASE = "https://ehr.example.com/r4"


@dataclass(frozen=True)
class Result:
    """One line of the table. Times are microseconds for one assertion or signature."""

    what: str
    ours: float
    baseline: float
    ratio: float
    limit: float | None
    passed: bool


def assertion(key: SigningKey) -> Callable[[], Authentication]:
    """Return a function that makes what one token request needs, with a key that is already loaded."""
    auth = PrivateKeyJWT(key)
    config = SmartConfig(fhir_base=BASE, client_id="growth-chart", client_auth=auth)
    metadata = SmartMetadata(
        fhir_base=BASE,
        token_endpoint=TOKEN_URL,
        token_endpoint_auth_signing_alg_values_supported=("RS384", "ES384"),
    )

    def run() -> Authentication:
        flow = auth.authenticate(config, metadata, TOKEN_URL, entropy=system_entropy)
        assert type(next(flow)) is Now
        step: Sign = flow.send(Instant(time(), monotonic()))
        try:
            flow.send(step.signer.sign(step.signing_input))  # type: ignore[union-attr]
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        raise AssertionError

    return run


def signature(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, signing_input: bytes
) -> Callable[[], object]:
    """Return a function that makes the bare signature, with every object it needs made beforehand."""
    if isinstance(key, rsa.RSAPrivateKey):
        scheme, digest = padding.PKCS1v15(), hashes.SHA384()
        return lambda: key.sign(signing_input, scheme, digest)
    ecdsa = ec.ECDSA(hashes.SHA384())
    return lambda: key.sign(signing_input, ecdsa)


def per_call(function: Callable[[], object], calls: int) -> float:
    """Return the processor seconds of one call, over *calls* calls; waiting for a turn is not counted."""
    started = thread_time()
    for _ in range(calls):
        function()
    return (thread_time() - started) / calls


def compare(what: str, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, rounds: int, limit: float | None):
    """Return the result for one key, after a warm-up."""
    ours = assertion(SigningKey.from_key(key, kid="key-1"))
    signed = dict(ours().fields)["client_assertion"].rpartition(".")[0].encode()
    bare = signature(key, signed)
    calls = max(5, int(ROUND_SECONDS / per_call(bare, 20)))
    per_call(ours, calls)
    pairs = []
    gc.disable()
    for number in range(rounds):
        # Whoever goes second finds warmer caches, so they take turns.
        first, second = (ours, bare) if number % 2 == 0 else (bare, ours)
        times = {first: per_call(first, calls), second: per_call(second, calls)}
        pairs.append((times[ours], times[bare]))
    gc.enable()
    ratio = statistics.median(mine / base for mine, base in pairs)
    return Result(
        what=what,
        ours=statistics.median(mine for mine, _ in pairs) * 1e6,
        baseline=statistics.median(base for _, base in pairs) * 1e6,
        ratio=ratio,
        limit=limit,
        passed=limit is None or ratio <= limit,
    )


def table(results: list[Result]) -> str:
    """Return the results for people."""
    lines = [f"{'assertion with':<16}{'ours µs':>10}{'bare µs':>10}{'ratio':>8}{'limit':>8}  pass"]
    for one in results:
        limit = "-" if one.limit is None else f"{one.limit:.2f}"
        lines.append(
            f"{one.what:<16}{one.ours:>10.1f}{one.baseline:>10.1f}{one.ratio:>8.3f}{limit:>8}  "
            + ("yes" if one.passed else "NO")
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rounds", type=int, default=51, help="alternating rounds per key, at least 9")
    options = parser.parse_args(arguments)
    if options.rounds < 9:
        parser.error("--rounds must be at least 9")
    keys = [
        ("ES384", ec.generate_private_key(ec.SECP384R1()), LIMIT),
        ("RS384, RSA-2048", rsa.generate_private_key(65537, 2048), LIMIT),
        ("RS384, RSA-4096", rsa.generate_private_key(65537, 4096), None),
    ]
    results = [compare(what, key, options.rounds, limit) for what, key, limit in keys]
    if options.json:
        print(json.dumps({"benchmark": "assertion", "results": [asdict(one) for one in results]}))
    else:
        print(table(results))
    return 0 if all(one.passed for one in results) else 1


if __name__ == "__main__":
    sys.exit(main())
