"""Pages of stored telemetry, the newest first, and exports, which are pages one after the other. Called by
:mod:`server.api.history`.

A page goes by the index (agent, received_at), or by (received_at) where many agents are meant. What no index has, kind and sub,
is looked for in so many rows at a time and in so many steps, each a transaction of its own: a page may be shorter than asked for,
or empty, while there is more. So no question keeps a process or the database busy, however large the table is.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import threading
import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Raw
from sqlalchemy import Select, and_, or_, select

from contracts.envelope import DUPLICATE_DAYS, today
from server.reasons import table
from server.reasons.refusal import Refusal
from server.storage.models import Agent, Client, Envelope, Network
from server.storage.session import Database, Reader

PAGE = 1000
_FEW = 16  # agents that are read one by one, each by its index
_SCAN = 5000  # rows that are looked through at a time
_STEPS = 10
_STREAMS = 2


class Position(NamedTuple):
    """A place in the order of what is stored."""

    at: dt.datetime
    id: uuid.UUID
    agent: str

    def text(self) -> str:
        """As a cursor: opaque for who gets it."""
        packed = msgspec.json.encode(self)
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")


_AGENT = Annotated[str, msgspec.Meta(pattern="^[0-9a-f-]{36}$")]
_CURSOR = msgspec.json.Decoder(tuple[Annotated[dt.datetime, msgspec.Meta(tz=True)], uuid.UUID, _AGENT])


@dataclass(frozen=True, slots=True)
class Meant:
    """Which agents: rows of them, and the same as a SELECT of their ids."""

    ids: Collection[str]
    query: Select[Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """``meant``: None for all agents. ``since`` and ``until`` (not included): when an envelope was received."""

    meant: Meant | None = None
    kind: str | None = None
    sub: str | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None


class Item(msgspec.Struct, frozen=True):
    """An envelope with whose it is, as it is answered. ``body`` and ``meta`` as they were sent."""

    envelope_id: str
    agent_id: str
    client: str
    network: str
    kind: str
    sub: str
    schema_version: int
    ts_unix_ms: int
    received_at: dt.datetime
    correlation_id: str | None
    stream: str | None
    seq: int | None
    meta: Raw
    body: Raw


Whose = tuple[str, str, str]  # agent_id, client, network


@dataclass(frozen=True, slots=True)
class Page:
    """``next``: where to go on; None at the end."""

    items: Sequence[Item]
    next: Position | None


def parse_position(cursor: str) -> Position:
    """Refusal: query_invalid."""
    try:
        at, id, agent = _CURSOR.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, msgspec.MsgspecError, ValueError):
        raise Refusal(table.QUERY_INVALID, cause="cursor: the next of an earlier answer is expected") from None
    return Position(at, id, agent)


def history(database: Database, wanted: Wanted, limit: int, after: Position | None = None) -> Page:
    """At most ``limit`` of what was received before ``after``."""
    found: list[Item] = []
    for _ in range(_STEPS):
        with database.reading() as reader:
            rows, after = _step(reader, wanted, limit - len(found), after)
            found += items_of(reader, rows)
        if after is None or len(found) >= limit:
            break
        time.sleep(0)  # others have their turn
    return Page(found, after)


def numbered_page(database: Database, wanted: Wanted, number: int, size: int) -> Page:
    """The page with this number, from 0: all before it are read for it. Each step of :func:`history` counts as far as it came."""
    after: Position | None = None
    left = number * size
    while left:
        skipped = history(database, wanted, min(left, PAGE), after)
        left, after = left - len(skipped.items), skipped.next
        if after is None:
            return Page((), None)
    return history(database, wanted, size, after)


class Exports:
    """How many exports a process works on at once; the others are refused. One a process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._free = threading.BoundedSemaphore(_STREAMS)

    def begin(self) -> None:
        """Refusal: exports_busy. Each beginning has one :meth:`end`."""
        if not self._free.acquire(blocking=False):
            raise Refusal(table.EXPORTS_BUSY, number=_STREAMS, retry_after=10)

    def end(self) -> None:
        self._free.release()

    def items(self, wanted: Wanted, most: int | None) -> Iterator[Sequence[Item]]:
        """All of it in pages, none of which holds a transaction open while it is sent."""
        after: Position | None = None
        while most is None or most > 0:
            page = history(self._database, wanted, PAGE if most is None else min(PAGE, most), after)
            if page.items:
                yield page.items
            after = page.next
            if after is None:
                return
            most = None if most is None else most - len(page.items)


_COLUMNS: Any = (
    Envelope.agent,
    Envelope.envelope_id,
    Envelope.kind,
    Envelope.sub,
    Envelope.schema_version,
    Envelope.ts_unix_ms,
    Envelope.received_at,
    Envelope.correlation_id,
    Envelope.stream,
    Envelope.seq,
    Envelope.meta,
    Envelope.body,
)


