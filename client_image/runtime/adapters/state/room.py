"""How much room the volume of the local state has, in bytes and in inodes. Called by the errors of this package and by doctor."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from contracts.text import say

# A run writes a few pages before it has touched a host; with less than this it may not be able to record what it did.
NEEDED = 1 << 20
SCARCE = 200 << 20
_SCARCE_INODES = 100


@dataclass(frozen=True, slots=True)
class Room:
    """``volume``: the mount point. Bytes; ``inodes`` and ``inodes_free`` are None on file systems that do not count them."""

    volume: Path
    size: int
    free: int
    inodes: int | None
    inodes_free: int | None

    @property
    def full(self) -> bool:
        """Nothing can be recorded."""
        return self.free < NEEDED or self.inodes_free == 0

    @property
    def scarce(self) -> bool:
        return self.free < SCARCE or (self.inodes_free is not None and self.inodes_free < _SCARCE_INODES)

    def __str__(self) -> str:
        text = say("{free} of {size} free", free=_megabytes(self.free), size=_megabytes(self.size))
        if self.inodes_free is None or self.inodes_free >= _SCARCE_INODES:
            return text
        return say("{space}, {free} of {all} inodes free", space=text, free=self.inodes_free, all=self.inodes)


def room_at(folder: Path) -> Room | None:
    """None where the system does not tell."""
    try:
        found = os.statvfs(folder)
        volume = folder.resolve()
        device = volume.stat().st_dev
        while volume != volume.parent and volume.parent.stat().st_dev == device:
            volume = volume.parent
    except OSError:
        return None
    blocks = found.f_bfree if os.geteuid() == 0 else found.f_bavail
    counted = found.f_files > 0
    return Room(
        volume,
        found.f_frsize * found.f_blocks,
        found.f_frsize * blocks,
        found.f_files if counted else None,
        found.f_ffree if counted else None,
    )


def _megabytes(number: int) -> str:
    return f"{number / (1 << 20):.1f} MB" if number < 10 << 20 else f"{number >> 20} MB"
