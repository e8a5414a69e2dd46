"""The daemon and its configuration: fetched by itself, kept when what is served is no good, and followed job by job."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.e2e import daemon as daemons
from tests.e2e.conftest import NewSite
from tests.e2e.daemon import Daemon, daily, minutes_ago, seen
from tests.e2e.site import TILL, Site
from tests.harness import faults
from tests.harness.fixtures import StartTerminal
from tests.integration.proxy import Proxy

PAST = minutes_ago(10)


def job(job_id: str, hours: int, **parts: Any) -> dict[str, Any]:
    """A job that comes in so many hours."""
    return daily(job_id, "diagnose_env", minutes_ago(-60 * hours), **parts)


# What changes from the first to the second: `moved` by its time, `gone` and `added` altogether.
FIRST = [job("same", 3), job("moved", 4), job("gone", 5), daily("late", "diagnose_env", PAST, missed="once")]
SECOND = [FIRST[0], job("moved", 6), job("added", 7), FIRST[3]]


@contextlib.contextmanager
def served(site: Site, like: Proxy, fault: faults.Fault) -> Iterator[tuple[Daemon, faults.FaultProxy, Proxy]]:
    """A daemon that has what `like` has, on a control plane that answers with this fault from the daemon's start on."""
    with faults.fault_proxy(site.url) as between, between.failing(fault):
        proxy = site.install(url=between.url)
        shutil.copytree(like.config, proxy.config, dirs_exist_ok=True)
        seen(proxy, "late")
        with daemons.running(proxy) as daemon:
            yield daemon, between, proxy


def test_whatever_is_served_the_last_valid_document_stays_until_a_good_one_comes(
    new_site: NewSite, start_terminal: StartTerminal
) -> None:
    site = new_site()
    site.add_host("LOJA001-PDV201", start_terminal(TILL).address)
    parts: dict[str, Any] = {"schedule": FIRST, "refresh_interval": 30}
    like = site.proxy(**parts)
    site.publish(**{**parts, "schedule": SECOND})
    future = {**site.document(**parts), "quantum": {"tills": True}, "must_understand": ["quantum.tills"]}
    bad: dict[str, tuple[faults.Fault, str]] = {
        "away": (faults.Answer(503), "unavailable"),
        "cut": (faults.Cut(900), "unavailable"),
        "from the future": (
            faults.Answer(200, json.dumps(future).encode(), "application/json"),
            "invalid:must_understand",
        ),
    }
    with contextlib.ExitStack() as stack:
        running = {kind: stack.enter_context(served(site, like, fault)) for kind, (fault, _) in bad.items()}
        silent, _, _ = stack.enter_context(served(site, like, faults.Hang()))
        assert like.run("config", "refresh").code == 0
        current, before_current, _ = stack.enter_context(served(site, like, faults.Answer(503)))
        for kind, (daemon, _, _) in running.items():
            said = daemon.wait("configuration", reason=bad[kind][1])
            assert (said["level"], said["in_force"]) == ("error", True)
            # The schedule is that of the last valid document, and it is worked on.
            assert daemon.wait("job_ended", job="late")["outcomes"] == {"ok": 1}
        assert silent.wait("job_ended", job="late")["outcomes"] == {"ok": 1}
        silent.terminate()  # its question to the control plane is still open
        assert silent.ended() == 0

        current.wait("configuration", reason="unavailable")
        for between in (before_current, *(between for _, between, _ in running.values())):
            between.lift()
        # Who has what is served is told that it is current again.
        current.wait("configuration", reason="unchanged", level="info")
        current.terminate()
        assert current.ended() == 0
        for daemon, _, proxy in running.values():
            daemon.wait("configuration", reason="updated")
            assert daemon.wait("configuration_in_force", times=2)["jobs"] == ["added", "late", "moved", "same"]
            assert [line["job"] for line in daemon.events("job_removed")] == ["gone"]
            scheduled = [line["job"] for line in daemon.events("job_scheduled")]
            assert sorted(scheduled) == ["added", "gone", "late", "moved", "moved", "same"]
            wanted = site.document(**{**parts, "schedule": SECOND})
            assert json.loads((proxy.config / "config_bot.json").read_bytes()) == wanted
            daemon.terminate()
        for daemon, _, _ in running.values():
            assert daemon.ended() == 0
            assert len(daemon.events("job_started")) == 1


def test_a_daemon_without_configuration_reports_it_and_starts_when_one_arrives(new_site: NewSite) -> None:
    site = new_site()
    site.publish(schedule=FIRST)
    proxy = site.install()
    with daemons.running(proxy) as daemon:
        assert daemon.wait("no_configuration")["advice"]
        assert daemon.wait("configuration_in_force")["jobs"] == ["gone", "late", "moved", "same"]
        # Jobs that nobody has seen before have missed nothing.
        assert daemon.events("job_started") == []

        # Somebody else's refresh is noticed as well. A job that cannot run is named, and the others are not held up.
        bad = {**job("newer", 2), "action": "of_a_newer_proxy"}
        site.plane.publish(site.code, site.document(schedule=[*SECOND, bad]), "--allow-unknown-actions")
        assert proxy.run("config", "refresh").code == 0
        assert daemon.wait("configuration_in_force", times=2)["jobs"] == ["added", "late", "moved", "same"]
        assert "of_a_newer_proxy" in daemon.wait("job_not_started", job="newer")["why"]

        # So is a file that was damaged by hand: its predecessor is in force, and the daemon lives.
        Path(proxy.config / "config_bot.json").write_bytes(b'{"schema_version": 2,')
        assert proxy.run("schedule", "--output", "json").code == 0
        daemon.terminate()
        assert daemon.ended() == 0
