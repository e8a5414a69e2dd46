"""Limits of processes: open files, connections, core dumps. Set by the supervisor; its children inherit them."""

from __future__ import annotations

import resource

_WANTED = 65536


def raise_file_limit() -> None:
    """As many as are allowed, up to what is of use: a connection is a file, and the usual limit is 1024. Children inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = _WANTED if hard == resource.RLIM_INFINITY else min(hard, _WANTED)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def no_core_dumps() -> None:
    """What a process had in memory, the secret key among it, is not written to a disk when it crashes."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def connections() -> int:
    """How many connections a process may hold, with files left for everything else."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 10_000 if soft == resource.RLIM_INFINITY else max(64, min(10_000, soft - 256))
