"""What a terminal's files are kept on, from the lines of its /proc/mounts. Pure; called by the probe.

Live systems and thin clients keep their root in memory, or write to a layer in memory over a read-only one: what is changed there
is gone at the next boot. A disk with errors is remounted read-only: there nothing can be changed at all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from contracts.text import say
from runtime.domain.facts import Storage

_DISK = frozenset(
    {
        *("ext2", "ext3", "ext4", "xfs", "btrfs", "jfs", "reiserfs", "f2fs", "nilfs2", "zfs", "bcachefs"),
        *("vfat", "msdos", "ntfs", "ntfs3", "fuseblk", "ubifs", "jffs2", "yaffs2"),
    }
)
_MEMORY = frozenset({"tmpfs", "ramfs", "rootfs"})
_LAYERS = frozenset({"overlay", "overlayfs", "aufs", "unionfs"})
_IMAGE = frozenset({"squashfs", "iso9660", "udf", "cramfs", "erofs", "romfs"})
_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class _Mount:
    """``number``: of its line."""

    number: int
    device: str
    place: str
    kind: str
    options: tuple[str, ...]

    def option(self, name: str) -> str:
        return next((text.partition("=")[2] for text in self.options if text.startswith(f"{name}=")), "")


def storage_of(lines: Sequence[str]) -> Storage | None:
    """Of /etc, where every setting is. None when the lines do not say: no /proc, or a root that is not listed (chroot)."""
    mount = _holding("/etc", lines)
    if mount is None:
        return None
    lasting, why = _lasting(mount, lines)
    read_only = "ro" in mount.options or mount.kind in _IMAGE
    if read_only:
        why = _read_only(mount)
    return Storage(mount.place, mount.kind, mount.device, read_only, lasting, why)


def _read_only(mount: _Mount) -> str:
    """ext's own option says what a read-only mount most likely means."""
    if mount.option("errors") == "remount-ro":
        return say(
            "{place} ({device}, {kind}) is mounted read-only, as it is after a disk error: see dmesg",
            place=mount.place,
            device=mount.device,
            kind=mount.kind,
        )
    return say(
        "{place} ({device}, {kind}) is mounted read-only", place=mount.place, device=mount.device, kind=mount.kind
    )


def _lasting(mount: _Mount, lines: Sequence[str]) -> tuple[bool | None, str]:
    """And what was seen, as a sentence."""
    place, kind = mount.place, mount.kind
    if kind in _MEMORY:
        return False, say("{place} is kept in memory ({kind})", place=place, kind=kind)
    if kind in _IMAGE:
        return None, say("{place} is an image ({kind})", place=place, kind=kind)
    if kind in _LAYERS:
        upper = mount.option("upperdir")
        under = _holding(upper, lines, without=mount.number) if upper else None
        # The mount that holds the layer may be out of sight: it was made before the root was.
        if under is not None and under.place != "/" and under.kind in _DISK:
            return True, say("{place} is a layer on {device}", place=place, device=under.device)
        return False, say("{place} is a layer over another file system ({kind})", place=place, kind=kind)
    text = say("{place} is on {device} ({kind})", place=place, device=mount.device, kind=kind)
    return (True if kind in _DISK else None), text


def _holding(path: str, lines: Sequence[str], without: int = -1) -> _Mount | None:
    """The mount that a path is on. The last at a place covers those before it. ``path``: as the lines write it, ``without``: a
    line that does not count."""
    chain = (path, *(str(parent) for parent in PurePosixPath(path).parents))
    found: dict[str, tuple[int, list[str]]] = {}
    for number, line in enumerate(lines):
        parts = line.split(" ", 4)
        if len(parts) >= 4 and parts[1] in chain and number != without:
            found[parts[1]] = (number, parts)
    deepest = next((found[place] for place in chain if place in found), None)
    if deepest is None or not deepest[1][1].startswith("/"):
        return None
    number, (device, place, kind, options, *_) = deepest
    return _Mount(number, _unescaped(device), _unescaped(place), _unescaped(kind), tuple(options.split(",")))


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), text)
