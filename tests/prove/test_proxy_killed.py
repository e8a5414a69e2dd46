"""The proxy is killed at each step, from a row that is written to one that is acknowledged: nothing is lost or comes twice."""

from __future__ import annotations

import datetime as dt
import signal
import time
from collections.abc import Iterator

import pytest

from runtime.adapters.state.outbox.put import event, put
from runtime.adapters.state.outbox.topics import JOB_MISSED
from runtime.adapters.state.store import State
from server.storage.models import Outcome, Run
from tests.e2e import daemon as daemons
from tests.e2e.headquarters import HOSTS, World, end_leases, serving
from tests.prove.conftest import STEPS, Armed, Proof

ROWS = 20
# Of a run: its records are made, and the rows that tell of them.
RUN_STEPS = ("row-put", "row-written")
RUN_PUTS = 3  # its start, its host's result, its end
# Of the daemon's delivery. What was stored when it was killed: nothing, perhaps, all.
DELIVERY_STEPS = ("leasing", "packed", "sent", "answered", "answer-read", "acknowledging", "acknowledged")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One for all steps: each leaves it as it found it, with nothing that waits."""
    with serving(tmp_path_factory.mktemp("proved")) as found:
        yield found


def post(world: World, number: int = ROWS) -> set[str]:
    """Rows of what happened, as the daemon and runs write them."""
    now = dt.datetime.now(dt.UTC)
    told = {"job": "j", "action": "a", "reason": "late", "message": "m"}
    messages = [event(JOB_MISSED, told, now) for _ in range(number)]
    with State(world.proxy.data, now=now) as state:
        state.write(lambda connection: put(connection, messages))
    return {one.id for one in messages}


def kept(world: World, generated: set[str]) -> tuple[set[str], set[str]]:
    """Which of these wait, and which are stored. Each is somewhere, and none is stored twice."""
    stored, here = world.stored(), world.made()
    assert len(stored) == len(set(stored))
    assert generated <= set(stored) | here
    return generated & here, generated & set(stored)


@pytest.mark.parametrize("step", DELIVERY_STEPS)
def test_a_daemon_that_is_killed_at_any_step_of_a_delivery_loses_nothing_and_nothing_comes_twice(
    world: World, proof: Proof, armed: Armed, step: str
) -> None:
    began, generated, doubtful = time.monotonic(), set[str](), set[str]()
    for _ in range(proof.times):
        generated |= post(world)
        armed.at(step)
        with daemons.starting(world.proxy, armed.environment) as daemon:
            assert daemon.ended() == -signal.SIGKILL, daemon.child.log_tail()
        assert armed.met(step)
        here, there = kept(world, generated)
        doubtful |= here & there
        end_leases(world.proxy)
    assert world.proxy.run("outbox", "--drain").code == 0
    assert kept(world, generated) == (set(), generated)
    word = f"{len(generated)} rows arrived once, {len(doubtful)} of them stored when it did not know yet; "
    proof.held(f"proxy killed: {step}", proof.times, f"{word}{time.monotonic() - began:.0f} s")


@pytest.mark.parametrize("step", RUN_STEPS)
def test_a_run_that_is_killed_while_it_records_is_told_as_it_is_recorded(
    world: World, proof: Proof, armed: Armed, step: str
) -> None:
    began, before = time.monotonic(), len(world.columns(Run.run_id))
    for number in range(proof.times):
        armed.at(step, passing=number % RUN_PUTS)
        host = str(HOSTS[0]["name"])
        going = world.proxy.start(
            "test_endpoint_connection", "--host", host, PROVE_STEPS=str(armed.folder), PYTHONPATH=str(STEPS)
        )
        said = going.ended()
        assert said.code == -signal.SIGKILL, said
        assert armed.met(step)
    assert world.proxy.run("test_endpoint_connection", "--host", str(HOSTS[1]["name"])).code == 1  # closes dead runs
    assert world.proxy.run("outbox", "--drain").code == 0
    runs = world.proxy.rows("SELECT run_id, exit_code FROM runs WHERE state = 'finished'")
    hosts = world.proxy.rows("SELECT run_id, name, outcome FROM run_hosts")
    # A run that closes a dead one may be killed when it records that: fewer than half are on record.
    assert len(runs) - before > proof.times // 4
    assert sorted(world.columns(Run.run_id, Run.exit_code)) == sorted(runs)
    assert sorted(world.columns(Outcome.run_id, Outcome.name, Outcome.outcome)) == sorted(hosts)
    word = f"{len(runs) - before} runs of which something was recorded, the same here and there; "
    proof.held(f"run killed: {step}", proof.times, f"{word}{time.monotonic() - began:.0f} s")
