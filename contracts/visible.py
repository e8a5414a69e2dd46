r"""Characters that nobody sees, or that steer the terminal which shows them, written out: ``\u202e`` instead of the character.

Called at every edge where text leaves for a person or a log: names and answers come from hosts, inventories and files, and must
not hide, reorder or repaint what stands beside them. Names that differ only by such a character look different. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

# By what it is, not by who abused it. Every white space but the plain one is here too: it looks like the plain one.
_CHARACTERS = (
    r"\x00-\x08\x0b-\x1f\x7f-\xa0\xad"  # C0 but tab and line feed, C1, no-break space, soft hyphen
    r"\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f"
    r"\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800"  # spaces, zero width, joiners, bidi, line and paragraph separators
    r"\u3000\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"  # fillers, surrogates, variation selectors, BOM
    "\U000110bd\U000110cd\U00013430-\U0001345f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_LONGEST = 100  # of a value in a sentence
_LONG = frozenset({"exception", "stack"})
_HALF = re.compile("[\ud800-\udfff]")
_INVISIBLE = re.compile(f"[{_CHARACTERS}]")


def visible(text: str) -> str:
    """Text of any number of lines; line feeds and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    return text if _is_plain(text) else _INVISIBLE.sub(_written_out, text)


def one_line(text: object) -> str:
    """Text for one cell or one line: line feeds and tabs become spaces."""
    text = str(text)
    if text.isascii() and text.isprintable():
        return text
    return _INVISIBLE.sub(_written_out, text.replace("\n", " ").replace("\t", " "))


def quoted(value: object) -> str:
    """A value inside a sentence, as a person wrote it: a text in double quotes, none, or JSON. A long one is cut."""
    written = value if isinstance(value, str) else "none" if value is None else json.dumps(value, default=str)
    text = one_line(written)
    text = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    return f'"{text}"' if isinstance(value, str) else text


def not_text(words: Iterable[str]) -> str:
    """The first word of a command line that is no text in its encoding, visible; empty when all are. Python keeps such bytes as
    halves of characters, which no database, lock or answer takes, and which no name of ours holds."""
    return next((visible(word) for word in words if _HALF.search(word)), "")


def visible_values(event: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a log line, for a reader of text: visible, and on one line but for tracebacks, however deep a text stands."""
    return {
        one_line(name): visible(value) if name in _LONG and isinstance(value, str) else _shown(value)
        for name, value in event.items()
    }


def _shown(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {one_line(name): _shown(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_shown(inner) for inner in value]
    return one_line(value)


def is_utf8(encoding: str | None) -> bool:
    """Whether a stream of this encoding takes every character."""
    return (encoding or "utf-8").lower().replace("-", "").replace("_", "") == "utf8"


def json_text(value: Any, *, indent: int | None = None, ascii_only: bool = False, **options: Any) -> str:
    """JSON for a program, exact, in which a person sees every character too: JSON has another way to write each."""
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent, **options)
    if text.isascii() and text.isprintable():
        return text
    # What is replaced stands only inside strings; outside of them JSON has line feeds and plain spaces.
    return text if _is_plain(text) else _INVISIBLE.sub(_as_json, text)


def _is_plain(text: str) -> bool:
    """Whether nothing has to be written out, told without reading each character: a report of many hosts is long."""
    return text.isascii() and text.replace("\n", "").replace("\t", "").isprintable()


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _as_json(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1]
