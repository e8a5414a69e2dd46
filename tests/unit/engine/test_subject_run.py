"""The loop of one subject: what a decision after a stage means for that stage, and what is recorded on the way."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime as dt
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from pydantic import BaseModel

from runtime import process_one as engine
from runtime.domain.action import Action, Decision, Done, Failed, Refused, Script, Stage
from runtime.domain.departure import Departure, Sign
from runtime.domain.errors import HostError, Permanent, Transient
from runtime.domain.facts import Facts
from runtime.domain.model import IDENTITY, Change, Host, HostResult, Outcome, Reason, Selector
from runtime.domain.ports import Answer
from runtime.domain.witnesses import Neighbours, Witness
from tests.unit.engine import in_memory
from tests.unit.engine.in_memory import NOON, MemorySession, Terminal, World

NAME = "ACME-LOJA001-PDV201"


def stage(name: str, *steps: str, **fields: Any) -> Stage:
    return Stage(name, tuple(Script(step, f"{step}\n") for step in steps or (name,)), **{"settle": 0.0, **fields})


def deciding(*decisions: Decision, **fields: Any) -> Action:
    """An action that decides one after the other, whatever is observed, and the last one again and again."""
    left = list(decisions)

    def decide(facts: Facts, params: BaseModel, host: Host) -> Decision:
        return left.pop(0) if len(left) > 1 else left[0]

    return Action(
        "scripted", (), "1.0.0", "Scripted.", **{"effect": "change", "observe": "look", **fields}, decide=decide
    )


def scripted(action: Action, terminal: Terminal | None = None, **fields: Any) -> World:
    return World({NAME: terminal or Terminal()}, known=in_memory.knowledge(action), **fields)


def run(one: World, action: str = "scripted", **request: Any) -> HostResult:
    return asyncio.run(engine.process_one(in_memory.host(provider="arius"), one.context(action, **request)))


def verdict(result: HostResult) -> tuple[str, str, str]:
    return result.outcome.value, result.reason.value, result.detail


# what is decided after the stage "first" -> how the host ends, and the states of all stages
AFTER: dict[str, tuple[list[Decision], tuple[str, str, str], list[str]]] = {
    "done": ([Done()], ("changed", "confirmed", ""), ["confirmed"]),
    "the same stage": ([stage("first")], ("failed", "not_converged", "first"), ["failed"]),
    "another stage": ([stage("second"), Done()], ("changed", "confirmed", ""), ["confirmed", "confirmed"]),
    "a failure": ([Failed("odd", "it is odd")], ("failed", "check_failed", "odd"), ["applied"]),
    "a failure of this stage": ([Failed("odd", "", stage="first")], ("failed", "check_failed", "odd"), ["applied"]),
    "a failure of a later one": ([Failed("odd", "", stage="next")], ("failed", "check_failed", "odd"), ["confirmed"]),
    "a refusal": ([Refused("no", "not now")], ("failed", "not_converged", "no"), ["applied"]),
    "a second that is needed on": (
        [stage("second"), stage("second")],
        ("failed", "not_converged", "second"),
        ["confirmed", "failed"],
    ),
}


@pytest.mark.parametrize("case", AFTER)
def test_what_is_decided_after_a_stage_says_whether_it_took_effect(case: str) -> None:
    decisions, expected, states = AFTER[case]
    result = run(scripted(deciding(stage("first"), *decisions)))
    assert verdict(result) == expected
    assert [one.state for one in result.stages] == states


@pytest.mark.parametrize("decision", [Failed("odd", "it is odd"), Refused("no", "not now")])
def test_a_decision_before_any_stage_is_the_outcome(decision: Failed | Refused) -> None:
    result = run(scripted(deciding(decision)))
    expected = ("failed", "check_failed") if isinstance(decision, Failed) else ("skipped", "refused")
    assert verdict(result) == (*expected, decision.code)
    assert (result.message, result.stages) == (decision.message, ())


@pytest.mark.parametrize(("needed", "expected"), [(3, "changed"), (5, "changed"), (6, "failed")])
def test_a_stage_is_looked_at_again_until_its_time_to_settle_is_over(
    needed: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every look takes a second, and the stage may take five."""
    monkeypatch.setattr(engine, "POLL_S", 0)
    slow = stage("first", settle=5.0, why="the service is starting")
    one = scripted(deciding(*[slow] * needed, Done()))
    terminal = one.terminals[NAME]
    terminal.on_look = lambda: one.clock.advance(1)
    result = run(one)
    assert result.outcome.value == expected
    assert sum(script.startswith("observe") for script in terminal.scripts) == min(needed + 1, 6)
    assert terminal.written == 1
    if expected == "failed":
        assert result.message.endswith("still is not as it should be: the service is starting")


