"""The app in both frameworks, on both event loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("fastapi")

from web_app import WebApp


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Both event loops."""
    backend: str = request.param
    return backend


@pytest.fixture(params=["starlette", "fastapi"])
def framework(request: pytest.FixtureRequest) -> str:
    """Both frameworks."""
    name: str = request.param
    return name


@pytest.fixture
def make(framework: str) -> Callable[..., WebApp]:
    """Makes an app."""

    def make(**options: Any) -> WebApp:
        return WebApp(framework, **options)

    return make


@pytest.fixture
def web() -> WebApp:
    """A Starlette app."""
    return WebApp()
