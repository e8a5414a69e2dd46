"""The open local state: one object a process, handed to ledger, registry, key store and queries by the composition roots."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, PoolProxiedConnection

from runtime.adapters.state.database import open_database, transaction
from runtime.adapters.state.errors import StateUnavailable, translated
from runtime.adapters.state.prepared import PreparedQuery
from runtime.adapters.state.writer import Bulk, T, Work, Writer

DEFAULT_FOLDER = Path("/flageemonitor/data")


class State:
    """Reads go through connections of their own and never wait for a writer; all writes of the process go through one thread.

    ``trouble``: why nothing can be written, where that is known and only reading was asked for (adapters.state.reading).
    """

    trouble: StateUnavailable | None = None
    _asked: PoolProxiedConnection | None = None  # kept for `one`

    def __init__(self, folder: Path, *, now: dt.datetime) -> None:
        """Open ``<folder>/state.db``; made and migrated when needed. ``notices`` are for the operator's eyes: a database that
        was damaged and replaced. Raises StateUnavailable with advice."""
        self.folder = folder
        self._engine, self.notices = open_database(folder, now)
        self._writer = Writer(partial(transaction, self._engine, folder, write=True))

    def read(self) -> AbstractContextManager[Connection]:
        """One consistent view. Raises StateUnavailable."""
        return transaction(self._engine, self.folder, write=False)

    def one(self, query: PreparedQuery, values: Mapping[str, Any]) -> Any:
        """The row of a query that is asked for every host, or None. One statement is a consistent view without a transaction.
        For one thread, the event loop's. Raises StateUnavailable."""
        with translated(self.folder):
            if self._asked is None:
                self._asked = self._engine.raw_connection()
            with contextlib.closing(self._asked.cursor()) as cursor:
                return query.one(cursor, values)

    def write(self, work: Work[T]) -> T:
        """Run ``work`` in a write transaction and wait for its commit. Blocks: not for the event loop."""
        return self._writer.submit(work).result()

    async def awrite(self, work: Work[T]) -> T:
        """The same for the event loop. Cancelling the wait does not take the work back."""
        return await asyncio.wrap_future(self._writer.submit(work))

    async def awrite_item(self, bulk: Bulk[T], item: T) -> None:
        """The same for one of many alike: ``bulk`` gets those that wait together. Name one function, not a new one each time."""
        await asyncio.wrap_future(self._writer.submit_item(bulk, item))

    def hold_item(self, bulk: Bulk[T], item: T) -> None:
        """Write one of many alike together with what is written next; at the latest when the state is closed. Only for what a
        later write proves to be there: the item goes first, and fails with it."""
        self._writer.hold_item(bulk, item)

    def close(self) -> None:
        self._writer.close()
        self._release()

    def _release(self) -> None:
        if self._asked is not None:
            self._asked.close()
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
