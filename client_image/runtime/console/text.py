"""Plain text for people: one line, without what a terminal would obey. Used by everything here that prints."""

from __future__ import annotations

import os
import re
from typing import Any

# C0 and C1 controls, and the characters that reorder text: a host's name or answer must not drive the operator's terminal.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def clean(text: object) -> str:
    """Text from a host or an inventory, safe for a terminal and on one line."""
    return CONTROL.sub("?", str(text).replace("\n", " ").replace("\t", " "))


def counted(number: int, what: str) -> str:
    """3 hosts, 1 host."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def lasting(seconds: float) -> str:
    """A time as a person says it, in its two largest units: 2 d 3 h, 5 min 10 s, 12 s."""
    left, parts = round(seconds), []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        number, left = divmod(left, size)
        if number:
            parts.append(f"{number} {unit}")
    return " ".join(parts[:2]) or "0 s"


def hush(stream: Any) -> None:
    """The reader of this stream went away (head, less): what is still to be said is dropped, and the work goes on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
