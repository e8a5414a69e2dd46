"""Folders that live as long as the part that uses them, and the broom for those whose owner was killed.

Called by every part. A folder belongs to whoever holds the lock file beside it; a lock that nobody holds means that the
owner is dead, so what it left is taken away before the next folder is made: processes (`*.pid` notes in the folder),
network links (`*.link` notes named after them), control groups, mounts and files.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.harness.need import need
from tests.harness.process import kill_noted, run, wait_until


@contextlib.contextmanager
def workdir(part: str, temporary: Path | None = None) -> Iterator[Path]:
    """An empty folder for `part` that other accounts may pass through (0711); gone at the end with all that hangs on it.

    It is made below `temporary`, by default where temporary files of this account go.
    """
    base = _base(temporary or Path(tempfile.gettempdir()))
    _sweep(base)
    lock = _locked(base, part)
    folder = base / Path(lock.name).stem
    try:
        folder.mkdir(mode=0o711)
        yield folder
    finally:
        _clear(folder)
        Path(lock.name).unlink()
        lock.close()


def in_memory(folder: Path, size: str) -> Path:
    """A new folder whose files stay in memory, `size` at most (as mount(8) writes it); only root can have one."""
    folder.mkdir()
    run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "harness", folder])
    return folder


def control_group(folder: Path) -> Path:
    """A new control group of the unified hierarchy, which need not be the one that this machine uses; only root can have one."""
    top = folder / "cgroup"
    top.mkdir()
    try:
        run(["mount", "-t", "cgroup2", "harness", top])
    except RuntimeError as error:
        need(False, f"a control group ({error})", "run on a machine, or in a container with --privileged")
    group = _group(folder)
    group.mkdir()
    return group


def _group(folder: Path) -> Path:
    return folder / "cgroup" / f"flagee-{folder.name}"


def discard(folder: Path) -> None:
    """Remove a tree with what is mounted below it; never descends into a mount."""
    for mount in _mounts_below(folder):
        run(["umount", "--lazy", mount])
    if folder.is_symlink() or folder.exists():
        shutil.rmtree(folder)


def _base(temporary: Path) -> Path:
    base = temporary / f"flagee-harness-{os.getuid()}"
    base.mkdir(mode=0o711, exist_ok=True)
    if base.is_symlink() or base.stat().st_uid != os.getuid():
        raise PermissionError(f"{base} belongs to someone else; set TMPDIR to a folder of your own")
    return base


def _locked(base: Path, part: str) -> "tempfile._TemporaryFileWrapper[bytes]":
    while True:
        lock = tempfile.NamedTemporaryFile(dir=base, prefix=f"{part}-", suffix=".lock", delete=False)  # noqa: SIM115
        fcntl.flock(lock, fcntl.LOCK_EX)
        if Path(lock.name).exists():  # a sweep may have come between making the file and locking it
            return lock
        lock.close()


def _sweep(base: Path) -> None:
    for path in base.glob("*.lock"):
        with contextlib.suppress(FileNotFoundError), path.open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            _clear(path.with_suffix(""))
            path.unlink(missing_ok=True)


def _clear(folder: Path) -> None:
    for note in folder.glob("*.pid"):
        kill_noted(note)
    for note in folder.glob("*.link"):
        with contextlib.suppress(RuntimeError):
            run(["ip", "link", "delete", note.stem])
    group = _group(folder)
    wait_until(lambda: _removed(group), within=60, what=f"{group} is empty")
    discard(folder)


def _removed(group: Path) -> bool:
    """Whether a control group with those below it is gone; one whose processes still end is not."""
    for name, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):
            Path(name).rmdir()
    return not group.exists()


def _mounts_below(folder: Path) -> list[str]:
    """Mount points inside `folder`, innermost first."""
    root = f"{folder.resolve()}/"
    points = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    plain = (point.encode().decode("unicode_escape") for point in points)
    return sorted((point for point in plain if point.startswith(root)), reverse=True)
