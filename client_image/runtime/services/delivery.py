"""Empties the outbox: leases batches, sends them, and records what the control plane answered.

Called by the daemon, again and again, and by `flageemonitor-run outbox --drain`. Whatever happens, no row is lost: a row goes
when the control plane has it, or becomes a dead letter when it will never take it. What is tried again, and when, is in
:mod:`contracts.retry`; what an answer means in :mod:`contracts.ingest`.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import msgspec
import structlog
from sqlalchemy import Connection

from contracts import retry
from contracts.ids import uuid7
from contracts.ingest import ERRORS, PATH, Failed, Ingested, Then, on_status
from contracts.text import say
from runtime.adapters.control_plane.transport import (
    Answer,
    Fetched,
    Intercepted,
    RequestRefused,
    Transport,
    Unavailable,
)
from runtime.adapters.state.outbox.delivery import (
    Lease,
    Leased,
    acknowledge,
    dead_letter,
    due,
    lease,
    note_server,
    put_back,
)
from runtime.adapters.state.outbox.limits import note_lost
from runtime.adapters.state.outbox.packing import packed
from runtime.adapters.state.outbox.status import DeliveryStatus, note_status
from runtime.adapters.state.outbox.topics import LOST
from runtime.adapters.state.store import State
from runtime.domain.background import in_background
from runtime.domain.breaker import Breaker
from runtime.domain.ports import Clock

MOST, MOST_BYTES = 500, 512 * 1024
LEASE = dt.timedelta(minutes=3)  # longer than a call may take
CALL_S = 120.0
IDLE_S = 0.5  # also what a batch waits for more rows, unless it is full
_NAMED = 5
# The server knows no such kind yet; it may after an update, which its answers show, or this asks.
NEWER_SERVER = dt.timedelta(hours=1)

log = structlog.get_logger("daemon")


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a batch. ``put_off``: of those that were ``kept``, until much later. ``trouble``: why the channel sends
    nothing now; ``again``: it is a matter of time."""

    stored: int = 0
    dead: int = 0
    kept: int = 0
    put_off: int = 0
    trouble: str = ""
    advice: str = ""
    again: bool = False
    throttled: bool = False
    retry_after: float | None = None

    def joined(self, other: Sent) -> Sent:
        worse = other if other.trouble else self
        return Sent(
            self.stored + other.stored,
            self.dead + other.dead,
            self.kept + other.kept,
            self.put_off + other.put_off,
            worse.trouble,
            worse.advice,
            worse.again,
            worse.throttled,
            worse.retry_after,
        )


@dataclass(slots=True)
class _Settled:
    """Ids of rows by what becomes of them, where that has a reason, by the reason."""

    stored: list[str] = field(default_factory=list)
    dead: dict[str, list[str]] = field(default_factory=dict)
    newer: dict[str, list[str]] = field(default_factory=dict)
    later: dict[str, list[str]] = field(default_factory=dict)
    lost: list[Leased] = field(default_factory=list)


