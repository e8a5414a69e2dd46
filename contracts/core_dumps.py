"""Keeps keys and passwords that are in memory out of core dumps. Called first thing by every program of both sides.

The limits are inherited by everything that a program starts: workers, nginx, runs.
"""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path

_PR_SET_DUMPABLE = 4


def switch_off(*, hidden: bool = False) -> None:
    """No dump is written to a file, and one that the system hands to a program (systemd-coredump, apport) holds no memory.

    ``hidden``: the system treats the process as one that holds secrets: no dump at all, and no other process of its user may read
    its memory or its open files. Not for the proxy's processes, which tell by their open files whose run is whose. Not inherited
    by another program.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform != "linux":
        return
    # The limit is for files; a program to which dumps are piped is started all the same. This says which memory it gets: none.
    with contextlib.suppress(OSError):
        Path("/proc/self/coredump_filter").write_text("0", encoding="ascii")
    if hidden:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
