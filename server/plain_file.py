"""Files that an operator names, which may be something else. Called by the settings (``…_FILE``), TLS, config and backup."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from contracts.text import say

_KINDS = (
    (stat.S_ISDIR, say("a folder")),
    (stat.S_ISFIFO, say("a pipe")),
    (stat.S_ISSOCK, say("a socket")),
    (stat.S_ISCHR, say("a device")),
    (stat.S_ISBLK, say("a device")),
    (stat.S_ISLNK, say("a symbolic link")),
)


def not_plain(mode: int) -> str:
    """What it is, in words; empty for a plain file."""
    if stat.S_ISREG(mode):
        return ""
    return next((name for is_kind, name in _KINDS if is_kind(mode)), say("something else"))


def read_plain(path: Path, limit: int) -> bytes:
    """The content of a plain file of at most ``limit`` bytes. Raises OSError for everything else; never blocks.

    A pipe, a socket or a device is opened without waiting and not read; a file that is larger is not read at all.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(handle)
        if kind := not_plain(found.st_mode):
            raise OSError(errno.EINVAL, say("it is {kind}, not a file", kind=kind), str(path))
        if found.st_size > limit:
            raise OSError(
                errno.EFBIG,
                say("it has {size} bytes; at most {limit} are read", size=found.st_size, limit=limit),
                str(path),
            )
        content = bytearray()
        while piece := os.read(handle, limit + 1 - len(content)):
            content += piece
        if len(content) > limit:  # it grew, or it is one of the kernel's, which tell no size
            raise OSError(errno.EFBIG, say("it has more than the {limit} bytes that are read", limit=limit), str(path))
        return bytes(content)
    finally:
        os.close(handle)
