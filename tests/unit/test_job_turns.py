"""More jobs than may run at once, and instants that come again: on a real local state, with a clock set by hand."""

import asyncio
import datetime as dt
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.adapters.state import starts
from runtime.adapters.state.clock_evidence import ClockJudge, note_plane_time
from runtime.adapters.state.ledger import SqlLedger
from runtime.adapters.state.meta import job_fires_seen, note_job_fire
from runtime.adapters.state.run_barrier import close_barrier, open_barrier
from runtime.adapters.state.runs import register
from runtime.adapters.state.tables import job_starts
from runtime.domain.time.clock_trust import Reading
from runtime.domain.time.turns import MB, runs_at_once
from tests.unit.state.support import StillClock, make_hosts, make_info, outbox_rows
from tests.unit.test_jobs import DAY, HOUR, MINUTE, NIGHT, World, daemon, job, settled

SECOND = dt.timedelta(seconds=1)
NAMES = ("e", "b", "d", "a", "c")
POWER_OFF = {"action": "shutdown_endpoint", "selector": {"all": True}}


def crowd(*names: str, **parts: Any) -> list[dict[str, Any]]:
    """Jobs of one minute, in this order in the document."""
    return [job(id=name, **parts) for name in names]


async def due(world: World, *jobs: dict[str, Any], at_once: int = 2) -> None:
    """All of them have just come due."""
    for one in jobs:
        world.seen(one["id"], NIGHT - DAY)
    world.take(*jobs, runs_at_once=at_once)
    await world.look()


def names(world: World) -> list[str]:
    return [name for name, _ in world.started]


@pytest.mark.parametrize(
    ("memory", "runs"),
    [(64 * MB, 1), (256 * MB, 1), (512 * MB, 4), (1024 * MB, 10), (2048 * MB, 23), (1 << 46, 64)],
)
def test_the_number_of_runs_follows_the_memory(memory: int, runs: int) -> None:
    assert runs_at_once(memory) == runs


def test_no_more_runs_than_fit_go_on_at_once_and_the_order_is_the_documents(tmp_path: Path) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT) as world:
            await due(world, *crowd(*NAMES))
            assert names(world) == ["e", "b"]
            for ended, started in ((1, "d"), (0, "a"), (3, "c")):
                world.runs[ended].end(0)
                await settled()
                assert names(world)[-1] == started
            assert world.dropped == []
            assert starts.waiting(world.state) == []

    asyncio.run(story())


def test_an_earlier_planned_time_has_priority_over_the_documents_order(tmp_path: Path) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT) as world:
            later = job(id="later", cron="1 3 * * *", grace=600)
            world.seen("later", NIGHT - DAY)
            await due(world, later, *crowd("a", "b", "c", grace=600), at_once=1)
            await world.look(later=MINUTE)
            for number in range(3):
                world.runs[number].end(0)
                await settled()
            assert names(world) == ["a", "b", "c", "later"]

    asyncio.run(story())


@pytest.mark.parametrize(
    ("parts", "waited", "became"),
    [
        pytest.param({}, 59 * SECOND, "started", id="within the grace"),
        pytest.param({}, 61 * SECOND, "too_late", id="after the grace"),
        pytest.param({"grace": 600}, 9 * MINUTE, "started", id="within a long grace"),
        pytest.param({"missed": "once"}, HOUR, "started", id="late, once"),
        pytest.param({"missed": "once", "not_after": "03:30"}, HOUR, "not_after", id="after its end"),
        pytest.param({"missed": "once", **POWER_OFF}, 61 * SECOND, "disruptive", id="power off"),
    ],
)
def test_a_job_that_waits_too_long_is_dropped_and_reported(
    tmp_path: Path, parts: dict[str, Any], waited: dt.timedelta, became: str
) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT) as world:
            await due(world, job(id="long"), job(id="waits", **parts), at_once=1)
            world.clock.at += waited
            world.runs[0].end(0)
            await settled()
            started = became == "started"
            assert names(world) == (["long", "waits"] if started else ["long"])
            assert world.dropped == ([] if started else [("waits", became)])
            assert starts.waiting(world.state) == []

    asyncio.run(story())


