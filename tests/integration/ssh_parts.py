"""What the tests of the SSH adapter share: a state in memory, hosts, and a server that writes down who tried to log in how."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import asyncssh

from contracts.config import Credential, Ssh
from contracts.text import Text
from runtime.adapters.ssh.remote import SshRemote
from runtime.domain.errors import HostError
from runtime.domain.model import Host, Outcome, Reason
from runtime.domain.ports import Answer, PinnedKey, Remote, SshNotes
from tests.harness.ports import LOOPBACK
from tests.harness.ssh_offer import KeyPair

T = TypeVar("T")
NETWORKS = ("127.0.0.0/8", "10.77.0.0/16")


@dataclass
class State:
    """Pinned keys and notes, by host name; ``pins`` and ``written`` count what was put down."""

    keys: dict[str, PinnedKey] = field(default_factory=dict)
    notes: dict[str, SshNotes] = field(default_factory=dict)
    written: list[SshNotes] = field(default_factory=list)

    async def get(self, host: Host) -> tuple[PinnedKey | None, SshNotes]:
        return self.keys.get(host.name), self.notes.get(host.name, SshNotes())

    async def save(self, host: Host, key: PinnedKey | None, notes: SshNotes | None) -> None:
        if key is not None:
            self.keys.setdefault(host.name, key)
        if notes is not None:
            self.written.append(notes)
            self.notes[host.name] = notes


def a_host(address: str, port: int, **other: Any) -> Host:
    return Host(**{"id": "1", "name": "loja1-pdv1", "network": "rede", "address": address, "port": port, **other})


def password(user: str, secret: str, **other: Any) -> Credential:
    return Credential.model_validate(
        {"id": f"{user}-{secret}".replace(" ", "-"), "user": user, "password": secret, **other}
    )


def private_key(user: str, key: KeyPair, **other: Any) -> Credential:
    return Credential.model_validate({"id": f"{user}-key", "user": user, "private_key": key.path.read_text(), **other})


def a_remote(*credentials: Credential, state: State | None = None, **settings: Any) -> Remote:
    state = state or State()
    ssh = Ssh.model_validate({"allowed_networks": NETWORKS, "connect_timeout": 10, **settings})
    return SshRemote(ssh, credentials, book=state)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run the test's coroutine; a test that hangs is ended."""

    async def limited() -> T:
        async with asyncio.timeout(60):
            return await work

    return asyncio.run(limited())


async def ask(
    remote: Remote, host: Host, *sections: tuple[str, str], timeout: float = 20, privileged: bool = False
) -> Answer:
    async with remote.connect(host, deadline=20) as session:
        return await session.run(sections or [("id", "id -un")], timeout=timeout, privileged=privileged)


async def get_in(remote: Remote, host: Host) -> None:
    """Log in, and leave."""
    async with remote.connect(host, deadline=20):
        pass


async def refusal(remote: Remote, host: Host, **how: Any) -> HostError:
    """How the host could not be reached, or root not be become."""
    try:
        answer = await ask(remote, host, **how)
    except HostError as caught:
        error = caught
    else:
        raise AssertionError(f"answered: {answer}")
    assert isinstance(error.message, Text) or error.message == host.problem, "it would not be translated"
    return error


def ended(error: HostError) -> tuple[Outcome, Reason]:
    return error.outcome, error.reason


@dataclass
class Doorman:
    """An SSH server's memory of who tried to get in: (user, method, what was shown)."""

    accepts: dict[str, str] = field(default_factory=dict)
    methods: Sequence[str] = ("password",)
    prompt: str = "Password: "
    expired: bool = False
    banner: str = ""  # before anything is shown
    parting: str = ""  # after a password was shown; then the door hangs up
    slow: float = 0.0  # seconds that it thinks about a password
    most: int = 1000  # connections; it hangs up on later ones
    dialogue: Sequence[tuple[str, Sequence[tuple[str, bool]]]] = ()  # rounds: (instructions, prompts with their echo)
    tried: list[tuple[str, str, str]] = field(default_factory=list)
    port: int = 0
    connections: int = 0
    dialogues: int = 0  # begun by the client; without a prompt each is refused at once

    @contextlib.asynccontextmanager
    async def at_work(self, key: asyncssh.SSHKey | None = None, **options: Any) -> AsyncIterator["Doorman"]:
        key = key or asyncssh.generate_private_key("ssh-ed25519")
        server = await asyncssh.listen(
            LOOPBACK, 0, server_factory=lambda: _Door(self), server_host_keys=[key], process_factory=_answer, **options
        )
        self.port = server.get_port()
        try:
            yield self
        finally:
            server.close()
            await server.wait_closed()


class _Door(asyncssh.SSHServer):
    def __init__(self, doorman: Doorman) -> None:
        self._doorman = doorman

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._doorman.connections += 1
        if self._doorman.connections > self._doorman.most:
            conn.abort()
        self._connection = conn
        self._rounds = list(self._doorman.dialogue)

    def begin_auth(self, username: str) -> bool:
        self._user = username
        if self._doorman.banner:
            self._connection.send_auth_banner(self._doorman.banner)
        return True

    def password_auth_supported(self) -> bool:
        return "password" in self._doorman.methods

    async def validate_password(self, username: str, password: str) -> bool:
        self._doorman.tried.append((username, "password", password))
        await asyncio.sleep(self._doorman.slow)
        if self._doorman.parting:
            self._connection.send_auth_banner(self._doorman.parting)
            self._connection.abort()
            return False
        if self._doorman.expired:
            raise asyncssh.PasswordChangeRequired("new password, please")
        return self._doorman.accepts.get(username) == password

    def kbdint_auth_supported(self) -> bool:
        return "keyboard-interactive" in self._doorman.methods

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> Any:
        self._doorman.dialogues += 1
        if not self._doorman.prompt:
            return False
        return self._next_round() or ("", "", "", [(self._doorman.prompt, False)])

    def validate_kbdint_response(self, username: str, responses: Sequence[str]) -> Any:
        self._doorman.tried.append((username, "keyboard-interactive", ",".join(responses)))
        if (following := self._next_round()) is not None:
            return following
        return [self._doorman.accepts.get(username)] == list(responses)

    def _next_round(self) -> Any:
        if not self._rounds:
            return None
        instructions, prompts = self._rounds.pop(0)
        return "", instructions, "", list(prompts)

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        self._doorman.tried.append((username, "publickey", ""))
        return False


async def _answer(process: asyncssh.SSHServerProcess[str]) -> None:
    """Nothing runs here: who has come this far is in."""
    process.exit(0)
