"""One subject of a run: its gates, then observe, decide, apply, confirm until decided. Every path ends in exactly one HostResult.

:class:`SubjectRun` owns all that happens to the subject. Nothing else lets a driver write, so no action can forget dry-run,
gates, confirmation or deadlines. Called by :mod:`runtime.engine.run`, once for every subject.
"""

from __future__ import annotations

import asyncio
import contextlib

from contracts.text import joined, say
from runtime.domain.action import Decision, Done, Failed, Refused, Stage
from runtime.domain.errors import HostError, Permanent, RunError, Transient
from runtime.domain.facts import Facts
from runtime.domain.fitting import STEPS, misfit
from runtime.domain.model import CONNECTION, HOST_KEY, IDENTITY, Allow, Deny, Host, HostResult, Outcome, Reason, Verdict
from runtime.domain.ports import Driver, Observation
from runtime.domain.schedule_lease import needs_lease
from runtime.domain.subject_record import Ended, SubjectRecord
from runtime.engine import gates, sentences
from runtime.engine.attempts import pause_before_next
from runtime.engine.recognise import recognise
from runtime.engine.run_context import RunContext

CLOCK_JUMP_LIMIT_S = 120.0
POLL_S = 1.0
_LOST = (Reason.CONNECTION_LOST, Reason.TIMEOUT, Reason.DEADLINE)


async def process_one(host: Host, run: RunContext) -> HostResult:
    """Never raises: what happens to a subject is its outcome. A cut one is ``cancelled`` or, if a stage was sent, ``unknown``."""
    subject = SubjectRun(host, run)
    try:
        async with asyncio.timeout(run.host_deadline):
            ended = await subject.converge()
    except asyncio.CancelledError:
        if not run.stop.requested and _being_cancelled():
            raise  # not ours: the event loop itself is going down
        ended = subject.cut() if run.stop.requested else subject.broken(say("the connection was cancelled"))
    except Exception as error:
        ended = subject.ended_by(error)
    return subject.result(ended)


