"""Private folders, plain and atomic files, kernel file locks. Called by everything of the proxy that reads or keeps a file."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from contracts.bounded import MAX_BYTES
from contracts.text import say

_POLL_S = 0.05
_KINDS = (
    (stat.S_ISDIR, say("a folder")),
    (stat.S_ISFIFO, say("a pipe")),
    (stat.S_ISSOCK, say("a socket")),
    (stat.S_ISCHR, say("a device")),
    (stat.S_ISBLK, say("a device")),
)


def private_folder(path: Path, *, ours: str = "") -> Path:
    """Make the folder 0700 when it is missing, empty, or known as ours by the file named ``ours``. Raises OSError.

    A folder with somebody else's files in it keeps its mode: a wrong path in a setting must not close /tmp to everybody.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_mode & 0o077 and (not any(path.iterdir()) or (ours and (path / ours).exists())):
        with contextlib.suppress(PermissionError):  # a mount that another user owns; our files in it are 0600 anyway
            path.chmod(0o700)
    return path


def read_plain(path: Path, limit: int = MAX_BYTES, *, follow_links: bool = True) -> bytes:
    """The content of a plain file of at most ``limit`` bytes. Raises OSError for everything else; never blocks.

    A pipe, a socket or a device is opened without waiting and not read; a file that is larger is not read at all.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow_links else os.O_NOFOLLOW))
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, say("it is {kind}, not a file", kind=kind_of(found.st_mode)), str(path))
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


def kind_of(mode: int) -> str:
    """What is no plain file, in words."""
    return next((name for is_kind, name in _KINDS if is_kind(mode)), say("something else"))


def ca_problem(path: Path) -> str:
    """Why this file or folder of certificate authorities cannot be used; TLS itself would wait at a pipe without end."""
    if path.is_dir():
        return ""
    try:
        read_plain(path)
    except OSError as error:
        return error.strerror or str(error)
    return ""


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
    """One append, on disk when this returns. For one writer at a time: only the first one makes the file's name durable too."""
    with open_private(path, os.O_WRONLY | os.O_APPEND) as handle:
        is_new = not os.fstat(handle).st_size
        write_all(handle, content)
        os.fsync(handle)
    if is_new:
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
    """A descriptor of the file, created with ``mode`` when it is missing; never inherited by children. Raises OSError, also for
    what is no plain file, and does not wait for somebody to read a pipe."""
    handle = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, mode)
    try:
        found = os.fstat(handle).st_mode
        if not stat.S_ISREG(found):
            raise OSError(errno.EINVAL, say("it is {kind}, not a file", kind=kind_of(found)), str(path))
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
