"""The one thread of a process that writes to the database. Records that wait together share one commit, so that ten thousand
hosts cost a few hundred of them; a record is acknowledged only after the commit that holds it.

What comes during a commit shares the next one. No commit is held back to collect more: each host would wait for it, at every
stage.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Connection

from runtime.adapters.state.errors import StateUnavailable

T = TypeVar("T")
Work = Callable[[Connection], T]
Bulk = Callable[[Connection, Sequence[T]], None]
Transaction = Callable[[], contextlib.AbstractContextManager[Connection]]

BATCH = 500
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Job:
    """A piece of work of its own, or with ``bulk`` one item among those that are written in one go. ``first``: before all others
    that wait, so that neighbours of one kind stay together."""

    work: Work[Any] | None
    bulk: Bulk[Any] | None = None
    item: Any = None
    first: bool = False
    future: Future[Any] = field(default_factory=Future)


class Writer:
    """Runs pieces of work in the order they came, each inside a write transaction that ``transaction`` opens and commits."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._held: list[_Job] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, work: Work[T]) -> Future[T]:
        """The future ends when the work is committed, or with what went wrong. It cannot be cancelled: what was
        handed over is written even when nobody waits for it any more."""
        return self._put(_Job(work))

    def submit_item(self, bulk: Bulk[T], item: T) -> Future[None]:
        """The same for one item; ``bulk`` gets all neighbours in the queue that name the same function. When it raises for
        several, it is called again for each alone."""
        return self._put(_Job(None, bulk, item))

    def hold_item(self, bulk: Bulk[T], item: T) -> Future[None]:
        """The same for one item that may wait: it goes before whatever is handed over next, at the latest when the writer is
        closed. Waking the thread costs each host more than the writing does. Nobody has to wait for it: what fails is logged."""
        job = _Job(None, bulk, item, first=True)
        job.future.set_running_or_notify_cancel()
        job.future.add_done_callback(_tell_of_failure)
        with self._lock:
            self._require_open()
            self._held.append(job)
        return job.future

    def close(self) -> None:
        """Write what was handed over, then end the thread."""
        with self._lock:
            if self._held:
                self._hand_over()
            self._closed = True
            thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join()

    def _put(self, job: _Job) -> Future[Any]:
        job.future.set_running_or_notify_cancel()
        with self._lock:
            self._require_open()
            self._held.append(job)
            self._hand_over()
        return job.future

    def _require_open(self) -> None:
        if self._closed:
            raise RuntimeError("the state is closed")

    def _hand_over(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="state-writer", daemon=True)
            self._thread.start()
        for job in self._held:
            self._queue.put(job)
        self._held.clear()

    def _run(self) -> None:
        open_for_more = True
        while open_for_more:
            batch = list(itertools.chain([self._queue.get()], self._waiting()))
            open_for_more = None not in batch
            self._commit(sorted((job for job in batch if job is not None), key=lambda job: not job.first))

    def _waiting(self) -> Iterator[_Job | None]:
        with contextlib.suppress(queue.Empty):
            for _ in range(BATCH - 1):
                yield self._queue.get_nowait()

    def _commit(self, batch: list[_Job]) -> None:
        try:
            with self._transaction() as connection:
                answers = _answers(connection, batch)
        except StateUnavailable as error:  # the database, not one of the records: it would be the same for each
            for job in batch:
                job.future.set_exception(error)
        except Exception as error:
            # Whatever a piece of work raises belongs to the one who waits for it, and to nobody else.
            if len(batch) == 1:
                batch[0].future.set_exception(error)
            else:
                for job in batch:
                    self._commit([job])
        else:
            for job, answer in zip(batch, answers, strict=True):
                job.future.set_result(answer)


def _tell_of_failure(future: Future[Any]) -> None:
    error = future.exception()
    if error is not None and not isinstance(error, StateUnavailable):  # of that the next one that waits is told
        _log.error("not recorded: %s: %s", type(error).__name__, error)


def _answers(connection: Connection, batch: list[_Job]) -> list[Any]:
    answers: list[Any] = []
    for bulk, jobs in itertools.groupby(batch, key=lambda job: job.bulk):
        if bulk is None:
            answers += [job.work(connection) for job in jobs if job.work is not None]
        else:
            items = [job.item for job in jobs]
            bulk(connection, items)
            answers += [None] * len(items)
    return answers
