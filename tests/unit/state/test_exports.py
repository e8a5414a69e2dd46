"""StatsD and OTLP are told what the control plane is told, each in its own time, and nobody waits for them."""

from __future__ import annotations

import asyncio
import datetime as dt
import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from contracts.export_address import StatsdAddress, parse_otlp, parse_statsd
from runtime.adapters.exporters import Fate, Otlp, Statsd
from runtime.adapters.state.outbox import exports
from runtime.adapters.state.outbox.delivery import lease
from runtime.adapters.state.outbox.events import post_event
from runtime.adapters.state.outbox.exports import choose_sinks, waiting_for
from runtime.adapters.state.outbox.topics import DEPLOYMENT, JOB_MISSED, MEASURED
from runtime.adapters.state.store import State
from runtime.domain.export_formats import Origin, Told
from runtime.services.exporting import BATCH, Exporting
from tests.harness.ports import free_port
from tests.unit.state.support import NOON, complete_run, make_hosts, make_info, make_result

ORIGIN = Origin("0190a0a0-0000-7000-8000-000000000000", "SOL", "1.2.3")


class Sink:
    """``script``: what becomes of the next batches; then each is sent."""

    name = "otlp"

    def __init__(self, *script: Fate) -> None:
        self.script, self.got = list(script), list[Told]()

    def send(self, told: Sequence[Told], origin: Origin) -> tuple[Fate, str]:
        fate = self.script.pop(0) if self.script else "sent"
        if fate == "sent":
            self.got += told
        return fate, "" if fate == "sent" else "away"


def choose(state: State, *sinks: str) -> None:
    state.write(lambda connection: choose_sinks(connection, sinks))


def waiting(state: State, sink: str = "otlp") -> list[str]:
    with state.read() as connection:
        return [one.topic.sub for one in waiting_for(connection, sink, 10_000)]


def exporting(state: State, sink: Any) -> Exporting:
    return Exporting(state, sink, lambda: ORIGIN, draw=lambda: 0.5)


def missed(state: State, number: int = 1) -> None:
    for place in range(number):
        told = {"job": f"j{place}", "action": "a", "reason": "late", "message": "the daemon was away"}
        post_event(state, JOB_MISSED, told, NOON + dt.timedelta(seconds=place))


# --- which


def test_nothing_is_copied_where_no_sink_is_set(state: State) -> None:
    missed(state)
    assert waiting(state) == []


def test_a_run_leaves_its_business_events_for_each_sink_and_loses_none_in_the_outbox(state: State) -> None:
    choose(state, "statsd", "otlp")
    asyncio.run(complete_run(state, make_info(), [make_result(host) for host in make_hosts(2)]))
    assert waiting(state, "otlp") == waiting(state, "statsd") == ["host.changed", "host.changed", "run.finished"]
    rows = state.write(lambda c: lease(c, now=NOON, lasts=dt.timedelta(minutes=1), most=99, most_bytes=10**6)).rows
    assert sorted(row.sub for row in rows) == [
        *["host"] * 2,
        *["host.changed"] * 2,
        "run.finished",
        "run.started",
    ]


def test_figures_are_copied_and_what_is_no_business_event_is_not(state: State) -> None:
    choose(state, "otlp")
    post_event(state, MEASURED, {"values": {"load_1m": 1}}, NOON)
    post_event(state, DEPLOYMENT, {}, NOON)
    assert waiting(state) == ["proxy"]


def test_a_sink_that_is_not_set_any_more_leaves_nothing_behind(state: State) -> None:
    choose(state, "statsd", "otlp")
    missed(state)
    choose(state, "statsd")
    missed(state)
    assert (len(waiting(state, "statsd")), waiting(state, "otlp")) == (2, [])


def test_a_copy_is_there_exactly_when_the_event_is(state: State) -> None:
    choose(state, "otlp")

    def work(connection: Any) -> None:
        from runtime.adapters.state.outbox.put import event, put

        put(connection, [event(JOB_MISSED, {}, NOON)])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        state.write(work)
    assert waiting(state) == []


