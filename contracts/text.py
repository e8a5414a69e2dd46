"""Sentences for people that can be shown in another language.

``say("{host} does not answer", host=name)`` is a str, the English sentence, that also keeps its template and its values. The
ledger, JSON, logs and what is sent to the control plane use it as the str that it is; a view calls :func:`in_language`. Pure, and
cheap: a run makes about ten for each host. docs/translating.md explains how to write one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

Value = str | int


class Text(str):
    """An English sentence. ``template``: with its placeholders, plain names: ``{host}``. ``values``: what replaces them.

    ``other``: the template for every number but one, empty for a sentence that does not depend on a number; that number is the
    value ``n``. What str's own methods, ``+`` and f-strings make of it is plain English text.
    """

    __slots__ = ("other", "template", "values")
    template: str
    other: str
    values: Mapping[str, Value]

    def __str__(self) -> Self:
        """Itself: the message of an exception keeps its template."""
        return self

    def __reduce__(self) -> tuple[Callable[..., Text], tuple[Any, ...]]:
        return _restored, (str.__str__(self), self.template, self.other, dict(self.values))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: object) -> Self:
        return self


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The sentences of one language. ``sentences``: English template -> one translation, or one for each of the plural's forms.
    ``form``: which of them is for a number."""

    language: str
    sentences: Mapping[str, Sequence[str]]
    form: Callable[[int], int]


def say(template: str, /, **values: object) -> Text:
    """A sentence. Values are texts, whole numbers and other sentences, which are translated too; anything else becomes its text.

    Without values the template is the sentence as it stands, braces included.
    """
    return _filled(template, values)


def plural(one: str, other: str, n: int, /, **values: object) -> Text:
    """A sentence that depends on the number ``n``, which is ``{n}`` in the templates: ``plural("{n} host", "{n} hosts", 3)``."""
    text = _filled(one if n == 1 else other, {"n": n, **values})
    text.template, text.other = one, other
    return text


def joined(parts: Iterable[str], separator: str = ", ") -> str:
    """The parts with ``separator`` between them. A Text when one of the parts is."""
    parts = tuple(parts)
    text = separator.join(parts)
    if not any(isinstance(part, Text) for part in parts):
        return text
    between = separator.replace("{", "{{").replace("}", "}}")
    names = [f"part{number}" for number in range(len(parts))]
    return _restored(text, between.join(f"{{{name}}}" for name in names), "", dict(zip(names, parts, strict=True)))


def some_of(parts: Sequence[str], at_most: int, separator: str = ", ") -> str:
    """``A, B and 3 more``: the first ``at_most`` parts, and how many there are besides."""
    more = len(parts) - at_most
    if more <= 0:
        return joined(parts, separator)
    return say("{some} and {n} more", some=joined(parts[:at_most], separator), n=more)


def all_of(parts: Sequence[str]) -> str:
    """``A and B and C``. A Text when there are several, or when the only part is one."""
    if len(parts) < 2:
        return parts[0] if parts else ""
    half = len(parts) // 2  # in halves: a list of thousands must not be as many sentences inside each other
    return say("{some} and {last}", some=all_of(parts[:half]), last=all_of(parts[half:]))


def one_of(parts: Sequence[str]) -> str:
    """As :func:`all_of`, with "or"."""
    if len(parts) < 2:
        return parts[0] if parts else ""
    half = len(parts) // 2
    return say("{some} or {last}", some=one_of(parts[:half]), last=one_of(parts[half:]))


def recognised(text: str, sentences: Sequence[Text]) -> str:
    """A library's English text as the one of ``sentences`` that it was made from, with its values; as it is when none fits."""
    for sentence in sentences:
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+?)", re.escape(sentence.template))
        if found := re.fullmatch(pattern, text, re.DOTALL):
            values = {name: recognised(value, sentences) for name, value in found.groupdict().items()}
            return _restored(text, sentence.template, "", values)
    return text


def in_language(text: str, catalogue: Catalogue) -> str:
    """The sentence in the language of ``catalogue``. What it has no translation for stays English, with the values translated; a
    text that is no Text comes back as it is."""
    if not isinstance(text, Text):
        return text
    values = {name: _shown(value, catalogue) for name, value in text.values.items()}
    forms = catalogue.sentences.get(text.template)
    try:
        template = _english(text) if forms is None else forms[_form(text, catalogue) if text.other else 0]
        return template.format_map(values) if values else template
    except (LookupError, ValueError, AttributeError):  # a translation that does not fit: `make check` reports ours
        return str.__str__(text)


def _shown(value: Value, catalogue: Catalogue) -> Value:
    return in_language(value, catalogue) if isinstance(value, Text) else value


def _english(text: Text) -> str:
    return text.other if text.other and text.values.get("n") != 1 else text.template


def _form(text: Text, catalogue: Catalogue) -> int:
    number = text.values["n"]
    return catalogue.form(number) if isinstance(number, int) else 0


def made(template: str, other: str, values: Mapping[str, Value]) -> Text:
    """A sentence from its parts, for what reads stored ones. Raises LookupError, ValueError where they do not fit."""
    text = _restored("", template, other, values)
    english = _english(text)
    return _restored(english.format_map(values) if values else english, template, other, values)


def _filled(template: str, values: Mapping[str, object]) -> Text:
    kept = {name: value if type(value) in _KEPT else str(value) for name, value in values.items()} if values else {}
    return _restored(template.format_map(kept) if kept else template, template, "", kept)


def _restored(english: str, template: str, other: str, values: Mapping[str, Any]) -> Text:
    text = str.__new__(Text, english)
    text.template, text.other, text.values = template, other, values
    return text


_KEPT = frozenset({str, int, Text})
