"""The languages that people can choose, and the reading of their catalogues: the ``.po`` files of gettext. Pure.

The files are read as they are, so that nothing has to be compiled and nothing can be out of date. Each language is one row here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from contracts.text import Catalogue

ENGLISH = "en"


@dataclass(frozen=True, slots=True)
class Language:
    """``folder``: below ``locale/``. ``plurals``: the header of its files. ``form``: the same rule, number to form."""

    folder: str
    plurals: str
    form: Callable[[int], int]


# The code as after --lang. English needs no catalogue.
LANGUAGES: Mapping[str, Language] = {
    "pt-BR": Language("pt_BR", "nplurals=2; plural=(n > 1);", lambda n: int(n > 1)),
}
CODES = (ENGLISH, *LANGUAGES)

_ESCAPED = re.compile(r"\\(.)")
_CONTROL = {"n": "\n", "t": "\t", "r": "\r"}


def chosen(asked: str | None, environ: Mapping[str, str]) -> str:
    """The code of the language: what was asked for by name, else the first of LC_ALL, LC_MESSAGES and LANG that is set. English
    for a language without a catalogue."""
    said = asked or next(filter(None, map(environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    language = re.split(r"[-_.@]", said.strip().lower())[0]
    return next((code for code in LANGUAGES if code.partition("-")[0].lower() == language), ENGLISH)


def asked_for(words: Iterable[str]) -> str | None:
    """The value of ``--lang`` among the words of a command line, before they are parsed: what is wrong with them is told in that
    language too."""
    words = [*words]
    given = [
        after if word == "--lang" else word.partition("=")[2]
        for word, after in zip(words, [*words[1:], ""], strict=False)
        if word == "--lang" or word.startswith("--lang=")
    ]
    return given[-1] if given else None


def catalogue_of(language: str, files: Iterable[str]) -> Catalogue:
    """``files``: the texts of the language's ``.po`` files."""
    sentences: dict[str, tuple[str, ...]] = {}
    for text in files:
        sentences.update(read_po(text))
    return Catalogue(language, sentences, LANGUAGES[language].form)


def read_po(text: str) -> dict[str, tuple[str, ...]]:
    """English template -> its translations, without entries that are obsolete, uncertain (fuzzy) or not complete."""
    found: dict[str, tuple[str, ...]] = {}
    for entry in _entries(text):
        forms = tuple(value for name, value in entry.fields.items() if name.startswith("msgstr"))
        if entry.fields.get("msgid") and all(forms) and not entry.fuzzy:
            found[entry.fields["msgid"]] = forms
    return found


@dataclass(slots=True)
class _Entry:
    fields: dict[str, str] = field(default_factory=dict)
    fuzzy: bool = False


def _entries(text: str) -> Iterator[_Entry]:
    entry, name = _Entry(), ""
    for line in (*text.split("\n"), ""):
        word = line.strip()
        if not word:
            if entry.fields:
                yield entry
            entry = _Entry()
        elif word.startswith("#"):
            entry.fuzzy |= word.startswith("#,") and "fuzzy" in word
        else:
            keyword, quote, rest = word.partition('"')
            name = keyword.strip() or name
            entry.fields[name] = entry.fields.get(name, "") + _unescaped(rest.removesuffix('"')) if quote else ""


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: _CONTROL.get(found[1], found[1]), text) if "\\" in text else text
