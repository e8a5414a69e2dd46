"""The ledger: every host's way through a run."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from contracts.secret import Secret
from runtime.adapters.state import codec
from runtime.adapters.state.history import find_run, why
from runtime.adapters.state.ledger import SqlLedger
from runtime.adapters.state.outbox.events import post_event_once
from runtime.adapters.state.outbox.topics import DEPLOYMENT, JOB_MISSED
from runtime.adapters.state.store import State
from runtime.domain.errors import NoHostMatched
from runtime.domain.model import Outcome, Reason, RunInfo, StepRecord
from tests.unit.state.support import (
    NOON,
    StillClock,
    complete_run,
    make_hosts,
    make_info,
    make_result,
    open_state,
    outbox_rows,
    outcomes,
)


def test_a_run_is_recorded_from_start_to_end(state: State) -> None:
    hosts, info = make_hosts(3), make_info()
    asyncio.run(complete_run(state, info, [make_result(host) for host in hosts]))

    run, recorded = find_run(state, info.run_id) or pytest.fail("the run is not there")
    assert (run.state, run.exit_code, run.hosts, run.open) == ("finished", 0, 3, 0)
    assert run.outcomes == {"changed": 3}
    assert run.params == {"zone": "America/Sao_Paulo"}
    assert run.selector == {"all": True}
    assert [record.name for record in recorded] == [host.name for host in hosts]
    assert recorded[0].result["facts"] == {"distro": "ubuntu", "version": "22.04"}
    assert [gate["gate"] for gate in recorded[0].gates] == ["role", "rollout"]


def test_every_result_and_both_ends_of_a_run_wait_in_the_outbox(state: State) -> None:
    hosts, info = make_hosts(2), make_info()
    asyncio.run(complete_run(state, info, [make_result(host) for host in hosts], exit_code=1))

    assert [row["hosts"] for row in outbox_rows(state, "run_started")] == [2]
    assert {row["host"]["id"] for row in outbox_rows(state, "host_result")} == {host.id for host in hosts}
    [finished] = outbox_rows(state, "run_finished")
    assert finished["run_id"] == info.run_id
    assert (finished["exit_code"], finished["summary"]) == (1, {"changed": 2})


def test_a_run_that_ends_before_it_has_a_host_says_why(state: State) -> None:
    info = make_info()
    asyncio.run(SqlLedger(state, StillClock()).refuse(info, NoHostMatched("no_host_matched", "no host \udce9 of acme")))

    run, recorded = find_run(state, info.run_id) or pytest.fail("the run is not there")
    assert (run.state, run.exit_code, run.hosts, run.open, recorded) == ("finished", 5, 0, 0, ())
    assert (run.reason, run.message) == ("no_host_matched", r"no host \udce9 of acme")
    [finished] = outbox_rows(state, "run_finished")
    assert (finished["exit_code"], finished["reason"], finished["summary"]) == (5, "no_host_matched", {})
    assert [row["hosts"] for row in outbox_rows(state, "run_started")] == [0]


def test_a_host_keeps_the_outcome_that_was_recorded_first(state: State) -> None:
    async def twice() -> None:
        ledger = SqlLedger(state, StillClock())
        await ledger.begin(info, hosts)
        await ledger.record(info.run_id, make_result(hosts[0]))
        await ledger.record(info.run_id, make_result(hosts[0], Outcome.FAILED, Reason.STEP_FAILED))
        # At the same moment, together with one that is new.
        late = make_result(hosts[0], Outcome.UNKNOWN, Reason.KILLED)
        await asyncio.gather(*(ledger.record(info.run_id, result) for result in (late, make_result(hosts[1]), late)))
        with pytest.raises(RuntimeError, match="is not open"):
            await ledger.at_work(info.run_id, hosts[0], "again")

    hosts, info = make_hosts(2), make_info()
    asyncio.run(twice())
    assert outcomes(state, info.run_id) == {host.id: "changed" for host in hosts}
    assert [row["outcome"] for row in outbox_rows(state, "host_result")] == ["changed", "changed"]


def test_finish_closes_hosts_that_got_no_result(state: State) -> None:
    async def forgetful() -> None:
        ledger = SqlLedger(state, StillClock())
        await ledger.begin(info, hosts)
        await ledger.at_work(info.run_id, hosts[0], "set zone")
        await ledger.record(info.run_id, make_result(hosts[1]))
        await ledger.finish(info.run_id, 1)

    hosts, info = make_hosts(3), make_info()
    asyncio.run(forgetful())
    run, recorded = find_run(state, info.run_id) or pytest.fail("the run is not there")
    assert [(record.outcome, record.reason) for record in recorded] == [
        ("unknown", "killed"),
        ("changed", "confirmed"),
        ("cancelled", "not_started"),
    ]
    assert "set zone" in (recorded[0].message or "")
    assert run.exit_code == 1
    assert len(outbox_rows(state, "host_result")) == 3


def test_thousands_of_hosts_that_wait_together_share_commits(state: State) -> None:
    async def rush() -> None:
        ledger = SqlLedger(state, StillClock())
        await ledger.begin(info, hosts)
        await asyncio.gather(*(ledger.record(info.run_id, make_result(host)) for host in hosts))
        await ledger.finish(info.run_id, 0)

    hosts, info = make_hosts(2000), make_info()
    asyncio.run(rush())
    assert set(outcomes(state, info.run_id).values()) == {"changed"}
    assert {row["host"]["id"] for row in outbox_rows(state, "host_result")} == {host.id for host in hosts}


def test_a_result_is_written_even_when_its_task_is_cancelled(state: State) -> None:
    async def cut() -> None:
        ledger = SqlLedger(state, StillClock())
        await ledger.begin(info, hosts)
        task = asyncio.create_task(ledger.record(info.run_id, make_result(hosts[0])))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await ledger.record(info.run_id, make_result(hosts[1]))

    hosts, info = make_hosts(2), make_info()
    asyncio.run(cut())
    assert set(outcomes(state, info.run_id).values()) == {"changed"}


CYCLE: dict[str, Any] = {}
CYCLE["self"] = CYCLE


@pytest.mark.parametrize(
    "odd",
    [
        {"message": "\udcff lone surrogate \x00"},
        {"facts": {"x": float("nan"), 5: "key that is no text", ("a", 1): 2}},
        {"report": {"blob": b"\xff\x00", "set": {2, 1}, "secret": Secret("hunter2")}},
        {"report": CYCLE},
        {"steps": (StepRecord("s", "done", 0, "\ud800"),)},
    ],
)
def test_odd_content_never_loses_a_result(state: State, odd: dict[str, Any]) -> None:
    [host], info = make_hosts(1), make_info()
    asyncio.run(complete_run(state, info, [make_result(host, **odd)]))
    [record] = why(state, name=host.name)
    assert record.outcome == "changed"
    [sent] = outbox_rows(state, "host_result")
    assert "hunter2" not in str(sent)


def test_a_huge_result_is_kept_without_what_makes_it_huge(state: State) -> None:
    [host], info = make_hosts(1), make_info()
    flood = make_result(host, report={"log": "x" * codec.RESULT_LIMIT}, steps=(StepRecord("s", "done", 0, "y" * 9000),))
    asyncio.run(complete_run(state, info, [flood]))
    [record] = why(state, name=host.name)
    assert len(codec.dumps(record.result)) < codec.RESULT_LIMIT
    assert "left_out" in record.result["report"]
    assert [gate["gate"] for gate in record.gates] == ["role", "rollout"]


def test_a_result_of_a_host_that_was_not_announced_is_recorded_too(state: State) -> None:
    known, late = make_hosts(2)
    info = make_info()
    asyncio.run(_begin_one_record_other(state, info, known, late))
    assert outcomes(state, info.run_id)[late.id] == "changed"


async def _begin_one_record_other(state: State, info: Any, known: Any, late: Any) -> None:
    ledger = SqlLedger(state, StillClock())
    await ledger.begin(info, [known])
    await ledger.record(info.run_id, make_result(late))


def test_two_runs_of_one_ledger_do_not_mix(state: State) -> None:
    async def both() -> None:
        ledger = SqlLedger(state, StillClock())
        await asyncio.gather(*(ledger.begin(info, hosts) for info in infos))
        await asyncio.gather(
            ledger.record(infos[0].run_id, make_result(hosts[0])),
            ledger.record(infos[1].run_id, make_result(hosts[0], Outcome.SKIPPED, Reason.HOST_LOCKED)),
        )

    hosts, infos = make_hosts(1), [make_info(), dataclasses.replace(make_info(), action="shutdown_endpoint")]
    asyncio.run(both())
    found = {row["run_id"]: (row["action"], row["outcome"]) for row in outbox_rows(state, "host_result")}
    assert found == {
        infos[0].run_id: ("update_endpoint_timezone", "changed"),
        infos[1].run_id: ("shutdown_endpoint", "skipped"),
    }


def test_an_event_is_posted_once_however_often_it_is_found(tmp_path: Path) -> None:
    for _ in range(2):
        with open_state(tmp_path) as state:
            post_event_once(state, DEPLOYMENT, "first", {"reason": "updated"}, NOON)
            post_event_once(state, DEPLOYMENT, "first", {"reason": "updated"}, NOON)
    with open_state(tmp_path) as state:
        assert post_event_once(state, DEPLOYMENT, "second", {"reason": "repaired"}, NOON)
        assert not post_event_once(state, DEPLOYMENT, "second", {"reason": "repaired"}, NOON)
        assert post_event_once(state, JOB_MISSED, "second", {}, NOON)
        told = [row["reason"] for row in outbox_rows(state, "deployment")]
    assert told == ["updated", "repaired"]


@pytest.mark.parametrize(
    ("host_id", "lost", "never"),
    [
        (
            "10084",
            "the process ended during copy; what the terminal did with it is not known",
            "the process ended before anything was sent to this host",
        ),
        (
            "concentrator:10.0.0.9",
            "the process ended during copy; what the concentrator did with it is not known",
            "the process ended before anything was done at this concentrator",
        ),
        (
            "network:acme",
            "the process ended during copy; whether it was done is not known",
            "the process ended before anything was done in this network",
        ),
    ],
    ids=["terminal", "concentrator", "network"],
)
def test_a_subject_whose_process_ended_is_called_what_it_is(state: State, host_id: str, lost: str, never: str) -> None:
    async def cut_short(info: RunInfo, *, begun: bool) -> str | None:
        ledger = SqlLedger(state, StillClock())
        await ledger.begin(info, [host])
        if begun:
            await ledger.at_work(info.run_id, host, "copy")
        await ledger.finish(info.run_id, 1)
        _, [record] = find_run(state, info.run_id) or pytest.fail("the run is not there")
        return record.message

    host = dataclasses.replace(make_hosts(1)[0], id=host_id)
    assert asyncio.run(cut_short(make_info(), begun=True)) == lost
    assert asyncio.run(cut_short(make_info(), begun=False)) == never
