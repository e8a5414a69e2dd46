"""A copy of the local state for the candidate: consistent while the daemon writes, and the runtime's own files untouched.

SQLite's backup makes a file in root's own folder (memory may be small, the data folder is not root's to write to); a tar stream
carries it into the candidate's volume. A state that cannot be copied is no reason to refuse an image: the candidate then
begins with an empty one, as a new proxy does. Nor may it hold up a rollback: whoever keeps it locked, lets it grow or writes all
the time belongs to the very runtime that is to be mended, so there is a limit to the time and to the space.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import stat
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

from runtime.adapters.handover import read_handed
from runtime.adapters.state import keepsake
from runtime.adapters.state.database import FILE
from runtime.deployment.names import UID

FOLDER = ".candidate-state"
_PIECE = 1024 * 1024
_BUSY_S = 5.0
_PAGES = 4096  # between two looks at the clock
WITHIN_S = 60.0
LARGEST = 1024 * 1024 * 1024
# What the disk of root's folder keeps free, whatever happens.
SPARE = 256 * 1024 * 1024


class _TooMuch(Exception):
    """Why the copy was given up."""


@contextlib.contextmanager
def state_archive(data: Path, scratch: Path) -> Iterator[tuple[Iterator[bytes], str]]:
    """The tar stream of a data folder (its root belongs to the runtime's user), and why the state is not in it, if so.

    ``scratch``: a folder of root's, where a temporary copy may be made. Raises OSError when not even that can be.
    """
    folder = scratch / FOLDER
    shutil.rmtree(folder, ignore_errors=True)  # of a call that was killed
    folder.mkdir(mode=0o700)
    try:
        trouble = _copy(data, folder)
        yield _tar(sorted(folder.iterdir())), trouble
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy(data: Path, folder: Path) -> str:
    with contextlib.suppress(OSError):
        (folder / keepsake.FILE).write_bytes(read_handed(data / keepsake.FILE, keepsake.MAX_BYTES))
    source, target = data / FILE, folder / FILE
    try:
        if not stat.S_ISREG(source.lstat().st_mode):
            return f"{FILE} is not a plain file"
        _backup(source, target)
    except FileNotFoundError:
        return ""  # a first installation
    except (OSError, sqlite3.Error, _TooMuch) as error:
        target.unlink(missing_ok=True)
        return f"the local state could not be copied: {error}"
    return ""


def _backup(source: Path, target: Path) -> None:
    free = shutil.disk_usage(target.parent).free - SPARE
    most = min(LARGEST, free)
    until = time.monotonic() + WITHIN_S

    def look(_status: int, _remaining: int, pages: int) -> None:
        """Called after every step, one that found it locked too: SQLite by itself would try for ever."""
        if pages * page_size > most:
            raise _TooMuch(f"it has {pages * page_size >> 20} MB, there is room for {max(most, 0) >> 20} MB")
        if time.monotonic() > until:
            raise _TooMuch(f"it was locked or written to for {WITHIN_S:.0f} s")

    # Read-only, so that nothing of ours is ever written into the database. SQLite gives the files that it must make beside one
    # (write-ahead log, shared memory) the database's own owner.
    address = f"{source.as_uri()}?mode=ro"
    with (
        contextlib.closing(sqlite3.connect(address, uri=True, timeout=_BUSY_S)) as origin,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        page_size: int = origin.execute("PRAGMA page_size").fetchone()[0]
        origin.backup(copy, pages=_PAGES, progress=look)


def _tar(paths: list[Path]) -> Iterator[bytes]:
    """In pieces, so that a large state is never in memory as a whole."""
    root = tarfile.TarInfo("./")
    root.type, root.mode, root.uid, root.gid = tarfile.DIRTYPE, 0o700, UID, UID
    yield root.tobuf(tarfile.PAX_FORMAT)
    for path in paths:
        with path.open("rb") as content:
            entry = tarfile.TarInfo(path.name)
            entry.size = path.stat().st_size
            entry.mode, entry.uid, entry.gid = 0o600, UID, UID
            yield entry.tobuf(tarfile.PAX_FORMAT)
            while piece := content.read(_PIECE):
                yield piece
            yield bytes(-entry.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)
