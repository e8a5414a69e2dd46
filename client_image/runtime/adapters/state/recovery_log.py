"""A small second file beside the database, for what a damaged database must not take with it: the agent's id, pinned keys,
which shared keys were accepted, and whose machine was accepted as what it says that it is.

``keepsake.jsonl`` is only ever appended to, one JSON object a line, on disk just before the database commits the same. A new
database starts with what it says. When a damaged database had no readable log, the keys are truly lost: then a host without
a pinned key is not trusted on first use until an operator has confirmed that (``first_use_blocked`` in the table ``meta``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert

from contracts.bounded import read_json
from contracts.text import Text, plural, recognised, say
from runtime.adapters.state.codec import dumps
from runtime.adapters.state.files import append_durably, read_plain
from runtime.adapters.state.outbox.put import event, put
from runtime.adapters.state.outbox.topics import STATE_REPLACED
from runtime.adapters.state.tables import host_keys, host_memory, meta, settled_keys

FILE = "keepsake.jsonl"
MAX_BYTES = 64 * 1024 * 1024
FIRST_USE_BLOCKED = "first_use_blocked"
_PENDING = "recovery_log"
_KEY = ("network", "name", "port", "key", "fingerprint", "first_seen", "asked")
_KNOWN = ("known_hostname", "known_machine_id", "known_store", "known_terminal")
_ACCEPTED = ("network", "name", "port", "accepted_by", *_KNOWN)

Place = tuple[str, str, int]


@dataclass(slots=True)
class Recovered:
    """``keys``: (network, name, port) -> columns of the pinned key; ``settled``: (network, fingerprint) -> columns of the
    acceptance; ``machines``: (network, name, port) -> columns of what was accepted of a host's machine. ``complete``: the file
    was there, every line readable."""

    agent_id: str | None = None
    keys: dict[Place, dict[str, Any]] = field(default_factory=dict)
    settled: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    machines: dict[Place, dict[str, Any]] = field(default_factory=dict)
    complete: bool = False


def append(connection: Connection, event: str, **fields: Any) -> None:
    """Have a line written when this transaction commits."""
    connection.info.setdefault(_PENDING, []).append(dumps({"event": event, **fields}))


def flush(connection: Connection, folder: Path) -> None:
    """Called by the database just before a commit. Raises OSError, and then nothing is committed.

    The line feed in front ends a line that a power cut left open.
    """
    lines = connection.info.pop(_PENDING, [])
    if lines:
        append_durably(folder / FILE, ("\n" + "\n".join(lines) + "\n").encode())


def drop(connection: Connection) -> None:
    """Called by the database at a rollback."""
    connection.info.pop(_PENDING, None)


def read(folder: Path) -> Recovered:
    found = Recovered()
    try:
        lines = read_plain(folder / FILE, MAX_BYTES).splitlines()
    except FileNotFoundError:
        return found
    found.complete = True
    for line in lines:
        if line.strip():
            found.complete &= _replay(found, line)
    return found


def restore(connection: Connection, folder: Path, *, damaged: bool, notice: str, now: dt.datetime) -> list[str]:
    """Fill a new database. Returns what an operator must be told; the control plane is told through the outbox."""
    found = read(folder)
    notices: list[str] = []
    if found.agent_id:
        connection.execute(insert(meta), {"key": "agent_id", "value": found.agent_id})
    if found.keys:
        connection.execute(insert(host_keys), list(found.keys.values()))
        notices.append(
            plural(
                "{n} pinned host key was restored from {file}.",
                "{n} pinned host keys were restored from {file}.",
                len(found.keys),
                file=folder / FILE,
            )
        )
    if found.settled:
        connection.execute(insert(settled_keys), list(found.settled.values()))
    if found.machines:
        connection.execute(insert(host_memory), list(found.machines.values()))
    if not found.complete and (damaged or found.keys or found.agent_id):
        text = _loss(folder / FILE)
        connection.execute(insert(meta), {"key": FIRST_USE_BLOCKED, "value": text})
        notices.append(
            say(
                "{problem}: hosts without a pinned key are refused until `flageemonitor-run hosts rekey --all` confirms it.",
                problem=text,
            )
        )
    if damaged or notices:
        told = {"kind": STATE_REPLACED.name, "notices": [notice, *notices]}
        put(connection, [event(STATE_REPLACED, told, now)])
    return notices


def loss_in(stored: str) -> str:
    """The sentence that is kept as FIRST_USE_BLOCKED, so that it can be shown in another language."""
    return recognised(stored, (_loss(""),))


def _loss(file: Path | str) -> Text:
    return say("pinned host keys were lost with the database; {file} is missing or damaged", file=file)


def _port(event: Mapping[str, Any]) -> int:
    port = event["port"]
    if not isinstance(port, int):
        raise TypeError("a port is a number")
    return port


def _replay(found: Recovered, line: bytes) -> bool:
    try:
        event = read_json(line)
        kind = event.pop("event")
        if kind == "agent_id":
            found.agent_id = str(event["agent_id"])
        elif kind == "pin":
            key = {**event, "port": _port(event), "first_seen": dt.datetime.fromisoformat(event["first_seen"])}
            key["asked"] = event.get("asked") is True  # not in the lines of releases that did not ask
            found.keys[key["network"], key["name"], key["port"]] = {column: key[column] for column in _KEY}
        elif kind == "retire":
            place = (event["network"], event["name"], _port(event))
            found.keys.pop(place, None)
            found.machines.pop(place, None)
        elif kind == "accept":
            found.machines[event["network"], event["name"], _port(event)] = {
                **{column: event[column] for column in _ACCEPTED},
                "accepted_at": dt.datetime.fromisoformat(event["accepted_at"]),
            }
        elif kind == "doubt":
            found.machines.pop((event["network"], event["name"], _port(event)), None)
        elif kind == "settle":
            settled_at = dt.datetime.fromisoformat(event["settled_at"])
            found.settled[event["network"], event["fingerprint"]] = {
                **{column: event[column] for column in ("network", "fingerprint", "settled_by", "image_names")},
                "settled_at": settled_at,
            }
        elif kind == "unsettle":
            found.settled.pop((event["network"], event["fingerprint"]), None)
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
    return True
