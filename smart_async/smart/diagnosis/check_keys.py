"""The private key, its `kid`, and the public half as the server finds it."""

from __future__ import annotations

from typing import Any

from smart_async.errors import ProtocolError, SmartError, TransportError
from smart_async.keys.algorithms import ALGORITHMS
from smart_async.keys.base64url import number
from smart_async.keys.jwks import PRIVATE_MEMBERS, thumbprint
from smart_async.messages import JSONObject, Response, as_list, as_object, clean_text
from smart_async.smart.diagnosis.evidence import Evidence, Fetched, shown
from smart_async.smart.diagnosis.key_problems import cause_of_configuration
from smart_async.smart.diagnosis.report import Certainty, Status
from smart_async.smart.diagnosis.sheet import Sheet
from smart_async.smart.diagnosis.words import cause_of_silence
from smart_async.smart.redirects import redirect_target

__all__ = (
    "check_jku",
    "check_key",
    "check_kid",
    "check_published_key",
    "check_published_set",
    "has_default_kid",
)

_NUMBERS = {"RSA": ("n", "e"), "EC": ("x", "y")}
_LONG = 86_400
_SET, _SAME = "Public JWK Set", "Published key"
_NOT_THERE = (
    *("jwks-unreachable", "jwks-tls", "jwks-auth", "jwks-status", "jwks-redirect", "jwks-html"),
    *("jwks-invalid", "jwks-empty", "jwks-kid", "jwks-kid-other", "jwks-key"),
)
"""What is found at a URL where the keys are not."""


def check_key(evidence: Evidence, sheet: Sheet) -> None:
    """Look at whether there is a key that can sign."""
    if (problem := evidence.key_problem) is not None:
        name = cause_of_configuration(problem)
        check, title = ("jwks", _SET) if name == "jwks-http" else ("key", "Private key")
        check, title = ("config", "Configuration") if name == "configuration" else (check, title)
        # How this very file is put right is known best where it was read.
        known = name in ("key-kind", "key-unreadable") and problem.advice
        seen, fix = (
            (clean_text(problem.message, length=400), problem.advice) if known else (_said(problem), None)
        )
        sheet.blame(check, title, name, seen=seen, fix=fix)
    elif evidence.signer is None:
        kind = "a client secret" if evidence.has_secret else "no key"
        sheet.note("key", "Private key", f"This client authenticates with {kind}.", status="skipped")
    elif (failure := evidence.assertion_error) is not None:
        seen = failure.message if isinstance(failure, SmartError) else f"It raised {type(failure).__name__}."
        sheet.blame("key", "Private key", "signing-failed", seen=clean_text(seen))
    else:
        others = len(evidence.auth.signers) - 1 if evidence.auth else 0
        more = f", the first of a ring with {others} more" if others else ""
        remarks = tuple(f"{each.message} {each.advice}".strip() for each in evidence.key_findings)
        status: Status = "warning" if remarks else "ok"
        told = f"It signs with {evidence.signer.algorithm}{more}."
        sheet.note("key", "Private key", told, status=status, details=remarks)


def check_kid(evidence: Evidence, sheet: Sheet) -> None:
    """Look at the id under which the server looks the key up."""
    signer = evidence.signer
    if signer is None:
        return
    if has_default_kid(evidence):
        sheet.note(
            "kid",
            "Key id (kid)",
            f"No kid was given, so the key's thumbprint is used: {signer.kid}.",
            fix="" if evidence.keys_url else "If the server knows the key by another name, give that as kid.",
        )
    else:
        sheet.note("kid", "Key id (kid)", f"The assertion names {clean_text(signer.kid)!r}.")


def check_published_set(evidence: Evidence, sheet: Sheet) -> None:
    """Look at whether the public JWK Set can be fetched as a server fetches it."""
    url, fetched = shown(evidence.keys_url), evidence.jwks
    if evidence.jwks_refused is not None:
        name = "jwks-http" if "plain http" in evidence.jwks_refused else "configuration"
        sheet.blame("jwks", _SET, name, seen=f"{url}: {evidence.jwks_refused}")
    elif fetched is None:
        sheet.note(
            "jwks",
            _SET,
            "Its URL is not known, so what the server sees of the keys was not looked at.",
            status="skipped",
            fix="Name it with --jwks-url, if a URL is registered.",
        )
    elif (fault := _fault_of_set(fetched)) is not None:
        sheet.blame("jwks", _SET, fault[0], seen=f"{url}: {fault[1]}", certainty=_certainty(evidence))
    else:
        _judge_set(fetched, url, sheet)


