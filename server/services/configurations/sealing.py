"""How a configuration is encrypted: bound to its network, version and ETag. Called by :mod:`.storing` and
:mod:`.in_force`.

Rows from before revision 0003 are bound to the SHA-256 of their own content instead. That hash is stored nowhere: a copy of the
database would let people guess weak secrets with it. It is computed from the decrypted text each time and proven by the cipher.
"""

from __future__ import annotations

import hashlib
import json

from contracts.bounded import read_json
from server.storage.crypto import Damaged, Vault


def sealed(vault: Vault, raw: bytes, *, network_id: int, version: int, tag: str) -> bytes:
    """The document encrypted for its row. ``tag`` is the row's random id."""
    return vault.seal(raw, _bound_to(network_id, version, tag))


def unsealed(vault: Vault, content: bytes, *, network_id: int, version: int, tag: str) -> bytes:
    """The document again. Raises :class:`Damaged`, also for bytes that belong to another row."""
    try:
        return vault.open(content, _bound_to(network_id, version, tag))
    except Damaged:
        return vault.open_bound_to_content(content, lambda raw: _bound_to(network_id, version, _content_hash(raw)))


def _bound_to(network_id: int, version: int, tag: str) -> str:
    return f"configuration/{network_id}/{version}/{tag}"


def _content_hash(raw: bytes) -> str:
    """As release 1 computed it: of the JSON with sorted keys and no white space. Raises ValueError for what is no JSON."""
    data = read_json(raw)
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
