"""The report on how a proxy is: what it says, and what the answers make it do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.heartbeat import Report
from contracts.secret import Secret
from runtime.adapters.config_store import ConfigStore
from runtime.adapters.control_plane.transport import Answer, Fetched, Login, RequestRefused, Unavailable
from runtime.adapters.state.outbox.delivery import last_seq, stream_of
from runtime.adapters.state.outbox.events import post_event
from runtime.adapters.state.outbox.topics import JOB_MISSED
from runtime.domain.schedule_lease import SteadyTime
from runtime.services.schedule_keeper import ScheduleKeeper
from runtime.services.status_report import Parts, StatusReport
from tests.unit.state.support import NOON, StillClock, open_state


def told(**more: Any) -> Answer:
    return Fetched(json.dumps({"server_time_unix_ms": 1, "interval_s": 30, **more}).encode(), None)


class Plane:
    """Answers with ``answer``, and keeps the reports. ``meanwhile``: what happens before it answers."""

    def __init__(self) -> None:
        self.answer: Answer = told()
        self.reports: list[Report] = []
        self.meanwhile: Callable[[], object] = list
        self.url = self.network = ""

    def post(self, path: str, body: bytes, *, gzipped: bool, **_: Any) -> Answer:
        assert (path, gzipped) == ("/v1/heartbeat", False)
        self.reports.append(msgspec.json.decode(body, type=Report))
        self.meanwhile()
        return self.answer

    def fetch_config(self, *_: Any, **__: Any) -> Answer:
        raise AssertionError("nobody asks this one for a configuration")

    def advice(self, answer: Answer | None = None) -> str:
        return ""

    def login(self) -> Login:
        return Login(Secret("t"))


class World:
    def __init__(self, folder: Path) -> None:
        self.state, self.clock, self.plane = open_state(folder / "data"), StillClock(), Plane()
        self.held: list[str] = []
        self.trouble: list[str] = []
        parts = Parts(
            self.state,
            ConfigStore(folder / "config"),
            self.clock,
            None,
            None,
            trouble=lambda: self.trouble,
            breakers=lambda: {"ingest": "open"},
        )
        self.time = SteadyTime(1000.0, "boot")
        self.keeper = ScheduleKeeper(self.state, self.clock, enrolled=True, time=lambda: self.time)
        self._report = StatusReport(parts, lambda: self.plane, self.held.append, self.keeper)

    def send(self, answer: Answer | None = None) -> float:
        self.plane.answer = answer or told()
        return asyncio.run(self._report.send())

    @property
    def asked(self) -> bool:
        return self._report.asked

    def stream(self) -> tuple[str, int]:
        with self.state.read() as connection:
            return stream_of(connection), last_seq(connection)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    (tmp_path / "data").mkdir()
    made = World(tmp_path)
    yield made
    made.state.close()


def test_a_report_says_what_waits_and_what_does_not_do_its_duty(world: World) -> None:
    post_event(world.state, JOB_MISSED, {"job": "j"}, NOON)
    world.clock.at = world.clock.at.replace(minute=5)
    world.trouble = ["maintenance: the disk is full"]
    world.send()
    [report] = world.plane.reports
    assert report.outbox is not None
    assert (report.outbox.stream, report.outbox.highest_seq) == world.stream()
    assert (report.outbox.waiting, report.outbox.oldest_s) == (1, 300)
    assert (report.trouble, report.breakers) == (world.trouble, {"ingest": "open"})
    assert report.clock_unix_ms == int(world.clock.at.timestamp() * 1000)


def test_all_reports_of_one_start_name_one_instance(world: World, tmp_path: Path) -> None:
    world.send()
    world.send()
    assert len({report.instance_id for report in world.plane.reports}) == 1
    (tmp_path / "other" / "data").mkdir(parents=True)
    other = World(tmp_path / "other")
    other.send()
    other.state.close()
    assert other.plane.reports[0].instance_id != world.plane.reports[0].instance_id


def test_the_answer_says_when_the_next_report_is_due(world: World) -> None:
    assert world.send(told(interval_s=7)) == 7


def test_reports_go_on_at_their_interval_through_an_outage_so_that_its_end_is_seen_within_30_s(world: World) -> None:
    assert {world.send(Unavailable("away", 503)) for _ in range(10)} == {30}
    assert world.send(Unavailable("away", 503, 600.0)) == 600
    assert world.send() == 30


@pytest.mark.parametrize(("stored", "new"), [(None, False), (0, False), (2, False), (3, True), (10**9, True)])
def test_a_folder_that_was_restored_begins_a_new_stream(world: World, stored: int | None, new: bool) -> None:
    for _ in range(2):
        post_event(world.state, JOB_MISSED, {"job": "j"}, NOON)
    before = world.stream()
    world.send(told(highest_seq=stored))
    assert (world.stream()[0] != before[0], world.stream()[1]) == (new, 2)


def test_rows_that_are_written_while_the_first_report_is_out_do_not_hide_that_a_folder_was_restored(
    world: World,
) -> None:
    """Their numbers were given before, too."""
    world.plane.meanwhile = lambda: post_event(world.state, JOB_MISSED, {"job": "j"}, NOON)
    before, _ = world.stream()
    assert not world.asked
    world.send(told(highest_seq=1))
    assert world.asked
    restored, seq = world.stream()
    assert (restored != before, seq) == (True, 1)
    world.send(told(highest_seq=2))  # a row that was delivered while a later report was out
    assert world.stream()[0] == restored


def test_two_instances_hold_the_schedule_until_the_control_plane_sees_one(world: World) -> None:
    world.send(RequestRefused(409, "two instances"))
    assert "two instances" in world.held[-1]
    held = len(world.held)
    for answer in (Unavailable("away"), RequestRefused(401, "no"), Fetched(b'"interval_s"', None)):
        world.send(answer)
    assert len(world.held) == held  # nobody has said that the other one is gone
    world.send()
    assert world.held[-1] == ""
