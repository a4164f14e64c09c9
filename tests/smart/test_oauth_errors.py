"""Refusals in every shape that servers have for them."""

from __future__ import annotations

import pickle
import time
from dataclasses import replace

import pytest

from smart_async import OAuthError, Secret
from smart_async.smart.oauth_errors import ADVICE, correlation_id, parse_oauth_error, retry_after

NOW = 1_750_000_000.0  # Sun, 15 Jun 2025 15:06:40 GMT
URL = "https://sso.example.com/oauth2/token"


@pytest.fixture
def refusal(json_response):
    """Reads a refusal: a document, or `body=` as it stands."""

    def read(document=None, status=400, *, headers=None, body=None, **arguments) -> OAuthError:
        response = replace(json_response(document, status, headers, body=body), received_at=NOW, url=URL)
        return parse_oauth_error(response, **arguments)

    return read


CODES = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "access_denied",
    "server_error",
    "temporarily_unavailable",
]


@pytest.mark.rule("TK-19", "AS-20")
@pytest.mark.parametrize("code", CODES)
def test_each_code_of_oauth(refusal, code):
    """Code, description, page, status and member names reach the caller, with advice for the code."""
    error = refusal(
        {"error": code, "error_description": "Because.", "error_uri": "https://sso.example.com/e/1"}
    )
    assert (error.error, error.description, error.uri) == (code, "Because.", "https://sso.example.com/e/1")
    assert (error.status, error.endpoint) == (400, URL)
    assert error.received == ("error", "error_description", "error_uri")
    assert error.message == f"The server refused the token request with status 400: {code} (Because.)."
    assert error.advice == ADVICE[code]


def test_invalid_client_names_what_to_check(refusal):
    """The bare `invalid_client` of Epic tells nothing, so the advice lists the usual causes."""
    error = refusal({"error": "invalid_client", "error_description": None}, status=401)
    assert (error.error, error.description, error.status) == ("invalid_client", None, 401)
    for cause in ("client_id", "kid", "JWK Set", "hours", "aud", "clock"):
        assert cause in error.advice


SHAPES = {
    "epic": ({"error": "invalid_client", "error_description": None}, "invalid_client", None),
    "oracle": ({"error": "invalid_grant", "error_uri": "https://e.example"}, "invalid_grant", None),
    "empty description": ({"error": "invalid_scope", "error_description": ""}, "invalid_scope", None),
    "message beside it": ({"error": "invalid_scope", "message": "No."}, "invalid_scope", "No."),
    "invented code": ({"error": "invalid_launch", "error_description": "d"}, "invalid_launch", "d"),
    "ssas": (
        {"error": "content type header not supported", "error_description": ""},
        None,
        "content type header not supported",
    ),
    "sentence and description": ({"error": "No way in.", "error_description": "Ask us."}, None, "Ask us."),
    "athenaflow": (
        {"status": "error", "statusmessage": "invalid_client", "description": "client x is not known here"},
        "invalid_client",
        "client x is not known here",
    ),
    "statusmessage sentence": ({"statusmessage": "Not known here."}, None, "Not known here."),
    "blue button": ({"status_code": 400, "message": "Bad request."}, None, "Bad request."),
    "okta": (
        {
            "errorCode": "invalid_client",
            "errorSummary": "Invalid value for 'client_id'.",
            "errorLink": "invalid_client",
            "errorId": "oae-1",
            "errorCauses": [],
        },
        "invalid_client",
        "Invalid value for 'client_id'.",
    ),
    "okta odd code": ({"errorCode": "no code at all", "message": "m"}, None, "m"),
    "problem": ({"title": "Unauthorized", "detail": "Token expired"}, None, "Token expired"),
    "problem title": ({"title": "Unauthorized", "detail": None}, None, "Unauthorized"),
    "outcome diagnostics": (
        {"resourceType": "OperationOutcome", "issue": [{"diagnostics": "No such client"}]},
        None,
        "No such client",
    ),
    "outcome details": (
        {"resourceType": "OperationOutcome", "issue": [{"details": {"text": "Not allowed"}}, {}]},
        None,
        "Not allowed",
    ),
    "outcome empty": (
        {"resourceType": "OperationOutcome", "issue": []},
        None,
        "an OperationOutcome without text",
    ),
    "outcome broken": (
        {"resourceType": "OperationOutcome", "issue": ["x"]},
        None,
        "an OperationOutcome without text",
    ),
    "outcome no list": (
        {"resourceType": "OperationOutcome", "issue": {"diagnostics": "d"}},
        None,
        "an OperationOutcome without text",
    ),
    "gateway string": ("The requested URL was not found.", None, "The requested URL was not found."),
    "error object": ({"error": {"code": 401}, "message": "m"}, None, "m"),
    "error empty": ({"error": "", "error_description": "d"}, None, "d"),
    "nothing": ({}, None, None),
    "null": (None, None, "null"),
    "list": ([1, 2], None, None),
    "number": (7, None, None),
    "wrong kinds": ({"error": 5, "error_description": ["x"], "message": {}}, None, None),
}


