"""The loop that every action goes through on one host: observe, decide, apply, confirm, until decided.

Nothing but :func:`converge` writes to a terminal, so no action can forget dry-run, confirmation, deadlines or quoting. Called by
process_one when all gates before the connection have answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from runtime.domain import script
from runtime.domain.action import Decision, Done, Failed, Params, Refused, Stage
from runtime.domain.departure import departed
from runtime.domain.errors import HostError, Permanent, Transient
from runtime.domain.facts import Facts, Privilege
from runtime.domain.model import Allow, Deny, Host, Outcome, Reason, StepRecord, Verdict
from runtime.domain.pipeline import Binding
from runtime.domain.ports import Answer, Clock, Session, Watch
from runtime.domain.progress import Progress, Verified
from runtime.domain.witnesses import Surrounding
from runtime.engine import probe

OUTPUT_KEPT = 400
POLL_S = 1.0
_FLOOD = "too much output from the terminal; the check was stopped. It changed nothing"


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds. ``command``: one round trip."""

    command: float


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the loop needs besides the host. The two functions are the gates; ``before_stage`` also records the intent.

    ``nearby``: who may vouch for the host's store when the host is to go.
    """

    clock: Clock
    zone: ZoneInfo
    limits: Limits
    dry_run: bool
    busy_script: str
    check_facts: Callable[[Facts, str], Awaitable[Verdict]]
    before_stage: Callable[[Stage], Awaitable[Verdict]]
    watch: Watch
    nearby: Surrounding


async def converge(session: Session, host: Host, binding: Binding, around: Surroundings, seen: Progress) -> Verified:
    """Drive the host until its action is decided. Raises HostError for what the connection did."""
    decision = await _look(session, host, binding, around, seen)
    while isinstance(decision, Stage):
        ended = await _held_back(binding, decision, around, seen)
        if ended is None and decision.confirm == "gone":
            return await _send_away(session, host, binding, decision, around, seen)
        ended = ended or await _apply(session, binding, decision, around, seen)
        if ended is not None:
            return await _explained(ended, session, host, binding, decision, around, seen)
        decision = await _settle(session, host, binding, decision, around, seen)
    return _final(decision, changed=bool(seen.stages))


def _final(decision: Done | Failed | Refused | Deny, *, changed: bool) -> Verified:
    if isinstance(decision, Deny):
        return Verified(decision.outcome, decision.reason, decision.message, decision.detail)
    if isinstance(decision, Failed):
        return Verified(Outcome.FAILED, Reason.CHECK_FAILED, decision.message, decision.code, decision.report)
    if isinstance(decision, Refused):
        return Verified(Outcome.SKIPPED, Reason.REFUSED, decision.message, decision.code)
    outcome, reason = (Outcome.CHANGED, Reason.CONFIRMED) if changed else (Outcome.OK, Reason.DONE)
    return Verified(outcome, reason, decision.message, report=decision.report)


async def _held_back(binding: Binding, stage: Stage, around: Surroundings, seen: Progress) -> Verified | None:
    """Why the stage is not applied; None when it may be. The intent is recorded last, right before the first byte."""
    action = binding.action
    if action.effect == "read":
        raise Permanent(Outcome.FAILED, Reason.INTERNAL, f"{action.name} only reads, but asked to apply {stage.name}")
    if stage.confirm == "receipt":  # a sink's word; looking at the terminal again would prove nothing
        text = f"{stage.name} asks for a receipt, which no terminal gives. Nothing was changed by this stage"
        raise Permanent(Outcome.FAILED, Reason.INTERNAL, text)
    seen.writes = stage.confirm != "gone"
    storage = seen.facts.storage if seen.facts is not None and seen.writes else None
    if storage is not None and storage.read_only:
        text = f"{stage.name} is needed, but nothing can be written: {storage.why}. Nothing was changed by this stage"
        return Verified(Outcome.FAILED, Reason.READ_ONLY, text, stage.name)
    if around.dry_run:
        seen.plan.extend(_plan(stage))
        seen.changes.extend(stage.changes)
        return Verified(Outcome.WOULD_CHANGE, Reason.DRY_RUN, f"would apply: {stage.name}")
    if len(seen.stages) == action.stages:
        text = f"Not converged: {stage.name} is still needed after {len(seen.stages)} stages (the maximum)"
        return Verified(Outcome.FAILED, Reason.NOT_CONVERGED, text)
    verdict = await around.before_stage(stage)
    if isinstance(verdict, Deny):
        return Verified(verdict.outcome, verdict.reason, verdict.message, verdict.detail)
    if stage.valid_until is not None and around.clock.now() >= stage.valid_until:
        return Verified(Outcome.SKIPPED, Reason.REFUSED, f"{stage.name}: its time ran out before it began", "too_late")
    return None


def _plan(stage: Stage) -> tuple[str, ...]:
    """What a stage does, for people."""
    return (*map(str, stage.changes), *stage.summary) or tuple(step.name for step in stage.steps)


async def _look(
    session: Session, host: Host, binding: Binding, around: Surroundings, seen: Progress
) -> Decision | Deny:
    facts, busy = await _observe(session, binding, around, seen)
    seen.facts = facts
    verdict = await around.check_facts(facts, busy)
    return verdict if isinstance(verdict, Deny) else _decided(binding, facts, host)


def _decided(binding: Binding, facts: Facts, host: Host) -> Decision:
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
            Outcome.FAILED,
            Reason.BAD_FACTS,
            _FLOOD,
            "flood",
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
        return Permanent(Outcome.FAILED, Reason.BAD_FACTS, _FLOOD, "flood")
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
    seen.sent(stage.name, _plan(stage))
    seen.plan.extend(_plan(stage))
    started = around.clock.monotonic()
    answer = await session.run(sections, timeout=around.limits.command, privileged=binding.action.needs_root)
    seen.spent("apply", around.clock.monotonic() - started)
    records = _records(stage, answer)
    seen.steps.extend(records)
    broken = next((record for record in records if record.status == "failed"), None)
    if broken is not None:
        seen.reached("failed")
        done = [record.name for record in records if record.status == "done"]
        before = f"; done before it: {', '.join(done)}" if done else ""
        said = _last_line(broken.output) or "no output"
        text = f"{stage.name}: {broken.name} failed with exit {broken.exit_code}: {said}{before}"
        return Verified(Outcome.FAILED, Reason.STEP_FAILED, text, stage.name)
    if len(records) == len(stage.steps) and all(record.status == "done" for record in records):
        seen.reached("applied")
        seen.changes.extend(stage.changes)
        return None
    how = {
        Reason.DEADLINE: f"{stage.name} was not finished after {around.limits.command:.0f} s and was cut",
        Reason.KILLED: f"{stage.name} flooded its output and was cut",
    }
    said = how.get(answer.stopped or Reason.CONNECTION_LOST, f"the connection was lost during {stage.name}")
    reason = Reason.DEADLINE if answer.stopped is Reason.DEADLINE else Reason.CONNECTION_LOST
    return Verified(Outcome.UNKNOWN, reason, f"{said}; what the terminal did with it is not known", stage.name)


async def _explained(
    ended: Verified, session: Session, host: Host, binding: Binding, stage: Stage, around: Surroundings, seen: Progress
) -> Verified:
    """How a stage ended; a failed step also with what the terminal then says about why the stage is still needed."""
    if ended.reason is not Reason.STEP_FAILED or not stage.why:
        return ended
    try:
        facts, _ = await _observe(session, binding, around, seen)
    except HostError:
        return ended
    decision = _decided(binding, facts, host)
    if not (isinstance(decision, Stage) and decision.name == stage.name and decision.why):
        return ended
    return replace(ended, message=f"{ended.message}; {decision.why}")


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


async def _send_away(
    session: Session, host: Host, binding: Binding, stage: Stage, around: Surroundings, seen: Progress
) -> Verified:
    """Apply a stage that ends the machine, and watch it go. Who answers before it is the best witness of what comes after."""
    nearby = around.nearby
    witnesses = await around.watch.answering(nearby.witnesses) or nearby.witnesses
    ended = await _apply(session, binding, stage, around, seen)
    if ended is not None and ended.outcome is not Outcome.UNKNOWN:
        return ended
    started = around.clock.monotonic()
    departure = await around.watch.departure(host, witnesses, stage.settle, own_address=nearby.own_address)
    seen.spent("confirm", around.clock.monotonic() - started)
    if departure.state in ("gone", "there"):
        seen.reached("confirmed" if departure.state == "gone" else "failed")
    return departed(departure, host, stage)


async def _settle(
    session: Session, host: Host, binding: Binding, stage: Stage, around: Surroundings, seen: Progress
) -> Decision | Deny:
    """Look again until the stage just applied is no longer needed, or its time to settle is over. What comes next meets the gates
    again; whether the stage took effect is seen without them."""
    until = around.clock.monotonic() + stage.settle
    while True:
        try:
            facts, busy = await _observe(session, binding, around, seen)
        except HostError as error:
            if error.reason in (Reason.CONNECTION_LOST, Reason.TIMEOUT, Reason.DEADLINE):
                text = f"{stage.name} was applied but not confirmed: the terminal was lost before it could be looked at again"
                raise Transient(Outcome.UNKNOWN, Reason.CONNECTION_LOST, text, stage.name) from error
            raise
        seen.facts = facts
        decision = _decided(binding, facts, host)
        if isinstance(decision, Done) or (isinstance(decision, Stage | Failed) and _other(decision, stage)):
            seen.reached("confirmed")
        if not (isinstance(decision, Stage) and decision.name == stage.name):
            verdict = await around.check_facts(facts, busy) if isinstance(decision, Stage) else Allow()
            return verdict if isinstance(verdict, Deny) else decision
        if around.clock.monotonic() >= until:
            seen.reached("failed")
            why = f": {decision.why}" if decision.why else ""
            text = f"{stage.name} was applied without error, but the terminal still is not as it should be{why}"
            raise Permanent(Outcome.FAILED, Reason.NOT_CONVERGED, text, stage.name)
        await asyncio.sleep(POLL_S)


def _other(decision: Stage | Failed, stage: Stage) -> bool:
    """Whether a decision says that ``stage`` holds: it is about a later one."""
    name = decision.name if isinstance(decision, Stage) else decision.stage
    return name not in ("", stage.name)


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
