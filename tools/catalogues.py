"""The catalogues of translated sentences, ``locale/<language>/<room>.po``: `make catalogues` brings them up to the code, `make
check` only compares (``--check``).

An update adds what is new without a translation, keeps what is translated, and removes what the code no longer says. The check
fails for each sentence that a reader of that language would not get in it, or would get wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po, write_po

from contracts.languages import LANGUAGES, Language
from contracts.stored_text import placeholders
from tools.sentences import ROOT, Fault, Sentence, found_in

_WIDTH = 120


def main(arguments: list[str]) -> int:
    """0 when every sentence is translated, 1 when something is missing or wrong, 2 for a wrong argument."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: python -m tools.catalogues [--check]\n")
        return 2
    if not arguments:
        for path, text in updated(ROOT).items():
            if text:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8", newline="\n")
            else:
                path.unlink()
    faults = list(problems(ROOT))
    for fault in faults:
        sys.stderr.write(f"{fault}\n")
    if faults:
        sys.stderr.write(f"{len(faults)} to correct; docs/translating.md explains how\n")
    return 1 if faults else 0


def updated(root: Path) -> dict[Path, str]:
    """The text that each catalogue is to have; empty for one that is to be removed."""
    rooms = _rooms(found_in(root))
    found: dict[Path, str] = {}
    for language in LANGUAGES.values():
        folder = root / "locale" / language.folder
        earlier = {path.stem: _read(path) for path in folder.glob("*.po")} if folder.is_dir() else {}
        for room in earlier.keys() | rooms.keys():
            path, sentences = folder / f"{room}.po", rooms.get(room, [])
            merged = _merged(language, room, sentences, earlier)
            found[path] = _written(merged, language) if sentences else ""
    return found


def problems(root: Path) -> Iterator[str]:
    """Everything that is to be corrected, by place."""
    found = list(found_in(root))
    yield from (str(fault) for fault in found if isinstance(fault, Fault))
    yield from _contradictions(found)
    rooms = _rooms(found)
    for language in LANGUAGES.values():
        folder = root / "locale" / language.folder
        read = {path.stem: _read(path) for path in sorted(folder.glob("*.po"))}
        for room in sorted(rooms.keys() | read.keys()):
            place = f"locale/{language.folder}/{room}.po"
            yield from (f"{place}: {text}" for text in _of_room(rooms.get(room, []), read.get(room), language))
        yield from _differences(read)


def _of_room(sentences: list[Sentence], catalogue: Catalog | None, language: Language) -> Iterator[str]:
    if catalogue is None:
        yield f"is missing, for {len(sentences)} sentences: run `make catalogues`"
        return
    if dict(catalogue.mime_headers)["Plural-Forms"] != language.plurals:
        yield f"the header's Plural-Forms is not {language.plurals}"
    said = {sentence.template: sentence for sentence in sentences}
    for template, sentence in said.items():
        message = catalogue.get(template)
        if message is None or isinstance(message.id, str) == bool(sentence.other):
            yield f"{_short(template)} ({sentence.path}:{sentence.line}) is not there: run `make catalogues`, then translate it"
        else:
            yield from (
                f"{_short(template)} ({sentence.path}:{sentence.line}) {text}"
                for text in _of_message(message, sentence)
            )
    for message in catalogue:
        if message.id and _template(message) not in said:
            yield f"{_short(_template(message))} is not in the code any more: run `make catalogues`"
    for obsolete in catalogue.obsolete.values():
        yield f"{_short(_template(obsolete))} is obsolete: delete it"


def _of_message(message: Message, sentence: Sentence) -> Iterator[str]:
    english = [sentence.template, sentence.other] if sentence.other else [sentence.template]
    forms = [message.string] if isinstance(message.string, str) else list(message.string or ())
    if message.fuzzy:
        yield "is marked fuzzy: correct the translation, then delete the mark"
    elif not all(forms):
        yield "is not translated"
    elif sentence.other and _ids(message) != english:
        yield "has another plural in the code: run `make catalogues`"
    elif _names(english) and any(_names([form]) is None for form in forms):
        yield "has braces in its translation that are no placeholder"
    elif _names(forms) != _names(english) and _names(english) is not None:
        yield "has other placeholders in its translation"
    elif any(
        form[:1].isspace() != text[:1].isspace() or form[-1:].isspace() != text[-1:].isspace()
        for form in forms
        for text in english
    ):
        yield "begins or ends with a space on one side only"


