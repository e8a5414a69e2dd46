"""What breaks in the field: Zabbix, a connection or the runtime in the middle of a stage, a machine that was set up anew."""

import asyncio
import signal
from collections.abc import Mapping

import asyncssh
import pytest

from tests.e2e.conftest import NewSite
from tests.e2e.held_programs import hang_up_once, hold, release, wait_held
from tests.e2e.site import TILL
from tests.harness import faults
from tests.harness.fixtures import StartTerminal
from tests.harness.ports import LOOPBACK, free_port
from tests.harness.terminals import Terminal
from tests.integration.proxy import Proxy

ZONE = "America/Sao_Paulo"
CHANGE = ("update_endpoint_timezone", "--output", "json")


def untouched(proxy: Proxy, terminal: Terminal, before: str) -> None:
    """Every run says that the inventory was not to be had, none considered a host, and the terminal is as it was."""
    runs = proxy.run("runs", "--output", "json").json
    assert {(run["exit_code"], run["hosts"], run["state"]) for run in runs} == {(4, 0, "finished")}
    assert all(run["reason"] and run["message"] for run in runs)
    assert proxy.rows("select count(*) from run_hosts") == [(0,)]
    assert terminal.listing_hash() == before


def test_without_a_valid_answer_of_zabbix_no_host_is_considered(
    new_site: NewSite, zabbix_faults: faults.FaultProxy, start_terminal: StartTerminal
) -> None:
    site, terminal = new_site(), start_terminal(TILL)
    host = site.add_host("LOJA001-PDV201", terminal.address)
    proxy = site.proxy(inventory={"url": zabbix_faults.url, "timeout": 3})
    before = terminal.listing_hash()
    bad: Mapping[str, tuple[faults.Fault, str | None]] = {
        "500": (faults.Answer(500), None),
        "an error inside a 200": (faults.RpcError(), "host.get"),
        "cut": (faults.Cut(300), "host.get"),
        "hang": (faults.Hang(), None),
    }
    for name, (fault, method) in bad.items():
        with zabbix_faults.failing(fault, method=method):
            said = proxy.run(*CHANGE, "--all")
        assert said.code == 4, f"{name}: {said.stdout}"
        assert said.json["exit_code"] == 4
    for inventory in ({"token": "0" * 64}, {"url": f"http://{LOOPBACK}:{free_port()}"}):
        site.publish(inventory=inventory)
        assert proxy.run("config", "refresh").code == 0
        assert proxy.run(*CHANGE, "--all").code == 4
    untouched(proxy, terminal, before)

    # An honest one, and the work goes on.
    site.publish()
    assert proxy.run("config", "refresh").code == 0
    assert proxy.run(*CHANGE, "--all").outcomes == {host: "changed confirmed"}


def test_a_connection_lost_in_the_middle_of_a_stage_is_unknown_and_the_next_run_repairs(
    new_site: NewSite, start_terminal: StartTerminal
) -> None:
    site = new_site()
    cut, hung_up, fine = (start_terminal(TILL) for _ in range(3))
    hold(cut, "chown")
    hang_up_once(hung_up, "chown")
    hosts = [site.add_host(f"LOJA001-PDV{201 + n}", t.address) for n, t in enumerate((cut, hung_up, fine))]
    proxy = site.proxy(ssh={"command_timeout": 8})
    going = proxy.start(*CHANGE, "--all")
    wait_held(cut)
    cut.cut()  # a pulled cable: nobody is told, so only the deadline ends the wait
    said = going.ended()
    expected = ("unknown deadline:zone", "unknown connection_lost:zone", "changed confirmed")
    assert (said.code, said.outcomes) == (1, dict(zip(hosts, expected, strict=True)))
    for host in hosts[:2]:
        assert [step["status"] for step in said.result(host)["steps"]] == ["unknown"]

    cut.heal()
    release(cut)
    repaired = proxy.run(*CHANGE, "--all")
    assert repaired.code == 0
    # What was cut may have come to its end on the terminal; what was broken off cannot.
    became = [result["outcome"] for result in repaired.json["hosts"]]
    assert became in (["changed", "changed", "ok"], ["ok", "changed", "ok"])
    for terminal in (cut, hung_up, fine):
        assert terminal.read("/etc/timezone") == f"{ZONE}\n"


