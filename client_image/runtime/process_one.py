"""One host: the gates in their order, then the action. Every path ends in exactly one HostResult; errors become outcomes here.

Called by :mod:`runtime.engine.fan_out` through :mod:`runtime.engine.run`, once for every selected host.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from runtime.domain.action import Stage
from runtime.domain.errors import HostError, RunError
from runtime.domain.facts import Facts
from runtime.domain.identity import EntryIndex
from runtime.domain.model import (
    HOST_KEY,
    IDENTITY,
    Allow,
    Deny,
    GateRecord,
    Host,
    HostResult,
    Listing,
    Outcome,
    Reason,
    Verdict,
)
from runtime.domain.pipeline import Binding, Job
from runtime.domain.ports import Clock, HostLocks, IdentityBook, Ledger, Remote, Watch
from runtime.domain.progress import Progress, Verified, told, until_when
from runtime.domain.time import clocks
from runtime.domain.witnesses import Neighbours
from runtime.engine import gates
from runtime.engine.convergence import Limits, Surroundings, converge
from runtime.engine.gates import Policy
from runtime.engine.recognise import recognise
from runtime.engine.stop import Stop

CLOCK_JUMP_LIMIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Context:
    """Everything one run shares between its hosts. Effects arrive here; ``busy`` maps a provider to its busy check script.

    ``listing``: all that the inventory knows, filled in once it was read; ``entries``: the same, indexed; ``neighbours``: who may
    vouch for a host's store, taken from it.
    """

    job: Job
    policy: Policy
    remote: Remote
    locks: HostLocks
    ledger: Ledger
    clock: Clock
    stop: Stop
    anchor: clocks.Anchor
    busy: Mapping[str, str]
    command_timeout: float
    host_deadline: float
    watch: Watch
    identities: IdentityBook
    listing: Listing = field(default_factory=Listing)
    entries: EntryIndex = field(default_factory=EntryIndex)
    neighbours: Neighbours = field(default_factory=Neighbours)


@dataclass(slots=True)
class _Trail:
    """What is recorded while a host is processed."""

    gates: list[GateRecord] = field(default_factory=list)
    compatibility: Mapping[str, object] = field(default_factory=dict)
    progress: Progress = field(default_factory=Progress)
    warning: str = ""

    def note(self, gate: str, verdict: Verdict) -> Verdict:
        allowed = isinstance(verdict, Allow)
        text = verdict.note if isinstance(verdict, Allow) else verdict.message
        self.gates.append(GateRecord(gate, allowed, text))
        return verdict


async def process_one(host: Host, context: Context) -> HostResult:
    """Never raises: what happens to a host is its outcome. A cut one is ``cancelled`` or, if a stage was sent, ``unknown``."""
    trail = _Trail()
    started_at, started = context.clock.now(), context.clock.monotonic()
    try:
        ended = await _guarded(host, context, trail)
    except asyncio.CancelledError:
        if not context.stop.requested and _being_cancelled():
            raise  # not ours: the event loop itself is going down
        ended = _cut(context, trail) if context.stop.requested else _broken(trail, "the connection was cancelled")
    except HostError as error:
        ended = Verified(error.outcome, error.reason, error.message, error.detail)
    except RunError as error:
        text = f"{trail.progress.so_far()} because it could not be recorded first: {error.message}"
        ended = Verified(Outcome.FAILED, Reason.NOT_RECORDED, text, error.reason)
    except Exception as error:
        ended = _broken(trail, f"{type(error).__name__}: {error}", type(error).__name__)
    if trail.warning and ended.reason is not Reason.HOST_IDENTITY_UNCLEAR:
        before = f"{ended.message.rstrip('. ')}. " if ended.message else ""
        ended = replace(ended, message=f"{before}Identity: {trail.warning}")
    trail.progress.spent("total", context.clock.monotonic() - started)
    ended = told(ended, trail.progress)
    if ended.reason is Reason.READ_ONLY:
        trail.gates.append(GateRecord("storage", allowed=False, text=ended.message))
    elif limit := until_when(trail.progress):
        trail.note("storage", Allow(limit))
    return _result(host, ended, trail, started_at, context.clock.now())


async def _guarded(host: Host, context: Context, trail: _Trail) -> Verified:
    if context.stop.requested:
        return _not_started(context)
    try:
        async with asyncio.timeout(context.host_deadline):
            return await _gates_then_action(host, context, trail)
    except TimeoutError:
        text = f"{trail.progress.so_far()} within the host deadline of {context.host_deadline:.0f} s"
        if trail.progress.unconfirmed:
            return Verified(Outcome.UNKNOWN, Reason.DEADLINE, text, trail.progress.unconfirmed)
        return Verified(Outcome.FAILED, Reason.DEADLINE, text)


async def _gates_then_action(host: Host, context: Context, trail: _Trail) -> Verified:
    binding = context.job.binding(host.provider)
    denied = _early_gates(host, binding, context, trail)
    if denied is not None:
        return denied
    if binding.action.effect == "read":
        # Two looks at once do no harm, and a look must not make the night's change skip the host.
        return await _on_host(host, binding, context, trail)
    async with context.locks.try_lock(host, f"run {context.job.info.run_id} ({binding.action.name})") as holder:
        if holder is not None:
            return _denied(trail.note("lock", Deny(Outcome.SKIPPED, Reason.HOST_LOCKED, holder)))
        trail.note("lock", Allow())
        return await _on_host(host, binding, context, trail)


def _early_gates(host: Host, binding: Binding, context: Context, trail: _Trail) -> Verified | None:
    for name, verdict in gates.early(host, binding, context.job, context.policy, context.clock.now()):
        answer = _on_a_steady_clock(binding, context) if name == "time" and isinstance(verdict, Allow) else verdict
        trail.note(name, answer)
        if isinstance(answer, Deny):
            return _denied(answer)
    return None


def _in_time(binding: Binding, context: Context) -> Verdict:
    """The gate of time, asked again before every stage."""
    verdict = gates.in_time(context.job, context.clock.now())
    return verdict if isinstance(verdict, Deny) else _on_a_steady_clock(binding, context)


def _on_a_steady_clock(binding: Binding, context: Context) -> Verdict:
    """Nothing that writes runs on a clock that jumped since the run began."""
    if binding.action.effect == "read":
        return Allow()
    jump = context.anchor.jumped(context.clock, CLOCK_JUMP_LIMIT_S)
    if jump is not None:
        return Deny(Outcome.SKIPPED, Reason.REFUSED, f"{jump}, so no window can be trusted", "clock_jumped")
    return Allow()


async def _on_host(host: Host, binding: Binding, context: Context, trail: _Trail) -> Verified:
    async def who_answered(facts: Facts) -> Verdict:
        words = context.policy.words.get(host.provider, {})
        finding = await recognise(host, facts, context.identities, context.entries, words)
        trail.warning = finding.text if finding.kind else ""
        return trail.note(IDENTITY, gates.identified(binding.action, finding))

    async def check_facts(facts: Facts, busy: str) -> Verdict:
        if not any(record.gate == IDENTITY for record in trail.gates):  # one login is one machine
            answered = await who_answered(facts)
            if isinstance(answered, Deny):
                return answered
        verdict, trail.compatibility = gates.compatible(facts, binding, context.job, context.policy)
        first = not any(record.gate == "compatibility" for record in trail.gates)
        for name, answer in (("compatibility", verdict), ("busy", gates.busy(binding.action, busy))):
            if first or isinstance(answer, Deny):
                trail.note(name, answer)
            if isinstance(answer, Deny):
                return answer
        return Allow()

    async def before_stage(stage: Stage) -> Verdict:
        if context.stop.requested:
            ended = _not_started(context)
            return Deny(ended.outcome, ended.reason, f"stopped before {stage.name}")
        for name, verdict in (
            ("freeze", gates.frozen(host, binding.action, context.policy, context.clock.now())),
            ("time", _in_time(binding, context)),
        ):
            if isinstance(verdict, Deny):
                return trail.note(name, verdict)
        await context.ledger.at_work(context.job.info.run_id, host, stage.name)
        return Allow()

    around = Surroundings(
        clock=context.clock,
        zone=context.policy.zone,
        limits=Limits(context.command_timeout),
        dry_run=context.job.info.dry_run,
        busy_script="" if binding.action.effect == "read" else _busy_script(host, context.busy),
        check_facts=check_facts,
        before_stage=before_stage,
        watch=context.watch,
        nearby=context.neighbours.of(host, own=host.addresses),
    )
    begun = context.clock.monotonic()
    async with context.remote.connect(host, deadline=context.host_deadline) as session:
        trail.progress.spent("connect", context.clock.monotonic() - begun)
        if session.learned_key:  # told, so that somebody can compare it: whoever answers first is believed (W-23)
            trail.note(HOST_KEY, Allow(f"seen for the first time, pinned: {session.learned_key}"))
        return await converge(session, host, binding, around, trail.progress)


def _busy_script(host: Host, checks: Mapping[str, str]) -> str:
    """The busy checks of every software house that an entry of the machine names: in use by one of them is in use."""
    houses = dict.fromkeys((host.provider, *(entry.provider for entry in host.machine.certain)))
    scripts = [script for house in houses if (script := checks.get(house, ""))]
    return scripts[0] if len(scripts) == 1 else "\n".join(f"(\n{script}\n)" for script in scripts)


def _denied(verdict: Verdict) -> Verified:
    if isinstance(verdict, Allow):
        raise TypeError("only a refusal ends a host")
    return Verified(verdict.outcome, verdict.reason, verdict.message, verdict.detail)


def _stopped(context: Context) -> Outcome:
    """The run's own deadline is a failure of the run; everything else is somebody's wish."""
    return Outcome.FAILED if context.stop.reason is Reason.DEADLINE else Outcome.CANCELLED


def _not_started(context: Context) -> Verified:
    return Verified(_stopped(context), context.stop.reason, f"not started: {context.stop.text}")


def _cut(context: Context, trail: _Trail) -> Verified:
    text = f"{trail.progress.so_far()}, then cut: {context.stop.text}"
    if trail.progress.unconfirmed:
        return Verified(Outcome.UNKNOWN, Reason.KILLED, text, trail.progress.unconfirmed)
    return Verified(_stopped(context), context.stop.reason, text)


def _broken(trail: _Trail, message: str, detail: str = "") -> Verified:
    """A fault of ours. After a stage was sent nobody knows what became of it."""
    if trail.progress.unconfirmed:
        return Verified(
            Outcome.UNKNOWN, Reason.CONNECTION_LOST, f"{trail.progress.so_far()}: {message}", trail.progress.unconfirmed
        )
    return Verified(Outcome.FAILED, Reason.INTERNAL, message, detail)


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _result(host: Host, ended: Verified, trail: _Trail, begun: dt.datetime, finished: dt.datetime) -> HostResult:
    facts = trail.progress.facts
    return HostResult(
        host=host,
        outcome=ended.outcome,
        reason=ended.reason,
        message=ended.message,
        detail=ended.detail,
        gates=tuple(trail.gates),
        steps=tuple(trail.progress.steps),
        plan=tuple(trail.progress.plan),
        stages=tuple(trail.progress.stages),
        changes=tuple(trail.progress.changes),
        facts=facts.summary() if facts else {},
        report=ended.report,
        compatibility=trail.compatibility,
        durations=dict(trail.progress.durations),
        started_at=begun,
        finished_at=finished,
    )
