"""The SSH side of a simulated terminal: what its server speaks, and how a command's streams are joined to a channel.

Called by `server`. asyncssh's session callbacks are used directly, not its streams: a signal must also arrive after the client
has closed its input, which is just when a script that takes too long is killed.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import asyncssh

from demo.terminals import keys
from demo.terminals.box import Session

FLOOD_BYTES = 100 << 20
_CHUNK = 1 << 16
_GONE: tuple[type[Exception], ...] = (ConnectionError, asyncssh.Error)
_log = logging.getLogger(__name__)

_SPEAKS: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "modern": ("ssh-ed25519", {"server_version": "OpenSSH_8.9p1"}),
    "openssh-5": (
        "ssh-rsa",
        {
            "server_version": "OpenSSH_5.8",
            "kex_algs": ["diffie-hellman-group14-sha1", "diffie-hellman-group1-sha1"],
            "encryption_algs": ["aes128-cbc", "3des-cbc"],
            "mac_algs": ["hmac-sha1", "hmac-md5"],
        },
    ),
}


async def options(
    folder: Path, key_name: str, speaks: str, door: Callable[[], asyncssh.SSHServer]
) -> asyncssh.SSHServerConnectionOptions:
    """Options for `asyncssh.run_server`, with the host key `key_name` from `folder`."""
    kind, settings = _SPEAKS[speaks]
    (pair,) = asyncssh.load_keypairs([keys.host_key(folder, key_name, kind)])
    if kind == "ssh-rsa":
        pair.host_key_algorithms = [b"ssh-rsa"]  # servers of that time sign with SHA-1 only
    made: asyncssh.SSHServerConnectionOptions = await asyncssh.SSHServerConnectionOptions.construct(
        None,
        server_factory=door,
        server_host_keys=[pair],
        encoding=None,
        allow_pty=False,
        agent_forwarding=False,
        gss_host=None,
        login_timeout=30,
        **settings,
    )
    return made


class Channel(asyncssh.SSHServerSession[bytes]):
    """One session channel. `serve(channel)` is awaited once the client has said what to run; it gives the exit status
    (negative: ended by that signal, as in `subprocess`). The task that does so is in `tasks` for as long as it runs."""

    def __init__(self, serve: Callable[["Channel"], Awaitable[int]], tasks: set[asyncio.Task[None]]) -> None:
        self.command = "/bin/sh"
        self.given: asyncio.Queue[bytes] = asyncio.Queue()  # what the client sends; b"" at its end
        self.on_signal: Callable[[str], None] | None = None
        self._serve = serve
        self._tasks = tasks
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._gone = False

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self._chan = chan

    def shell_requested(self) -> bool:
        return True

    def exec_requested(self, command: str) -> bool:
        self.command = command
        return True

    def session_started(self) -> None:
        task = asyncio.create_task(self._run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def data_received(self, data: bytes, datatype: int | None) -> None:
        self.given.put_nowait(data)

    def eof_received(self) -> bool:
        self.given.put_nowait(b"")
        return True

    def signal_received(self, signal: str) -> None:
        if self.on_signal:
            self.on_signal(signal)

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True
        self._may_write.set()
        self.given.put_nowait(b"")

    async def say(self, data: bytes, *, stderr: bool = False) -> None:
        """Send output, waiting while the client takes none. Raises BrokenPipeError when it has gone."""
        await self._may_write.wait()
        if self._gone:
            raise BrokenPipeError
        self._chan.write(data, asyncssh.EXTENDED_DATA_STDERR if stderr else None)

    async def all_given(self) -> bytes:
        """All that the client sends, once it has closed its input."""
        parts = []
        while part := await self.given.get():
            parts.append(part)
        return b"".join(parts)

    async def _run(self) -> None:
        try:
            status = await self._serve(self)
        except _GONE:
            self._chan.abort()
            return
        except Exception:
            _log.exception("%r could not be answered", self.command)
            self._chan.exit(255)
            return
        if self._gone:
            return
        if status < 0:
            self._chan.exit_with_signal(signal.Signals(-status).name.removeprefix("SIG"))
        else:
            self._chan.exit(status)


async def join(channel: Channel, start: Callable[[int, int], Awaitable[Session]]) -> int:
    """Run the session that `start(stdout, stderr)` starts, its streams on the channel, until it ends and closes them.

    When the client has gone, the command goes on, as under a real server, and meets SIGPIPE at its next output.
    """
    (out, to_out), (err, to_err) = os.pipe(), os.pipe()
    try:
        session = await start(to_out, to_err)
    finally:
        os.close(to_out)
        os.close(to_err)
        copying = asyncio.gather(_copy(out, channel, stderr=False), _copy(err, channel, stderr=True))
    channel.on_signal = session.signal
    feeding = asyncio.create_task(_feed(channel, session))
    try:
        await copying
        return await session.process.wait()
    finally:
        feeding.cancel()


async def flood(channel: Channel) -> int:
    """A hundred megabytes of lines that mean nothing, as fast as the client takes them."""
    line = b"sshd: no such device, no such user, no such luck\n"
    chunk = line * (_CHUNK // len(line))
    for _ in range(FLOOD_BYTES // len(chunk)):
        await channel.say(chunk)
    return 0


async def _copy(source: int, channel: Channel, *, stderr: bool) -> None:
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(source, "rb", buffering=0)
    )
    try:
        while data := await reader.read(_CHUNK):
            await channel.say(data, stderr=stderr)
    except _GONE:
        pass
    finally:
        transport.close()


async def _feed(channel: Channel, session: Session) -> None:
    stdin = session.process.stdin
    assert stdin is not None  # noqa: S101 -- sessions are started with a pipe there
    try:
        while data := await channel.given.get():
            stdin.write(data)
            await stdin.drain()
    except OSError:  # the command reads no more; sshd does not mind either
        pass
    finally:
        stdin.close()
