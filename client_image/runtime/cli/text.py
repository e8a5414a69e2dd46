"""Plain text for people: one line, without what a terminal would obey. Used by everything here that prints."""

from __future__ import annotations


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
