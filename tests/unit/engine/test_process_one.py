"""One host's way through gates and action: every outcome has a case, and what must not be written is counted."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from runtime.domain.action import Action, Script, Stage
from runtime.domain.deliveries import Deliver
from runtime.domain.departure import Departure, Sign
from runtime.domain.errors import Permanent, Transient
from runtime.domain.facts import Facts
from runtime.domain.identity import IdentityRecord, Settled
from runtime.domain.machines import grouped
from runtime.domain.model import (
    HOST_KEY,
    IDENTITY,
    Allow,
    Deny,
    Host,
    HostResult,
    Listing,
    Outcome,
    Reason,
    Selector,
    Verdict,
)
from runtime.domain.witnesses import Witness
from runtime.process_one import process_one
from tests.unit.engine import in_memory
from tests.unit.engine.in_memory import NOON, Terminal, World

NAME = "ACME-LOJA001-PDV201"


def run(one: World, action: str = "set_value", host: Any = None, **request: Any) -> HostResult:
    return asyncio.run(process_one(host or in_memory.host(), one.context(action, **request)))


def verdict(result: HostResult) -> tuple[str, str, str]:
    return result.outcome.value, result.reason.value, result.detail


def test_a_host_that_is_right_is_ok_and_nothing_is_written() -> None:
    terminal = Terminal(value="new")
    result = run(World({NAME: terminal}))
    assert verdict(result) == ("ok", "done", "")
    assert terminal.written == 0
    assert result.report == {"value": "new"}


def test_a_host_that_is_wrong_is_changed_confirmed_and_recorded_before_the_first_byte() -> None:
    one = World({NAME: Terminal()})
    seen: list[list[tuple[str, str]]] = []
    one.terminals[NAME].on_step = lambda: seen.append(list(one.ledger.intents))
    result = run(one)
    assert verdict(result) == ("changed", "confirmed", "")
    assert [(step.name, step.status) for step in result.steps] == [("set value", "done")]
    assert seen == [[(NAME, "set")]]


def _delivers_rows(facts: Facts, params: BaseModel, host: Host) -> Stage:
    return Stage("deliver", (Deliver("coupons", "api", ()),))


def _asks_for_a_receipt(facts: Facts, params: BaseModel, host: Host) -> Stage:
    return Stage("deliver", (Script("deliver", "set-it\n"),), confirm="receipt")


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (dataclasses.replace(in_memory.SET, effect="read"), "only reads"),
        (dataclasses.replace(in_memory.SET, decide=_asks_for_a_receipt), "which no terminal gives"),
        (dataclasses.replace(in_memory.SET, decide=_delivers_rows), "deliver has rows steps"),
        (dataclasses.replace(in_memory.SET, steps=("file",)), "set has script steps, which set_value does not declare"),
        (dataclasses.replace(in_memory.SET, decide=in_memory.power_off), "by gone, which set_value does not declare"),
    ],
    ids=[
        "a read that asks to apply",
        "a receipt",
        "rows",
        "a step that is not declared",
        "a proof that is not declared",
    ],
)
def test_a_stage_that_does_not_fit_its_action_or_subject_writes_nothing(action: Action, said: str) -> None:
    one = World({NAME: Terminal()}, known=in_memory.knowledge(action))
    result = run(one)
    assert verdict(result) == ("failed", "internal", "")
    assert said in result.message
    assert (one.terminals[NAME].written, one.ledger.intents) == (0, [])


def test_a_result_says_how_long_each_part_took() -> None:
    assert set(run(World({NAME: Terminal()})).durations) == {"connect", "observe", "apply", "total"}
    one = World({NAME: Terminal(departure=Departure("gone", 15.0, Sign.SILENT))})
    assert set(run(one, "power_off").durations) == {"connect", "observe", "apply", "confirm", "total"}


def test_a_dry_run_shows_the_first_stage_and_writes_nothing() -> None:
    one = World({NAME: Terminal()})
    result = run(one, dry_run=True)
    assert verdict(result) == ("would_change", "dry_run", "")
    assert result.plan == ("value -> new",)
    assert one.terminals[NAME].written == 0
    assert one.ledger.intents == []


def freeze(**fields: Any) -> dict[str, Any]:
    return {"id": "sale", "start": "2026-03-10T08:00", "end": "2026-03-10T20:00", "reason": "sales day", **fields}


def never(one: World) -> Host:
    one.document = in_memory.config(rollout={"arius": {"percent": 100, "never": [NAME]}})
    return in_memory.host()


def frozen(one: World) -> dict[str, Any]:
    one.document = in_memory.config(freeze=[freeze()])
    return {}


REFUSALS: dict[str, tuple[Callable[[World], dict[str, Any]], str, tuple[str, str, str]]] = {
    "a concentrator by role": (
        lambda one: {"host": in_memory.host(role="concentrator")},
        "set_value",
        ("skipped", "protected_role", ""),
    ),
    "a role nobody named": (
        lambda one: {"host": in_memory.host(role="other")},
        "set_value",
        ("skipped", "protected_role", ""),
    ),
    "no usable address": (
        lambda one: {"host": in_memory.host(address="", problem="no agent interface")},
        "set_value",
        ("unreachable", "no_address", ""),
    ),
    "a provider at 0 %": (
        lambda one: {"host": in_memory.host(provider="zanthus")},
        "set_value",
        ("skipped", "rollout_excluded", ""),
    ),
    "an unknown provider": (
        lambda one: {"host": in_memory.host(provider="who")},
        "set_value",
        ("skipped", "rollout_excluded", ""),
    ),
    "a read on many at 0 %": (
        lambda one: {"host": in_memory.host(provider="zanthus")},
        "look_at_value",
        ("skipped", "rollout_excluded", ""),
    ),
    "a change on a host named by itself at 0 %": (
        lambda one: {"host": in_memory.host(provider="zanthus"), "selector": Selector(names=(NAME,))},
        "set_value",
        ("skipped", "rollout_excluded", ""),
    ),
    "a power-off by address of a host that is never in": (
        lambda one: {
            "host": never(one),
            "selector": Selector(addresses=("10.0.0.1",)),
        },
        "power_off",
        ("skipped", "rollout_excluded", ""),
    ),
    "a freeze": (frozen, "set_value", ("skipped", "frozen", "sale")),
    "after not_after": (
        lambda one: {"not_after": NOON - dt.timedelta(seconds=1)},
        "set_value",
        ("skipped", "refused", "not_after"),
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_gate_refuses_before_any_connection(case: str) -> None:
    prepare, action, expected = REFUSALS[case]
    one = World({NAME: Terminal()})
    request = prepare(one)
    host = request.pop("host", in_memory.host())
    context = one.context(action, **request)
    result = asyncio.run(process_one(host, context))
    assert verdict(result) == expected
    assert one.remote.connected == []
    assert not result.gates[-1].allowed
    assert result.message


def test_a_frozen_store_is_not_changed_and_can_be_read() -> None:
    one = World({NAME: Terminal()}, document=in_memory.config(freeze=[freeze()]))
    assert verdict(run(one)) == ("skipped", "frozen", "sale")
    assert verdict(run(one, "look_at_value")) == ("ok", "done", "")


def test_a_freeze_that_begins_during_the_run_stops_the_next_stage() -> None:
    one = World({NAME: Terminal()}, document=in_memory.config(freeze=[freeze(start="2026-03-10T12:00:30")]))
    one.terminals[NAME].on_look = lambda: one.clock.advance(60)
    assert verdict(run(one)) == ("skipped", "frozen", "sale")
    assert one.terminals[NAME].written == 0


def test_a_configured_concentrator_is_protected_by_address_and_by_name_whatever_its_role_says() -> None:
    by_address = World({NAME: Terminal()}, document=in_memory.config(concentrators=[{"address": "10.0.0.1"}]))
    by_name = World(
        {NAME: Terminal()}, document=in_memory.config(concentrators=[{"address": "10.9.9.9", "name": NAME.lower()}])
    )
    for one in (by_address, by_name):
        assert verdict(run(one)) == ("skipped", "protected_role", "")
    visible = World(
        {NAME: Terminal()}, document=in_memory.config(concentrators=[{"address": "10.9.9.9", "name": "servidor"}])
    )
    assert verdict(run(visible, host=in_memory.host(display_name="Servidor"))) == ("skipped", "protected_role", "")


@pytest.mark.parametrize("kind", ["concentrator", "proxy"])
def test_a_host_that_shares_a_machine_with_a_protected_one_is_not_changed(kind: Any) -> None:
    one = World({NAME: Terminal()})
    server = in_memory.host(1, name="ACME-LOJA001-HUB", role=kind)
    result = run(one, host=grouped(Listing((in_memory.host(),), (server,))).hosts[0])
    assert verdict(result) == ("skipped", "protected_role", "")
    assert f"ACME-LOJA001-HUB (both have the address 10.0.0.1), a {kind}" in result.message
    assert one.terminals[NAME].scripts == []


def test_a_key_that_was_pinned_at_this_login_is_reported_and_a_known_one_is_not() -> None:
    new, known = World({NAME: Terminal(learned_key="SHA256:abc")}), World({NAME: Terminal()})
    told = [(record.allowed, record.text) for record in run(new).gates if record.gate == HOST_KEY]
    assert told == [(True, "seen for the first time, pinned: SHA256:abc")]
    assert HOST_KEY not in [record.gate for record in run(known).gates]


def test_a_read_of_an_explicitly_named_host_passes_the_rollout_with_a_record() -> None:
    one = World({NAME: Terminal(value="x")})
    result = run(one, "look_at_value", host=in_memory.host(provider="zanthus"), selector=Selector(names=(NAME,)))
    assert verdict(result) == ("ok", "done", "")
    assert "without the rollout" in next(gate.text for gate in result.gates if gate.gate == "rollout")


def test_a_locked_host_is_skipped_with_the_holders_name_and_a_read_needs_no_lock() -> None:
    one = World({NAME: Terminal()}, locks=in_memory.MemoryLocks({NAME: "held by run 7"}))
    result = run(one)
    assert verdict(result) == ("skipped", "host_locked", "")
    assert "run 7" in result.message
    assert verdict(run(one, "look_at_value")) == ("ok", "done", "")


def test_a_machine_is_busy_when_any_of_its_providers_busy_checks_finds_it_busy() -> None:
    one = World({NAME: Terminal()}, busy={"arius": "arius-check", "zanthus": "exit 0; zanthus-check"})
    twin = in_memory.host(203, provider="zanthus", left_out="disabled")
    run(one, host=grouped(Listing((in_memory.host(),), (twin,))).hosts[0])
    (asked,) = {script for script in one.terminals[NAME].scripts if script.startswith("busy")}
    assert "(\narius-check\n)\n(\nexit 0; zanthus-check\n)" in asked


@pytest.mark.parametrize(
    ("mode", "effect_action", "expected"),
    [
        ("off", "set_value", ("changed", "confirmed", "")),
        ("warn", "set_value", ("changed", "confirmed", "")),
        ("enforce", "set_value", ("blocked", "compat_unknown", "")),
        ("enforce", "look_at_value", ("ok", "done", "")),
    ],
)
def test_the_compatibility_mode_decides_about_unknown_systems(
    mode: str, effect_action: str, expected: tuple[str, str, str]
) -> None:
    one = World({NAME: Terminal()}, document=in_memory.config(compatibility={"mode": mode}))
    result = run(one, effect_action)
    assert (result.outcome.value, result.reason.value) == expected[:2]
    assert result.compatibility["mode"] == mode


def test_a_busy_terminal_is_skipped_and_a_failing_busy_check_counts_as_busy() -> None:
    one = World({NAME: Terminal(busy=b"sale 4711 is open\n")}, busy={"arius": "check"})
    result = run(one)
    assert verdict(result) == ("skipped", "terminal_busy", "")
    assert "4711" in result.message
    idle = World({NAME: Terminal(busy=b"\n")}, busy={"arius": "check"})
    assert run(idle).outcome is Outcome.CHANGED


TROUBLE: dict[str, tuple[dict[str, Any], tuple[str, str, str]]] = {
    "refused": (
        {"refuse": Transient(Outcome.UNREACHABLE, Reason.REFUSED_CONNECTION, "refused")},
        ("unreachable", "refused_connection", ""),
    ),
    "key changed": (
        {"refuse": Permanent(Outcome.BLOCKED, Reason.HOST_KEY_CHANGED, "changed")},
        ("blocked", "host_key_changed", ""),
    ),
    "lost while looking": ({"lose_on": "facts"}, ("unreachable", "connection_lost", "")),
    "lost in a stage": ({"lose_on": "step"}, ("unknown", "connection_lost", "set")),
    "garbage for facts": ({"facts": b"\x00\xffwelcome"}, ("failed", "bad_facts", "")),
    "observation fails": ({"observe_code": 3}, ("failed", "bad_facts", "observe")),
    "step fails": ({"step_code": 9}, ("failed", "step_failed", "set")),
    "never settles": ({"wants_ignored": True}, ("failed", "not_converged", "set")),
}


@pytest.mark.parametrize("case", TROUBLE)
def test_each_connection_failure_has_its_own_outcome(case: str) -> None:
    fields, expected = TROUBLE[case]
    result = run(World({NAME: Terminal(**fields)}))
    assert (result.outcome.value, result.reason.value) == expected[:2]
    if expected[2]:
        assert result.detail == expected[2]
    assert result.message


@pytest.mark.parametrize(
    ("output", "told"),
    [(b"", "no output"), (b"first\ncannot be read\n", "cannot be read")],
    ids=["without output", "with output"],
)
def test_a_failed_observation_is_reported_with_its_exit_code_and_last_line(output: bytes, told: str) -> None:
    result = run(World({NAME: Terminal(observe_code=3, observe_output=output)}))
    assert result.message == f"observing the terminal for set_value failed with exit 3: {told}"


@pytest.mark.parametrize("then", ["still needed", "lost"])
def test_a_failed_step_is_reported_with_the_terminals_state_after_it(then: str) -> None:
    def explained(facts: Any, params: Any, host: Any) -> Any:
        stage = in_memory.decide(facts, params, host)
        return (
            dataclasses.replace(stage, why=f"value is {facts.observed['value']}") if isinstance(stage, Stage) else stage
        )

    terminal = Terminal(step_code=9)
    terminal.on_step = lambda: setattr(
        terminal, *(("value", "stuck") if then == "still needed" else ("lose_on", "facts"))
    )
    result = run(
        World({NAME: terminal}, known=in_memory.knowledge(dataclasses.replace(in_memory.SET, decide=explained)))
    )
    assert verdict(result) == ("failed", "step_failed", "set")
    more = "; value is stuck" if then == "still needed" else ""
    assert result.message == f"set: set value failed with exit 9: step says no{more}"
    assert terminal.written == 1


def test_a_stage_whose_connection_was_lost_lists_its_step_as_unknown() -> None:
    result = run(World({NAME: Terminal(lose_on="step")}))
    assert [(step.name, step.status) for step in result.steps] == [("set value", "unknown")]


def test_a_hanging_host_ends_at_its_deadline() -> None:
    result = run(World({NAME: Terminal(hang=True)}, host_deadline=0.05))
    assert verdict(result) == ("failed", "deadline", "")


WITNESS = Witness("ACME-LOJA001-PDV202", "10.0.0.2", (22,))
DEPARTURES = {
    "gone": (
        Departure("gone", 15.2, Sign.SILENT, WITNESS, Sign.ECHO, (WITNESS,)),
        ("changed", "confirmed", ""),
        "silent for 15 s while ACME-LOJA001-PDV202 (10.0.0.2) answers a ping",
    ),
    "a refused connection proves that it is on": (
        Departure("there", 0.0, Sign.REFUSED),
        ("failed", "not_converged", "there"),
        "still on after 1 s: 10.0.0.1 refuses connections",
    ),
    "the whole store is silent": (
        Departure("store_silent", 40.0, Sign.SILENT, asked=(WITNESS,)),
        ("unknown", "connection_lost", "store_silent"),
        "nothing of store 1 answers any more",
    ),
    "nobody to ask": (
        Departure("no_witness", 15.0, Sign.SILENT),
        ("unknown", "connection_lost", "no_witness"),
        "Set stores.1.gateway",
    ),
    "the proxy cannot ask": (
        Departure("not_asked", 0.0, Sign.NOT_ASKED),
        ("unknown", "connection_lost", "not_asked"),
        "kept it from asking 10.0.0.1",
    ),
}


@pytest.mark.parametrize("case", DEPARTURES)
@pytest.mark.parametrize("lost", ["", "step"])
def test_a_power_off_is_confirmed_only_by_silence_while_a_witness_answers(case: str, lost: str) -> None:
    departure, expected, said = DEPARTURES[case]
    result = run(World({NAME: Terminal(departure=departure, lose_on=lost)}), "power_off")
    assert verdict(result) == expected
    assert said in result.message
    assert result.report["power_off"]["state"] == departure.state
    assert (result.stages[0].state == "confirmed") == (case == "gone")


def test_a_clock_that_jumps_during_the_run_stops_what_writes_and_not_what_reads() -> None:
    one = World({NAME: Terminal()})
    writing, reading = one.context(), one.context("look_at_value")
    one.clock.jump(3 * 3600)
    assert verdict(asyncio.run(process_one(in_memory.host(), writing))) == ("skipped", "refused", "clock_jumped")
    assert asyncio.run(process_one(in_memory.host(), reading)).outcome is Outcome.OK
    assert one.terminals[NAME].written == 0


def test_after_a_stop_no_host_is_started() -> None:
    one = World({NAME: Terminal()})
    context = one.context()

    async def stopped() -> HostResult:
        context.stop.request(Reason.OPERATOR, "cancelled by ana")
        return await process_one(in_memory.host(), context)

    result = asyncio.run(stopped())
    assert verdict(result) == ("cancelled", "operator", "")
    assert "ana" in result.message


def test_an_internal_error_is_a_failed_host_and_not_a_crash() -> None:
    def broken(*_: Any) -> Any:
        raise KeyError("oops")

    action = dataclasses.replace(in_memory.SET, decide=broken)
    one = World({NAME: Terminal()}, known=in_memory.knowledge(action))
    result = run(one)
    assert verdict(result) == ("failed", "internal", "KeyError")


def test_a_read_action_cannot_write_even_if_it_returns_a_stage() -> None:
    liar = dataclasses.replace(in_memory.LOOK, decide=in_memory.decide, params=in_memory.Settings)
    one = World({NAME: Terminal()}, known=in_memory.knowledge(liar))
    assert verdict(run(one, "look_at_value")) == ("failed", "internal", "")
    assert one.terminals[NAME].written == 0


def test_a_stage_whose_window_is_over_is_not_started() -> None:
    def late(facts: Any, params: Any, host: Any) -> Any:
        stage = in_memory.decide(facts, params, host)
        return dataclasses.replace(stage, valid_until=NOON) if isinstance(stage, Stage) else stage

    one = World({NAME: Terminal()}, known=in_memory.knowledge(dataclasses.replace(in_memory.SET, decide=late)))
    assert verdict(run(one)) == ("skipped", "refused", "too_late")
    assert one.terminals[NAME].written == 0


# -- what was begun is never called untouched


def test_two_stages_are_both_confirmed_and_reported() -> None:
    one = World({NAME: Terminal()})
    result = run(one, "climb_up")
    assert verdict(result) == ("changed", "confirmed", "")
    assert [stage for _, stage in one.ledger.intents] == ["first", "second"]
    assert len(result.steps) == 2
    assert [(stage.name, stage.state) for stage in result.stages] == [("first", "confirmed"), ("second", "confirmed")]


# After the first of two stages: what befalls the terminal, and how that is told. The first stage stays confirmed in all of them.
LATER: dict[str, tuple[Callable[[Terminal], None], tuple[str, str], str]] = {
    "the second stage fails": (
        lambda till: setattr(till, "step_code", 9),
        ("failed", "step_failed"),
        "first confirmed; second: climb failed with exit 9",
    ),
    "the connection is lost in the second stage": (
        lambda till: setattr(till, "lose_on", "step"),
        ("unknown", "connection_lost"),
        "first confirmed; the connection was lost during second",
    ),
    "the second stage has no effect": (
        lambda till: setattr(till, "wants_ignored", True),
        ("failed", "not_converged"),
        "first confirmed; second was applied without error, but",
    ),
    "the second stage hangs": (
        lambda till: setattr(till, "hang_on_step", True),
        ("unknown", "deadline"),
        "first confirmed; second was sent but not finished within the host deadline",
    ),
}


@pytest.mark.parametrize("case", LATER)
def test_a_confirmed_stage_stays_confirmed_when_a_later_one_fails(case: str) -> None:
    befall, expected, said = LATER[case]
    terminal = Terminal()

    def before_the_second() -> None:
        if terminal.value == "new":
            befall(terminal)

    terminal.on_look = before_the_second
    result = run(World({NAME: terminal}, host_deadline=1), "climb_up")
    assert verdict(result)[:2] == expected
    assert result.message.startswith(said)
    assert result.stages[0].state == "confirmed"
    assert result.stages[1].state != "confirmed"


def test_a_till_that_becomes_busy_while_it_is_changed_is_still_confirmed() -> None:
    def world_of_a_sale() -> World:
        terminal = Terminal()
        terminal.on_step = lambda: setattr(terminal, "busy", b"sale 4711 is open\n")
        return World({NAME: terminal}, busy={"arius": "check"})

    assert verdict(run(world_of_a_sale())) == ("changed", "confirmed", "")
    result = run(world_of_a_sale(), "climb_up")
    assert verdict(result)[:2] == ("failed", "not_converged")
    assert result.message == "first confirmed; the rest was not begun: in use: sale 4711 is open"


def test_a_freeze_that_begins_between_two_stages_leaves_a_failed_host_not_a_skipped_one() -> None:
    one = World({NAME: Terminal()}, document=in_memory.config(freeze=[freeze(start="2026-03-10T12:00:30")]))
    one.terminals[NAME].on_step = lambda: one.clock.advance(60)
    result = run(one, "climb_up")
    assert verdict(result) == ("failed", "not_converged", "sale")
    assert result.message.startswith("first confirmed; the rest was not begun: freeze sale")
    assert (result.gates[-1].gate, result.gates[-1].allowed) == ("freeze", False)


NO_LEASE = Deny(Outcome.SKIPPED, Reason.NO_LEASE, "another agent has the lease", "held")


def leased(one: World, action: str, lease: Callable[[], Verdict], **request: Any) -> HostResult:
    context = dataclasses.replace(one.context(action, **request), lease=lease)
    return asyncio.run(process_one(in_memory.host(), context))


def test_without_the_lease_of_the_schedule_no_terminal_is_contacted_and_what_reads_goes_on() -> None:
    one = World({NAME: Terminal()})
    result = leased(one, "set_value", lambda: NO_LEASE)
    assert (verdict(result), result.gates[-1].gate) == (("skipped", "no_lease", "held"), "lease")
    assert one.remote.connected == []
    assert verdict(leased(one, "look_at_value", lambda: NO_LEASE)) == ("ok", "done", "")
    assert verdict(leased(one, "set_value", lambda: NO_LEASE, dry_run=True)) == ("would_change", "dry_run", "")
    assert one.terminals[NAME].written == 0


@pytest.mark.parametrize(
    ("lost_on", "expected", "steps"),
    [("look", ("skipped", "no_lease", "held"), 0), ("step", ("failed", "not_converged", "held"), 1)],
)
def test_a_lease_that_ends_during_the_run_stops_the_next_stage(
    lost_on: str, expected: tuple[str, str, str], steps: int
) -> None:
    one = World({NAME: Terminal()})
    said: list[Verdict] = [Allow()]
    setattr(one.terminals[NAME], f"on_{lost_on}", lambda: said.append(NO_LEASE))
    result = leased(one, "climb_up", lambda: said[-1])
    assert verdict(result) == expected
    assert len(result.steps) == steps
    assert (result.gates[-1].gate, result.gates[-1].allowed) == ("lease", False)


def test_a_stop_between_two_stages_reports_what_was_done() -> None:
    one = World({NAME: Terminal()})
    one.terminals[NAME].on_step = lambda: one.stop.request(Reason.OPERATOR, "cancelled by ana")
    result = run(one, "climb_up")
    assert verdict(result)[:2] == ("cancelled", "operator")
    assert result.message == "first confirmed; stopped before second"


def test_a_stage_that_cannot_be_recorded_is_not_sent() -> None:
    one = World({NAME: Terminal()})
    one.ledger.refuses = {"set"}
    result = run(one)
    assert verdict(result) == ("failed", "not_recorded", "state_full")
    assert one.terminals[NAME].written == 0
    assert "nothing was changed" in result.message


def test_a_second_stage_that_cannot_be_recorded_does_not_hide_the_first() -> None:
    one = World({NAME: Terminal()})
    one.ledger.refuses = {"second"}
    result = run(one, "climb_up")
    assert verdict(result) == ("failed", "not_recorded", "state_full")
    assert result.message.startswith("first confirmed; the rest was not begun because")


def test_a_deadline_after_the_steps_and_before_the_proof_is_unknown() -> None:
    one = World({NAME: Terminal(hang_on_confirm=True)}, host_deadline=1)
    result = run(one, "power_off")
    assert verdict(result) == ("unknown", "deadline", "power off")
    assert "applied but not confirmed" in result.message


def test_a_host_cut_off_after_the_steps_and_before_the_proof_is_unknown() -> None:
    async def cut() -> HostResult:
        one = World({NAME: Terminal(hang_on_confirm=True)})
        task = asyncio.create_task(process_one(in_memory.host(), one.context("power_off")))
        await asyncio.sleep(0.5)
        one.stop.request(Reason.OPERATOR, "cancelled by ana")
        task.cancel()
        return await task

    result = asyncio.run(cut())
    assert verdict(result) == ("unknown", "killed", "power off")
    assert "applied but not confirmed" in result.message


def test_a_cancellation_from_inside_a_library_still_gives_the_host_an_outcome() -> None:
    def cancelled() -> None:
        raise asyncio.CancelledError

    one = World({NAME: Terminal(on_look=cancelled)})
    assert verdict(run(one))[:2] == ("failed", "internal")


def test_a_truncated_answer_is_not_taken_for_a_complete_one() -> None:
    class Short(in_memory.MemorySession):
        async def run(self, *args: Any, **kwargs: Any) -> Any:
            return dataclasses.replace(await super().run(*args, **kwargs), truncated=True)

    one = World({NAME: Terminal()}, session=Short)
    result = run(one)
    assert verdict(result) == ("failed", "bad_facts", "flood")
    assert one.terminals[NAME].written == 0


CLONE = IdentityRecord(fingerprint="SHA256:abc", same_key=("acme-loja001-pdv202",))


def cloned(hostname: str, record: IdentityRecord = CLONE) -> World:
    """PDV201 behind a key that PDV202 has too, and a machine that calls itself `hostname`."""
    one = World({NAME: Terminal(facts=in_memory.FACTS.replace(b"hostname=till", f"hostname={hostname}".encode()))})
    one.entries = (in_memory.host(201), in_memory.host(202, address="10.0.0.2"))
    one.identities.known[NAME] = record
    return one


@pytest.mark.parametrize("action", ["set_value", "power_off"])
@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize(("hostname", "detail"), [("pdv202", "another_host"), ("debian", "shared_key")])
def test_a_machine_that_may_be_another_one_is_not_changed(
    hostname: str, detail: str, dry_run: bool, action: str
) -> None:
    one = cloned(hostname)
    result = run(one, action, dry_run=dry_run)
    assert verdict(result) == ("blocked", "host_identity_unclear", detail)
    assert "Nothing was changed." in result.message
    assert "ACME-LOJA001-PDV202" in result.message
    assert (result.gates[-1].gate, result.gates[-1].allowed) == (IDENTITY, False)
    assert (one.terminals[NAME].written, one.ledger.intents) == (0, [])
    assert not one.identities.found[NAME].clear


@pytest.mark.parametrize("hostname", ["pdv202", "debian", "pdv201"])
def test_a_read_of_a_clone_continues_and_names_the_hosts_of_its_key(hostname: str) -> None:
    result = run(cloned(hostname), "look_at_value")
    assert verdict(result) == ("ok", "done", "")
    record = next(record for record in result.gates if record.gate == IDENTITY)
    assert record.allowed
    assert "ACME-LOJA001-PDV202" in record.text
    assert record.text in result.message


def test_a_clone_that_identifies_itself_is_changed_and_reported() -> None:
    result = run(cloned("pdv201"))
    assert verdict(result) == ("changed", "confirmed", "")
    assert "SHA256:abc is also that of ACME-LOJA001-PDV202" in result.message


def test_an_accepted_image_is_changed_and_only_the_record_mentions_it() -> None:
    settled = dataclasses.replace(CLONE, settled=Settled("ana", NOON))
    result = run(cloned("debian", settled))
    assert verdict(result) == ("changed", "confirmed", "")
    assert "ana" not in result.message
    assert "ana accepted that" in next(record.text for record in result.gates if record.gate == IDENTITY)
    blocked = run(cloned("pdv202", settled))
    assert verdict(blocked) == ("blocked", "host_identity_unclear", "another_host")


def test_a_host_with_its_own_key_is_changed_under_any_machine_name() -> None:
    result = run(cloned("debian", IdentityRecord(fingerprint="SHA256:abc")))
    assert verdict(result) == ("changed", "confirmed", "")
    assert (IDENTITY, True, "") in [(record.gate, record.allowed, record.text) for record in result.gates]


def test_the_machine_is_recognised_once_a_login() -> None:
    result = run(cloned("pdv201"))
    assert [record.gate for record in result.gates].count(IDENTITY) == 1