def test_a_till_that_becomes_busy_while_a_stage_settles_is_looked_at_to_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "POLL_S", 0)
    one = scripted(deciding(*[stage("first", settle=5.0)] * 3, Done()), busy={"arius": "check"})
    terminal = one.terminals[NAME]
    terminal.on_step = lambda: setattr(terminal, "busy", b"sale open\n")
    assert verdict(run(one)) == ("changed", "confirmed", "")


LOST = {
    "connection lost": Transient(Outcome.UNREACHABLE, Reason.CONNECTION_LOST, "the connection ended"),
    "timeout": Transient(Outcome.UNREACHABLE, Reason.TIMEOUT, "no answer"),
    "deadline": Transient(Outcome.FAILED, Reason.DEADLINE, "not answered after 5 s", "observe"),
    "another error": Permanent(Outcome.FAILED, Reason.BAD_FACTS, "too much output", "flood"),
}


@pytest.mark.parametrize("case", LOST)
@pytest.mark.parametrize("look", [1, 2], ids=["before the stage", "after it"])
def test_a_host_that_is_lost_after_a_stage_is_unknown_and_before_it_what_happened(case: str, look: int) -> None:
    error = LOST[case]

    class Losing(MemorySession):
        looks = 0

        async def run(self, sections: Sequence[tuple[str, str]], *, timeout: float, privileged: bool) -> Answer:
            self.looks += sections[0][0] == "facts"
            if self.looks == look:
                raise type(error)(error.outcome, error.reason, error.message, error.detail)
            return await super().run(sections, timeout=timeout, privileged=privileged)

    result = run(scripted(deciding(stage("first"), Done()), session=Losing))
    if look == 2 and case != "another error":
        assert verdict(result) == ("unknown", "connection_lost", "first")
        assert "first was applied but not confirmed: the terminal was lost" in result.message
    else:
        assert verdict(result) == (error.outcome.value, error.reason.value, error.detail)
    assert [one.state for one in result.stages] == (["applied"] if look == 2 else [])


@pytest.mark.parametrize(
    ("effect", "names"),
    [
        ("change", ["role", "rollout", "freeze", "time", "lock", IDENTITY, "compatibility", "busy"]),
        ("read", ["role", "rollout", "freeze", "time", IDENTITY, "compatibility", "busy"]),
    ],
)
def test_every_gate_is_recorded_once_in_the_order_in_which_it_was_asked(effect: str, names: list[str]) -> None:
    decisions: list[Decision] = [stage("first"), stage("second"), Done()] if effect == "change" else [Done()]
    result = run(scripted(deciding(*decisions, effect=effect)))
    assert [(gate.gate, gate.allowed) for gate in result.gates] == [(name, True) for name in names]


def test_a_refusal_on_facts_is_recorded_with_its_gate() -> None:
    one = scripted(
        deciding(stage("first"), Done()), Terminal(busy=b"  \n sale open \xe9 \nmore\n"), busy={"arius": "check"}
    )
    result = run(one)
    assert verdict(result) == ("skipped", "terminal_busy", "")
    last = result.gates[-1]
    assert (last.gate, last.allowed, last.text) == ("busy", False, "in use: sale open \ufffd")