def test_a_drop_after_waiting_says_how_many_runs_went_on(tmp_path: Path) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT) as world:
            await due(world, *crowd("long", "waits"), at_once=1)
            await world.look(later=2 * MINUTE)  # while the first still runs: it is told at once, not hours later
            (told,) = outbox_rows(world.state, "job_missed")
            assert "1 runs go on at once" in told["message"]

    asyncio.run(story())


def test_a_job_that_waits_for_its_own_last_run_occupies_no_place(tmp_path: Path) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT) as world:
            patient = job(id="patient", cron="* * * * *", overlap="wait", grace=600)
            world.seen("other", NIGHT - DAY)
            await due(world, patient, job(id="other", cron="1 3 * * *"))
            await world.look(later=MINUTE)
            assert names(world) == ["patient", "other"]
            world.runs[0].end(0)
            await settled()
            assert names(world) == ["patient", "other", "patient"]

    asyncio.run(story())


def test_manual_runs_occupy_places_but_never_the_last_one(tmp_path: Path) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT) as world:
            data = world.state.folder
            with register(data, make_info()), register(data, make_info()):
                await due(world, *crowd("a", "b", "c"), at_once=3)
                assert names(world) == ["a"]
            await world.look()
            assert names(world) == ["a", "b", "c"]

    asyncio.run(story())


# One start for one planned instant


def test_what_waited_when_the_daemon_was_killed_is_started_by_the_next_one_and_nothing_twice(tmp_path: Path) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT) as killed:
            await due(killed, *crowd("a", "b"), at_once=1)
            assert names(killed) == ["a"]
            async with daemon(tmp_path, NIGHT + 30 * SECOND) as world:
                world.take(*crowd("a", "b"), runs_at_once=1)
                await world.look()
                assert names(world) == ["b"]
            killed.runs[0].end(0)
            await settled()
            assert names(killed) == ["a"]

    asyncio.run(story())


def test_a_job_that_waited_too_long_for_the_next_daemon_is_reported(tmp_path: Path) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT) as killed:
            await due(killed, *crowd("a", "b", **POWER_OFF), at_once=1)
            await killed.stop()
        async with daemon(tmp_path, NIGHT + HOUR) as world:
            world.take(*crowd("a", "b", **POWER_OFF))
            await world.look()
            assert (world.started, world.dropped) == ([], [("b", "disruptive")])

    asyncio.run(story())


def test_a_run_that_an_update_postponed_is_started_once_more_and_no_third_time(tmp_path: Path) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT) as world:
            await due(world, job(grace=600))
            data = world.state.folder
            close_barrier(data, world.clock.now() + 5 * MINUTE)
            world.runs[0].end(69)
            await settled()
            await world.look(later=MINUTE)
            assert len(world.started) == 1
            open_barrier(data)
            for _ in range(3):
                await world.look(later=MINUTE)
            assert world.started == [("night", "03:00")] * 2
            assert world.runs[0].option("--run-id") != world.runs[1].option("--run-id")

    asyncio.run(story())


@pytest.mark.parametrize("back", [HOUR, DAY, 40 * DAY], ids=str)
def test_a_clock_that_went_back_starts_no_instant_again(tmp_path: Path, back: dt.timedelta) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT - back) as world:
            world.seen("night", NIGHT - back - DAY)
            power_off = job(**POWER_OFF)
            world.take(power_off)
            world.clock.at = NIGHT
            await world.look()
            assert names(world) == ["night"]
            world.runs[0].end(0)
            world.clock.at, world.clock.set_by = NIGHT - back, -back.total_seconds()
            await world.look()
            note_plane_time(world.state, world.clock.now(), reading(world))
            while world.clock.at < NIGHT:
                await world.look(later=min(back, DAY))
            planned = [run.option("--planned") for run in world.runs]
            assert len(planned) == len(set(planned))
            assert ("night", "started_before") in world.dropped

    asyncio.run(story())


def reading(world: World) -> Reading:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return Reading(world.clock.now(), world.clock.monotonic(), boot)


