"""Live jobs on a real local state, with a clock set by hand and runs that are only promised: what is started, what dropped."""

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import structlog

from contracts.config import NetworkConfig
from runtime.adapters.state.clock_evidence import ClockJudge
from runtime.adapters.state.meta import job_fires_seen, note_job_fire
from runtime.adapters.state.store import State
from runtime.services.scheduler import Scheduler
from runtime.settings import read_settings
from runtime.wiring import Installation
from tests.unit.state.support import StillClock, outbox_rows

NIGHT = dt.datetime(2026, 3, 14, 3, 0, tzinfo=dt.UTC)
MINUTE, HOUR, DAY = dt.timedelta(minutes=1), dt.timedelta(hours=1), dt.timedelta(days=1)


@dataclass(eq=False)
class Run:
    """A run that was started: it ends on request, by the test or by a signal."""

    arguments: Sequence[str]
    stubborn: bool = False
    pid: int = 4711
    code: asyncio.Future[int] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def option(self, name: str) -> str:
        return self.arguments[self.arguments.index(name) + 1]

    async def wait(self) -> int:
        with at_rest():
            return await asyncio.shield(self.code)

    def end(self, code: int) -> None:
        if not self.code.done():
            self.code.set_result(code)

    def terminate(self) -> None:
        if not self.stubborn:
            self.end(130)

    def kill(self) -> None:
        self.end(-9)


@dataclass
class World:
    """One daemon's jobs. `runs` were started, in order."""

    installation: Installation
    clock: StillClock
    runs: list[Run] = field(default_factory=list)
    stubborn: bool = False
    refusing: bool = False
    launching: asyncio.Event | None = None
    stopped: bool = False

    def __post_init__(self) -> None:
        made = self.installation
        judge = ClockJudge(self.state, self.clock)
        self.jobs = Scheduler(self.state, self.clock, made.known, judge, agent_id=made.agent_id, launch=self.launch)

    @property
    def state(self) -> State:
        return self.installation.state

    async def launch(self, arguments: Sequence[str]) -> Run:
        if self.refusing:
            raise OSError("no process can be made")
        if self.launching is not None:
            with at_rest():
                await self.launching.wait()
        self.runs.append(Run(arguments, self.stubborn))
        return self.runs[-1]

    def take(self, *jobs: dict[str, Any], **parts: Any) -> tuple[str, ...]:
        config = {"network": "ACME", "timezone": "UTC", "inventory": {"kind": "static"}, "schedule": jobs, **parts}
        return self.jobs.take(NetworkConfig.model_validate(config))

    def seen(self, job_id: str, at: dt.datetime) -> None:
        note_job_fire(self.state, job_id, at)

    async def look(self, *, later: dt.timedelta = dt.timedelta(0)) -> None:
        """A heartbeat, so much later; what it leads to has happened when this returns."""
        self.clock.at += later
        await settled()
        await self.jobs.start_due_jobs()
        await settled()

    async def stop(self, grace: float = 5.0) -> int:
        """How many runs had to be killed."""
        self.stopped = True
        return await self.jobs.stop_all(grace, last_words=grace)

    @property
    def started(self) -> list[tuple[str, str]]:
        """Job and planned time of what was started."""
        return [(run.option("--job"), run.option("--planned")[11:16]) for run in self.runs]

    @property
    def dropped(self) -> list[tuple[str, str]]:
        return [(row["job"], row["reason"]) for row in outbox_rows(self.state, "job_missed")]


@contextlib.contextmanager
def at_rest() -> Iterator[None]:
    """What this task waits for is the test's own doing."""
    task = asyncio.current_task()
    assert task
    name = task.get_name()
    task.set_name("Task-at-rest")
    try:
        yield
    finally:
        task.set_name(name)


async def settled() -> None:
    """Until the jobs' own tasks, which are named after them, are over or at rest."""
    for _ in range(5):
        await asyncio.sleep(0)  # who was at rest wakes first
    while any(not task.get_name().startswith("Task-") for task in asyncio.all_tasks()):  # noqa: ASYNC110
        await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def daemon(folder: Path, at: dt.datetime, clock: StillClock | None = None) -> AsyncIterator[World]:
    """A world whose clock shows this, or is this one."""
    paths = {f"FLAGEEMONITOR_{name}_PATH": str(folder / name.lower()) for name in ("CONFIG", "DATA")}
    clock = clock or StillClock(at)
    with Installation(read_settings(paths), clock) as installation:
        world = World(installation, clock)
        await world.jobs.start()
        try:
            yield world
        finally:
            for run in world.runs:
                run.end(0)
            if not world.stopped:
                await world.stop()


