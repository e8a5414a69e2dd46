"""The harness keeps its own promises: parts are real, stay apart, and leave nothing behind, even when their run is killed."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncssh
import psycopg
import pytest
import requests

from tests.harness import cache, faults, need, ports, process, sshd, systems, weird, workdir, zabbix
from tests.harness.fixtures import StartTerminal
from tests.harness.ssh_offer import LEGACY_DSS, LEGACY_RSA, MODERN, KeyPair, Offer
from tests.harness.terminal_root import Init
from tests.harness.terminals import Account, Terminal, TerminalSpec
from tests.harness.zabbix_api import Api, HostSpec, Interface, ZabbixError

# The library below asyncssh warns about the key exchange that old terminals need.
pytestmark = pytest.mark.filterwarnings("ignore:Diffie-Hellman over finite fields")

_OLD_CLIENT = {
    "kex_algs": ["diffie-hellman-group1-sha1"],
    "encryption_algs": ["aes128-cbc"],
    "mac_algs": ["hmac-sha1"],
    "server_host_key_algs": ["ssh-rsa", "ssh-dss"],
    "signature_algs": ["ssh-rsa"],
}


def ssh(address: str, port: int, command: str, *, stdin: str = "", old: bool = False, **login: Any) -> str:
    """What `command` printed there, both streams."""

    async def run() -> str:
        options = {"known_hosts": None, "config": None, "agent_path": None, **(_OLD_CLIENT if old else {}), **login}
        async with asyncio.timeout(20), asyncssh.connect(address, port, **options) as connection:
            result = await connection.run(command, input=stdin, encoding="utf-8")
            return str(result.stdout) + str(result.stderr)

    return asyncio.run(run())


def as_root(terminal: Terminal, command: str, *, old: bool = False) -> str:
    """`ssh` into a terminal of the default account."""
    return ssh(terminal.address, terminal.port, command, username="root", password="terminal", old=old)


def killed_run(code: str, temporary: Path) -> list[str]:
    """Words that a Python process printed before it killed itself; it makes its folders below `temporary`."""
    script = f"import os, signal\nfrom pathlib import Path\n{code}\nos.kill(os.getpid(), signal.SIGKILL)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=cache.REPOSITORY,
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return done.stdout.split()


# need, ports, process


def test_a_missing_part_skips_locally_and_fails_where_skips_are_forbidden() -> None:
    need.need(True, "a thing", "get one", environ={})
    with pytest.raises(unittest.SkipTest, match="a thing is missing: get one"):
        need.need(False, "a thing", "get one", environ={})
    with pytest.raises(need.MissingPartError, match="a thing is missing: get one"):
        need.need(None, "a thing", "get one", environ={"CI": "true"})


def test_a_free_port_can_be_listened_on() -> None:
    port = ports.free_port()
    assert not ports.accepts(ports.LOOPBACK, port)
    with socket.create_server((ports.LOOPBACK, port)):
        assert ports.accepts(ports.LOOPBACK, port)


def test_a_child_that_ends_early_is_reported_with_its_last_lines(tmp_path: Path) -> None:
    argv = ["sh", "-c", "echo no such database; exit 3"]
    started = process.running(argv, name="early", folder=tmp_path, ready=lambda: False)
    with pytest.raises(process.NotReadyError, match=r"ended with 3:\nno such database"), started:
        pass


def test_a_child_that_is_never_ready_is_reported_and_stopped(tmp_path: Path) -> None:
    started = process.running(
        ["sh", "-c", "echo waiting; sleep 100"], name="late", folder=tmp_path, ready=bool, within=2
    )
    with pytest.raises(process.NotReadyError, match=r"late ready.*(?s:.)*waiting"), started:
        pass
    assert process.start_time(int((tmp_path / "late.pid").read_text().split()[0])) == ""


def test_a_child_that_ignores_the_request_to_stop_is_ended_with_its_whole_group(tmp_path: Path) -> None:
    child = process.start(["sh", "-c", "trap '' TERM; sleep 100 & echo $!; wait; wait"], name="deaf", folder=tmp_path)
    child.wait_ready(child.log_tail, within=60)
    grandchild = int(child.log_tail())
    assert child.stop(grace=0.2) == -signal.SIGKILL
    process.wait_until(lambda: not running(grandchild), within=60, what="grandchild ended")


def running(pid: int) -> bool:
    """Whether `pid` runs; one that is dead and waits for its parent's attention does not."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


# workdir, cache


