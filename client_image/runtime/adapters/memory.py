"""How much memory this process may use, and which process the kernel ends first without any. Used by the daemon and every run.

Linux counts by control groups: version 2 in one tree, version 1 in one tree for each resource. A container sees its own group
as the root of that tree, or at its path from outside; so every group from the own one up to the root is read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from contracts.bounded import whole
from runtime.domain.time.turns import runs_at_once

ROOT = Path("/")
# Of 1000: such a process seems bigger to the kernel than it is by half of all the memory there is.
VICTIM = 500


def memory_limit(root: Path = ROOT) -> int:
    """Bytes: the smallest limit of this process's groups, or what the machine has."""
    limits = [limit for group, file, _ in _groups(root) if (limit := _number(group / file)) is not None]
    return min([*limits, _machine(root)])


def simultaneous_runs(configured: int | None) -> int:
    """How many scheduled runs go on at once on this machine: what the configuration says, else what fits into the memory."""
    return configured or runs_at_once(memory_limit())


def kills(root: Path = ROOT) -> int | None:
    """How often the kernel has ended a process of this group for want of memory; None where it does not count."""
    for group, _, counter in _groups(root):
        with contextlib.suppress(OSError, ValueError):
            words = (line.split() for line in (group / counter).read_text().splitlines())
            return next((whole(word[1]) for word in words if word[:1] == ["oom_kill"]), None)
    return None


def go_first(root: Path = ROOT, pid: int | None = None) -> None:
    """Have the kernel end this process, or our child ``pid``, rather than the daemon. That needs no right."""
    path = root / "proc" / ("self" if pid is None else str(pid)) / "oom_score_adj"
    with contextlib.suppress(OSError, ValueError):
        if (whole(path.read_text().strip(), low=-1000) or 0) < VICTIM:
            path.write_text(f"{VICTIM}\n")


def _groups(root: Path) -> Iterator[tuple[Path, str, str]]:
    """Each group's folder with the names of its limit and its counter of kills, our own group first."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    for line in [*lines, "0::/", "0:memory:/"]:
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers == "":
            tree, names = root / "sys/fs/cgroup", ("memory.max", "memory.events")
        elif "memory" in controllers.split(","):
            tree, names = root / "sys/fs/cgroup/memory", ("memory.limit_in_bytes", "memory.oom_control")
        else:
            continue
        group = tree / path.strip("/")
        for folder in (group, *group.parents):
            yield folder, *names
            if folder == tree:
                break


def _number(path: Path) -> int | None:
    """A limit in bytes; None for "max" and where there is none."""
    with contextlib.suppress(OSError, ValueError):
        return whole(path.read_text().strip())
    return None


def _machine(root: Path) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError, StopIteration):
        lines = (root / "proc/meminfo").read_text().splitlines()
        kilobytes = whole(next(line for line in lines if line.startswith("MemTotal:")).split()[1])
        return kilobytes * 1024 if kilobytes else 1 << 30
    return 1 << 30