def job(**parts: Any) -> dict[str, Any]:
    """A job at three in the morning."""
    return {
        "id": "night",
        "action": "update_endpoint_timezone",
        "cron": "0 3 * * *",
        "selector": {"all": True},
        **parts,
    }


@pytest.mark.parametrize(
    ("parts", "late", "became"),
    [
        pytest.param({}, 0 * MINUTE, "started", id="on time"),
        pytest.param({}, MINUTE, "started", id="within the grace"),
        pytest.param({}, 2 * MINUTE, "too_late", id="late"),
        pytest.param({"grace": 7200}, HOUR, "started", id="within a long grace"),
        pytest.param({"missed": "once"}, 10 * HOUR, "started", id="late, once"),
        pytest.param({"missed": "once", "not_after": "04:00"}, HOUR, "not_after", id="after its end"),
        pytest.param({"missed": "once", "not_after": "04:00"}, 59 * MINUTE, "started", id="before its end"),
        pytest.param({"missed": "once", "action": "shutdown_endpoint"}, MINUTE, "started", id="power off, on time"),
        pytest.param({"missed": "once", "action": "shutdown_endpoint"}, 2 * MINUTE, "disruptive", id="power off, late"),
    ],
)
def test_what_came_due_while_no_daemon_was_there_is_judged_by_the_job(
    tmp_path: Path, parts: dict[str, Any], late: dt.timedelta, became: str
) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT + late) as world:
            world.seen("night", NIGHT - DAY)
            world.take(job(selector={"all": True}, **parts))
            await world.look()
            assert world.started == ([("night", "03:00")] if became == "started" else [])
            assert world.dropped == ([] if became == "started" else [("night", became)])
            # Either way it is done with.
            await world.look(later=MINUTE)
            assert len(world.started) + len(world.dropped) == 1

    asyncio.run(story())


def test_a_new_job_has_missed_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT + HOUR) as world:
            world.take(job(missed="once"))
            await world.look()
            assert (world.started, world.dropped) == ([], [])
            await world.look(later=DAY - HOUR)
            assert world.started == [("night", "03:00")]

    asyncio.run(story())


def test_of_many_missed_fires_the_last_one_counts(tmp_path: Path) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT + 90 * MINUTE) as world:
            world.seen("night", NIGHT - 30 * DAY)
            world.take(job(missed="once", cron="0 * * * *"))
            await world.look()
            assert world.started == [("night", "04:00")]

    asyncio.run(story())


def test_two_daemons_and_a_restarted_one_start_an_instant_once_together(tmp_path: Path) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT) as one, daemon(tmp_path, NIGHT) as other:
            one.seen("night", NIGHT - DAY)
            one.take(job())
            other.take(job())
            await asyncio.gather(one.look(), other.look())
            assert len(one.started) + len(other.started) == 1
        async with daemon(tmp_path, NIGHT) as restarted:
            restarted.take(job())
            await restarted.look()
            assert restarted.started == []

    asyncio.run(story())


def test_a_run_gets_its_job_and_planned_time(tmp_path: Path) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT) as world:
            world.seen("night", NIGHT - DAY)
            world.take(job(timezone="America/Sao_Paulo", cron="0 0 * * *"))
            await world.look()
            (run,) = world.runs
            assert run.arguments[:2] == ("run", "update_endpoint_timezone")
            assert dt.datetime.fromisoformat(run.option("--planned")) == NIGHT
            assert len(run.option("--run-id")) == 36

    asyncio.run(story())


def test_a_new_configuration_loses_no_fire_and_invents_none(tmp_path: Path) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT - HOUR) as world:
            kept, due, moved, gone = (job(id=name, missed="once") for name in ("kept", "due", "moved", "gone"))
            moved["cron"] = "0 5 * * *"
            for name in ("kept", "due", "moved", "gone"):
                world.seen(name, NIGHT - HOUR)
            world.take(kept, due, moved, gone)
            world.clock.at = NIGHT
            # `due` has come due a moment before it is moved; `moved` goes to a time that is over; `new` has such a time.
            past = {"cron": "30 2 * * *"}
            ids = world.take(
                kept, {**due, "cron": "0 5 * * *"}, {**moved, **past}, job(id="new", missed="once", **past)
            )
            assert ids == ("due", "kept", "moved", "new")
            await world.look()
            assert sorted(world.started) == [("due", "03:00"), ("kept", "03:00")]
            assert world.dropped == []
            await world.look(later=2 * HOUR)
            assert sorted(world.started) == [("due", "03:00"), ("due", "05:00"), ("kept", "03:00")]

    asyncio.run(story())


