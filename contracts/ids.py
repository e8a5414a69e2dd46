"""Identifiers that both sides make and check: UUIDv7 (RFC 9562) and the correlation id's grammar."""

from __future__ import annotations

import os
import random
import re
import time

_CORRELATION = re.compile(r"[A-Za-z0-9._:-]{1,128}")
# Ids have to be unique, not secret: asking the system for each one cost a poll a tenth of its time. A child begins anew.
_random = random.Random()  # noqa: S311
os.register_at_fork(after_in_child=_random.seed)


def uuid7(unix_ms: int | None = None) -> str:
    """A UUID version 7: 48 bits of Unix milliseconds, then random bits. Sorts by time, which keeps indexes small on disk."""
    ms = time.time_ns() // 1_000_000 if unix_ms is None else unix_ms
    value = (ms & (2**48 - 1)) << 80 | _random.getrandbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def correlation_id(received: str | None) -> str:
    """The received id when it is well formed, else a new one. Anything else could break a log line or a header."""
    return received if received and _CORRELATION.fullmatch(received) else uuid7()
