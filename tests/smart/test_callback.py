"""The redirect back to the app: nothing of it is used before it is known to belong to this login."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smart_async import (
    CallbackError,
    ConfigurationError,
    EndpointChangedError,
    IdTokenError,
    OAuthError,
    OutcomeUnknownError,
    PendingAuthorization,
    Secret,
    SmartError,
    TokenResponseError,
    TransportError,
)
from smart_async.flow import Now
from smart_async.messages import Request, Response
from smart_async.smart.authorization import authorize
from smart_async.smart.binding import Binding
from smart_async.smart.callback import exchange_code, parse_callback
from smart_async.smart.state import ClientState

NOW = 1_750_000_000.0
STATE = "Zt6yQm0nHkV1s9LwPpR3aXcB7uEoJdGf"
CODE = "c-5e1f0a"
VERIFIER = "vQ3xN7-hTtqW_8kBz5cLrYd0e2JmSgPfUa1XoRi4EnM"
PATH = "https://app.example.com/callback"
GOOD = {"code": CODE, "state": STATE}

Refuse = Callable[..., CallbackError]


@pytest.fixture
def pending(binding: Binding) -> PendingAuthorization:
    """A login that was started a minute ago, at a server that names its issuer in callbacks or not."""
    return PendingAuthorization(
        state=STATE,
        code_verifier=Secret(VERIFIER),
        nonce=None,
        binding=binding,
        authorization_endpoint="https://sso.example.com/oauth2/authorize",
        redirect_uri=PATH,
        scope="launch/patient patient/*.rs",
        aud=binding.fhir_base,
        created_at=NOW - 60,
        expires_at=NOW + 540,
    )


@pytest.fixture
def refuse(state: ClientState, script: Any, pending: PendingAuthorization) -> Refuse:
    """Runs an exchange that has to be refused before anything but the time was asked for."""

    def run(callback: Any, **changes: Any) -> CallbackError:
        with pytest.raises(CallbackError) as caught:
            script.run(exchange_code(state, replace(pending, **changes), callback))
        assert set(script.kinds) <= {Now}
        assert script.requests == []
        error = caught.value
        assert error.endpoint == pending.redirect_uri
        assert error.advice
        return error

    return run


class MultiItems:
    """Query parameters as Starlette and httpx have them: repetitions are behind `multi_items`."""

    def __init__(self, *pairs: tuple[str, str]) -> None:
        self.pairs = pairs

    def multi_items(self) -> list[tuple[str, str]]:
        return list(self.pairs)

    def items(self) -> Iterator[tuple[str, str]]:
        yield from dict(self.pairs).items()


class Lists(MultiItems):
    """Query parameters as Django and Werkzeug have them: repetitions are behind `lists`."""

    multi_items = None  # type: ignore[assignment]  # replaced on purpose

    def __getattribute__(self, name: str) -> Any:
        if name == "multi_items":
            raise AttributeError(name)
        return super().__getattribute__(name)

    def lists(self) -> Iterator[tuple[str, list[str]]]:
        for name in dict(self.pairs):
            yield name, [value for key, value in self.pairs if key == name]


class Pairs(MultiItems):
    """Query parameters as aiohttp and yarl have them: `items` repeats the name."""

    def __getattribute__(self, name: str) -> Any:
        if name == "multi_items":
            raise AttributeError(name)
        return super().__getattribute__(name)

    def items(self) -> Iterator[tuple[str, str]]:
        yield from self.pairs


class TestForms:
    @pytest.mark.rule("CB-04", "CB-06")
    @pytest.mark.parametrize(
        "callback",
        [
            f"{PATH}?code={CODE}&state={STATE}",
            f"{PATH}?state={STATE}&session_state=x&code={CODE}&next=https%3A%2F%2Fevil.example",
            f"http://10.0.0.7:8000/callback?code={CODE}&state={STATE}",
            f"/callback?code={CODE}&state={STATE}#_=_",
            GOOD,
            GOOD | {"session_state": "x", "utm": ""},
            GOOD | {"error": None, "error_description": None, "iss": None},
            {"error": None, "iss": None} | GOOD,
            {"code": [CODE], "state": [STATE]},
            {"code": (CODE,), "state": STATE, "error": []},
            MultiItems(("code", CODE), ("state", STATE), ("x", "1"), ("x", "2")),
            Lists(("code", CODE), ("state", STATE), ("x", "1"), ("x", "2")),
            Pairs(("code", CODE), ("state", STATE), ("x", "1"), ("x", "2")),
        ],
        ids=lambda value: value if isinstance(value, str) else type(value).__name__,
    )
    def test_every_form_gives_the_code(self, pending: PendingAuthorization, callback: Any) -> None:
        """URL, dict, dict of lists and the frameworks' own objects; unknown parameters are ignored."""
        assert parse_callback(pending, callback, now=NOW) == CODE

    def test_starlettes_own_objects(self, pending: PendingAuthorization) -> None:
        """Query and form of a Starlette or FastAPI request can be handed over as they are."""
        structures = pytest.importorskip("starlette.datastructures")
        query = f"code={CODE}&state={STATE}"
        assert parse_callback(pending, structures.QueryParams(query), now=NOW) == CODE
        assert parse_callback(pending, structures.FormData(parse_qsl(query)), now=NOW) == CODE
        with pytest.raises(CallbackError, match="state more than once"):
            parse_callback(pending, structures.QueryParams(f"{query}&state=x"), now=NOW)

    @pytest.mark.parametrize("name", ["httpx", "httpx2"])
    def test_httpx_objects(self, pending: PendingAuthorization, name: str) -> None:
        """The query of an httpx URL works, repetitions noticed."""
        library = pytest.importorskip(name)
        query = library.QueryParams(f"code={CODE}&state={STATE}")
        assert parse_callback(pending, query, now=NOW) == CODE
        with pytest.raises(CallbackError, match="code more than once"):
            parse_callback(pending, query.add("code", "x"), now=NOW)

    @pytest.mark.parametrize("callback", [None, 7, f"code={CODE}".encode(), [("code", CODE)]])
    def test_anything_else_is_the_callers_mistake(
        self, state: ClientState, script: Any, pending: PendingAuthorization, callback: Any
    ) -> None:
        """Bytes, lists and URL objects: told what to pass, and nothing is sent."""
        with pytest.raises(ConfigurationError, match="URL as a string or a mapping") as caught:
            script.run(exchange_code(state, pending, callback))
        assert (caught.value.field, script.requests) == ("callback", [])
        assert caught.value.message.endswith(f"not a {type(callback).__name__}.")

    @pytest.mark.parametrize("kind", [MultiItems, Lists, Pairs])
    def test_repetitions_are_seen_in_every_form(self, refuse: Refuse, kind: Callable[..., Any]) -> None:
        """What a framework keeps behind a method of its own is looked at there."""
        twice = kind(("code", CODE), ("code", "x"), ("state", STATE))
        assert "code more than once" in refuse(twice).message
        assert "not strings" in refuse(kind(("code", 7), ("state", STATE))).message

    @pytest.mark.parametrize(
        "callback",
        [GOOD | {"code": 7}, {"code": [CODE, None], "state": STATE}, GOOD | {7: "x"}, GOOD | {"x": {}}],
    )
    def test_values_that_are_not_strings_are_refused(self, refuse: Refuse, callback: Any) -> None:
        """A parameter is text or absent."""
        assert "not strings" in refuse(callback).message

    @pytest.mark.parametrize(
        ("redirect_uri", "callback"),
        [
            ("https://app.example.com", "https://app.example.com/"),
            ("https://app.example.com/", "https://app.example.com"),
            ("https://app.example.com/cb?tenant=4", "https://app.example.com/cb"),
            ("com.example.app:/cb", "com.example.app:/cb"),
        ],
    )
    def test_the_path_is_the_redirect_uris(
        self, pending: PendingAuthorization, redirect_uri: str, callback: str
    ) -> None:
        """A browser writes a slash where the URI has no path; a query of its own comes back beside ours."""
        here = replace(pending, redirect_uri=redirect_uri)
        assert parse_callback(here, f"{callback}?tenant=4&code={CODE}&state={STATE}", now=NOW) == CODE


