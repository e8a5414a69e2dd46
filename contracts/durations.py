"""Spans of time as a person says them. Pure."""

from __future__ import annotations


def lasting(seconds: float) -> str:
    """In its two largest units: 2 d 3 h, 5 min 10 s, 12 s."""
    left, parts = round(seconds), []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        number, left = divmod(left, size)
        if number:
            parts.append(f"{number} {unit}")
    return " ".join(parts[:2]) or "0 s"
