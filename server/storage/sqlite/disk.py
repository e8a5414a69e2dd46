"""Free space where an SQLite database lives. Asked by the health answer and by messages about failed writes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from contracts.text import say

_FULL = 128 * 1024  # bytes; fewer hold no transaction of ours
_NEARLY = 256 * 1024 * 1024  # bytes, or
_NEARLY_SHARE = 0.05  # of a small volume

State = Literal["ok", "nearly_full", "full", "read_only"]


@dataclass(frozen=True, slots=True)
class Disk:
    """A volume; ``free`` and ``size`` in bytes, ``free`` for our account."""

    state: State
    free: int
    size: int

    def __str__(self) -> str:
        return say("{free} MB of {size} MB free", free=f"{self.free / 1e6:.1f}", size=f"{self.size / 1e6:.1f}")


def disk_of(path: Path) -> Disk | None:
    """The volume of the file's folder; None when it cannot be asked."""
    try:
        found = os.statvfs(path.parent)
    except OSError:
        return None
    free, size = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    return Disk(_state(found, free, size), free, size)


def _state(found: os.statvfs_result, free: int, size: int) -> State:
    if found.f_flag & os.ST_RDONLY:
        return "read_only"
    if size == 0:  # a file system that does not tell
        return "ok"
    if free < _FULL or (found.f_files and found.f_favail == 0):
        return "full"
    return "nearly_full" if free < min(_NEARLY, size * _NEARLY_SHARE) else "ok"
