"""Simulated terminals at work: one asyncssh process that answers for all of them, each on its own loopback address.

Called by the command line (`__main__`) and by tests that run terminals in their own loop:

    async with serve(load(), folder) as terminals: ...

The address a connection came to says which terminal it means.
"""

import asyncio
import contextlib
import fcntl
import json
import socket
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh

from demo.terminals import keys
from demo.terminals.answers import FIRST_STATE, Memory
from demo.terminals.box import BoxError
from demo.terminals.channel import Channel, flood, join, options
from demo.terminals.isolation import METHODS, POWERED_OFF, REBOOT
from demo.terminals.listeners import Listeners, reset
from demo.terminals.profiles import Behaviour, Terminal
from demo.terminals.rooms import Rooms, login_environment

_REBOOT_SECONDS = 1.0
_IDLE_SECONDS = 10.0


@dataclass(slots=True, eq=False)
class _Running:
    """One terminal of a running set."""

    terminal: Terminal
    on: bool
    state: str = FIRST_STATE  # of its tree, where answers are memoised
    connections: set[asyncssh.SSHServerConnection] = field(default_factory=set)


class Terminals:
    """A running set of terminals; `serve` makes it."""

    def __init__(self, terminals: Sequence[Terminal], folder: Path, *, fleet: bool, memory: Memory | None) -> None:
        self.terminals = tuple(terminals)
        self.folder = folder
        self.credentials = keys.Credentials(folder)
        self.listeners = Listeners(self._meet)
        self.rooms = Rooms(folder / "yard", ended=self._ended, idle=_IDLE_SECONDS if fleet else None)
        self.memory = memory
        self._fleet = fleet
        self._events = folder / "events.jsonl"
        self._running = {t.address: _Running(t, t.profile.behaviour is not Behaviour.OFF) for t in self.terminals}
        self._addresses = {t.id: t.address for t in self.terminals}
        self._options: dict[str, asyncssh.SSHServerConnectionOptions] = {}
        self._held: set[socket.socket] = set()
        self.tasks: set[asyncio.Task[None]] = set()

    def ready(self) -> dict[str, object]:
        """What the command line prints: how answers are made, notes, where the credentials are, and the terminals."""
        shown = [
            {
                "id": terminal.id,
                "address": terminal.address,
                "port": self.listeners.port,
                "user": terminal.profile.user,
                "hostname": terminal.hostname,
                "provider": terminal.profile.provider,
                "role": terminal.profile.role,
                "behaviour": terminal.profile.behaviour,
                "title": terminal.profile.title,
            }
            for terminal in self.terminals
        ]
        return {
            "isolation": self.rooms.method or "none",
            "answers": "canned" if self.rooms.method is None else "memoised" if self.memory else "real",
            "notes": self.rooms.notes,
            "credentials": str(self.credentials.path),
            "events": str(self._events),
            "terminals": shown,
        }

    def is_on(self, terminal_id: str) -> bool:
        """Whether the terminal is up: False after its shutdown."""
        return self._running[self._addresses[terminal_id]].on

    def power_on(self, terminal_id: str) -> None:
        """Press the button of a terminal that was shut down; its tree is as it was."""
        running = self._running[self._addresses[terminal_id]]
        running.on = True
        if not self._fleet:
            self.listeners.open(running.terminal.address)

    async def open(self, port: int, cache: Path, methods: Sequence[str]) -> None:
        """Make what all terminals share, then listen. Raises OSError when a given port is taken."""
        self._events.write_bytes(b"")
        self.credentials.note({self._shared(terminal): terminal.profile for terminal in self.terminals})
        await self.rooms.open(
            {t.profile.system.about: t.profile.system for t in self.terminals}.values(), cache, methods
        )
        if self.rooms.method is None:
            self.rooms.notes.append("nothing can be isolated here, so nothing is run: only recorded answers are given")
            self.memory = self.memory or Memory()
        if self._fleet:
            self.listeners.open_all(port)
        else:
            self.listeners.open_each((address for address, running in self._running.items() if running.on), port)

    async def close(self) -> None:
        """End all connections and boxes and remove all trees; keys, credentials and the event log stay."""
        self.listeners.close_all()
        for sock in self._held:
            sock.close()
        for running in self._running.values():
            self._cut(running)
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.rooms.close()

    # What follows is called by connections as they come and go.

    def _meet(self, sock: socket.socket) -> None:
        running = self._running.get(sock.getsockname()[0])
        if running is None or not running.on:
            reset(sock)
            return
        self._note(running, "connected")
        if running.terminal.profile.behaviour is Behaviour.HANGS:
            self._held.add(sock)
            return
        task = asyncio.create_task(self._talk(running, sock))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _talk(self, running: _Running, sock: socket.socket) -> None:
        try:
            await asyncssh.run_server(sock, options=await self._options_for(running.terminal))
        except (asyncssh.Error, OSError, ValueError) as error:
            self._note(running, "left", why=str(error))

    async def _options_for(self, terminal: Terminal) -> asyncssh.SSHServerConnectionOptions:
        name = self._shared(terminal)
        if name not in self._options:
            self._options[name] = await options(self.folder, name, terminal.profile.system.ssh, lambda: _Door(self))
        return self._options[name]

    def _shared(self, terminal: Terminal) -> str:
        # A fleet shares one host key and one password: thousands would cost minutes to make and megabytes to keep.
        return "fleet" if self._fleet else terminal.id

    def came(self, connection: asyncssh.SSHServerConnection) -> _Running:
        """A connection has been made; the terminal that it is to."""
        running = self._running[connection.get_extra_info("sockname")[0]]
        running.connections.add(connection)
        return running

    def admits(self, running: _Running, user: str, *, password: str = "", key: asyncssh.SSHKey | None = None) -> bool:
        """Whether the terminal lets this login in."""
        name, profile = self._shared(running.terminal), running.terminal.profile
        if key:
            admitted = user == profile.user and key.public_data == keys.client_public_data(self.folder)
        else:
            admitted = self.credentials.opens(name, profile, user, password)
        self._note(running, "login" if admitted else "login refused", user=user, by="key" if key else "password")
        return admitted

    async def answer(self, running: _Running, channel: Channel) -> int:
        """Answer one command; its exit status."""
        terminal = running.terminal
        profile, password = terminal.profile, self.credentials.noted(self._shared(terminal)).get_secret_value()
        self._note(running, "command", command=channel.command)
        if profile.behaviour is Behaviour.FLOOD:
            return await flood(channel)
        if self.memory:
            given = await channel.all_given()
            run = None if self.rooms.method is None else lambda *asked: self.rooms.apart(profile, password, *asked)
            said = await self.memory.ask(
                profile.model_dump_json(), running.state, channel.command, given, terminal.hostname, run
            )
            running.state = said.state
            await channel.say(said.stdout)
            await channel.say(said.stderr, stderr=True)
            return said.status
        environment = login_environment(profile)
        try:
            async with self.rooms.entered(terminal, password) as box:
                return await join(
                    channel, lambda out, err: box.run(channel.command, profile.uid, environment, stdout=out, stderr=err)
                )
        except BoxError as error:
            await channel.say(f"{error}\n".encode(), stderr=True)
            return 126

    def _ended(self, terminal_id: str, status: int) -> None:
        if status not in (POWERED_OFF, REBOOT):
            return
        running = self._running[self._addresses[terminal_id]]
        running.on = False
        self.listeners.silence(running.terminal.address)
        self._cut(running)
        self._note(running, "power off" if status == POWERED_OFF else "reboot")
        if status == REBOOT:
            asyncio.get_running_loop().call_later(_REBOOT_SECONDS, self.power_on, terminal_id)

    def _cut(self, running: _Running) -> None:
        for connection in tuple(running.connections):
            connection.abort()

    def _note(self, running: _Running, event: str, **details: str) -> None:
        if not self._fleet:
            line = {"time": round(time.time(), 3), "id": running.terminal.id, "event": event, **details}
            with self._events.open("a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")