class TestState:
    @pytest.mark.rule("CB-01", "AL-11")
    @pytest.mark.parametrize("form", ["url", "mapping"])
    @pytest.mark.parametrize(
        ("returned", "message"),
        [
            ([], "holds no state"),
            ([""], "holds no state"),
            (["x"], "belongs to another login"),
            ([STATE + "x"], "belongs to another login"),
            ([STATE[:-1]], "belongs to another login"),
            ([STATE.lower()], "belongs to another login"),
            ([STATE + " "], "belongs to another login"),
            (["ü" * 32], "belongs to another login"),
            ([STATE, STATE], "state more than once"),
            ([STATE, "x"], "state more than once"),
        ],
    )
    @pytest.mark.parametrize("rest", [{"code": CODE}, {"error": "access_denied"}])
    def test_a_state_that_is_not_ours_ends_it(
        self, refuse: Refuse, form: str, returned: list[str], message: str, rest: dict[str, str]
    ) -> None:
        """Missing, empty, changed or repeated, beside a code or an error: refused, nothing sent."""
        parameters = {"state": returned, **rest}
        callback = f"{PATH}?{urlencode(parameters, doseq=True)}" if form == "url" else parameters
        error = refuse(callback)
        assert message in error.message
        assert "Start a new login" in str(error.advice)

    @pytest.mark.rule("CB-02", "AL-11")
    def test_two_browsers_cannot_swap(self, refuse: Refuse) -> None:
        """Each login answers only to its own state."""
        assert "another login" in refuse(GOOD, state="the-other-browsers").message

    @pytest.mark.rule("CB-01")
    def test_a_state_that_no_encoding_knows(self, refuse: Refuse) -> None:
        """Half a character is compared and refused like anything else."""
        assert "another login" in refuse({"code": CODE, "state": "\ud800"}).message

    @pytest.mark.rule("CB-03")
    @pytest.mark.parametrize("late", [0.0, 1.0, 86_400.0])
    def test_it_expires(self, refuse: Refuse, late: float) -> None:
        """At ten minutes it is over, whatever the callback holds."""
        error = refuse(GOOD, created_at=NOW - 600 - late, expires_at=NOW - late)
        assert f"started {600 + int(late)} seconds ago and has expired" in error.message

    @pytest.mark.rule("CB-03")
    def test_the_last_moment_counts(self, pending: PendingAuthorization) -> None:
        """A moment before, it is still good."""
        assert parse_callback(pending, GOOD, now=pending.expires_at - 0.001) == CODE


