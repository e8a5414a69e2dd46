"""Keys that several hosts share, and who accepted that: they are an image's. Serves `hosts`, `hosts settle` and `doctor`."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, insert, select, update

from runtime.adapters.state import recovery_log
from runtime.adapters.state.codec import dumps
from runtime.adapters.state.identities import claim_columns, claim_in, note_in, settled_of
from runtime.adapters.state.store import State
from runtime.adapters.state.tables import host_keys, host_memory, settled_keys
from runtime.domain.identity import Note, Settled

# What so many clones call themselves is the image's name, and not that of one machine that was met at two addresses.
IMAGE_NAME_HOSTS = 3
_MOST = 5


@dataclass(frozen=True, slots=True)
class SharedKey:
    """A key that is pinned for several hosts of a network; their names in lower case, sorted."""

    fingerprint: str
    hosts: tuple[str, ...]
    settled: Settled | None


@dataclass(frozen=True, slots=True)
class Identity:
    """What a host's machine said of itself the last time, what an operator still has to see about it, and who accepted what it
    says."""

    hostname: str
    machine_id: str
    note: Note | None
    accepted: Settled | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """``hosts``: those with the key pinned. ``before`` and ``now``: the acceptance before and after the call."""

    fingerprint: str
    hosts: tuple[str, ...]
    before: Settled | None
    now: Settled | None


def shared_keys(state: State, network: str) -> tuple[SharedKey, ...]:
    """Those with most hosts first."""
    pinned = _pinned(network)
    several = (
        select(host_keys.c.fingerprint)
        .where(pinned)
        .group_by(host_keys.c.fingerprint)
        .having(func.count(host_keys.c.name.distinct()) > 1)
    )
    hosts: dict[str, set[str]] = {}
    with state.read() as connection:
        wanted = select(host_keys.c.fingerprint, host_keys.c.name).where(pinned, host_keys.c.fingerprint.in_(several))
        for row in connection.execute(wanted):
            hosts.setdefault(row.fingerprint, set()).add(row.name)
        accepted = connection.execute(select(settled_keys).where(settled_keys.c.network == network, _in_force()))
        settled = {row.fingerprint: settled_of(row) for row in accepted}
    found = (SharedKey(key, tuple(sorted(names)), settled.get(key)) for key, names in hosts.items())
    return tuple(sorted(found, key=lambda one: (-len(one.hosts), one.fingerprint)))


def identities(state: State, network: str) -> dict[str, Identity]:
    """By lower-case host name, for those that have said something."""
    query = select(host_memory).where(host_memory.c.network == network, host_memory.c.said_hostname.is_not(None))
    with state.read() as connection:
        return {
            row.name: Identity(row.said_hostname, row.said_machine_id or "", note_in(row.identity_note), _accepted(row))
            for row in connection.execute(query)
        }


def fingerprints(state: State, network: str, beginning: str) -> tuple[str, ...]:
    """A few of the pinned keys' fingerprints that begin so."""
    starts = func.substr(host_keys.c.fingerprint, 1, len(beginning)) == beginning
    with state.read() as connection:
        query = select(host_keys.c.fingerprint).where(_pinned(network), starts).distinct().limit(_MOST)
        return tuple(connection.scalars(query))


def settle(state: State, network: str, fingerprint: str, *, by: str, now: dt.datetime) -> Settlement:
    """Accept that several hosts have this key, and what their machines said differently than before; one that may be another
    machine by its own words stays a doubt. For a key of one host all that its machine says is accepted, which says nothing of
    other machines that turn out to have the key as well."""

    def work(connection: Connection) -> Settlement:
        hosts, before = _with_key(connection, network, fingerprint), _acceptance(connection, network, fingerprint)
        after = before
        if before is None and len(hosts) > 1:
            names = _image_names(connection, network, hosts)
            values = {"network": network, "fingerprint": fingerprint, "settled_by": by, "settled_at": now}
            values["image_names"] = dumps(sorted(names))
            connection.execute(insert(settled_keys), values)
            recovery_log.append(connection, "settle", **values)
            after = Settled(by, now, names)
        if len(hosts) == 1:
            before, after = _accept_machine(connection, network, min(hosts), Settled(by, now))
        else:
            _clear_notes(connection, network, hosts)
        return Settlement(fingerprint, tuple(sorted(hosts)), before, after)

    return state.write(work)


