"""Another attempt to connect: only for what may pass, only before anything was sent, and never at the cost of other hosts."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from runtime.domain import wire
from runtime.domain.errors import HostError, Permanent, Transient
from runtime.domain.model import CONNECTION, Host, HostResult, Outcome, Reason
from runtime.engine import attempts
from runtime.engine.attempts import ordinal, pause_before_next
from runtime.engine.run import FanOut
from runtime.process_one import process_one
from tests.unit.engine import in_memory
from tests.unit.engine.in_memory import Terminal, World
from tests.unit.engine.test_process_one import NAME, run, verdict

REFUSED = Transient(Outcome.UNREACHABLE, Reason.REFUSED_CONNECTION, "10.0.0.1 port 22 refuses connections")
SILENT = Transient(Outcome.UNREACHABLE, Reason.TIMEOUT, "10.0.0.1 port 22 does not answer")
WRONG = Permanent(Outcome.UNREACHABLE, Reason.AUTH_FAILED, "refused the login of suporte")
OTHER_KEY = Permanent(Outcome.BLOCKED, Reason.HOST_KEY_CHANGED, "the host key changed")


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "PAUSE_S", 0.01)


def refusing(error: HostError, times: int = 1000, **settings: Any) -> World:
    return World({NAME: Terminal(refuse=error, refusals=times)}, document=in_memory.config(ssh=settings))


@pytest.mark.parametrize("error", [REFUSED, SILENT], ids=["refused", "silent"])
def test_a_second_attempt_that_connects_is_recorded_with_what_was_before_it(error: HostError) -> None:
    one = refusing(error, times=1)
    result = run(one)
    assert verdict(result) == ("changed", "confirmed", "")
    assert (len(one.remote.connected), result.attempts) == (2, 2)
    recorded = [(record.allowed, record.text) for record in result.gates if record.gate == CONNECTION]
    assert recorded == [(True, f"connected at the 2nd attempt; before it: {error.message}")]
    assert wire.result_json(one.context().plan.info, result)["attempts"] == 2


def test_a_first_attempt_that_connects_is_not_recorded() -> None:
    result = run(World({NAME: Terminal()}))
    assert (result.attempts, [record for record in result.gates if record.gate == CONNECTION]) == (1, [])


def test_a_host_without_an_attempt_has_zero_attempts() -> None:
    assert run(World({NAME: Terminal()}), host=in_memory.host(role="proxy")).attempts == 0


@pytest.mark.parametrize(
    ("error", "settings", "made"),
    [
        (REFUSED, {}, 2),
        (SILENT, {}, 2),
        (REFUSED, {"connect_attempts": 1}, 1),
        (REFUSED, {"connect_attempts": 3}, 3),
        (WRONG, {}, 1),
        (OTHER_KEY, {}, 1),
    ],
    ids=["refused", "silent", "one attempt is set", "three are set", "a wrong password", "a changed key"],
)
def test_an_unreachable_host_reports_the_number_of_attempts(
    error: HostError, settings: dict[str, Any], made: int
) -> None:
    one = refusing(error, **settings)
    result = run(one)
    assert (result.outcome, result.reason) == (error.outcome, error.reason)
    assert result.message == error.message + (f" ({made} attempts)" if made > 1 else "")
    assert (len(one.remote.connected), result.attempts) == (made, made)


@pytest.mark.parametrize(("took", "made"), [(20.0, 1), (5.0, 2)])
def test_a_silent_host_is_tried_again_only_within_its_deadline(took: float, made: int) -> None:
    one = refusing(SILENT)
    one.remote.on_refusal = lambda: one.clock.advance(took)
    result = run(one)
    assert (result.attempts, result.durations["connect"]) == (made, made * took)


# What the last attempt came to, how many were made, seconds that it took, that are left, and that others do not need.
PAUSES: dict[str, tuple[HostError, int, float, float, float, bool]] = {
    "refused": (REFUSED, 1, 0.1, 300.0, 300.0, True),
    "refused while others wait": (REFUSED, 1, 0.1, 300.0, 0.0, True),
    "refused at the end of its time": (REFUSED, 1, 0.1, 0.0, 300.0, False),
    "refused for the second time": (REFUSED, 2, 0.1, 300.0, 300.0, False),
    "silent": (SILENT, 1, 10.0, 290.0, 300.0, True),
    "silent while others wait": (SILENT, 1, 10.0, 290.0, 0.0, False),
    "silent without time for it again": (SILENT, 1, 10.0, 10.0, 300.0, False),
    "silent at the end of the run": (SILENT, 1, 10.0, 290.0, 10.0, False),
    "a wrong password": (WRONG, 1, 0.1, 300.0, 300.0, False),
}


@pytest.mark.parametrize("case", PAUSES)
def test_another_attempt_is_made_only_where_it_can_help_and_delays_no_host(case: str) -> None:
    error, made, took, left, spare, again = PAUSES[case]
    pause = pause_before_next(error, made, 2, took=took, left=left, spare=spare)
    assert (pause > 0) == again


def test_pauses_double_and_differ() -> None:
    first, second = (
        [pause_before_next(REFUSED, made, 5, took=0.0, left=9.0, spare=9.0) for _ in range(200)] for made in (1, 2)
    )
    assert len(set(first)) > 100
    assert 0.005 <= min(first) < max(first) <= 0.015
    assert 0.010 <= min(second) < max(second) <= 0.030


def test_a_stop_ends_the_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "PAUSE_S", 60.0)
    one = refusing(REFUSED)
    one.host_deadline = 300.0
    one.remote.on_refusal = lambda: one.stop.request(Reason.OPERATOR, "cancelled by ana")
    result = run(one)
    assert verdict(result)[:2] == ("unreachable", "refused_connection")
    assert result.attempts == 1


def test_a_connection_that_is_lost_in_a_stage_is_not_made_again() -> None:
    one = World({NAME: Terminal(lose_on="step")})
    assert verdict(run(one))[:2] == ("unknown", "connection_lost")
    assert len(one.remote.connected) == 1


def test_silent_hosts_are_tried_again_only_when_no_host_waits_for_its_turn() -> None:
    hosts = [in_memory.host(200 + number) for number in range(6)]

    async def go() -> tuple[HostResult, ...]:
        one = World({host.name: Terminal(refuse=SILENT) for host in hosts})

        async def record(result: HostResult) -> None: ...

        def work(host: Host) -> Any:
            context = dataclasses.replace(one.context(), spare=lambda: 0.0 if fan_out.waiting else 60.0)
            return process_one(host, context)

        fan_out = FanOut(hosts, work, record, one.stop)
        assert fan_out.waiting == 6
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(fan_out.worker())
        assert fan_out.waiting == 0
        return fan_out.results()

    made = [result.attempts for result in asyncio.run(go())]
    assert made[:4] == [1, 1, 1, 1]
    assert made[-1] == 2


def test_attempts_are_counted_in_words() -> None:
    assert [ordinal(number) for number in (1, 2, 3, 4, 5)] == ["1st", "2nd", "3rd", "4th", "5th"]