class TestAmbiguity:
    @pytest.mark.rule("CB-04")
    @pytest.mark.parametrize("name", ["code", "iss", "error", "error_description", "error_uri", "response"])
    def test_nothing_that_counts_may_come_twice(self, refuse: Refuse, name: str) -> None:
        """Two parsers could pick two values."""
        assert f"{name} more than once" in refuse(GOOD | {name: ["a", "a"]}).message

    @pytest.mark.rule("CB-04")
    @pytest.mark.parametrize(("code", "error"), [(CODE, "x"), ("", "x"), (CODE, "")])
    def test_code_and_error_exclude_each_other(self, refuse: Refuse, code: str, error: str) -> None:
        """A callback that says yes and no says nothing."""
        assert "both a code and an error" in refuse({"state": STATE, "code": code, "error": error}).message

    @pytest.mark.rule("CB-04")
    @pytest.mark.parametrize("rest", [{}, {"code": ""}, {"code": "a\nb"}, {"code": "ä"}, {"response": "x"}])
    def test_no_usable_code(self, refuse: Refuse, rest: dict[str, str]) -> None:
        """None, an empty one, or one that OAuth does not allow."""
        assert "no usable code" in refuse({"state": STATE, **rest}).message

    @pytest.mark.rule("CB-05")
    def test_an_empty_error_is_none(self, refuse: Refuse) -> None:
        """There is nothing to report in it."""
        assert "empty error" in refuse({"state": STATE, "error": ""}).message

    @pytest.mark.rule("CB-04")
    @pytest.mark.parametrize("name", ["access_token", "id_token", "token", "refresh_token"])
    def test_tokens_do_not_travel_through_the_browser(self, refuse: Refuse, name: str) -> None:
        """Tokens in the query, or in a fragment where an app can see it, are a different, forbidden flow."""
        for callback in (
            GOOD | {name: "t"},
            f"{PATH}?{urlencode(GOOD | {name: ''})}",
            f"{PATH}?{urlencode(GOOD)}#{name}=t",
        ):
            assert "holds a token" in refuse(callback).message

    @pytest.mark.rule("CB-04")
    def test_sizes_are_bounded(self, refuse: Refuse) -> None:
        """8 KiB in all, 4 KiB for one parameter, a hundred parameters in a URL."""
        assert "too long" in refuse(GOOD | {"code": "a" * 4097}).message
        assert "too long" in refuse(f"{PATH}?{urlencode(GOOD | {'code': 'a' * 4097})}").message
        assert "more than 8192 characters" in refuse(GOOD | {"x": "a" * 8192}).message
        assert "8192 are read" in refuse(f"{PATH}?{urlencode(GOOD | {'x': 'a' * 8192})}").message
        assert "cannot be read" in refuse(f"{PATH}?{urlencode(GOOD)}{'&a=1' * 99}").message

    def test_sizes_that_are_just_accepted(self, pending: PendingAuthorization) -> None:
        """Each limit itself is still good: 8 KiB as a mapping and as a URL, and a hundred parameters."""
        used = sum(len(name) + len(value) for name, value in GOOD.items()) + 1
        url = f"{PATH}?{urlencode(GOOD)}&x="
        for callback in (
            GOOD | {"x": "a" * (8192 - used)},
            url + "a" * (8192 - len(url)),
            f"{PATH}?{urlencode(GOOD)}{'&a=1' * 98}",
        ):
            assert parse_callback(pending, callback, now=NOW) == CODE

    def test_long_codes_work(self, pending: PendingAuthorization) -> None:
        """Some servers use JWTs as codes."""
        assert parse_callback(pending, GOOD | {"code": "a" * 4096}, now=NOW) == "a" * 4096

    @pytest.mark.rule("CB-04")
    @pytest.mark.parametrize(
        "callback", [f"{PATH}?code=%FF&state={STATE}", f"https://[x/callback?state={STATE}"]
    )
    def test_a_url_that_cannot_be_read(self, refuse: Refuse, callback: str) -> None:
        """Broken text is an error of ours, not of a parser."""
        assert "cannot be read" in refuse(callback).message

    @pytest.mark.rule("CB-09")
    @pytest.mark.parametrize("path", ["/callback/", "/callback/other", "/", "/Callback", "/callback%2F"])
    def test_another_path_is_another_registration(self, refuse: Refuse, path: str) -> None:
        """A valid state at another registration's path is a mix-up."""
        error = refuse(f"https://app.example.com{path}?{urlencode(GOOD)}")
        assert "another path" in error.message
        assert "as a mapping" in str(error.advice)