def unsettle(state: State, network: str, fingerprint: str, *, by: str, now: dt.datetime) -> Settlement:
    """Take the acceptance back; it stays in the history. The machine of a key of one host is then met as for the first time."""

    def work(connection: Connection) -> Settlement:
        hosts, before = _with_key(connection, network, fingerprint), _acceptance(connection, network, fingerprint)
        if before is not None:
            connection.execute(
                update(settled_keys).where(_settled_key(network, fingerprint)).values(undone_at=now, undone_by=by)
            )
            recovery_log.append(connection, "unsettle", network=network, fingerprint=fingerprint, by=by, at=now)
        elif len(hosts) == 1:
            before = _doubt_machine(connection, network, min(hosts), Settled(by, now))
        return Settlement(fingerprint, tuple(sorted(hosts)), before, None)

    return state.write(work)


def _pinned(network: str) -> ColumnElement[bool]:
    return and_(host_keys.c.network == network, host_keys.c.retired_at.is_(None))


def _in_force() -> ColumnElement[bool]:
    return settled_keys.c.undone_at.is_(None)


def _settled_key(network: str, fingerprint: str) -> ColumnElement[bool]:
    return and_(settled_keys.c.network == network, settled_keys.c.fingerprint == fingerprint, _in_force())


def _with_key(connection: Connection, network: str, fingerprint: str) -> frozenset[str]:
    query = select(host_keys.c.name).where(_pinned(network), host_keys.c.fingerprint == fingerprint)
    return frozenset(connection.scalars(query))


def _acceptance(connection: Connection, network: str, fingerprint: str) -> Settled | None:
    row = connection.execute(select(settled_keys).where(_settled_key(network, fingerprint))).one_or_none()
    return None if row is None else settled_of(row)


def _image_names(connection: Connection, network: str, hosts: Collection[str]) -> frozenset[str]:
    query = select(host_memory.c.name, host_memory.c.said_hostname).where(
        host_memory.c.network == network, host_memory.c.said_hostname.is_not(None)
    )
    said = Counter(str(hostname) for name, hostname in connection.execute(query) if name in hosts and hostname)
    return frozenset(hostname for hostname, number in said.items() if number >= IMAGE_NAME_HOSTS)


def _clear_notes(connection: Connection, network: str, hosts: Collection[str]) -> None:
    noted = select(host_memory).where(host_memory.c.network == network, host_memory.c.identity_note.is_not(None))
    for row in connection.execute(noted).all():
        note = note_in(row.identity_note)
        if row.name in hosts and (note is None or note.kind in ("changed", "shared_key")):
            connection.execute(update(host_memory).where(_same_host(row)).values(identity_note=None))


def _accept_machine(
    connection: Connection, network: str, name: str, given: Settled
) -> tuple[Settled | None, Settled | None]:
    """What the machine of one host said the last time is what it is known by. Returns who accepted its words before, where they
    are the same as now, and who accepts them after this; None where it has said nothing yet."""
    before = after = None
    said_something = and_(_named_host(network, name), host_memory.c.said_hostname.is_not(None))
    for row in connection.execute(select(host_memory).where(said_something)).all():
        said, known = claim_in(row, "said"), claim_in(row, "known")
        accepted = said.filled(known) if said else known
        if accepted == known and row.identity_note is None and row.accepted_at is not None:
            before = after = _accepted(row)
            continue
        words = claim_columns(accepted, "known")
        values = {"accepted_by": given.by, "accepted_at": given.at}
        connection.execute(update(host_memory).where(_same_host(row)).values(identity_note=None, **values, **words))
        recovery_log.append(connection, "accept", network=network, name=row.name, port=row.port, **values, **words)
        after = given
    return before if before == after else None, after


def _doubt_machine(connection: Connection, network: str, name: str, taken: Settled) -> Settled | None:
    before = None
    rows = connection.execute(
        select(host_memory).where(_named_host(network, name), host_memory.c.accepted_at.is_not(None))
    )
    for row in rows.all():
        before = _accepted(row)
        nothing = {"accepted_by": None, "accepted_at": None, **claim_columns(None, "known")}
        connection.execute(update(host_memory).where(_same_host(row)).values(nothing))
        recovery_log.append(
            connection, "doubt", network=network, name=row.name, port=row.port, by=taken.by, at=taken.at
        )
    return before


def _named_host(network: str, name: str) -> ColumnElement[bool]:
    return and_(host_memory.c.network == network, host_memory.c.name == name)


def _same_host(row: Any) -> ColumnElement[bool]:
    return and_(_named_host(row.network, row.name), host_memory.c.port == row.port)


def _accepted(row: Any) -> Settled | None:
    return None if row.accepted_at is None else Settled(row.accepted_by or "", row.accepted_at)
