"""Private folders, atomic files and kernel file locks. Called by the rest of this package and by the configuration store."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

_POLL_S = 0.05


def private_folder(path: Path, *, ours: str = "") -> Path:
    """Make the folder 0700 when it is missing, empty, or known as ours by the file named ``ours``. Raises OSError.

    A folder with somebody else's files in it keeps its mode: a wrong path in a setting must not close /tmp to everybody.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_mode & 0o077 and (not any(path.iterdir()) or (ours and (path / ours).exists())):
        with contextlib.suppress(PermissionError):  # a mount that another user owns; our files in it are 0600 anyway
            path.chmod(0o700)
    return path


def write_atomically(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Readers see the old content or the new, also after a power cut. Raises OSError, and then the old content stays."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with open_private(temporary, os.O_WRONLY | os.O_TRUNC, mode) as handle:
            write_all(handle, content)
            os.fsync(handle)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def append_durably(path: Path, content: bytes) -> None:
    """One append, on disk when this returns."""
    with open_private(path, os.O_WRONLY | os.O_APPEND) as handle:
        write_all(handle, content)
        os.fsync(handle)
    sync_folder(path.parent)


def write_all(handle: int, content: bytes) -> None:
    while content:
        content = content[os.write(handle, content) :]


def sync_folder(path: Path) -> None:
    """Make renames and new names in the folder durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def open_private(path: Path, flags: int, mode: int = 0o600) -> Iterator[int]:
    """A descriptor of the file, created with ``mode`` when it is missing; never inherited by children."""
    handle = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, mode)
    try:
        yield handle
    finally:
        os.close(handle)


@contextlib.contextmanager
def locked(path: Path, *, timeout: float = 0.0) -> Iterator[int | None]:
    """Hold the kernel lock on a file: its descriptor, or None when another holder kept it for ``timeout`` seconds.

    The lock belongs to this opening of the file, so it also excludes other tasks of the same process, and the kernel frees it
    however the process ends. Waiting polls and blocks the caller. Raises OSError when the file cannot be made.
    """
    with open_private(path, os.O_RDWR) as handle:
        yield handle if _acquire(handle, time.monotonic() + timeout) else None


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock. Looking takes a shared one, so that two who look do not take each other for a holder.

    deploy looks as root into a folder that is not root's: a link is no lock, and a pipe must not keep it waiting.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
            return False
        raise
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(handle)


def _acquire(handle: int, until: float) -> bool:
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(_POLL_S)
        else:
            return True
