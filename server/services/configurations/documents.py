"""Opened configurations of this process, so that a document is not read and decrypted again for every proxy that fetches it.

Who may have one is not decided here, and not remembered: the token is checked against the database for each request.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from server.services.configurations.in_force import Current, plaintext
from server.storage.crypto import Vault
from server.storage.session import Database

_LIMIT = 16 * 1024 * 1024  # bytes, in each worker process


class Documents:
    """The most recently served versions, ``limit`` bytes of them. A version never changes, and its ETag is never used again."""

    def __init__(self, database: Database, vault: Vault | None, limit: int = _LIMIT) -> None:
        self._database, self._vault, self._limit = database, vault, limit
        self._opened: OrderedDict[tuple[int, int, str], bytes] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def opened(self, current: Current) -> bytes:
        """The document as it was stored. Refusals: those of :func:`server.services.configurations.in_force.plaintext`."""
        # By all that the bytes are bound to: a row that took another one's ETag must not get that one's document.
        key = (current.network_id, current.version, current.tag)
        with self._lock:
            known = self._opened.get(key)
            if known is not None:
                self._opened.move_to_end(key)
                return known
        with self._database.reading() as connection:
            raw = plaintext(connection, self._vault, current)
        with self._lock:
            self._keep(key, raw)
        return raw

    def _keep(self, key: tuple[int, int, str], raw: bytes) -> None:
        if key in self._opened or len(raw) > self._limit:
            return
        self._opened[key] = raw
        self._size += len(raw)
        while self._size > self._limit:
            _, oldest = self._opened.popitem(last=False)
            self._size -= len(oldest)
