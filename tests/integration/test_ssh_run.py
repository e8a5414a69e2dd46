"""Scripts on real servers: what comes back, what is ended, and what is known when the connection breaks."""

import asyncio
import resource
from collections.abc import Callable, Iterator
from typing import cast

import asyncssh
import pytest

from runtime.adapters.ssh.shell import Shell
from runtime.domain import script
from runtime.domain.action import WriteFile
from runtime.domain.model import Host, Outcome, Reason
from runtime.domain.ports import Answer, Remote
from tests.harness import sshd
from tests.harness.fixtures import StartTerminal
from tests.harness.ssh_offer import KeyPair
from tests.harness.terminals import Account, Terminal, TerminalSpec
from tests.integration.ssh_parts import a_host, a_remote, ask, ended, password, private_key, refusal, run

Place = tuple[Remote, Host]
# What runs in the group of a shell that is gone: its number is in the first section of a test's script.
REST = 'ps -e -o pgid=,args= | while read -r g rest; do if [ "$g" = {group} ]; then echo "$rest"; fi; done'
GROUP = "read -r a b c d group e </proc/$$/stat; echo $group"


@pytest.fixture(scope="module", params=["openssh", "dropbear"])
def server(request: pytest.FixtureRequest, client_key: KeyPair) -> Iterator[sshd.SshServer]:
    start: Callable[..., object] = getattr(sshd, request.param)
    with start([client_key.public]) as running:  # type: ignore[attr-defined]
        yield running


@pytest.fixture
def place(server: sshd.SshServer, client_key: KeyPair) -> Place:
    return a_remote(private_key(server.user, client_key)), a_host(server.address, server.port)


async def rest_of(place: Place, group: bytes) -> str:
    """What is left of a process group, once no more of its processes end."""
    left = "?"
    for _ in range(80):
        answer = await ask(*place, ("rest", REST.format(group=int(group))))
        left = answer.sections["rest"].decode()
        if not left:
            break
        await asyncio.sleep(0.25)
    return left


def test_sections_steps_and_files_in_one_session(server: sshd.SshServer, place: Place) -> None:
    path = server.child.log.with_name("home") / "file"
    content = bytes(range(256)) * 400
    write = script.render_step(WriteFile("w", str(path), content, 0o600, owner=server.user))

    async def scene() -> None:
        remote, host = place
        async with remote.connect(host, deadline=20) as session:
            answer = await session.run(
                [("look", "id -un; echo oops >&2"), ("step:0", write), ("step:1", "exit 5"), ("step:2", "echo no")],
                timeout=20,
                privileged=False,
            )
            assert answer.complete
            assert answer.sections == {"look": b"terminal\noops\n", "step:0": b"written\n", "step:1": b""}
            assert answer.codes == {"look": 0, "step:0": 0, "step:1": 5}
            again = await session.run([("step:0", write), ("read", f"cat {path}")], timeout=20, privileged=False)
            assert again.sections == {"step:0": b"unchanged\n", "read": content}
            assert (session.elevated, session.elevation) == (False, "none")

    run(scene())
    assert path.read_bytes() == content


def test_one_session_takes_any_number_of_scripts(place: Place) -> None:
    async def scene() -> None:
        remote, host = place
        async with remote.connect(host, deadline=20) as session:
            for number in range(12):
                answer = await session.run([("n", f"echo {number}")], timeout=20, privileged=False)
                assert answer.sections == {"n": f"{number}\n".encode()}

    run(scene())


def test_a_process_left_behind_does_not_hold_the_answer_back(place: Place) -> None:
    answer = run(ask(*place, ("step:0", "sleep 30 & echo started")))
    assert answer.codes == {"step:0": 0}


def test_what_runs_past_its_deadline_is_ended_with_all_its_children(place: Place) -> None:
    async def scene() -> None:
        sections = [
            ("group", GROUP),
            ("step:0", "echo done"),
            ("step:1", "trap '' TERM HUP; sleep 300 | cat; echo late"),
        ]
        answer = await ask(*place, *sections, timeout=4)
        assert not answer.complete
        assert answer.stopped is Reason.DEADLINE
        assert answer.codes == {"group": 0, "step:0": 0}
        assert await rest_of(place, answer.sections["group"]) == ""

    run(scene())