class TestIssuer:
    @pytest.mark.rule("CB-10")
    def test_the_right_one_passes(self, pending: PendingAuthorization) -> None:
        """Where the server names itself, it has to be the one the login was started at."""
        callback = GOOD | {"iss": "https://sso.example.com"}
        for expected in (False, True):
            assert parse_callback(replace(pending, iss_expected=expected), callback, now=NOW) == CODE

    @pytest.mark.rule("CB-10")
    @pytest.mark.parametrize(
        "iss",
        [
            "https://evil.example",
            "https://sso.example.com/",
            "https://SSO.example.com",
            "https://sso.example.com:443",
            "",
        ],
    )
    @pytest.mark.parametrize("rest", [{"code": CODE}, {"error": "access_denied"}])
    def test_another_one_is_refused(self, refuse: Refuse, iss: str, rest: dict[str, str]) -> None:
        """Compared as text, before code or error is looked at."""
        assert "another issuer" in refuse({"state": STATE, "iss": iss, **rest}).message

    @pytest.mark.rule("CB-10")
    @pytest.mark.parametrize("rest", [{"code": CODE}, {"error": "access_denied"}])
    def test_a_promised_one_has_to_come(self, refuse: Refuse, rest: dict[str, str]) -> None:
        """A server that promises its issuer and a callback without: somebody else wrote it."""
        assert "has none" in refuse({"state": STATE, **rest}, iss_expected=True).message

    @pytest.mark.rule("CB-10")
    def test_without_a_known_issuer_there_is_nothing_to_compare(
        self, pending: PendingAuthorization, binding: Binding
    ) -> None:
        """Servers without OpenID Connect name none in discovery."""
        unnamed = replace(pending, binding=replace(binding, issuer=None))
        assert parse_callback(unnamed, GOOD | {"iss": "https://x.example"}, now=NOW) == CODE


