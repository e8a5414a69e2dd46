"""What the proxy writes into its outbox is what the contract says of each kind and sub."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from contracts.bodies import BODIES
from contracts.envelope import Envelope
from runtime.adapters.state.outbox import topics
from runtime.adapters.state.outbox.delivery import Leased, lease, stream_of
from runtime.adapters.state.outbox.events import post_event
from runtime.adapters.state.outbox.limits import shed
from runtime.adapters.state.outbox.packing import envelope
from runtime.adapters.state.outbox.topics import JOB_MISSED, Topic
from runtime.adapters.state.store import State
from runtime.domain.kept_lines import KeptLines
from runtime.domain.model import Outcome
from runtime.services.delivery import LEASE
from runtime.services.self_report import HealthWatch, LogLines, Measures
from tests.unit.state.support import NOON, StillClock, complete_run, make_hosts, make_info, make_result, open_state

TOPICS = [value for value in vars(topics).values() if isinstance(value, Topic)]


def checked(row: Leased, stream: str) -> str:
    """The sub of a row whose envelope and body the contract takes."""
    found = msgspec.json.decode(msgspec.json.encode(envelope(row, stream)), type=Envelope)
    msgspec.json.decode(found.body, type=BODIES[row.kind, row.sub])  # type: ignore[index]
    return found.sub


def leased(state: State) -> list[str]:
    with state.read() as connection:
        stream = stream_of(connection)
    held = state.write(lambda connection: lease(connection, now=NOON, lasts=LEASE, most=100, most_bytes=10**6))
    return [checked(row, stream) for row in held.rows]


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_every_topic_has_a_body_in_the_contract(topic: Topic) -> None:
    assert (topic.kind, topic.sub) in BODIES


def test_a_whole_run_is_what_the_contract_says(tmp_path: Path) -> None:
    with open_state(tmp_path) as state:
        results = [make_result(host, outcome) for host, outcome in zip(make_hosts(len(Outcome)), Outcome, strict=True)]
        asyncio.run(complete_run(state, make_info(), results))
        subs = leased(state)
        assert (subs[0], subs[-1]) == ("run.started", "run.finished")
        assert sorted(subs[1:-1]) == [*["host"] * len(Outcome), "host.changed", "till.unreachable"]


def test_what_the_daemon_tells_of_itself_is_what_the_contract_says(tmp_path: Path) -> None:
    clock, lines = StillClock(), KeptLines(lambda: 0.0)
    lines.note({"event": "run_died", "level": "warning", "run_id": "r", "open_hosts": 3})
    with open_state(tmp_path) as state:
        asyncio.run(HealthWatch(state, clock, lambda: ["maintenance: the disk is full"]).check())
        asyncio.run(Measures(state, clock).measure())
        asyncio.run(LogLines(state, clock, lines).flush())
        assert leased(state) == ["health.changed", "proxy", "log.line"]


def test_a_tombstone_is_what_the_contract_says(tmp_path: Path) -> None:
    with open_state(tmp_path) as state:
        for number in range(3):
            post_event(state, JOB_MISSED, {"job": f"j{number}", "action": "a", "reason": "late", "message": "m"}, NOON)
        state.write(lambda connection: shed(connection, limit=1, now=NOON))
        assert sorted(leased(state)) == ["job.missed", "outbox.lost"]