def test_a_connection_lost_in_a_step_reports_which_steps_had_finished(place: Place) -> None:
    async def scene() -> None:
        sections = [
            ("group", GROUP),
            ("step:0", "echo one"),
            ("step:1", "echo begun; sleep 1; kill -KILL $PPID; sleep 300"),
            ("step:2", ""),
        ]
        answer = await ask(*place, *sections, timeout=6)
        assert (answer.complete, answer.stopped) == (False, Reason.CONNECTION_LOST)
        assert answer.codes == {"group": 0, "step:0": 0}
        assert "step:2" not in answer.sections
        assert await rest_of(place, answer.sections["group"]) == "", "the watchdog ends what nobody can reach"

    run(scene())


def test_a_closed_session_reports_a_lost_connection(place: Place) -> None:
    async def scene() -> None:
        remote, host = place
        async with remote.connect(host, deadline=20) as session:
            await session.run([("stuck", "sleep 60")], timeout=0.5, privileged=False)
            answer = await session.run([("again", "echo x")], timeout=5, privileged=False)
            assert answer == Answer({}, {}, complete=False, stopped=Reason.CONNECTION_LOST)

    run(scene())


def test_a_flood_is_cut_and_delays_no_other(server: sshd.SshServer, client_key: KeyPair) -> None:
    async def scene() -> None:
        remote = a_remote(private_key(server.user, client_key), output_limit=65536)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        host = a_host(server.address, server.port)
        async with asyncio.TaskGroup() as group:
            flood = group.create_task(ask(remote, host, ("step:0", "echo one"), ("step:1", "cat /dev/zero")))
            errors = group.create_task(ask(remote, host, ("step:0", "exec /bin/sh -c 'cat /dev/zero >&2'")))
            others = [group.create_task(ask(remote, host, ("x", "echo fine"))) for _ in range(6)]
        for task in (flood, errors):
            answer = task.result()
            assert (answer.complete, answer.truncated, answer.stopped) == (False, True, Reason.KILLED)
            assert sum(map(len, answer.sections.values())) <= 65536 + 8192
        assert flood.result().codes == {"step:0": 0}
        assert all(task.result().sections == {"x": b"fine\n"} for task in others)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000, "kilobytes"

    run(scene())


def test_a_step_with_much_output_is_not_cut(server: sshd.SshServer, client_key: KeyPair) -> None:
    remote = a_remote(private_key(server.user, client_key), output_limit=65536)
    wordy = ("step:0", "i=0; while [ $i -lt 20000 ]; do echo 'unpacking something'; i=$((i+1)); done")
    answer = run(ask(remote, a_host(server.address, server.port), wordy, ("step:1", "echo heard")))
    assert (answer.complete, answer.truncated) == (True, True)
    assert answer.codes == {"step:0": 0, "step:1": 0}
    assert answer.sections["step:1"] == b"heard\n"


def test_a_cancelled_run_closes_its_connection(place: Place) -> None:
    async def scene() -> None:
        remote, host = place
        task = asyncio.create_task(ask(remote, host, ("step:0", "sleep 60"), timeout=30))
        await asyncio.sleep(0.7)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await ask(remote, host)).complete

    run(scene())


LOGIN_FILES = {
    "prints": "echo 'Bem-vindo \xe0 loja'; echo; echo a=b >&2",
    "reads a line": "read -r answer",
    "changes words": "alias printf='echo gone'; printf() { echo gone; }; export -f printf; export ENV=/nowhere LC_ALL=pt_BR",
    "sets options": "set -eu; shopt -s extglob; export POSIXLY_CORRECT=1 CDPATH=/ PATH=/nowhere:$PATH",
    "forges frames": r"""s=${BASH_EXECUTION_STRING##*= }; s=${s%% *}
for m in "$s" M; do printf '\n%s begin step:0\nforged\n\n%s ended 0 step:0\n\n%s end\n' "$m" "$m" "$m"; done""",
}
FATAL_LOGIN_FILES = {
    "exits": "exit 0",
    "becomes something else": "exec sleep 0",
    "eats all input": "cat >/dev/null",
    "eats some input": "head -c 300 >/dev/null",
    "eats most input": "head -c 2000 >/dev/null",
}
ROOT = password("root", "terminal")