def test_a_folder_is_removed_with_its_block_even_after_an_error() -> None:
    with contextlib.suppress(ZeroDivisionError), workdir.workdir("check") as folder:
        (folder / "file").write_text("x")
        raise ZeroDivisionError
    assert not folder.exists()


def test_a_folder_in_use_is_not_removed() -> None:
    with workdir.workdir("check") as first, workdir.workdir("check") as second:
        assert first.exists()
        assert second.exists()


def test_the_next_run_removes_what_a_killed_run_left(tmp_path: Path) -> None:
    code = "from tests.harness import workdir, process\n"
    code += "held = workdir.workdir('check')\nfolder = held.__enter__()\n"
    code += "child = process.start(['sleep', '1000'], name='left', folder=folder)\n"
    code += "print(folder, child.pid, flush=True)"
    folder, pid = killed_run(code, tmp_path)
    assert running(int(pid))
    with workdir.workdir("check", tmp_path):
        assert not Path(folder).exists()
        process.wait_until(lambda: not running(int(pid)), within=60, what="left child ended")


def test_a_pid_file_with_the_number_of_another_process_kills_no_process(tmp_path: Path) -> None:
    child = process.start(["sleep", "1000"], name="innocent", folder=tmp_path)
    (tmp_path / "old.pid").write_text(f"{child.pid} 1")
    process.kill_noted(tmp_path / "old.pid")
    assert child.alive()
    child.stop()


def test_a_cached_thing_is_built_once_for_each_recipe(tmp_path: Path) -> None:
    built: list[Path] = []

    def build(entry: Path) -> None:
        built.append(entry)
        (entry / "part").write_text("whole")

    first = cache.cached("thing", {"version": 1}, build, tmp_path)
    assert cache.cached("thing", {"version": 1}, build, tmp_path) == first
    assert cache.cached("thing", {"version": 2}, build, tmp_path) != first
    assert len(built) == 2
    assert (first / "part").read_text() == "whole"


def test_a_killed_build_is_never_used(tmp_path: Path) -> None:
    code = "from tests.harness.cache import cached\n"
    code += "def build(entry):\n    (entry / 'half').touch()\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    code += f"cached('thing', {{}}, build, Path({str(tmp_path)!r}))"
    killed_run(code, tmp_path)
    entry = cache.cached("thing", {}, lambda entry: (entry / "whole").touch(), tmp_path)
    assert [path.name for path in entry.iterdir()] == ["whole"]


# PostgreSQL


def test_a_database_is_real_and_empty(postgres_url: str) -> None:
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
        version = connection.execute("show server_version").fetchone()
        tables = connection.execute("select count(*) from pg_stat_user_tables").fetchone()
    assert version
    assert int(version[0].split(".")[0]) >= 15
    assert tables == (0,)


# Zabbix


def test_hosts_are_created_as_specified(zabbix_running: zabbix.Zabbix) -> None:
    spec = HostSpec(
        "CHECK-LOJA001-PDV201",
        name="CHECK Caixa 201",
        groups=("CHECK", "CHECK/LOJA001"),
        interfaces=(Interface("10.1.2.3"), Interface("10.1.2.4", port=10051)),
        tags=(("provider", "zanthus"),),
        macros={"{$SAT}": "none"},
        notes="root,secret,2222",
        templates=("Linux by Zabbix agent",),
        enabled=False,
    )
    made = zabbix_running.create_hosts([spec, HostSpec("CHECK-PROXY", groups=("CHECK",))])
    selects = {
        f"select{part}": "extend" for part in ("Groups", "Interfaces", "Tags", "Macros", "Inventory", "ParentTemplates")
    }
    (host,) = zabbix_running.call("host.get", {"hostids": made["CHECK-LOJA001-PDV201"], "output": "extend", **selects})
    assert (host["host"], host["name"], host["status"]) == ("CHECK-LOJA001-PDV201", "CHECK Caixa 201", "1")
    assert {group["name"] for group in host["groups"]} == {"CHECK", "CHECK/LOJA001"}
    assert [(part["ip"], part["port"], part["main"]) for part in host["interfaces"]] == [
        ("10.1.2.3", "10050", "1"),
        ("10.1.2.4", "10051", "0"),
    ]
    assert host["tags"] == [{"tag": "provider", "value": "zanthus"}]
    assert host["inventory"]["notes"] == "root,secret,2222"
    assert [template["host"] for template in host["parentTemplates"]] == ["Linux by Zabbix agent"]
    zabbix_running.delete_hosts(made.values())


