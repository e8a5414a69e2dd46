"""How agents are, by what they said last. Called by :mod:`server.api.heartbeat`, and by commands that list agents."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from contracts.heartbeat import LATE, OFFLINE, Answer, Report
from contracts.visible import visible
from server.services.agents.leases import take_turn
from server.storage.models import AgentReport, Stream
from server.storage.upserts import insert_into
from server.version import VERSION

State = Literal["never", "online", "late", "offline", "retired"]
# Two instances that take turns so often are two at work, and no restart; until one was silent for so many intervals.
_TURNS, _QUIET = 2, 3


@dataclass(frozen=True, slots=True)
class Instances:
    """``instance`` spoke last, ``other`` before it; they have taken ``changes`` turns, the last one at ``changed_at``."""

    instance: str
    other: str | None
    changes: int
    changed_at: dt.datetime


def state_at(
    now: dt.datetime, *, seen_at: dt.datetime | None, interval_s: int, retired_at: dt.datetime | None
) -> State:
    if retired_at is not None:
        return "retired"
    if seen_at is None:
        return "never"
    silent = (now - seen_at).total_seconds() / interval_s
    return "online" if silent < LATE else "late" if silent < OFFLINE else "offline"


def speaks(before: Instances | None, instance: str, now: dt.datetime, interval_s: int) -> tuple[Instances, bool]:
    """What is known after ``instance`` spoke, and whether two are at work. A daemon that starts again never comes back as the one
    that it was."""
    if before is None:
        return Instances(instance, None, 0, now), False
    since = (now - before.changed_at).total_seconds() / interval_s
    if instance == before.instance:
        after = replace(before, changes=0) if since >= _QUIET else before
    elif instance == before.other:
        after = Instances(instance, before.instance, before.changes + 1 if since < OFFLINE else 1, now)
    else:
        after = Instances(instance, before.instance, 0, now)
    return after, after.changes >= _TURNS


def two_at_work(changes: int, changed_at: dt.datetime, now: dt.datetime, interval_s: int) -> bool:
    """Whether two instances of an agent were at work just now, as far as was told."""
    return changes >= _TURNS and (now - changed_at).total_seconds() / interval_s < OFFLINE


def take_report(
    session: Session, agent: str, network_id: int, report: Report, text: str, now: dt.datetime, interval_s: int
) -> Answer | None:
    """Keep the report; None when two instances of the agent are at work. ``agent``: id of its row; ``text``: the report."""
    row = session.execute(select(AgentReport).where(AgentReport.agent == agent).with_for_update()).scalar_one_or_none()
    before = Instances(row.instance, row.other_instance, row.changes, row.changed_at) if row else None
    after, doubled = speaks(before, report.instance_id.lower(), now, interval_s)
    now_ms = int(now.timestamp() * 1000)
    values: dict[str, Any] = {
        "instance": after.instance,
        "other_instance": after.other,
        "changes": after.changes,
        "changed_at": after.changed_at,
        "seen_at": now,
        "interval_s": interval_s,
        # A clock of the year 292 million is as wrong as one of the year 3000.
        "clock_ms": max(-(2**53), min(2**53, report.clock_unix_ms - now_ms)),
        "version": visible(report.version)[:255],
        "report": text,
    }
    turn = None
    if report.schedule is not None and not doubled:  # while there are two, the lease of neither is renewed
        turn, values["schedule"] = take_turn(session, network_id, agent, report.schedule, now, interval_s)
    elif report.schedule is None:
        values["schedule"] = None
    insert = insert_into(session, AgentReport)
    session.execute(insert.on_conflict_do_update(index_elements=["agent"], set_=values), {"agent": agent, **values})
    if doubled:
        return None
    stream = report.outbox.stream if report.outbox else None
    return Answer(
        now_ms, interval_s, highest_seq=_highest(session, agent, stream), server_version=VERSION, schedule=turn
    )


def _highest(session: Session, agent: str, stream: str | None) -> int | None:
    if stream is None:
        return None
    mine = (Stream.agent == agent, Stream.stream == uuid.UUID(stream))
    return session.scalar(select(Stream.highest_seq).where(*mine))


def read_report(raw: bytes) -> tuple[Report, str]:
    """The report, and its text. Raises ValueError (msgspec's, too) for what is none."""
    try:
        return msgspec.json.decode(raw, type=Report), raw.decode()
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from None