def test_a_disruptive_job_is_not_started_on_a_clock_that_jumped_and_others_are(tmp_path: Path) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT - 9 * HOUR) as world:
            for name in ("off", "zone"):
                world.seen(name, NIGHT - DAY)
            world.take(job(id="off", **POWER_OFF), job(id="zone"))
            ClockJudge(world.state, world.clock).judge()
            world.clock.at, world.clock.set_by = NIGHT, (9 * HOUR).total_seconds()
            await world.look()
            assert (names(world), world.dropped) == (["zone"], [("off", "clock_suspect")])
            # Set right again, the instant comes at its real time; what was not started may start then.
            world.clock.at, world.clock.set_by = NIGHT - 9 * HOUR, 0.0
            await world.look()
            await world.look(later=9 * HOUR)
            assert names(world) == ["zone", "off"]
            assert world.dropped == [("off", "clock_suspect"), ("zone", "started_before")]

    asyncio.run(story())


def test_an_instant_that_was_claimed_in_the_future_is_not_started_before_its_time(tmp_path: Path) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT) as world:
            await due(world, *crowd("long", "waits"), at_once=1)
            world.clock.at -= HOUR
            world.runs[0].end(0)
            await settled()
            await world.look()
            assert names(world) == ["long"]
            await world.look(later=HOUR)
            assert names(world) == ["long", "waits"]

    asyncio.run(story())


def test_a_process_that_could_not_be_made_is_tried_again_within_the_grace(tmp_path: Path) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT) as world:
            world.refusing = True
            await due(world, job())
            world.refusing = False
            await world.look(later=30 * SECOND)
            assert world.started == [("night", "03:00")]

    asyncio.run(story())


def test_a_killed_run_is_reported_as_killed_and_its_hosts_as_unknown(tmp_path: Path) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT) as world:
            await due(world, job())
            state, run = world.state, world.runs[0]
            info, hosts = make_info(run.option("--run-id")), make_hosts(2)
            ledger = SqlLedger(state, StillClock(NIGHT))
            await ledger.begin(info, hosts)
            await ledger.at_work(info.run_id, hosts[0], "stage 1")
            run.end(-9)
            await settled()
            results = {row["host"]["name"]: row["outcome"] for row in outbox_rows(state, "host_result")}
            assert results == {hosts[0].name: "unknown", hosts[1].name: "cancelled"}

    asyncio.run(story())


MOVES = st.one_of(
    st.tuples(st.just("wait"), st.integers(5, 4000)),
    st.tuples(st.just("set"), st.sampled_from([-86400, -7200, -3600, -300, 300, 3600, 7200, 86400, 4380 * 86400])),
    st.tuples(st.just("end"), st.integers(0, 3)),
    st.tuples(st.just("postpone"), st.integers(0, 3)),
    st.tuples(st.just("restart"), st.just(0)),
    st.tuples(st.just("right"), st.just(0)),
)


@settings(max_examples=25, deadline=None)
@given(moves=st.lists(MOVES, max_size=25))
def test_no_planned_instant_is_started_twice_with_any_clock(
    tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[str, int]]
) -> None:
    """Restarts, two daemons at once, clocks that jump and come back, runs that end, are postponed, or never end."""
    jobs = [
        job(id="off", cron="*/20 * * * *", grace=600, **POWER_OFF),
        job(id="zone", cron="*/15 * * * *", missed="once", timezone="America/Sao_Paulo"),
        job(id="wait", cron="7 * * * *", overlap="wait", grace=3000),
    ]

    async def story(folder: Path) -> None:
        begun: Counter[tuple[str, str]] = Counter()
        at, off = NIGHT, 0.0
        left = list(moves)
        while left:
            clock = StillClock(at, off)
            async with daemon(folder, at, clock) as one, daemon(folder, at, clock) as other:
                for world in (one, other):
                    world.take(*jobs, runs_at_once=2)
                while left and (move := left.pop(0))[0] != "restart":
                    kind, number = move
                    if kind == "wait":
                        clock.at += number * SECOND
                    elif kind in ("set", "right"):
                        by = float(number) if kind == "set" else -clock.set_by
                        if kind == "right" or abs(clock.set_by + by) < 5000 * 86400:
                            clock.at += by * SECOND
                            clock.set_by += by
                    else:
                        for run in (*one.runs, *other.runs)[number : number + 1]:
                            run.end(0 if kind == "end" else 69)
                    await one.look()
                    await other.look()
                runs = (*one.runs, *other.runs)
                begun.update(
                    (run.option("--job"), run.option("--planned"))
                    for run in runs
                    if not (run.code.done() and run.code.result() == 69)
                )
                at, off = clock.at, clock.set_by
        assert max(begun.values(), default=0) <= 1, begun

    asyncio.run(story(tmp_path_factory.mktemp("turns")))


