"""Delivery: what the control plane has leaves the outbox, what it never takes becomes a dead letter, and nothing else goes."""

from __future__ import annotations

import asyncio
import datetime as dt
import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.secret import Secret
from runtime.adapters.control_plane.transport import Answer, Fetched, Intercepted, Login, RequestRefused, Unavailable
from runtime.adapters.state.outbox.delivery import due
from runtime.adapters.state.outbox.limits import count_outbox
from runtime.adapters.state.outbox.listing import dead_letters, waiting_rows
from runtime.adapters.state.outbox.put import Message, event, put
from runtime.adapters.state.outbox.status import read_status
from runtime.adapters.state.outbox.topics import HOST_RESULT, JOB_MISSED, Topic
from runtime.adapters.state.store import State
from runtime.services.delivery import IDLE_S, MOST, Delivery, drain
from tests.unit.state.support import NOON, StillClock, open_state

Judge = Callable[[list[dict[str, Any]]], Answer]


class Plane:
    """A control plane in memory: each batch gets the next of ``script``, or is stored. ``kept``: ids in the order of arrival."""

    def __init__(self, *script: Answer | Judge) -> None:
        self.script, self.kept = list(script), list[str]()
        self.batches: list[list[dict[str, Any]]] = []
        self.url = self.network = ""

    def post(
        self,
        path: str,
        body: bytes,
        *,
        gzipped: bool,
        correlation_id: str,
        now: dt.datetime,
        within: float | None = None,
    ) -> Answer:
        assert path == "/v1/ingest"
        batch = json.loads(gzip.decompress(body) if gzipped else body)
        self.batches.append(batch)
        answer = self.script.pop(0) if self.script else self.store
        return answer if not callable(answer) else answer(batch)

    def store(self, batch: list[dict[str, Any]], errors: dict[int, str] | None = None) -> Answer:
        """As the real one: each id once, and by place what is not taken."""
        failed = dict(errors or {})
        for place, one in enumerate(batch):
            if place not in failed:
                if one["envelope_id"] in self.kept:
                    failed[place] = "duplicate"
                else:
                    self.kept.append(one["envelope_id"])
        return answered(len(batch), failed)

    def fetch_config(self, *_: Any, **__: Any) -> Answer:
        raise AssertionError("nobody asks this one for a configuration")

    def advice(self, answer: Answer | None = None) -> str:
        return "do something"

    def login(self) -> Login:
        return Login(Secret("t"))


def answered(received: int, failed: dict[int, str], **more: Any) -> Answer:
    rows = [{"index": place, "envelope_id": None, "error": error} for place, error in sorted(failed.items())]
    told = {"received": received, "stored": received - len(failed), "failed": rows, **more}
    return Fetched(json.dumps(told).encode(), None)


