"""The difference between the scopes that were asked for and those that were granted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smart_async._values import dataclass

if TYPE_CHECKING:
    from smart_async.smart.scopes.collection import Scopes

__all__ = ("ScopeReport",)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeReport:
    """
    How a grant differs from the request; made by `granted.report(requested)`.

    A difference is no error: servers may narrow, split and broaden what was asked. Read `missing` and
    `narrowed` to switch off what the app can no longer do.

    Args:
        missing: Requested scopes of which nothing was granted.
        narrowed: Requested scopes of which only a part was granted: fewer letters, fewer resource types, or
            only under constraints.
        extra: Granted scopes that no requested scope has anything to do with.
        widened: Granted scopes that overlap a requested one and go beyond what was asked.
        user_level: Those of the missing and narrowed `patient/` scopes that a `user/` grant would answer.
            It may reach the data, but for every patient of the user, so it never counts as covered.

    Spec: SMART App Launch 2.2, scopes and launch context; RFC 6749, section 3.3.
    """

    missing: Scopes
    narrowed: Scopes
    extra: Scopes
    widened: Scopes
    user_level: Scopes

    @property
    def satisfied(self) -> bool:
        """Whether everything that was requested is granted."""
        return not (self.missing or self.narrowed)

    @property
    def exceeded(self) -> bool:
        """Whether something is granted that was not requested."""
        return bool(self.extra or self.widened)
