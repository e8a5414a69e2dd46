"""Runs and hosts are found by what people type, and never guessed: what fits two is refused with both."""

from __future__ import annotations

import asyncio
import datetime as dt
import io
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from runtime.adapters.state.runs import register
from runtime.adapters.state.store import State
from runtime.cli.lookup import fits, host_records, run_id
from runtime.cli.output import Out
from runtime.domain.errors import NoHostMatched, UsageFault
from tests.unit.state.support import NOON, complete_run, make_hosts, make_info, make_result, open_state

HOSTS = make_hosts(45)  # acme-Loja000-PDV00 to acme-Loja002-PDV04
FIRST, SECOND, THIRD = "01900000-0000-7000-8000-000000000001", "01900000-1111-7000-8000-000000000002", "0191" + "0" * 32


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    opened = open_state(tmp_path)

    async def runs() -> None:
        for hour, (name, count) in enumerate(((FIRST, 45), (SECOND, 1), (THIRD, 1))):
            info = make_info(name, started_at=NOON + dt.timedelta(hours=hour))
            await complete_run(opened, info, [make_result(host) for host in HOSTS[:count]])

    asyncio.run(runs())
    yield opened
    opened.close()


def out() -> Out:
    made = Out("lines", io.StringIO(), io.StringIO())
    made.zone = lambda: ZoneInfo("America/Sao_Paulo")
    return made


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (FIRST, FIRST),
        ("01900000-0", FIRST),
        ("01900000-1", SECOND),
        ("0191", THIRD),
        ("LAST", THIRD),
        (" last ", THIRD),
    ],
)
def test_a_run_is_named_by_the_beginning_of_its_id_or_as_the_last(state: State, asked: str, found: str) -> None:
    assert run_id(state, asked, out()) == found


def test_a_beginning_that_fits_several_runs_is_refused_with_all_of_them(state: State) -> None:
    with pytest.raises(UsageFault) as caught:
        run_id(state, "01900000", out())
    assert caught.value.reason == "ambiguous_run"
    assert f"{FIRST} (2026-03-14 09:00:00 -03 update_endpoint_timezone)" in caught.value.message
    assert SECOND in caught.value.message
    assert THIRD not in caught.value.message


@pytest.mark.parametrize(
    "asked", ["0192", "%", "_", "", "../runs/x", "01900000%", "01900000-0000-7000-8000-0000000000011"]
)
def test_what_begins_no_run_is_refused_whatever_it_is(state: State, asked: str) -> None:
    with pytest.raises(UsageFault) as caught:
        run_id(state, asked, out())
    assert caught.value.reason == "unknown_run"


def test_the_last_run_of_an_empty_state_is_refused(tmp_path: Path) -> None:
    empty = open_state(tmp_path / "empty")
    with pytest.raises(UsageFault, match="no run yet"):
        run_id(empty, "last", out())
    empty.close()


@pytest.mark.parametrize(
    ("asked", "name", "fitting"),
    [
        ("PDV201", "ACME-LOJA001-PDV201", True),
        ("pdv201", "ACME-LOJA001-PDV201", True),
        ("201", "ACME-LOJA001-PDV201", True),
        ("LOJA001-PDV201", "ACME-LOJA001-PDV201", True),
        ("LOJA1-PDV201", "ACME-LOJA001-PDV201", True),
        ("acme-loja1-pdv201", "ACME-LOJA001-PDV201", True),
        ("PDV1", "ACME-LOJA001-PDV001", True),
        ("PDV20", "ACME-LOJA001-PDV201", False),
        ("01", "ACME-LOJA001-PDV201", False),
        ("DV201", "ACME-LOJA001-PDV201", False),
        ("SELF201", "ACME-LOJA001-PDV201", False),
        ("LOJA002-PDV201", "ACME-LOJA001-PDV201", False),
        ("OTHER-LOJA001-PDV201", "ACME-LOJA001-PDV201", False),
        ("CONCENTRADOR", "ACME-LOJA001-CONCENTRADOR", True),
        ("", "ACME-LOJA001-PDV201", False),
        (".*", "ACME-LOJA001-PDV201", False),
    ],
)
def test_a_host_is_found_by_the_last_parts_of_its_name(asked: str, name: str, fitting: bool) -> None:
    assert fits(asked, name) is fitting


def test_the_end_of_one_name_finds_the_host_and_the_end_of_several_is_refused_with_them(state: State) -> None:
    (record,) = host_records(state, "LOJA2-PDV3", 5)
    assert record.name == "acme-Loja002-PDV03"
    with pytest.raises(UsageFault) as caught:
        host_records(state, "PDV3", 5)
    assert caught.value.reason == "ambiguous_host"
    assert all(
        name in caught.value.message for name in ("acme-Loja000-PDV03", "acme-Loja001-PDV03", "acme-Loja002-PDV03")
    )


def test_a_host_of_no_run_is_refused_with_similar_names(state: State) -> None:
    with pytest.raises(NoHostMatched) as caught:
        host_records(state, "LOJA002-PDV29", 5)
    assert caught.value.reason == "never_considered"
    assert "acme-Loja002-PDV0" in caught.value.message


def test_what_is_to_be_stopped_is_the_last_run_at_work_and_never_one_that_is_over(state: State) -> None:
    with pytest.raises(NoHostMatched, match="no run is at work") as caught:
        run_id(state, "last", out(), running=True)
    assert caught.value.exit_code == 5
    older, newer = make_info(started_at=NOON - dt.timedelta(days=2)), make_info(started_at=NOON - dt.timedelta(days=1))
    with register(state.folder, newer), register(state.folder, older):
        assert run_id(state, "last", out(), running=True) == newer.run_id
        assert run_id(state, "last", out()) == THIRD
