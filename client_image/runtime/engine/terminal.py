"""The driver of a terminal: observed and changed over SSH, one round trip for each.

Made for each terminal of a run by :class:`Terminals`, called by process_one. Nothing else sends a script to a terminal.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from contracts.text import say
from runtime.domain import script
from runtime.domain.action import Params, Script, Stage, Step, WriteFile
from runtime.domain.departure import departed
from runtime.domain.errors import HostError, Permanent, Transient
from runtime.domain.facts import Facts, Privilege
from runtime.domain.model import Host, Outcome, Reason, StepRecord
from runtime.domain.pipeline import Binding
from runtime.domain.ports import Answer, Applied, Observation, Proof, Remote, Session, Watch
from runtime.domain.subject_record import last_line
from runtime.domain.witnesses import Witness
from runtime.engine import probe
from runtime.engine.run_context import RunContext

OUTPUT_KEPT = 400
_FLOOD = say("too much output from the terminal; the check was stopped. It changed nothing")


@dataclass(slots=True)
class Terminals:
    """What all terminals of a run share. ``busy``: a provider's busy check; ``command_timeout``: seconds for one script."""

    remote: Remote
    watch: Watch
    busy: Mapping[str, str]
    command_timeout: float

    def __call__(self, host: Host, binding: Binding, run: RunContext) -> Terminal:
        return Terminal(self, host, binding, run)


class Terminal:
    """Implements Driver."""

    _session: Session
    _sections: list[tuple[str, str]]
    _own_address: bool
    _witnesses: Sequence[Witness]

    def __init__(self, shared: Terminals, host: Host, binding: Binding, run: RunContext) -> None:
        self._shared, self._host, self._binding, self._run = shared, host, binding, run
        self._action = binding.action

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[str]:
        async with self._shared.remote.connect(self._host, deadline=self._run.host_deadline) as session:
            self._session = session
            yield session.learned_key

    async def observe(self) -> Observation:
        """The engine's facts, the busy check and the action's own script, in one round trip."""
        sections = [("facts", probe.SCRIPT)]
        if self._action.effect != "read" and (check := busy_script(self._host, self._shared.busy)):
            sections.append(("busy", check))
        if self._action.observe:
            sections.append(("observe", script.assignments(variables_of(self._binding.params)) + self._action.observe))
        limit, root = self._shared.command_timeout, self._action.needs_root
        answer = await self._session.run(sections, timeout=limit, privileged=root)
        if not answer.complete:
            raise self._unanswered(answer)
        if answer.truncated:
            raise Permanent(Outcome.FAILED, Reason.BAD_FACTS, _FLOOD, "flood")
        facts = probe.parse_probe(answer.sections.get("facts", b""))
        code = answer.codes.get("observe")
        output = _text(answer.sections.get("observe", b""))
        if self._action.observe and code != 0:
            text = say(
                "observing the terminal for {action} failed with exit {code}: {said}",
                action=self._action.name,
                code=code if code is not None else "?",
                said=last_line(output) or say("no output"),
            )
            raise Permanent(Outcome.FAILED, Reason.BAD_FACTS, text, "observe")
        facts = replace(
            facts,
            privilege=self._privilege(facts),
            observed_at=self._run.clock.now().astimezone(self._run.policy.zone),
            observed=dict(line.split("=", 1) for line in output.split("\n") if "=" in line),
            output=output,
        )
        return Observation(facts, _busy_answer(answer))

    async def prepare(self, stage: Stage) -> None:
        """Render the steps; before a stage that ends the machine, ask who answers now: the best witness of what comes after."""
        steps = [
            step for step in stage.steps if isinstance(step, Script | WriteFile)
        ]  # process_one lets no other through
        self._sections = [(f"step:{number}", script.render_step(step)) for number, step in enumerate(steps)]
        if stage.confirm == "gone":
            nearby = self._run.neighbours.of(self._host, own=self._host.addresses)
            self._own_address = nearby.own_address
            self._witnesses = await self._shared.watch.answering(nearby.witnesses) or nearby.witnesses

    async def apply(self, stage: Stage) -> Applied:
        limit, root = self._shared.command_timeout, self._action.needs_root
        answer = await self._session.run(self._sections, timeout=limit, privileged=root)
        reason, name = Reason.CONNECTION_LOST, stage.name
        if answer.stopped is Reason.DEADLINE:
            reason = Reason.DEADLINE
            lost = say("{stage} was not finished after {seconds} s and was cut", stage=name, seconds=f"{limit:.0f}")
        elif answer.stopped is Reason.KILLED:
            lost = say("{stage} sent too much output and was cut", stage=name)
        else:
            lost = say("the connection was lost during {stage}", stage=name)
        text = say("{what}; what the terminal did with it is not known", what=lost)
        return Applied(_records(stage.steps, answer), reason, text)

    async def confirm(self, stage: Stage) -> Proof:
        """Watch the machine go."""
        watch, own_address = self._shared.watch, self._own_address
        departure = await watch.departure(self._host, self._witnesses, stage.settle, own_address=own_address)
        state = {"gone": "confirmed", "there": "failed"}.get(departure.state, "")
        return Proof(state, departed(departure, self._host, stage))

    def _unanswered(self, answer: Answer) -> HostError:
        """An observation that came to no end, and why. Nothing was changed by it."""
        if answer.stopped is Reason.DEADLINE:
            limit = self._shared.command_timeout
            text = say("the terminal had not answered after {seconds} s (ssh.command_timeout)", seconds=f"{limit:.0f}")
            if said := last_line(_text(answer.noise)):
                text = say("{what}; its last words: {said}", what=text, said=said)
            return Transient(Outcome.FAILED, Reason.DEADLINE, text, "observe")
        if answer.stopped is Reason.KILLED:
            return Permanent(Outcome.FAILED, Reason.BAD_FACTS, _FLOOD, "flood")
        if answer.stopped is None:
            said = last_line(_text(answer.noise)) or say("nothing")
            text = say("the login shell ended without having run the script; it said: {said}", said=said)
            return Permanent(Outcome.FAILED, Reason.BAD_FACTS, text, "shell")
        text = say("the connection ended before the terminal had answered")
        return Transient(Outcome.UNREACHABLE, Reason.CONNECTION_LOST, text)

    def _privilege(self, facts: Facts) -> Privilege:
        if self._action.needs_root:
            return self._session.elevation
        return "root" if facts.uid == 0 else "none"


