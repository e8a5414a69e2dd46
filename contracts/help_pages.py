"""Help texts of commands, translated paragraph by paragraph: a change of one leaves the others translated. Pure.

A paragraph that begins with ``\\b`` keeps its lines, as click shows it; every other is one line here and is wrapped when shown.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable

_VERBATIM = "\b"


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a docstring or help text, as they stand in a catalogue."""
    return [shape[1] for shape in _shapes(text)]


def translated(text: str, lookup: Callable[[str], str]) -> str:
    """The text with every paragraph as ``lookup`` gives it."""
    return "\n\n".join(mark + lookup(paragraph) for mark, paragraph in _shapes(text))


def _shapes(text: str) -> list[tuple[str, str]]:
    found = []
    for block in re.split(r"\n[ \t]*\n", inspect.cleandoc(text).partition("\f")[0]):
        first, _, rest = block.partition("\n")
        if first.strip() == _VERBATIM:
            found.append((f"{_VERBATIM}\n", rest))
        elif block.strip():
            found.append(("", " ".join(block.split())))
    return found
