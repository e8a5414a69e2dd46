"""What a result means beside itself is told in its transaction: changes, tills that are away, and what the proxy detects."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from contracts.bodies import BODIES
from contracts.business import BUSINESS
from runtime.adapters.state.ledger import SqlLedger
from runtime.adapters.state.outbox import topics
from runtime.adapters.state.outbox.topics import topic_named
from runtime.adapters.state.store import State
from runtime.adapters.state.tables import outbox
from runtime.domain.model import HostResult, Outcome, Reason, StageRecord
from tests.unit.state.support import NOON, StillClock, complete_run, make_hosts, make_info, make_result

[HOST] = make_hosts(1)
ORDINARY = {"run.started", "host", "run.finished"}
OK = make_result(HOST, Outcome.OK, Reason.DONE)
CHANGED = make_result(HOST, plan=("set the zone",))
PLANNED = make_result(HOST, Outcome.WOULD_CHANGE, Reason.DRY_RUN, plan=("set the zone",))
AWAY = make_result(HOST, Outcome.UNREACHABLE, Reason.TIMEOUT)
BAD_LOGIN = make_result(HOST, Outcome.UNREACHABLE, Reason.AUTH_FAILED)
BUSY = make_result(HOST, Outcome.SKIPPED, Reason.TERMINAL_BUSY)


def told(state: State, *results: HostResult, **info: Any) -> list[list[str]]:
    """For each run of one host, in this order, what is told beside start, result and end."""
    found = []
    for number, result in enumerate(results):
        made = make_info(started_at=NOON + dt.timedelta(hours=number), **info)
        asyncio.run(complete_run(state, made, [result]))
        found.append([sub for sub, _ in _rows(state, made.run_id) if sub not in ORDINARY])
    return found


def _rows(state: State, run_id: str) -> Sequence[tuple[str, dict[str, Any]]]:
    query = select(outbox.c.kind, outbox.c.payload).where(outbox.c.run_id == run_id).order_by(outbox.c.seq)
    with state.read() as connection:
        rows = connection.execute(query).all()
    for row in rows:
        topic = topic_named(row.kind)
        msgspec.json.decode(row.payload, type=BODIES[topic.kind, topic.sub])  # type: ignore[index]
    return [(topic_named(row.kind).sub, json.loads(row.payload)) for row in rows]


def test_each_confirmed_change_is_an_event(state: State) -> None:
    assert told(state, CHANGED, OK, CHANGED) == [["host.changed"], [], ["host.changed"]]


def test_a_change_that_was_confirmed_before_a_later_stage_failed_is_an_event(state: State) -> None:
    stages = (StageRecord("zone", "confirmed", ("set the zone",)),)
    half = make_result(HOST, Outcome.FAILED, Reason.STEP_FAILED, stages=stages)
    assert told(state, half, make_result(HOST, Outcome.FAILED, Reason.STEP_FAILED)) == [["host.changed"], []]


def test_a_dry_run_changes_nothing(state: State) -> None:
    assert told(state, PLANNED, dry_run=True) == [[]]


def test_a_till_is_told_once_until_it_was_reached(state: State) -> None:
    assert told(state, AWAY, AWAY, BUSY, AWAY, OK, AWAY) == [["till.unreachable"], [], [], [], [], ["till.unreachable"]]


@pytest.mark.parametrize(
    ("reason", "outcome", "sub"),
    [
        (Reason.HOST_KEY_CHANGED, Outcome.BLOCKED, "host_key.changed"),
        (Reason.HOST_IDENTITY_UNCLEAR, Outcome.BLOCKED, "host_identity.unclear"),
        (Reason.PASSWORD_EXPIRED, Outcome.FAILED, "credentials.refused"),
    ],
)
def test_a_detection_is_told_once_until_something_else_was_found(
    state: State, reason: Reason, outcome: Outcome, sub: str
) -> None:
    found = make_result(HOST, outcome, reason)
    assert told(state, found, found, OK, found) == [[sub], [], [], [sub]]


def test_credentials_that_are_refused_are_a_detection_also_on_a_till_that_was_away(state: State) -> None:
    assert told(state, AWAY, BAD_LOGIN, BAD_LOGIN) == [["till.unreachable"], ["credentials.refused"], []]


def test_another_host_is_another_story(state: State) -> None:
    first, second = make_hosts(2)
    assert told(state, *(make_result(host, Outcome.UNREACHABLE, Reason.TIMEOUT) for host in (first, second))) == [
        ["till.unreachable"],
        ["till.unreachable"],
    ]


@pytest.mark.parametrize("before", [OK, CHANGED], ids=["was in order", "was put in order"])
def test_what_an_action_had_seen_to_and_is_no_more_is_drift(state: State, before: HostResult) -> None:
    first = told(state, before, effect="change")
    assert "drift.found" not in first[0]
    info = make_info(effect="change", dry_run=True, started_at=NOON + dt.timedelta(days=1))
    asyncio.run(complete_run(state, info, [PLANNED]))
    [body] = [body for sub, body in _rows(state, info.run_id) if sub == "drift.found"]
    assert (body["plan"], body["dry_run"], body["host"]["name"]) == (["set the zone"], True, HOST.name)
    assert body["converged_at"] == "2026-03-14T12:00:01.000Z"


def test_drift_that_a_dry_run_has_found_is_told_once(state: State) -> None:
    assert told(state, OK, PLANNED, PLANNED, effect="change", dry_run=True) == [[], ["drift.found"], []]


@pytest.mark.parametrize(
    "later", [{"params": {"zone": "America/Manaus"}}, {"action": "another"}, {"effect": "disrupt"}, {"effect": ""}]
)
def test_what_is_asked_for_anew_is_no_drift(state: State, later: dict[str, Any]) -> None:
    told(state, OK, effect="change")
    assert told(state, CHANGED, **{"effect": "change", **later}) == [["host.changed"]]


def test_a_second_record_of_a_host_tells_nothing(state: State) -> None:
    info = make_info()

    async def story() -> None:
        ledger = SqlLedger(state, StillClock())
        await ledger.begin(info, [HOST])
        await ledger.record(info.run_id, OK)
        await ledger.record(info.run_id, AWAY)

    asyncio.run(story())
    assert [sub for sub, _ in _rows(state, info.run_id)] == ["run.started", "host"]


def test_every_business_event_has_a_body_and_a_topic() -> None:
    known = {(one.kind, one.sub): one for one in vars(topics).values() if isinstance(one, topics.Topic)}
    assert set(BUSINESS) <= set(BODIES)
    assert set(BUSINESS) <= set(known)
    assert {sub for (kind, sub), one in known.items() if one.importance == topics.BUSINESS} == {
        sub for _, sub in BUSINESS if sub != "host.changed"
    }
