"""Our side of one login: which host key is accepted, and one credential, given at most once. asyncssh calls it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncssh

from runtime.core.ports import PinnedKey


class Client(asyncssh.SSHClient):
    """``pinned``: the only acceptable key; None: any, if ``trust_new``. What happened is read from the attributes afterwards."""

    def __init__(
        self, pinned: PinnedKey | None, *, trust_new: bool, password: str | None, keys: Sequence[asyncssh.SSHKeyPair]
    ) -> None:
        self._pinned, self._trust_new = pinned, trust_new
        self._password, self._keys = password, list(keys)
        self._dialogue = True
        self.connection: asyncssh.SSHClientConnection | None = None
        self.presented: PinnedKey | None = None
        self.expired = False
        self.lost = False

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        self.connection = conn

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        self.presented = PinnedKey(" ".join(key.export_public_key("openssh").decode("ascii").split()[:2]))
        return self._trust_new if self._pinned is None else self.presented == self._pinned

    def public_key_auth_requested(self) -> asyncssh.SSHKeyPair | None:
        return self._keys.pop(0) if self._keys else None

    def password_auth_requested(self) -> str | None:
        # Taken away when given: a second method must not make a second failed attempt of the same password.
        password, self._password = self._password, None
        return password

    def password_change_requested(self, prompt: str, lang: str) -> Any:
        self.expired = True
        return NotImplemented  # asyncssh's way to say no

    def kbdint_auth_requested(self) -> str | None:
        # Once: a server that says no without asking would be tried again for ever.
        first, self._dialogue = self._dialogue, False
        return "" if first and self._password is not None else None

    def kbdint_challenge_received(
        self, name: str, instructions: str, lang: str, prompts: Sequence[tuple[str, bool]]
    ) -> list[str] | None:
        """The prompt's words depend on the server's language; that it hides what is typed does not."""
        if not prompts:
            return []
        if len(prompts) == 1 and not prompts[0][1]:
            password = self.password_auth_requested()
            return None if password is None else [password]
        return None

    @property
    def server_offer(self) -> bytes:
        """The server's key exchange message: OpenSSH only hangs up when nothing fits. asyncssh has no public name for it."""
        return b"" if self.connection is None else self.connection._server_kexinit
