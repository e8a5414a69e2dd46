"""Reading a first-generation document whose values may be anything: notes on the way, no exception. Used by contracts.legacy."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from contracts.notes import Note, NoteLevel
from contracts.text import say

UNKNOWN_KEY = say("not a key of the first generation; ignored")


@dataclass(slots=True)
class Old:
    """The document without what is null or blank, and what has been said about it so far."""

    data: dict[str, Any]
    notes: list[Note] = field(default_factory=list)

    def get(self, key: str, default: Any = None) -> Any:
        return self.data.get(key, default)

    def map(self, key: str) -> dict[str, Any]:
        """A copy of a map; empty, with a note, when something else stands there."""
        value = self.data.get(key, {})
        if isinstance(value, dict):
            return dict(value)
        self.note("warning", key, say("is not a map: ignored"))
        return {}

    def has(self, path: str) -> bool:
        """Whether a dotted path is there and not null."""
        node: Any = self.data
        for step in path.split("."):
            if not isinstance(node, dict) or node.get(step) is None:
                return False
            node = node[step]
        return True

    def note(self, level: NoteLevel, path: str, text: str) -> None:
        self.notes.append(Note(level, path, text))

    def url(self, key: str, path: str = "") -> Any:
        """A host becomes https://host + path; a URL stays."""
        value = self.data.get(key)
        if not isinstance(value, str):
            return value
        return value if re.match(r"https?://", value, re.IGNORECASE) else f"https://{value.rstrip('/')}{path}"

    def held(self, key: str, value: Any, low: int, high: int) -> int | None:
        """A whole number held to a range, with a note when it had to be; None when it is no number."""
        number = whole(value)
        if number is None:
            return None
        result = max(low, min(number, high))
        if result != number:
            self.note("warning", key, say("{number} is held to {result}", number=number, result=result))
        return result


def without_blanks(value: Any) -> Any:
    """A value with its texts stripped and everything null or blank left out, in lists and maps too; None when nothing is left of
    a text. A map of a list that loses all it held goes with it."""
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, dict):
        return {key: said for key, inner in value.items() if (said := without_blanks(inner)) is not None}
    if isinstance(value, list):
        items = [without_blanks(item) for item in value]
        return [
            said for item, said in zip(value, items, strict=True) if said is not None and (said != {} or item == {})
        ]
    return value


def given(**values: Any) -> dict[str, Any]:
    """The values that are there."""
    return {key: value for key, value in values.items() if value is not None}


def whole(value: Any) -> int | None:
    """The whole number that a JSON number, or a text of digits, means."""
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,9}\s*", value):
        return int(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9:
        return int(value)
    return None


def flag(value: Any) -> bool:
    """1, true, yes, y and on are true, whatever their case; every other text is false."""
    return value.strip().lower() in ("1", "true", "yes", "y", "on") if isinstance(value, str) else bool(value)


def store(value: Any) -> Any:
    """A store's number, also from the form LOJA001."""
    digits = re.fullmatch(r"\s*(?:loja)?\s*([0-9]{1,9})\s*", value, re.IGNORECASE) if isinstance(value, str) else None
    return int(digits[1]) if digits else value


def listed(value: Any) -> list[Any] | None:
    """A list; a single value, or a text with commas, is read as one. None stays None."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value if value is None or isinstance(value, list) else [value]


def text(value: Any) -> Any:
    """Ids were written as numbers or as texts; they are texts here."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def texts(value: Any) -> list[Any] | None:
    items = listed(value)
    return items and [text(item) for item in items]
