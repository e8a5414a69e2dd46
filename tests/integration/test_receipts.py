"""Rows from a real database, delivered to a real server over HTTP: nothing is lost, and nothing is stored twice.

The watermark moves only after the receipt. What is lost, late, partial or killed is delivered again under the same key.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from runtime.adapters.state.deliveries import SqlDeliveries
from runtime.adapters.state.history import list_runs
from runtime.adapters.state.runs import reap
from runtime.adapters.state.store import State
from runtime.domain.deliveries import Delivery
from runtime.domain.model import Host, HostResult
from tests.integration.delivery_parts import (
    POSTGRESQL,
    Clock,
    PostgresSources,
    SinkServer,
    SqliteSources,
    add_rows,
    collect,
    collector,
    make_source,
    sink_server,
)

SUBJECT = Host(id="x", name="ACME-LOJA001-HUB", network="ACME", address="127.0.0.1")


def verdict(result: HostResult) -> tuple[str, str]:
    return result.outcome.value, result.reason.value


def state_of(folder: Path) -> tuple[str, Delivery | None]:
    """The watermark and the delivery that waits for its receipt."""
    with State(folder, now=dt.datetime.now(dt.UTC)) as state:
        return asyncio.run(SqlDeliveries(state, Clock()).load(SUBJECT, collector().name))


def test_rows_of_postgresql_are_delivered_once_in_batches_and_a_second_run_finds_nothing_new(
    tmp_path: Path, postgres_url: str
) -> None:
    url = postgres_url.replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE coupons (id integer PRIMARY KEY, total integer)")
        connection.execute("INSERT INTO coupons SELECT n, n FROM generate_series(1, 7) AS n")
    with sink_server() as sink:
        first = collect(tmp_path, PostgresSources(url), sink.port, text=POSTGRESQL)
        second = collect(tmp_path, PostgresSources(url), sink.port, text=POSTGRESQL)
    assert (verdict(first), first.report) == (("changed", "confirmed"), {"watermark": "7"})
    assert [(stage.name, stage.state) for stage in first.stages] == [("deliver coupons", "confirmed")] * 3
    assert (verdict(second), second.stages) == (("ok", "done"), ())
    assert (sink.stored, len(sink.requests), len(set(sink.requests))) == ([1, 2, 3, 4, 5, 6, 7], 3, 3)
    assert state_of(tmp_path) == ("7", None)


def test_a_dry_run_says_what_it_would_deliver_and_delivers_nothing(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source.db", 4)
    with sink_server() as sink:
        result = collect(tmp_path / "state", SqliteSources(source), sink.port, dry_run=True)
    assert verdict(result) == ("would_change", "dry_run")
    assert (sink.requests, state_of(tmp_path / "state")) == ([], ("", None))


# What the sink does with the first request: the outcome of that run, a part of its message, whether the delivery waits on.
TROUBLE: dict[str, tuple[tuple[str, str], str, bool]] = {
    "refuse": (("failed", "step_failed"), "business_api took nothing: HTTP 422", False),
    "drop": (("unknown", "connection_lost"), "ended the connection without an answer", True),
    "store and drop": (("unknown", "connection_lost"), "whether it took the rows is not known", True),
    "late": (("unknown", "deadline"), "had not acknowledged deliver coupons after 1 s", True),
    "partial": (("failed", "step_failed"), "acknowledged 2 of 3 rows (refused: 3: no such till)", True),
}


@pytest.mark.parametrize("mood", TROUBLE)
def test_trouble_at_the_sink_moves_no_watermark_and_the_next_run_settles_it(mood: str, tmp_path: Path) -> None:
    expected, said, waits = TROUBLE[mood]
    source, folder = make_source(tmp_path / "source.db", 3), tmp_path / "state"
    with sink_server(mood) as sink:
        first = collect(folder, SqliteSources(source), sink.port)
        assert verdict(first) == expected
        assert said in first.message
        watermark, waiting = state_of(folder)
        assert (watermark, waiting is not None) == ("", waits)
        add_rows(source, 4, 5)  # what is new must not change what is delivered again
        second = collect(folder, SqliteSources(source), sink.port)
    assert (verdict(second), second.report) == (("changed", "confirmed"), {"watermark": "5"})
    assert (sink.requests[0] == sink.requests[1], sorted(sink.stored)) == (True, [1, 2, 3, 4, 5])
    assert any("3 rows again" in line for line in second.plan) == waits
    assert state_of(folder) == ("5", None)


def test_a_sink_that_nobody_can_connect_to_fails_and_nothing_is_kept_waiting(tmp_path: Path) -> None:
    source, folder = make_source(tmp_path / "source.db", 1), tmp_path / "state"
    with sink_server() as sink:
        port = sink.port
    result = collect(folder, SqliteSources(source), port)
    assert verdict(result) == ("failed", "step_failed")
    assert "took nothing" in result.message
    assert state_of(folder) == ("", None)


def _killed(folder: Path, source: Path, sink: SinkServer) -> None:
    argv = [sys.executable, "-m", "tests.integration.delivery_parts", str(folder), str(source), str(sink.port)]
    assert subprocess.run(argv, timeout=60, check=False).returncode == -9


def test_a_run_that_is_killed_between_the_receipt_and_its_record_delivers_the_same_rows_again(tmp_path: Path) -> None:
    source, folder = make_source(tmp_path / "source.db", 3), tmp_path / "state"
    with sink_server("store and kill") as sink:
        _killed(folder, source, sink)
        with State(folder, now=dt.datetime.now(dt.UTC)) as state:
            reap(state, dt.datetime.now(dt.UTC))
            (run,) = list_runs(state, limit=5)
            assert run.exit_code == 1
        add_rows(source, 4, 4)
        result = collect(folder, SqliteSources(source), sink.port)
    assert verdict(result) == ("changed", "confirmed")
    assert sink.requests[0] == sink.requests[1]
    assert sink.stored == [1, 2, 3, 4]
    assert state_of(folder) == ("4", None)
