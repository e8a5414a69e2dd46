"""The simulated terminals at work: real SSH connections, real scripts, real namespaces."""

import asyncio
import contextlib
import datetime as dt
import gc
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import asyncssh
import pytest

from demo.terminals import NotStartedError, fleet, running, userland
from demo.terminals.isolation import METHODS
from demo.terminals.profiles import Terminal, alike, load
from demo.terminals.server import Terminals, serve
from tests.harness.cache import cached
from tests.harness.need import need, need_program
from tests.harness.process import wait_until

# Servers of 2010 speak no key exchange that is not on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:Diffie-Hellman over finite fields")

TERMINALS = {terminal.id: terminal for terminal in load()}
MODERN = {
    "kex_algs": ["curve25519-sha256"],
    "encryption_algs": ["aes256-ctr"],
    "mac_algs": ["hmac-sha2-256"],
    "server_host_key_algs": ["rsa-sha2-256"],
}
OLD = {
    "kex_algs": ["diffie-hellman-group1-sha1"],
    "encryption_algs": ["3des-cbc"],
    "mac_algs": ["hmac-md5"],
    "server_host_key_algs": ["ssh-rsa"],
}


@pytest.fixture(scope="module", params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    """Each way of making boxes."""
    name: str = request.param
    need_program(METHODS[name], {"bubblewrap": "bubblewrap", "unshare": "util-linux"}[name])
    return name


@pytest.fixture(scope="module")
def cache() -> Path:
    """A folder with an i386 busybox where it can be had."""
    need_program("busybox", "busybox")
    return cached("busybox-i386", {"version": 1}, lambda folder: logging.info(userland.fetch(32, folder)))


@dataclass(frozen=True)
class Floor:
    """Running terminals, and how to reach them."""

    terminals: Terminals
    folder: Path

    @contextlib.asynccontextmanager
    async def login(self, name: str, **options: Any) -> AsyncIterator[asyncssh.SSHClientConnection]:
        """A connection to the terminal `name` with what was noted down for it."""
        terminal = next(each for each in self.terminals.terminals if each.id == name)
        noted = json.loads(self.terminals.credentials.path.read_bytes())
        entry = noted.get(name) or noted["fleet"]
        if terminal.profile.system.ssh == "openssh-5":
            options = {**OLD, **options}
        settings: dict[str, Any] = {
            "username": entry["user"],
            "password": entry.get("password"),
            "client_keys": [entry["key"]] if "key" in entry else None,
            "known_hosts": None,
            "config": None,
            "agent_path": None,
            "connect_timeout": 20,
            **options,
        }
        async with asyncssh.connect(terminal.address, self.terminals.listeners.port, **settings) as connection:
            yield connection

    async def ask(self, name: str, script: str, command: str = "exec /bin/sh -s", **options: Any) -> "Said":
        """What the terminal `name` says to `script`."""
        async with self.login(name, **options) as connection:
            given = {"input": script} if script else {"stdin": asyncssh.DEVNULL}
            done = await connection.run(command, **given)
            return Said(str(done.stdout), str(done.stderr), done.returncode)

    def events(self, name: str) -> list[str]:
        """What the log says about the terminal `name`."""
        lines = [json.loads(line) for line in (self.folder / "events.jsonl").read_text().splitlines()]
        return [line["event"] for line in lines if line["id"] == name]


@dataclass(frozen=True)
class Said:
    out: str
    err: str
    status: int | None


def on_floor(
    folder: Path,
    cache: Path,
    test: Callable[[Floor], Awaitable[None]],
    terminals: Sequence[Terminal] = (),
    **options: Any,
) -> None:
    """Run `test` with the demo's terminals (or these) running in `folder`."""

    async def run() -> None:
        async with serve(terminals or tuple(TERMINALS.values()), folder, cache=cache, **options) as started:
            assert started.rooms.method or options.get("methods") == (), started.rooms.notes
            async with asyncio.timeout(60):
                await test(Floor(started, folder))

    asyncio.run(run())


# -- honest answers ------------------------------------------------------------------------------------------------------

RELEASES = "/etc/slackware-version /etc/linuxmint/info /etc/os-release"
FACTS = f"uname -m; id -un; hostname; pwd; cat {RELEASES} 2>/dev/null | head -n 1; date +%Z"
THERE = dt.datetime.now(ZoneInfo("America/New_York")).tzname()  # EST or EDT, as the season has it
HONEST = {
    "slackware": f"i686 root DEMO-LOJA001-PDV201 /root Slackware 13.37.0 {THERE}",
    "ubuntu-old": f'x86_64 pdv DEMO-LOJA001-PDV202 /home/pdv NAME="Ubuntu" {THERE}',
    "ubuntu": 'x86_64 pdv DEMO-LOJA001-PDV203 /home/pdv PRETTY_NAME="Ubuntu 22.04.5 LTS" -03',
    "mint": f"x86_64 pdv DEMO-LOJA001-PDV204 /home/pdv RELEASE=17.3 {THERE}",
    "unknown": f'x86_64 root DEMO-LOJA001-PDV205 /root NAME="TillOS" {THERE}',
    "zanthus": f'x86_64 pdv DEMO-LOJA002-PDV204 /home/pdv PRETTY_NAME="Ubuntu 22.04.5 LTS" {THERE}',
    "concentrator": f'x86_64 root DEMO-LOJA001-CONCENTRADOR /root PRETTY_NAME="Ubuntu 22.04.5 LTS" {THERE}',
}


def test_every_terminal_answers_as_its_profile_says(tmp_path: Path, cache: Path, method: str) -> None:
    async def test(floor: Floor) -> None:
        said = await asyncio.gather(*(floor.ask(name, FACTS) for name in HONEST))
        assert {name: " ".join(each.out.split("\n")).strip() for name, each in zip(HONEST, said, strict=True)} == HONEST

    on_floor(tmp_path, cache, test, methods=(method,))


def test_slackware_has_a_true_32_bit_userland(tmp_path: Path, cache: Path) -> None:
    need(userland.busybox(32, cache), "an i386 busybox", "it comes from Debian's packages, which must be reachable")

    async def test(floor: Floor) -> None:
        elf_class = "od -An -tu1 -j4 -N1 /proc/$$/exe"
        assert (await floor.ask("slackware", elf_class)).out.split() == ["1"]
        assert (await floor.ask("mint", elf_class)).out.split() == ["2"]

    on_floor(tmp_path, cache, test)


def test_without_an_i386_busybox_a_terminal_reports_it_and_only_its_kernel_claims_i686(tmp_path: Path) -> None:
    need_program("busybox", "busybox")

    async def test(floor: Floor) -> None:
        assert any("only says i686" in note for note in floor.terminals.ready()["notes"])  # type: ignore[attr-defined]
        assert (await floor.ask("slackware", "uname -m; od -An -tu1 -j4 -N1 /proc/$$/exe")).out.split() == ["i686", "2"]

    on_floor(tmp_path, tmp_path / "empty", test)


def test_release_and_clock_tools_print_what_their_system_prints(tmp_path: Path, cache: Path) -> None:
    async def test(floor: Floor) -> None:
        assert (await floor.ask("mint", "lsb_release -sir")).out.split() == ["LinuxMint", "17.3"]
        assert "Timezone: America/New_York" in (await floor.ask("ubuntu-old", "timedatectl status")).out
        assert "Time zone: America/Sao_Paulo (-03, -0300)" in (await floor.ask("ubuntu", "timedatectl")).out
        refused = await floor.ask("ubuntu", "timedatectl set-timezone America/Bahia")
        assert (refused.status, refused.err) == (1, "Access denied\n")
        changed = await floor.ask(
            "ubuntu", "sudo timedatectl set-timezone America/Bahia && readlink /etc/localtime && cat /etc/timezone"
        )
        assert changed.out.split() == ["/usr/share/zoneinfo/America/Bahia", "America/Bahia"]
        assert (await floor.ask("ubuntu", "sudo timedatectl set-timezone No/Where")).status == 1
        assert (await floor.ask("ubuntu", "systemctl is-active systemd-timesyncd")).out == "inactive\n"
        assert (await floor.ask("ubuntu", "sudo systemctl enable --now systemd-timesyncd.service")).status == 0
        assert (await floor.ask("ubuntu", "systemctl is-active systemd-timesyncd")).out == "active\n"
        assert (await floor.ask("slackware", "command -v sudo timedatectl lsb_release systemctl")).out == ""

    on_floor(tmp_path, cache, test)


# -- nothing gets out ----------------------------------------------------------------------------------------------------


def test_removing_everything_damages_only_that_terminal(tmp_path: Path, cache: Path, method: str) -> None:
    canary = tmp_path / "canary"
    canary.write_text("alive")

    async def test(floor: Floor) -> None:
        everything = (
            "rm -rf / /* /../* " + str(tmp_path) + " /mnt /home /etc 2>/dev/null; ls /etc /posnet 2>&1; echo gone"
        )
        await floor.ask("zanthus", "true")  # its box and tree are there already
        said = await floor.ask("slackware", everything)
        assert said.out.endswith("gone\n")
        assert "slackware-version" not in said.out
        sudo = floor.terminals.credentials.noted("mint").get_secret_value()
        wiped = await floor.ask("mint", f"{sudo}\n", f"sudo -S -p '' sh -c '{everything}'")
        assert wiped.out.endswith("gone\n")
        assert "os-release" not in wiped.out
        # what it was done in still runs, on read-only programs, and has lost its files
        assert (
            await floor.ask("slackware", "cat /etc/slackware-version || echo lost; touch /tmp/new && echo writable")
        ).out == "lost\n"
        # nobody else has lost anything
        for name in ("zanthus", "ubuntu-old", "concentrator"):
            assert "Ubuntu" in (await floor.ask(name, "cat /etc/os-release")).out
        assert canary.read_text() == "alive"
        assert floor.terminals.credentials.path.exists()

    on_floor(tmp_path / "floor", cache, test, methods=(method,))
    assert canary.read_text() == "alive"
    assert Path("/etc/passwd").exists()


ESCAPES = {
    "a path of the machine": "cat {canary}",
    "the folder that holds all terminals": "ls /mnt/trees /mnt/bases",
    "a kernel setting": "(: >>/proc/sys/kernel/core_pattern)",
    "the kernel's emergency keys": "(: >>/proc/sysrq-trigger)",
    "the programs all share": "echo x >/bin/busybox",
    "remounting them": "mount -o remount,rw,bind /bin",
    "remounting them elsewhere": "unshare -m mount -o remount,rw,bind /bin",
    "unmounting them": "unshare -m umount /bin",
    "a new proc": "unshare -mp mount -t proc proc /proc",
    "the way over the first process": "cat /proc/1/root{canary} || ls /proc/1/cwd/mnt/trees",
    "the first process": "kill -KILL 1 && ! kill -0 1",
    "the mode of a device": "chmod 600 /dev/null",
    "a device of its own": "mknod /tmp/disk b 8 0",
    "the network": "ping -c 1 -W 1 127.77.0.14 && wget -q -O - http://127.77.0.14:{port}/",
}


def test_root_in_a_terminal_reaches_nothing_outside_it(tmp_path: Path, cache: Path, method: str) -> None:
    canary = tmp_path / "canary"
    canary.write_text("alive")
    canary.chmod(0o644)

    async def test(floor: Floor) -> None:
        for what, attempt in ESCAPES.items():
            script = attempt.format(canary=canary, port=floor.terminals.listeners.port)
            said = await floor.ask("unknown", f"({script}) 2>&1")
            assert said.status != 0, f"{what}: {said}"
        assert (await floor.ask("unknown", "ls /")).out.split() == [
            *(
                "bin",
                "dev",
                "etc",
                "lib",
                "lib32",
                "lib64",
                "posnet",
                "proc",
                "root",
                "run",
                "sbin",
                "tmp",
                "usr",
                "var",
            )
        ]

    on_floor(tmp_path / "floor", cache, test, methods=(method,))
    assert Path("/dev/null").stat().st_mode & 0o777 == 0o666


def test_no_process_and_no_file_is_left_when_the_terminals_stop(tmp_path: Path, cache: Path, method: str) -> None:
    async def test(floor: Floor) -> None:
        await asyncio.gather(*(floor.ask(name, "(sleep 1000 </dev/null >/dev/null 2>&1 &) ; echo") for name in HONEST))
        assert processes_mentioning("DEMO-LOJA")

    before = set(tmp_path.parent.iterdir())
    on_floor(tmp_path / "floor", cache, test, methods=(method,))
    wait_until(lambda: not processes_mentioning("DEMO-LOJA"), within=60, what="no process left")
    assert {path.name for path in (tmp_path / "floor").iterdir()} == {
        "credentials.json",
        "events.jsonl",
        "keys",
        "lock",
    }
    assert set(tmp_path.parent.iterdir()) == before


def processes_mentioning(word: str) -> list[str]:
    """Command lines of our own child processes, and theirs, that hold `word`."""
    listed = subprocess.run(
        ["ps", "-e", "-ww", "-o", "pid=,ppid=,args="], check=True, capture_output=True, text=True
    ).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    ours = {str(os.getpid())}
    for _ in rows:
        ours |= {pid for pid, parent, _ in rows if parent in ours}
    return [args for pid, _, args in rows if pid in ours and word in args]


# -- becoming root -------------------------------------------------------------------------------------------------------

HANDSHAKE = (
    "exec sudo -S -p 'M?' -- /bin/sh -c "
    '\'printf "%s\\n" Mgo; while IFS= read -r l; do [ "$l" = M ] && exec /bin/sh -s; done; exit 97\''
)
RIGHT = "{password}"
SUDO = {
    "asked not to ask": ("mint", "sudo -n id -u", "", 1, "", "sudo: a password is required\n"),
    "asked not to ask, and need not": ("ubuntu", "sudo -n id -u", "", 0, "0\n", ""),
    "no terminal to read from": ("mint", "sudo id -u", "", 1, "", "sudo: a terminal is required"),
    "right password": ("mint", "sudo -S -p pw: id -u", f"{RIGHT}\n", 0, "0\n", "pw:"),
    "the usual prompt": ("mint", "sudo -S id -u", f"{RIGHT}\n", 0, "0\n", "[sudo] password for pdv: "),
    "second try": ("mint", "sudo -S -p pw: id -u", f"x\n{RIGHT}\n", 0, "0\n", "pw:Sorry, try again.\npw:"),
    "three wrong": (
        *("mint", "sudo -S -p '' id -u", "a\nb\nc\nd\n", 1, ""),
        "Sorry, try again.\nSorry, try again.\nsudo: 3 incorrect password attempts\n",
    ),
    "input that ends": (
        "mint",
        "sudo -S -p pw: id -u",
        "",
        1,
        "",
        "pw:\nsudo: no password was provided\nsudo: a password is required\n",
    ),
    "a user who may not": (
        "no-sudo",
        "sudo -S -p '' id -u",
        f"{RIGHT}\n",
        1,
        "",
        "sudo: pdv is not in the sudoers file.",
    ),
    "the rest of the input is the command's": ("mint", "sudo -S -p '' cat", f"{RIGHT}\nrest\n", 0, "rest\n", ""),
    "a command that is not there": ("ubuntu", "sudo -n nothing", "", 1, "", "sudo: nothing: command not found\n"),
    "exit status": ("ubuntu", "sudo -n sh -c 'exit 5'", "", 5, "", ""),
    "an environment of its own": ("ubuntu", "A=b sudo -n sh -c 'echo $A$HOME $SUDO_USER'", "", 0, "/root pdv\n", ""),
    "only validating": ("mint", "sudo -S -p '' -v", f"{RIGHT}\n", 0, "", ""),
    "only forgetting": ("mint", "sudo -k", "", 0, "", ""),
    "root already": ("concentrator", "sudo -n id -u", "", 0, "0\n", ""),
    "the engine's way in": ("mint", HANDSHAKE, f"{RIGHT}\nM\nid -u; exit 4\n", 4, "Mgo\n0\n", "M?"),
    "the engine's way in, not asked": ("ubuntu", HANDSHAKE, "unused\nM\nid -u\n", 0, "Mgo\n0\n", ""),
}


def test_sudo_behaves_like_sudo(tmp_path: Path, cache: Path, method: str) -> None:
    async def test(floor: Floor) -> None:
        for what, (name, command, given, status, out, err) in SUDO.items():
            password = floor.terminals.credentials.noted(name).get_secret_value()
            said = await floor.ask(name, given.replace(RIGHT, password), command)
            assert (said.status, said.out) == (status, out), f"{what}: {said}"
            assert said.err.startswith(err) if err else not said.err, f"{what}: {said}"

    on_floor(tmp_path, cache, test, methods=(method,))


def test_only_root_changes_what_belongs_to_root(tmp_path: Path, cache: Path, method: str) -> None:
    async def test(floor: Floor) -> None:
        said = await floor.ask(
            "ubuntu",
            "for f in /etc/new /posnet/new /etc/timezone /root/new; do (echo x >$f) 2>/dev/null && echo wrote $f; done; "
            "cat /etc/shadow 2>/dev/null; ls /root 2>/dev/null; "
            "echo mine >~/mine && cat ~/mine; echo tmp >/tmp/mine && cat /tmp/mine",
        )
        assert said.out.split() == ["mine", "tmp"]
        assert (
            await floor.ask("ubuntu", "sudo -n sh -c 'echo x >/etc/new; echo x >/posnet/new' && cat /etc/new")
        ).out == "x\n"

    on_floor(tmp_path, cache, test, methods=(method,))


def test_every_way_to_log_in_works_and_others_do_not(tmp_path: Path, cache: Path) -> None:
    async def test(floor: Floor) -> None:
        for name in ("mint", "ubuntu-old", "ubuntu"):
            assert (await floor.ask(name, "id -un")).out == "pdv\n"
        refused: dict[str, dict[str, Any]] = {
            "mint": {"password": "wrong"},
            "ubuntu-old": {"preferred_auth": "password"},
            "ubuntu": {"client_keys": [asyncssh.generate_private_key("ssh-ed25519")]},
            "locked": {},
        }
        for name, options in refused.items():
            with pytest.raises(asyncssh.PermissionDenied):
                await floor.ask(name, "id", **options)
        assert floor.events("locked")[:2] == ["connected", "login refused"]
        assert "command" not in floor.events("locked")

    on_floor(tmp_path, cache, test)


# -- connections that go wrong -------------------------------------------------------------------------------------------


def test_old_servers_need_old_algorithms(tmp_path: Path, cache: Path) -> None:
    async def test(floor: Floor) -> None:
        assert (await floor.ask("slackware", "id -un")).out == "root\n"
        for kind, algorithms in MODERN.items():
            offer: dict[str, Any] = {kind: algorithms}
            with pytest.raises((asyncssh.KeyExchangeFailed, asyncssh.DisconnectError)):
                await floor.ask("slackware", "id", **offer)

    on_floor(tmp_path, cache, test)


def test_a_terminal_that_is_off_refuses_and_one_that_hangs_says_nothing(tmp_path: Path, cache: Path) -> None:
    async def test(floor: Floor) -> None:
        port = floor.terminals.listeners.port
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(TERMINALS["off"].address, port)
        reader, writer = await asyncio.open_connection(TERMINALS["hung"].address, port)
        writer.write(b"SSH-2.0-someone\r\n")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await reader.read(1)
        writer.close()
        assert floor.events("hung") == ["connected"]

    on_floor(tmp_path, cache, test)


def test_a_flood_is_a_hundred_megabytes_and_delays_no_other(tmp_path: Path, cache: Path) -> None:
    async def test(floor: Floor) -> None:
        async with floor.login("flood") as connection:
            process = await connection.create_process("exec /bin/sh -s", encoding=None)
            assert (await floor.ask("unknown", "echo beside it")).out == "beside it\n"
            size = 0
            while chunk := await process.stdout.read(1 << 20):
                size += len(chunk)
            assert size > 100_000_000
        async with floor.login("flood") as connection:
            process = await connection.create_process("exec /bin/sh -s", encoding=None)
            await process.stdout.read(1000)
            connection.abort()
        assert (await floor.ask("unknown", "echo still here")).out == "still here\n"

    on_floor(tmp_path, cache, test)


def test_many_connections_at_once_each_get_their_own_answer(tmp_path: Path, cache: Path) -> None:
    async def test(floor: Floor) -> None:
        names = [*HONEST] * 8
        said = await asyncio.gather(*(floor.ask(name, f"echo {n}; hostname") for n, name in enumerate(names)))
        assert [each.out for each in said] == [f"{n}\n{TERMINALS[name].hostname}\n" for n, name in enumerate(names)]

    on_floor(tmp_path, cache, test)


def test_a_second_connection_kills_the_process_group_of_the_first(tmp_path: Path, cache: Path, method: str) -> None:
    async def test(floor: Floor) -> None:
        async with floor.login("ubuntu") as first:
            process = await first.create_process("exec /bin/sh -s")
            process.stdin.write("(trap '' TERM; sleep 1000) & echo $$; wait\n")
            process.stdin.write_eof()
            group = (await process.stdout.readline()).strip()
            assert (await floor.ask("ubuntu", f"kill -KILL -{group}")).status == 0
            done = await process.wait()
            assert (done.exit_signal or ("",))[0] == "KILL"
            left = await floor.ask("ubuntu", "ps -o pid,args | grep 'sleep 1[0]00'")
            assert left.out == ""

    on_floor(tmp_path, cache, test, methods=(method,))


def test_a_signal_reaches_a_script_whose_input_has_ended(tmp_path: Path, cache: Path) -> None:
    async def test(floor: Floor) -> None:
        async with floor.login("unknown") as connection:
            process = await connection.create_process("exec /bin/sh -s")
            process.stdin.write("echo started; sleep 1000 & wait\n")
            process.stdin.write_eof()
            assert await process.stdout.readline() == "started\n"
            process.send_signal("KILL")
            done = await process.wait()
            assert (done.exit_signal or ("",))[0] == "KILL"
        assert (await floor.ask("unknown", "ps -o args | grep 'sleep 1[0]00'")).out == ""

    on_floor(tmp_path, cache, test)


def test_a_command_continues_when_its_connection_is_cut(tmp_path: Path, cache: Path) -> None:
    async def test(floor: Floor) -> None:
        async with floor.login("unknown") as connection:
            process = await connection.create_process("exec /bin/sh -s")
            process.stdin.write("echo started; sleep 0.5; touch /tmp/finished\n")
            assert await process.stdout.readline() == "started\n"
            connection.abort()
        await asyncio.sleep(0.1)
        gc.collect()  # nobody but the terminal holds the command any more
        assert (
            await floor.ask("unknown", "while [ ! -e /tmp/finished ]; do sleep 0.1; done; echo finished")
        ).out == "finished\n"

    on_floor(tmp_path, cache, test)


# -- power ---------------------------------------------------------------------------------------------------------------


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 -- a state of another object, asked for until it comes
        await asyncio.sleep(0.02)


async def silent(floor: Floor, name: str) -> bool:
    """Nothing comes back, not even a refusal: that would be a machine without a server."""
    try:
        async with asyncio.timeout(2):
            _, writer = await asyncio.open_connection(TERMINALS[name].address, floor.terminals.listeners.port)
    except TimeoutError:
        return True
    writer.close()
    return False


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("slackware", "/sbin/shutdown -h now"),
        ("ubuntu", "sudo -n shutdown -P now"),
        ("unknown", "poweroff"),
        ("ubuntu", "sudo -n halt"),
    ],
)
def test_shutdown_takes_down_that_terminal_and_no_other(
    tmp_path: Path, cache: Path, method: str, name: str, command: str
) -> None:
    async def test(floor: Floor) -> None:
        async with floor.login(name) as connection:
            assert (await connection.run("exec /bin/sh -s", input="touch /tmp/kept")).returncode == 0
            assert (await connection.run("exec /bin/sh -s", input=command)).returncode == 0
            await connection.wait_closed()
        assert not floor.terminals.is_on(name)
        assert await silent(floor, name)
        assert floor.events(name)[-1] == "power off"
        assert (await floor.ask("mint", "echo on")).out == "on\n"
        floor.terminals.power_on(name)
        assert (await floor.ask(name, "ls /tmp")).out == "kept\n"

    on_floor(tmp_path, cache, test, methods=(method,))