def _names(templates: Iterable[str]) -> set[str] | None:
    """The placeholders of all of them together; None for text that is no template, such as a line of JSON."""
    try:
        return set().union(*map(placeholders, templates))
    except ValueError:
        return None


def _contradictions(found: Iterable[Sentence | Fault]) -> Iterator[str]:
    """A template has one plural or none: gettext finds a sentence by its singular."""
    others: dict[str, Sentence] = {}
    for sentence in found:
        if isinstance(sentence, Sentence):
            first = others.setdefault(sentence.template, sentence)
            if first.other != sentence.other:
                place = f"{sentence.path}:{sentence.line}"
                yield f"{place}: {_short(sentence.template)} has another plural in {first.path}:{first.line}"


def _differences(catalogues: dict[str, Catalog]) -> Iterator[str]:
    """The same English sentence in two rooms has one translation: the proxy reads all rooms into one table."""
    first: dict[str, tuple[str, object]] = {}
    for room, catalogue in catalogues.items():
        for message in catalogue:
            if message.id and message.string:
                where, string = first.setdefault(_template(message), (room, message.string))
                if string != message.string:
                    yield f"{_short(_template(message))} is translated in two ways, in {where}.po and {room}.po"


def _rooms(found: Iterable[Sentence | Fault]) -> dict[str, list[Sentence]]:
    rooms: dict[str, list[Sentence]] = {}
    for sentence in found:
        if isinstance(sentence, Sentence):
            rooms.setdefault(sentence.room, []).append(sentence)
    return rooms


def _merged(language: Language, room: str, sentences: list[Sentence], earlier: dict[str, Catalog]) -> Catalog:
    """Translations are kept from this room, else taken from another that says the same."""
    catalogue = _empty(language)
    known = [earlier[room]] if room in earlier else []
    known += [other for name, other in earlier.items() if name != room]
    for sentence in sentences:
        key: Any = (sentence.template, sentence.other) if sentence.other else sentence.template
        before = next((one for other in known if (one := other.get(sentence.template)) and one.id == key), None)
        string: Any = before.string if before else ""
        catalogue.add(
            key,
            string,
            # Written without its line: lines change with every edit, and each would be a conflict.
            locations=[(sentence.path, sentence.line)],
            flags=before.flags if before else (),
            user_comments=before.user_comments if before else (),
        )
    return catalogue


def _empty(language: Language) -> Catalog:
    catalogue = Catalog(locale=language.folder, charset="utf-8", fuzzy=False)
    catalogue.mime_headers = _header(language)
    return catalogue


def _header(language: Language) -> list[tuple[str, str]]:
    """Without dates and names of people: git knows them, and each would be a conflict."""
    return [
        ("Language", language.folder),
        ("MIME-Version", "1.0"),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Transfer-Encoding", "8bit"),
        ("Plural-Forms", language.plurals),
    ]


def _written(catalogue: Catalog, language: Language) -> str:
    lines = ['msgid ""', 'msgstr ""', *(f'"{name}: {value}\\n"' for name, value in _header(language))]
    text = BytesIO()
    write_po(
        text, catalogue, width=_WIDTH, omit_header=True, sort_by_file=True, include_lineno=False, ignore_obsolete=True
    )
    return "\n".join((*lines, "", text.getvalue().decode("utf-8").strip("\n"), ""))


def _read(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, abort_invalid=True)


def _ids(message: Message) -> list[str]:
    return [message.id] if isinstance(message.id, str) else list(message.id)


def _template(message: Message) -> str:
    return _ids(message)[0]


def _short(text: str) -> str:
    line = " ".join(text.split())
    return f'"{line if len(line) < 70 else f"{line[:67]}..."}"'


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
