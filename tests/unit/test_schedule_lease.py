"""Whether scheduled jobs that change something are this agent's: the lease, its clock, what the daemon makes of the answers."""

import asyncio
import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from contracts.heartbeat import Schedule
from runtime.adapters.state.schedule_lease import KEY, note_standing, read_standing
from runtime.adapters.state.store import State
from runtime.adapters.state.tables import meta
from runtime.cli.schedule_lease import lease_line
from runtime.domain.model import Allow, Deny, Reason
from runtime.domain.schedule_lease import UNASKED, Standing, SteadyTime, answered, verdict
from runtime.services.schedule_keeper import ScheduleKeeper
from tests.unit.state.support import NOON, StillClock, open_state
from tests.unit.test_jobs import DAY, HOUR, MINUTE, NIGHT, World, daemon, job

ASKED = SteadyTime(1000.0, "boot")
GIVEN = Schedule("lease", 120.0, own_s=0.0)
HELD = Schedule("lease", own_s=0.0, why="held", agent="a2", hostname="proxy-2")


def at(seconds: float, boot: str = "boot") -> SteadyTime:
    return SteadyTime(seconds, boot)


@pytest.mark.parametrize(
    ("said", "time", "allowed"),
    [
        (None, at(10**9, "other"), True),
        (Schedule("alone"), at(10**9, "other"), True),
        (GIVEN, at(1000.0), True),
        (GIVEN, at(1119.9), True),
        (GIVEN, at(1120.0), False),
        (GIVEN, at(10.0, "other"), False),  # the machine was started again: its seconds began anew
        (HELD, at(1000.0), False),
        (Schedule("lease", why="unconfirmed"), at(1000.0), False),
    ],
)
def test_a_lease_counts_from_before_it_was_asked_for_within_one_start_of_the_machine(
    said: Schedule | None, time: SteadyTime, allowed: bool
) -> None:
    found = verdict(answered(said, ASKED, NOON), time)
    assert isinstance(found, Allow) == allowed
    if isinstance(found, Deny):
        assert found.reason is Reason.NO_LEASE


def test_what_was_planned_before_the_answer_came_minus_the_own_time_is_another_agents() -> None:
    assert answered(Schedule("lease", 120.0, own_s=60.0), ASKED, NOON).since == NOON - MINUTE
    assert answered(Schedule("alone"), ASKED, NOON).since is None
    assert answered(Schedule("alone", own_s=1e300), ASKED, NOON).since is None


@pytest.fixture
def state(tmp_path: Path) -> State:
    return open_state(tmp_path)


@pytest.mark.parametrize(
    "standing",
    [
        UNASKED,
        Standing("alone", told_at=NOON),
        answered(GIVEN, ASKED, NOON),
        dataclasses.replace(answered(HELD, ASKED, NOON), doubled="two of them"),
    ],
)
def test_runs_read_what_the_daemon_was_told(state: State, standing: Standing) -> None:
    assert read_standing(state) is None
    note_standing(state, standing)
    assert read_standing(state) == standing


@pytest.mark.parametrize("text", ["", "[]", "{", '{"basis": "alone"}', '{"basis":"lease","until":"never"}'])
def test_a_record_that_cannot_be_read_starts_nothing(state: State, text: str) -> None:
    state.write(lambda connection: connection.execute(meta.insert().values(key=KEY, value=text)))
    found = read_standing(state)
    assert isinstance(verdict(found, ASKED), Deny)


class Story:
    """A daemon's jobs at three in the morning, and what its control plane says."""

    def __init__(self, world: World, *, enrolled: bool = True) -> None:
        self.time = ASKED
        self.world = world
        self.keeper = ScheduleKeeper(world.state, world.clock, enrolled=enrolled, time=lambda: self.time)
        world.jobs._runs._lease = self.keeper

    def hears(self, said: Schedule | None) -> None:
        self.keeper.heard(said, self.time)

    async def passes(self, later: dt.timedelta) -> None:
        self.time = at(self.time.seconds + later.total_seconds())
        await self.world.look(later=later)


async def due(world: World, **parts: Any) -> None:
    world.seen("night", NIGHT - DAY)
    world.take(job(**{"grace": 3600, **parts}))
    await world.look()


def test_a_job_waits_for_the_first_answer_of_the_control_plane(tmp_path: Path) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT) as world:
            told = Story(world)
            await due(world)
            assert world.started == []
            told.hears(Schedule("alone"))
            await told.passes(MINUTE)
            assert world.started == [("night", "03:00")]

    asyncio.run(story())


@pytest.mark.parametrize("parts", [{"action": "diagnose_env"}, {"dry_run": True}], ids=["a reading job", "a dry-run"])
def test_without_the_lease_what_only_reads_goes_on(tmp_path: Path, parts: dict[str, Any]) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT) as world:
            Story(world).hears(HELD)
            await due(world, **parts)
            assert world.started == [("night", "03:00")]

    asyncio.run(story())