def test_a_reboot_goes_down_and_comes_back(tmp_path: Path, cache: Path) -> None:
    async def test(floor: Floor) -> None:
        assert (await floor.ask("unknown", "reboot")).status == 0
        await until(lambda: not floor.terminals.is_on("unknown"))
        await until(lambda: floor.terminals.is_on("unknown"))
        assert (await floor.ask("unknown", "echo back")).out == "back\n"

    on_floor(tmp_path, cache, test)


NOT_DOWN = {
    "not root": ("ubuntu", "/sbin/shutdown -h now", 1, "shutdown: Need to be root\n"),
    "only a warning": ("unknown", "shutdown -k now", 0, ""),
    "in an hour": ("unknown", "shutdown -h +60", 0, ""),
    "at a time": ("unknown", "shutdown -h 23:50", 1, "shutdown: this simulated terminal understands"),
}


def test_what_is_not_a_shutdown_now_leaves_the_terminal_on(tmp_path: Path, cache: Path) -> None:
    async def test(floor: Floor) -> None:
        for what, (name, command, status, err) in NOT_DOWN.items():
            said = await floor.ask(name, command)
            assert said.status == status, f"{what}: {said}"
            assert said.err.startswith(err), f"{what}: {said}"
        await asyncio.sleep(1.5)
        for name, *_ in NOT_DOWN.values():
            assert (await floor.ask(name, "echo on")).out == "on\n"

    on_floor(tmp_path, cache, test)