def test_a_busy_check_that_fails_counts_as_busy() -> None:
    class Failing(MemorySession):
        async def run(self, sections: Sequence[tuple[str, str]], *, timeout: float, privileged: bool) -> Answer:
            answer = await super().run(sections, timeout=timeout, privileged=privileged)
            return dataclasses.replace(answer, codes={**answer.codes, "busy": 3})

    result = run(scripted(deciding(stage("first"), Done()), busy={"arius": "check"}, session=Failing))
    assert verdict(result) == ("skipped", "terminal_busy", "")
    assert result.message == "in use: the busy check failed with exit 3"


def test_an_action_decides_on_its_own_lines_and_on_the_time_in_the_networks_zone() -> None:
    seen: list[Facts] = []

    def decide(facts: Facts, params: BaseModel, host: Host) -> Decision:
        seen.append(facts)
        return Done()

    run(scripted(dataclasses.replace(deciding(Done()), decide=decide), Terminal(value="a=b=c\nno pair")))
    (facts,) = seen
    assert facts.observed == {"value": "a=b=c"}
    assert facts.output == "value=a=b=c\nno pair\n"
    assert (facts.observed_at, str(facts.observed_at.tzinfo)) == (NOON, str(in_memory.ZONE))


# the departure -> the state of the stage that powers off
STATES = {"gone": "confirmed", "there": "failed", "no_witness": "sent", "store_silent": "sent", "not_asked": "sent"}


@pytest.mark.parametrize("state", STATES)
def test_only_a_machine_that_is_seen_to_go_or_to_stay_settles_its_stage(state: Any) -> None:
    off = deciding(stage("power off", confirm="gone"), effect="disrupt", stages=1, confirms=("gone",))
    result = run(scripted(off, Terminal(departure=Departure(state, 15.0, Sign.SILENT), lose_on="step")))
    assert [one.state for one in result.stages] == [STATES[state]]


# addresses of the host, others as (address, port), who answers before -> who is asked after, and whether the address is its own
VOUCHING: dict[str, tuple[tuple[str, ...], list[tuple[str, int]], list[str], list[str], bool]] = {
    "one answers": ((), [("10.0.0.2", 22), ("10.0.0.3", 22)], ["10.0.0.3"], ["10.0.0.3"], True),
    "none answers": ((), [("10.0.0.2", 22), ("10.0.0.3", 22)], [], ["10.0.0.2", "10.0.0.3"], True),
    "one is the host itself": (("10.0.0.1", "10.0.0.2"), [("10.0.0.2", 22), ("10.0.0.3", 22)], [], ["10.0.0.3"], True),
    "a store behind one address": ((), [("10.0.0.1", 2202)], ["10.0.0.1"], ["10.0.0.1"], False),
}


