"""What the sandbox received, what it thought of it, and which rule that rests on."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from smart_async.messages import Headers, clean_text

__all__ = (
    "Case",
    "Exchange",
    "Ledger",
    "Received",
    "RefusedError",
    "Replay",
    "Verdict",
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "invalid_scope",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """
    One request as it arrived.

    Args:
        method: The HTTP method.
        url: The whole URL.
        path: Its path, percent-decoded.
        query: Its query as sent, without the question mark.
        headers: The header fields.
        body: The body.
        received_at: Unix seconds on the sandbox's clock.
    """

    method: str
    url: str
    path: str
    query: str
    headers: Headers
    body: bytes
    received_at: float

    @property
    def form(self) -> dict[str, str]:
        """The fields of a form body, for looking at: the judging is done on the bytes."""
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of the query, for looking at."""
        return dict(parse_qsl(self.query, keep_blank_values=True))

    def __repr__(self) -> str:
        """Leave out query, headers and body: they carry credentials."""
        return f"<Received {self.method} {self.path}, {len(self.body)} bytes>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """
    What the sandbox thought of one request.

    A request that was accepted in spite of something leaves one verdict for each such remark (accepted,
    with a rule) and one without a rule for the whole.

    Args:
        client_id: The client, where it was recognised.
        endpoint: `authorize`, `token`, `introspect`, `revoke`, `register` or `fhir`.
        accepted: Whether the request got what it asked for.
        rule: The rule that was broken: an id of the conformance table (`AS-08`) or a section of an RFC
            (`RFC 6749 §3.2`); None if nothing was wrong.
        message: One sentence, fit to be shown.
    """

    client_id: str | None
    endpoint: str
    accepted: bool
    rule: str | None
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """
    Something that works once and was presented again.

    Args:
        kind: `code` or `refresh_token`.
        client_id: The client that presented it.
        received_at: Unix seconds on the sandbox's clock.
    """

    kind: str
    client_id: str | None
    received_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """
    One request with all that became of it.

    Args:
        received: The request.
        endpoint: As in `Verdict`, or `discovery`, `keys`, `metadata` for public documents and `consent` for
            what a user decided on a page.
        client_id: The client: the recognised one, or else the one that the request claims to come from.
        verdicts: What was thought of it.
        faults: The names of the faults that struck it.
        status: The status of the answer; None if no answer was sent.
    """

    received: Received
    endpoint: str
    client_id: str | None
    verdicts: tuple[Verdict, ...]
    faults: tuple[str, ...]
    status: int | None


class RefusedError(Exception):
    """
    A request broke a rule.

    Args:
        rule: The rule, as in `Verdict`.
        message: What was found and what the rule wants, in one sentence.
        error: The OAuth error code of the answer.
        status: The HTTP status of the answer.
        headers: Further header fields of the answer.
    """

    def __init__(
        self,
        rule: str,
        message: str,
        *,
        error: str = "invalid_request",
        status: int = 400,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.rule = rule
        self.message = clean_text(message, length=512)
        self.error = error
        self.status = status
        self.headers = headers

    @property
    def description(self) -> str:
        r"""
        The text for `error_description`: the rule first, in the characters that OAuth allows there.

        Spec: RFC 6749, section 5.2.
        """
        text = f"{self.rule}: {self.message}".replace("§", "section ").replace('"', "'").replace("\\", "/")
        return text.encode("ascii", "replace").decode("ascii")


def invalid_client(rule: str, message: str) -> RefusedError:
    """Return the refusal of a client that did not authenticate as it must."""
    return RefusedError(rule, message, error="invalid_client", status=401)


def invalid_grant(rule: str, message: str) -> RefusedError:
    """Return the refusal of a code or refresh token."""
    return RefusedError(rule, message, error="invalid_grant")


def invalid_request(rule: str, message: str) -> RefusedError:
    """Return the refusal of a request that is not formed as it must be."""
    return RefusedError(rule, message)


def invalid_scope(rule: str, message: str) -> RefusedError:
    """Return the refusal of a scope."""
    return RefusedError(rule, message, error="invalid_scope")


@dataclass(slots=True, kw_only=True)
class Case:
    """
    One request while it is being judged.

    Args:
        endpoint: As in `Verdict`.
        received: The request.
        client_id: The client, as soon as it is known.
        caller: The client that the request claims to come from, unproven.
        remarks: Rules broken that do not stop the request, each with its sentence.
        replays: What was presented again: `code`, `refresh_token`.
        faults: The names of the faults that struck it.
    """

    endpoint: str
    received: Received
    client_id: str | None = None
    caller: str | None = None
    remarks: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    replays: list[str] = field(default_factory=list[str])
    faults: list[str] = field(default_factory=list[str])
    verdicts: list[Verdict] = field(default_factory=list[Verdict])

    def remark(self, rule: str, message: str) -> None:
        """Note that *rule* was broken, and go on."""
        self.remarks.append((rule, clean_text(message, length=512)))


class Ledger:
    """Everything that was received and thought of it, oldest first; the newest *keep* of each."""

    def __init__(self, *, keep: int = 10_000) -> None:
        self.requests: list[Received] = []
        self.verdicts: list[Verdict] = []
        self.replays: list[Replay] = []
        self.exchanges: list[Exchange] = []
        self._keep = keep

    def receive(self, received: Received) -> None:
        """Note a request."""
        self.requests.append(received)
        del self.requests[: -self._keep]

    def close(self, case: Case, refusal: RefusedError | None) -> None:
        """Note how *case* ended: accepted, or with *refusal*."""
        for rule, message in case.remarks:
            self._add(case, True, rule, message)
        if refusal is None:
            self._add(case, True, None, "accepted")
        else:
            self._add(case, False, refusal.rule, refusal.message)
        self.replays += [
            Replay(kind=kind, client_id=case.client_id, received_at=case.received.received_at)
            for kind in case.replays
        ]
        del self.verdicts[: -self._keep], self.replays[: -self._keep]

    def answered(self, case: Case, status: int | None) -> None:
        """Note what became of *case*: the status of the answer, or None if none was sent."""
        exchange = Exchange(
            received=case.received,
            endpoint=case.endpoint,
            client_id=case.client_id or case.caller,
            verdicts=tuple(case.verdicts),
            faults=tuple(case.faults),
            status=status,
        )
        self.exchanges.append(exchange)
        del self.exchanges[: -self._keep]

    def _add(self, case: Case, accepted: bool, rule: str | None, message: str) -> None:
        verdict = Verdict(
            client_id=case.client_id, endpoint=case.endpoint, accepted=accepted, rule=rule, message=message
        )
        self.verdicts.append(verdict)
        case.verdicts.append(verdict)
