"""The language in which this process speaks to people, chosen once in main: ``--lang``, else LC_ALL, LC_MESSAGES, LANG.

Everything that prints calls :func:`shown` last, just before the text leaves. Codes, JSON, logs and what is stored stay English.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from contracts.languages import ENGLISH, LANGUAGES, asked_for, catalogue_of, chosen
from contracts.text import Text, in_language

if TYPE_CHECKING:
    from contracts.text import Catalogue

_FOLDER = "locale"
_process = {"language": ENGLISH}


def choose_language(words: Iterable[str], environ: Mapping[str, str] = os.environ) -> None:
    """``words``: the command line, which is not parsed yet."""
    _process["language"] = chosen(asked_for(words), environ)


def shown(text: str) -> str:
    """A sentence in the chosen language; any other text as it is."""
    language = _process["language"]
    if language == ENGLISH or not isinstance(text, Text):
        return text
    return in_language(text, _catalogue(language))


def looked_up(template: str) -> str:
    """A text without values that is no Text, such as an option's help."""
    language = _process["language"]
    forms = () if language == ENGLISH else _catalogue(language).sentences.get(template, ())
    return forms[0] if forms else template


@cache
def _catalogue(language: str) -> Catalogue:
    """Without any translation where the files cannot be read: a sentence in English is better than none."""
    folder = LANGUAGES[language].folder
    roots = (root for root in Path(__file__).resolve().parents if (root / _FOLDER / folder).is_dir())
    files = sorted((next(roots, Path()) / _FOLDER / folder).glob("*.po"))
    try:
        return catalogue_of(language, [file.read_text(encoding="utf-8") for file in files])
    except (OSError, UnicodeDecodeError):
        return catalogue_of(language, ())
