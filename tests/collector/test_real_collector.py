"""OpenTelemetry's own collector understands what the daemon of a proxy sends. Run by `make test-collector`, which compiles it."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.adapters.exporters import Otlp
from runtime.adapters.state.outbox.events import post_event
from runtime.adapters.state.outbox.exports import choose_sinks, waiting_for
from runtime.adapters.state.outbox.topics import MEASURED
from runtime.adapters.state.store import State
from runtime.domain.export_formats import Origin
from runtime.domain.model import Outcome, Reason
from runtime.services.exporting import Exporting
from tests.harness import collector
from tests.harness.ports import free_port
from tests.harness.process import Child, wait_until
from tests.unit.state.support import NOON, complete_run, make_hosts, make_info, make_result, open_state

ORIGIN = Origin("0190a0a0-0000-7000-8000-000000000000", "SOL", "1.2.3")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with open_state(tmp_path / "data") as opened:
        opened.write(lambda connection: choose_sinks(connection, ["otlp"]))
        yield opened


def waiting(state: State) -> int:
    with state.read() as connection:
        return len(waiting_for(connection, "otlp", 1000))


def wait_for(child: Child, *words: str) -> str:
    def said() -> str:
        return child.log.read_text(errors="replace")

    wait_until(lambda: all(word in said() for word in words), within=120, what=f"{words} in the collector's log")
    return said()


def a_run(state: State) -> str:
    info = make_info(network="SOL")
    [first, second] = make_hosts(2, "SOL")
    results = [make_result(first), make_result(second, Outcome.UNREACHABLE, Reason.TIMEOUT, message="no answer")]
    asyncio.run(complete_run(state, info, results, 1))
    return info.correlation_id


def test_a_run_is_log_records_and_metrics_of_one_trace(state: State, tmp_path: Path) -> None:
    with collector.running(tmp_path) as (base, child):
        correlation = a_run(state)
        post_event(state, MEASURED, {"values": {"load_1m": 0.25}}, NOON + dt.timedelta(seconds=1))
        Exporting(state, Otlp(base, ""), lambda: ORIGIN).step()
        said = wait_for(child, "EventName: run.finished", "flagee.proxy.load_1m", "flagee.events")
    assert waiting(state) == 0
    for word in (
        "EventName: host.changed",
        "EventName: till.unreachable",
        "SeverityText: WARN",
        f"Trace ID: {correlation.replace('-', '')}",
        "-> service.name: Str(flageemonitor-proxy)",
        f"-> service.instance.id: Str({ORIGIN.agent_id})",
        "-> host.name: Str(SOL-Loja000-PDV01)",
        "-> correlation_id: Str(" + correlation + ")",
        "AggregationTemporality: Delta",
        "Value: 0.25",
    ):
        assert word in said, word


def test_a_collector_that_comes_later_gets_what_happened_before_once(state: State, tmp_path: Path) -> None:
    a_run(state)
    away = Exporting(state, Otlp(f"http://127.0.0.1:{free_port()}", ""), lambda: ORIGIN)
    assert away.step() >= 5
    assert waiting(state) == 3
    with collector.running(tmp_path) as (base, child):
        duty = Exporting(state, Otlp(base, ""), lambda: ORIGIN)
        duty.step()
        duty.step()
        said = wait_for(child, "EventName: run.finished", "flagee.events")
    assert said.count("EventName: run.finished") == 1
