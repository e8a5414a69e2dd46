"""Questions of the command line."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from contracts.text import Catalogue, Text, in_language, say
from runtime.adapters.state.history import count, find_run, list_runs, technical_name, why
from runtime.adapters.state.ledger import SqlLedger
from runtime.adapters.state.store import State
from runtime.adapters.state.tables import run_hosts
from runtime.domain.errors import UsageFault
from runtime.domain.model import GateRecord, Host, Outcome, Reason
from tests.unit.state.support import (
    NOON,
    StillClock,
    complete_run,
    make_hosts,
    make_info,
    make_result,
    open_state,
    outbox_rows,
)

HOSTS = make_hosts(45)


def test_why_refuses_a_name_that_means_two_hosts_as_they_were_last_called(state: State) -> None:
    first, second, third = HOSTS[:3]

    def considered(*hosts: Host) -> None:
        asyncio.run(complete_run(state, make_info(), [make_result(host) for host in hosts]))

    considered(
        first, dataclasses.replace(second, display_name="Caixa 9"), dataclasses.replace(third, display_name="Caixa 9")
    )
    with pytest.raises(UsageFault) as caught:
        why(state, name="caixa 9")
    assert caught.value.reason == "ambiguous_name"
    assert second.name in caught.value.message
    assert third.name in caught.value.message
    considered(dataclasses.replace(third, display_name=first.name))
    assert technical_name(state, "caixa 9") == second.name
    with pytest.raises(UsageFault):
        technical_name(state, first.name)
    assert technical_name(state, "nobody") is None


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({"name": "ACME-loja001-pdv03"}, ["acme-Loja001-PDV03"]),
        ({"name": "till 23"}, ["acme-Loja001-PDV03"]),
        ({"address": "10.1.0.4"}, ["acme-Loja000-PDV04"]),
        ({"store": 1, "terminal": 3}, ["acme-Loja001-PDV03"]),
        ({"store": 2}, [f"acme-Loja002-PDV0{n}" for n in (4, 3, 2, 1, 0)]),
        ({"store": 1, "terminal": 3, "network": "other"}, []),
        ({"name": "acme-Loja001-PDV0"}, []),
        ({}, []),
    ],
)
def test_why_finds_a_host_by_what_people_know_of_it(state: State, asked: dict[str, Any], names: list[str]) -> None:
    asyncio.run(complete_run(state, make_info(), [make_result(host) for host in HOSTS]))
    assert [record.name for record in why(state, **asked)] == names


def test_why_shows_the_last_runs_first_and_no_more_than_asked(state: State) -> None:
    async def three() -> list[str]:
        ids = []
        for hour in range(3):
            info = make_info(started_at=NOON + dt.timedelta(hours=hour))
            await complete_run(state, info, [make_result(HOSTS[0])])
            ids.append(info.run_id)
        return ids

    ids = asyncio.run(three())
    assert [record.run_id for record in why(state, name=HOSTS[0].name, limit=2)] == [ids[2], ids[1]]
    assert [run.run_id for run in list_runs(state)] == ids[::-1]
    assert [run.run_id for run in list_runs(state, limit=1)] == [ids[2]]


def test_a_run_at_work_shows_its_open_hosts(state: State) -> None:
    async def half() -> None:
        ledger = SqlLedger(state, StillClock())
        await ledger.begin(info, HOSTS[:3])
        await ledger.at_work(info.run_id, HOSTS[0], "set zone")
        await ledger.record(info.run_id, make_result(HOSTS[1], Outcome.SKIPPED, Reason.FROZEN))

    info = make_info()
    asyncio.run(half())
    run, hosts = find_run(state, info.run_id) or pytest.fail("the run is not there")
    assert (run.state, run.open, run.outcomes, run.exit_code) == ("running", 2, {"skipped": 1}, None)
    assert [(host.state, host.stage) for host in hosts] == [("at_work", "set zone"), ("done", None), ("pending", None)]
    assert hosts[0].gates == ()


def test_an_unknown_run_id_finds_no_run(state: State) -> None:
    assert find_run(state, "no such run") is None


def test_outcomes_of_a_later_release_can_be_read(state: State) -> None:
    info = make_info()
    asyncio.run(complete_run(state, info, [make_result(HOSTS[0])]))
    state.write(lambda connection: connection.execute(update(run_hosts).values(outcome="postponed", result="{broken")))
    [record] = why(state, name=HOSTS[0].name)
    assert (record.outcome, record.result) == ("postponed", {})
    assert list_runs(state)[0].outcomes == {"postponed": 1}


def test_counts_show_how_full_the_state_is(state: State) -> None:
    asyncio.run(complete_run(state, make_info(), [make_result(host) for host in HOSTS]))
    counts = count(state)
    assert (counts.runs, counts.running, counts.results, counts.outbox.waiting) == (
        1,
        0,
        45,
        92,
    )  # each change is an event too
    assert (counts.outbox.delivered, counts.outbox.dropped, counts.first_use_blocked) == (0, 0, None)
    assert counts.outbox.oldest_waiting == NOON


def _in_portuguese(text: str | None) -> str:
    said = {"{host} answers": ("{host} responde",), "frozen": ("congelado",), "not started": ("não iniciada",)}
    return in_language(text or "", Catalogue("pt-BR", said, lambda number: int(number > 1)))


def test_sentences_are_stored_so_that_a_later_reader_gets_them_in_another_language(tmp_path: Path) -> None:
    (host,) = make_hosts(1)
    gates = (GateRecord("freeze", False, say("frozen")),)
    result = make_result(host, message=say("{host} answers", host="PDV1"), gates=gates, plan=(say("frozen"), "plain"))
    with open_state(tmp_path) as state:
        asyncio.run(complete_run(state, make_info(), [result]))
        asyncio.run(SqlLedger(state, StillClock()).refuse(make_info("refused"), UsageFault("x", say("not started"))))
    with open_state(tmp_path) as state:
        (record,) = why(state, name=host.name)
        run = find_run(state, "refused")
        sent = outbox_rows(state)
    assert (record.message, record.plan, record.gates[0]["text"]) == ("PDV1 answers", ("frozen", "plain"), "frozen")
    assert _in_portuguese(record.message) == "PDV1 responde"
    assert [_in_portuguese(line) for line in record.plan] == ["congelado", "plain"]
    assert _in_portuguese(record.gates[0]["text"]) == "congelado"
    assert run is not None
    assert _in_portuguese(run[0].message) == "não iniciada"
    assert all("sentences" not in row for row in sent)


def test_sentences_that_take_too_much_room_stay_english(tmp_path: Path) -> None:
    (host,) = make_hosts(1)
    result = make_result(host, message=say("{host} answers", host="x" * 40_000))
    with open_state(tmp_path) as state:
        asyncio.run(complete_run(state, make_info(), [result]))
        (record,) = why(state, name=host.name)
    assert record.message == result.message
    assert not isinstance(record.message, Text)
