"""Reads text from outside: JSON and whole numbers, within bounds of size, depth, digits and range. Pure.

Whatever a file, an answer, a terminal or a row holds is parsed here and nowhere else, because the parsers of the standard library
raise RecursionError for brackets, ValueError for digits, and turn ``1e999`` into infinity, each where nobody expects it.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from contracts.text import joined, recognised, say

MAX_BYTES = 8 * 1024 * 1024
MAX_DEPTH = 40
# What a 64-bit column and every other reader of JSON can hold.
LEAST, MOST = -(2**63), 2**63 - 1

_WHOLE = re.compile(r"-?[0-9]{1,19}")
# From its first digit only: begun at every digit, runs that are a little too short would cost the square of their length.
_MANY_DIGITS = re.compile(r"(?<![0-9])[0-9]{4300,}")
# Python's own.
_OF_JSON = (
    say("Expecting value"),
    say("Expecting ',' delimiter"),
    say("Expecting ':' delimiter"),
    say("Expecting property name enclosed in double quotes"),
    say("Unterminated string starting at"),
    say("Invalid control character at"),
    say("Invalid \\escape"),
    say("Invalid \\uXXXX escape"),
    say("Extra data"),
)
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]')


class Unreadable(ValueError):
    """The text was not taken. ``reason``: too_large, not_json, too_deep, bad_number or key_twice; ``path``: where, if known."""

    def __init__(self, reason: str, message: str, path: str = "") -> None:
        super().__init__(joined((path, message), ": ") if path else message)
        self.reason, self.message, self.path = reason, message, path


def read_json(raw: bytes | str, *, limit: int = MAX_BYTES, depth: int = MAX_DEPTH) -> Any:
    """One JSON value of at most ``limit`` bytes (UTF-8, with or without a byte order mark) and ``depth`` levels.

    Raises Unreadable for everything else: a key given twice, NaN, infinity, numbers beyond 64 bits. Half of a surrogate pair,
    which JSON can write, is kept: what it may be used for is for the caller to say.
    """
    if len(raw) > limit:
        raise Unreadable("too_large", say("{size} bytes; at most {limit} are read", size=len(raw), limit=limit))
    text = ""
    try:
        # Windows editors leave a byte order mark; everything else that is not UTF-8 is damaged.
        text = raw.decode("utf-8-sig") if isinstance(raw, bytes) else raw.removeprefix("\ufeff")
        data = json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_no_constant)
    except Unreadable:
        raise
    except json.JSONDecodeError as error:
        where: str = say("line {line} column {column}", line=error.lineno, column=error.colno)
        raise Unreadable(
            "not_json",
            say("not a complete JSON document, {where}: {cause}", where=where, cause=recognised(error.msg, _OF_JSON)),
        ) from None
    except UnicodeDecodeError:
        raise Unreadable("not_json", say("not a complete JSON document: this is not UTF-8 text")) from None
    except RecursionError:
        raise Unreadable(
            "too_deep",
            say("nested more than {depth} levels deep, {where}", depth=depth, where=_deep_place(text, depth)),
        ) from None
    except ValueError:  # the only one left: more digits than Python converts
        found = _MANY_DIGITS.search(text)
        where = _place(text, found.start()) if found else say("somewhere")
        raise Unreadable("bad_number", say("a number with thousands of digits, {where}", where=where)) from None
    require_bounds(data, depth=depth)
    return data


def require_bounds(data: Any, *, depth: int = MAX_DEPTH) -> None:
    """Check what a parser returned: at most ``depth`` levels of lists and maps, finite numbers of 64 bits. Raises Unreadable."""
    level = [data]
    for left in range(depth, -1, -1):
        inner: list[Any] = []
        for node in level:
            kind = type(node)
            if kind is dict or kind is list:
                if not left:
                    raise Unreadable("too_deep", say("nested more than {depth} levels deep", depth=depth))
                inner += node.values() if kind is dict else node
            elif (kind is int and not LEAST <= node <= MOST) or (kind is float and not math.isfinite(node)):
                raise Unreadable("bad_number", say("not a finite number within 64 bits"), _path_to(node, data))
        level = inner


def whole(text: str | bytes | None, low: int = 0, high: int = MOST) -> int | None:
    """The whole number that ASCII digits mean, minus sign or not; None for other text and outside ``low`` to ``high``."""
    if isinstance(text, bytes):
        text = text.decode("ascii", "replace")
    if text is None or not _WHOLE.fullmatch(text):
        return None
    number = int(text)
    return number if low <= number <= high else None


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise Unreadable("key_twice", say("key given twice: {name}", name=name[:200]))
            seen.add(name)
    return result


def _no_constant(name: str) -> NoReturn:
    raise Unreadable("bad_number", say("{name} is not a JSON number", name=name))


def _path_to(number: int | float, node: Any, path: str = "") -> str:
    """Where that very object stands; no deeper than the caller has looked, so recursion is safe."""
    if isinstance(node, dict):
        inner = ((f"{path}.{name}" if path else str(name), value) for name, value in node.items())
    elif isinstance(node, list):
        inner = ((f"{path}[{place}]", value) for place, value in enumerate(node))
    else:
        return ""
    for where, value in inner:
        if value is number:
            return where
        if isinstance(value, dict | list) and (found := _path_to(number, value, where)):
            return found
    return ""


def _deep_place(text: str, depth: int) -> str:
    """Where the brackets of a JSON text are first deeper than that."""
    level = 0
    for found in _TOKEN.finditer(text):
        if found[0] in "[{":
            level += 1
            if level > depth:
                return _place(text, found.start())
        elif found[0] in "]}":
            level -= 1
    return say("somewhere")


def _place(text: str, at: int) -> str:
    return say(
        "line {line} column {column}", line=text.count(chr(10), 0, at) + 1, column=at - text.rfind(chr(10), 0, at)
    )


__all__ = ["MAX_BYTES", "MAX_DEPTH", "Unreadable", "read_json", "require_bounds", "whole"]