def _step(reader: Reader, wanted: Wanted, limit: int, after: Position | None) -> tuple[list[Any], Position | None]:
    """Rows, and how far was looked; None for to the end."""
    meant = wanted.meant
    if meant is None or len(meant.ids) > _FEW:
        return _scan(reader, wanted, limit, after, None)
    parts = [_scan(reader, wanted, limit, after, agent) for agent in meant.ids]
    reached = max((until for _, until in parts if until is not None), default=None)
    rows = sorted((row for part, _ in parts for row in part), key=_position, reverse=True)
    if reached is not None:  # beyond it not all agents were looked at
        rows = [row for row in rows if _position(row) >= reached]
    if len(rows) > limit:
        rows = rows[:limit]
        reached = _position(rows[-1])
    return rows, reached


def _scan(
    reader: Reader, wanted: Wanted, limit: int, after: Position | None, agent: str | None
) -> tuple[list[Any], Position | None]:
    """As :func:`_step`, of one agent by its index, or of all that are meant by the time."""
    scanned = _scanned(wanted, after, agent)
    conditions = _not_indexed(wanted, agent)
    if not conditions:
        rows = list(reader.execute(scanned.limit(limit + 1)))
        return rows[:limit], _position(rows[limit - 1]) if len(rows) > limit else None
    inner = scanned.limit(_SCAN).subquery()
    query = _newest_first(select(inner).where(*(condition(inner.c) for condition in conditions)), inner.c)
    rows = list(reader.execute(query.limit(limit)))
    if len(rows) == limit:
        return rows, _position(rows[-1])
    keys: Any = select(Envelope.received_at, Envelope.envelope_id, Envelope.agent)
    last = _newest_first(keys.where(*_within(wanted, after, agent)), Envelope).offset(_SCAN - 1).limit(1)
    end = reader.execute(last).first()
    return rows, _position(end) if end else None


def _scanned(wanted: Wanted, after: Position | None, agent: str | None) -> Any:
    return _newest_first(select(*_COLUMNS).where(*_within(wanted, after, agent)), Envelope)


def _newest_first(query: Any, columns: Any) -> Any:
    return query.order_by(columns.received_at.desc(), columns.envelope_id.desc(), columns.agent.desc())


def _within(wanted: Wanted, after: Position | None, agent: str | None) -> list[Any]:
    """What the index has. ``day``: an envelope is at most so old when it is received; PostgreSQL leaves out whole days by it."""
    found: list[Any] = [] if agent is None else [Envelope.agent == agent]
    if wanted.since is not None:
        found += [Envelope.received_at >= wanted.since, Envelope.day >= today(wanted.since) - DUPLICATE_DAYS - 1]
    if wanted.until is not None:
        found.append(Envelope.received_at < wanted.until)
    if after is not None:
        at, id, whose = after
        earlier = or_(
            Envelope.received_at < at,
            Envelope.envelope_id < id,
            and_(Envelope.envelope_id == id, Envelope.agent < whose),
        )
        found += [Envelope.received_at <= at, earlier]
    return found


def _not_indexed(wanted: Wanted, agent: str | None) -> list[Any]:
    found: list[Any] = []
    if wanted.kind is not None:
        found.append(lambda columns: columns.kind == wanted.kind)
    if wanted.sub is not None:
        found.append(lambda columns: columns.sub == wanted.sub)
    meant = wanted.meant
    if meant is not None and agent is None:
        found.append(lambda columns: columns.agent.in_(meant.query))
    return found


def _position(row: Any) -> Position:
    return Position(row.received_at, row.envelope_id, row.agent)


def items_of(reader: Reader, rows: Sequence[Any]) -> list[Item]:
    """Rows of the columns of an envelope, as they are answered."""
    whose = names_of_agents(reader, {row.agent for row in rows})
    return [_item(row, *whose[row.agent]) for row in rows if row.agent in whose]


def names_of_agents(reader: Reader, agents: Collection[str]) -> Mapping[str, Whose]:
    """By the ids of their rows."""
    if not agents:
        return {}
    query = (
        select(Agent.id, Agent.agent_id, Client.name, Network.code)
        .join(Network, Network.id == Agent.network_id)
        .join(Client, Client.id == Network.client_id)
        .where(Agent.id.in_(sorted(agents)))
    )
    return {row[0]: (row[1], row[2], row[3]) for row in reader.execute(query)}


_NULL = Raw(b"null")


def _item(row: Any, agent_id: str, client: str, network: str) -> Item:
    return Item(
        envelope_id=str(row.envelope_id),
        agent_id=agent_id,
        client=client,
        network=network,
        kind=row.kind,
        sub=row.sub,
        schema_version=row.schema_version,
        ts_unix_ms=row.ts_unix_ms,
        received_at=row.received_at,
        correlation_id=row.correlation_id,
        stream=None if row.stream is None else str(row.stream),
        seq=row.seq,
        meta=_NULL if row.meta is None else _on_one_line(row.meta),
        body=_on_one_line(row.body),
    )


def _on_one_line(json: str) -> Raw:
    """Line ends stand between the words of JSON only; lines of an export and of a live view end with one."""
    return Raw(json.replace("\n", " ").replace("\r", " ").encode())