def _judge_set(fetched: Fetched, url: str, sheet: Sheet) -> None:
    answer, keys = fetched.response or Response(status=0), _keys_in(fetched)
    sheet.note("jwks", _SET, f"{url} answers without authentication, with {len(keys)} key(s).")
    if not url.startswith("https:"):
        sheet.note("jwks", _SET, "Plain http is accepted on loopback only; a server wants https.")
    media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in ("application/json", "application/jwk-set+json"):
        sheet.note(
            "jwks",
            _SET,
            f"It is labelled {clean_text(media_type, length=64) or 'nothing'!r}.",
            status="warning",
            fix="Label it application/json.",
        )
    for key in keys:
        if found := sorted(PRIVATE_MEMBERS & key.keys()):
            kid = clean_text(str(key.get("kid")), length=64)
            seen = f"The key {kid!r} shows {', '.join(found)}."
            sheet.blame("jwks-private", "Private members", "jwks-private", seen=seen)
    _judge_caching(answer, sheet)


def max_age(answer: Response) -> int | None:
    """Return the seconds for which *answer* may be kept, or None where its headers do not say."""
    parts = answer.headers.get("cache-control", "").lower().replace(" ", "").split(",")
    text = next((part[8:17] for part in parts if part.startswith("max-age=")), "")
    return int(text) if text.isascii() and text.isdigit() else None


def _judge_caching(answer: Response, sheet: Sheet) -> None:
    control, seconds = clean_text(answer.headers.get("cache-control", ""), length=120), max_age(answer)
    if seconds is not None and seconds > _LONG:
        sheet.note(
            "jwks-caching",
            "Cache headers",
            f"Servers may keep a copy for {seconds} s, and will not see a new key until then.",
            status="warning",
            fix="Set Cache-Control: max-age=300, or at most an hour.",
        )
    else:
        said = (
            f"Cache-Control: {control}." if control else "There are none; servers keep a copy as they like."
        )
        sheet.note("jwks-caching", "Cache headers", said)


def check_published_key(evidence: Evidence, sheet: Sheet) -> None:
    """Look at whether the published key with our `kid` is ours, and fit for what we do with it."""
    signer, fetched = evidence.signer, evidence.jwks
    if signer is None or fetched is None or _fault_of_set(fetched) is not None:
        return
    keys, jwk = _keys_in(fetched), _own_jwk(evidence)
    named = [key for key in keys if key.get("kid") == signer.kid]
    if not named:
        _blame_missing(evidence, keys, jwk, sheet)
        return
    wanted = ALGORITHMS.get(signer.algorithm)
    fitting = [key for key in named if wanted is None or key.get("kty") == wanted.kty]
    if len(fitting) > 1:
        sheet.blame(
            "jwks-key", _SAME, "jwks-kid-twice", seen=f"{len(fitting)} keys have the kid {signer.kid!r}."
        )
    # One too many is a fault of its own; ours is the one to be looked at.
    key = next((each for each in fitting if jwk and _same(each, jwk)), (fitting or named)[0])
    faults = list(_faults_of_key(key, jwk, signer.algorithm))
    for name, seen in faults:
        sheet.blame("jwks-key", _SAME, name, seen=seen)
    if not faults and len(fitting) < 2:
        same = (
            "it is the public half of yours" if jwk else "whether it is yours cannot be told of this signer"
        )
        sheet.note("jwks-key", _SAME, f"A key with the kid {signer.kid!r} is published; {same}.")


def check_jku(evidence: Evidence, sheet: Sheet) -> None:
    """Look at whether the JWK Set URLs agree: sent, registered, published."""
    registered, jku = evidence.registered_jwks_url, evidence.auth.jku if evidence.auth else None
    if jku is not None and registered not in (None, jku):
        seen = f"jku is {shown(jku)}, registered is {shown(registered)}{_nearly(jku, registered)}."
        sheet.blame("jku", "jku", "jku-differs", seen=seen)
    elif jku is None and None not in (registered, evidence.jwks_url) and registered != evidence.jwks_url:
        seen = (
            f"Your keys are at {shown(evidence.jwks_url)}, registered is {shown(registered)}"
            f"{_nearly(evidence.jwks_url, registered)}."
        )
        if any(name in sheet.causes for name in _NOT_THERE):
            sheet.blame("jku", "jku", "jwks-elsewhere", seen=seen)
        else:
            sheet.note("jku", "jku", seen, status="warning", fix="Register the URL that your keys are at.")
    elif jku is None:
        sheet.note("jku", "jku", "None is sent, which is best unless the server asks for one.")
    elif registered is None:
        sheet.note(
            "jku",
            "jku",
            f"{shown(jku)} is sent. Whether that is the registered URL is not known here.",
            fix="Compare it with --registered-jwks-url; several servers refuse a jku that differs.",
        )
    else:
        sheet.note("jku", "jku", "It is the registered URL.")


def has_default_kid(evidence: Evidence) -> bool:
    """Return whether nobody gave the key an id, so that its thumbprint stands in."""
    jwk, signer = _own_jwk(evidence), evidence.signer
    return jwk is not None and signer is not None and signer.kid == thumbprint(jwk)


def _nearly(one: str | None, other: str | None) -> str:
    if (one or "").rstrip("/") == (other or "").rstrip("/"):
        return " (they differ in the slash at the end)"
    return " (they differ in letter case)" if (one or "").lower() == (other or "").lower() else ""