# --- the duty


def test_what_happened_while_the_daemon_was_away_is_told_in_its_order(state: State) -> None:
    choose(state, "otlp")
    missed(state, BATCH + 3)
    sink = Sink()
    duty = exporting(state, sink)
    assert duty.step() == 0.0
    assert duty.step() > 0
    assert [one.body["job"] for one in sink.got] == [f"j{place}" for place in range(BATCH + 3)]
    assert waiting(state) == []


def test_a_collector_that_is_away_gets_everything_later_and_once(state: State) -> None:
    choose(state, "otlp")
    missed(state, 2)
    sink = Sink("again", "again")
    duty = exporting(state, sink)
    pauses = [duty.step() for _ in range(3)]
    assert min(pauses) >= 5
    assert len(sink.got) == 2
    assert duty.step() > 0
    assert len(sink.got) == 2


def test_what_a_sink_will_never_take_holds_up_nothing(state: State) -> None:
    choose(state, "otlp")
    missed(state)
    sink = Sink("never")
    exporting(state, sink).step()
    assert (sink.got, waiting(state)) == ([], [])


def test_what_no_collector_takes_is_bounded(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "MOST", 5)
    choose(state, "otlp")
    missed(state, 9)
    exporting(state, Sink("again")).step()
    sink = Sink()
    exporting(state, sink).step()
    assert [one.body["job"] for one in sink.got] == ["j4", "j5", "j6", "j7", "j8"]


# --- StatsD


@contextmanager
def udp() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.bind(("127.0.0.1", 0))
        here.settimeout(20)
        yield here


def told(**body: Any) -> Told:
    everything = {"job": "j", "action": "set_zone", "reason": "late", "message": "the daemon|was:away\nlong", **body}
    return Told("event", "job.missed", everything, "0195a0a0-3000-7000-8000-000000000001", NOON)


ENDED = Told("event", "run.finished", {"exit_code": 1, "summary": {"ok": 3, "failed": 1}}, "mine", NOON)
FIGURES = Told("metric", "proxy", {"values": {"load_1m": 0.5, "runs_at_work": 2}}, "mine", NOON)


def test_plain_statsd_gets_counters_and_gauges() -> None:
    with udp() as here:
        address = StatsdAddress("127.0.0.1", here.getsockname()[1], tags=False)
        assert Statsd(address).send([told(), ENDED, FIGURES], ORIGIN) == ("sent", "")
        assert here.recv(9000).decode().split("\n") == [
            "flagee.event.job.missed:1|c",
            "flagee.event.run.finished:1|c",
            "flagee.run.hosts.ok:3|c",
            "flagee.run.hosts.failed:1|c",
            "flagee.proxy.load_1m:0.5|g",
            "flagee.proxy.runs_at_work:2|g",
        ]


def test_dogstatsd_gets_tags_and_events_that_no_text_can_break() -> None:
    with udp() as here:
        Statsd(StatsdAddress("127.0.0.1", here.getsockname()[1], tags=True)).send([told(action="a|b:c,#d\n")], ORIGIN)
        counter, event = here.recv(9000).decode().split("\n")
    tags = "|#network:SOL,level:warning,kind:event,event:job.missed,action:a_b_c_d_,reason:late"
    assert counter == f"flagee.event:1|c{tags}"
    text = "job.missed the daemon|was:away long"
    assert event == f"_e{{10,{len(text)}}}:job.missed|{text}|d:{int(NOON.timestamp())}|t:warning{tags}"


def test_many_events_are_several_packets_that_pass_any_network() -> None:
    with udp() as here:
        Statsd(StatsdAddress("127.0.0.1", here.getsockname()[1], tags=True)).send([told()] * 50, ORIGIN)
        lines: list[bytes] = []
        while len(lines) < 100:
            packet = here.recv(9000)
            assert len(packet) <= 1400
            lines += packet.split(b"\n")
    assert len(lines) == 100


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-name.invalid"])
def test_a_statsd_that_is_not_there_costs_a_run_nothing_and_the_daemon_little(state: State, host: str) -> None:
    choose(state, "statsd")
    asyncio.run(complete_run(state, make_info(), [make_result(host) for host in make_hosts(3)]))
    exporting(state, Statsd(StatsdAddress(host, free_port(), tags=True))).step()
    assert waiting(state, "statsd") == []


