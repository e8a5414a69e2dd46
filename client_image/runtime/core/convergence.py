"""The loop that every action goes through on one host: observe, decide, apply, confirm, until decided.

Nothing but :func:`converge` writes to a terminal, so no action can forget dry-run, confirmation, deadlines or quoting. Called by
process_one when all gates before the connection have answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from zoneinfo import ZoneInfo

from runtime.core import probe, script
from runtime.core.action import Decision, Done, Failed, Params, Refused, Stage
from runtime.core.errors import HostError, Permanent, Transient
from runtime.core.facts import Facts, Privilege
from runtime.core.model import Deny, Host, Outcome, Reason, StepRecord, Verdict
from runtime.core.pipeline import Binding
from runtime.core.ports import Answer, Clock, Session

OUTPUT_KEPT = 400
POLL_S = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds. ``command``: one round trip."""

    command: float


@dataclass(frozen=True, slots=True)
class Verified:
    """Where the loop ended, before it becomes a HostResult."""

    outcome: Outcome
    reason: Reason
    message: str
    detail: str = ""
    report: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Progress:
    """What is known so far; kept outside the loop so that a deadline or a stop can still tell it.

    ``applied``: names of the stages whose steps were all done; ``unconfirmed``: the stage that was sent and not proven yet.
    """

    facts: Facts | None = None
    steps: list[StepRecord] = field(default_factory=list)
    plan: list[str] = field(default_factory=list)
    durations: dict[str, float] = field(default_factory=dict)
    applied: list[str] = field(default_factory=list)
    unconfirmed: str = ""

    def spent(self, what: str, seconds: float) -> None:
        self.durations[what] = round(self.durations.get(what, 0.0) + seconds, 4)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the loop needs besides the host. The two functions are the gates; ``before_stage`` also records the intent."""

    clock: Clock
    zone: ZoneInfo
    limits: Limits
    dry_run: bool
    busy_script: str
    check_facts: Callable[[Facts, str], Verdict]
    before_stage: Callable[[Stage], Awaitable[Verdict]]


async def converge(session: Session, host: Host, binding: Binding, around: Surroundings, seen: Progress) -> Verified:
    """Drive the host until its action is decided. Raises HostError for what the connection did."""
    decision = await _look(session, host, binding, around, seen)
    while isinstance(decision, Stage):
        ended = await _held_back(binding, decision, around, seen)
        ended = ended or await _apply(session, binding, decision, around, seen)
        if ended is not None:
            return _after_stages(ended, seen)
        if decision.confirm == "gone":
            return await _confirm_gone(session, decision, around, seen)
        decision = await _settle(session, host, binding, decision, around, seen)
        seen.unconfirmed = ""
    return _after_stages(_final(decision, changed=bool(seen.applied)), seen)


def _final(decision: Done | Failed | Refused | Deny, *, changed: bool) -> Verified:
    if isinstance(decision, Deny):
        return Verified(decision.outcome, decision.reason, decision.message, decision.detail)
    if isinstance(decision, Failed):
        return Verified(Outcome.FAILED, Reason.CHECK_FAILED, decision.message, decision.code, decision.report)
    if isinstance(decision, Refused):
        return Verified(Outcome.SKIPPED, Reason.REFUSED, decision.message, decision.code)
    outcome, reason = (Outcome.CHANGED, Reason.CONFIRMED) if changed else (Outcome.OK, Reason.DONE)
    return Verified(outcome, reason, decision.message, report=decision.report)


def _after_stages(ended: Verified, seen: Progress) -> Verified:
    """A host that was changed and then left half-way is not "skipped": somebody should look at it."""
    if not seen.applied or ended.outcome not in (Outcome.SKIPPED, Outcome.CANCELLED):
        return ended
    text = f"stopped after {' and '.join(seen.applied)}: {ended.message}"
    if ended.outcome is Outcome.CANCELLED:
        return replace(ended, message=text)
    return Verified(Outcome.FAILED, Reason.NOT_CONVERGED, text, ended.detail or ended.reason.value)


async def _held_back(binding: Binding, stage: Stage, around: Surroundings, seen: Progress) -> Verified | None:
    """Why the stage is not applied; None when it may be. The intent is recorded last, right before the first byte."""
    action = binding.action
    if action.effect == "read":
        raise Permanent(Outcome.FAILED, Reason.INTERNAL, f"{action.name} reads, but wanted to apply {stage.name}")
    if around.dry_run:
        seen.plan.extend(_plan(stage))
        return Verified(Outcome.WOULD_CHANGE, Reason.DRY_RUN, f"would apply: {stage.name}")
    if len(seen.applied) == action.stages:
        text = f"still wants {stage.name} after {len(seen.applied)} stages"
        return Verified(Outcome.FAILED, Reason.NOT_CONVERGED, text)
    verdict = await around.before_stage(stage)
    if isinstance(verdict, Deny):
        return Verified(verdict.outcome, verdict.reason, verdict.message, verdict.detail)
    if stage.valid_until is not None and around.clock.now() >= stage.valid_until:
        return Verified(Outcome.SKIPPED, Reason.REFUSED, f"{stage.name}: its time ran out before it began", "too_late")
    return None


def _plan(stage: Stage) -> tuple[str, ...]:
    """What a stage does, for people."""
    return stage.summary or tuple(step.name for step in stage.steps)


async def _look(
    session: Session, host: Host, binding: Binding, around: Surroundings, seen: Progress
) -> Decision | Deny:
    facts, busy = await _observe(session, binding, around, seen)
    seen.facts = facts
    verdict = around.check_facts(facts, busy)
    if isinstance(verdict, Deny):
        return verdict
    assert binding.action.decide is not None  # noqa: S101  # bound actions are available; pipeline.resolve made sure
    return binding.action.decide(facts, binding.params, host)


async def _observe(session: Session, binding: Binding, around: Surroundings, seen: Progress) -> tuple[Facts, str]:
    action = binding.action
    sections = [("facts", probe.SCRIPT)]
    if around.busy_script:
        sections.append(("busy", around.busy_script))
    if action.observe:
        sections.append(("observe", script.assignments(variables_of(binding.params)) + action.observe))
    started = around.clock.monotonic()
    answer = await session.run(sections, timeout=around.limits.command, privileged=action.needs_root)
    seen.spent("observe", around.clock.monotonic() - started)
    if not answer.complete:
        raise _unanswered(answer, around.limits)
    if answer.truncated:
        raise Permanent(
            Outcome.FAILED, Reason.BAD_FACTS, "it said more than any look asks for, so it was cut short", "flood"
        )
    facts = probe.parse_probe(answer.sections.get("facts", b""))
    code = answer.codes.get("observe")
    output = answer.sections.get("observe", b"").decode("utf-8", "replace")
    if action.observe and code != 0:
        text = f"the {action.name} look at the terminal failed with exit {code}: {_last_line(output)}"
        raise Permanent(Outcome.FAILED, Reason.BAD_FACTS, text, "observe")
    observed = dict(line.split("=", 1) for line in output.split("\n") if "=" in line)
    facts = replace(
        facts,
        privilege=_privilege(session, facts, elevated=action.needs_root),
        observed_at=around.clock.now().astimezone(around.zone),
        observed=observed,
        output=output,
    )
    return facts, _busy_answer(answer)


def _unanswered(answer: Answer, limits: Limits) -> HostError:
    """A look that came to no end, and why. Nothing was changed by it."""
    if answer.stopped is Reason.DEADLINE:
        text = f"the terminal had not answered after {limits.command:.0f} s (ssh.command_timeout)"
        if said := _last_line(answer.noise.decode("utf-8", "replace")):
            text += f"; its last words: {said}"
        return Transient(Outcome.FAILED, Reason.DEADLINE, text, "observe")
    if answer.stopped is Reason.KILLED:
        text = "the terminal floods: far more output than any answer, so it was cut"
        return Permanent(Outcome.FAILED, Reason.BAD_FACTS, text, "flood")
    if answer.stopped is None:
        said = _last_line(answer.noise.decode("utf-8", "replace")) or "nothing"
        text = f"the login shell ended without having run the script; it said: {said}"
        return Permanent(Outcome.FAILED, Reason.BAD_FACTS, text, "shell")
    text = "the connection ended before the terminal had answered"
    return Transient(Outcome.UNREACHABLE, Reason.CONNECTION_LOST, text)


def _privilege(session: Session, facts: Facts, *, elevated: bool) -> Privilege:
    if elevated:
        return session.elevation
    return "root" if facts.uid == 0 else "none"


def _busy_answer(answer: Answer) -> str:
    """The check's first line. A check that fails counts as busy: not knowing is no reason to disturb a sale."""
    if "busy" not in answer.codes:
        return ""
    if answer.codes["busy"] != 0:
        return f"the busy check failed with exit {answer.codes['busy']}"
    lines = answer.sections.get("busy", b"").decode("utf-8", "replace").split("\n")
    return next((line.strip() for line in lines if line.strip()), "")


