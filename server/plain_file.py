"""Reads the small files that an operator names. Called by the settings (``…_FILE``), TLS and `flagee-server config`."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def read_plain(path: Path, limit: int) -> bytes:
    """The content of a plain file of at most ``limit`` bytes. Raises OSError for everything else; never blocks.

    A pipe, a socket or a device is opened without waiting and not read; a file that is larger is not read at all.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            kind = next((name for is_kind, name in _KINDS if is_kind(found.st_mode)), "something else")
            raise OSError(errno.EINVAL, f"it is {kind}, not a file", str(path))
        if found.st_size > limit:
            raise OSError(errno.EFBIG, f"it has {found.st_size} bytes; at most {limit} are read", str(path))
        content = bytearray()
        while piece := os.read(handle, limit + 1 - len(content)):
            content += piece
        if len(content) > limit:  # it grew, or it is one of the kernel's, which tell no size
            raise OSError(errno.EFBIG, f"it has more than the {limit} bytes that are read", str(path))
        return bytes(content)
    finally:
        os.close(handle)
