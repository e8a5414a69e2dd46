"""Renders an install script from its template: pure, bytes in and bytes out. Called by :mod:`server.services.installer.script`.

A template has a line that is a comment until then: ``# @@VALUES@@`` becomes one assignment a value. Everything else is copied
byte for byte. What differs between script languages is a :class:`Language`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from contracts.text import say
from server.reasons import table
from server.reasons.refusal import Refusal

VALUES = b"# @@VALUES@@"

# No value needs one of these, and each would break the line or the file that a value ends up in on the host.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Language:
    """``assignment``: name, value -> one line."""

    assignment: Callable[[str, str], bytes]


class TemplateUnusable(Exception):
    """The template cannot be rendered; the text says what is wrong with it."""


def render(template: bytes, values: Mapping[str, str | int], language: Language | None = None) -> bytes:
    """The script. Language: POSIX sh unless given. Raises :class:`TemplateUnusable`; refusal: installer_value_invalid."""
    language = language or SH
    _check(template)
    assignments = [language.assignment(name, _plain(name, value)) for name, value in values.items()]
    rendered: list[bytes] = []
    # Line by line and once only, so that nothing that was filled in is ever read as a placeholder.
    for line in template.splitlines(keepends=True):
        indent = line[: len(line) - len(line.lstrip(b" \t"))]
        if line.strip() == VALUES:
            rendered += [indent + assignment + b"\n" for assignment in assignments]
        else:
            rendered.append(line)
    return b"".join(rendered)


def _check(template: bytes) -> None:
    name = say("the template")
    if b"\r" in template or b"\0" in template:
        raise TemplateUnusable(
            say("{name} holds a carriage return or NUL; it must be text with LF at line ends", name=name)
        )
    if not template.endswith(b"\n"):
        raise TemplateUnusable(
            say("{name} is empty or ends in the middle of a line; it seems to be cut off", name=name)
        )
    if (times := [line.strip() for line in template.split(b"\n")].count(VALUES)) != 1:
        raise TemplateUnusable(
            say(
                "the template has {times} lines {placeholder}; exactly one is expected",
                times=times,
                placeholder=VALUES.decode(),
            )
        )


def sh_quoted(value: str) -> str:
    """Always in single quotes, in which no shell finds anything special but the quote itself."""
    return "'" + value.replace("'", "'\"'\"'") + "'"


def _sh_assignment(name: str, value: str) -> bytes:
    return f"{name}={sh_quoted(value)}".encode()


SH = Language(_sh_assignment)


def powershell_quoted(value: str) -> str:
    """An expression in ASCII: single-quoted strings, and a number for every character beyond.

    Windows PowerShell 5.1 reads a saved script in the machine's code page, where one byte of an accented letter may be a
    typographic quote; and PowerShell takes those (U+2018 to U+201B) for the quote itself. As numbers they can be neither.
    """
    parts: list[str] = []
    for ascii_part, other in re.findall(r"([\x20-\x7e]+)|([^\x20-\x7e])", value):
        if ascii_part:
            parts.append("'" + ascii_part.replace("'", "''") + "'")
        else:
            units = other.encode("utf-16-be")
            parts += [f"[char]0x{units[at : at + 2].hex().upper()}" for at in range(0, len(units), 2)]
    if not parts or not parts[0].startswith("'"):
        parts.insert(0, "''")  # so that + joins text instead of adding numbers
    return parts[0] if len(parts) == 1 else f"({' + '.join(parts)})"


def _powershell_assignment(name: str, value: str) -> bytes:
    return f"{name} = {powershell_quoted(value)}".encode()


POWERSHELL = Language(_powershell_assignment)


def _plain(name: str, value: str | int) -> str:
    text = str(value)
    if _UNPRINTABLE.search(text):
        raise Refusal(table.INSTALLER_VALUE_INVALID, name=name)
    return text