def test_starts_are_forgotten_by_number_and_never_by_age(tmp_path: Path) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT) as world:
            state = world.state
            for number in range(12):
                for name, effect in (("off", "disrupt"), ("look", "read")):
                    planned = NIGHT + number * MINUTE
                    assert starts.claim(state, name, planned, effect, NIGHT) is starts.Claim.WAITS
                    assert starts.begin(state, name, planned, f"{name}-{number}", NIGHT)
            assert state.write(lambda c: starts.shorten(c, kept=2, kept_disruptive=10)) == 10 + 2
            with state.read() as connection:
                rows = connection.execute(job_starts.select().order_by(job_starts.c.id)).all()
            assert [row.run_id for row in rows if row.job_id == "look"] == ["look-10", "look-11"]
            assert len(rows) == 2 + 10
            note_job_fire(state, "off", NIGHT + HOUR)

    asyncio.run(story())


def test_what_waits_when_the_daemon_ends_is_due_again_for_an_older_release_that_knows_only_the_mark(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT) as world:
            await due(world, *crowd(*NAMES))
            assert names(world) == ["e", "b"]
            for run in world.runs:
                run.end(0)
                await settled()
                break
            await world.stop(grace=0.1)
            marks = job_fires_seen(world.state)
            waiting = {job_id for job_id, _ in starts.waiting(world.state)}
            assert waiting
            assert {job_id for job_id in NAMES if marks[job_id] < NIGHT} == waiting
        # The next daemon of this release starts each of them once, and none of the others again.
        async with daemon(tmp_path, NIGHT) as later:
            later.take(*crowd(*NAMES), runs_at_once=len(NAMES))
            await later.look()
            await later.look()
            assert Counter(names(later)) == Counter(waiting)

    asyncio.run(story())


def test_an_instant_that_waits_behind_a_later_start_is_not_shown_to_an_older_release(tmp_path: Path) -> None:
    """It starts what is due last, and that was started."""

    async def story() -> None:
        async with daemon(tmp_path, NIGHT) as world:
            state = world.state
            world.seen("a", NIGHT - DAY)
            for planned in (NIGHT, NIGHT + HOUR):
                assert starts.claim(state, "a", planned, "change", planned) is starts.Claim.WAITS
            assert starts.begin(state, "a", NIGHT + HOUR, "run", NIGHT + HOUR)
            starts.show_older_releases(state)
            assert job_fires_seen(state)["a"] == NIGHT + HOUR

    asyncio.run(story())


def test_a_job_that_is_not_started_is_reported_once_for_each_reason(tmp_path: Path) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT) as world:
            for _ in range(2):
                world.take(job(id="a", selector={}))
                await settled()
            told = outbox_rows(world.state, "job_not_started")
            assert [row["job"] for row in told] == ["a"]
            assert "selector" in told[0]["message"]

    asyncio.run(story())


def test_while_two_instances_of_the_agent_are_at_work_no_job_starts_and_late_ones_are_reported(tmp_path: Path) -> None:
    async def story() -> None:
        async with daemon(tmp_path, NIGHT) as world:
            world.jobs.hold("two instances run at the same time")
            await due(world, *crowd("late", grace=30), *crowd("waits", grace=600))
            assert names(world) == []
            await world.look(later=MINUTE)
            assert (names(world), world.dropped) == ([], [("late", "too_late")])
            world.jobs.hold("")
            await world.look()
            assert names(world) == ["waits"]

    asyncio.run(story())