class TestRefusals:
    @pytest.mark.rule("CB-05")
    @pytest.mark.parametrize(
        ("error", "advice"),
        [("access_denied", "Ask again only"), ("invalid_client", "client_id"), ("x_y", ".error_uri")],
    )
    def test_the_servers_no_is_typed(
        self, state: ClientState, script: Any, pending: PendingAuthorization, error: str, advice: str
    ) -> None:
        """All of OAuth's fields, advice for the usual codes, and no token request."""
        callback = {
            "state": STATE,
            "error": error,
            "error_description": "The user said no",
            "error_uri": "https://sso.example.com/why",
        }
        with pytest.raises(OAuthError) as caught:
            script.run(exchange_code(state, pending, callback))
        refusal = caught.value
        assert (refusal.error, refusal.description, refusal.uri, refusal.status) == (
            error,
            "The user said no",
            "https://sso.example.com/why",
            None,
        )
        assert refusal.message == f"The authorization server refused the login: {error} (The user said no)."
        assert refusal.endpoint == pending.authorization_endpoint
        assert advice in str(refusal.advice)
        assert script.kinds == [Now]

    @pytest.mark.rule("CB-05")
    def test_a_code_alone_is_enough(self, pending: PendingAuthorization) -> None:
        """Description and URI are optional, and may be empty."""
        callback = {"state": STATE, "error": "server_error", "error_description": "", "error_uri": ""}
        with pytest.raises(OAuthError) as caught:
            parse_callback(pending, callback, now=NOW)
        assert (caught.value.description, caught.value.uri) == (None, None)
        assert caught.value.message == "The authorization server refused the login: server_error."

    @pytest.mark.rule("CB-08")
    def test_its_words_are_made_harmless(self, pending: PendingAuthorization) -> None:
        """Control characters, line ends and length: what ends up in logs and terminals is plain text."""
        callback = {
            "state": STATE,
            "error": "access_denied\r\nSet-Cookie: x",
            "error_description": "\x1b[31m<script>alert(1)</script>\n" + "a" * 1000,
            "error_uri": "javascript:alert(1)\n",
        }
        with pytest.raises(OAuthError) as caught:
            parse_callback(pending, callback, now=NOW)
        error = caught.value
        texts = (str(error.error), str(error.description), str(error.uri), str(error))
        assert [text for text in texts if any(ord(character) < 32 for character in text)] == []
        assert len(str(error.description)) == 256

    @pytest.mark.rule("CB-08")
    def test_its_words_are_cut(self, pending: PendingAuthorization) -> None:
        """64 characters of a code and 512 of a URI are more than any honest server sends."""
        callback = {"state": STATE, "error": "e" * 70, "error_uri": "https://sso.example.com/" + "u" * 600}
        with pytest.raises(OAuthError) as caught:
            parse_callback(pending, callback, now=NOW)
        assert (len(str(caught.value.error)), len(str(caught.value.uri))) == (64, 512)


