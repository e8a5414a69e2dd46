"""Which language people are spoken to in, and how its catalogues are read."""

import gettext

import pytest

from contracts.help_pages import paragraphs, translated
from contracts.languages import LANGUAGES, asked_for, catalogue_of, chosen, read_po
from contracts.text import in_language, plural, say


@pytest.mark.parametrize(
    ("environ", "language"),
    [
        ({}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "POSIX"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "pt_BR.UTF-8"}, "pt-BR"),
        ({"LANG": "pt_PT@euro"}, "pt-BR"),
        ({"LANG": "pt"}, "pt-BR"),
        ({"LANG": "ptx_BR"}, "en"),
        ({"LANG": "pt_BR.UTF-8", "LC_MESSAGES": "en_US.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "", "LC_MESSAGES": "pt_BR"}, "pt-BR"),
        ({"LANG": "pt_BR.UTF-8", "LC_ALL": "C"}, "en"),
    ],
)
def test_the_environment_chooses_the_language(environ: dict[str, str], language: str) -> None:
    assert chosen(None, environ) == language


@pytest.mark.parametrize(
    ("words", "language"),
    [
        (["doctor", "--lang", "pt-BR"], "pt-BR"),
        (["--lang=pt_BR", "doctor"], "pt-BR"),
        (["--lang", "pt-BR", "doctor", "--lang", "en"], "en"),
        (["doctor", "--lang"], "en"),
        (["doctor"], "en"),
        ([], "en"),
    ],
)
def test_lang_on_the_command_line_is_found_before_it_is_parsed(words: list[str], language: str) -> None:
    assert chosen(asked_for(words), {"LANG": "C"}) == language


def test_lang_has_priority_over_the_environment() -> None:
    assert chosen("en", {"LC_ALL": "pt_BR.UTF-8"}) == "en"


def test_a_catalogue_is_read_with_its_plurals_escapes_and_long_lines() -> None:
    text = """
msgid ""
msgstr ""
"Language: pt_BR\\n"

#: a.py
msgid "one \\"quoted\\"\\tline\\n"
msgstr ""
"uma \\"linha\\"\\t"
"com \\\\n\\n"

#, python-format
msgid "{n} host"
msgid_plural "{n} hosts"
msgstr[0] "{n} host só"
msgstr[1] "{n} hosts"

#, fuzzy
msgid "uncertain"
msgstr "incerto"

msgid "empty"
msgstr ""

#~ msgid "old"
#~ msgstr "velho"
"""
    assert read_po(text) == {
        'one "quoted"\tline\n': ('uma "linha"\tcom \\n\n',),
        "{n} host": ("{n} host só", "{n} hosts"),
    }


def test_a_catalogue_without_files_leaves_everything_english() -> None:
    empty = catalogue_of("pt-BR", ())
    assert in_language(say("frozen"), empty) == "frozen"
    assert in_language(plural("{n} host", "{n} hosts", 3), empty) == "3 hosts"


@pytest.mark.parametrize("number", [0, 1, 2, 5, 1000])
def test_the_rule_for_the_plural_is_the_one_of_gettext(number: int) -> None:
    language = LANGUAGES["pt-BR"]
    rule = language.plurals.partition("plural=")[2].rstrip(";")
    assert language.form(number) == gettext.c2py(rule)(number)


def test_a_help_text_is_translated_paragraph_by_paragraph() -> None:
    text = """First line,
    wrapped.

    \b
    command --all     what it does
    command

    Last.
    """
    assert paragraphs(text) == ["First line, wrapped.", "command --all     what it does\ncommand", "Last."]
    assert translated(text, str.upper) == "FIRST LINE, WRAPPED.\n\n\b\nCOMMAND --ALL     WHAT IT DOES\nCOMMAND\n\nLAST."
