"""Telemetry as it comes, for any number of people who look on: one reader of the database a process, a bounded queue for each.

Called by :mod:`server.api.live`; made by :mod:`server.wiring`. The reader works while somebody looks on. Nobody holds a
connection to the database while waiting. Who reads too slowly is dropped, and resumes by the id of the last event.
"""

from __future__ import annotations

import datetime as dt
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import structlog
from sqlalchemy.exc import SQLAlchemyError

from contracts.bounded import MOST, whole
from server.reasons import table
from server.reasons.refusal import Refusal
from server.services.telemetry.arrivals import KEPT, Batch, Mark, batch_at, batches_after, newest, rows_of
from server.services.telemetry.history import Item, Whose, items_of, names_of_agents
from server.storage.causes import DatabaseUnavailable
from server.storage.faults import explain
from server.storage.session import Database, Reader

_log = structlog.get_logger(__name__)
MOST_READERS = 100
_POLL_S = 0.5
_AFTER_TROUBLE_S = 5.0
_BATCHES = 20
_QUIET_S = 15.0  # shorter than what proxies in between wait for
_MOST_EVENTS = 4000
_MOST_BYTES = 16 * 1024 * 1024
_RETRY = b"retry: 3000\n\n"
_GAP = b"event: gap\ndata: {}\n\n"
_DROPPED = b"event: dropped\ndata: {}\n\n"
_ID = re.compile(r"([0-9]{1,19})-([0-9]{1,19})-([0-9]{1,19})-([0-9]{1,9})")
_WHOLE_BATCH = 999_999_999
_LATEST_MS = 253_402_300_800_000  # the year 10000


class Seen(NamedTuple):
    """The id of an event: when it was sent, its batch, and its place in it."""

    unix_ms: int
    mark: Mark
    place: int

    def text(self) -> str:
        return f"{self.unix_ms}-{self.mark.txid}-{self.mark.position}-{self.place}"


@dataclass(frozen=True, slots=True)
class Filter:
    """What somebody looks at; None is everything. ``clients``: by name, those that may be seen."""

    clients: frozenset[str] | None = None
    network: str | None = None
    agent_id: str | None = None
    kind: str | None = None
    sub: str | None = None

    def wants(self, item: Item) -> bool:
        of_agent = self.wants_agent((item.agent_id, item.client, item.network))
        return of_agent and self.kind in (None, item.kind) and self.sub in (None, item.sub)

    def wants_agent(self, whose: Whose) -> bool:
        agent_id, client, network = whose
        return (
            (self.clients is None or client in self.clients)
            and self.network in (None, network)
            and self.agent_id in (None, agent_id)
        )


def parse_seen(text: str) -> Seen | None:
    """An event's id; None for anything else."""
    found = _ID.fullmatch(text)
    numbers = [whole(part, 0, MOST) for part in found.groups()] if found else [None]
    match numbers:
        case [int(unix_ms), int(txid), int(position), int(place)] if unix_ms < _LATEST_MS:
            return Seen(unix_ms, Mark(txid, position), place)
    return None


@dataclass(slots=True, eq=False)
class _Onlooker:
    """``start``: where the reader was when this one came; what is behind it comes through ``waiting``, but for what was ``seen``.
    ``size``: of all that waits, in bytes."""

    wanted: Filter
    start: Mark
    seen: Seen | None
    waiting: deque[bytes] = field(default_factory=deque)
    size: int = 0
    dropped: bool = False
    ended: bool = False

    def lacks(self, mark: Mark, place: int) -> bool:
        return self.seen is None or (mark, place) > (self.seen.mark, self.seen.place)

    def add(self, frame: bytes) -> None:
        self.waiting.append(frame)
        self.size += len(frame)
        if len(self.waiting) > _MOST_EVENTS or self.size > _MOST_BYTES:
            self.dropped = True
            self.waiting.clear()