# -- host keys -----------------------------------------------------------------------------------------------------------


def test_host_keys_stay_between_runs_until_one_is_rotated(tmp_path: Path, cache: Path) -> None:
    seen: list[dict[str, bytes]] = []

    async def test(floor: Floor) -> None:
        keys = {}
        for name in ("mint", "unknown", "slackware"):
            async with floor.login(name) as connection:
                key = connection.get_server_host_key()
                assert key
                keys[name] = key.public_data
        seen.append(keys)

    for rotate in ((), (), ("mint",)):
        on_floor(tmp_path, cache, test, rotate=rotate)
    first, second, third = seen
    assert len(set(first.values())) == 3
    assert first == second
    assert [name for name in first if first[name] != third[name]] == ["mint"]


# -- remembered answers, fleets ------------------------------------------------------------------------------------------


def test_remembered_answers_follow_the_state_of_each_terminal(tmp_path: Path, cache: Path) -> None:
    crowd = alike(TERMINALS["unknown"].profile, 5)

    async def test(floor: Floor) -> None:
        look, write = (
            "echo {marker}; hostname; cat /etc/note || echo none",
            "echo {marker} >/dev/null; echo written >/etc/note",
        )

        async def ask(number: int, script: str) -> list[str]:
            marker = os.urandom(16).hex()
            said = await floor.ask(f"till-{number}", script.format(marker=marker))
            assert marker in said.out or script is write
            return said.out.split()[1:]

        for number in range(3):
            assert await ask(number, look) == [crowd[number].hostname, "none"]
        await ask(1, write)
        assert await ask(0, look) == [crowd[0].hostname, "none"]
        assert await ask(1, look) == [crowd[1].hostname, "written"]
        await ask(2, write)
        assert await ask(2, look) == [crowd[2].hostname, "written"]
        with pytest.raises(OSError, match=r"."):  # no such terminal
            await asyncssh.connect("127.64.9.9", floor.terminals.listeners.port, known_hosts=None, config=None)

    on_floor(tmp_path, cache, test, crowd, fleet=True, memoised=True, recorded=tmp_path / "answers.json")

    async def replay(floor: Floor) -> None:
        assert (await floor.ask("till-4", f"echo {'ab' * 16}; hostname; cat /etc/note || echo none")).out.split()[
            1:
        ] == [
            crowd[4].hostname,
            "none",
        ]
        unknown = await floor.ask("till-4", "echo never asked before")
        assert (unknown.status, unknown.out) == (125, "")
        assert "never recorded" in unknown.err

    on_floor(tmp_path, cache, replay, crowd, fleet=True, methods=(), recorded=tmp_path / "answers.json")


