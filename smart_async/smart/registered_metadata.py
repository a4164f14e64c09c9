"""
What a server says that it registered, read with patience.

Servers write null and "" for what is not registered, add members of their own, and put into minor ones what
does not belong there. Only what decides who can act as the client must be readable.

Spec: RFC 7591, section 3.2.1.
"""

from __future__ import annotations

from typing import Any

from smart_async.errors import ConfigurationError
from smart_async.messages import JSONObject, clean_text
from smart_async.smart.client_metadata import RESERVED_MEMBERS, ClientMetadata, field_names
from smart_async.smart.metadata_checks import checked
from smart_async.smart.registration_changes import GUARDED

__all__ = ("merge_metadata", "read_metadata")


def read_metadata(document: JSONObject) -> tuple[ClientMetadata, tuple[str, ...]]:
    """
    Read the client metadata in a registration answer.

    Args:
        document: The answer.

    Returns:
        The metadata, and the names of the minor members that are unusable and left out.

    Raises:
        ConfigurationError: If a member that decides who can act as the client is unusable.
    """
    members: dict[str, Any] = {}
    unusable: list[str] = []
    for name, value in document.items():
        if name in RESERVED_MEMBERS or value is None or value == "":
            continue
        try:
            members[name] = checked(name, value) if name in field_names() else value
        except ConfigurationError:
            if name in GUARDED:
                raise
            unusable.append(clean_text(name, length=64))
    # A server may well have a member called extra; it is none of ours.
    return ClientMetadata.from_members(members), tuple(unusable)


def merge_metadata(asked: ClientMetadata, returned: ClientMetadata) -> tuple[ClientMetadata, tuple[str, ...]]:
    """
    Fill in what an answer left out.

    A server must repeat all that it registered, and many do not; without this, an update that starts from
    the answer would delete what was left out.

    Args:
        asked: What was asked for.
        returned: What the answer holds.

    Returns:
        The client as it is registered, and the names of the members that were filled in.
    """
    mine, theirs = asked.to_members(), returned.to_members()
    if theirs.keys() & {"jwks", "jwks_uri"}:
        mine = {name: value for name, value in mine.items() if name not in ("jwks", "jwks_uri")}
    silent = tuple(clean_text(name, length=64) for name in sorted(mine.keys() - theirs.keys()))
    return ClientMetadata.from_members({**mine, **theirs}), silent
