"""Units that do not start, and one that does, on a terminal whose init is a real systemd: the reason is systemd's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.domain import units
from tests.harness import terminals
from tests.harness.terminals import Terminal, TerminalSpec
from tests.integration.proxy import Proxy

NAME = "ACME-LOJA001-PDV201"
ZONE = "America/Sao_Paulo"
SERVER = "10.77.0.1"
TIMESYNCD = "systemd-timesyncd.service"
CONF = "/etc/systemd/timesyncd.conf.d/90-flageemonitor.conf"
# What keeps the real timesyncd from starting on every terminal of the harness: they are containers, and may not set the clock.
STARTS = "[Unit]\nConditionVirtualization=\nConditionCapability=\n"


@pytest.fixture(scope="module")
def terminal() -> Iterator[Terminal]:
    with terminals.start(TerminalSpec(hostname="till", init="systemd")) as terminal:
        yield terminal


@pytest.fixture
def proxy(terminal: Terminal, tmp_path: Path) -> Proxy:
    return Proxy(
        tmp_path,
        {
            "network": "ACME",
            "timezone": ZONE,
            "inventory": {"kind": "static", "hosts": [{"name": NAME, "address": terminal.address}]},
            "credentials": [{"id": "root", "user": "root", "password": "terminal"}],
        },
    )


def prepare(terminal: Terminal, drop_in: str = "", *commands: str) -> None:
    """The unit as Debian brings it, stopped, with this drop-in."""
    terminal.inside(f"systemctl unmask {TIMESYNCD}; rm -rf {CONF} /etc/systemd/system/{TIMESYNCD}.d")
    if drop_in:
        terminal.write(f"/etc/systemd/system/{TIMESYNCD}.d/50-test.conf", drop_in)
    reset = f"systemctl reset-failed {TIMESYNCD} || :"
    terminal.inside("\n".join(("systemctl daemon-reload", f"systemctl stop {TIMESYNCD}", reset, *commands)))


def synchronise(proxy: Proxy, *options: str) -> dict[str, Any]:
    ntp = ("--enable-ntp", "--ntp-server", SERVER)
    said = proxy.run("update_endpoint_timezone", "--host", NAME, *ntp, *options, "--output", "json")
    result = said.result(NAME)
    assert isinstance(result, dict)
    return result


def test_a_unit_that_its_condition_keeps_from_starting_is_no_success(terminal: Terminal, proxy: Proxy) -> None:
    prepare(terminal)
    result = synchronise(proxy)
    assert (result["outcome"], result["reason"], result["detail"]) == ("failed", "step_failed", "ntp")
    assert "systemd-timesyncd is inactive" in result["message"]
    assert "systemd says: ConditionVirtualization=!container was not met" in result["message"]
    assert "force_timesyncd" not in result["message"], "it lifts other conditions only"
    states = {stage["name"]: stage["state"] for stage in result["stages"]}
    assert states == {"zone": "confirmed", "localtime": "confirmed", "ntp": "failed"}


def test_a_program_that_a_condition_names_is_reported_with_the_parameter_that_lifts_it(
    terminal: Terminal, proxy: Proxy
) -> None:
    prepare(terminal, f"{STARTS}ConditionFileIsExecutable=!/usr/bin/env\n")
    message = synchronise(proxy)["message"]
    assert "ConditionFileIsExecutable=!/usr/bin/env was not met; force_timesyncd lifts such conditions" in message
    assert synchronise(proxy, "--param", "force_timesyncd=true")["outcome"] == "changed"
    assert terminal.inside(f"systemctl is-active {TIMESYNCD}") == "active\n"


def test_a_unit_that_fails_at_its_start_is_reported_with_its_last_line(terminal: Terminal, proxy: Proxy) -> None:
    prepare(terminal, f'{STARTS}[Service]\nExecStart=\nExecStart=/bin/sh -c "echo the clock is glued >&2; exit 3"\n')
    result = synchronise(proxy)
    assert (result["outcome"], result["reason"], result["detail"]) == ("failed", "step_failed", "ntp")
    assert "Job for systemd-timesyncd.service failed" in result["message"]
    assert "systemd-timesyncd is failed; systemd says: Result=exit-code; sh[" in result["message"]
    assert result["message"].count("the clock is glued") == 1, "however often it was tried"
    assert "journalctl" not in result["message"]


def test_a_masked_unit_is_left_as_it_is(terminal: Terminal, proxy: Proxy) -> None:
    prepare(terminal, STARTS, f"systemctl mask {TIMESYNCD}")
    before = terminal.listing_hash()
    result = synchronise(proxy)
    assert (result["outcome"], result["reason"], result["detail"]) == ("failed", "check_failed", "unit_masked")
    assert "systemd-timesyncd is masked on the terminal" in result["message"]
    assert (result["steps"], terminal.listing_hash()) == ([], before)


def test_a_unit_that_starts_and_stays_is_changed_once_and_then_right(terminal: Terminal, proxy: Proxy) -> None:
    prepare(terminal, STARTS, "timedatectl set-ntp false")
    result = synchronise(proxy)
    assert (result["outcome"], result["reason"]) == ("changed", "confirmed")
    assert (terminal.read(CONF), result["report"]["ntp"]) == (f"[Time]\nNTP=\nNTP={SERVER}\n", "timesyncd")
    assert terminal.inside(f"systemctl is-active {TIMESYNCD}; systemctl is-enabled {TIMESYNCD}") == "active\nenabled\n"
    again = synchronise(proxy)
    assert (again["outcome"], again["steps"]) == ("ok", [])


UNITS: dict[str, tuple[str, str, str]] = {
    "a condition": (
        "[Unit]\nConditionPathExists=/no such\n[Service]\nExecStart=/bin/sleep 1000\n",
        "inactive",
        "systemd says: ConditionPathExists=/no such was not met",
    ),
    "an assertion": (
        "[Unit]\nAssertPathExists=/no such\n[Service]\nExecStart=/bin/sleep 1000\n",
        "inactive",
        "Assertion failed for unit.service",
    ),
    "a unit that it needs": (
        "[Unit]\nRequires=broken.service\nAfter=broken.service\n[Service]\nExecStart=/bin/sleep 1000\n",
        "inactive",
        "Dependency failed for unit.service",
    ),
    "a program that is not there": ("[Service]\nExecStart=/no/such\n", "failed", "Result=exit-code"),
    "a bad setting": (
        "[Service]\nType=oneshot\n",
        "inactive",
        "systemd says: the unit has a bad setting; systemd[1]: ",
    ),
    "it ends soon after its start": (
        '[Service]\nExecStart=/bin/sh -c "sleep 1; echo gone >&2; exit 3"\n',
        "failed",
        "]: gone",
    ),
    "it was never started": (
        "[Service]\nExecStart=/bin/sleep 1000\n[Install]\nWantedBy=multi-user.target\n",
        "inactive",
        "systemd says: the unit is disabled",
    ),
}


@pytest.mark.parametrize("case", UNITS)
def test_the_reason_of_a_real_systemd_is_read(terminal: Terminal, case: str) -> None:
    unit, state, expected = UNITS[case]
    terminal.write("/etc/systemd/system/broken.service", "[Service]\nType=oneshot\nExecStart=/bin/false\n")
    terminal.write("/etc/systemd/system/unit.service", unit)
    restart = "" if case == "it was never started" else f"{units.RESTART}\nunit_restart unit.service || :\n"
    # Only now it is known to systemd without the last case's history.
    terminal.inside(f"systemctl daemon-reload; systemctl reset-failed\n{restart}")
    output = terminal.inside(f"{units.SHELL}\nunit_state unit.service; unit_words unit.service")
    lines = dict(line.split("=", 1) for line in output.splitlines()[1:])
    assert (output.splitlines()[0], expected in units.words(lines)) == (state, True), units.words(lines)
