"""Which planned instants of a job wait, and which were started: durable, so that no instant is started twice. For the daemon.

The note in ``job_fires`` is a mark that moves on, and is put back after a clock that ran ahead; a row here stays, so that the
same instant coming again finds that it was started. Old rows go by number and never by age: no clock can remove them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from enum import StrEnum

from sqlalchemy import ColumnElement, Connection, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from runtime.adapters.state.meta import fire_noted
from runtime.adapters.state.store import State
from runtime.adapters.state.tables import job_fires, job_starts

WAITING, STARTED = "waiting", "started"
# Rows of one job: a disruptive one that runs every minute is remembered for 48 days, one that runs every night for years.
KEPT, KEPT_DISRUPTIVE = 2_000, 70_000


class Claim(StrEnum):
    """What became of a planned instant that is due."""

    WAITS = "waits"
    NOT_OURS = "not_ours"  # noted by somebody else, or over
    STARTED_BEFORE = "started_before"


def claim(state: State, job_id: str, planned: dt.datetime, effect: str, now: dt.datetime) -> Claim:
    """Note the instant and have it wait for its turn, in one transaction: only one caller gets WAITS. Blocks."""
    row = {"job_id": job_id, "planned_at": planned, "state": WAITING, "effect": effect, "changed_at": now}

    def work(connection: Connection) -> Claim:
        if not fire_noted(connection, job_id, planned):
            return Claim.NOT_OURS
        if connection.execute(upsert(job_starts).on_conflict_do_nothing(), row).rowcount:
            return Claim.WAITS
        found = connection.scalar(select(job_starts.c.state).where(*_same_start(job_id, planned)))
        return Claim.STARTED_BEFORE if found == STARTED else Claim.WAITS

    return state.write(work)


def begin(state: State, job_id: str, planned: dt.datetime, run_id: str, now: dt.datetime) -> bool:
    """True for the one caller that may start it now. Blocks until that is durable: a killed daemon starts nothing twice."""
    return _move(state, job_id, planned, WAITING, {"state": STARTED, "run_id": run_id, "changed_at": now})


def give_back(state: State, job_id: str, planned: dt.datetime, run_id: str, now: dt.datetime) -> bool:
    """It certainly did not begin, so it waits again. Blocks."""
    with_run = {"state": WAITING, "run_id": None, "changed_at": now}
    return _move(state, job_id, planned, STARTED, with_run, job_starts.c.run_id == run_id)


def drop(state: State, job_id: str, planned: dt.datetime) -> bool:
    """It does not wait any more, and was not started. True for one caller. Blocks."""
    statement = delete(job_starts).where(*_same_start(job_id, planned), job_starts.c.state == WAITING)
    return state.write(lambda connection: connection.execute(statement).rowcount > 0)


def started(state: State, job_id: str, planned: dt.datetime) -> bool:
    """Whether it was started at any time."""
    with state.read() as connection:
        return connection.scalar(select(job_starts.c.state).where(*_same_start(job_id, planned))) == STARTED


def any_started(state: State) -> bool:
    """Whether a job was ever started here."""
    with state.read() as connection:
        return connection.scalar(select(job_starts.c.id).where(job_starts.c.state == STARTED).limit(1)) is not None


def waiting(state: State) -> list[tuple[str, dt.datetime]]:
    """Job and planned instant of what was due and not started, also by a daemon that is gone."""
    with state.read() as connection:
        wanted = select(job_starts.c.job_id, job_starts.c.planned_at).where(job_starts.c.state == WAITING)
        return [(row.job_id, row.planned_at) for row in connection.execute(wanted)]


def show_older_releases(state: State) -> None:
    """Put the mark of each job before what waits last, where nothing was started after that. Blocks.

    For the release that may take this one's place: it knows only the mark, and finds such an instant due again. This release
    finds its row as well and starts nothing twice.
    """

    def work(connection: Connection) -> None:
        last = func.max(job_starts.c.planned_at, type_=job_starts.c.planned_at.type)
        found: dict[str, dict[str, dt.datetime]] = {}
        for row in connection.execute(
            select(job_starts.c.job_id, job_starts.c.state, last.label("last")).group_by(
                job_starts.c.job_id, job_starts.c.state
            )
        ):
            found.setdefault(row.job_id, {})[row.state] = row.last
        for job_id, marks in found.items():
            waits, begun = marks.get(WAITING), marks.get(STARTED)
            if waits is not None and (begun is None or waits > begun):
                before = waits - dt.timedelta(microseconds=1)
                connection.execute(update(job_fires).where(job_fires.c.job_id == job_id).values(planned_at=before))

    state.write(work)


def shorten(connection: Connection, kept: int = KEPT, kept_disruptive: int = KEPT_DISRUPTIVE) -> int:
    """Remove the oldest rows of each job that has too many. Part of the daemon's maintenance."""
    removed = 0
    grouped = select(job_starts.c.job_id, job_starts.c.effect, func.count().label("number"))
    counted = grouped.where(job_starts.c.state == STARTED).group_by(job_starts.c.job_id, job_starts.c.effect)
    for row in connection.execute(counted).all():
        job_id, effect = row.job_id, row.effect
        excess = row.number - (kept_disruptive if effect == "disrupt" else kept)
        if excess > 0:
            of_job = (job_starts.c.job_id == job_id, job_starts.c.effect == effect, job_starts.c.state == STARTED)
            oldest = select(job_starts.c.id).where(*of_job).order_by(job_starts.c.id).limit(excess)
            removed += connection.execute(delete(job_starts).where(job_starts.c.id.in_(oldest))).rowcount
    return removed


def _move(
    state: State,
    job_id: str,
    planned: dt.datetime,
    before: str,
    values: Mapping[str, object],
    *more: ColumnElement[bool],
) -> bool:
    statement = (
        update(job_starts).where(*_same_start(job_id, planned), job_starts.c.state == before, *more).values(values)
    )
    return state.write(lambda connection: connection.execute(statement).rowcount > 0)


def _same_start(job_id: str, planned: dt.datetime) -> tuple[ColumnElement[bool], ...]:
    return job_starts.c.job_id == job_id, job_starts.c.planned_at == planned
