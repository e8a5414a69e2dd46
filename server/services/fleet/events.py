"""What agents told, as lines for people: the last ones, and those that come. Called by the CLI.

What is received first may be committed later. So whoever follows looks back over the time that a transaction may take, and leaves
out what was shown.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import or_, select, tuple_

from contracts.bounded import Unreadable, read_json
from contracts.envelope import day_of
from server.services.agents.fleet import Asked, agents_meant
from server.services.telemetry.history import PAGE, Item, Meant, Wanted, history, items_of
from server.services.telemetry.tracing import instant_of, what_of
from server.storage.models import Envelope, Outcome
from server.storage.session import Database

# Longer than a batch takes from its arrival to its commit.
LOOK_BACK = dt.timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Filter:
    """``host``: a name, an address, or the end of a name."""

    client: str | None = None
    network: str | None = None
    kind: str | None = None
    sub: str | None = None
    host: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """``at``: by the agent's clock. ``what``: the words of the body that say most."""

    at: dt.datetime
    received_at: dt.datetime
    client: str
    network: str
    kind: str
    sub: str
    what: str
    agent: str
    correlation_id: str | None
    id: str
    body: Any


class Events:
    """``begin``, ``last``, then ``news`` again and again: each event once, the oldest first. Refusal: client_unknown."""

    def __init__(self, database: Database, asked: Filter) -> None:
        self._database, self._asked = database, asked
        with database.reading() as reader:
            meant = agents_meant(reader, Asked(None, asked.client, asked.network))
        self._meant = None if meant is None else Meant(*meant)
        self._shown: dict[str, dt.datetime] = {}

    def last(self, most: int, since: dt.datetime) -> list[Event]:
        """The last ones."""
        items = self._of_host(most, since) if self._asked.host is not None else self._of_all(most, since)
        return self._shown_now(items)

    def begin(self, now: dt.datetime) -> None:
        """From now on only what comes is news. To be called before :meth:`last`, so that nothing falls between the two."""
        self._shown_now(self._of_all(None, now - 2 * LOOK_BACK))

    def news(self, now: dt.datetime) -> list[Event]:
        items = self._of_all(None, now - 2 * LOOK_BACK)
        self._shown = {key: at for key, at in self._shown.items() if at > now - 3 * LOOK_BACK}
        return self._shown_now([item for item in items if _key(item) not in self._shown and self._about(item)])

    def _of_all(self, most: int | None, since: dt.datetime) -> Sequence[Item]:
        """``most``: None for all; what is looked back over for news is never cut, however much comes."""
        wanted = Wanted(self._meant, self._asked.kind, self._asked.sub, since)
        found: list[Item] = []
        page = history(self._database, wanted, PAGE if most is None else most)
        found += page.items
        while page.next is not None and (most is None or len(found) < most):
            page = history(self._database, wanted, PAGE if most is None else most - len(found), page.next)
            found += page.items
        return found

    def _of_host(self, most: int, since: dt.datetime) -> Sequence[Item]:
        """By the outcomes of the host, which its name and address find by an index."""
        name = (self._asked.host or "").strip().lower()
        mine: tuple[Any, ...] = (Outcome.seen_at >= since,)
        if self._meant is not None:
            mine = (*mine, Outcome.agent.in_(self._meant.query))
        newest = select(Outcome.agent, Outcome.envelope_id).order_by(Outcome.seen_at.desc()).limit(most)
        with self._database.reading() as reader:
            rows = reader.execute(newest.where(or_(Outcome.name_key == name, Outcome.address == name), *mine)).all()
            if not rows and name:
                rows = reader.execute(newest.where(Outcome.name_key.endswith(name, autoescape=True), *mine)).all()
            keys = [(row.agent, day_of(row.envelope_id.hex), row.envelope_id) for row in rows]
            query = select(Envelope.__table__).where(
                tuple_(Envelope.agent, Envelope.day, Envelope.envelope_id).in_(keys)
            )
            items = items_of(reader, reader.execute(query).all())
        kind, sub = self._asked.kind, self._asked.sub
        found = [one for one in items if kind in (None, one.kind) and sub in (None, one.sub)]
        return sorted(found, key=lambda one: (one.received_at, one.envelope_id), reverse=True)

    def _about(self, item: Item) -> bool:
        """Whether it is of the host that was asked for."""
        if self._asked.host is None:
            return True
        host, asked = _host(item), self._asked.host.strip().lower()
        return host.get("address") == asked or str(host.get("name", "")).lower().endswith(asked)

    def _shown_now(self, items: Iterable[Item]) -> list[Event]:
        """In the order in which they were received, and those of one batch as the agent told them."""
        ordered = sorted(items, key=lambda one: (one.received_at, one.stream or "", one.seq or 0, one.envelope_id))
        self._shown.update((_key(item), item.received_at) for item in ordered)
        return [_event(item) for item in ordered]


def _key(item: Item) -> str:
    return f"{item.agent_id} {item.network} {item.envelope_id}"


def _event(item: Item) -> Event:
    text = bytes(item.body).decode()
    return Event(
        at=instant_of(item.ts_unix_ms),
        received_at=item.received_at,
        client=item.client,
        network=item.network,
        kind=item.kind,
        sub=item.sub,
        what=what_of(text),
        agent=item.agent_id,
        correlation_id=item.correlation_id,
        id=item.envelope_id,
        body=_body(item),
    )


def _body(item: Item) -> Any:
    try:
        return read_json(bytes(item.body))
    except Unreadable:
        return None


def _host(item: Item) -> dict[str, Any]:
    body = _body(item)
    host = body.get("host") if isinstance(body, dict) else None
    return host if isinstance(host, dict) else {}
