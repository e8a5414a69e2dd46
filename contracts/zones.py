"""Which names of time zones a document may use: those of the package ``tzdata``, which both images carry in the same release.

The list of a machine's own database does not count: an image may lack names that the other has (distributions keep old names in a
package of their own), and have some that mean nothing elsewhere (``localtime``, ``posixrules``, ``right/…`` with leap seconds).
Rules are read from the machine's database where it has the zone, else from the package. Reads files of the package only.
"""

from __future__ import annotations

import importlib
from functools import cache
from zoneinfo import ZoneInfo

from contracts.text import say
from contracts.visible import quoted


@cache
def zone_names() -> frozenset[str]:
    """Every name of the list; empty when the package is missing, and then no name is known."""
    import importlib.resources

    try:
        return frozenset((importlib.resources.files("tzdata") / "zones").read_text(encoding="ascii").split())
    except (ImportError, OSError):
        return frozenset()


def list_version() -> str:
    """Such as 2026a; empty when the package is missing."""
    try:
        return str(importlib.import_module("tzdata").IANA_VERSION)
    except ImportError:
        return ""


def require_zone(name: str, *, listed: bool) -> str:
    """The name. ``listed``: it must be in the list; else whatever this machine can read is taken, because a document that a proxy
    runs with must stay readable. Raises ValueError, with what to do."""
    if not listed and _readable(name):
        return name  # what runs need to know; the list takes longer to load
    if name not in zone_names():
        raise ValueError(_unknown(name))
    if not _readable(name):
        raise ValueError(
            say(
                "time zone {zone}: its rules cannot be read on this machine; install tzdata, or a whole image of this release",
                zone=name,
            )
        )
    return name


def _readable(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # ZoneInfoNotFoundError is a KeyError
        return False
    return True


def _unknown(name: str) -> str:
    shown = quoted(name)
    if not zone_names():
        return say(
            "time zone {zone}: the list of zones is missing here; reinstall this release with its package tzdata",
            zone=shown,
        )
    near = _near().get(_spelling(name)) or _near().get(_spelling(name.rpartition("/")[2]))
    advice = (
        say("did you mean {names}?", names=near)
        if near
        else say("use an IANA name such as America/Sao_Paulo, or Etc/GMT+3 for UTC-3.")
    )
    return say(
        "unknown time zone {zone}: {advice} Known are the names of IANA's list {release}; "
        "if the zone is newer, update this side first",
        zone=shown,
        advice=advice,
        release=list_version(),
    )


@cache
def _near() -> dict[str, str]:
    """By a name or its last part, however it is spelled. A look-up, so that a long list of wrong names costs little."""
    return {
        **{_spelling(name.rpartition("/")[2]): name for name in sorted(zone_names(), reverse=True)},
        **{_spelling(name): name for name in zone_names()},
    }


def _spelling(name: str) -> str:
    return name.casefold().replace(" ", "_").replace("-", "_").removeprefix("posix/").removeprefix("right/")