@pytest.mark.parametrize("case", VOUCHING)
def test_who_answers_before_a_power_off_is_asked_after_it(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    addresses, others, answering, asked, own = VOUCHING[case]
    found: list[tuple[list[str], bool]] = []

    async def some(self: in_memory.MemoryWatch, witnesses: Sequence[Witness]) -> Sequence[Witness]:
        return [one for one in witnesses if one.address in answering]

    async def departure(
        self: in_memory.MemoryWatch,
        host: Host,
        witnesses: Sequence[Witness],
        settle: float,
        *,
        own_address: bool = True,
    ) -> Departure:
        found.append((sorted(one.address for one in witnesses), own_address))
        return Departure("gone", 15.0, Sign.SILENT)

    monkeypatch.setattr(in_memory.MemoryWatch, "answering", some)
    monkeypatch.setattr(in_memory.MemoryWatch, "departure", departure)
    one = scripted(deciding(stage("power off", confirm="gone"), effect="disrupt", stages=1, confirms=("gone",)))
    host = in_memory.host(provider="arius", addresses=addresses, port=2201 if not own else 22)
    entries = [host, *(in_memory.host(300 + at, address=text, port=port) for at, (text, port) in enumerate(others))]
    context = dataclasses.replace(one.context("scripted"), neighbours=Neighbours(entries=entries))
    asyncio.run(engine.process_one(host, context))
    assert found == [(asked, own)]


def test_a_till_that_is_busy_before_the_second_stage_keeps_the_first() -> None:
    one = scripted(deciding(stage("first"), stage("second"), Done()), busy={"arius": "check"})
    terminal = one.terminals[NAME]
    terminal.on_step = lambda: setattr(terminal, "busy", b"sale open\n")
    result = run(one)
    assert verdict(result) == ("failed", "not_converged", "terminal_busy")
    assert [(record.name, record.state) for record in result.stages] == [("first", "confirmed")]
    assert [gate.gate for gate in result.gates if not gate.allowed] == ["busy"]


def test_what_was_done_is_in_the_result_with_seconds_and_instants() -> None:
    change = Change("zone", "UTC", "America/Sao_Paulo")
    one = scripted(
        deciding(stage("first", changes=(change,)), Done(report={"zone": "right"}, message="as it should be"))
    )
    terminal = one.terminals[NAME]

    class Slow(MemorySession):
        def __init__(self, terminal: Terminal) -> None:
            super().__init__(terminal)
            one.clock.advance(1)

    one.remote.session = Slow
    terminal.on_look = lambda: one.clock.advance(2)
    terminal.on_step = lambda: one.clock.advance(4)
    result = run(one)
    assert verdict(result) == ("changed", "confirmed", "")
    assert result.durations == {"connect": 1.0, "observe": 4.0, "apply": 4.0, "total": 9.0}
    assert result.started_at == NOON
    assert result.finished_at == NOON + dt.timedelta(seconds=9)
    assert (result.message, result.report, result.attempts) == ("as it should be", {"zone": "right"}, 1)
    assert (result.changes, result.plan) == ((change,), ("zone: UTC -> America/Sao_Paulo",))
    assert result.compatibility["decision"] == "warned"
    assert result.facts["distro"] == "ubuntu"


def test_a_dry_run_records_what_the_first_stage_would_change() -> None:
    change = Change("zone", "UTC", "America/Sao_Paulo")
    one = scripted(deciding(stage("first", changes=(change,), summary=("restart cron",)), Done()))
    result = run(one, dry_run=True)
    assert verdict(result) == ("would_change", "dry_run", "")
    assert (result.changes, result.plan) == ((change,), ("zone: UTC -> America/Sao_Paulo", "restart cron"))
    assert (result.message, result.stages, one.ledger.intents) == ("would apply: first", (), [])


def test_a_stage_that_names_no_change_is_planned_by_its_steps() -> None:
    assert run(scripted(deciding(stage("first", "one", "two"))), dry_run=True).plan == ("one", "two")


@pytest.mark.parametrize(("effect", "at_once"), [("change", True), ("disrupt", True), ("read", False)])
def test_the_identity_is_written_at_once_where_the_host_may_be_changed(effect: str, at_once: bool) -> None:
    written: list[bool] = []

    class Recorded(in_memory.MemoryIdentities):
        async def remember(self, host: Host, claim: Any, finding: Any, record: Any, *, at_once: bool) -> None:
            written.append(at_once)

    run(scripted(deciding(Done(), effect=effect), identities=Recorded()))
    assert written == [at_once]


def test_an_action_applies_no_more_stages_than_it_declares() -> None:
    one = scripted(deciding(stage("first"), stage("second"), Done(), stages=1))
    result = run(one)
    assert verdict(result) == ("failed", "not_converged", "")
    assert "Not converged: second is still needed after 1 stage (the maximum)" in result.message
    assert one.ledger.intents == [(NAME, "first")]


def _after_first(terminal: Terminal, then: Callable[[], None]) -> None:
    """``then`` once the first step was done."""
    steps: list[None] = []

    def on_step() -> None:
        steps.append(None)
        if len(steps) == 2:
            then()

    terminal.on_step = on_step


def test_a_step_that_fails_is_told_with_the_steps_done_before_it_and_none_after_it() -> None:
    terminal = Terminal()
    _after_first(terminal, lambda: setattr(terminal, "step_code", 7))
    result = run(scripted(deciding(stage("set", "one", "two", "three")), terminal))
    assert verdict(result) == ("failed", "step_failed", "set")
    assert result.message == "set: two failed with exit 7: step says no; done before it: one"
    assert [(step.name, step.status, step.exit_code) for step in result.steps] == [
        ("one", "done", 0),
        ("two", "failed", 7),
    ]
    assert [one.state for one in result.stages] == ["failed"]


NEEDED = stage("first", why="it is masked")
# the stage whose step fails, what is decided when the terminal is looked at again -> the end of the message, and the looks
EXPLAINED: dict[str, tuple[Stage, list[Decision], str, int]] = {
    "still needed": (NEEDED, [stage("first", why="it is masked by hand")], "step says no; it is masked by hand", 2),
    "still needed, nobody says why": (NEEDED, [stage("first")], "step says no", 2),
    "another stage": (NEEDED, [stage("second", why="other")], "step says no", 2),
    "done all the same": (NEEDED, [Done()], "step says no", 2),
    "a stage that never says why": (stage("first"), [stage("first", why="new")], "step says no", 1),
    "a power-off": (stage("first", why="it is on", confirm="gone"), [stage("first", why="new")], "step says no", 1),
}


@pytest.mark.parametrize("case", EXPLAINED)
def test_a_failed_step_is_told_with_why_its_stage_is_still_needed(case: str) -> None:
    broken, then, ending, looks = EXPLAINED[case]
    one = scripted(
        deciding(broken, *then, effect="disrupt", stages=2, confirms=("state", "gone")), Terminal(step_code=3)
    )
    terminal = one.terminals[NAME]
    terminal.on_look = lambda: one.clock.advance(2)
    result = run(one)
    assert verdict(result) == ("failed", "step_failed", "first")
    assert result.message == f"first: first failed with exit 3: {ending}"
    assert sum(script.startswith("observe") for script in terminal.scripts) == looks
    assert result.durations["observe"] == 2.0 * looks


def test_a_failed_step_is_told_also_where_the_terminal_cannot_be_looked_at_again() -> None:
    one = scripted(deciding(NEEDED), Terminal(step_code=3))
    terminal = one.terminals[NAME]
    terminal.on_step = lambda: setattr(terminal, "lose_on", "facts")
    result = run(one)
    assert (verdict(result), result.message) == (
        ("failed", "step_failed", "first"),
        "first: first failed with exit 3: step says no",
    )


@pytest.mark.parametrize(
    ("output", "said"), [(b"", "no output"), (b" \n", "no output"), (b"one\n two \n\n", "two"), (b"x" * 900, "x" * 200)]
)
def test_a_step_that_fails_is_told_with_the_last_line_that_it_said(output: bytes, said: str) -> None:
    class Failing(MemorySession):
        async def run(self, sections: Sequence[tuple[str, str]], *, timeout: float, privileged: bool) -> Answer:
            if sections[0][0].startswith("step:"):
                return Answer({"step:0": output}, {"step:0": 3}, complete=True)
            return await super().run(sections, timeout=timeout, privileged=privileged)

    result = run(scripted(deciding(stage("first")), session=Failing))
    assert result.message == f"first: first failed with exit 3: {said}"
    assert len(result.steps[0].output) <= 400


def test_the_seconds_until_a_power_off_is_proven_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    one = scripted(deciding(stage("power off", confirm="gone"), effect="disrupt", stages=1, confirms=("gone",)))
    departure = in_memory.MemoryWatch.departure

    async def slow(self: in_memory.MemoryWatch, *given: Any, **named: Any) -> Any:
        one.clock.advance(3)
        return await departure(self, *given, **named)

    monkeypatch.setattr(in_memory.MemoryWatch, "departure", slow)
    result = run(one)
    assert result.durations["confirm"] == 3.0, result


def test_a_stage_that_is_lost_between_two_steps_is_unknown_with_what_was_done() -> None:
    terminal = Terminal()
    _after_first(terminal, lambda: setattr(terminal, "lose_on", "step"))
    result = run(scripted(deciding(stage("set", "one", "two", "three", "four")), terminal))
    assert verdict(result) == ("unknown", "connection_lost", "set")
    assert [(step.name, step.status) for step in result.steps] == [
        ("one", "done"),
        ("two", "done"),
        ("three", "unknown"),
    ]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-1, ("skipped", "refused", "too_late")),
        (0, ("skipped", "refused", "too_late")),
        (1, ("changed", "confirmed", "")),
    ],
)
def test_a_stage_is_not_begun_from_the_instant_until_which_it_was_valid(
    seconds: int, expected: tuple[str, str, str]
) -> None:
    valid = NOON + dt.timedelta(seconds=seconds)
    one = scripted(deciding(stage("first", valid_until=valid), Done()))
    result = run(one)
    assert verdict(result) == expected
    assert one.terminals[NAME].written == (1 if expected[0] == "changed" else 0)