@pytest.mark.rule("TK-19")
@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_each_shape_of_a_refusal(refusal, shape):
    """Each shape gives a code only where there is one, and the server's words where there are any."""
    document, code, description = SHAPES[shape]
    error = refusal(document, status=401)
    assert (error.error, error.description, error.status) == (code, description, 401)


BODIES = {
    "bcda": (b"Unauthorized\n", "Unauthorized"),
    "html title": (b"<!DOCTYPE html><html><TITLE lang='en'> Sign\n in </TITLE>", "Sign in"),
    "html": (b"<html><body>Bad gateway", "a page of HTML"),
    "html with a bom": (b"\xef\xbb\xbf <html><title>502</title>", "502"),
    "empty title": (b"<title></title>", None),
    "xml": (b'<?xml version="1.0"?><OperationOutcome/>', "a page of HTML"),
    "empty": (b"", None),
    "blank": (b" \r\n", None),
    "not utf-8": (b"caf\xe9", "caf\ufffd"),
    "cut json": (b'{"error": "invalid_client", "error_desc', "JSON that cannot be read"),
    "twice": (b'{"error": "a", "error": "b"}', "JSON that cannot be read"),
    "deep": (b"[" * 5000, "JSON that cannot be read"),
}


@pytest.mark.rule("TK-19")
@pytest.mark.parametrize("shape", sorted(BODIES))
def test_each_body_that_is_no_json(refusal, shape):
    """Plain text, HTML and rubbish never hide the status; broken JSON is not quoted."""
    body, description = BODIES[shape]
    error = refusal(status=502, body=body)
    assert (error.error, error.description, error.status, error.received) == (None, description, 502, ())


def test_a_json_string_keeps_its_status(refusal):
    """A bare JSON string is the description, in quotation marks in the message."""
    assert refusal("Not found.", status=404).message == (
        "The server refused the token request with status 404: “Not found.”."
    )


def test_no_reason_is_said_as_such(refusal):
    """An empty answer is told apart from one with words."""
    error = refusal(body=b"", status=401, what="introspection")
    assert error.message == "The server refused the introspection with status 401: no reason."


@pytest.mark.parametrize(
    ("status", "advice"), [(429, "Too many requests"), (503, "try again later"), (404, "check the endpoint")]
)
def test_without_a_code_the_status_advises(refusal, status, advice):
    """Where OAuth says nothing, HTTP's status decides the advice."""
    assert advice in refusal(body=b"x", status=status).advice


# ------------------------------------------------------------------------------------- hostile answers