class Delivery:
    """``connect``: makes the transport, which reads the token again for each request. ``draw``: from 0 to below 1, at random."""

    def __init__(
        self,
        state: State,
        connect: Callable[[], Transport],
        clock: Clock,
        *,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._state, self._connect, self._clock, self._draw = state, connect, clock, draw
        self._breaker = Breaker()
        self._newest_first = self._waits_for_line = False
        self._settled_rows = 0
        self._status: DeliveryStatus | None = None

    @property
    def breaker(self) -> Breaker:
        return self._breaker

    @property
    def settled(self) -> int:
        """How many rows of the last step are not due any more."""
        return self._settled_rows

    @property
    def status(self) -> DeliveryStatus | None:
        """How it went last; None before the first batch."""
        return self._status

    def line_is_up(self) -> None:
        """The control plane has answered something else: what waits only for the line is tried now. What it has asked for, a
        pause or a slower pace, still counts."""
        if self._waits_for_line:
            self._waits_for_line = False
            self._breaker = self._breaker.paused(self._clock.monotonic())

    async def deliver(self) -> float:
        """One batch, where something is due and may be sent; seconds until the next time."""
        if wait := self._breaker.wait(self._clock.monotonic()):
            return min(wait, IDLE_S)
        return await in_background(self.step)

    def step(self) -> float:
        """The same, blocking and without regard to a pause."""
        self._settled_rows = 0
        waiting = due(self._state, self._clock.now(), MOST + 1)
        if not waiting:
            return IDLE_S
        probe = self._breaker.state(self._clock.monotonic()) != "closed"
        # Newest first when it lags, so that a live view stays live; every other batch drains the backlog.
        self._newest_first = waiting > MOST and not self._newest_first
        take = partial(lease, now=self._clock.now(), lasts=LEASE, most=1 if probe else MOST, most_bytes=MOST_BYTES)
        held = self._state.write(partial(take, newest_first=self._newest_first))
        if not held.rows:
            return IDLE_S
        sent = self._send(held, held.rows)
        self._settled_rows = sent.stored + sent.dead + sent.put_off
        self._learn(sent)
        if sent.trouble:
            return min(self._breaker.wait(self._clock.monotonic()), IDLE_S)
        return 0.0 if waiting > len(held.rows) else IDLE_S

    def _send(self, held: Lease, rows: Sequence[Leased]) -> Sent:
        now = self._clock.now()
        plane = self._connect()
        body = packed(rows, held.stream)
        answer = plane.post(PATH, body, gzipped=True, correlation_id=uuid7(), now=now, within=CALL_S)
        ingested = _ingested(answer, len(rows))
        if ingested is not None:
            return self._settle(held, _settled(rows, ingested.failed), now, version=ingested.server_version)
        sent = _refused(answer, plane)
        if isinstance(answer, RequestRefused) and not answer.page and on_status(answer.status) == "halve":
            return self._halve(held, rows, answer, now)
        self._settle(held, _Settled(later={sent.trouble: [row.id for row in rows]}), now)
        return sent

    def _halve(self, held: Lease, rows: Sequence[Leased], answer: RequestRefused, now: dt.datetime) -> Sent:
        """Something in the batch cannot be read, or there is too much of it: the one that it is becomes a dead letter."""
        if len(rows) == 1:
            return self._settle(held, _Settled(dead={answer.text: [rows[0].id]}), now)
        middle = len(rows) // 2
        first = self._send(held, rows[:middle])
        if first.trouble:
            self._settle(held, _Settled(later={first.trouble: [row.id for row in rows[middle:]]}), now)
            return first
        return first.joined(self._send(held, rows[middle:]))

    def _settle(self, held: Lease, found: _Settled, now: dt.datetime, version: str = "") -> Sent:
        """In one transaction, so that a kill leaves a batch either as it was or settled. ``version``: the server's."""

        def work(connection: Connection) -> None:
            if version:
                note_server(connection, version)
            acknowledge(connection, found.stored)
            if found.lost:
                note_lost(connection, found.lost, "too_old", now)
            for why, ids in found.dead.items():
                dead_letter(connection, ids, why, now=now)
            for why, ids in found.newer.items():
                put_back(connection, held, why, next_attempt_at=now + NEWER_SERVER, ids=ids)
            for why, ids in found.later.items():
                put_back(connection, held, why, next_attempt_at=None, ids=ids)

        self._state.write(work)
        for why, ids in found.dead.items():
            log.warning("envelopes_refused", envelope_ids=ids[:_NAMED], number=len(ids), why=why)
        dead, newer, later = (sum(map(len, one.values())) for one in (found.dead, found.newer, found.later))
        return Sent(len(found.stored), dead, newer + later, newer)

    def _learn(self, sent: Sent) -> None:
        now = self._clock.monotonic()
        self._waits_for_line = sent.again and not sent.throttled and sent.retry_after is None
        if not sent.trouble:
            self._breaker = self._breaker.succeeded()
            if sent.kept and not sent.stored:  # a quota for all of them: no reason to ask at once
                self._breaker = self._breaker.paused(now + retry.pause(1, self._draw()))
        elif sent.again:
            if not sent.throttled:
                self._breaker = self._breaker.failed()
            pause = retry.pause(max(self._breaker.failures, 1), self._draw(), sent.retry_after)
            self._breaker = self._breaker.paused(now + pause)
        else:
            self._breaker = self._breaker.paused(now + retry.REFUSED_S)
        self._tell(sent)

    def _tell(self, sent: Sent) -> None:
        """In the log and for `doctor`, when it changes."""
        at, before = self._clock.now(), self._status
        state = "ok" if not sent.trouble else "waiting" if sent.again else "refused"
        breaker = self._breaker.state(self._clock.monotonic())
        if before and (before.state, before.message, before.breaker) == (state, sent.trouble, breaker):
            return
        since = before.since if before and before.state == state else at
        self._status = DeliveryStatus(state, sent.trouble, sent.advice, since, breaker)
        note_status(self._state, self._status)
        if sent.trouble:
            log.warning("delivery", state=state, message=sent.trouble, advice=sent.advice, breaker=breaker)
        elif before is None or before.state != "ok":
            log.info("delivery", state=state)


def drain(delivery: Delivery, state: State, clock: Clock) -> None:
    """Send until nothing is due, or until the control plane takes nothing; then ``delivery.status`` says why."""
    while due(state, clock.now(), 1):
        delivery.step()
        if not delivery.settled or (delivery.status and delivery.status.message):
            return


def _ingested(answer: Answer, sent: int) -> Ingested | None:
    """The answer to a batch of so many; None for one of another shape."""
    if not isinstance(answer, Fetched):
        return None
    try:
        found = msgspec.json.decode(answer.raw, type=Ingested)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    places = {one.index for one in found.failed}
    whole = found.received == sent and len(places) == len(found.failed) and found.stored == sent - len(places)
    return found if whole and all(place < sent for place in places) else None


def _settled(rows: Sequence[Leased], failed: Sequence[Failed]) -> _Settled:
    errors = {one.index: one for one in failed}
    found = _Settled()
    for place, row in enumerate(rows):
        one = errors.get(place)
        then: Then = ERRORS[one.error].then if one else "acknowledged"
        why = f"{one.error}: {one.detail}" if one and one.detail else one.error if one else ""
        match then:
            case "acknowledged":
                found.stored.append(row.id)
            case "dead":
                found.dead.setdefault(why, []).append(row.id)
            case "newer_server":
                found.newer.setdefault(why, []).append(row.id)
            case "later":
                found.later.setdefault(why, []).append(row.id)
        # A tombstone says it already: one for it would be as old, while this clock is behind, and never the last.
        if one and one.error == "too_old" and row.topic != LOST.name:
            found.lost.append(row)
    return found


def _refused(answer: Answer, plane: Transport) -> Sent:
    """What an answer that settles nothing means for the channel."""
    advice = plane.advice(answer)
    match answer:
        case Unavailable(status=status):
            again = retry.again(None if status == 200 else status)  # 200: the answer was cut
            return Sent(
                trouble=answer.reason,
                advice=advice,
                again=again,
                throttled=status == 429,
                retry_after=answer.retry_after,
            )
        case RequestRefused():
            return Sent(trouble=answer.text, advice=advice, retry_after=answer.retry_after)
        case Intercepted():
            return Sent(trouble=answer.reason, advice=advice)
    text = say("the control plane's answer is not the one of this channel")
    return Sent(trouble=text, advice=advice)