@pytest.mark.parametrize("memoised", [False, True])
def test_a_fleet_answers_in_a_process_of_its_own(tmp_path: Path, memoised: bool) -> None:
    need_program("busybox", "busybox")

    async def ask(ready: list[dict[str, Any]], noted: dict[str, str]) -> list[str]:
        async def one(terminal: dict[str, Any]) -> str:
            async with asyncssh.connect(
                *(terminal["address"], terminal["port"]),
                username=noted["user"],
                password=noted["password"],
                known_hosts=None,
                config=None,
            ) as connection:
                return str((await connection.run("exec /bin/sh -s", input="hostname")).stdout).strip()

        return await asyncio.gather(*(one(terminal) for terminal in ready))

    with fleet(200, tmp_path, memoised=memoised) as ready:
        chosen = ready.terminals[::20]
        assert len(ready.terminals) == 200
        assert asyncio.run(ask(chosen, ready.credentials["fleet"])) == [terminal["hostname"] for terminal in chosen]
    assert not (tmp_path / "yard").exists()


# -- the command ---------------------------------------------------------------------------------------------------------


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    def run(*options: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "demo.terminals", "--folder", str(tmp_path / "floor"), *options]
        return subprocess.run(argv, check=False, capture_output=True, text=True, timeout=30)

    return run