class Live:
    """One a process. An idle one has no thread, and so survives a fork."""

    def __init__(self, database: Database, clock: Callable[[], dt.datetime]) -> None:
        self._database, self._clock = database, clock
        self._changed = threading.Condition()
        self._onlookers: set[_Onlooker] = set()
        self._mark = Mark(0, 0)
        self._whose: dict[str, Whose] = {}
        self._reader: threading.Thread | None = None
        self._closed = False

    def close(self) -> None:
        """End all streams, and begin none: those who look on come back to another process."""
        with self._changed:
            self._closed = True
        self.end_all()

    def end_all(self) -> None:
        """End the streams that there are now."""
        with self._changed:
            for onlooker in self._onlookers:
                onlooker.ended = True
            self._changed.notify_all()

    def begin(self, wanted: Filter, seen: Seen | None) -> _Onlooker:
        """From now on what comes is kept for this one, until :meth:`end`. ``seen``: the last event that it had. Refusal:
        live_busy."""
        with self._changed:
            if self._closed or len(self._onlookers) >= MOST_READERS:
                raise Refusal(table.LIVE_BUSY, number=MOST_READERS, retry_after=10)
            if self._reader is None:
                with self._database.reading() as reader:
                    self._mark = newest(reader)
                self._reader = threading.Thread(target=self._read, name="live", daemon=True)
                self._reader.start()
            onlooker = _Onlooker(wanted, self._mark, seen)
            self._onlookers.add(onlooker)
            return onlooker

    def end(self, onlooker: _Onlooker) -> None:
        with self._changed:
            self._onlookers.discard(onlooker)
            self._changed.notify_all()

    def events(self, onlooker: _Onlooker, still: Callable[[], bool]) -> Iterator[bytes]:
        """Server-sent events: what came since it was here last, then what comes. ``still``: asked now and then whether it may go
        on."""
        yield _RETRY
        if onlooker.seen is not None:
            yield from self._missed(onlooker, onlooker.seen)
        asked = time.monotonic()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: onlooker.waiting or onlooker.dropped or onlooker.ended, timeout=_QUIET_S)
                frames = b"".join(onlooker.waiting)
                onlooker.waiting.clear()
                onlooker.size = 0
                # All that this one is to see up to here is in what is sent now.
                mark, dropped, ended = self._mark, onlooker.dropped, onlooker.ended
            if ended:
                return
            if dropped:
                _log.info("live_reader_dropped")
                yield _DROPPED
                return
            if time.monotonic() - asked >= _QUIET_S or not frames:
                if not still():
                    return
                asked = time.monotonic()
            # An event without data is not shown, and moves on where a resumption begins.
            yield frames or f"id: {self._seen(mark, _WHOLE_BATCH).text()}\n\n".encode()

    def _missed(self, onlooker: _Onlooker, seen: Seen) -> Iterator[bytes]:
        """What came after ``seen`` and before the onlooker: a batch at a time."""
        with self._database.reading() as reader:
            # One that is ahead of everything comes from before a restore.
            known = seen.mark <= newest(reader)
            # The batch that was left in its middle, or the next one.
            batch = batch_at(reader, seen.mark) or next(iter(batches_after(reader, seen.mark, 1)), None)
        if not known or self._clock() - _instant(seen.unix_ms) > KEPT:
            onlooker.seen = None
            yield _GAP
            return
        while batch is not None and batch.mark <= onlooker.start:
            with self._database.reading() as reader:
                frames = self._frames(reader, batch, onlooker)
                batch = next(iter(batches_after(reader, batch.mark, 1)), None)
            if frames:
                yield b"".join(frames)

    def _frames(self, reader: Reader, batch: Batch, onlooker: _Onlooker) -> list[bytes]:
        return [
            self._frame(batch.mark, place, item)
            for place, item in enumerate(items_of(reader, rows_of(reader, batch)))
            if onlooker.lacks(batch.mark, place) and onlooker.wanted.wants(item)
        ]

    def _frame(self, mark: Mark, place: int, item: Item) -> bytes:
        head = f"id: {self._seen(mark, place).text()}\nevent: {item.kind}\ndata: ".encode()
        return b"".join((head, msgspec.json.encode(item), b"\n\n"))

    def _seen(self, mark: Mark, place: int) -> Seen:
        return Seen(self._unix_ms(), mark, place)

    def _unix_ms(self) -> int:
        return int(self._clock().timestamp() * 1000)

    def _read(self) -> None:
        """The one reader: until nobody looks on."""
        pause = 0.0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or not self._onlookers, timeout=pause)
                if self._closed or not self._onlookers:
                    self._reader = None
                    return
            try:
                pause = 0.0 if self._look() else _POLL_S
            except (SQLAlchemyError, DatabaseUnavailable) as error:
                _log.warning("live_view_not_read", cause=explain(error, self._database))
                pause = _AFTER_TROUBLE_S

    def _look(self) -> bool:
        """Hand on what came. Whether there may be more."""
        with self._database.reading() as reader:
            batches = batches_after(reader, self._mark, _BATCHES)
        for batch in batches:
            with self._database.reading() as reader:
                items = items_of(reader, rows_of(reader, batch)) if self._is_wanted(reader, batch.agent) else []
            self._hand_on(batch.mark, items)
            time.sleep(0)  # others have their turn
        return len(batches) == _BATCHES

    def _is_wanted(self, reader: Reader, agent: str) -> bool:
        """Whether anybody looks at this agent: of others nothing is read."""
        if agent not in self._whose:
            self._whose.update(names_of_agents(reader, [agent]))
        with self._changed:
            return agent in self._whose and any(one.wanted.wants_agent(self._whose[agent]) for one in self._onlookers)

    def _hand_on(self, mark: Mark, items: Sequence[Item]) -> None:
        frames: dict[int, bytes] = {}
        with self._changed:
            for onlooker in self._onlookers:
                for place, item in enumerate(items):
                    if onlooker.dropped or not onlooker.lacks(mark, place) or not onlooker.wanted.wants(item):
                        continue
                    if place not in frames:
                        frames[place] = self._frame(mark, place, item)
                    onlooker.add(frames[place])
            self._mark = mark
            self._changed.notify_all()


def _instant(unix_ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(milliseconds=unix_ms)