@pytest.mark.parametrize("filler", [b"x", b"<title>", b"<title", b"{", b'{"a":', b"\x1b", b" ", b"\xff"])
def test_five_megabytes_are_handled_at_once(refusal, filler):
    """However large and hostile the body is, reading it takes no time and the text stays short."""
    started = time.thread_time()
    error = refusal(status=500, body=filler * (5_000_000 // len(filler)))
    assert time.thread_time() - started < 0.3
    assert (error.status, error.error) == (500, None)
    assert len(str(error)) < 700


def test_a_long_description_is_cut(refusal):
    """A description has 256 characters at most."""
    error = refusal({"error": "invalid_grant", "error_description": "y" * 10_000, "error_uri": "z" * 10_000})
    assert (len(error.description), len(error.uri)) == (256, 256)


@pytest.mark.parametrize(
    "text",
    [
        "\n[CRITICAL] fake",
        "\x1b]0;pwn\x07",
        "\u202egnp.exe",
        "a\x00b",
        "a\u2028b",
        "\ue000",
        "\u200b",
        "{0.__class__}",
        "%s%s%s",
    ],
)
def test_server_text_cannot_forge_a_log_line(refusal, text):
    """Control characters, terminal codes and direction marks never come through; format codes are inert."""
    escaped = text.replace("\x00", "")
    error = refusal(
        {"error": "invalid_grant", "error_description": escaped, "error_uri": escaped, escaped: 1},
        headers={"X-Request-Id": escaped},
    )
    assert str(error).isprintable()
    for shown in (error.description, error.uri, error.correlation_id, *error.received):
        assert (shown or "").isprintable()


@pytest.mark.parametrize("code", ["a b", "a\nb", "é", "x" * 65, '"', "\x1b[31m"])
def test_a_code_is_a_short_word(refusal, code):
    """What is no short plain word is no code, but the server's words."""
    error = refusal({"error": code})
    assert error.error is None
    assert (error.description or "").isprintable()


def test_a_code_at_the_limit(refusal):
    """64 characters are a code."""
    assert refusal({"error": "x" * 64}).error == "x" * 64


JWT = "eyJhbGciOiJFUzM4NCJ9.eyJpc3MiOiJhcHAifQ.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "answer",
    [
        {"error": "invalid_grant", "error_description": "Invalid refresh token: r-2c44/canary"},
        {"error": "Invalid refresh token r-2c44/canary"},
        {"message": "r-2c44/canary"},
        {"error": "invalid_grant", "error_uri": "https://e.example/?t=r-2c44/canary"},
        {"resourceType": "OperationOutcome", "issue": [{"diagnostics": "r-2c44/canary"}]},
        "r-2c44/canary",
    ],
)
def test_a_secret_that_was_sent_is_struck_out(refusal, answer):
    """Servers quote the refresh token or code they refuse; the error does not."""
    error = refusal(answer, sent=[Secret("r-2c44/canary"), Secret("other")])
    assert "canary" not in f"{error} {vars(error)}"
    assert "<hidden>" in f"{error.description} {error.uri}"


@pytest.mark.parametrize("body", [b"refresh_token=r-2c44/canary", b"<title>r-2c44/canary</title>"])
def test_a_secret_in_plain_text_is_struck_out(refusal, body):
    """The same in a body that is no JSON."""
    error = refusal(body=body, sent=[Secret("r-2c44/canary")])
    assert "canary" not in f"{error} {vars(error)}"


@pytest.mark.parametrize("padding", [0, 200, 240, 250, 255, 256, 300])
def test_a_secret_is_not_shown_in_half(refusal, padding):
    """Cutting the text to its length leaves no piece of a secret, wherever the secret stands."""
    text = "x" * padding + " r-2c44-canary"
    error = refusal({"error": "invalid_grant", "error_description": text}, sent=[Secret("r-2c44-canary")])
    assert "r-2c" not in str(error)


@pytest.mark.parametrize("text", [JWT, f"Assertion {JWT} has expired", JWT[:40], f'"{JWT}"'])
def test_whatever_looks_like_a_jwt_is_struck_out(refusal, text):
    """A client assertion in the server's words is still a credential."""
    error = refusal({"error": "invalid_client", "error_description": text})
    assert "eyJ" not in str(error)
    assert "<hidden>" in error.description


def test_a_refusal_survives_pickle(refusal):
    """Errors cross processes with all their fields."""
    error = refusal({"error": "invalid_scope", "error_description": "d"}, headers={"Retry-After": "5"})
    copied = pickle.loads(pickle.dumps(error))
    assert (str(copied), vars(copied)) == (str(error), vars(error))


# ------------------------------------------------------------------------------------------- headers


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("300", 300.0),
        (" 300 ", 300.0),
        ("0", 0.0),
        ("86400", 86_400.0),
        ("Sun, 15 Jun 2025 15:07:40 GMT", 60.0),
        ("Sun, 15 Jun 2025 17:07:40 +0200", 60.0),
        ("Sun, 15 Jun 2025 15:07:40 -0000", 60.0),
        ("Sun, 15 Jun 2025 15:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 -2359", 251_652_387_139.0),
        ("-5", None),
        ("1.5", None),
        ("²", None),
        ("9" * 10, None),
        ("soon", None),
        ("", None),
        ("Mon, 99 Jan 2025 00:00:00 GMT", None),
        ("Mon, 01 Jan 99999999999999999999999 00:00:00 GMT", None),
        ("x" * 100_000, None),
    ],
)
def test_retry_after(refusal, value, seconds):
    """Seconds and dates are read, rubbish is ignored, and no value is an exception of another kind."""
    assert refusal({}, 429, headers={"Retry-After": value}).retry_after == seconds


def test_retry_after_missing(json_response):
    """Without the header there is nothing to wait for."""
    assert retry_after(json_response({})) is None


@pytest.mark.parametrize("name", ["X-Correlation-Id", "x-request-id", "cerner-correlation-id", "Request-Id"])
def test_correlation_id(refusal, name):
    """The server's own identifier of the exchange is kept for its support desk."""
    assert refusal({}, headers={name: "abc-1"}).correlation_id == "abc-1"


def test_correlation_id_is_cleaned_or_none(json_response):
    """It is a server's text as any other."""
    assert correlation_id(json_response({}, headers={"X-Request-Id": "a\x1b" + "b" * 200})) == (
        "a" + "b" * 126 + "…"
    )
    assert correlation_id(json_response({}, headers={"X-Request-Id": "", "Request-Id": "r"})) == "r"
    assert correlation_id(json_response({})) is None
