"""The daemon at work: what it starts, what it drops, what it shares with runs by hand, and how it ends."""

import datetime as dt
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import daemon as daemons
from tests.e2e.clocks import movable_clock
from tests.e2e.conftest import NewSite
from tests.e2e.daemon import daily, minutes_ago, seen
from tests.e2e.held_programs import WAIT_S, hold, release, wait_held
from tests.e2e.site import TILL, Site, zone_where_it_is
from tests.harness.fixtures import StartTerminal
from tests.harness.process import wait_until
from tests.harness.terminals import Terminal
from tests.integration.proxy import Proxy

ZONE = "America/Sao_Paulo"
CHANGE = ("update_endpoint_timezone", "--output", "json")
LATE = {"missed": "once"}
ONE_BY_ONE = {"parallel": 1, "command_timeout": 200}  # a stage that is held must not run out of time on a busy machine


def origins(proxy: Proxy) -> dict[str, list[dict[str, Any]]]:
    """The ledger's runs by who asked for them."""
    runs: dict[str, list[dict[str, Any]]] = {}
    for run in proxy.run("runs", "--output", "json").json:
        runs.setdefault(run["origin"], []).append(run)
    return runs


def test_a_job_runs_on_time_or_late_as_it_says_and_a_disruptive_one_is_never_run_late(
    new_site: NewSite, start_terminal: StartTerminal, tmp_path: Path
) -> None:
    site, terminal = new_site(), start_terminal(TILL)
    host = site.add_host("LOJA001-PDV201", terminal.address)
    past = minutes_ago(10)
    always = {"start": "00:00", "end": "23:59:59"}
    proxy = site.proxy(
        timezone=ZONE,
        actions={"shutdown_endpoint": {"params": {"windows": [always]}}},
        schedule=[
            {"id": "minutely", "action": "diagnose_env", "cron": "* * * * *"},
            daily("late", "update_endpoint_timezone", past, **LATE),
            daily("skipped", "update_endpoint_timezone", past),
            daily("night", "shutdown_endpoint", past, **LATE),
            daily("new", "update_endpoint_timezone", past, **LATE),
            daily("too-late", "update_endpoint_timezone", past, not_after=f"{minutes_ago(9):%H:%M}", **LATE),
            daily("off", "update_endpoint_timezone", past, enabled=False, **LATE),
        ],
    )
    seen(proxy, "late", "skipped", "night", "too-late", "off")
    clock = movable_clock(tmp_path)
    with daemons.running(proxy, clock.environment) as daemon:
        ended = daemon.wait("job_ended", job="late")
        assert (ended["exit_code"], ended["outcomes"]) == (0, {"changed": 1})
        dropped = {line["job"]: line["reason"] for line in daemon.events("job_missed")}
        assert dropped == {"skipped": "too_late", "night": "disruptive", "too-late": "not_after"}

        # A clock that is set forward by somebody else is noticed: the next minute comes at once, and not twice.
        clock.set_off_by(90)
        ended = daemon.wait("job_ended", job="minutely")
        assert (ended["exit_code"], ended["outcomes"]) == (0, {"ok": 1})
        daemon.terminate()
        assert daemon.ended() == 0
        started = [line["job"] for line in daemon.events("job_started")]
        assert started.count("late") == 1
        assert set(started) == {"late", "minutely"}
    runs = origins(proxy)
    assert set(runs) == {"schedule:late", "schedule:minutely"}
    assert terminal.read("/etc/timezone") == f"{ZONE}\n"
    assert terminal.alive()
    (told,) = [
        record for record in proxy.run("why", host, "--output", "json").json if record["action"] != "diagnose_env"
    ]
    assert (told["origin"], told["outcome"]) == ("schedule:late", "changed")


@dataclass(frozen=True)
class Held:
    """A proxy whose job `hold` is in the middle of a stage at `till`, parallel 1; `others` wait behind it."""

    site: Site
    proxy: Proxy
    daemon: daemons.Daemon
    till: Terminal
    name: str
    others: tuple[str, ...]


@pytest.fixture
def held(new_site: NewSite, start_terminal: StartTerminal) -> Iterator[Held]:
    site = new_site()
    terminals = [start_terminal(TILL) for _ in range(3)]
    names = [site.add_host(f"LOJA001-PDV{201 + n}", terminal.address) for n, terminal in enumerate(terminals)]
    hold(terminals[0], "ln")
    past = minutes_ago(10)
    proxy = site.proxy(
        timezone=ZONE, ssh=ONE_BY_ONE, schedule=[daily("hold", "update_endpoint_timezone", past, **LATE)]
    )
    seen(proxy, "hold")
    with daemons.running(proxy) as daemon:
        try:
            wait_held(terminals[0])
            yield Held(site, proxy, daemon, terminals[0], names[0], tuple(names[1:]))
        finally:
            release(terminals[0])


def outcomes(proxy: Proxy, origin: str) -> dict[str, str]:
    """Host → outcome and reason in the only run of this origin."""
    (run,) = origins(proxy)[origin]
    results = proxy.run("runs", run["run_id"], "--output", "json").json["results"]
    return {result["name"]: f"{result['outcome']} {result['reason']}" for result in results}