@pytest.mark.parametrize(
    ("seconds", "effect", "refused"),
    [
        (120, "change", False),
        (121, "change", True),
        (-120, "change", False),
        (-121, "change", True),
        (9999, "read", False),
    ],
)
def test_a_clock_that_jumped_before_the_host_stops_what_changes_before_any_connection(
    seconds: int, effect: str, refused: bool
) -> None:
    one = scripted(deciding(Done(), effect=effect))
    context = one.context("scripted")
    one.clock.jump(seconds)
    result = asyncio.run(engine.process_one(in_memory.host(provider="arius"), context))
    assert verdict(result) == (("skipped", "refused", "clock_jumped") if refused else ("ok", "done", ""))
    assert one.remote.connected == ([] if refused else [NAME])
    assert (result.gates[-1].gate, result.gates[-1].allowed) == (("time", False) if refused else ("busy", True))


@pytest.mark.parametrize(("document", "gate"), [({}, "time"), ({"freeze": "sale"}, "freeze")])
def test_a_gate_of_time_that_closes_after_the_look_is_recorded_and_nothing_is_sent(
    document: dict[str, Any], gate: str
) -> None:
    later = {"id": "sale", "start": "2026-03-10T12:00:30", "end": "2026-03-10T20:00"}
    one = scripted(deciding(stage("first"), Done()))
    if document:
        one.document = in_memory.config(freeze=[later])
    one.terminals[NAME].on_look = lambda: one.clock.advance(60)
    result = run(one, not_after=NOON + dt.timedelta(seconds=30))
    assert (result.gates[-1].gate, result.gates[-1].allowed) == (gate, False)
    assert (one.terminals[NAME].written, one.ledger.intents) == (0, [])