def test_a_runtime_killed_in_the_middle_of_a_stage_is_reported_by_the_next_command(
    new_site: NewSite, start_terminal: StartTerminal
) -> None:
    site, terminal, neighbour = new_site(), start_terminal(TILL), start_terminal(TILL)
    hold(terminal, "chown")
    host = site.add_host("LOJA001-PDV201", terminal.address)
    other = site.add_host("LOJA001-PDV202", neighbour.address)
    untouched = neighbour.listing_hash()
    proxy = site.proxy(ssh={"parallel": 1})
    going = proxy.start(*CHANGE, "--all")
    wait_held(terminal)
    going.signal(signal.SIGKILL)
    assert going.ended().code == -signal.SIGKILL

    (run,) = proxy.run("runs", "--output", "json").json
    assert (run["state"], run["exit_code"], run["outcomes"]) == ("finished", 1, {"unknown": 1, "cancelled": 1})
    (told,) = proxy.run("why", host, "--output", "json").json
    assert (told["outcome"], told["reason"], told["stage"]) == ("unknown", "killed", "zone")
    (spared,) = proxy.run("why", other, "--output", "json").json
    assert (spared["outcome"], spared["reason"]) == ("cancelled", "not_started")
    assert neighbour.listing_hash() == untouched
    results = proxy.rows("select payload from outbox where kind = 'host_result'")
    assert len(results) == 2

    release(terminal)
    repaired = proxy.run(*CHANGE, "--all")
    assert repaired.code == 0, repaired.stdout
    assert {result["outcome"] for result in repaired.json["hosts"]} <= {"ok", "changed"}
    assert terminal.read("/etc/timezone") == f"{ZONE}\n"


def test_a_reinstalled_machine_is_blocked_until_its_key_is_accepted(
    new_site: NewSite, start_terminal: StartTerminal
) -> None:
    site, terminal = new_site(), start_terminal(TILL)
    host = site.add_host("LOJA001-PDV201", terminal.address)
    proxy = site.proxy()
    assert proxy.run("test_endpoint_connection", "--host", host).code == 0
    set_up_anew(terminal)
    before, changed = terminal.listing_hash(), "blocked host_key_changed:ssh-ed25519 -> ssh-ed25519"

    blocked = proxy.run(*CHANGE, "--host", host)
    assert (blocked.code, blocked.outcomes) == (1, {host: changed})
    looked = proxy.run("diagnose_env", "--host", host, "--output", "json")
    assert (looked.code, looked.outcomes) == (1, {host: changed})
    assert terminal.listing_hash() == before

    (retired,) = proxy.run("hosts", "rekey", host, "--output", "json").json
    assert retired["name"] == host.lower() or retired["name"] == host
    assert retired["retired"].startswith("SHA256:")
    allowed = proxy.run(*CHANGE, "--host", host)
    assert (allowed.code, allowed.outcomes) == (0, {host: "changed confirmed"})


def set_up_anew(terminal: Terminal) -> None:
    """Give it new host keys."""

    async def work() -> None:
        options = {"username": "root", "password": "terminal", "known_hosts": None, "config": None, "agent_path": None}
        async with asyncssh.connect(terminal.address, terminal.port, **options) as connection:
            fresh = "rm /etc/ssh/ssh_host_*; ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key"
            # The server itself, not the process of this connection.
            await connection.run(f"{fresh}; kill -HUP $(cat /run/sshd.pid)", check=True)

    asyncio.run(work())


@pytest.mark.parametrize("what", ["outside ssh.allowed_networks", "a password that is wrong"])
def test_a_refused_login_and_an_unreachable_terminal_are_distinguished(
    new_site: NewSite, start_terminal: StartTerminal, what: str
) -> None:
    site, terminal = new_site(), start_terminal(TILL)
    if what == "a password that is wrong":
        host = site.add_host("LOJA001-PDV201", terminal.address, "root,wrong")
        proxy, expected = site.proxy(), "unreachable auth_failed"
    else:
        host = site.add_host("LOJA001-PDV201", terminal.address)
        proxy, expected = site.proxy(ssh={"allowed_networks": ["10.0.0.0/24"]}), "blocked outside_allowed_networks"
    said = proxy.run(*CHANGE, "--host", host)
    assert (said.code, said.outcomes) == (1, {host: expected})
