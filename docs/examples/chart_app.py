"""
A web app that shows a patient's chart, from whichever of its EHRs the user signs in at.

`make demo-web` runs it beside two sandboxes (see `demo_web.py`). What is SMART in it is `SmartLogin`; the
rest is FastAPI, Jinja2 with autoescape, and pages that need no script and allow none.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import httpx
from fastapi import Depends, FastAPI, Form, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from patient_chart import read_chart
from vitals import graphs

from smart_async import (
    AsyncEHRRegistry,
    CallbackError,
    LaunchRejectedError,
    OAuthError,
    SessionEndedError,
    SmartError,
)
from smart_async.integrations.starlette import EHRChoice, SignedIn, SmartLogin

HERE = Path(__file__).parent


def create_app(
    ehrs: AsyncEHRRegistry,
    names: Mapping[str, str],
    *,
    frames: tuple[str, ...] = (),
    allow_insecure_loopback: bool = False,
) -> FastAPI:
    """
    Return the app.

    Args:
        ehrs: The EHRs where it is registered, each with its FHIR base, client id and key.
        names: What people call them, by FHIR base.
        frames: The origins of those that show the app in a frame.
        allow_insecure_loopback: Whether it may run on plain http, on this machine alone.
    """
    pages = _templates()

    def page(request: Request, name: str, status_code: int = 200, **values: object) -> HTMLResponse:
        return pages.TemplateResponse(request, name, values, status_code=status_code)

    def choose(request: Request, choices: tuple[EHRChoice, ...]) -> Response:
        return page(request, "choose.html", choices=choices)

    def failed(request: Request, error: SmartError) -> Response:
        title, text = _in_plain_words(error)
        return page(request, "problem.html", 400, title=title, text=text, detail=str(error))

    login = SmartLogin(
        ehrs,
        names=names,
        choose_ehr=choose,
        on_failure=failed,
        framed=frames if not allow_insecure_loopback else False,
        allow_insecure_loopback=allow_insecure_loopback,
    )
    signed_in = Depends(login.session)
    app = FastAPI(openapi_url=None)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    login.install(app)

    @app.middleware("http")
    async def protect(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        for name, value in _protection(frames).items():
            response.headers.setdefault(name, value)
        return response

    @app.exception_handler(SessionEndedError)
    async def sign_in_again(_request: Request, _error: SessionEndedError) -> Response:
        return RedirectResponse(login.login_url("/chart"), status_code=303)

    @app.exception_handler(SmartError)
    @app.exception_handler(httpx.HTTPError)
    async def no_answer(request: Request, error: Exception) -> Response:
        text = "The record could not be read just now. Please try again in a moment."
        return page(request, "problem.html", 502, title="No record", text=text, detail=type(error).__name__)

    @app.get("/")
    async def home(request: Request) -> Response:
        if await login.current(request) is not None:
            return RedirectResponse(request.url_for("chart").path, status_code=303)
        return page(request, "home.html", login_url=login.login_url("/chart"))

    @app.get("/chart")
    async def chart(request: Request, renewed: bool = False, user: SignedIn = signed_in) -> Response:
        if user.context.patient is None:
            text = "No patient was chosen. Open the app again with a patient's chart."
            return page(
                request, "problem.html", 400, title="Nobody’s chart", text=text, detail="No launch context."
            )
        found = await read_chart(user.http, user.context.patient, user.token.scopes)
        return page(
            request,
            "chart.html",
            chart=found,
            graphs=graphs(found.measurements or ()),
            today=datetime.now(UTC).date(),
            place=names[user.client.config.fhir_base],
            until=_clock(user.token.expires_at),
            renewable=user.token.refresh_token is not None,
            renewed=renewed,
            logout_url=login.logout_url,
            form_token=user.form_token,
        )

    @app.post("/refresh")
    async def refresh(
        request: Request, form_token: Annotated[str, Form()], user: SignedIn = signed_in
    ) -> Response:
        if not secrets.compare_digest(form_token.encode(), user.form_token.encode()):
            raise HTTPException(403, "This form was not made for you.")
        await user.session.renew()
        return RedirectResponse(f"{request.url_for('chart').path}?renewed=1", status_code=303)

    return app


def _templates() -> Jinja2Templates:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["day"] = lambda day: f"{day.day} {day:%b %Y}"
    return Jinja2Templates(env=environment)


def _protection(frames: tuple[str, ...]) -> dict[str, str]:
    ancestors = " ".join(frames) or "'none'"
    policy = (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
        f"frame-ancestors {ancestors}"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",  # what is shown is about a patient
    }


def _in_plain_words(error: SmartError) -> tuple[str, str]:
    match error:
        case LaunchRejectedError():
            return "Unknown place", "This app is not registered where it was opened from."
        case CallbackError():
            return (
                "Please sign in again",
                "This sign-in was already finished, took too long, or began in another browser.",
            )
        case OAuthError(error="access_denied"):
            return "You did not agree", "Nothing was shared with this app. You can start again at any time."
        case OAuthError():
            return "Signing in was refused", "The place where the record is kept did not let this app in."
    return "Signing in did not work", "Please try again in a moment."


def _clock(seconds: float | None) -> str | None:
    return None if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%H:%M}"
