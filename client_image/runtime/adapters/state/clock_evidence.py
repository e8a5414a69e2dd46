"""Keeps what is known of the right time, and judges the clock by it. Called before retention, disruptive runs and doctor's views.

Two rows of ``meta``: ``clock_believed`` moves on with the clock only while that is trusted, so that a clock which is wrong cannot
become its own witness; ``clock_plane`` is the control plane's time at the last contact.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.sqlite import insert as upsert

from runtime.adapters.boot import boot_id
from runtime.adapters.state.codec import dumps, loads
from runtime.adapters.state.outbox.put import newest_row
from runtime.adapters.state.store import State
from runtime.adapters.state.tables import daemon_status, meta, runs
from runtime.domain.ports import Clock
from runtime.domain.time.clock_trust import SETTLING, Evidence, Known, Reading, Trust, Trusted, judge, jumped

BELIEVED, PLANE = "clock_believed", "clock_plane"
# A moment that is believed is written down at most so often while the machine runs on.
_EVERY_S = 600.0


def read_clocks(clock: Clock) -> Reading:
    """Both clocks now, and which start of the machine they belong to."""
    return Reading(clock.now(), clock.monotonic(), boot_id())


def assess(
    state: State, reading: Reading, built: dt.datetime | None = None, *, note: bool = True, zone: dt.tzinfo = dt.UTC
) -> Trust:
    """The judgement; ``note`` writes down what later ones need; ``zone``: of its sentences. Raises StateUnavailable. Blocks."""
    with state.read() as connection:
        evidence = _evidence(connection, built)
    trust = judge(evidence, reading, zone)
    if note and (change := _change(evidence, reading, trust)) is not None:
        state.write(lambda connection: _keep(connection, BELIEVED, change))
    return trust


def note_plane_time(state: State, told: dt.datetime | None, reading: Reading) -> None:
    """Remember the time that the control plane gave with its answer, and when that was. Blocks."""
    if told is not None:
        known = _as_json(Known(told, reading.monotonic, reading.boot))
        state.write(lambda connection: _keep(connection, PLANE, known))


class ClockJudge:
    """The judgement of this proxy's clock, for those who ask again and again. All methods block and raise StateUnavailable.

    ``built_at``: when this image was made, None outside one. ``zone``: of the sentences.
    """

    def __init__(
        self, state: State, clock: Clock, built_at: dt.datetime | None = None, zone: dt.tzinfo = dt.UTC
    ) -> None:
        self._state, self._clock, self._built_at, self._zone = state, clock, built_at, zone

    def judge(self, *, note: bool = True) -> Trust:
        """Whether the clock may be believed now; ``note``: for later judgements too."""
        return assess(self._state, read_clocks(self._clock), self._built_at, note=note, zone=self._zone)

    def note_plane_time(self, told: dt.datetime | None) -> None:
        """The control plane has just answered with this time."""
        note_plane_time(self._state, told, read_clocks(self._clock))


def _change(evidence: Evidence, reading: Reading, trust: Trust) -> dict[str, Any] | None:
    believed = evidence.believed
    if not isinstance(trust, Trusted):
        if believed is not None or evidence.newest is None:
            return None
        # Before rows of this clock come and make it look right: what was the newest until now.
        return _as_json(Known(evidence.newest, 0.0, ""))
    moved = jumped(evidence, reading)
    recent = (
        believed is not None and believed.boot == reading.boot and reading.monotonic - believed.monotonic < _EVERY_S
    )
    if recent and not moved:
        return None
    settled = reading.wall + SETTLING if moved else evidence.settled
    return {**_as_json(Known(reading.wall, reading.monotonic, reading.boot)), "settled": settled}


def _evidence(connection: Connection, built: dt.datetime | None) -> Evidence:
    wanted = select(meta.c.key, meta.c.value).where(meta.c.key.in_((BELIEVED, PLANE)))
    rows: dict[str, str] = dict(connection.execute(wanted).all())
    kept = _mapping(rows.get(BELIEVED))
    believed, plane = _known(kept), _known(_mapping(rows.get(PLANE)))
    newest = None if believed else _newest(connection)
    return Evidence(believed, plane, newest, built, _instant(kept.get("settled")))


def _newest(connection: Connection) -> dt.datetime | None:
    asked = (select(func.max(runs.c.started_at)), newest_row(), select(daemon_status.c.heartbeat_at))
    moments = connection.execute(select(*(one.scalar_subquery().label(f"m{n}") for n, one in enumerate(asked)))).one()
    return max((moment for moment in moments if moment is not None), default=None)


def _keep(connection: Connection, key: str, value: dict[str, Any]) -> None:
    text = dumps(value)
    row = upsert(meta).values(key=key, value=text)
    connection.execute(row.on_conflict_do_update(index_elements=[meta.c.key], set_={"value": text}))


def _as_json(known: Known) -> dict[str, Any]:
    return {"instant": known.instant, "monotonic": known.monotonic, "boot": known.boot}


def _known(content: dict[str, Any]) -> Known | None:
    instant = _instant(content.get("instant"))
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return Known(instant, 1.0 * content["monotonic"], str(content["boot"])) if instant else None
    return None


def _mapping(text: str | None) -> dict[str, Any]:
    content = loads(text)
    return content if isinstance(content, dict) else {}


def _instant(text: object) -> dt.datetime | None:
    with contextlib.suppress(ValueError, OverflowError):
        instant = dt.datetime.fromisoformat(str(text))
        return instant.astimezone(dt.UTC) if instant.tzinfo else None
    return None
