"""Our side of one login: which host key is accepted, and one credential, given at most once. asyncssh calls it.

What the server says meanwhile is kept: it is the only one who knows why it refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from contracts.text import say
from runtime.adapters.ssh import words
from runtime.adapters.ssh.library import asyncssh
from runtime.domain.ports import PinnedKey

# Rounds of a dialogue that shows something and asks nothing. After more of them the login ends.
SILENT_ROUNDS = 8


class Client(asyncssh.SSHClient):
    """``pinned``: the only acceptable key; None: any, if ``trust_new``. What happened is read from the attributes afterwards.

    ``greeting``: what the server said before it was shown a credential, which it says to everybody; ``answer``: what it said
    after that. ``question``: what it asked that is not a question for the password; ``expired``: it demands a new password.
    ``connected`` is called when the connection is made, before anything is sent.
    """

    def __init__(
        self,
        pinned: PinnedKey | None,
        *,
        trust_new: bool,
        password: str | None,
        keys: Sequence[asyncssh.SSHKeyPair],
    ) -> None:
        self._pinned, self._trust_new = pinned, trust_new
        self._password, self._keys = password, list(keys)
        self._dialogue = True
        self._silent_rounds = 0
        self._asked_for_password = ""
        self._first = b""
        self.connected: Callable[[], None] = lambda: None
        self.connection: asyncssh.SSHClientConnection | None = None
        self.presented: PinnedKey | None = None
        self.offered = False
        self.greeting = self.answer = self.question = ""
        self.expired = False
        self.lost = False

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        self.connection = conn
        self._listen(conn)
        self.connected()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True

    def auth_banner_received(self, msg: str, lang: str) -> None:
        self._hear(msg)

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        self.presented = PinnedKey(" ".join(key.export_public_key("openssh").decode("ascii").split()[:2]))
        return self._trust_new if self._pinned is None else self.presented == self._pinned

    def public_key_auth_requested(self) -> asyncssh.SSHKeyPair | None:
        if not self._keys:
            return None
        self.offered = True
        return self._keys.pop(0)

    def password_auth_requested(self) -> str | None:
        # Taken away when given: a second method must not make a second failed attempt of the same password.
        password, self._password = self._password, None
        self.offered = self.offered or password is not None
        return password

    def password_change_requested(self, prompt: str, lang: str) -> Any:
        self._hear(prompt)
        self.expired = True
        return NotImplemented  # asyncssh's way to say no

    def kbdint_auth_requested(self) -> str | None:
        # Once: a server that says no without asking would be tried again without end.
        first, self._dialogue = self._dialogue, False
        return "" if first and self._password is not None else None

    def kbdint_challenge_received(
        self, name: str, instructions: str, lang: str, prompts: Sequence[tuple[str, bool]]
    ) -> list[str] | None:
        """The password goes to the first question alone, and only if what is typed there is hidden and no new one is asked for.

        The question's words depend on the server's language; that it hides what is typed does not.
        """
        shown = f"{name} {instructions}"
        self._hear(shown)
        if not prompts:
            self._silent_rounds += 1
            return [] if self._silent_rounds <= SILENT_ROUNDS else None
        text = words.said(" ".join(prompt for prompt, _ in prompts[:10])) or say("a question without text")
        # Searched one by one: what is searched is limited, and long instructions must not hide the question.
        if words.tells_of_expiry(shown) or words.tells_of_expiry(text):
            self.expired = True
            self._hear(text)
            return None
        if len(prompts) == 1 and not prompts[0][1] and not self._asked_for_password:
            self._asked_for_password = text
            password = self.password_auth_requested()
            return None if password is None else [password]
        if text != self._asked_for_password:  # the same question again: the password was wrong
            self.question = text
        return None

    @property
    def words(self) -> str:
        """What the server said of this login; where it said nothing of that, what it says to everybody."""
        return words.said(self.answer) or words.said(self.greeting) or words.said(self._first.partition(b"SSH-")[0])

    @property
    def version(self) -> str:
        """The server's version line, empty before it came."""
        return "" if self.connection is None else self.connection.get_extra_info("server_version") or ""

    @property
    def server_offer(self) -> bytes:
        """The server's key exchange message: OpenSSH only hangs up when nothing fits. asyncssh has no public name for it."""
        return b"" if self.connection is None else self.connection._server_kexinit

    def _listen(self, conn: asyncssh.SSHClientConnection) -> None:
        """Keep what comes before the version line, which asyncssh passes over: OpenSSH says there why it takes nobody in now."""
        received = conn.data_received

        def first(data: bytes, datatype: Any = None) -> None:
            self._first = (self._first + data)[: words.KEPT]
            if b"SSH-" in self._first or len(self._first) == words.KEPT:
                vars(conn).pop("data_received", None)
            received(data, datatype)

        vars(conn)["data_received"] = first

    def _hear(self, text: str) -> None:
        if self.offered:
            self.answer = f"{self.answer} {text}"[: words.KEPT]
        else:
            self.greeting = f"{self.greeting} {text}"[: words.KEPT]