# --- OTLP


class Collector(http.server.ThreadingHTTPServer):
    def __init__(self, *statuses: int) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.statuses, self.got = list(statuses), list[tuple[str, Any]]()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answering(http.server.BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        if status == 200:
            self.server.got.append((self.path, body))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Tests need no log."""


@contextmanager
def collector(*statuses: int) -> Iterator[Collector]:
    with Collector(*statuses) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def attributes(found: Any) -> dict[str, Any]:
    return {one["key"]: next(iter(one["value"].values())) for one in found}


def test_a_collector_gets_logs_and_metrics() -> None:
    with collector() as server:
        assert Otlp(server.base, "").send([told(), ENDED, FIGURES], ORIGIN) == ("sent", "")
        (logs_path, logs), (metrics_path, metrics) = server.got
    assert (logs_path, metrics_path) == ("/v1/logs", "/v1/metrics")
    [whole] = logs["resourceLogs"]
    assert attributes(whole["resource"]["attributes"])["service.instance.id"] == ORIGIN.agent_id
    first, second = whole["scopeLogs"][0]["logRecords"]
    assert (first["traceId"], first["severityText"]) == ("0195a0a030007000800000000000" + "0001", "WARN")
    assert ("traceId" in second, attributes(second["attributes"])["summary.failed"]) == (False, "1")
    found = {one["name"]: one for one in metrics["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]}
    assert found["flagee.proxy.load_1m"]["gauge"]["dataPoints"][0]["asDouble"] == 0.5
    counted = {
        attributes(one["attributes"])["event"]: one["asInt"] for one in found["flagee.events"]["sum"]["dataPoints"]
    }
    assert counted == {"job.missed": "1", "run.finished": "1"}


@pytest.mark.parametrize(("status", "fate"), [(503, "again"), (429, "again"), (400, "never"), (302, "never")])
def test_an_answer_of_a_collector_decides_whether_it_is_tried_again(status: int, fate: Fate) -> None:
    with collector(status) as server:
        found, why = Otlp(server.base, "").send([told()], ORIGIN)
    assert (found, str(status) in why) == (fate, True)


def test_a_collector_that_is_not_there_is_tried_again_and_holds_up_no_run(state: State) -> None:
    choose(state, "otlp")
    duty = exporting(state, Otlp(f"http://127.0.0.1:{free_port()}", ""))
    missed(state)
    assert duty.step() >= 5
    before = time.monotonic()
    asyncio.run(complete_run(state, make_info(), [make_result(host) for host in make_hosts(3)]))
    assert time.monotonic() - before < 60  # a run writes rows; it knows no collector
    assert waiting(state)[0] == "job.missed"


# --- settings


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("statsd://10.0.0.5:9125", StatsdAddress("10.0.0.5", 9125, tags=False)),
        ("dogstatsd://agent.example", StatsdAddress("agent.example", 8125, tags=True)),
        ("dogstatsd://[::1]:8125/", StatsdAddress("::1", 8125, tags=True)),
    ],
)
def test_an_address_of_statsd(text: str, address: StatsdAddress) -> None:
    assert parse_statsd(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10.0.0.5:8125",
        "http://x:8125",
        "statsd://",
        "statsd://x:0",
        "statsd://x:99999",
        "statsd://user:pw@x",
        "statsd://x/y",
    ],
)
def test_what_is_no_address_of_statsd_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match="statsd://host:port"):
        parse_statsd(text)


@pytest.mark.parametrize(
    "text", ["", "collector:4318", "ftp://x", "http://", "https://user:pw@x", "http://x?y=1", "http://x:a"]
)
def test_what_is_no_address_of_otlp_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match="https://host:port"):
        parse_otlp(text)
