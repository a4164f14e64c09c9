"""
The logins that a browser has under way, kept on the server until it comes back.

They are found by the browser's cookie and the state together, so that nobody can finish a login that another
browser began. Taking one is one compare-and-swap: of any number of callbacks that race, on any number of
replicas, one goes on to the exchange.

Spec: SMART App Launch 2.2, app launch (state); RFC 9700, sections 2.1 and 4.7.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, field, replace
from typing import Any

from smart_async._values import dataclass
from smart_async.errors import CallbackError
from smart_async.integrations.starlette._errors import UsedError
from smart_async.integrations.starlette._shelf import DamagedError, Shelf, hashed, read_record, written
from smart_async.interfaces import Stored
from smart_async.limits import WEB_PENDING

__all__ = ("PendingLogin", "PendingLogins")

logger = logging.getLogger("smart_async.integrations.starlette")

_KIND = "pending"
_AGAIN = "Start a new login."


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingLogin:
    """
    One login under way.

    Args:
        state: The hash of its state.
        login: The JSON of its `PendingAuthorization`; empty once it has been used.
        return_to: Where the browser goes afterwards, or None for the start page.
        user: The hash of the user who was signed in when it began, or None.
        session: The hash of the session that was there when it began, or None.
        expires: Unix seconds.
    """

    state: str
    login: str = field(repr=False)
    return_to: str | None
    user: str | None
    session: str | None
    expires: float


class PendingLogins:
    """
    The logins under way in all browsers.

    Args:
        shelf: Where they are kept.
        now: Tells Unix seconds.
        new_id: Makes the id of a browser.
    """

    def __init__(self, shelf: Shelf, now: Callable[[], float], new_id: Callable[[], str]) -> None:
        self._shelf = shelf
        self._now = now
        self._new_id = new_id

    async def add(self, browser: str | None, login: PendingLogin) -> str:
        """
        Keep *login* for a browser, and return the browser's id.

        Args:
            browser: The id from its cookie. One that was not given out here, or whose logins have all
                expired, is not taken over: somebody else may have put it there.
            login: The login.

        Raises:
            StoreError: If the store cannot be reached.
        """
        if browser is not None:
            try:
                await self._shelf.change(hashed(browser), lambda stored: self._with(stored, login))
            except CallbackError:
                pass
            else:
                return browser
        browser = self._new_id()
        await self._shelf.change(hashed(browser), lambda _: _written([login]))
        return browser

    async def claim(self, browser: str | None, state: str) -> PendingLogin:
        """
        Take a login, so that nobody else gets it.

        Args:
            browser: The id from the browser's cookie, or None.
            state: The state from the callback.

        Raises:
            CallbackError: If this browser began no such login, or not lately.
            UsedError: If it has been taken already.
            StoreError: If the store cannot be reached.
        """
        if browser is None:
            raise _unknown()
        digest, taken = hashed(state), list[PendingLogin]()

        def take(stored: Stored | None) -> bytes:
            logins = self._alive(stored)
            found = next((login for login in logins if login.state == digest), None)
            if found is None:
                raise _unknown()
            if not found.login:
                raise _used(found)
            taken[:] = [found]
            # What stays says that it was used, for the button that was pressed twice.
            return _written([replace(each, login="") if each is found else each for each in logins])

        await self._shelf.change(hashed(browser), take)
        return taken[0]

    async def drop(self, browser: str | None) -> None:
        """Forget all logins of a browser."""
        if browser is not None:
            await self._shelf.delete(hashed(browser))

    def _with(self, stored: Stored | None, login: PendingLogin) -> bytes:
        known = self._alive(stored)
        if not known:
            raise _unknown()
        return _written([*known, login][-WEB_PENDING:])

    def _alive(self, stored: Stored | None) -> list[PendingLogin]:
        if stored is None:
            return []
        try:
            logins = _read(stored.data)
        except DamagedError as error:
            logger.warning("%s They are started again.", error)
            return []
        now = self._now()
        return [login for login in logins if login.expires > now]


def _read(data: bytes) -> list[PendingLogin]:
    members: dict[str, Any] = read_record(data, _KIND)
    try:
        logins = [PendingLogin(**each) for each in members["logins"]]
        _ = [each.expires + len(each.login) for each in logins]  # raises for what is neither
    except (KeyError, TypeError):
        raise DamagedError("The store holds logins that this version of smart-async did not write.") from None
    return logins


def _written(logins: list[PendingLogin]) -> bytes:
    return written(_KIND, {"logins": [asdict(login) for login in logins]})


def _unknown() -> CallbackError:
    return CallbackError("This browser has no such login under way.", advice=_AGAIN)


def _used(login: PendingLogin) -> UsedError:
    error = UsedError("This login has been finished already.", advice=_AGAIN)
    error.return_to = login.return_to
    return error
