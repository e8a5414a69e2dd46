"""Encryption of configurations at rest: AES-256-GCM under ``FLAGEE_SECRET_KEY``. Used by :mod:`server.services`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12
_PROOF_BYTES = 16


class Damaged(Exception):
    """The sealed bytes, or the row that they were bound to, were changed."""


class Vault:
    """Seals and opens bytes under one key. ``key_id`` names the key without telling anything about it."""

    __slots__ = ("_cipher", "key_id")

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self.key_id = hashlib.sha256(b"flagee secret key\0" + key).hexdigest()[:16]

    def seal(self, plaintext: bytes, bound_to: str) -> bytes:
        """Encrypt. ``bound_to`` says which row this is: moved to another row, the bytes no longer open."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plaintext, bound_to.encode())

    def open(self, sealed: bytes, bound_to: str) -> bytes:
        """Decrypt what :meth:`seal` returned. Raises :class:`Damaged`."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound_to.encode())
        except (InvalidTag, ValueError) as error:
            raise Damaged from error

    def open_bound_to_content(self, sealed: bytes, bound_to: Callable[[bytes], str]) -> bytes:
        """The same for bytes that are bound to something of their own content, which ``bound_to`` computes. Raises Damaged."""
        nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:-_PROOF_BYTES]
        try:
            # Counter mode is its own inverse: this is the plaintext, or anything at all. The next line proves it.
            draft = self._cipher.encrypt(nonce, ciphertext, None)[:-_PROOF_BYTES]
            return self.open(sealed, bound_to(draft))
        except (ValueError, RecursionError) as error:
            raise Damaged from error
