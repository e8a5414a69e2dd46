"""The language in which one program speaks to people. Its own language module keeps one, and says where the catalogues are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from contracts.languages import ENGLISH, LANGUAGES, asked_for, catalogue_of, chosen
from contracts.text import Catalogue, Text, in_language


class Speech:
    """English until a language is chosen. ``files``: folder of a language -> texts of its catalogues; read when first needed."""

    def __init__(self, files: Callable[[str], Iterable[str]]) -> None:
        self._files, self._language = files, ENGLISH
        self._read: dict[str, Catalogue] = {}

    def choose(self, words: Iterable[str], environ: Mapping[str, str]) -> None:
        """``words``: the command line, which is not parsed yet."""
        self._language = chosen(asked_for(words), environ)

    def shown(self, text: str) -> str:
        """A sentence in the chosen language; any other text as it is."""
        if self._language == ENGLISH or not isinstance(text, Text):
            return text
        return in_language(text, self._catalogue_of(self._language))

    def in_each_language(self, text: str) -> dict[str, str]:
        """By the code of the language: for what is read where nobody knows yet who reads it."""
        return {code: in_language(text, self._catalogue_of(code)) for code in LANGUAGES} | {ENGLISH: str(text)}

    def looked_up(self, template: str) -> str:
        """A text without values that is no Text, such as an option's help."""
        forms = () if self._language == ENGLISH else self._catalogue_of(self._language).sentences.get(template, ())
        return forms[0] if forms else template

    def _catalogue_of(self, language: str) -> Catalogue:
        """Without any translation where the files cannot be read: a sentence in English is better than none."""
        if language not in self._read:
            try:
                files = [*self._files(LANGUAGES[language].folder)]
            except (OSError, UnicodeDecodeError):
                files = []
            self._read[language] = catalogue_of(language, files)
        return self._read[language]
