"""The tool that keeps the catalogues of translated sentences up to the code."""

from pathlib import Path

import pytest

from tools import catalogues
from tools.sentences import ROOT, Fault, Sentence, found_in, of_module

MODULE = """
from contracts.text import plural, say

def found(host, n):
    return say("{host} answers", host=host), plural("{n} host", "{n} hosts", n)
"""
TRANSLATED = """msgid ""
msgstr ""
"Language: pt_BR\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"Plural-Forms: nplurals=2; plural=(n > 1);\\n"

#: client_image/runtime/engine/one.py
#, python-brace-format
msgid "{host} answers"
msgstr "{host} responde"

#: client_image/runtime/engine/one.py
#, python-brace-format
msgid "{n} host"
msgid_plural "{n} hosts"
msgstr[0] "{n} host"
msgstr[1] "{n} hosts"
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    code = tmp_path / "client_image/runtime/engine/one.py"
    code.parent.mkdir(parents=True)
    code.write_text(MODULE, encoding="utf-8")
    catalogue = po(tmp_path)
    catalogue.parent.mkdir(parents=True)
    catalogue.write_text(TRANSLATED, encoding="utf-8")
    return tmp_path


def po(house: Path) -> Path:
    return house / "locale/pt_BR/runtime-engine.po"


def change(house: Path, before: str, after: str, path: str = "") -> None:
    file = house / path if path else po(house)
    text = file.read_text(encoding="utf-8")
    assert before in text
    file.write_text(text.replace(before, after), encoding="utf-8")


# That every sentence of the product is translated is what `make check` finds out.
def test_every_catalogue_of_the_product_is_as_the_tool_writes_it() -> None:
    assert [
        path.name for path, text in catalogues.updated(ROOT).items() if path.read_text(encoding="utf-8") != text
    ] == []


def test_a_complete_catalogue_has_no_problem_and_stays_as_it_is(house: Path) -> None:
    assert list(catalogues.problems(house)) == []
    assert catalogues.updated(house) == {po(house): TRANSLATED}


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        (
            'msgstr "{host} responde"',
            'msgstr ""',
            '"{host} answers" (client_image/runtime/engine/one.py:5) is not translated',
        ),
        ('msgstr[1] "{n} hosts"', 'msgstr[1] ""', "is not translated"),
        ('msgid "{host} answers"', '#, fuzzy\nmsgid "{host} answers"', "is marked fuzzy"),
        ('"{host} responde"', '"{hosts} responde"', "has other placeholders in its translation"),
        ('"{host} responde"', '"{host responde"', "has braces in its translation"),
        ('"{host} responde"', '"{host!r} responde"', "has braces in its translation"),
        ('"{host} responde"', '"{host} responde "', "begins or ends with a space on one side only"),
        ("(n > 1)", "(n != 1)", "the header's Plural-Forms is not nplurals=2; plural=(n > 1);"),
        ('msgid "{host} answers"', 'msgid "{host} answered"', '"{host} answered" is not in the code any more'),
        (
            'msgid "{host} answers"',
            'msgid "{host} answered"',
            '"{host} answers" (client_image/runtime/engine/one.py:5) is not there',
        ),
        ('msgid_plural "{n} hosts"', 'msgid_plural "{n} machines"', "has another plural in the code"),
        ("Plural-Forms", '#~ msgid "old"\n#~ msgstr "velho"\n\n#', "Plural-Forms"),
    ],
)
def test_the_check_reports_what_a_reader_would_not_get(house: Path, before: str, after: str, problem: str) -> None:
    if after.startswith("#~"):
        po(house).write_text(f'{TRANSLATED}\n#~ msgid "old"\n#~ msgstr "velho"\n', encoding="utf-8")
        problem = '"old" is obsolete: delete it'
    else:
        change(house, before, after)
    assert [
        text
        for text in catalogues.problems(house)
        if text.startswith("locale/pt_BR/runtime-engine.po: ") and problem in text
    ]


def test_a_room_without_a_catalogue_is_reported(house: Path) -> None:
    po(house).unlink()
    assert list(catalogues.problems(house)) == [
        "locale/pt_BR/runtime-engine.po: is missing, for 2 sentences: run `make catalogues`"
    ]


def test_an_update_adds_what_is_new_keeps_what_is_translated_and_removes_what_is_gone(house: Path) -> None:
    change(house, '"{host} answers", host=host', '"{host} is silent", host=host', "client_image/runtime/engine/one.py")
    text = catalogues.updated(house)[po(house)]
    assert 'msgid "{host} is silent"\nmsgstr ""' in text
    assert 'msgstr[1] "{n} hosts"' in text
    assert "answers" not in text


def test_an_update_takes_a_translation_from_another_room_that_says_the_same(house: Path) -> None:
    other = house / "contracts/two.py"
    other.parent.mkdir()
    other.write_text(MODULE, encoding="utf-8")
    text = catalogues.updated(house)[house / "locale/pt_BR/contracts.po"]
    assert 'msgstr "{host} responde"' in text


def test_one_sentence_has_one_translation(house: Path) -> None:
    test_an_update_takes_a_translation_from_another_room_that_says_the_same(house)
    text = TRANSLATED.replace("responde", "atende")
    (house / "locale/pt_BR/contracts.po").write_text(text, encoding="utf-8")
    found = list(catalogues.problems(house))
    assert found == ['"{host} answers" is translated in two ways, in contracts.po and runtime-engine.po']


def test_an_update_removes_the_catalogue_of_a_room_without_sentences(house: Path) -> None:
    (house / "client_image/runtime/engine/one.py").write_text("", encoding="utf-8")
    assert catalogues.updated(house) == {po(house): ""}


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        ('say(f"{host} answers")', "the template is not a literal"),
        ('say("{host}" + text, host=host)', "the template is not a literal"),
        ("say(text)", "the template is not a literal"),
        ('say("")', "the template is not a literal"),
        ('plural("{n} host", other, n)', "the template is not a literal"),
        ('plural("{n} host", n)', "plural takes two templates and a number"),
        ('say("{host} answers", name=host)', "no value for host"),
        ('say("host answers", host=host)', "host: given, and not in the template"),
        ('say("{host.name} answers", host=host)', "{host.name} is not a plain name"),
        ('say("{seconds:.0f} s", seconds=5)', "{seconds} is not a plain name"),
        ('say("{0} answers", host=host)', "{0} is not a plain name"),
        ('say("{host answers", host=host)', "expected '}' before end of string"),
        ('say("{host} answers", **values)', "**values hide which placeholders there are"),
    ],
)
def test_what_no_catalogue_could_translate_is_a_fault(call: str, fault: str) -> None:
    (found,) = of_module(f"from contracts.text import plural, say\ntext = {call}\n", "a.py", "room")
    assert isinstance(found, Fault)
    assert str(found).startswith("a.py:2: ")
    assert fault in str(found)


def test_only_the_makers_of_sentences_are_read() -> None:
    source = 'def say(text): ...\nsay(f"{x}")\nout.say(f"{x}")\n'
    assert list(of_module(source, "a.py", "room")) == []


def test_help_texts_of_commands_are_sentences() -> None:
    head = '@cli.command("run", short_help="Run it.")\n@option("--yes", help="Confirm.")\n'
    source = f'{head}def run():\n    """One.\n\n    Two.\n    """\n'
    found = of_module(source, "client_image/runtime/cli/a.py", "runtime-cli")
    assert {one.template for one in found if isinstance(one, Sentence)} == {"Run it.", "Confirm.", "One.", "Two."}


def test_a_room_is_a_folder_directly_below_its_house(tmp_path: Path) -> None:
    rooms = {"main.py": "runtime", "cli/commands.py": "runtime-cli", "adapters/ssh/client.py": "runtime-adapters"}
    for name in rooms:
        file = tmp_path / "client_image/runtime" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(MODULE, encoding="utf-8")
    found = {one.path: one.room for one in found_in(tmp_path) if isinstance(one, Sentence)}
    assert found == {f"client_image/runtime/{name}": room for name, room in rooms.items()}