class SubjectRun:
    """The run of one subject: what is known and was done (``record``), and the verbs check, observe, apply, confirm.

    A verb answers with an Ended where the subject ends there, and with None where it goes on. ``applied``: the stage whose
    effect is looked for, until the monotonic instant ``settles_until``.
    """

    driver: Driver

    def __init__(self, host: Host, run: RunContext) -> None:
        self.host, self.run = host, run
        self.binding = run.plan.binding(host.provider)
        self.action = self.binding.action
        self.record = SubjectRecord()
        self.applied: Stage | None = None
        self.settles_until = 0.0
        self._began_at, self._began = run.clock.now(), run.clock.monotonic()

    async def converge(self) -> Ended:
        """Drive the subject until its action is decided. Raises HostError for what the connection did."""
        if ended := self.check_before_connection():
            return ended
        async with contextlib.AsyncExitStack() as held:
            if ended := await self.lock(held):
                return ended
            await self.connect(held)
            while True:
                decision = await self.observe()
                if not isinstance(decision, Stage):
                    return self.final(decision)
                if self.applied is not None and decision.name == self.applied.name:
                    await self.settle(decision)
                    continue
                ended = await self.check(decision) or await self.apply(decision) or await self.confirm(decision)
                if ended is not None:
                    return ended

    def check_before_connection(self) -> Ended | None:
        """The gates that need no connection, in their order; the first refusal ends the subject."""
        run = self.run
        if run.stop.requested:
            return Ended(self._stopped(), run.stop.reason, say("not started: {why}", why=run.stop.text))
        for name, verdict in gates.early(self.host, self.binding, run.plan, run.policy, run.clock.now()):
            answer = self._steady_clock() if name == "time" and isinstance(verdict, Allow) else verdict
            if ended := self.record.note(name, answer):
                return ended
        return self._without_lease()

    async def lock(self, held: contextlib.AsyncExitStack) -> Ended | None:
        """Two observations at once do no harm, and one must not make the night's change skip the host: only what changes a
        machine keeps it to itself. What delivers its rows keeps out the same action alone."""
        only = ""
        if self.action.effect == "read":
            if "rows" not in STEPS[self.action.target]:
                return None
            only = self.action.name
        owner = f"run {self.run.plan.info.run_id} ({self.action.name})"
        holder = await held.enter_async_context(self.run.locks.try_lock(self.host, owner, only))
        locked = Allow() if holder is None else Deny(Outcome.SKIPPED, Reason.HOST_LOCKED, holder)
        return self.record.note("lock", locked)

    async def connect(self, held: contextlib.AsyncExitStack) -> None:
        """Reach the subject, until ``held`` ends. What may pass is tried again, here and never later: nothing was sent yet."""
        run, record = self.run, self.record
        make = run.drivers.get(self.action.target)
        if make is None:
            text = say("nothing in this version drives a {target}", target=self.action.target)
            raise Permanent(Outcome.FAILED, Reason.INTERNAL, text)
        self.driver = make(self.host, self.binding, run)
        failed = ""
        while True:
            record.attempts += 1
            tried = run.clock.monotonic()
            try:
                learned = await held.enter_async_context(self.driver.connected())
                break
            except HostError as error:
                now = run.clock.monotonic()
                left = run.host_deadline - (now - self._began)
                limits = {"took": now - tried, "left": left, "spare": run.spare()}
                pause = pause_before_next(error, record.attempts, run.connect_attempts, **limits)
                if not pause or await run.stop.within(pause):
                    if record.attempts > 1:
                        error.message = say("{failure} ({n} attempts)", failure=error.message, n=record.attempts)
                    raise
                failed = error.message
            finally:
                record.spent("connect", run.clock.monotonic() - tried)
        if failed:
            record.note(CONNECTION, Allow(sentences.connected_late(record.attempts, failed)))
        if learned:  # recorded, so that somebody can compare it: the first machine that answers is believed (W-23)
            self.record.note(HOST_KEY, Allow(say("seen for the first time, pinned: {key}", key=learned)))

    async def observe(self) -> Decision | Ended:
        """Read the subject and decide. What is still to be done meets the gates on facts; whether the stage that was just applied
        took effect is seen without them."""
        applied, begun = self.applied, self.run.clock.monotonic()
        try:
            seen = await self.driver.observe()
        except HostError as error:
            if applied is None or error.reason not in _LOST:
                raise
            text = sentences.lost_unconfirmed(applied, self.action.target)
            raise Transient(Outcome.UNKNOWN, Reason.CONNECTION_LOST, text, applied.name) from error
        finally:
            self.record.spent("observe", self.run.clock.monotonic() - begun)
        self.record.facts = seen.facts
        if applied is None:
            return await self.check_facts(seen) or self.decide(seen)
        decision = self.decide(seen)
        if isinstance(decision, Done) or (
            isinstance(decision, Stage | Failed) and _is_about_another(decision, applied)
        ):
            self.record.reached("confirmed")
        if isinstance(decision, Stage) and decision.name != applied.name:
            return await self.check_facts(seen) or decision
        return decision

    def decide(self, seen: Observation) -> Decision:
        if seen.unfinished is not None:
            return seen.unfinished
        assert self.action.decide is not None  # noqa: S101  # bound actions are available; pipeline.resolve made sure
        return self.action.decide(seen.facts, self.binding.params, self.host)

    async def check_facts(self, seen: Observation) -> Ended | None:
        """The gates that need facts: identity, once a login, then compatibility and busy. Passing is recorded the first time."""
        run, facts = self.run, seen.facts
        if not isinstance(facts, Facts):
            return None  # only a terminal says which machine it is and what runs on it
        if not self.record.has(IDENTITY):
            words = run.policy.words.get(self.host.provider, {})
            reads = self.action.effect == "read"
            finding = await recognise(self.host, facts, run.identities, run.entries, words, reads=reads)
            self.record.warning = finding.text if finding.kind else ""
            if ended := self.record.note(IDENTITY, gates.identified(self.action, finding)):
                return ended
        verdict, self.record.compatibility = gates.compatible(facts, self.binding, run.plan, run.policy)
        first = not self.record.has("compatibility")
        for name, answer in (("compatibility", verdict), ("busy", gates.busy(self.action, seen.busy))):
            if (first or isinstance(answer, Deny)) and (ended := self.record.note(name, answer)):
                return ended
        return None

    async def check(self, stage: Stage) -> Ended | None:
        """Whether the stage may be applied: it fits the action, this is no dry-run, and the gates of time let it through."""
        run, record = self.run, self.record
        if why := misfit(self.action, stage):
            raise Permanent(Outcome.FAILED, Reason.INTERNAL, say("{why}. Nothing was changed by this stage", why=why))
        record.writes = stage.confirm != "gone"
        storage = record.facts.storage if record.facts is not None and record.writes else None
        if storage is not None and storage.read_only:
            return Ended(Outcome.FAILED, Reason.READ_ONLY, sentences.read_only(stage, storage.why), stage.name)
        if run.plan.info.dry_run:
            record.plan.extend(_plan(stage))
            record.changes.extend(stage.changes)
            return Ended(Outcome.WOULD_CHANGE, Reason.DRY_RUN, say("would apply: {stage}", stage=stage.name))
        if len(record.stages) == self.action.stages:
            return Ended(Outcome.FAILED, Reason.NOT_CONVERGED, sentences.not_converged(stage, len(record.stages)))
        return await self.begin(stage)

    async def begin(self, stage: Stage) -> Ended | None:
        """The gates that time may have closed, then the intent, committed right before the first byte."""
        run, record = self.run, self.record
        if run.stop.requested:
            return Ended(self._stopped(), run.stop.reason, say("stopped before {stage}", stage=stage.name))
        in_time = gates.in_time(run.plan, run.clock.now())
        for name, verdict in (
            ("freeze", gates.frozen(self.host, self.action, run.policy, run.clock.now())),
            ("time", in_time if isinstance(in_time, Deny) else self._steady_clock()),
        ):
            if isinstance(verdict, Deny):
                return record.note(name, verdict)
        if ended := self._without_lease():
            return ended
        await run.ledger.at_work(run.plan.info.run_id, self.host, stage.name)
        if stage.valid_until is not None and run.clock.now() >= stage.valid_until:
            text = say("{stage}: its time ran out before it began", stage=stage.name)
            return Ended(Outcome.SKIPPED, Reason.REFUSED, text, "too_late")
        return None

    async def apply(self, stage: Stage) -> Ended | None:
        """Send the stage. None when every step was done; the stage still has to be confirmed."""
        record, clock = self.record, self.run.clock
        await self.driver.prepare(stage)
        record.sent(stage.name, _plan(stage))
        record.plan.extend(_plan(stage))
        begun = clock.monotonic()
        answer = await self.driver.apply(stage)
        record.spent("apply", clock.monotonic() - begun)
        record.steps.extend(answer.steps)
        done = [step.name for step in answer.steps if step.status == "done"]
        broken = next((step for step in answer.steps if step.status == "failed"), None)
        if broken is not None:
            record.reached("failed")
            text = sentences.step_failed(stage, broken, done)
            return await self.explained(Ended(Outcome.FAILED, Reason.STEP_FAILED, text, stage.name), stage)
        if len(done) == len(stage.steps):
            record.reached("applied")
            record.changes.extend(stage.changes)
            return None
        if stage.confirm == "gone":
            return None  # a machine that goes takes the connection with it
        return Ended(Outcome.UNKNOWN, answer.reason, answer.lost, stage.name)

    async def confirm(self, stage: Stage) -> Ended | None:
        """What proves the stage: for ``state`` the next observations, else what the driver asks for."""
        clock = self.run.clock
        if stage.confirm == "state":
            self.applied, self.settles_until = stage, clock.monotonic() + stage.settle
            return None
        begun = clock.monotonic()
        proof = await self.driver.confirm(stage)
        self.record.spent("confirm", clock.monotonic() - begun)
        if proof.state:
            self.record.reached(proof.state)
        return proof.ended

    async def settle(self, stage: Stage) -> None:
        """Wait before the next observation. Raises Permanent when the stage is still needed after its time to settle."""
        if self.run.clock.monotonic() >= self.settles_until:
            self.record.reached("failed")
            text = sentences.without_effect(stage, self.action.target)
            raise Permanent(Outcome.FAILED, Reason.NOT_CONVERGED, text, stage.name)
        await asyncio.sleep(POLL_S)

    async def explained(self, ended: Ended, stage: Stage) -> Ended:
        """A failed step with what the subject then says about why the stage is still needed."""
        if not stage.why or stage.confirm == "gone":
            return ended
        begun = self.run.clock.monotonic()
        try:
            decision = self.decide(await self.driver.observe())
        except HostError:
            return ended
        finally:
            self.record.spent("observe", self.run.clock.monotonic() - begun)
        if not (isinstance(decision, Stage) and decision.name == stage.name and decision.why):
            return ended
        return Ended(ended.outcome, ended.reason, joined((ended.message, decision.why), "; "), ended.detail)

    def final(self, decision: Done | Failed | Refused | Ended) -> Ended:
        if isinstance(decision, Ended):
            return decision
        if isinstance(decision, Failed):
            return Ended(Outcome.FAILED, Reason.CHECK_FAILED, decision.message, decision.code, decision.report)
        if isinstance(decision, Refused):
            return Ended(Outcome.SKIPPED, Reason.REFUSED, decision.message, decision.code)
        changed = (Outcome.CHANGED, Reason.CONFIRMED) if self.record.stages else (Outcome.OK, Reason.DONE)
        return Ended(*changed, decision.message, report=decision.report)

    def ended_by(self, error: Exception) -> Ended:
        """What an error means for the subject."""
        record = self.record
        if isinstance(error, HostError):
            return Ended(error.outcome, error.reason, error.message, error.detail)
        if isinstance(error, RunError):
            text = sentences.not_recorded(record.so_far(), error.message)
            return Ended(Outcome.FAILED, Reason.NOT_RECORDED, text, error.reason)
        if isinstance(error, TimeoutError):
            text = sentences.host_deadline_over(record.so_far(), self.run.host_deadline)
            outcome = Outcome.UNKNOWN if record.unconfirmed else Outcome.FAILED
            return Ended(outcome, Reason.DEADLINE, text, record.unconfirmed)
        return self.broken(f"{type(error).__name__}: {error}", type(error).__name__)

    def cut(self) -> Ended:
        """The run was stopped and the grace time is over."""
        stop, record = self.run.stop, self.record
        text = say("{so_far}, then cut: {why}", so_far=record.so_far(), why=stop.text)
        if record.unconfirmed:
            return Ended(Outcome.UNKNOWN, Reason.KILLED, text, record.unconfirmed)
        return Ended(self._stopped(), stop.reason, text)

    def broken(self, message: str, detail: str = "") -> Ended:
        """A fault of ours. After a stage was sent nobody knows what became of it."""
        record = self.record
        if record.unconfirmed:
            text = joined((record.so_far(), message), ": ")
            return Ended(Outcome.UNKNOWN, Reason.CONNECTION_LOST, text, record.unconfirmed)
        return Ended(Outcome.FAILED, Reason.INTERNAL, message, detail)

    def result(self, ended: Ended) -> HostResult:
        record = self.record
        record.spent("total", self.run.clock.monotonic() - self._began)
        ended = record.completed(ended)
        if ended.reason is Reason.READ_ONLY:
            record.note("storage", Deny(ended.outcome, ended.reason, ended.message))
        elif limit := record.lasting():
            record.note("storage", Allow(limit))
        return HostResult(
            host=self.host,
            outcome=ended.outcome,
            reason=ended.reason,
            message=ended.message,
            detail=ended.detail,
            gates=tuple(record.gates),
            steps=tuple(record.steps),
            plan=tuple(record.plan),
            stages=tuple(record.stages),
            changes=tuple(record.changes),
            facts=record.facts.summary() if record.facts is not None else {},
            report=ended.report,
            compatibility=record.compatibility,
            durations=dict(record.durations),
            attempts=record.attempts,
            started_at=self._began_at,
            finished_at=self.run.clock.now(),
        )

    def _steady_clock(self) -> Verdict:
        """Nothing that writes runs on a clock that jumped since the run began."""
        if self.action.effect == "read":
            return Allow()
        jump = self.run.anchor.jumped(self.run.clock, CLOCK_JUMP_LIMIT_S)
        if jump is not None:
            text = say("{jump}, so no window can be trusted", jump=jump)
            return Deny(Outcome.SKIPPED, Reason.REFUSED, text, "clock_jumped")
        return Allow()

    def _without_lease(self) -> Ended | None:
        """Another agent of the network may run its schedule: without the lease a scheduled run only reads."""
        if needs_lease(self.action.effect, dry_run=self.run.plan.info.dry_run):
            verdict = self.run.lease()
            if isinstance(verdict, Deny):
                return self.record.note("lease", verdict)
        return None

    def _stopped(self) -> Outcome:
        """The run's own deadline is a failure of the run; everything else is somebody's wish."""
        return Outcome.FAILED if self.run.stop.reason is Reason.DEADLINE else Outcome.CANCELLED


def _is_about_another(decision: Stage | Failed, stage: Stage) -> bool:
    """Whether a decision says that ``stage`` holds: it is about a later one."""
    name = decision.name if isinstance(decision, Stage) else decision.stage
    return name not in ("", stage.name)


def _plan(stage: Stage) -> tuple[str, ...]:
    """What a stage does, for people."""
    return (*map(str, stage.changes), *stage.summary) or tuple(step.name for step in stage.steps)


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
