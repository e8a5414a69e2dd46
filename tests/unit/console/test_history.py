"""What a pipe gets of past runs: the run itself, also where it has no host, and which host was taken for what was typed."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.adapters.state.ledger import SqlLedger
from runtime.adapters.state.store import State
from runtime.cli.history import show_run, show_why
from runtime.cli.output import Out
from runtime.domain.errors import UsageFault
from runtime.domain.model import Missing
from tests.unit.state.support import StillClock, complete_run, make_hosts, make_info, make_result, open_state


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with open_state(tmp_path) as opened:
        yield opened


@pytest.fixture
def out() -> Out:
    return Out("lines", io.StringIO(), io.StringIO())


def written(stream: object) -> str:
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


def test_a_run_that_was_refused_is_listed_in_a_pipe(state: State, out: Out) -> None:
    info = make_info(actor="ana", purpose="ticket 4711", missing=(Missing("--loja", "7"),))
    refusal = UsageFault("not_confirmed", "Nothing was touched.")
    asyncio.run(SqlLedger(state, StillClock()).refuse(info, refusal))
    assert show_run(state, "last", out) == 0
    (line,) = written(out.stdout).splitlines()
    run, action, code, reason, told = line.split("\t")
    assert (run, action.split()[-1], code, reason) == (f"run {info.run_id}", info.action, "2", "not_confirmed")
    for word in ("Nothing was touched.", "by ana", "reason: ticket 4711", "--loja 7"):
        assert word in told


def test_a_run_has_as_many_columns_in_a_pipe_as_its_hosts(state: State, out: Out) -> None:
    asyncio.run(complete_run(state, make_info(), [make_result(host) for host in make_hosts(2)]))
    show_run(state, "last", out)
    lines = written(out.stdout).splitlines()
    assert [line.count("\t") for line in lines] == [4, 4, 4]
    assert "2 hosts" in lines[0]


def test_why_names_the_host_that_was_taken_for_the_end_of_a_name(state: State, out: Out) -> None:
    (host,) = make_hosts(1)
    asyncio.run(complete_run(state, make_info(purpose="ticket 4711"), [make_result(host)]))
    show_why(state, "PDV00", 5, out)
    row = written(out.stdout).rstrip("\n").split("\t")
    assert (row[6], row[8]) == (host.name, "ticket 4711")
    assert f"PDV00 means {host.name}" in written(out.stderr).replace("\n", " ")


@pytest.mark.parametrize("asked", ["acme-loja000-pdv00", "Till 0", "10.1.0.0"])
def test_why_says_nothing_of_a_host_that_was_named_in_full(state: State, out: Out, asked: str) -> None:
    asyncio.run(complete_run(state, make_info(), [make_result(host) for host in make_hosts(1)]))
    show_why(state, asked, 5, out)
    assert (written(out.stdout).count("\n"), written(out.stderr)) == (1, "")
