"""An open connection to one host: scripts in, framed answers out. Made by :class:`runtime.adapters.ssh.remote.SshRemote`."""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
from collections.abc import Callable, Sequence

from contracts.config import Credential
from contracts.text import say
from runtime.adapters.ssh import elevation, words
from runtime.adapters.ssh.client import Client
from runtime.adapters.ssh.elevation import TerminalWanted, Way
from runtime.adapters.ssh.library import asyncssh
from runtime.adapters.ssh.shell import Shell
from runtime.domain import script
from runtime.domain.errors import Permanent
from runtime.domain.facts import Privilege
from runtime.domain.model import Host, Outcome, Reason
from runtime.domain.ports import Answer

WATCHDOG_LATER_S = 3
KILL_S = 5.0
CLOSE_S = 2.0
LAST_WORD_S = 1.0
NOLOGIN = 254  # OpenSSH without PAM shows /etc/nologin and exits with this
WINDOW = 256 * 1024


class SshSession:
    """Implements the engine's ``Session``. ``elevation`` is how root was reached: root, sudo, su, or none so far."""

    def __init__(
        self,
        host: Host,
        credential: Credential,
        client: Client,
        connection: asyncssh.SSHClientConnection,
        limit: int,
        learned_key: str = "",
    ) -> None:
        self._host, self._credential = host, credential
        self._client, self._connection, self._limit = client, connection, limit
        self._shell: Shell | None = None
        self._on_terminal = False
        self._over = False
        self._proven = False  # a script ran to its end: from then on no login file is in the way
        self._denied: Permanent | None = None
        self.elevated = credential.user == "root"
        self.elevation: Privilege = "root" if self.elevated else "none"
        self.learned_key = learned_key

    async def run(self, sections: Sequence[tuple[str, str]], *, timeout: float, privileged: bool) -> Answer:
        """As in the protocol. After a deadline, a flood or a loss the session is over: what is run later has an empty answer."""
        marker = secrets.token_hex(8)
        text = script.render(sections, marker, math.ceil(timeout) + WATCHDOG_LATER_S)
        reader = script.Reader(marker, self._limit, [name for name, _ in sections])
        try:
            async with asyncio.timeout(timeout):
                stopped = await self._converse(text, reader, privileged)
        except TimeoutError:
            stopped = Reason.DEADLINE
        if stopped in (Reason.DEADLINE, Reason.KILLED):
            await self._kill(reader.group, privileged)
        elif stopped is None and not reader.complete and await self._going():
            stopped = Reason.CONNECTION_LOST
        return reader.answer(stopped)

    async def close(self) -> None:
        self._connection.close()
        with contextlib.suppress(TimeoutError, asyncssh.Error, OSError):
            async with asyncio.timeout(CLOSE_S):
                await self._connection.wait_closed()
        self._over = True
        self._connection.abort()

    async def _going(self) -> bool:
        """Whether the connection ends too: a terminal that goes down ends the shell a moment before it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORD_S):
                await self._connection.wait_closed()
        return self._lost

    async def _converse(self, text: bytes, reader: script.Reader, privileged: bool) -> Reason | None:
        """Run the script to its end; else say why it has none. None: the shell ended by itself."""
        way_of = self._way_of(privileged)
        try:
            return await self._through(way_of(secrets.token_hex(8), text), reader)
        except TerminalWanted:
            self._on_terminal = True
            return await self._through(elevation.sudo_on_terminal(secrets.token_hex(8), text), reader)

    async def _through(self, way: Way, reader: script.Reader) -> Reason | None:
        shell = await self._start(way, reader)
        if shell is None:
            return Reason.CONNECTION_LOST
        if way.go and not await self._elevate(shell, way):
            return Reason.CONNECTION_LOST
        shell.begin()
        shell.write(way.input, last=not way.terminal)
        question = "" if self._proven else await shell.until_asked(lambda: reader.complete or reader.group is not None)
        if not question:
            await shell.until(lambda: reader.complete)
        if shell.flooded:
            return Reason.KILLED
        shell.close()
        if self._lost:
            return Reason.CONNECTION_LOST
        if not self._proven and reader.group is None and (refused := self._refused(shell, question)):
            raise refused
        self._proven = self._proven or reader.complete
        return None

    def _refused(self, shell: Shell, question: str) -> Permanent | None:
        """Why the first script of a session did not even begin, where the terminal says so."""
        said = words.said(bytes(shell.tail))
        if question or words.tells_of_expiry(said):
            return elevation.denied(self._credential.user, bytes(shell.tail), question, inside=False)
        if said and (words.tells_of_closed_door(said) or shell.exit_status == NOLOGIN):
            text = say(
                "{host} lets nobody in as {user}. The terminal says: {said}",
                host=self._host.name,
                user=self._credential.user,
                said=said,
            )
            return Permanent(Outcome.UNREACHABLE, Reason.LOGIN_REFUSED, text)
        return None

    async def _start(self, way: Way, reader: script.Reader) -> Shell | None:
        if self._shell is not None:  # dropbear confuses a new channel with one that is still closing
            await self._shell.wait_closed(CLOSE_S)
        self._shell = shell = Shell(reader, self._limit)
        try:
            await self._connection.create_session(
                lambda: shell,
                way.command,
                encoding=None,
                window=WINDOW,
                term_type="dumb" if way.terminal else None,
                request_pty="force" if way.terminal else False,
            )
        except asyncssh.ChannelOpenError as error:
            if self._lost:
                return None
            text = say(
                "{host} lets {user} log in, but runs no commands: {said}",
                host=self._host.name,
                user=self._credential.user,
                said=words.said(error.reason),
            )
            raise Permanent(Outcome.FAILED, Reason.BAD_FACTS, text) from None
        except (asyncssh.Error, OSError):
            return None
        return shell

    async def _elevate(self, shell: Shell, way: Way) -> bool:
        """Whether the shell is root's now; not when the connection was lost. Raises Permanent when root is denied."""
        password = self._credential.elevation_password or self._credential.password
        try:
            await elevation.overcome(shell, way, self._credential.user, password.reveal() if password else None)
        except Permanent as denied:
            if self._lost:
                return False
            self._denied = denied  # a wrong password is not tried again
            raise
        self.elevated, self.elevation = True, self._method
        return True

    @property
    def _lost(self) -> bool:
        return self._over or self._client.lost

    @property
    def _method(self) -> Privilege:
        if self._credential.user == "root":
            return "root"
        return "sudo" if self._credential.elevation == "auto" else self._credential.elevation

    def _way_of(self, privileged: bool) -> Callable[[str, bytes], Way]:
        if not privileged or self._method == "root":
            return elevation.plain
        if self._denied is not None:
            raise self._denied
        if self._method == "none":
            text = say("{user} is not root, and its credential names no way to become root", user=self._credential.user)
            raise Permanent(Outcome.FAILED, Reason.PRIVILEGE_DENIED, text)
        if self._method == "su":
            return elevation.su
        return elevation.sudo_on_terminal if self._on_terminal else elevation.sudo

    async def _kill(self, group: int | None, privileged: bool) -> None:
        """End what still runs on the host, then the connection. What this cannot reach is left to the script's own watchdog."""
        if group is not None and group > 1:
            text = f"kill -KILL -{group}\n".encode("ascii")
            with contextlib.suppress(TimeoutError, Permanent):
                async with asyncio.timeout(KILL_S):
                    await self._converse(text, script.Reader(secrets.token_hex(8), 0, ()), privileged)
        self._over = True
        self._connection.abort()
