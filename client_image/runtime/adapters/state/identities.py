"""What machines said of themselves, beside their pinned keys. Implements IdentityBook for process_one.

What a machine that may be the wrong one says is stored apart (``said_…``) from what the right one is known by (``known_…``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    ScalarSelect,
    Select,
    and_,
    bindparam,
    func,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert as upsert

from contracts.bounded import read_json
from runtime.adapters.state.codec import dumps, loads, stored_name
from runtime.adapters.state.prepared import PreparedInsert, PreparedQuery
from runtime.adapters.state.store import State
from runtime.adapters.state.tables import host_keys, host_memory, settled_keys
from runtime.domain.identity import FEW, Claim, Finding, IdentityRecord, Note, Settled, note_of
from runtime.domain.model import Host
from runtime.domain.ports import Clock

_CHUNK = 500
_LISTED = 8  # names that come with the first answer: those that are few come whole
_WORDS = ("hostname", "machine_id", "store", "terminal")  # of a Claim
_COLUMNS = (
    *(f"known_{word}" for word in _WORDS),
    *(f"said_{word}" for word in _WORDS),
    "identity_note",
    "accepted_by",
    "accepted_at",
)
_PLACE = ("network", "name", "port")

_key, _memory = host_keys.alias("k"), host_memory.alias("m")
_own_key, _other_key, _other = host_keys.alias("own"), host_keys.alias("ok"), host_memory.alias("om")
_ELSEWHERE = and_(_other.c.network == bindparam("network"), _other.c.name != bindparam("name"))


def _is_pinned(key: FromClause) -> ColumnElement[bool]:
    return and_(*(key.c[column] == bindparam(column) for column in _PLACE), key.c.retired_at.is_(None))


_SAME_KEY = select(_other_key.c.name).where(
    _other_key.c.network == bindparam("network"),
    _other_key.c.name != bindparam("name"),
    _other_key.c.fingerprint == select(_own_key.c.fingerprint).where(_is_pinned(_own_key)).scalar_subquery(),
    _other_key.c.retired_at.is_(None),
)
_KEYS_OF = select(_other_key.c.name, _other_key.c.fingerprint).where(
    _other_key.c.network == bindparam("network"),
    _other_key.c.name.in_(bindparam("suspects", expanding=True)),
    _other_key.c.retired_at.is_(None),
)
_SAME_ID_KNOWN = select(_other.c.name).where(_ELSEWHERE, _other.c.known_machine_id == bindparam("machine_id"))
_SAME_ID_MET = select(_other.c.name).where(_ELSEWHERE, _other.c.said_machine_id == bindparam("machine_id"))
_SAME_NAME_MET = select(_other.c.name).where(_ELSEWHERE, _other.c.said_hostname == bindparam("hostname"))


def _first(names: Select[Any]) -> ScalarSelect[Any]:
    """The first few names as a JSON list."""
    return select(func.json_group_array(names.limit(_LISTED).subquery("few").c.name)).scalar_subquery()


# One query for a host of which no more than a few others have the same key, id or name; only the rest are asked about further.
_AROUND = PreparedQuery(
    select(
        _key.c.fingerprint,
        _key.c.asked,
        *(_memory.c[column] for column in _COLUMNS),
        settled_keys.c.settled_by,
        settled_keys.c.settled_at,
        settled_keys.c.image_names,
        _first(_SAME_KEY).label("same_key"),
        _first(_SAME_ID_KNOWN).label("same_id_known"),
        _first(_SAME_ID_MET).label("same_id_met"),
        _first(_SAME_NAME_MET).label("same_name_met"),
    )
    .select_from(_key)
    .outerjoin(_memory, and_(*(_memory.c[column] == _key.c[column] for column in _PLACE)))
    .outerjoin(
        settled_keys,
        and_(
            settled_keys.c.network == _key.c.network,
            settled_keys.c.fingerprint == _key.c.fingerprint,
            settled_keys.c.undone_at.is_(None),
        ),
    )
    .where(_is_pinned(_key))
)
_insert = upsert(host_memory)
_REMEMBER = PreparedInsert(
    _insert.on_conflict_do_update(
        index_elements=[host_memory.c[column] for column in _PLACE],
        set_={column: _insert.excluded[column] for column in _COLUMNS if not column.startswith("accepted_")},
    )
)


class SqlIdentities:
    """Raises StateUnavailable."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._state, self._clock = state, clock

    async def record(
        self, host: Host, claim: Claim, *, other: Callable[[str], bool], named: frozenset[str], suspects: frozenset[str]
    ) -> IdentityRecord:
        asked = {**place_of(host), "machine_id": claim.machine_id, "hostname": claim.hostname}
        row = self._state.one(_AROUND, asked)  # by index, well under a millisecond: not worth a thread
        if row is None:
            return IdentityRecord()

        def few(listed: str, query: Select[Any], number: int, unless: frozenset[str] = frozenset()) -> tuple[str, ...]:
            """Read no further than needed: in a cloned fleet thousands answer, elsewhere nobody."""
            if listed == "[]":
                return ()
            first = read_json(listed)
            found = _some(first, number, lambda name: name not in unless and other(name))
            if len(found) == number or len(first) < _LISTED:
                return found
            with self._state.read() as connection, connection.execute(query, asked) as names:
                return _some(names.scalars(), number, lambda name: name not in unless and other(name))

        same_key = few(row.same_key, _SAME_KEY, FEW + 1)
        return IdentityRecord(
            fingerprint=row.fingerprint,
            remembered=claim_in(row, "known"),
            accepted=row.accepted_at is not None,
            # One that was asked, and is known by nothing, was in doubt each time.
            unasked=not row.asked and (row.said_hostname is None or row.known_hostname is not None),
            same_key=same_key,
            rivals=self._rivals({**asked, "fingerprint": row.fingerprint}, suspects) if same_key and suspects else (),
            same_machine_id=few(row.same_id_known, _SAME_ID_KNOWN, 2) if claim.machine_id else (),
            id_seen_at=few(row.same_id_met, _SAME_ID_MET, 2) if claim.machine_id else (),
            namesakes=few(row.same_name_met, _SAME_NAME_MET, 2, named) if claim.hostname and same_key else (),
            settled=settled_of(row),
            said=claim_in(row, "said"),
            note=note_in(row.identity_note),
        )

    async def remember(
        self, host: Host, claim: Claim, finding: Finding, record: IdentityRecord, *, at_once: bool
    ) -> None:
        said = replace(claim, hostname=stored_name(claim.hostname))
        known = said.filled(record.remembered) if finding.clear else record.remembered
        note = note_of(finding, record.note)
        if (record.remembered, record.said, record.note) == (known, said, note):
            return
        values = {
            **place_of(host),
            **claim_columns(known, "known"),
            **claim_columns(said, "said"),
            "identity_note": dumps({"kind": note.kind, "text": note.text, "at": self._clock.now()}) if note else None,
        }
        if at_once:
            await self._state.awrite_item(_remember, values)
        else:
            self._state.hold_item(_remember, values)

    def _rivals(self, asked: Mapping[str, Any], suspects: frozenset[str]) -> tuple[str, ...]:
        """The suspects that have the key, or none that is known yet: such a one may have it as well."""
        names = sorted(suspects - {asked["name"]})
        found: list[str] = []
        for start in range(0, len(names), _CHUNK):
            chunk = names[start : start + _CHUNK]
            keys: dict[str, set[str]] = {}
            with self._state.read() as connection:
                for row in connection.execute(_KEYS_OF, {"network": asked["network"], "suspects": chunk}):
                    keys.setdefault(row.name, set()).add(row.fingerprint)
            found += [name for name in chunk if name not in keys or asked["fingerprint"] in keys[name]]
            if len(found) > FEW:
                break
        return tuple(found[: FEW + 1])