def test_a_cancellation_of_the_whole_process_is_passed_on() -> None:
    async def scene() -> None:
        one = scripted(deciding(Done()), Terminal(hang=True))
        task = asyncio.create_task(engine.process_one(in_memory.host(provider="arius"), one.context("scripted")))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scene())


def test_a_lock_is_recorded_when_it_is_held_and_when_it_is_not_had() -> None:
    one = scripted(deciding(Done()), locks=in_memory.MemoryLocks({NAME: "run 7 (set_value)"}))
    result = run(one)
    last = result.gates[-1]
    assert (last.gate, last.allowed, last.text) == ("lock", False, "run 7 (set_value)")


def test_a_change_keeps_its_machine_from_every_other_action() -> None:
    asked: list[tuple[str, str]] = []

    class Recorded(in_memory.MemoryLocks):
        @contextlib.asynccontextmanager
        async def try_lock(self, host: Host, owner: str, only: str = "") -> AsyncIterator[str | None]:
            asked.append((owner, only))
            yield None

    one = scripted(deciding(Done()), locks=Recorded())
    run(one, run_id="7")
    assert asked == [("run 7 (scripted)", "")]


# How an observation that did not end is answered: what the session says -> outcome, reason, detail, and words of the message.
UNANSWERED: dict[str, tuple[Answer, tuple[str, str, str], str]] = {
    "slow": (
        Answer({}, {}, complete=False, stopped=Reason.DEADLINE),
        ("failed", "deadline", "observe"),
        "the terminal had not answered after 5 s (ssh.command_timeout)",
    ),
    "slow, with words": (
        Answer({}, {}, complete=False, stopped=Reason.DEADLINE, noise=b"one\nPassword:\n"),
        ("failed", "deadline", "observe"),
        "the terminal had not answered after 5 s (ssh.command_timeout); its last words: Password:",
    ),
    "a flood": (
        Answer({}, {}, complete=False, stopped=Reason.KILLED),
        ("failed", "bad_facts", "flood"),
        "too much output from the terminal; the check was stopped. It changed nothing",
    ),
    "a flood that ended": (
        Answer({}, {}, complete=True, truncated=True),
        ("failed", "bad_facts", "flood"),
        "too much output from the terminal; the check was stopped. It changed nothing",
    ),
    "a shell of its own": (
        Answer({}, {}, complete=False, noise=b"menu\n"),
        ("failed", "bad_facts", "shell"),
        "the login shell ended without having run the script; it said: menu",
    ),
    "a shell that says nothing": (
        Answer({}, {}, complete=False),
        ("failed", "bad_facts", "shell"),
        "the login shell ended without having run the script; it said: nothing",
    ),
    "a lost connection": (
        Answer({}, {}, complete=False, stopped=Reason.CONNECTION_LOST),
        ("unreachable", "connection_lost", ""),
        "the connection ended before the terminal had answered",
    ),
}


