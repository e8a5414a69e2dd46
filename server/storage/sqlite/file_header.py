"""What an SQLite file says of itself in its header, read from the disk. Called by :mod:`server.storage.sqlite.database_file`.

``cp`` over a database keeps the inode, and SQLite's cache does not see it. The field ``application_id`` tells: every database
gets a random number there when it is made or restored, and a backup has :data:`BACKUP_MARK`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import sqlite3
import struct
import threading
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

BACKUP_MARK = 0x464C4255
_MAGIC = b"SQLite format 3\0"
_APPLICATION_ID, _LENGTH = 68, 72  # where its four bytes begin; how much of the header is read
# SQLite's lock bytes. A connection that is closed as the last one locks these for writing before it applies the log.
_SHARED_FIRST, _SHARED_LENGTH = 0x40000002, 510


class Identity(NamedTuple):
    """A file whatever its name: device and inode. Made and compared for every poll."""

    device: int
    inode: int


def identity(path: Path) -> Identity | None:
    """None when there is no file of this name, or none that can be seen."""
    try:
        found = os.stat(path)  # noqa: PTH116 - half the cost of path.stat()
    except OSError:
        return None
    return Identity(found.st_dev, found.st_ino)


@dataclass(slots=True)
class _Open:
    handle: int | None
    users: int


# One descriptor a file: closing any descriptor ends all POSIX locks that this process has on the file, SQLite's too.
_open: dict[Identity, _Open] = {}
_guard = threading.Lock()


class FileHeader:
    """An open file's header. A descriptor of it stays open, so its inode number is not given to another file."""

    def __init__(self, file: Identity, handle: int | None) -> None:
        self.file = file
        self._handle = handle

    @classmethod
    def of(cls, path: Path) -> FileHeader | None:
        """None when there is no file of this name. Of a file that cannot be read nothing is known."""
        with _guard:
            file = identity(path)
            if file is None:
                return None
            if file not in _open:
                handle = None
                with contextlib.suppress(OSError):
                    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
                    found = os.fstat(handle)
                    file = Identity(found.st_dev, found.st_ino)  # another one when it was replaced since
                _open.setdefault(file, _Open(handle, 0))
            _open[file].users += 1
            return cls(file, _open[file].handle)

    def application_id(self) -> int | None:
        """None for a file that is no SQLite database, or cannot be read."""
        if self._handle is None:
            return None
        try:
            found = os.pread(self._handle, _LENGTH, 0)
        except OSError:
            return None
        if len(found) < _LENGTH or not found.startswith(_MAGIC):
            return None
        return int.from_bytes(found[_APPLICATION_ID:], "big", signed=True)

    def keep_log_out(self) -> None:
        """SQLite applies no log to the file at the end of its last connection, as long as a process of this tree has it open."""
        if self._handle is not None:
            lock = struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, _SHARED_FIRST, _SHARED_LENGTH, 0)
            with contextlib.suppress(OSError):
                fcntl.fcntl(self._handle, fcntl.F_OFD_SETLK, lock)

    def close(self) -> None:
        """Not while this process has connections to the file."""
        with _guard:
            known = _open[self.file]
            known.users -= 1
            if not known.users:
                del _open[self.file]
                if known.handle is not None:
                    os.close(known.handle)


def application_id_of(path: Path) -> int | None:
    """As the file itself says, whatever is in a log beside it."""
    header = FileHeader.of(path)
    if header is None:
        return None
    try:
        return header.application_id()
    finally:
        header.close()


def is_backup(path: Path) -> bool:
    return application_id_of(path) == BACKUP_MARK


def new_application_id() -> int:
    """For a database that is made or restored; 0 is that of a database from before there were any."""
    return secrets.randbelow(BACKUP_MARK - 1) + 1


def set_application_id(path: Path, application_id: int) -> None:
    """For a file that nobody else uses and that has no log."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA application_id = {application_id}")
        connection.commit()