def test_the_command_prints_one_line_when_ready_and_cleans_up_after_a_signal(tmp_path: Path) -> None:
    need_program("busybox", "busybox")
    with running(tmp_path / "floor", "--only", "mint,off", "--ready-file", str(tmp_path / "ready")) as ready:
        assert [(t["id"], t["address"], t["user"], t["hostname"]) for t in ready.terminals] == [
            ("mint", "127.77.0.14", "pdv", "DEMO-LOJA001-PDV204"),
            ("off", "127.77.0.16", "root", "DEMO-LOJA002-PDV201"),
        ]
        wait_until((tmp_path / "ready").exists, within=60, what="ready file")
        assert json.loads((tmp_path / "ready").read_text()) == ready.document
        assert set(ready.credentials) == {"mint", "off"}
        port = ready.terminals[0]["port"]
        socket.create_connection(("127.77.0.14", port), timeout=5).close()
        with pytest.raises(NotStartedError), running(tmp_path / "floor"):
            pytest.fail("two runs in one folder")
    assert not (tmp_path / "ready").exists()
    assert {path.name for path in (tmp_path / "floor").iterdir()} == {
        "credentials.json",
        "events.jsonl",
        "keys",
        "lock",
    }


def test_a_killed_command_ends_its_sandboxes(tmp_path: Path, method: str) -> None:
    need_program("busybox", "busybox")
    with running(tmp_path, "--fleet", "3", "--isolation", method) as ready:
        noted = ready.credentials["fleet"]

        async def start() -> None:
            async with asyncssh.connect(
                *(ready.terminals[0]["address"], ready.terminals[0]["port"]),
                username=noted["user"],
                password=noted["password"],
                known_hosts=None,
                config=None,
            ) as connection:
                await connection.run("(sleep 1000 </dev/null >/dev/null 2>&1 &)")

        asyncio.run(start())
        below = processes_mentioning("BENCH-LOJA001-PDV201")
        assert below
        os.kill(ready.pid, signal.SIGKILL)
    everywhere = ["pgrep", "-f", "BENCH-LOJA001-PDV201"]
    need(shutil.which("pgrep"), "pgrep", "apt-get install procps")
    wait_until(
        lambda: subprocess.run(everywhere, check=False, capture_output=True).returncode == 1,
        within=60,
        what="boxes gone",
    )


def test_arguments_that_make_no_sense_are_named(command: Command) -> None:
    unknown = command("--only", "mint,nobody")
    assert unknown.returncode == 2
    assert 'no terminal "nobody"; there are: slackware,' in unknown.stderr
    missing = command("--profiles", "/nowhere.yaml")
    assert (missing.returncode, "/nowhere.yaml" in missing.stderr) == (2, True)
    with socket.socket() as taken:
        taken.bind(("127.77.0.14", 0))
        taken.listen()
        busy = command("--only", "mint", "--port", str(taken.getsockname()[1]))
    assert (busy.returncode, "could not be started" in busy.stderr) == (1, True)
