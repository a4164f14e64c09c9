"""
Sign users in from a Starlette or FastAPI app. Needs `pip install "smart-async[starlette]"`.

`SmartLogin` brings the routes of a login, keeps what belongs on the server there, and hands each request the
`SignedIn` user, or sends the browser to sign in. FastAPI is not needed, and not imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smart_async._lazy import loading
from smart_async.errors import ConfigurationError

if TYPE_CHECKING:
    from smart_async.integrations.starlette._errors import (
        NotSignedInError,
        OtherUserError,
        UnavailableError,
    )
    from smart_async.integrations.starlette._local import local_path
    from smart_async.integrations.starlette._places import EHRChoice
    from smart_async.integrations.starlette._signed_in import SignedIn
    from smart_async.integrations.starlette.login import SmartLogin

__all__ = (
    "EHRChoice",
    "NotSignedInError",
    "OtherUserError",
    "SignedIn",
    "SmartLogin",
    "UnavailableError",
    "local_path",
)

_HOMES = {
    "EHRChoice": "_places",
    "NotSignedInError": "_errors",
    "OtherUserError": "_errors",
    "SignedIn": "_signed_in",
    "SmartLogin": "login",
    "UnavailableError": "_errors",
    "local_path": "_local",
}

_load, __dir__ = loading(__name__, _HOMES)


def __getattr__(name: str) -> Any:
    try:
        return _load(name)
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] != "starlette":
            raise
        raise ConfigurationError(
            f"{name} needs the package starlette, which is not installed.",
            advice='Install it with: pip install "smart-async[starlette]"',
        ) from None