def test_sigterm_lets_hosts_at_work_finish_and_starts_no_other(held: Held, start_terminal: StartTerminal) -> None:
    # A run by hand is at work as well: it is asked to stop like every other.
    by_hand, waiting = start_terminal(TILL), start_terminal(TILL)
    hold(by_hand, "ln")
    mine = held.site.add_host("LOJA002-PDV201", by_hand.address)
    behind = held.site.add_host("LOJA002-PDV202", waiting.address)
    untouched = waiting.listing_hash()
    going = held.proxy.start(*CHANGE, "--loja", "2")
    wait_held(by_hand)

    held.daemon.terminate()
    held.daemon.wait("stopping_run", times=2)
    assert held.daemon.child.alive()
    assert going.process.poll() is None
    release(held.till)
    release(by_hand)
    assert held.daemon.ended() == 0
    said = going.ended()
    assert (said.code, said.outcomes) == (130, {mine: "changed confirmed", behind: "cancelled stopped"})
    assert waiting.listing_hash() == untouched
    expected = {held.name: "changed confirmed", **dict.fromkeys(held.others, "cancelled stopped")}
    assert outcomes(held.proxy, "schedule:hold") == expected
    assert held.daemon.events("stopped")[-1]["runs_killed"] == 0


def test_a_job_at_work_blocks_other_runs_and_can_be_cancelled(held: Held) -> None:
    by_hand = held.proxy.run(*CHANGE, "--host", held.name)
    assert (by_hand.code, by_hand.outcomes) == (0, {held.name: "skipped host_locked"})
    looked = held.proxy.run("test_endpoint_connection", "--host", held.name, "--output", "json")
    assert looked.outcomes == {held.name: "ok done"}
    again = held.proxy.run("run", "update_endpoint_timezone", "--job", "hold", "--output", "json")
    assert (again.code, again.json["error"]["reason"]) == (6, "job_still_running")
    with daemons.starting(held.proxy) as second:
        assert second.ended() == 6
        assert second.events("daemon_running")
        assert second.events("job_started") == []

    (run,) = origins(held.proxy)["schedule:hold"]
    assert run["open"] == 3
    said = held.proxy.run("cancel", run["run_id"], "--output", "json")
    assert (said.code, said.json["result"]) == (0, "signalled")
    release(held.till)
    assert held.daemon.wait("job_ended", job="hold")["exit_code"] == 130
    expected = {held.name: "changed confirmed", **dict.fromkeys(held.others, "cancelled operator")}
    assert outcomes(held.proxy, "schedule:hold") == expected


@pytest.mark.parametrize("also_the_run", [False, True], ids=["only the daemon", "its run too"])
def test_after_a_kill_nothing_fires_twice(held: Held, also_the_run: bool) -> None:
    started = held.daemon.wait("job_started", job="hold")
    held.daemon.kill()
    if also_the_run:
        os.kill(started["pid"], signal.SIGKILL)
    # A second job that was missed shows when the restarted daemon has looked at what it missed.
    past = dt.datetime.fromisoformat(started["planned"])  # another minute would be another plan
    jobs = [daily("hold", "update_endpoint_timezone", past, **LATE), daily("mark", "diagnose_env", past, **LATE)]
    held.site.publish(timezone=ZONE, ssh=ONE_BY_ONE, schedule=jobs)
    assert held.proxy.run("config", "refresh").code == 0
    seen(held.proxy, "mark")
    with daemons.running(held.proxy) as daemon:
        assert daemon.wait("job_ended", job="mark")["exit_code"] == 0
        assert daemon.events("job_started", job="hold") == []
        if not also_the_run:
            release(held.till)  # its run lives on by itself, and comes to its end
            over = "select 1 from runs where origin = 'schedule:hold' and state = 'finished'"
            wait_until(lambda: held.proxy.rows(over), within=WAIT_S, what="the run's end", every=0.2)
        daemon.terminate()
        assert daemon.ended() == 0
    found = outcomes(held.proxy, "schedule:hold")
    if also_the_run:
        assert found == {held.name: "unknown killed", **dict.fromkeys(held.others, "cancelled not_started")}
    else:
        assert found == dict.fromkeys((held.name, *held.others), "changed confirmed")


def test_a_scheduled_shutdown_takes_a_terminal_down_in_its_window(
    new_site: NewSite, start_terminal: StartTerminal, tmp_path: Path
) -> None:
    site, terminal, hub = new_site(), start_terminal(TILL), start_terminal(TILL)
    host = site.add_host("LOJA001-PDV201", terminal.address)
    concentrator = site.add_host("LOJA001-CONCENTRADOR", hub.address)
    window = {"start": "09:00", "end": "17:00"}
    soon = minutes_ago(-30)
    proxy = site.proxy(
        timezone=zone_where_it_is(12),
        actions={"shutdown_endpoint": {"params": {"windows": [window], "settle": 60}}},
        schedule=[daily("night", "pdv_shutdown", soon, grace=600)],
    )
    seen(proxy, "night")
    clock = movable_clock(tmp_path)
    with daemons.running(proxy, clock.environment) as daemon:
        daemon.wait("job_scheduled", job="night")
        clock.set_to(soon)
        assert daemon.wait("job_ended", job="night")["exit_code"] == 0
    assert outcomes(proxy, "schedule:night") == {host: "changed confirmed", concentrator: "skipped protected_role"}
    wait_until(lambda: terminal.ended() is not None, within=WAIT_S, what="the terminal's end")
    assert terminal.ended() == "halted"
    assert hub.alive()
