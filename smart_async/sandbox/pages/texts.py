"""What error pages say: fixed texts, chosen by a code, so that nobody else can put words there."""

from __future__ import annotations

__all__ = ("PageError", "problem_of")

_TEXTS = {
    "AL-06": (
        "This app is not known here",
        "An app sent you here with a client id that is missing or was never registered. Because nobody can "
        "tell where the app is, you were not sent back to it.",
    ),
    "AL-07": (
        "The app's return address is not registered",
        "An app wants you to be sent back to an address that is not, character by character, one of those it "
        "registered. Sending you there could hand your sign-in to somebody else, so you stay here.",
    ),
    "AL-20": (
        "This is no authorization request",
        "A sign-in starts with a GET, or with a POST that carries a form. This request was neither.",
    ),
    "expired": (
        "This sign-in is over",
        "It is unknown here, or was left alone for over ten minutes. Go back to the app and start again.",
    ),
    "decided": (
        "This sign-in was already decided",
        "A decision is sent to the app once. If you need another one, go back to the app and start again.",
    ),
    "another browser": (
        "This sign-in belongs to another browser",
        "Sign-ins cannot be continued elsewhere. Start again from the app, in this browser.",
    ),
    "form": (
        "This form was not filled in here",
        "It did not come from a page of this sandbox in this browser, so nothing was done. If you did fill "
        "it in here, check that your browser keeps the sandbox's cookie, and load the page again.",
    ),
    "host": (
        "The sandbox has another address",
        "It answers only under the address that it was started with, so that no foreign site can reach it "
        "under a name of its own.",
    ),
    "choice": (
        "There is no such choice",
        "The form named something that does not exist here. Load the page again and choose from the list.",
    ),
    "request": (
        "This request cannot be read",
        "It holds a parameter twice, or an encoding that is broken.",
    ),
    "missing": ("There is no such page", "Perhaps it was there in an earlier run of the sandbox."),
}
_DEFAULT = (
    "This sign-in cannot go on",
    "The app that sent you here made a mistake, so you were not sent back to it.",
)


class PageError(Exception):
    """
    A page cannot do what was asked.

    Args:
        code: Which of the fixed texts is shown.
        status: The HTTP status.
        detail: What exactly, for developers, or None.
    """

    def __init__(self, code: str, *, status: int = 400, detail: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.status = status
        self.detail = detail


def problem_of(code: str) -> tuple[str, str]:
    """Return title and text for a code or a rule."""
    return _TEXTS.get(code, _DEFAULT)