def forget(connection: Connection, network: str, name: str) -> None:
    """What a host's machine said, on all its ports. Called when its key is retired: the next one may be another machine."""
    named = and_(host_memory.c.network == network, host_memory.c.name == name.lower())
    connection.execute(update(host_memory).where(named).values(dict.fromkeys(_COLUMNS)))


def claim_in(row: Any, kind: Literal["known", "said"]) -> Claim | None:
    """What a row of host_memory holds of this kind; None where the machine was never asked."""
    hostname, machine_id, store, terminal = (getattr(row, f"{kind}_{word}") for word in _WORDS)
    return None if hostname is None else Claim(hostname, machine_id or "", store, terminal)


def claim_columns(claim: Claim | None, kind: Literal["known", "said"]) -> dict[str, Any]:
    return {f"{kind}_{word}": getattr(claim, word) if claim else None for word in _WORDS}


def settled_of(row: Any) -> Settled | None:
    """The acceptance in a row that has the columns of settled_keys, or None."""
    if row.settled_at is None:
        return None
    return Settled(row.settled_by, row.settled_at, frozenset(loads(row.image_names) or ()))


def note_in(text: str | None) -> Note | None:
    found = loads(text)
    return Note(found.get("kind", ""), str(found.get("text", ""))) if isinstance(found, dict) else None


def _some(names: Iterable[str], number: int, counts: Callable[[str], bool]) -> tuple[str, ...]:
    """The first different names that count."""
    found: dict[str, None] = {}
    for name in names:
        if counts(name):
            found[name] = None
        if len(found) == number:
            break
    return tuple(found)


def _remember(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    _REMEMBER.execute(connection, rows)


def place_of(host: Host) -> dict[str, Any]:
    """The columns that tell hosts apart in ``host_keys`` and ``host_memory``."""
    return {"network": host.network, "name": host.name.lower(), "port": host.port}