def busy_script(host: Host, checks: Mapping[str, str]) -> str:
    """The busy checks of every software house that an entry of the machine names: in use by one of them is in use."""
    houses = dict.fromkeys((host.provider, *(entry.provider for entry in host.machine.certain)))
    scripts = [text for house in houses if (text := checks.get(house, ""))]
    return scripts[0] if len(scripts) == 1 else "\n".join(f"(\n{text}\n)" for text in scripts)


def variables_of(params: Params) -> dict[str, str]:
    """``P_<name>`` for every parameter that is a text, number, boolean or None."""
    variables: dict[str, str] = {}
    for name, value in params:
        if isinstance(value, bool):
            variables[f"P_{name}"] = "yes" if value else "no"
        elif value is None or isinstance(value, str | int | float):
            variables[f"P_{name}"] = "" if value is None else str(value)
    return variables


def _busy_answer(answer: Answer) -> str:
    """The check's first line. A check that fails counts as busy: not knowing is no reason to disturb a sale."""
    if "busy" not in answer.codes:
        return ""
    if answer.codes["busy"] != 0:
        return say("the busy check failed with exit {code}", code=answer.codes["busy"])
    lines = _text(answer.sections.get("busy", b"")).split("\n")
    return next((line.strip() for line in lines if line.strip()), "")


def _records(steps: tuple[Step, ...], answer: Answer) -> list[StepRecord]:
    """One record for each step that was sent and reached. The first without an exit code is the one in flight when it broke."""
    records: list[StepRecord] = []
    for number, step in enumerate(steps):
        code = answer.codes.get(f"step:{number}")
        output = _text(answer.sections.get(f"step:{number}", b"")).strip()[-OUTPUT_KEPT:]
        if code is None:
            if not answer.complete:
                records.append(StepRecord(step.name, "unknown", None, output))
            break
        records.append(StepRecord(step.name, "done" if code == 0 else "failed", code, output))
        if code != 0:
            break
    return records


def _text(output: bytes) -> str:
    return output.decode("utf-8", "replace")
