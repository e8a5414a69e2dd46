"""The local state for commands that only read it, on a disk that takes no write: full, or mounted read-only.

SQLite needs a shared-memory file beside a database in WAL mode, and a full disk has no room for one. Where nothing is in the
log, the file is read as one that cannot change; else a copy of both is read, from the temporary folder.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine

from contracts.text import say
from runtime.adapters.state.database import FILE, revision_of, transaction
from runtime.adapters.state.errors import StateUnavailable, translated
from runtime.adapters.state.migrations import HEAD
from runtime.adapters.state.store import State
from runtime.adapters.state.writer import T, Work

READABLE = ("state_full", "state_read_only", "state_failed")
_WAL = f"{FILE}-wal"


class ReadOnlyState(State):
    """What was recorded before ``trouble``, which is why nothing can be written. Every write raises it."""

    def __init__(self, folder: Path, trouble: StateUnavailable) -> None:
        """Raises ``trouble`` when there is nothing that can be read, StateUnavailable when reading fails as well."""
        self.folder, self.trouble, self._why = folder, trouble, trouble
        self._stack = contextlib.ExitStack()
        try:
            with translated(folder):
                self._engine, self.notices = self._open()
            self._require_schema()
        except BaseException:
            self._stack.close()
            raise

    def _require_schema(self) -> None:
        """That of an older release cannot be brought up to date here."""
        if revision_of(self._engine, self.folder) < HEAD:
            raise self._why

    def _open(self) -> tuple[Engine, tuple[str, ...]]:
        path, wal = self.folder / FILE, self.folder / _WAL
        if not path.exists():
            raise self._why
        if wal.exists() and wal.stat().st_size:
            try:
                copy = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="state-")))
                for file in (path, wal):
                    shutil.copyfile(file, copy / file.name)
            except OSError as error:
                text = say(
                    "the newest results are not shown: no room for a copy of them ({problem})", problem=error.strerror
                )
                return _engine(path, "immutable=1"), (text,)
            return _engine(copy / FILE, "mode=rw"), ()
        return _engine(path, "immutable=1"), ()

    def read(self) -> AbstractContextManager[Connection]:
        return transaction(self._engine, self.folder, write=False)

    def write(self, work: Work[T]) -> T:
        raise self._why

    async def awrite(self, work: Work[T]) -> T:
        raise self._why

    def close(self) -> None:
        self._release()
        self._stack.close()


class UnreadableState(State):
    """Stands for a database that cannot be opened, for what works without it: stopping a run. Every use raises ``trouble``."""

    notices = ()

    def __init__(self, folder: Path, trouble: StateUnavailable) -> None:
        self.folder, self.trouble, self._why = folder, trouble, trouble

    def read(self) -> AbstractContextManager[Connection]:
        raise self._why

    def write(self, work: Work[T]) -> T:
        raise self._why

    async def awrite(self, work: Work[T]) -> T:
        raise self._why

    def close(self) -> None:
        pass


def _engine(path: Path, how: str) -> Engine:
    key, value = how.split("=")
    url = URL.create("sqlite", database=f"file:{path}", query={"uri": "true", key: value})
    return create_engine(url, connect_args={"check_same_thread": False})
