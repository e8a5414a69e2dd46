"""Who asks, and why, in words for the record. Taken from the caller and never trusted as an identity."""

from __future__ import annotations

import getpass
from collections.abc import Mapping

from contracts.visible import one_line

ACTOR_LIMIT = 64
PURPOSE_LIMIT = 500


def actor(environ: Mapping[str, str]) -> str:
    """The host's wrapper says who; without it, the account that used sudo, or the user of this process."""
    said = (environ.get(name, "") for name in ("FLAGEEMONITOR_ACTOR", "SUDO_USER"))
    return next((short for text in said if (short := remark(text, ACTOR_LIMIT))), "") or _user()


def remark(text: str, limit: int = PURPOSE_LIMIT) -> str:
    """A remark on one line, without what a terminal would obey, cut at the limit."""
    plain = " ".join(one_line(text).split())
    return plain if len(plain) <= limit else f"{plain[: limit - 3]}..."


def _user() -> str:
    try:
        return remark(getpass.getuser(), ACTOR_LIMIT)
    except (KeyError, OSError):  # a uid without a name
        return "unknown"