async def _apply(
    session: Session, binding: Binding, stage: Stage, around: Surroundings, seen: Progress
) -> Verified | None:
    """Send the stage. None when every step said that it was done; it still has to be confirmed."""
    sections = [(f"step:{number}", script.render_step(step)) for number, step in enumerate(stage.steps)]
    seen.unconfirmed = stage.name
    seen.plan.extend(_plan(stage))
    started = around.clock.monotonic()
    answer = await session.run(sections, timeout=around.limits.command, privileged=binding.action.needs_root)
    seen.spent("apply", around.clock.monotonic() - started)
    records = _records(stage, answer)
    seen.steps.extend(records)
    broken = next((record for record in records if record.status == "failed"), None)
    if broken is not None:
        text = f"{stage.name}: {broken.name} failed with exit {broken.exit_code}: {_last_line(broken.output) or 'no output'}"
        return Verified(Outcome.FAILED, Reason.STEP_FAILED, text, stage.name)
    if len(records) == len(stage.steps) and all(record.status == "done" for record in records):
        seen.applied.append(stage.name)
        return None
    how = {
        Reason.DEADLINE: f"{stage.name} was not finished after {around.limits.command:.0f} s and was cut",
        Reason.KILLED: f"{stage.name} flooded its output and was cut",
    }
    said = how.get(answer.stopped or Reason.CONNECTION_LOST, f"the connection was lost during {stage.name}")
    reason = Reason.DEADLINE if answer.stopped is Reason.DEADLINE else Reason.CONNECTION_LOST
    return Verified(Outcome.UNKNOWN, reason, f"{said}; what the terminal did with it is not known", stage.name)


