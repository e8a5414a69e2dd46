"""The language in which this process speaks to people, chosen once in main: ``--lang``, else LC_ALL, LC_MESSAGES, LANG.

Everything that prints calls :func:`shown` last, just before the text leaves. Codes, JSON, logs and what is stored stay English.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from contracts.speech import Speech


def _files(folder: str) -> Iterator[str]:
    """From the nearest parent that has a folder `locale`: the repository, or /flageemonitor and /srv/flagee in the images."""
    roots = (root / "locale" / folder for root in Path(__file__).resolve().parents)
    for file in sorted(next(filter(Path.is_dir, roots), Path(folder)).glob("*.po")):
        yield file.read_text(encoding="utf-8")


_speech = Speech(_files)
shown, looked_up, in_each_language = _speech.shown, _speech.looked_up, _speech.in_each_language


def choose_language(words: Iterable[str], environ: Mapping[str, str] = os.environ) -> None:
    """``words``: the command line, which is not parsed yet."""
    _speech.choose(words, environ)
