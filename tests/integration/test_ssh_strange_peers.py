"""Whatever answers on an SSH port: each is one host's trouble, told within its time, and nobody else's."""

import asyncio
import contextlib
import time
from collections.abc import Iterator

import pytest

from runtime.adapters.ssh import failures
from runtime.domain.errors import HostError
from runtime.domain.model import Outcome, Reason
from runtime.domain.ports import Answer
from tests.harness import sshd, weird
from tests.harness.fixtures import StartTerminal
from tests.harness.ports import LOOPBACK
from tests.harness.ssh_offer import KeyPair
from tests.harness.terminals import TerminalSpec
from tests.integration.ssh_parts import (
    Doorman,
    a_host,
    a_remote,
    ask,
    ended,
    get_in,
    password,
    private_key,
    refusal,
    run,
)

TIMEOUT = (Outcome.UNREACHABLE, Reason.TIMEOUT)
NO_COMMON = (Outcome.UNREACHABLE, Reason.NO_COMMON_ALGORITHM)
HANG_UP = (Outcome.UNREACHABLE, Reason.REFUSED_CONNECTION)


async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_5.1\r\n")


async def send_away(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"Not allowed at this time\r\n")
    await writer.drain()


PEERS = {
    "accepts and says nothing": (
        weird.silent,
        TIMEOUT,
        "no SSH server speaks there (waited 1.5 s: ssh.connect_timeout)",
    ),
    "drips its version": (weird.dripping(), TIMEOUT, "no SSH server speaks there"),
    "says its version and no more": (
        weird.saying(b"SSH-2.0-OpenSSH_5.1\r\n"),
        TIMEOUT,
        "does not finish the SSH key exchange",
    ),
    "floods": (weird.flooding(), NO_COMMON, "does not speak SSH 2"),
    "floods with lines": (weird.flooding(b"lines and lines\r\n" * 1000), NO_COMMON, "does not speak SSH 2"),
    "speaks SSH 1 only": (weird.saying(b"SSH-1.5-1.2.27\r\n"), NO_COMMON, "does not speak SSH 2"),
    "sends garbage after its version": (
        weird.saying(b"SSH-2.0-x\r\n" + b"\xff" * 2000),
        NO_COMMON,
        "does not speak SSH 2",
    ),
    "has a version that is not ASCII": (weird.saying(b"SSH-2.0-x\xe9\r\n"), NO_COMMON, "does not speak SSH 2"),
    "takes nobody in now": (send_away, HANG_UP, "it said: Not allowed at this time"),
    "is a web server": (
        weird.saying(b"HTTP/1.1 400 Bad Request\r\n" * 2000),
        NO_COMMON,
        "it said: HTTP/1.1 400 Bad Request",
    ),
    "hangs up": (hang_up, HANG_UP, "ended the connection before the login"),
}


@pytest.mark.parametrize(("behaviour", "outcome", "says"), PEERS.values(), ids=PEERS)
def test_a_strange_peer_is_unreachable_with_its_cause(
    behaviour: weird.Behaviour, outcome: tuple[Outcome, Reason], says: str
) -> None:
    with weird.serving(behaviour) as port:
        limit = 1.5 if outcome == TIMEOUT else 20
        error = run(refusal(a_remote(password("root", "x"), connect_timeout=limit), a_host(LOOPBACK, port)))
    assert ended(error) == outcome
    assert says in error.message


def test_a_host_that_is_off_times_out(start_terminal: StartTerminal) -> None:
    terminal = start_terminal(TerminalSpec())
    terminal.cut()
    error = run(
        refusal(a_remote(password("root", "terminal"), connect_timeout=1), a_host(terminal.address, terminal.port))
    )
    assert ended(error) == TIMEOUT
    assert "does not answer (waited 1 s: ssh.connect_timeout)" in error.message


def test_a_host_that_is_off_is_waited_for_no_longer_than_a_share_of_a_login(
    start_terminal: StartTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "CONNECT_S", 0.5)
    terminal = start_terminal(TerminalSpec())
    terminal.cut()
    begun = time.monotonic()
    error = run(
        refusal(a_remote(password("root", "terminal"), connect_timeout=3), a_host(terminal.address, terminal.port))
    )
    assert ended(error) == TIMEOUT
    assert "(waited 1 s, the share of a first connection in ssh.connect_timeout, 3 s)" in error.message
    assert time.monotonic() - begun < 3


def test_a_slow_login_has_the_whole_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "CONNECT_S", 0.1)

    async def scene() -> None:
        async with Doorman({"root": "right"}, slow=2.0).at_work() as door:
            await get_in(a_remote(password("root", "right"), connect_timeout=6), a_host(LOOPBACK, door.port))
            error = await refusal(a_remote(password("root", "right"), connect_timeout=1), a_host(LOOPBACK, door.port))
            assert ended(error) == TIMEOUT
            assert "does not finish the login of root (waited 1 s: ssh.connect_timeout)" in error.message

    run(scene())


@pytest.fixture(scope="module")
def server(client_key: KeyPair) -> Iterator[sshd.SshServer]:
    with sshd.openssh([client_key.public]) as running:
        yield running


def test_strange_peers_delay_no_other(server: sshd.SshServer, client_key: KeyPair) -> None:
    async def scene(ports: list[int]) -> None:
        remote = a_remote(private_key(server.user, client_key), connect_timeout=4, parallel_per_address=16)
        strange = [
            asyncio.create_task(refusal(remote, a_host(LOOPBACK, port, name=f"strange{port}"))) for port in ports
        ]
        await asyncio.sleep(0)
        mapped = f"::ffff:{server.address}"  # the same server, at an address of its own to us
        good = await asyncio.gather(*(ask(remote, a_host(mapped, server.port, name=f"good{n}")) for n in range(8)))
        assert all(answer.complete for answer in good)
        assert not all(task.done() for task in strange), "nobody waited for the silent ones"
        assert {error.outcome for error in await asyncio.gather(*strange)} == {Outcome.UNREACHABLE}

    with contextlib.ExitStack() as stack:
        run(scene([stack.enter_context(weird.serving(behaviour)) for behaviour, _, _ in PEERS.values()]))


def test_lines_before_the_version_are_ignored(server: sshd.SshServer, client_key: KeyPair) -> None:
    relay = weird.relaying(server.address, server.port, first=b"Bem-vindo \xe0 loja\r\nacesso restrito\r\n")
    with weird.serving(relay) as port:
        assert run(ask(a_remote(private_key(server.user, client_key)), a_host(LOOPBACK, port))).complete


@pytest.mark.parametrize(
    "after", [0, 1, 20, 41, 500, 1200, 1900, 2000, 2100, 2300, 2500, 2600, 2650, 2700, 2750, 2800, 2900]
)
def test_a_connection_cut_anywhere_is_unreachable_or_an_incomplete_answer(
    server: sshd.SshServer, client_key: KeyPair, after: int
) -> None:
    async def scene() -> Answer | HostError:
        remote = a_remote(private_key(server.user, client_key))
        try:
            return await ask(remote, a_host(LOOPBACK, port), ("x", "echo x"))
        except HostError as error:
            return error

    with weird.serving(weird.relaying(server.address, server.port, cut_after=after)) as port:
        result = run(scene())
    if isinstance(result, HostError):
        assert result.outcome is Outcome.UNREACHABLE
        assert result.reason in (Reason.REFUSED_CONNECTION, Reason.NO_COMMON_ALGORITHM)
    else:
        assert result.complete or result.stopped is Reason.CONNECTION_LOST
