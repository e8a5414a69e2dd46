"""Leased rows as the body of a batch: JSON, compressed. Pure.

The body of a row is text that is there already, so it is put into the batch as it is. What a reader cannot take is made readable:
half of a surrogate pair, which terminals send and JSON can write, is written out.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from contracts.bounded import Unreadable, read_json
from contracts.envelope import Envelope
from runtime.adapters.state.codec import dumps
from runtime.adapters.state.outbox.delivery import Leased

_LEVEL = 6
_HALF = re.compile(r"\\ud[89a-f]", re.IGNORECASE)
_CORRELATION = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def packed(rows: Iterable[Leased], stream: str) -> bytes:
    """The batch, gzipped. Its order is that of ``rows``."""
    raw = msgspec.json.encode([envelope(row, stream) for row in rows])
    return gzip.compress(raw, _LEVEL, mtime=0)


def envelope(row: Leased, stream: str) -> Envelope:
    """Without the agent's id: the token says whose it is."""
    return Envelope(
        envelope_id=row.id,
        kind=row.kind,
        sub=row.sub,
        ts_unix_ms=max(0, int(row.created_at.timestamp() * 1000)),
        body=msgspec.Raw(readable(row.body).encode()),
        correlation_id=row.correlation_id if _CORRELATION.fullmatch(row.correlation_id) else None,
        stream=stream,
        seq=row.seq,
    )


def readable(text: str) -> str:
    """JSON that every reader takes; a row that holds none becomes an object that says so, and the server refuses it by name."""
    try:
        if not _HALF.search(text):
            msgspec.json.decode(text, type=msgspec.Raw)
            return text
        return dumps(_whole(read_json(text)))
    except (msgspec.MsgspecError, Unreadable, RecursionError):
        return dumps({"unreadable": text[:1000].encode("utf-8", "backslashreplace").decode()})


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_whole(name): _whole(inner) for name, inner in value.items()}
    return [_whole(inner) for inner in value] if isinstance(value, list) else value