def test_what_another_agent_runs_is_neither_started_nor_missed_here(tmp_path: Path) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT) as world:
            told = Story(world)
            told.hears(HELD)
            await due(world)
            assert world.started == []
            world.clock.at += MINUTE
            told.hears(HELD)  # a minute later it still has the lease, so it had it at three
            await told.passes(MINUTE)
            told.hears(Schedule("lease", 120.0, own_s=30.0))
            await told.passes(MINUTE)
            assert (world.started, world.dropped) == ([], [])

    asyncio.run(story())


@pytest.mark.parametrize(("own_s", "started"), [(600.5, True), (600.0, False)])
def test_a_job_is_taken_over_only_if_no_other_agent_can_have_started_it(
    tmp_path: Path, own_s: float, started: bool
) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT - MINUTE) as world:
            told = Story(world)
            told.hears(HELD)
            world.clock.at += MINUTE
            await due(world)
            world.clock.at += 10 * MINUTE
            told.hears(Schedule("lease", 120.0, own_s=own_s))
            await told.passes(0 * MINUTE)
            assert world.started == ([("night", "03:00")] if started else [])
            assert world.dropped == ([] if started else [("night", "no_lease")])

    asyncio.run(story())


def test_a_lease_that_ran_out_starts_nothing_and_says_what_was_missed(tmp_path: Path) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT - HOUR) as world:
            told = Story(world)
            told.hears(GIVEN)
            world.seen("night", NIGHT - DAY)
            world.take(job(grace=60))
            await told.passes(HOUR)
            assert (world.started, world.dropped) == ([], [])
            told.hears(Schedule("lease", 120.0, own_s=7200.0))  # nobody else had it: the same agent goes on
            await told.passes(MINUTE)
            assert world.started == [("night", "03:00")]
            await told.passes(DAY)
            await told.passes(2 * MINUTE)
            assert world.dropped == [("night", "no_lease")]

    asyncio.run(story())


def test_nights_without_a_lease_do_not_pile_up(tmp_path: Path) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT) as world:
            told = Story(world)
            told.hears(Schedule("lease", why="unconfirmed", agent="a2"))
            await due(world, missed="once")
            for _ in range(3):
                await told.passes(DAY)
            assert world.dropped == [("night", "no_lease")] * 3
            told.hears(Schedule("lease", 120.0))
            await told.passes(MINUTE)
            assert world.started == [("night", "03:00")]

    asyncio.run(story())


def test_a_change_of_the_time_leaves_the_lease_as_it_is(tmp_path: Path) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT) as world:
            told = Story(world)
            told.hears(GIVEN)
            world.clock.at += DAY
            assert isinstance(told.keeper.verdict(), Allow)
            world.clock.at -= 2 * DAY
            told.time = at(1120.0)
            assert isinstance(told.keeper.verdict(), Deny)

    asyncio.run(story())


def test_an_agent_that_started_jobs_before_does_not_wait_for_an_answer(tmp_path: Path) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT) as world:
            await due(world)
            assert len(world.started) == 1
            kept = ScheduleKeeper(world.state, world.clock, enrolled=True)
            assert (kept.basis, kept.verdict()) == ("alone", Allow())

    asyncio.run(story())


def test_an_agent_without_a_control_plane_waits_for_nobody(state: State) -> None:
    assert ScheduleKeeper(state, StillClock(), enrolled=False).verdict() == Allow()


def test_a_control_plane_that_will_not_say_gives_the_first_word_and_takes_none_back(state: State) -> None:
    keeper = ScheduleKeeper(state, StillClock(), enrolled=True)
    assert isinstance(keeper.verdict(), Deny)
    keeper.refused()
    assert keeper.verdict() == Allow()
    keeper.heard(HELD, keeper.now())
    keeper.refused()
    assert isinstance(keeper.verdict(), Deny)
    assert isinstance(ScheduleKeeper(state, StillClock(), enrolled=True).verdict(), Deny)  # also after a restart


@pytest.mark.parametrize(
    ("standing", "status", "word"),
    [
        (answered(Schedule("alone"), ASKED, NOON), "ok", "no other agent"),
        (answered(GIVEN, ASKED, NOON), "ok", "1 min 50 s"),
        (answered(HELD, ASKED, NOON), "ok", "proxy-2"),
        (answered(Schedule("lease", why="unconfirmed", agent="a2"), ASKED, NOON), "warning", "a2"),
        (dataclasses.replace(answered(GIVEN, ASKED, NOON), boot="before"), "warning", "over"),
        (UNASKED, "warning", "not said"),
        (dataclasses.replace(answered(GIVEN, ASKED, NOON), doubled="two instances"), "bad", "two instances"),
    ],
)
def test_people_see_whether_the_schedule_is_held_and_what_to_do(standing: Standing, status: str, word: str) -> None:
    line = lease_line(standing, at(1010.0), dt.UTC)
    assert line is not None
    assert (line.status, word in line.text) == (status, True)
    assert bool(line.advice) == (status == "warning")