def test_a_job_that_was_switched_off_has_missed_nothing_when_it_is_switched_on(tmp_path: Path) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT - HOUR) as world:
            world.seen("night", NIGHT - DAY)
            assert world.take(job(enabled=False, missed="once")) == ()
            await world.look(later=2 * HOUR)
            assert world.take(job(missed="once")) == ("night",)
            await world.look()
            assert (world.started, world.dropped) == ([], [])
            await world.look(later=23 * HOUR)
            assert world.started == [("night", "03:00")]

    asyncio.run(story())


@pytest.mark.parametrize(
    "wrong",
    [
        {"action": "make_coffee"},
        {"action": "install_endpoint_agent"},
        {"params": {"speed": "high"}},
        {"action": "shutdown_endpoint", "selector": {}},  # without saying which hosts
        {"selector": {}},
        {"selector": {"provider": "arius"}},
        {"action": "shutdown_endpoint", "selector": {"terminals": [201]}},  # in every store
    ],
    ids=str,
)
def test_a_job_that_cannot_run_does_not_keep_the_others_from_it(tmp_path: Path, wrong: dict[str, Any]) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT) as world:
            world.seen("night", NIGHT - DAY)
            assert world.take(job(id="wrong", **wrong), job()) == ("night",)
            await world.look()
            assert world.started == [("night", "03:00")]

    asyncio.run(story())


def test_a_name_that_is_no_action_reaches_the_log_and_stops_no_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = structlog.testing.CapturingLogger()  # in place of ours, which other tests may have set up to say less
    monkeypatch.setattr("runtime.services.scheduler.log", log)

    async def story() -> None:
        async with daemon(tmp_path, NIGHT) as world:
            taken = world.take(job(), actions={"pdv_shutdwn": {"enabled": False}}, rollout={"nobody": {}})
        assert taken == ("night",)
        said = [
            (call.method_name, call.kwargs["path"]) for call in log.calls if call.args == ("configuration_problem",)
        ]
        assert said == [("error", "actions.pdv_shutdwn"), ("warning", "provider")]

    asyncio.run(story())


def test_a_schedule_continues_after_a_clock_that_ran_ahead_is_corrected(tmp_path: Path) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT) as world:
            world.seen("night", NIGHT + 300 * DAY)
            world.take(job(missed="once"))
            await world.look()
            assert (world.started, world.dropped) == ([], [])
            assert job_fires_seen(world.state)["night"] == NIGHT
            await world.look(later=DAY)
            assert world.started == [("night", "03:00")]

    asyncio.run(story())


def test_a_small_step_back_of_the_clock_repeats_no_fire(tmp_path: Path) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT) as world:
            world.seen("night", NIGHT - DAY)
            world.take(job(missed="once"))
            await world.look()
            for step in (-5 * MINUTE, 5 * MINUTE, MINUTE):
                await world.look(later=step)
            assert world.started == [("night", "03:00")]

    asyncio.run(story())


def test_a_run_that_reached_no_host_is_queued_for_the_control_plane(tmp_path: Path) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT) as world:
            world.seen("night", NIGHT - DAY)
            world.take(job())
            await world.look()
            world.runs[0].end(4)
            await settled()
            (told,) = outbox_rows(world.state, "job_without_run")
            assert (told["job"], told["exit_code"], told["run_id"]) == ("night", 4, world.runs[0].option("--run-id"))

    asyncio.run(story())


def test_the_schedule_continues_when_a_process_cannot_be_started(tmp_path: Path) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT) as world:
            world.seen("night", NIGHT - DAY)
            world.take(job())
            world.refusing = True
            await world.look()
            world.refusing = False
            await world.look(later=DAY)
            assert len(world.started) == 1

    asyncio.run(story())


# Stopping


def test_at_a_stop_runs_are_asked_to_end_and_nothing_more_is_started(tmp_path: Path) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT) as world:
            world.seen("night", NIGHT - DAY)
            world.take(job())
            await world.look()
            world.clock.at += DAY  # one more is due by now
            assert await world.stop() == 0
            assert await world.runs[0].wait() == 130
            assert len(world.started) == 1

    asyncio.run(story())


def test_a_run_that_outlives_the_grace_time_is_killed_and_counted(tmp_path: Path) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT) as world:
            world.stubborn = True
            for name in ("a", "b"):
                world.seen(name, NIGHT - DAY)
            world.take(job(id="a"), job(id="b"))
            await world.look()
            world.runs[0].end(0)
            assert await world.stop(grace=0.1) == 1
            assert await world.runs[1].wait() == -9

    asyncio.run(story())


def test_a_run_whose_process_is_just_starting_is_stopped_too(tmp_path: Path) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT) as world:
            world.seen("night", NIGHT - DAY)
            world.take(job())
            world.launching = asyncio.Event()
            await world.look()
            stopping = asyncio.create_task(world.stop())
            await settled()
            world.launching.set()
            assert await stopping == 0
            assert await world.runs[0].wait() == 130

    asyncio.run(story())