def test_availability_problems_and_maintenance_are_seen_by_a_real_server(zabbix_running: zabbix.Zabbix) -> None:
    address, port = zabbix_running.agent()
    up, down = (
        HostSpec("SEEN-UP", interfaces=(Interface(address, port),)),
        HostSpec("SEEN-DOWN", interfaces=(Interface(address, 1),)),
    )
    made = zabbix_running.create_hosts([up, down])
    assert zabbix_running.poll_agents("SEEN-UP", "SEEN-DOWN") == {"SEEN-UP": 1, "SEEN-DOWN": 2}
    trigger = zabbix_running.raise_problem("SEEN-DOWN", "Caixa parado")
    assert zabbix_running.trigger_value(trigger) == 1
    zabbix_running.resolve_problem("SEEN-DOWN", trigger)
    zabbix_running.put_into_maintenance("Inventory night", "SEEN-UP")
    assert [zabbix_running.in_maintenance(host) for host in ("SEEN-UP", "SEEN-DOWN")] == [True, False]
    zabbix_running.delete_hosts([made["SEEN-DOWN"]])


def test_a_second_zabbix_beside_the_first_shares_nothing_with_it(zabbix_running: zabbix.Zabbix) -> None:
    with zabbix.running() as second:
        second.create_hosts([HostSpec("ONLY-IN-THE-SECOND")])
        found = zabbix_running.call("host.get", {"filter": {"host": ["ONLY-IN-THE-SECOND"]}, "output": ["hostid"]})
    assert found == []


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (faults.Answer(status=500), requests.HTTPError),
        (faults.Answer(status=200, body=b"<html>login</html>"), requests.JSONDecodeError),
        (faults.RpcError(message="No permissions."), ZabbixError),
        (faults.Cut(), requests.ConnectionError),
        (faults.Cut(after=20), requests.RequestException),
    ],
    ids=repr,
)
def test_a_fault_is_injected_and_lifted(
    zabbix_faults: faults.FaultProxy, zabbix_running: zabbix.Zabbix, fault: faults.Fault, error: type[Exception]
) -> None:
    client = Api(zabbix_faults.url, zabbix_running.token)
    with zabbix_faults.failing(fault, method="host.get", times=1):
        assert client.call("hostgroup.get", {"limit": 1})
        with pytest.raises(error):
            client.call("host.get", {"countOutput": True})
        assert int(client.call("host.get", {"countOutput": True})) >= 0
    assert [method for _, method in zabbix_faults.requests] == ["hostgroup.get", "host.get", "host.get"]


def test_a_hanging_answer_lasts_until_the_fault_is_lifted(zabbix_faults: faults.FaultProxy) -> None:
    with zabbix_faults.failing(faults.Hang()), pytest.raises(requests.Timeout):
        requests.get(zabbix_faults.url, timeout=0.3)
    assert requests.get(f"{zabbix_faults.url}/robots.txt", timeout=10).ok


# Terminals


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (TerminalSpec(), "x86_64 64"),
        (TerminalSpec(architecture="i386"), "i686 32"),
        (TerminalSpec(architecture="i386", machine="x86_64"), "x86_64 32"),
    ],
    ids=["64 bits", "32 bits", "32 bits on a 64-bit kernel"],
)
def test_a_terminal_is_of_the_kind_that_was_asked_for(
    shared_terminal: StartTerminal, spec: TerminalSpec, told: str
) -> None:
    terminal = shared_terminal(spec)
    bits = "case $(od -An -tu1 -j4 -N1 /proc/$$/exe) in *1) echo 32;; *2) echo 64;; esac"
    assert as_root(terminal, f"echo $(uname -m) $({bits}) $(cat /proc/1/comm) $(hostname)") == f"{told} init terminal\n"


@pytest.mark.parametrize("offer", [LEGACY_RSA, LEGACY_DSS], ids=["ssh-rsa", "ssh-dss"])
def test_a_legacy_terminal_accepts_only_old_clients(start_terminal: StartTerminal, offer: Offer) -> None:
    terminal = start_terminal(TerminalSpec(offer=offer))
    with pytest.raises((asyncssh.KeyExchangeFailed, asyncssh.ConnectionLost)):
        as_root(terminal, "true")
    assert as_root(terminal, "echo hello", old=True) == "hello\n"


