"""Many jobs at once, and a clock that is moved about, under a real daemon: what goes on at a time, who is killed first, what is
never started twice."""

import os
import signal
import time
from pathlib import Path

from runtime.adapters.memory import VICTIM
from tests.e2e import daemon as daemons
from tests.e2e.clocks import movable_clock
from tests.e2e.conftest import NewSite
from tests.e2e.daemon import daily, minutes_ago, seen
from tests.e2e.held_programs import hold, release, wait_held
from tests.e2e.site import TILL
from tests.e2e.test_daemon import LATE, ZONE, outcomes
from tests.harness.fixtures import StartTerminal

JOBS = 8


def score(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def children(pid: int) -> int:
    return len(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def test_jobs_of_one_minute_run_a_few_at_a_time_in_their_order(
    new_site: NewSite, start_terminal: StartTerminal
) -> None:
    site, terminal = new_site(), start_terminal(TILL)
    site.add_host("LOJA001-PDV201", terminal.address)
    past = minutes_ago(10)
    names = [f"job-{number}" for number in reversed(range(JOBS))]
    proxy = site.proxy(
        timezone=ZONE, runs_at_once=2, schedule=[daily(name, "diagnose_env", past, **LATE) for name in names]
    )
    seen(proxy, *names)
    with daemons.running(proxy) as daemon:
        most = 0
        while len(daemon.events("job_ended")) < JOBS and daemon.child.alive():
            most = max(most, children(daemon.child.pid))
            time.sleep(0.02)
        assert most == 2
        assert [line["job"] for line in daemon.events("job_started")] == names
        assert {line["exit_code"] for line in daemon.events("job_ended")} == {0}
        # Which of them still waits when it is told depends on how soon the first ones end.
        waited = [line["job"] for line in daemon.events("job_waits")]
        assert waited
        assert waited == [name for name in names[2:] if name in waited]
        assert daemon.events("job_missed") == []


def test_the_kernel_ends_a_run_before_the_daemon_and_the_run_is_reported_as_killed(
    new_site: NewSite, start_terminal: StartTerminal
) -> None:
    site = new_site()
    terminals = [start_terminal(TILL) for _ in range(2)]
    first, second = (site.add_host(f"LOJA001-PDV{201 + n}", one.address) for n, one in enumerate(terminals))
    hold(terminals[0], "ln")
    past = minutes_ago(10)
    proxy = site.proxy(
        timezone=ZONE, ssh={"parallel": 1}, schedule=[daily("hold", "update_endpoint_timezone", past, **LATE)]
    )
    seen(proxy, "hold")
    with daemons.running(proxy) as daemon:
        wait_held(terminals[0])
        started = daemon.wait("job_started", job="hold")
        assert score(daemon.child.pid) == score(os.getpid())
        assert score(started["pid"]) == VICTIM
        os.kill(started["pid"], signal.SIGKILL)
        ended = daemon.wait("job_ended", job="hold")
        assert (ended["exit_code"], ended["outcomes"]) == (-9, {"unknown": 1, "cancelled": 1})
        assert "memory" in ended["why"]
        release(terminals[0])
    assert outcomes(proxy, "schedule:hold") == {first: "unknown killed", second: "cancelled not_started"}


def test_a_clock_that_jumps_back_and_forth_starts_each_instant_once(
    new_site: NewSite, start_terminal: StartTerminal, tmp_path: Path
) -> None:
    site, terminal = new_site(), start_terminal(TILL)
    site.add_host("LOJA001-PDV201", terminal.address)
    soon = minutes_ago(-40)
    proxy = site.proxy(timezone=ZONE, schedule=[daily("soon", "update_endpoint_timezone", soon, grace=600, **LATE)])
    seen(proxy, "soon")
    clock = movable_clock(tmp_path)
    with daemons.running(proxy, clock.environment) as daemon:
        daemon.wait("job_scheduled", job="soon")
        clock.set_to(soon)
        assert daemon.wait("job_ended", job="soon")["exit_code"] == 0
        clock.set_off_by(0)
        daemon.wait("clock_went_back", job="soon")
        clock.set_to(soon)
        assert daemon.wait("job_missed", job="soon")["reason"] == "started_before"
        assert len(daemon.events("job_started")) == 1


def test_a_disruptive_job_does_not_start_in_2038(
    new_site: NewSite, start_terminal: StartTerminal, tmp_path: Path
) -> None:
    site, terminal = new_site(), start_terminal(TILL)
    site.add_host("LOJA001-PDV201", terminal.address)
    always = {"start": "00:00", "end": "23:59:59"}
    soon = minutes_ago(-3)
    proxy = site.proxy(
        timezone=ZONE,
        actions={"shutdown_endpoint": {"params": {"windows": [always]}}},
        schedule=[daily("night", "shutdown_endpoint", soon, grace=3600)],
    )
    seen(proxy, "night")
    clock = movable_clock(tmp_path)
    with daemons.running(proxy, clock.environment) as daemon:
        daemon.wait("configuration_in_force")
        clock.set_off_by(4380 * 86400 + 600)  # the time of day of its start, and a terminal whose window is open
        assert daemon.wait("job_missed", job="night")["reason"] == "clock_suspect"
        assert "2038" in daemon.wait("clock_suspect")["message"]
        assert daemon.events("job_started") == []
    assert terminal.alive()