def _said(problem: SmartError) -> str:
    advice = f" {problem.advice}" if problem.advice else ""
    return f"{clean_text(problem.message, length=400)}{advice}"


def _own_jwk(evidence: Evidence) -> JSONObject | None:
    publish: Any = getattr(evidence.signer, "public_jwk", None)
    return None if publish is None else dict(publish())


def _keys_in(fetched: Fetched) -> list[JSONObject]:
    keys = as_list((as_object(fetched.document) or {}).get("keys")) or []
    return [found for each in keys if (found := as_object(each)) is not None]


def _fault_of_set(fetched: Fetched) -> tuple[str, str] | None:
    answer = fetched.response
    if answer is None:
        error = fetched.error
        name = cause_of_silence(error) if error else "server-unreachable"
        if name == "proxy-failed":  # the server does not go through ours
            return name, error.message if error else ""
        return "jwks-tls" if name.startswith("tls-") else "jwks-unreachable", error.message if error else ""
    if answer.status != 200:
        return _fault_of_status(answer)
    if fetched.is_html:
        return "jwks-html", "it answers with HTML."
    if as_list((as_object(fetched.document) or {}).get("keys")) is None:
        return "jwks-invalid", "it is no JSON object with an array called keys."
    return None if _keys_in(fetched) else ("jwks-empty", "its array keys holds no key.")


def _certainty(evidence: Evidence) -> Certainty:
    # Where the EHR's certificate is not accepted for the same reason, it may be this machine's trust that
    # lacks something, and the EHR sees nothing wrong.
    ours, theirs = evidence.jwks.error if evidence.jwks else None, evidence.discovery_error
    if ours is None or not isinstance(theirs, TransportError):
        return "certain"
    return "possible" if cause_of_silence(ours) == cause_of_silence(theirs) == "tls-untrusted" else "certain"


def _fault_of_status(answer: Response) -> tuple[str, str]:
    if 300 <= answer.status < 400:
        return "jwks-redirect", f"it answers {answer.status}, to {redirect_target(answer)}."
    name = "jwks-auth" if answer.status in (401, 403, 407) else "jwks-status"
    return name, f"it answers {answer.status}."


def _blame_missing(evidence: Evidence, keys: list[JSONObject], jwk: JSONObject | None, sheet: Sheet) -> None:
    kid = evidence.signer.kid if evidence.signer else ""
    published = ", ".join(repr(clean_text(str(key["kid"]), length=64)) for key in keys if "kid" in key)
    how = ", which is its thumbprint, as no kid was given" if has_default_kid(evidence) else ""
    seen = f"It signs as {kid!r}{how}; published are {published or 'keys without a kid'}."
    fix: str | None = None
    same = next((key for key in keys if jwk and _same(key, jwk)), None)
    if evidence.jwks_at_origin and any(key.get("kid") == kid for key in _keys_in(evidence.jwks_at_origin)):
        name = "jwks-cached"
    elif same is None:
        name = "jwks-kid"
    elif same.get("kid") is None:
        name = "jwks-kid-missing"
    else:
        name = "jwks-kid-other"
        fix = f"Sign with the published kid: --kid {clean_text(str(same['kid']), length=64)}"
    sheet.blame("jwks-key", _SAME, name, seen=seen, fix=fix)


def _same(one: JSONObject, other: JSONObject) -> bool:
    kty = str(one.get("kty"))
    if kty not in _NUMBERS or kty != other.get("kty") or one.get("crv") != other.get("crv"):
        return False
    try:
        return all(number(one, name) == number(other, name) for name in _NUMBERS[kty])
    except ProtocolError:
        return False


def _faults_of_key(key: JSONObject, jwk: JSONObject | None, algorithm: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    wanted = ALGORITHMS.get(algorithm)
    if wanted is not None and (key.get("kty"), key.get("crv")) != (wanted.kty, wanted.curve):
        is_ = (
            f"{clean_text(str(key.get('kty')), length=16)} {clean_text(str(key.get('crv') or ''), length=16)}"
        )
        return [("jwks-type", f"{algorithm} needs {wanted.kty} {wanted.curve or ''}; published is {is_}.")]
    if jwk is not None and not _same(key, jwk):
        kid = clean_text(str(key.get("kid")), length=64)
        found.append(
            ("jwks-key", f"Published as {kid!r} is another key: the kid is the same, the numbers are not.")
        )
    operations = as_list(key.get("key_ops"))
    if key.get("use", "sig") != "sig":
        found.append(("jwks-use", f"Its use is {clean_text(str(key['use']), length=32)!r}."))
    elif operations is not None and "verify" not in operations:
        found.append(("jwks-use", "Its key_ops lack verify."))
    if key.get("alg", algorithm) != algorithm:
        seen = f"It names {clean_text(str(key['alg']), length=32)!r}, and the key signs with {algorithm}."
        found.append(("jwks-alg", seen))
    return found
