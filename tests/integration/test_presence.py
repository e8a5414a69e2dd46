"""Whether real machines are there: kernels that refuse, kernels that are silent, and lines that are cut."""

from __future__ import annotations

import ipaddress
import sys

import pytest

from runtime.adapters.presence.ask import ask
from runtime.adapters.presence.watch import NetworkWatch
from runtime.domain.departure import Departure, Sign
from runtime.domain.witnesses import Witness
from tests.harness import process
from tests.harness.fixtures import StartTerminal
from tests.harness.need import need_program, need_root
from tests.harness.terminals import Account, Terminal, TerminalSpec
from tests.integration.ssh_parts import a_host, a_remote, password, run

SHUT_PORT = 10050  # nothing listens there on the terminals of these tests


def gateway_of(terminal: Terminal) -> Witness:
    """This machine's end of the terminal's cable: it stays when the terminal goes."""
    return Witness("gateway", str(ipaddress.ip_address(terminal.address) - 1), (22, 80))


@pytest.fixture
def terminal(start_terminal: StartTerminal) -> Terminal:
    return start_terminal(TerminalSpec(accounts=(Account("root", "terminal"),)))


def departure(terminal: Terminal, *witnesses: Witness, settle: float = 20.0, silence: float = 5.0) -> Departure:
    watch = NetworkWatch(["10.0.0.0/8"], silence=silence)
    return run(watch.departure(a_host(terminal.address, terminal.port), witnesses, settle))


def test_a_living_machine_answers_as_documented(terminal: Terminal) -> None:
    assert run(ask(terminal.address, (SHUT_PORT,))) in (Sign.REFUSED, Sign.ECHO)
    assert run(ask(terminal.address, (terminal.port,))) in (Sign.ACCEPTED, Sign.ECHO)
    terminal.cut()
    assert run(ask(terminal.address, (terminal.port, SHUT_PORT))) is Sign.SILENT


def test_no_route_to_host_is_silence_and_no_answer(terminal: Terminal) -> None:
    """On the same network no router answers for a machine that is off: the error is the kernel's own, and fast."""
    device = process.run(["ip", "-brief", "route", "get", terminal.address]).split()[2]
    terminal.cut()
    process.run(["ip", "neighbour", "del", terminal.address, "dev", device])
    assert run(ask(terminal.address, (terminal.port, SHUT_PORT))) is Sign.SILENT
    assert departure(terminal, gateway_of(terminal), settle=5).state == "gone"


def test_a_machine_whose_server_was_stopped_is_on(terminal: Terminal) -> None:
    async def stop() -> None:
        async with a_remote(password("root", "terminal")).connect(
            a_host(terminal.address, terminal.port), deadline=20
        ) as session:
            await session.run([("step:0", "kill $(cat /run/sshd.pid)")], timeout=10, privileged=True)

    run(stop())
    seen = departure(terminal, gateway_of(terminal), settle=8)
    assert seen.state == "there"
    assert seen.sign in (Sign.REFUSED, Sign.ECHO)
    assert terminal.alive()


def test_a_machine_that_shuts_down_is_gone_while_the_store_s_gateway_answers(terminal: Terminal) -> None:
    async def scene() -> Departure:
        host = a_host(terminal.address, terminal.port)
        async with a_remote(password("root", "terminal")).connect(host, deadline=20) as session:
            await session.run([("step:0", "shutdown -h now")], timeout=10, privileged=True)
            watch = NetworkWatch(["10.0.0.0/8"])
            return await watch.departure(host, [gateway_of(terminal)], 30)

    seen = run(scene())
    assert (seen.state, seen.vouched) == ("gone", gateway_of(terminal))
    assert seen.silent_s >= 15
    assert terminal.ended() == "halted"


def test_a_store_that_is_cut_off_as_a_whole_proves_nothing(terminal: Terminal, start_terminal: StartTerminal) -> None:
    other = start_terminal(TerminalSpec())
    witness = Witness("another till", other.address, (other.port,))
    assert run(NetworkWatch(["10.0.0.0/8"]).answering([witness])) == (witness,)
    terminal.cut()
    other.cut()
    seen = departure(terminal, witness, settle=5)
    assert (seen.state, seen.asked) == ("store_silent", (witness,))
    assert departure(terminal, settle=5).state == "no_witness"
    assert terminal.alive()


def test_another_till_of_the_store_is_a_witness(terminal: Terminal, start_terminal: StartTerminal) -> None:
    other = start_terminal(TerminalSpec())
    witness = Witness("another till", other.address, (other.port,))
    terminal.cut()
    assert departure(terminal, witness, settle=5).vouched == witness


# In a network of its own, because the setting belongs to one: the kernel answers for its own addresses, and nobody for others.
PINGS = """
import asyncio, ipaddress, pathlib, subprocess, sys
from runtime.adapters.presence.ask import ask
for line in ("link set lo up", "link add d0 type veth peer name d1", "link set d0 up", "link set d1 up",
             "address add 10.9.9.1/24 dev d0", "address add fd09::1/128 dev lo"):
    subprocess.run(["ip", *line.split()], check=True)
pathlib.Path("/proc/sys/net/ipv4/ping_group_range").write_text(sys.argv[1])
for address in ("10.9.9.1", "fd09::1", "10.9.9.2"):
    print(asyncio.run(ask(address, ())).name)
"""


@pytest.mark.parametrize(
    ("groups", "seen"),
    [("0 2147483647", ["ECHO", "ECHO", "SILENT"]), ("1 0", ["SILENT"] * 3)],
    ids=["as a container has them", "as a plain kernel has them"],
)
def test_pings_are_used_where_the_kernel_gives_them(groups: str, seen: list[str]) -> None:
    need_root("a network of its own")
    need_program("unshare", "util-linux")
    assert process.run(["unshare", "--net", sys.executable, "-c", PINGS, groups]).split() == seen