def test_a_terminal_carries_the_marks_accounts_and_files_it_was_given(
    start_terminal: StartTerminal, client_key: KeyPair
) -> None:
    accounts = (
        Account("caixa", password="s'enha x", sudo="password"),
        Account("livre", password="b", sudo="nopasswd"),
        Account("preso", keys=(client_key.public,)),
    )
    spec = TerminalSpec(
        accounts=accounts, system=systems.slackware("13.37"), files={"/opt/pdv/tool": "#!/bin/sh\necho ran\n"}
    )
    terminal = start_terminal(spec)
    where = (terminal.address, terminal.port)
    marks = "cat /etc/slackware-version; ls /etc/os-release; /opt/pdv/tool"
    assert ssh(*where, marks, username="preso", client_keys=[str(client_key.path)]).splitlines() == [
        "Slackware 13.37",
        "ran",
        "ls: cannot access '/etc/os-release': No such file or directory",
    ]
    assert "required" in ssh(*where, "sudo -n id -u", username="preso", client_keys=[str(client_key.path)])
    assert ssh(*where, "sudo -n id -u", username="livre", password="b") == "0\n"
    assert ssh(*where, "sudo -S -p '' id -u", username="caixa", password="s'enha x", stdin="s'enha x\n") == "0\n"


def test_a_login_writes_nothing_and_a_file_that_came_and_went_is_seen(start_terminal: StartTerminal) -> None:
    terminal = start_terminal(TerminalSpec())
    before = terminal.listing_hash()
    as_root(terminal, "id; ls -R /etc")
    assert terminal.listing_hash() == before
    as_root(terminal, "touch /tmp/trace; rm /tmp/trace")
    assert terminal.listing_hash() != before


