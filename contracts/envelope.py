"""The envelope: one message of telemetry, as it travels, whatever carries it. Read by the server's ingest, written by the outbox.

msgspec, because a batch of 1,000 is read in a few milliseconds. Unknown fields are tolerated: a newer agent may say more.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Final

from msgspec import Meta, Raw, Struct

from contracts.bounded import MOST

# Limits of one batch, after decompression; settings of the server may lower or raise the first two.
MOST_ENVELOPES: Final = 1000
MOST_BYTES: Final = 4 * 1024 * 1024
ENVELOPE_BYTES: Final = 64 * 1024
RESULT_BYTES: Final = 256 * 1024
# An agent keeps an envelope for so long at most, and the server knows for so long what it has stored.
OUTBOX_DAYS: Final = 30
DUPLICATE_DAYS: Final = 45

_MS_PER_DAY = 86_400_000
_UUID7 = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-7[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}"
_ULID = r"[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}"
_ID = re.compile(f"{_UUID7}|{_ULID}")
_CROCKFORD = {letter: value for value, letter in enumerate("0123456789ABCDEFGHJKMNPQRSTVWXYZ")}


def whole(pattern: str) -> Meta:
    """All of a text. A dollar alone would let a line feed through at its end, which JSON Schema's dialect has no word for."""
    return Meta(pattern=rf"^({pattern})$(?!\n)")


Sub = Annotated[str, whole(r"([a-z0-9_]+(\.[a-z0-9_]+)*)?"), Meta(max_length=64)]
Id = Annotated[str, Meta(min_length=1, max_length=128)]
Uuid = Annotated[str, whole(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")]
Correlation = Annotated[str, whole(r"[A-Za-z0-9._:-]{1,128}")]


class Envelope(Struct, frozen=True, gc=False, omit_defaults=True):
    """``envelope_id``: UUIDv7 or ULID, made with what it tells of. ``body``: an object, typed by kind and sub. ``seq``: its place
    in ``stream``, one outbox of the agent. ``tenant_id`` and ``agent_id`` may be left out; they may not contradict the token."""

    envelope_id: Annotated[str, whole(f"{_UUID7}|{_ULID}")]
    kind: Annotated[str, Meta(min_length=1, max_length=32)]
    ts_unix_ms: Annotated[int, Meta(ge=0, le=MOST)]
    body: Raw
    sub: Sub = ""
    schema_version: Annotated[int, Meta(ge=1, le=32767)] = 1
    meta: dict[Id, Annotated[str, Meta(max_length=1024)]] | None = None
    correlation_id: Correlation | None = None
    stream: Uuid | None = None
    seq: Annotated[int, Meta(ge=0, le=MOST)] | None = None
    tenant_id: Id | None = None
    agent_id: Id | None = None


def parse_id(text: str) -> str | None:
    """The 128 bits of a UUIDv7, or of a ULID, which has its milliseconds in the same place, as 32 hexadecimal digits; None for
    anything else. Not a UUID object: a batch has hundreds, and databases take the digits."""
    if not _ID.fullmatch(text):
        return None
    if len(text) == 36:
        return text.replace("-", "").lower()
    number = 0
    for letter in text.upper():
        number = number << 5 | _CROCKFORD[letter]
    return f"{number:032x}"


def day_of(digits: str) -> int:
    """The day on which the id of these 32 hexadecimal digits was made, as days since 1970-01-01 UTC."""
    return int.from_bytes(bytes.fromhex(digits[:12])) // _MS_PER_DAY


def today(now: dt.datetime) -> int:
    """The day of ``now``, counted as :func:`day_of` does."""
    return int(now.timestamp()) // 86_400