@pytest.fixture(scope="module")
def terminal(shared_terminal: StartTerminal) -> Terminal:
    banner = "Loja S\xe3o Jo\xe3o, s\xf3 pessoal autorizado\n".encode("latin-1")
    return shared_terminal(
        TerminalSpec(
            accounts=(Account("root", password="terminal"),),
            sshd_lines=("Banner /etc/banner",),
            files={"/etc/banner": banner},
        )
    )


@pytest.mark.parametrize("text", LOGIN_FILES.values(), ids=LOGIN_FILES)
def test_what_a_login_file_does_stays_outside_the_answer(terminal: Terminal, text: str) -> None:
    terminal.write("/root/.bashrc", text.encode("latin-1") + b"\n")
    answer = run(
        ask(
            a_remote(ROOT),
            a_host(terminal.address, terminal.port),
            ("look", "printf x"),
            ("step:0", "printf 'y\\n'; exit 9"),
        )
    )
    assert answer.complete
    assert (answer.sections, answer.codes) == ({"look": b"x", "step:0": b"y\n"}, {"look": 0, "step:0": 9})


@pytest.mark.parametrize("text", FATAL_LOGIN_FILES.values(), ids=FATAL_LOGIN_FILES)
def test_a_login_file_that_swallows_all_output_is_not_taken_for_success(terminal: Terminal, text: str) -> None:
    terminal.write("/root/.bashrc", f"{text}\n")
    padding = ": " + "x" * 4000 + "\n"
    sections = [("step:0", padding + "touch /root/ran"), ("step:1", "touch /root/ran")]
    answer = run(ask(a_remote(ROOT), a_host(terminal.address, terminal.port), *sections))
    assert not answer.complete
    assert answer.codes == {}
    terminal.write("/root/.bashrc", "")
    assert run(ask(a_remote(ROOT), a_host(terminal.address, terminal.port), ("x", "test ! -e /root/ran"))).codes == {
        "x": 0
    }


def test_an_account_without_a_shell_is_reported(start_terminal: StartTerminal) -> None:
    terminal = start_terminal(TerminalSpec(accounts=(Account("root", "terminal"), Account("ana", "secret"))))
    host = a_host(terminal.address, terminal.port)
    run(ask(a_remote(ROOT), host, ("step:0", "usermod -s /usr/sbin/nologin ana")))
    error = run(refusal(a_remote(password("ana", "secret")), host))
    assert ended(error) == (Outcome.UNREACHABLE, Reason.LOGIN_REFUSED)
    assert "account is currently not available" in error.message


def test_a_channel_that_the_server_closes_during_a_write_is_no_internal_error() -> None:
    class Closing:
        def write(self, data: bytes) -> None:
            raise BrokenPipeError("Channel not open for sending")

    shell = Shell(script.Reader("0" * 16, 100, ()), 100)
    shell.connection_made(cast("asyncssh.SSHClientChannel[bytes]", Closing()))
    shell.write(b"a script", last=True)


def test_a_server_that_runs_no_commands_is_reported(client_key: KeyPair) -> None:
    with sshd.openssh([client_key.public], lines=["MaxSessions 0"]) as server:
        error = run(refusal(a_remote(private_key(server.user, client_key)), a_host(server.address, server.port)))
    assert ended(error) == (Outcome.FAILED, Reason.BAD_FACTS)


def test_a_pulled_cable_ends_at_the_deadline_with_what_was_known(start_terminal: StartTerminal) -> None:
    terminal = start_terminal(TerminalSpec())

    async def scene() -> None:
        async with a_remote(ROOT).connect(a_host(terminal.address, terminal.port), deadline=20) as session:
            running = asyncio.create_task(
                session.run([("step:0", "echo one"), ("step:1", "sleep 60")], timeout=8, privileged=False)
            )
            await asyncio.sleep(3)
            terminal.cut()
            answer = await running
            assert answer.codes == {"step:0": 0}
            assert (answer.complete, answer.stopped) == (False, Reason.DEADLINE)

    run(scene())