class _Door(asyncssh.SSHServer):
    """Lets a login into the terminal that the connection came to."""

    def __init__(self, terminals: Terminals) -> None:
        self._terminals = terminals

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._running = self._terminals.came(conn)
        self._auth = self._running.terminal.profile.auth

    def connection_lost(self, exc: Exception | None) -> None:
        self._running.connections.discard(self._connection)

    def begin_auth(self, username: str) -> bool:
        # What floods has no account to keep out of the way of the flood.
        return self._running.terminal.profile.behaviour is not Behaviour.FLOOD

    def password_auth_supported(self) -> bool:
        return self._auth == "password"

    def validate_password(self, username: str, password: str) -> bool:
        return self._terminals.admits(self._running, username, password=password)

    def kbdint_auth_supported(self) -> bool:
        return self._auth == "keyboard"

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> asyncssh.auth.KbdIntChallenge:
        return "", "", "", [("Password: ", False)]

    def validate_kbdint_response(self, username: str, responses: Sequence[str]) -> asyncssh.auth.KbdIntChallenge:
        return len(responses) == 1 and self._terminals.admits(self._running, username, password=responses[0])

    def public_key_auth_supported(self) -> bool:
        return self._auth == "key"

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return self._terminals.admits(self._running, username, key=key)

    def session_requested(self) -> Channel:
        return Channel(lambda channel: self._terminals.answer(self._running, channel), self._terminals.tasks)


@contextlib.asynccontextmanager
async def serve(
    terminals: Sequence[Terminal],
    folder: Path,
    *,
    port: int = 0,
    cache: Path | None = None,
    fleet: bool = False,
    memoised: bool = False,
    recorded: Path | None = None,
    rotate: Iterable[str] = (),
    methods: Sequence[str] = tuple(METHODS),
) -> AsyncIterator[Terminals]:
    """Run `terminals` in `folder` (made if need be; everything that is written stays below it) until the block ends.

    `port` 0 takes a free one. `cache` is where an i386 busybox may be (default `folder/cache`). `fleet` serves thousands alike:
    one listener, one host key and password, no event log, boxes only while they are used. `memoised` answers scripts from memory
    after the first time; `recorded` is a file of such answers, read first, and written at the end where scripts could be run.
    `rotate` names terminals that get a new host key; `methods` are the ways of isolation to try, none for recorded answers only.
    Raises OSError for a taken port, BlockingIOError when another run has the folder.
    """
    memory = Memory() if memoised else None
    with _owned(folder) as home:
        for name in rotate:
            keys.rotate(home, name)
        running = Terminals(terminals, home, fleet=fleet, memory=memory)
        try:
            await running.open(port, cache or home / "cache", methods)
            if running.memory and recorded:
                running.memory.load(recorded)
            yield running
            if memory and recorded and running.rooms.method:
                memory.save(recorded)
        finally:
            await running.close()


@contextlib.contextmanager
def _owned(folder: Path) -> Iterator[Path]:
    """The folder, made if need be, for one run at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder.resolve()