@pytest.mark.parametrize("case", UNANSWERED)
def test_an_observation_without_an_end_says_why(case: str) -> None:
    answer, expected, message = UNANSWERED[case]

    class Broken(MemorySession):
        async def run(self, sections: Sequence[tuple[str, str]], *, timeout: float, privileged: bool) -> Answer:
            return answer

    result = run(scripted(deciding(Done()), session=Broken))
    assert verdict(result) == expected
    assert result.message == message


@pytest.mark.parametrize(
    ("stopped", "reason", "message"),
    [
        (Reason.DEADLINE, "deadline", "first was not finished after 5 s and was cut"),
        (Reason.KILLED, "connection_lost", "first sent too much output and was cut"),
        (Reason.CONNECTION_LOST, "connection_lost", "the connection was lost during first"),
        (None, "connection_lost", "the connection was lost during first"),
    ],
)
def test_a_stage_without_an_end_is_unknown_and_says_why(stopped: Reason | None, reason: str, message: str) -> None:
    class Broken(MemorySession):
        async def run(self, sections: Sequence[tuple[str, str]], *, timeout: float, privileged: bool) -> Answer:
            if sections[0][0].startswith("step:"):
                return Answer({"step:0": b" half \n"}, {}, complete=False, stopped=stopped)
            return await super().run(sections, timeout=timeout, privileged=privileged)

    result = run(scripted(deciding(stage("first")), session=Broken))
    assert verdict(result) == ("unknown", reason, "first")
    assert result.message == f"{message}; what the terminal did with it is not known"
    assert [(step.name, step.status, step.output) for step in result.steps] == [("first", "unknown", "half")]