class TestNothingIsQuoted:
    @pytest.mark.rule("CB-07", "CB-08")
    @given(data=st.data())
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
    def test_a_refused_callback_is_never_repeated(
        self, pending: PendingAuthorization, data: st.DataObject
    ) -> None:
        """Whatever is in a callback that is not ours, no part of it and no secret shows in the error."""
        names = ["code", "state", "iss", "error", "error_description", "access_token", "next", "x"]
        callback: dict[str, Any] = {}
        for name in data.draw(st.lists(st.sampled_from(names), unique=True)):
            canary = st.text().map(lambda text: f"CANARY{text}")
            callback[name] = data.draw(canary | st.lists(canary, max_size=2) | st.none() | st.integers())
        with pytest.raises(CallbackError) as caught:
            parse_callback(pending, callback, now=NOW)
        with pytest.raises(CallbackError) as at_url:
            parse_callback(pending, f"{PATH}?{urlencode(callback, doseq=True, errors='replace')}", now=NOW)
        for error in (caught.value, at_url.value):
            assert [part for part in ("CANARY", STATE, VERIFIER) if part in f"{error} {vars(error)}"] == []

    @given(st.text())
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_no_text_breaks_the_reader(self, pending: PendingAuthorization, text: str) -> None:
        """Any string as a callback ends in our error."""
        with pytest.raises(CallbackError):
            parse_callback(pending, text, now=NOW)


