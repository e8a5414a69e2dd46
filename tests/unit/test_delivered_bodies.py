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
from runtime.domain.model import Outcome
from runtime.services.delivery import LEASE
from tests.unit.state.support import NOON, complete_run, make_hosts, make_info, make_result, open_state

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
        assert leased(state) == ["run.started", *["host"] * len(Outcome), "run.finished"]


def test_a_tombstone_is_what_the_contract_says(tmp_path: Path) -> None:
    with open_state(tmp_path) as state:
        for number in range(3):
            post_event(state, JOB_MISSED, {"job": f"j{number}", "action": "a", "reason": "late", "message": "m"}, NOON)
        state.write(lambda connection: shed(connection, limit=1, now=NOON))
        assert sorted(leased(state)) == ["job.missed", "outbox.lost"]