def test_reading_and_writing_stay_inside_the_terminal(start_terminal: StartTerminal, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("untouched")
    terminal = start_terminal(TerminalSpec())
    as_root(terminal, f"ln -s {outside} /etc/trap; ln -sf /usr/share/zoneinfo/America/Sao_Paulo /etc/localtime")
    terminal.write("/etc/trap", "inside")
    assert (outside.read_text(), terminal.read("/etc/trap")) == ("untouched", "inside")
    assert terminal.link("/etc/localtime") == "/usr/share/zoneinfo/America/Sao_Paulo"


@pytest.mark.parametrize(
    ("command", "end"), [("/sbin/shutdown -h now", "halted"), ("poweroff", "halted"), ("reboot", "rebooted")]
)
def test_a_terminal_goes_down_by_its_own_command_and_takes_no_other_with_it(
    start_terminal: StartTerminal, command: str, end: str
) -> None:
    first, second = start_terminal(TerminalSpec()), start_terminal(TerminalSpec())
    assert (first.ended(), first.alive()) == (None, True)
    as_root(first, command)
    process.wait_until(lambda: not first.alive(), within=120, what="terminal down")
    assert first.ended() == end
    assert first.read("/etc/hostname") == "terminal\n"
    assert not ports.accepts(first.address, first.port)
    assert as_root(second, "echo here") == "here\n"


# The last four need a right that systemd has to have.
ATTEMPTS = (
    "date -s 2001-01-01",
    "echo o >/proc/sysrq-trigger",
    "echo 1 >/proc/sys/kernel/panic",
    "mknod /dev/disk b 8 0",
    "modprobe loop || insmod /loop.ko",
    "kill -9 1 && sleep 1 && ! kill -0 1",
    "mount -t tmpfs none /mnt",
    "mount -o remount,rw /sys",
    "dmesg -c",
    "swapoff /swap",
)


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_root_of_a_terminal_cannot_reach_the_machine(shared_terminal: StartTerminal, attempt: str) -> None:
    assert as_root(shared_terminal(TerminalSpec()), f"({attempt}) >/dev/null 2>&1 || echo refused") == "refused\n"


def test_root_of_a_terminal_with_systemd_sets_no_clock_and_makes_no_device(start_terminal: StartTerminal) -> None:
    terminal = start_terminal(TerminalSpec(init="systemd"))
    script = "".join(f"({attempt}) >/dev/null 2>&1 || echo refused\n" for attempt in ATTEMPTS[:6])
    assert as_root(terminal, script) == "refused\n" * 6
    assert as_root(terminal, "systemctl is-system-running; cat /proc/1/comm") == "running\nsystemd\n"
    as_root(terminal, "systemctl poweroff")
    process.wait_until(lambda: not terminal.alive(), within=120, what="terminal down")
    assert terminal.ended() == "halted"


def test_a_cut_terminal_is_silent_and_a_healed_one_answers(start_terminal: StartTerminal) -> None:
    terminal = start_terminal(TerminalSpec())
    terminal.cut()
    with pytest.raises(TimeoutError):
        socket.create_connection((terminal.address, terminal.port), timeout=0.5)
    terminal.heal()
    assert as_root(terminal, "echo back") == "back\n"


@pytest.mark.parametrize("init", ["sysvinit", "systemd"])
def test_a_terminal_of_a_killed_run_is_removed_with_its_mounts_cable_and_control_group(
    start_terminal: StartTerminal, tmp_path: Path, init: Init
) -> None:
    start_terminal(TerminalSpec(init=init))  # skips here, with its reason, where terminals cannot run
    code = "from tests.harness import terminals\n"
    code += f"held = terminals.start(terminals.TerminalSpec(init={init!r}))\nterminal = held.__enter__()\n"
    code += "print(terminal._pid, terminal.folder, terminal.address, flush=True)"
    pid, folder, address = killed_run(code, tmp_path)
    assert running(int(pid))
    assert address in process.run(["ip", "neighbour"])
    assert control_groups(tmp_path).count(Path(folder).name) == (init == "systemd")
    with workdir.workdir("check", tmp_path):
        process.wait_until(lambda: not running(int(pid)), within=60, what="init ended")
    assert not Path(folder).exists()
    assert folder not in Path("/proc/self/mountinfo").read_text()
    assert address not in process.run(["ip", "neighbour"])
    assert Path(folder).name not in control_groups(tmp_path)


def control_groups(folder: Path) -> list[str]:
    """The working folders whose terminals have a control group now."""
    top = folder / "groups"
    top.mkdir()
    process.run(["mount", "-t", "cgroup2", "check", top])
    try:
        return [path.name.removeprefix("flagee-") for path in top.glob("flagee-*")]
    finally:
        process.run(["umount", top])
        top.rmdir()


# Cheap servers and strange ones


@pytest.mark.parametrize(
    ("offer", "old"), [(MODERN, False), (LEGACY_RSA, True), (LEGACY_DSS, True)], ids=["now", "rsa", "dss"]
)
def test_a_cheap_sshd_runs_commands_without_any_right(
    client_key: KeyPair, client_rsa_key: KeyPair, offer: Offer, old: bool
) -> None:
    key = client_rsa_key if old else client_key
    with sshd.openssh([key.public], offer) as server:
        said = ssh(
            server.address,
            server.port,
            "id -un; sudo -n id",
            username=server.user,
            client_keys=[str(key.path)],
            old=old,
        )
    assert said.startswith(f"{server.user}\n")
    assert "uid=0" not in said


def test_dropbear_lets_a_known_key_in(client_key: KeyPair) -> None:
    with sshd.dropbear([client_key.public]) as server:
        assert (
            ssh(server.address, server.port, "id -un", username=server.user, client_keys=[str(client_key.path)])
            == "terminal\n"
        )


def test_a_relay_adds_a_greeting_or_cuts_in_the_middle(client_key: KeyPair) -> None:
    login: dict[str, Any] = {"username": sshd.USER, "client_keys": [str(client_key.path)]}
    with sshd.openssh([client_key.public]) as server:
        with weird.serving(weird.relaying(server.address, server.port, first="Atenção\r\n".encode("latin-1"))) as port:
            assert ssh(ports.LOOPBACK, port, "echo through", **login) == "through\n"
        cut = weird.relaying(server.address, server.port, cut_after=1500)
        with weird.serving(cut) as port, pytest.raises((OSError, asyncssh.Error)):
            ssh(ports.LOOPBACK, port, "echo through", **login)


def _nothing(connection: socket.socket) -> bytes:
    with pytest.raises(TimeoutError):
        connection.recv(1)
    return b""


@pytest.mark.parametrize(
    ("behaviour", "seen", "receive"),
    [
        (weird.silent, b"", _nothing),
        (weird.dripping(b"SSH", every=0.01), b"S", lambda connection: connection.recv(1)),
        (weird.saying(b"SSH-2.0-Servi\xe7o\r\n"), b"SSH-2.0-Servi\xe7o\r\n", lambda connection: connection.recv(100)),
        (
            weird.flooding(b"x" * 99),
            b"x" * 9,
            lambda connection: [connection.recv(9) for _ in range(9999)][-1],
        ),
    ],
    ids=["silent", "dripping", "saying", "flooding"],
)
def test_a_faulty_server_shows_the_requested_fault(
    behaviour: weird.Behaviour, seen: bytes, receive: Callable[[socket.socket], bytes]
) -> None:
    with weird.serving(behaviour) as port, socket.create_connection((ports.LOOPBACK, port)) as connection:
        connection.settimeout(0.3 if not seen else 10)
        assert receive(connection) == seen
