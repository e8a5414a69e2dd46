"""What this image says of itself, in the file that its build left. Read by every run (for the clock) and by doctor; never raises.

Anything may stand in such a file: a value of the wrong kind counts as absent.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.bounded import Unreadable, read_json
from runtime.adapters.untrusted_files import read_untrusted

BUILD = "build.json"
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class Build:
    """What the image says of itself, from /flageemonitor/build.json."""

    version: str
    revision: str
    built_at: str
    licence: str

    @property
    def made_at(self) -> dt.datetime | None:
        """``built_at`` as an aware instant; None when it is no such text."""
        with contextlib.suppress(ValueError, OverflowError):
            instant = dt.datetime.fromisoformat(self.built_at)
            return instant.astimezone(dt.UTC) if instant.tzinfo else None
        return None


def read_build(root: Path) -> Build | None:
    """None outside the image."""
    content = json_in(root / BUILD)
    if not content:
        return None
    return Build(*(text_of(content.get(name)) for name in ("version", "revision", "built_at", "licence")))


def json_in(path: Path) -> Mapping[str, Any]:
    """The object in a file; empty where the file is absent."""
    try:
        content = read_json(read_untrusted(path))
    except (OSError, Unreadable):
        return {}
    return content if isinstance(content, dict) else {}


def text_of(value: object) -> str:
    return value[:_LONGEST] if isinstance(value, str) else ""
