"""What is known about hosts from one run to the next: their pinned keys, and what logging in to them takes.

Implements HostBook for the SSH adapter; the functions serve `hosts`, `hosts rekey` and `doctor`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, bindparam, delete, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from contracts.text import say
from runtime.adapters.state import recovery_log
from runtime.adapters.state.codec import dumps, loads
from runtime.adapters.state.identities import forget, place_of
from runtime.adapters.state.prepared import PreparedInsert, PreparedQuery
from runtime.adapters.state.store import State
from runtime.adapters.state.tables import host_keys, host_memory, meta
from runtime.domain.errors import Permanent
from runtime.domain.model import Host, Outcome, Reason
from runtime.domain.ports import Clock, PinnedKey, SshNotes


def _same_place(table: Table) -> ColumnElement[bool]:
    return and_(*(table.c[column] == bindparam(column) for column in ("network", "name", "port")))


# All in one query, because it is asked for every host of a run.
_KNOWN = PreparedQuery(
    select(
        select(host_keys.c.key)
        .where(_same_place(host_keys), host_keys.c.retired_at.is_(None))
        .scalar_subquery()
        .label("key"),
        select(host_memory.c.notes).where(_same_place(host_memory)).scalar_subquery().label("notes"),
        select(meta.c.value).where(meta.c.key == recovery_log.FIRST_USE_BLOCKED).scalar_subquery().label("lost"),
    )
)
_insert_notes = upsert(host_memory)
_REMEMBER = PreparedInsert(
    _insert_notes.on_conflict_do_update(
        index_elements=[host_memory.c.network, host_memory.c.name, host_memory.c.port],
        set_={"notes": _insert_notes.excluded.notes},
    )
)
_PIN = PreparedInsert(upsert(host_keys).on_conflict_do_nothing())


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key that a host has or had. ``retired_at`` None: pinned now."""

    network: str
    name: str
    port: int
    key: PinnedKey
    first_seen: dt.datetime
    retired_at: dt.datetime | None
    retired_by: str | None


@dataclass(frozen=True, slots=True)
class KnownHost:
    """A host as it was last seen. ``facts`` are those of its last result that had some."""

    name: str
    port: int
    notes: SshNotes
    facts: Mapping[str, Any]
    last_seen: dt.datetime | None


class SqlHostBook:
    """By network, host name (without case) and port. Raises StateUnavailable."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._state, self._clock = state, clock

    async def get(self, host: Host) -> tuple[PinnedKey | None, SshNotes]:
        """Raises Permanent for a host without a key while first use is blocked because keys were lost."""
        known = self._state.one(_KNOWN, place_of(host))  # by index, well under a millisecond: not worth a thread
        if known.key is None and known.lost is not None:
            text = say(
                "{problem}; confirm with `flageemonitor-run hosts rekey --all` that new keys may be pinned",
                problem=recovery_log.loss_in(known.lost),
            )
            raise Permanent(Outcome.BLOCKED, Reason.HOST_KEY_UNKNOWN, text)
        return None if known.key is None else PinnedKey(known.key), _notes(known.notes)

    async def save(self, host: Host, key: PinnedKey | None, notes: SshNotes | None) -> None:
        def work(connection: Connection) -> None:
            if key is not None:
                _pin(host, key, now, connection)
            if notes is not None:
                _REMEMBER.execute(connection, [{**place_of(host), "notes": dumps(notes)}])

        now = self._clock.now()
        if key is not None or notes is not None:
            await self._state.awrite(work)


def retire_keys(state: State, network: str, name: str, *, by: str, now: dt.datetime) -> tuple[KeyRecord, ...]:
    """Forget the pinned keys of a host (all its ports), so that the next login pins what it then meets. Returns the retired
    ones, which stay in its history; none when nothing was pinned."""

    def work(connection: Connection) -> tuple[KeyRecord, ...]:
        named = and_(host_keys.c.network == network, host_keys.c.name == name.lower(), host_keys.c.retired_at.is_(None))
        ids = [row.id for row in connection.execute(select(host_keys.c.id, host_keys.c.port).where(named))]
        connection.execute(update(host_keys).where(host_keys.c.id.in_(ids)).values(retired_at=now, retired_by=by))
        if ids:
            forget(connection, network, name)
        retired = _records(connection, host_keys.c.id.in_(ids))
        for record in retired:
            recovery_log.append(
                connection, "retire", network=network, name=record.name, port=record.port, by=by, at=now
            )
        return retired

    return state.write(work)


def key_history(state: State, network: str, name: str) -> tuple[KeyRecord, ...]:
    """Every key the host is known to have had, oldest first."""
    with state.read() as connection:
        return _records(connection, and_(host_keys.c.network == network, host_keys.c.name == name.lower()))


def accept_lost_keys(state: State) -> bool:
    """An operator confirms that pinned keys were lost: first use works again. False when nothing was blocked."""
    statement = delete(meta).where(meta.c.key == recovery_log.FIRST_USE_BLOCKED)
    return state.write(lambda connection: connection.execute(statement).rowcount > 0)


def known_hosts(state: State, network: str) -> dict[str, KnownHost]:
    """Known hosts by lower-case name."""
    with state.read() as connection:
        rows = connection.execute(select(host_memory).where(host_memory.c.network == network))
        return {
            row.name: KnownHost(row.name, row.port, _notes(row.notes), loads(row.facts) or {}, row.last_seen)
            for row in rows
        }


def pinned_keys(state: State, network: str) -> dict[str, KeyRecord]:
    """The keys pinned now, by lower-case host name; of a host with several ports the one seen last."""
    with state.read() as connection:
        records = _records(connection, and_(host_keys.c.network == network, host_keys.c.retired_at.is_(None)))
    return {record.name: record for record in records}


def _pin(host: Host, key: PinnedKey, now: dt.datetime, connection: Connection) -> None:
    values = {**place_of(host), "key": key.text, "fingerprint": key.fingerprint, "first_seen": now, "asked": True}
    if _PIN.execute(connection, [values]):
        recovery_log.append(connection, "pin", **values)


def _records(connection: Connection, where: ColumnElement[bool]) -> tuple[KeyRecord, ...]:
    return tuple(
        KeyRecord(r.network, r.name, r.port, PinnedKey(r.key), r.first_seen, r.retired_at, r.retired_by)
        for r in connection.execute(select(host_keys).where(where).order_by(host_keys.c.id))
    )


def _notes(text: str | None) -> SshNotes:
    found = loads(text)
    if not isinstance(found, dict):
        return SshNotes()
    return SshNotes(str(found.get("profile", "")), tuple(found.get("needs", ())), str(found.get("credential", "")))
