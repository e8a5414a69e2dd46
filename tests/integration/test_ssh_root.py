"""Becoming root on real terminals: root, sudo with and without a question, sudo that wants a terminal, su, and every no."""

import time

import pytest

from runtime.domain import script
from runtime.domain.action import WriteFile
from runtime.domain.model import Outcome, Reason
from tests.harness.fixtures import StartTerminal
from tests.harness.terminals import Account, Terminal, TerminalSpec
from tests.integration.ssh_parts import a_host, a_remote, ask, ended, password, refusal, run

DENIED = (Outcome.FAILED, Reason.PRIVILEGE_DENIED)
ACCOUNTS = (
    Account("root", password="terminal"),
    Account("ana", password="segredo da ana", sudo="password"),
    Account("bia", password="secret", sudo="nopasswd"),
    Account("eva", password="secret"),
    Account("ivo", password="secret", sudo="password"),
    Account("iva", password="secret", sudo="nopasswd"),
)
# In the sudoers of old distributions this stood for everybody.
REQUIRETTY = "Defaults:ivo requiretty\nDefaults:iva requiretty\nDefaults !lecture\n"


@pytest.fixture(scope="module")
def terminal(shared_terminal: StartTerminal) -> Terminal:
    return shared_terminal(
        TerminalSpec(hostname="root-ways", accounts=ACCOUNTS, files={"/etc/sudoers.d/zz": REQUIRETTY})
    )


WAYS = {
    "root": (password("root", "terminal"), "root"),
    "sudo with a question": (password("ana", "segredo da ana"), "sudo"),
    "sudo without a question": (password("bia", "secret"), "sudo"),
    "sudo on a terminal": (password("ivo", "secret"), "sudo"),
    "sudo on a terminal without a question": (password("iva", "secret"), "sudo"),
    "sudo with a password of its own": (
        password("ana", "segredo da ana", elevation="sudo", elevation_password="segredo da ana"),
        "sudo",
    ),
    "su": (password("eva", "secret", elevation="su", elevation_password="terminal"), "su"),
    "root told to use sudo": (password("root", "terminal", elevation="sudo"), "root"),
}


@pytest.mark.parametrize(("credential", "elevation"), WAYS.values(), ids=WAYS)
def test_root_is_reached(terminal: Terminal, credential: object, elevation: str) -> None:
    content = bytes(range(256)) * 300
    write = script.render_step(WriteFile("w", "/root/file", content, 0o640))
    sections = [("who", "id -un; env"), ("step:0", write), ("step:1", "exit 3"), ("step:2", "echo no")]

    async def scene() -> None:
        remote = a_remote(credential)  # type: ignore[arg-type]
        async with remote.connect(a_host(terminal.address, terminal.port), deadline=20) as session:
            for _ in range(2):
                answer = await session.run(sections, timeout=30, privileged=True)
                assert answer.complete, answer
                assert answer.sections["who"].splitlines()[0] == b"root"
                assert answer.codes == {"who": 0, "step:0": 0, "step:1": 3}
                assert b"secret" not in b"".join(answer.sections.values()) + answer.noise
                assert b"segredo" not in b"".join(answer.sections.values()) + answer.noise
                assert (session.elevated, session.elevation) == (True, elevation)
            unprivileged = await session.run([("who", "id -un")], timeout=20, privileged=False)
            assert unprivileged.sections["who"].decode().strip() == credential.user  # type: ignore[attr-defined]
            check = await session.run(
                [("read", "cat /root/file"), ("step:0", "rm /root/file")], timeout=20, privileged=True
            )
            assert check.sections["read"] == content

    run(scene())


NOES = {
    "a wrong password": (
        password("ana", "segredo da ana", elevation_password="wrong"),
        "the password was not accepted",
    ),
    "not in sudoers": (password("eva", "secret"), "not in the sudoers"),
    "a wrong password of root": (password("eva", "secret", elevation="su", elevation_password="wrong"), "failure"),
    "no way configured": (password("ana", "segredo da ana", elevation="none"), "names no way to become root"),
    "a wrong password on a terminal": (
        password("ivo", "secret", elevation_password="wrong"),
        "the password was not accepted",
    ),
}


@pytest.mark.parametrize(("credential", "says"), NOES.values(), ids=NOES)
def test_a_refused_privilege_is_reported_with_its_cause(terminal: Terminal, credential: object, says: str) -> None:
    error = run(refusal(a_remote(credential), a_host(terminal.address, terminal.port), privileged=True))  # type: ignore[arg-type]
    assert ended(error) == DENIED
    assert says in error.message
    assert "wrong" not in error.message


def test_a_wrong_password_for_sudo_is_one_attempt_however_often_it_is_asked(start_terminal: StartTerminal) -> None:
    spec = TerminalSpec(accounts=(Account("ana", password="secret", sudo="password"), ACCOUNTS[0]))
    terminal = start_terminal(spec)
    failed = "auth optional pam_exec.so quiet seteuid expose_authtok /usr/local/bin/failed\n"
    unix = "auth [success=2 default=ignore] pam_unix.so\n"
    rest = "auth requisite pam_deny.so\nauth required pam_permit.so\n@include common-account\n"
    terminal.write("/etc/pam.d/sudo", unix + failed + rest)
    terminal.write("/usr/local/bin/failed", "#!/bin/sh\ntr '\\0' '\\n' >>/var/attempts\n")

    async def scene() -> None:
        remote = a_remote(password("ana", "secret", elevation_password="wrong"))
        host = a_host(terminal.address, terminal.port)
        async with remote.connect(host, deadline=20) as session:
            for _ in range(3):
                with pytest.raises(Exception, match="not accepted"):
                    await session.run([("x", "id")], timeout=20, privileged=True)
            assert (session.elevated, session.elevation) == (False, "none")
            assert (await session.run([("x", "id -un")], timeout=20, privileged=False)).complete

    run(scene())
    assert terminal.read("/var/attempts").split() == ["wrong"]


def test_the_password_is_seen_neither_in_processes_nor_in_the_environment(terminal: Terminal) -> None:
    look = "ps -eo args; for f in /proc/[0-9]*/environ; do tr '\\0' '\\n' <$f 2>/dev/null || :; done"
    for credential in (password("ana", "segredo da ana"), password("ivo", "secret")):
        answer = run(
            ask(a_remote(credential), a_host(terminal.address, terminal.port), ("look", look), privileged=True)
        )
        assert b"sudo" in answer.sections["look"]
        assert credential.password is not None
        assert credential.password.reveal().encode() not in answer.sections["look"]


@pytest.mark.parametrize("way", ["sudo with a question", "sudo on a terminal", "su"])
def test_what_root_runs_past_the_deadline_is_ended(terminal: Terminal, way: str) -> None:
    credential, _ = WAYS[way]
    host = a_host(terminal.address, terminal.port)

    async def scene() -> None:
        mark = f"sleep 4{time.monotonic_ns() % 10**6:06}"
        answer = await ask(
            a_remote(credential),
            host,
            ("step:0", "echo done"),
            ("step:1", f"trap '' TERM HUP; {mark}; :"),
            timeout=6,
            privileged=True,
        )
        assert (answer.complete, answer.stopped, answer.codes) == (False, Reason.DEADLINE, {"step:0": 0})
        left = await ask(
            a_remote(WAYS["root"][0]), host, ("ps", f"ps -eo args | grep -F '{mark}' | grep -v grep || echo nothing")
        )
        assert left.sections["ps"] == b"nothing\n"

    run(scene())