@pytest.mark.parametrize(("needs_root", "who", "privilege"), [(True, b"1000(till", "sudo"), (False, b"1000(till", "none"),
                                                               (False, b"0(root", "root")])  # fmt: skip
def test_a_script_runs_with_the_privilege_that_the_action_needs(needs_root: bool, who: bytes, privilege: str) -> None:
    asked: list[tuple[float, bool]] = []

    class Sudo(MemorySession):
        elevation = "sudo"

        async def run(self, sections: Sequence[tuple[str, str]], *, timeout: float, privileged: bool) -> Answer:
            asked.append((timeout, privileged))
            return await super().run(sections, timeout=timeout, privileged=privileged)

    terminal = Terminal(facts=in_memory.FACTS.replace(b"0(root", who))
    result = run(scripted(deciding(Done(), needs_root=needs_root), terminal, session=Sudo))
    assert result.facts["privilege"] == privilege
    assert asked == [(5.0, needs_root)]


def test_a_read_does_not_ask_whether_the_terminal_is_busy() -> None:
    one = scripted(deciding(Done(), effect="read"), busy={"arius": "check"})
    run(one, selector=Selector(all=True))
    assert [script.split("\n")[0] for script in one.terminals[NAME].scripts] == ["facts", "observe"]


def test_an_action_without_a_look_of_its_own_is_decided_on_the_engines_facts() -> None:
    one = scripted(deciding(Done(message="reachable"), observe=""), Terminal(observe_code=3))
    assert verdict(run(one)) == ("ok", "done", "")
    assert [script.split("\n")[0] for script in one.terminals[NAME].scripts] == ["facts"]


def test_parameters_reach_the_look_as_quoted_variables() -> None:
    class Several(in_memory.Settings):
        """One of each kind."""

        on: bool = True
        off: bool = False
        nothing: int | None = None
        number: int = 7
        many: tuple[str, ...] = ("a",)

    one = scripted(deciding(Done(), params=Several))
    run(one, params={"wanted": "it's $HOME"})
    look = next(script for script in one.terminals[NAME].scripts if script.startswith("observe"))
    said = dict(line.split("=", 1) for line in look.split("\n") if line.startswith("P_"))
    assert set(said) == {"P_wanted", "P_on", "P_off", "P_nothing", "P_number"}
    assert {name: said[name].strip("'") for name in ("P_on", "P_off", "P_nothing", "P_number")} == {
        "P_on": "yes",
        "P_off": "no",
        "P_nothing": "",
        "P_number": "7",
    }
    assert look.endswith("look")


@pytest.mark.parametrize(
    ("after", "expected", "message"),
    [
        (0, ("failed", "internal", "ZeroDivisionError"), "ZeroDivisionError: wrong"),
        (1, ("unknown", "connection_lost", "first"), "first was applied but not confirmed: ZeroDivisionError: wrong"),
    ],
    ids=["before a stage", "after a stage was sent"],
)
def test_a_fault_of_ours_after_a_stage_leaves_the_host_unknown(
    after: int, expected: tuple[str, str, str], message: str
) -> None:
    decided: list[None] = []

    def decide(facts: Facts, params: BaseModel, host: Host) -> Decision:
        if len(decided) == after:
            raise ZeroDivisionError("wrong")
        decided.append(None)
        return stage("first")

    result = run(scripted(dataclasses.replace(deciding(Done()), decide=decide)))
    assert (verdict(result), result.message) == (expected, message)


def test_an_error_with_a_host_at_work_is_the_hosts_outcome() -> None:
    error = HostError(Outcome.UNREACHABLE, Reason.AUTH_FAILED, "refused", "why")
    result = run(scripted(deciding(Done()), Terminal(refuse=error)))
    assert verdict(result) == ("unreachable", "auth_failed", "why")
    assert (result.message, result.attempts) == ("refused", 1)
    assert result.durations["connect"] == 0.0
