"""Who is contacted, with which credential, and which host key is believed: against real servers and one that keeps a list."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncssh
import pytest

from contracts.config import Credential
from contracts.secret import Secret
from runtime.domain.errors import Permanent, Transient
from runtime.domain.model import Outcome, Reason
from runtime.domain.ports import PinnedKey, SshNotes
from tests.harness import process, ssh_offer, sshd
from tests.harness.need import need_program
from tests.harness.ports import LOOPBACK, free_port
from tests.harness.ssh_offer import KeyPair
from tests.integration.ssh_parts import (
    Doorman,
    State,
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

AUTH_FAILED = (Outcome.UNREACHABLE, Reason.AUTH_FAILED)


@pytest.fixture(scope="module")
def server(client_key: KeyPair, client_rsa_key: KeyPair) -> Iterator[sshd.SshServer]:
    with sshd.openssh(
        [client_key.public, client_rsa_key.public], ssh_offer.Offer(("ed25519", "rsa", "ecdsa"))
    ) as running:
        yield running


@pytest.mark.parametrize("address", ["192.0.2.7", "10.78.0.1", "::1", "::ffff:192.0.2.7", "fe80::1%lo"])
def test_no_packet_leaves_for_an_address_outside_the_allowed_networks(address: str) -> None:
    error = run(refusal(a_remote(password("root", "x")), a_host(address, 22)))
    assert ended(error) == (Outcome.BLOCKED, Reason.OUTSIDE_ALLOWED_NETWORKS)
    assert address in error.message


def test_an_address_that_only_looks_different_is_the_same_network(server: sshd.SshServer, client_key: KeyPair) -> None:
    host = a_host(f"::ffff:{server.address}", server.port)
    assert run(ask(a_remote(private_key(server.user, client_key)), host)).complete


@pytest.mark.parametrize("address", ["", "till.example", "10.0.0.256"])
def test_a_host_without_an_address_gets_the_cause(address: str) -> None:
    error = run(refusal(a_remote(password("root", "x")), a_host(address, 22, problem="two interfaces, no default")))
    assert ended(error) == (Outcome.UNREACHABLE, Reason.NO_ADDRESS)
    assert error.message == "two interfaces, no default"


def test_a_closed_port_refuses() -> None:
    error = run(refusal(a_remote(password("root", "x")), a_host(LOOPBACK, free_port())))
    assert ended(error) == (Outcome.UNREACHABLE, Reason.REFUSED_CONNECTION)


def locked(key: KeyPair, folder: Path) -> str:
    """The same key, behind a passphrase."""
    copy = folder / "locked"
    copy.write_bytes(key.path.read_bytes())
    copy.chmod(0o600)
    process.run([need_program("ssh-keygen", "openssh-client"), "-q", "-p", "-P", "", "-N", "pass phrase", "-f", copy])
    return copy.read_text()


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "with a passphrase"])
def test_a_key_logs_in_and_its_host_is_pinned(
    server: sshd.SshServer, client_key: KeyPair, client_rsa_key: KeyPair, tmp_path: Path, kind: str
) -> None:
    state = State()
    credential = private_key(server.user, client_rsa_key if kind == "rsa" else client_key)
    if kind == "with a passphrase":
        text = locked(client_key, tmp_path)
        credential = Credential.model_validate({**dict(credential), "private_key": text, "passphrase": "pass phrase"})
    answer = run(ask(a_remote(credential, state=state), a_host(server.address, server.port), ("id", "id -un")))
    assert answer.sections == {"id": b"terminal\n"}
    assert state.keys["loja1-pdv1"].text == " ".join(server.host_keys[0].split()[:2])
    assert state.written == [SshNotes("modern", (), credential.id)]


@pytest.mark.parametrize("passphrase", [None, "wrong"])
@pytest.mark.parametrize("readable", [True, False])
def test_a_private_key_that_cannot_be_read_is_named(
    client_key: KeyPair, tmp_path: Path, readable: bool, passphrase: str | None
) -> None:
    text = locked(client_key, tmp_path) if readable else "nothing"
    credential = Credential(
        id="broken", user="root", private_key=Secret(text), passphrase=passphrase and Secret(passphrase)
    )
    error = run(refusal(a_remote(credential), a_host(LOOPBACK, 1)))
    assert ended(error) == (Outcome.UNREACHABLE, Reason.NO_CREDENTIAL)
    assert "credential broken cannot be read" in error.message


def test_keys_agents_and_files_of_this_machine_are_not_used(
    client_key: KeyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with Doorman(accepts={"root": "right"}).at_work() as door:
            asked: list[bytes] = []

            async def agent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                asked.append(await reader.read(1))
                writer.close()

            async with await asyncio.start_unix_server(agent, tmp_path / "agent"):
                await get_in(a_remote(password("root", "right")), a_host(LOOPBACK, door.port))
            assert (door.tried, asked) == ([("root", "password", "right")], [])

    (tmp_path / ".ssh").mkdir(mode=0o700)
    (tmp_path / ".ssh" / "id_ed25519").write_bytes(client_key.path.read_bytes())
    (tmp_path / ".ssh" / "config").write_text("Hostname 192.0.2.1\nUser somebody\nPort 1\nIdentitiesOnly no\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    run(scene())


def test_an_account_without_a_name_can_connect() -> None:
    program = (
        "import sys; from tests.integration.ssh_parts import *\n"
        "error = run(refusal(a_remote(password('root', 'x')), a_host('127.0.0.1', int(sys.argv[1]))))\n"
        "print(error.reason)"
    )
    nobody = [need_program("unshare", "util-linux"), "--user", "--map-user=54321", "env", "-i"]
    said = process.run([*nobody, f"PYTHONPATH={':'.join(sys.path)}", sys.executable, "-c", program, str(free_port())])
    assert said.strip() == Reason.REFUSED_CONNECTION


@pytest.mark.parametrize("prompt", ["Password: ", "Senha: ", "Digite o código de root:"])
def test_a_password_is_also_given_to_a_keyboard_prompt_in_any_language(prompt: str) -> None:
    async def scene() -> None:
        async with Doorman({"root": "right"}, methods=("keyboard-interactive",), prompt=prompt).at_work() as door:
            await get_in(a_remote(password("root", "right")), a_host(LOOPBACK, door.port))
            assert door.tried == [("root", "keyboard-interactive", "right")]

    run(scene())


def test_a_wrong_password_is_one_failed_attempt_whatever_the_server_asks() -> None:
    async def scene() -> None:
        async with Doorman({"root": "right"}, methods=("password", "keyboard-interactive")).at_work() as door:
            error = await refusal(a_remote(password("root", "wrong")), a_host(LOOPBACK, door.port))
            assert ended(error) == AUTH_FAILED
            assert len(door.tried) == 1

    run(scene())


def test_an_expired_password_is_reported_and_not_changed() -> None:
    async def scene() -> None:
        async with Doorman(expired=True).at_work() as door:
            error = await refusal(a_remote(password("root", "old")), a_host(LOOPBACK, door.port))
            assert ended(error) == (Outcome.UNREACHABLE, Reason.PASSWORD_EXPIRED)
            assert "the password of root on loja1-pdv1 has expired; nothing was changed" in error.message
            assert "new password, please" in error.message
            assert len(door.tried) == 1

    run(scene())


def test_a_host_without_a_pinned_key_is_shown_one_credential() -> None:
    async def scene() -> None:
        state = State()
        async with Doorman({"c": "3"}).at_work() as door:
            remote = a_remote(password("a", "1"), password("b", "2"), password("c", "3"), state=state)
            assert ended(await refusal(remote, a_host(LOOPBACK, door.port))) == AUTH_FAILED
            assert door.tried == [("a", "password", "1")]
            assert not state.keys, "a key is pinned only by a login"

    run(scene())


def test_a_line_lost_after_a_refused_credential_is_not_tried_again() -> None:
    """Another attempt would show the refused one again, and servers lock accounts."""

    async def scene() -> None:
        state = State()
        async with Doorman({"b": "2"}).at_work() as door:
            host = a_host(LOOPBACK, door.port)
            await get_in(a_remote(password("b", "2"), state=state), host)
            door.tried.clear()
            state.notes.clear()
            door.most = door.connections + 1
            error = await refusal(a_remote(password("a", "1"), password("b", "2"), state=state), host)
            assert ended(error) == (Outcome.UNREACHABLE, Reason.REFUSED_CONNECTION)
            assert isinstance(error, Permanent)
            assert door.tried == [("a", "password", "1")]

    run(scene())


def test_a_known_host_is_shown_three_in_order_and_the_accepted_one_is_remembered() -> None:
    async def scene() -> None:
        state = State()
        async with Doorman({"c": "3"}).at_work() as door:
            host = a_host(LOOPBACK, door.port)
            await get_in(a_remote(password("c", "3"), state=state), host)
            door.tried.clear()
            state.notes.clear()
            wrong = [password(user, "0") for user in "abd"]
            assert ended(await refusal(a_remote(*wrong, password("c", "3"), state=state), host)) == AUTH_FAILED
            assert [user for user, _, _ in door.tried] == ["a", "b", "d"]
            door.tried.clear()
            remote = a_remote(*wrong[:2], password("c", "3"), state=state)
            for _ in range(2):
                await get_in(remote, host)
            assert [user for user, _, _ in door.tried] == ["a", "b", "c", "c"]
            assert state.notes[host.name].credential == "c-3"

    run(scene())


def test_the_own_credential_of_a_host_is_its_only_one() -> None:
    async def scene() -> None:
        state = State()
        async with Doorman({"a": "1"}).at_work() as door:
            host = a_host(LOOPBACK, door.port, credential=password("own", "9"))
            assert ended(await refusal(a_remote(password("a", "1"), state=state), host)) == AUTH_FAILED
            assert door.tried == [("own", "password", "9")]

    run(scene())


Keys = Callable[[], asyncssh.SSHKey]
NEW_KEYS: dict[str, Keys] = {
    "the same type": lambda: asyncssh.generate_private_key("ssh-ed25519"),
    "another type": lambda: asyncssh.generate_private_key("ecdsa-sha2-nistp256"),
}


@pytest.mark.parametrize("new_key", NEW_KEYS.values(), ids=NEW_KEYS)
def test_a_changed_key_blocks_before_any_password_is_sent(new_key: Keys) -> None:
    async def scene() -> None:
        state = State()
        async with Doorman({"root": "right"}).at_work() as door:
            await get_in(a_remote(password("root", "right"), state=state), a_host(LOOPBACK, door.port))
        pinned = state.keys["loja1-pdv1"]
        key = new_key()
        async with Doorman({"root": "right"}).at_work(key) as door:
            error = await refusal(a_remote(password("root", "right"), state=state), a_host(LOOPBACK, door.port))
            assert ended(error) == (Outcome.BLOCKED, Reason.HOST_KEY_CHANGED)
            assert pinned.fingerprint in error.message
            assert key.get_fingerprint() in error.message
            assert "hosts rekey loja1-pdv1" in error.message
            assert door.tried == []
        assert state.keys["loja1-pdv1"] == pinned

    run(scene())


def test_an_unknown_key_blocks_where_first_use_is_refused() -> None:
    async def scene() -> None:
        state = State()
        key = asyncssh.generate_private_key("ssh-ed25519")
        async with Doorman({"root": "right"}).at_work(key) as door:
            remote = a_remote(password("root", "right"), state=state, first_use="refuse")
            error = await refusal(remote, a_host(LOOPBACK, door.port))
            assert ended(error) == (Outcome.BLOCKED, Reason.HOST_KEY_UNKNOWN)
            assert key.get_fingerprint() in error.message
            assert door.tried == []
        assert not state.keys

    run(scene())


def test_a_server_with_several_keys_shows_the_pinned_one(server: sshd.SshServer, client_key: KeyPair) -> None:
    assert len(server.host_keys) == 3
    for line in server.host_keys:
        state = State()
        state.keys["loja1-pdv1"] = PinnedKey(" ".join(line.split()[:2]))
        remote = a_remote(private_key(server.user, client_key), state=state)
        assert run(ask(remote, a_host(server.address, server.port))).complete, line


def test_no_more_connections_at_once_than_an_address_is_allowed() -> None:
    async def scene() -> None:
        async with Doorman({"root": "right"}).at_work() as door:
            remote = a_remote(password("root", "right"), parallel_per_address=2)
            open_now, most = 0, 0

            async def one(number: int) -> None:
                nonlocal open_now, most
                async with remote.connect(a_host(LOOPBACK, door.port, name=f"h{number}"), deadline=10):
                    open_now += 1
                    most = max(most, open_now)
                    await asyncio.sleep(0.05)
                    open_now -= 1

            await asyncio.gather(*map(one, range(7)))
            assert most == 2

    run(scene())


def test_waiting_for_a_place_counts_against_the_deadline() -> None:
    async def scene() -> None:
        async with Doorman({"root": "right"}).at_work() as door:
            remote = a_remote(password("root", "right"), parallel_per_address=1)
            host = a_host(LOOPBACK, door.port)
            async with remote.connect(host, deadline=10):
                with pytest.raises(Transient) as raised:
                    async with remote.connect(host, deadline=0.2):
                        pass
                assert ended(raised.value) == (Outcome.UNREACHABLE, Reason.TIMEOUT)
            await get_in(remote, host)

    run(scene())
