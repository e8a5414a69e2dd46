"""Sentences as JSON: what is stored in English can be shown in the language of a later reader. Pure.

A sentence is stored beside its English text, under that text: who reads only the English text needs nothing of this. Where it is
damaged, comes from a later release or is too long, the English text stays.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping
from typing import Any

from contracts.text import Text, made

_DEEPEST = 8  # sentences inside sentences; ours have three


def placeholders(template: str) -> set[str]:
    """The names in braces. Raises ValueError for braces that do not fit, and for anything in them but a name."""
    names = set()
    for _, name, spec, conversion in string.Formatter().parse(template):
        if name is not None:
            if not name.isidentifier() or spec or conversion:
                raise ValueError(f"{{{name}}} is not a plain name: format the value before it is passed")
            names.add(name)
    return names


def sentences_of(texts: Iterable[str]) -> dict[str, Any]:
    """English text -> how it was made, for those of the texts that can be translated."""
    return {str.__str__(text): _data(text) for text in texts if isinstance(text, Text)}


def restored(value: Any, sentences: Mapping[str, Any]) -> Any:
    """Plain data with every text that ``sentences`` has as a Text."""
    if isinstance(value, str):
        return _text(sentences[value], value) or value if value in sentences else value
    if isinstance(value, Mapping):
        return {name: restored(inner, sentences) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [restored(inner, sentences) for inner in value]
    return value


def _data(text: Text) -> dict[str, Any]:
    values = {name: _data(value) if isinstance(value, Text) else value for name, value in text.values.items()}
    found: dict[str, Any] = {"template": text.template}
    return found | ({"other": text.other} if text.other else {}) | ({"values": values} if values else {})


def _text(data: Any, english: str | None = None, depth: int = 0) -> Text | None:
    """None for data that is no sentence. ``english``: as it was stored; None for a sentence inside another."""
    if depth > _DEEPEST or not isinstance(data, Mapping):
        return None
    template, other, given = data.get("template"), data.get("other", ""), data.get("values", {})
    if not isinstance(template, str) or not isinstance(other, str) or not isinstance(given, Mapping):
        return None
    values: dict[str, str | int] = {}
    for name, value in given.items():
        inner: Any = _text(value, depth=depth + 1) if isinstance(value, Mapping) else value
        if type(inner) not in (str, int, Text):
            return None
        values[name] = inner
    try:
        if values and not placeholders(template) | placeholders(other) <= values.keys():
            return None
    except ValueError:
        return None
    text = made(template, other, values)
    return text if english is None or text == english else None
