"""The private folder of `serve`: its sockets, and what nginx writes of bodies and answers that are large.

A lock is held on a file in it for as long as the process lives. A folder whose lock is free was left by one that was killed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

import structlog

from contracts.text import say

_log = structlog.get_logger(__name__)
_PREFIX = "flagee-"
_LOCK = "serve.lock"
_TRIES = 10


def make(stack: ExitStack) -> Path:
    """A new one, which goes with the stack; what killed processes left beside it is removed. Raises OSError."""
    given = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]  # systemd's, where there is one
    for _ in range(_TRIES):
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=given or None))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        stack.callback(os.close, lock)
        # Another `serve` that starts at this moment may have taken the folder for one that was left.
        if _locked(lock) and _is_still(folder / _LOCK, lock):
            _remove_leftovers(folder)
            return folder
    raise OSError(errno.EBUSY, say("another program removes every new folder"))


def _remove_leftovers(own: Path) -> None:
    for folder in own.parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # another `serve` was faster, or it is not ours
            if folder != own and _is_private(folder):
                _remove_if_left(folder)


def _is_private(folder: Path) -> bool:
    """A folder and no link, of this account, closed to all others."""
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) == 0o700


def _remove_if_left(folder: Path) -> None:
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if stat.S_ISREG(os.fstat(lock).st_mode) and _locked(lock):
            shutil.rmtree(folder)
            _log.info("leftover_removed", folder=str(folder), message="It was left by a serve that was killed.")
    finally:
        os.close(lock)


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
