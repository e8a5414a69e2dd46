"""Tells the control plane how this proxy is, and learns what it should know. The latest report counts; none is ever queued.

A folder that was restored from a backup gives numbers that were given before: the answer shows it, and a new stream begins.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec
import structlog
from sqlalchemy import Connection

from contracts import retry
from contracts.heartbeat import INTERVAL_S, PATH, Answer, Configuration, Outbox, Report
from contracts.ids import uuid7
from contracts.text import say
from runtime.adapters.build import Build
from runtime.adapters.config_store import ConfigStore
from runtime.adapters.control_plane.transport import Fetched, RequestRefused, Transport
from runtime.adapters.deployment_notes import read_notes
from runtime.adapters.state.outbox.delivery import begin_stream, last_seq, stream_of
from runtime.adapters.state.outbox.limits import count_outbox
from runtime.adapters.state.runs import live_runs
from runtime.adapters.state.store import State
from runtime.domain.background import in_background
from runtime.domain.errors import RunError
from runtime.domain.ports import Clock
from runtime.services.schedule_keeper import ScheduleKeeper

CALL_S = 30.0
_RUNS, _LETTERS = 50, 1000
log = structlog.get_logger("daemon")


@dataclass(frozen=True, slots=True)
class Parts:
    """What is asked for each report. ``trouble``: why services do not do their duty; ``breakers``: destination to state."""

    state: State
    store: ConfigStore
    clock: Clock
    build: Build | None
    poll_seconds: int | None
    trouble: Callable[[], Sequence[str]]
    breakers: Callable[[], Mapping[str, str]]


class StatusReport:
    """``connect``: makes the transport. ``hold``: is told why no job may start, which is while the control plane sees two
    instances of this agent at work; empty when it sees one. ``keeper``: is told what the answers say of the schedule."""

    def __init__(
        self,
        parts: Parts,
        connect: Callable[[], Transport],
        hold: Callable[[str], None],
        keeper: ScheduleKeeper,
        answered: Callable[[], None] = lambda: None,
    ) -> None:
        self._parts, self._connect, self._hold, self._keeper = parts, connect, hold, keeper
        self._answered = answered
        self._instance, self._began = uuid7(), parts.clock.monotonic()
        self._was = ""
        self._asked = False

    @property
    def asked(self) -> bool:
        """Whether a first report was tried. Until then nothing should be delivered: its answer says whether the numbers of this
        folder's rows were given before."""
        return self._asked

    async def send(self) -> float:
        """One report; seconds until the next."""
        try:
            return await in_background(self._send)
        finally:
            self._asked = True

    def _send(self) -> float:
        now = self._parts.clock.now()
        report = self._report(now)
        body = msgspec.json.encode(report)
        plane, asked = self._connect(), self._keeper.now()
        answer = plane.post(PATH, body, gzipped=False, correlation_id=uuid7(), now=now, within=CALL_S)
        said = _read(answer.raw) if isinstance(answer, Fetched) else None
        if isinstance(answer, RequestRefused):
            if answer.status == 409 and not answer.page:
                self._hold(answer.text)
                self._keeper.doubled(answer.text)
            elif not answer.page and not retry.again(answer.status):
                self._keeper.refused()
        if said is None:
            self._tell(_why(answer), plane.advice(answer))
            # Nothing is repeated: the next report is another one. Its answer shows that the line is up; what waits leaves then.
            return max(1.0 * INTERVAL_S, retry.pause(0, 0.0, getattr(answer, "retry_after", None)))
        self._keeper.heard(said.schedule, asked)
        self._answered()
        self._hold("")
        self._tell("", "")
        if said.highest_seq is not None:
            # Nothing was delivered since a first report was made, whatever was written meanwhile.
            given = None if self._asked or report.outbox is None else report.outbox.highest_seq
            self._parts.state.write(partial(_take_highest, said.highest_seq, given))
        return float(said.interval_s)

    def _report(self, now: dt.datetime) -> Report:
        parts = self._parts
        notes = read_notes(parts.state.folder, now, parts.poll_seconds)
        return Report(
            instance_id=self._instance,
            clock_unix_ms=max(0, int(now.timestamp() * 1000)),
            version=parts.build.version[:255] if parts.build else "",
            build=parts.build.revision[:255] if parts.build else "",
            image_digest=notes.running_digest[:255] or None,
            tag_digest=notes.tag_digest[:255] or None,
            uptime_s=max(0, int(parts.clock.monotonic() - self._began)),
            configuration=Configuration(etag=self._etag()),
            outbox=_outbox(parts.state, now),
            runs=[run.run_id[:255] for run in live_runs(parts.state.folder)][:_RUNS],
            breakers=dict(parts.breakers()),
            trouble=[text[:_LETTERS] for text in parts.trouble()],
            schedule=self._keeper.basis,
            disk_free=shutil.disk_usage(parts.state.folder).free,
            load=round(os.getloadavg()[0], 2),
        )

    def _etag(self) -> str | None:
        try:
            return self._parts.store.load().etag
        except RunError:
            return None

    def _tell(self, why: str, advice: str) -> None:
        """In the log when it changes: what cannot deliver says so as well."""
        if why != self._was:
            if why:
                log.warning("status_report", message=why, advice=advice)
            else:
                log.info("status_report", message="the control plane is told again how this proxy is")
        self._was = why


def _outbox(state: State, now: dt.datetime) -> Outbox:
    with state.read() as connection:
        counts, stream, seq = count_outbox(connection), stream_of(connection), last_seq(connection)
    oldest = counts.oldest_waiting
    return Outbox(
        stream=stream,
        highest_seq=seq,
        waiting=counts.waiting,
        dead=counts.dead,
        dropped=counts.dropped,
        oldest_s=max(0, int((now - oldest).total_seconds())) if oldest else None,
    )


def _take_highest(stored: int, given: int | None, connection: Connection) -> None:
    """``given``: the number that was given last when nothing had been delivered yet; None for the one of now."""
    if stored > (last_seq(connection) if given is None else given):
        log.warning(
            "stream_begun", message="this data folder was restored from a backup", stream=begin_stream(connection)
        )


def _read(raw: bytes) -> Answer | None:
    try:
        return msgspec.json.decode(raw, type=Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _why(answer: object) -> str:
    if isinstance(answer, RequestRefused):
        return answer.text
    return getattr(answer, "reason", "") or say("the control plane's answer is not the one of this channel")