class TestExchange:
    @pytest.fixture
    def login(
        self,
        state: ClientState,
        script: Any,
        json_response: Callable[..., Response],
        document: dict[str, Any],
    ) -> PendingAuthorization:
        """A login without openid, started by the flow and brought back from its JSON."""
        state.config = replace(state.config, scope="launch/patient patient/*.rs")
        script.answer(json_response(document))
        pending = script.run(authorize(state))
        script.requests.clear()
        script.steps.clear()
        return PendingAuthorization.from_json(pending.to_json())

    def test_with_openid_the_identity_is_verified(
        self,
        state: ClientState,
        script: Any,
        issuer: Any,
        json_response: Callable[..., Response],
        document: dict[str, Any],
        token_document: dict[str, Any],
    ) -> None:
        """The ID token has to be one for this login, by its nonce; without openid nobody looks at it."""
        for scope, nonce, subject in [
            ("openid fhirUser launch/patient patient/*.rs", "its own", "u-58121"),
            ("openid fhirUser launch/patient patient/*.rs", "n-of-another-login", IdTokenError),
            ("launch/patient patient/*.rs", "n-of-another-login", None),
        ]:
            here = replace(state, config=replace(state.config, scope=scope))
            script.answer(json_response(document))
            pending = script.run(authorize(here))
            if nonce == "its own":
                nonce = pending.nonce.reveal()
            answer = token_document | {"scope": scope, "id_token": issuer.token(nonce=nonce)}
            script.answer(json_response(answer))
            if subject is not None:
                script.answer(json_response(issuer.configuration()), json_response(issuer.jwks()))
            flow = exchange_code(here, pending, {"code": CODE, "state": pending.state})
            if subject is IdTokenError:
                with pytest.raises(IdTokenError):
                    script.run(flow)
                continue
            token = script.run(flow)
            assert (token.identity.subject if token.identity else None) == subject
            script.finished()

    def test_a_login_that_is_none(self, state: ClientState, script: Any) -> None:
        """The argument that is wrong is named."""
        with pytest.raises(ConfigurationError) as caught:
            script.run(exchange_code(state, None, GOOD))  # type: ignore[arg-type]
        assert (caught.value.field, script.steps) == ("pending", [])

    def test_the_clients_limits(
        self,
        state: ClientState,
        script: Any,
        login: PendingAuthorization,
        json_response: Callable[..., Response],
        token_document: dict[str, Any],
    ) -> None:
        """They hold for the answer, too."""
        state.limits = replace(state.limits, document_members=2)
        script.answer(json_response(token_document))
        with pytest.raises(TokenResponseError, match="more than 2 members"):
            script.run(exchange_code(state, login, {"code": CODE, "state": login.state}))

    def test_it_ends_in_a_token(
        self,
        state: ClientState,
        script: Any,
        login: PendingAuthorization,
        json_response: Callable[..., Response],
        token_document: dict[str, Any],
        form_of: Callable[[Request], dict[str, str]],
    ) -> None:
        """The code is posted once, on a fresh connection, with verifier and one assertion, and no more."""
        script.answer(json_response(token_document))
        token = script.run(exchange_code(state, login, {"code": CODE, "state": login.state}))
        (request,) = script.requests
        form = form_of(request)
        assert (request.method, request.url) == ("POST", "https://sso.example.com/oauth2/token")
        assert (request.fresh, "authorization" in request.headers) == (True, False)
        assertion = form.pop("client_assertion")
        assert form == {
            "grant_type": "authorization_code",
            "code": CODE,
            "redirect_uri": PATH,
            "code_verifier": login.code_verifier.reveal(),
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        }
        assert assertion.count(".") == 2
        assert token.context.patient == "p-3307"
        assert token.binding == login.binding

    @pytest.mark.rule("CB-09")
    def test_the_code_goes_to_the_endpoint_of_the_start(
        self,
        state: ClientState,
        script: Any,
        login: PendingAuthorization,
        json_response: Callable[..., Response],
        document: dict[str, Any],
        token_document: dict[str, Any],
    ) -> None:
        """A document that names another path by now does not lead the code there."""
        state.cached = None
        changed = document | {"token_endpoint": "https://sso.example.com/elsewhere"}
        script.answer(json_response(changed), json_response(token_document))
        script.run(exchange_code(state, login, {"code": CODE, "state": login.state}))
        assert [request.url for request in script.requests][1:] == ["https://sso.example.com/oauth2/token"]

    @pytest.mark.rule("CB-09")
    @pytest.mark.parametrize("member", ["token_endpoint", "issuer"])
    def test_it_goes_nowhere_when_the_server_has_moved(
        self,
        state: ClientState,
        script: Any,
        login: PendingAuthorization,
        json_response: Callable[..., Response],
        document: dict[str, Any],
        member: str,
    ) -> None:
        """Another origin in the document: the code, the verifier and the assertion stay here."""
        state.cached = None
        script.answer(json_response(document | {member: "https://evil.example/token"}))
        with pytest.raises(EndpointChangedError):
            script.run(exchange_code(state, login, {"code": CODE, "state": login.state}))
        assert [request.purpose for request in script.requests] == ["discovery"]

    @pytest.mark.rule("CB-09")
    def test_two_ehrs_cannot_be_mixed_up(
        self, state: ClientState, script: Any, login: PendingAuthorization
    ) -> None:
        """A login of one registration is refused by the client of another before anything happens."""
        state.config = replace(state.config, fhir_base="https://other.example.com/r4")
        with pytest.raises(ConfigurationError, match="pending login belongs to client growth-chart"):
            script.run(exchange_code(state, login, {"code": CODE, "state": login.state}))
        assert script.steps == []

    def test_a_lost_answer_is_not_asked_for_again(
        self, state: ClientState, script: Any, login: PendingAuthorization
    ) -> None:
        """A code works once, so after a request that may have arrived there is no second."""
        script.answer(TransportError("Gone.", endpoint="https://sso.example.com/oauth2/token", sent=None))
        with pytest.raises(OutcomeUnknownError):
            script.run(exchange_code(state, login, {"code": CODE, "state": login.state}))
        assert len(script.requests) == 1

    def test_no_error_holds_the_code_or_the_verifier(
        self,
        state: ClientState,
        script: Any,
        login: PendingAuthorization,
        json_response: Callable[..., Response],
    ) -> None:
        """A server that repeats what it was sent in its refusal does not get it into a log."""
        words = f"bad code {CODE} with {login.code_verifier.reveal()}"
        script.answer(json_response({"error": "invalid_grant", "error_description": words}, status=400))
        with pytest.raises(SmartError) as caught:
            script.run(exchange_code(state, login, {"code": CODE, "state": login.state}))
        text = f"{caught.value} {vars(caught.value)}"
        assert [secret for secret in (CODE, login.code_verifier.reveal()) if secret in text] == []

    def test_the_url_is_that_of_the_request(self, login: PendingAuthorization) -> None:
        """The state in the browser's address is the one that is compared later."""
        assert dict(parse_qsl(urlsplit(login.url).query))["state"] == login.state