class World:
    def __init__(self, folder: Path) -> None:
        self.clock = StillClock()
        self.state: State = open_state(folder)
        self.plane = Plane()
        self.delivery = Delivery(self.state, lambda: self.plane, self.clock, draw=lambda: 0.999999)

    def post(self, number: int, topic: Topic = JOB_MISSED) -> list[str]:
        messages = [event(topic, {"job": f"j{n}"}, self.clock.now()) for n in range(number)]
        self.state.write(lambda connection: put(connection, messages))
        return [one.id for one in messages]

    def answer(self, *script: Answer | Judge) -> None:
        self.plane.script = list(script)

    def counts(self) -> tuple[int, int, int]:
        """Waiting, dead, delivered."""
        with self.state.read() as connection:
            found = count_outbox(connection)
        return found.waiting, found.dead, found.delivered

    def pause(self) -> float:
        """Seconds until something may be sent."""
        return self.delivery.breaker.wait(self.clock.monotonic())

    def later(self, seconds: float) -> None:
        self.clock.at += dt.timedelta(seconds=seconds)

    def why_dead(self) -> list[str]:
        with self.state.read() as connection:
            return [one.why for one in dead_letters(connection, 100)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.state.close()


def test_what_waits_is_sent_in_one_batch_and_leaves_the_outbox(world: World) -> None:
    ids = world.post(3)
    assert world.delivery.step() == IDLE_S
    assert (world.plane.kept, world.counts()) == (ids, (0, 0, 3))
    [batch] = world.plane.batches
    assert [(one["kind"], one["sub"], one["seq"]) for one in batch] == [("event", "job.missed", n) for n in (1, 2, 3)]
    assert {one["ts_unix_ms"] for one in batch} == {int(NOON.timestamp() * 1000)}
    assert batch[0]["body"]["job"] == "j0"
    assert "agent_id" not in batch[0]


def test_a_duplicate_is_as_good_as_stored(world: World) -> None:
    world.answer(lambda batch: answered(2, {0: "duplicate", 1: "duplicate"}))
    world.post(2)
    world.delivery.step()
    assert world.counts() == (0, 0, 2)


@pytest.mark.parametrize("error", ["invalid", "too_large", "foreign", "too_old"])
def test_what_is_never_taken_becomes_a_dead_letter_with_the_reason(world: World, error: str) -> None:
    world.answer(lambda batch: world.plane.store(batch, {1: error}))
    world.post(3)
    world.delivery.step()
    drain(world.delivery, world.state, world.clock)
    assert world.why_dead() == [error]
    assert len({one["envelope_id"] for batch in world.plane.batches for one in batch}) == 3 + (error == "too_old")
    assert world.counts()[:2] == (0, 1)


def test_what_is_too_old_leaves_a_tombstone_that_is_delivered(world: World) -> None:
    world.answer(lambda batch: world.plane.store(batch, {0: "too_old", 1: "too_old"}))
    world.post(2)
    drain(world.delivery, world.state, world.clock)
    [tombstone] = world.plane.batches[-1]
    assert tombstone["sub"] == "outbox.lost"
    assert (tombstone["body"]["dropped"], tombstone["body"]["ranges"], tombstone["body"]["cause"]) == (
        2,
        [[1, 2]],
        "too_old",
    )
    assert tombstone["body"]["kinds"] == {"job_missed": 2}


def test_a_tombstone_that_is_too_old_itself_leaves_no_other_so_that_a_clock_behind_ends_the_drain(world: World) -> None:
    world.answer(*[lambda batch: world.plane.store(batch, dict.fromkeys(range(len(batch)), "too_old"))] * 2)
    world.post(2)
    drain(world.delivery, world.state, world.clock)
    assert [one["sub"] for batch in world.plane.batches for one in batch] == ["job.missed", "job.missed", "outbox.lost"]
    assert world.counts() == (0, 3, 0)


def test_an_unknown_kind_is_kept_for_an_hour_and_holds_up_nothing(world: World) -> None:
    world.answer(lambda batch: world.plane.store(batch, {0: "unknown_kind"}))
    world.post(2)
    world.delivery.step()
    assert world.counts() == (1, 0, 1)
    assert due(world.state, world.clock.now(), 10) == 0
    world.later(3600)
    world.delivery.step()
    assert world.counts() == (0, 0, 2)


def test_what_the_server_did_not_know_is_sent_again_when_its_version_has_changed(world: World) -> None:
    def old(batch: list[dict[str, Any]]) -> Answer:
        return answered(len(batch), dict.fromkeys(range(len(batch)), "unknown_kind"), server_version="1")

    world.answer(old, lambda batch: answered(len(batch), {}, server_version="1"))
    world.post(2)
    world.delivery.step()
    world.later(5)
    world.post(1)
    world.delivery.step()
    assert (world.counts(), due(world.state, world.clock.now(), 10)) == ((2, 0, 1), 0)
    world.post(1)
    world.answer(lambda batch: answered(len(batch), {}, server_version="2"))
    world.delivery.step()
    assert due(world.state, world.clock.now(), 10) == 2
    world.delivery.step()
    assert world.counts() == (0, 0, 4)


@pytest.mark.parametrize("error", ["quota", "unavailable"])
def test_what_has_no_room_now_is_kept_and_sent_again(world: World, error: str) -> None:
    world.answer(lambda batch: world.plane.store(batch, {0: error, 1: error}))
    world.post(2)
    world.delivery.step()
    assert (world.counts(), 1 <= world.pause() <= 2) == ((2, 0, 0), True)
    world.later(3)
    world.delivery.step()
    assert world.counts() == (0, 0, 2)


AGAIN: dict[str, Answer] = {
    "no connection": Unavailable("could not be reached"),
    "a cut answer": Unavailable("the answer was cut", 200),
    "429": Unavailable("too many", 429, 40.0),
    "503": Unavailable("no room", 503, 7.0),
    "408": Unavailable("late", 408),
}
PAUSED: dict[str, Answer] = {
    "401": RequestRefused(401, "unknown token"),
    "403": RequestRefused(403, "no agent's own"),
    "404": RequestRefused(404, "nothing here"),
    "409": RequestRefused(409, "in use"),
    "415": RequestRefused(415, "type"),
    "a redirect": RequestRefused(302, "redirects"),
    "a page with 400": RequestRefused(400, "a page", page=True),
    "a sign-in page": Intercepted("a sign-in page", 200),
    "204": Unavailable("answered 204", 204),
    "no JSON": Fetched(b'"received"', None),
    "another shape": Fetched(b'{"received": "all"}', None),
    "another number": answered(3, {}),
    "stored more than sent": Fetched(b'{"received": 2, "stored": 3, "failed": []}', None),
    "a place beyond the batch": answered(2, {7: "invalid"}),
    "an error of a later release": answered(2, {0: "too_blue"}),
    "one place twice": Fetched(
        b'{"received":2,"stored":0,"failed":[{"index":0,"envelope_id":null,"error":"invalid"},'
        b'{"index":0,"envelope_id":null,"error":"invalid"}]}',
        None,
    ),
}


@pytest.mark.parametrize("name", [*AGAIN, *PAUSED])
def test_an_answer_that_settles_nothing_leaves_everything_and_is_told(world: World, name: str) -> None:
    answer = (AGAIN | PAUSED)[name]
    world.answer(answer)
    world.post(2)
    world.delivery.step()
    assert world.counts() == (2, 0, 0)
    with world.state.read() as connection:
        status, [waiting] = read_status(connection), waiting_rows(connection)
    assert status is not None
    assert (status.state, status.advice) == ("waiting" if name in AGAIN else "refused", "do something")
    assert waiting.last_error == status.message != ""
    if name in PAUSED:
        assert world.pause() == 300
    else:
        least = getattr(answer, "retry_after", None) or 1
        assert least <= world.pause() <= max(least, 2)
    assert asyncio.run(world.delivery.deliver()) > 0
    assert len(world.plane.batches) == 1  # nothing is sent before its time
    world.later(301)
    asyncio.run(world.delivery.deliver())
    assert world.counts() == (0, 0, 2)
    with world.state.read() as connection:
        status = read_status(connection)
    assert status is not None
    assert (status.state, status.message) == ("ok", "")


@pytest.mark.parametrize("status", [400, 413, 422])
@pytest.mark.parametrize("bad", [(0,), (6,), (2, 3), (), tuple(range(7))])
def test_a_batch_that_is_refused_is_halved_until_the_bad_ones_are_alone(
    world: World, status: int, bad: tuple[int, ...]
) -> None:
    ids = world.post(7)
    poison = {ids[place] for place in bad}

    def judge(batch: list[dict[str, Any]]) -> Answer:
        if poison & {one["envelope_id"] for one in batch}:
            return RequestRefused(status, "not this")
        return world.plane.store(batch)

    world.answer(*[judge] * 40)
    world.delivery.step()
    assert world.counts() == (0, len(bad), 7 - len(bad))
    assert sorted(world.plane.kept) == sorted(set(ids) - poison)
    assert world.pause() == 0


def test_a_line_that_breaks_while_a_batch_is_halved_loses_nothing(world: World) -> None:
    world.post(8)
    world.answer(RequestRefused(413, "too much"), world.plane.store, Unavailable("gone"))
    world.delivery.step()
    assert world.counts() == (4, 0, 4)
    world.later(10)
    world.delivery.step()
    assert world.counts() == (0, 0, 8)


def test_the_breaker_opens_after_five_failures_probes_with_one_row_and_steps_down(world: World) -> None:
    world.post(30)
    states = []
    world.answer(*[Unavailable("away")] * 7)
    for _ in range(7):
        world.later(world.pause())
        world.delivery.step()
        states.append(world.delivery.breaker.state(world.clock.monotonic()))
    assert states == ["closed"] * 4 + ["open"] * 3
    assert [len(batch) for batch in world.plane.batches] == [30] * 5 + [1, 1]
    world.later(world.pause())
    sizes = []
    while world.counts()[0]:
        world.delivery.step()
        sizes.append(len(world.plane.batches[-1]))
    assert sizes == [1, 1, 28]  # from seven failures to five, to three: closed


def test_a_quota_is_no_failure_of_the_line(world: World) -> None:
    world.post(2)
    world.answer(*[Unavailable("quota", 429, 5.0)] * 9)
    for _ in range(9):
        world.delivery.step()
        world.later(world.pause())
    assert world.delivery.breaker.state(world.clock.monotonic()) == "closed"


def test_a_backlog_drains_beside_what_is_new(world: World) -> None:
    old = world.post(MOST + 10)
    new = world.post(5)
    world.delivery.step()
    assert set(new) <= set(world.plane.kept)
    world.delivery.step()
    assert sorted(world.plane.kept) == sorted(old + new)


def test_a_full_batch_is_followed_at_once_and_what_comes_singly_is_gathered(world: World) -> None:
    world.post(MOST + 1)
    assert world.delivery.step() == 0.0
    assert world.delivery.step() == IDLE_S
    assert IDLE_S <= 0.5  # channel.md, section 2


def test_business_events_leave_before_a_backlog_and_what_came_after_them(world: World) -> None:
    world.post(MOST, HOST_RESULT)
    first = world.post(2)
    world.post(MOST, HOST_RESULT)
    world.delivery.step()
    assert world.plane.kept[:2] == first[::-1]
    assert len(world.plane.kept) == MOST


def test_a_line_that_is_up_again_is_tried_at_once(world: World) -> None:
    world.post(1)
    world.answer(*[Unavailable("away")] * 9)
    for _ in range(9):
        world.delivery.step()
    assert world.pause() > 30
    world.delivery.line_is_up()
    assert world.pause() == 0
    world.delivery.step()
    assert world.counts() == (0, 0, 1)


@pytest.mark.parametrize(
    "answer", [Unavailable("busy", 503, 600.0), Unavailable("quota", 429), RequestRefused(401, "no")]
)
def test_a_pause_that_the_control_plane_asked_for_is_kept_although_the_line_is_up(world: World, answer: Answer) -> None:
    world.post(1)
    world.answer(answer)
    world.delivery.step()
    before = world.pause()
    world.delivery.line_is_up()
    assert world.pause() == before > 0


def test_a_killed_sender_leaves_its_batch_to_the_next(world: World) -> None:
    world.post(2)

    def killed(batch: list[dict[str, Any]]) -> Answer:
        world.plane.store(batch)
        raise KeyboardInterrupt

    world.answer(killed)
    with pytest.raises(KeyboardInterrupt):
        world.delivery.step()
    assert (world.counts(), due(world.state, world.clock.now(), 10)) == ((2, 0, 0), 0)
    world.later(181)
    world.delivery.step()
    assert (world.counts(), len(world.plane.kept)) == ((0, 0, 2), 2)


@pytest.mark.parametrize(
    ("payload", "body"),
    [
        (r'{"a":"\ud83d\ude00"}', {"a": "\U0001f600"}),
        (r'{"a":"\ud800","\udc00":[1]}', {"a": r"\ud800", r"\udc00": [1]}),
        ("{broken", {"unreadable": "{broken"}),
        ('{"a":' * 60 + "1" + "}" * 60, None),
    ],
)
def test_odd_rows_do_not_spoil_their_batch(world: World, payload: str, body: Any) -> None:
    message = Message(HOST_RESULT, payload, "no correlation id: \n", NOON)
    world.state.write(lambda connection: put(connection, [message]))
    world.post(1)
    world.delivery.step()
    [batch] = world.plane.batches
    assert len(batch) == 2
    assert "correlation_id" not in batch[0]
    assert body is None or batch[0]["body"] == body


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["ok", "away", "refused", "invalid", "halve", "lost answer", "post"]), max_size=25))
def test_whatever_happens_nothing_is_lost_and_nothing_is_kept_twice(
    tmp_path_factory: pytest.TempPathFactory, story: list[str]
) -> None:
    world = World(tmp_path_factory.mktemp("delivery"))
    made = world.post(3)

    def stored_but_lost(batch: list[dict[str, Any]]) -> Answer:
        world.plane.store(batch)
        return Unavailable("the answer was lost")

    answers: dict[str, Answer | Judge] = {
        "ok": world.plane.store,
        "away": Unavailable("away"),
        "refused": RequestRefused(401, "no"),
        "invalid": lambda batch: world.plane.store(batch, {0: "invalid"}),
        "halve": RequestRefused(413, "too much"),
        "lost answer": stored_but_lost,
    }
    for word in story:
        if word == "post":
            made += world.post(2)
            continue
        world.answer(answers[word])
        world.later(world.pause())
        world.delivery.step()
        with world.state.read() as connection:
            dead = {one.id for one in dead_letters(connection, 1000)}
            waiting = count_outbox(connection).waiting
        left = set(made) - set(world.plane.kept) - dead
        assert waiting >= len(left)
        assert len(world.plane.kept) == len(set(world.plane.kept))
    for _ in range(20):
        world.later(world.pause())
        world.answer()
        world.delivery.step()
    with world.state.read() as connection:
        dead = {one.id for one in dead_letters(connection, 1000)}
    assert set(made) == set(world.plane.kept) | dead
    assert world.counts()[0] == 0
    world.state.close()