def _records(stage: Stage, answer: Answer) -> list[StepRecord]:
    """One record for each step that was sent and reached. The first without an exit code is the one in flight when it broke."""
    records: list[StepRecord] = []
    for number, step in enumerate(stage.steps):
        code = answer.codes.get(f"step:{number}")
        output = answer.sections.get(f"step:{number}", b"").decode("utf-8", "replace").strip()[-OUTPUT_KEPT:]
        if code is None:
            if not answer.complete:
                records.append(StepRecord(step.name, "unknown", None, output))
            break
        records.append(StepRecord(step.name, "done" if code == 0 else "failed", code, output))
        if code != 0:
            break
    return records


async def _confirm_gone(session: Session, stage: Stage, around: Surroundings, seen: Progress) -> Verified:
    started = around.clock.monotonic()
    gone = await session.wait_gone(stage.settle)
    seen.spent("confirm", around.clock.monotonic() - started)
    if gone:
        return Verified(Outcome.CHANGED, Reason.CONFIRMED, f"{stage.name}: the terminal stopped answering")
    text = f"{stage.name}: accepted, but the terminal still answers after {stage.settle:.0f} s"
    return Verified(Outcome.FAILED, Reason.NOT_CONVERGED, text, stage.name)


async def _settle(
    session: Session, host: Host, binding: Binding, stage: Stage, around: Surroundings, seen: Progress
) -> Decision | Deny:
    """Look again until the stage just applied is no longer wanted, or its time to settle is over."""
    until = around.clock.monotonic() + stage.settle
    while True:
        try:
            decision = await _look(session, host, binding, around, seen)
        except HostError as error:
            if error.reason in (Reason.CONNECTION_LOST, Reason.TIMEOUT, Reason.DEADLINE):
                text = f"{stage.name} was applied, then the terminal was lost before it could be confirmed"
                raise Transient(Outcome.UNKNOWN, Reason.CONNECTION_LOST, text, stage.name) from error
            raise
        if not (isinstance(decision, Stage) and decision.name == stage.name):
            return decision
        if around.clock.monotonic() >= until:
            text = f"{stage.name} was applied without error, but the terminal still is not as it should be"
            raise Permanent(Outcome.FAILED, Reason.NOT_CONVERGED, text, stage.name)
        await asyncio.sleep(POLL_S)


def variables_of(params: Params) -> dict[str, str]:
    """``P_<name>`` for every parameter that is a text, number, boolean or None."""
    variables: dict[str, str] = {}
    for name, value in params:
        if isinstance(value, bool):
            variables[f"P_{name}"] = "yes" if value else "no"
        elif value is None or isinstance(value, str | int | float):
            variables[f"P_{name}"] = "" if value is None else str(value)
    return variables


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""
