"""Nothing invisible leaves for a person or a log; what is for a program stays exact."""

import ast
import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.visible import json_text, one_line, quoted, visible, visible_values

INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"}
BY_NAME = {
    "escape": "\x1b]0;title\x07",
    "C1": "\x9b31m",
    "right-to-left override": "PDV\u202e102",
    "isolate": "a\u2066b\u2069",
    "zero width": "PDV\u200b201",
    "line separator": "a\u2028b",
    "byte order mark": "\ufeffPDV201",
    "variation selector": "a\ufe0f",
    "supplementary variation selector": "a\U000e0100",
    "tag": "a\U000e0041",
    "half of a surrogate pair": "a\ud83d",
    "no-break space": "LOJA\u00a0001",
    "filler": "a\u3164",
    "NUL": "a\0b",
}


def test_every_character_that_is_not_seen_is_written_out() -> None:
    shown = "".join(
        char
        for char in map(chr, range(0x110000))
        if unicodedata.category(char) in INVISIBLE and char not in " \t\n" and visible(char) == char
    )
    assert shown == ""


@pytest.mark.parametrize("text", BY_NAME.values(), ids=BY_NAME)
def test_what_is_shown_is_printable_and_can_be_encoded(text: str) -> None:
    for shown in (visible(text), one_line(text)):
        assert shown.isprintable()
        shown.encode()
        assert shown != text


def test_a_character_is_written_out_by_its_number() -> None:
    assert visible("\x1b[31m\u202e\U000e0041") == r"\x1b[31m\u202e\U000e0041"
    assert one_line("a\tb\nc\rd") == r"a b c\x0dd"
    assert visible("a\tb\nc") == "a\tb\nc"


def test_text_that_people_write_stays_as_it_is() -> None:
    text = "Açougue São João, 木 ✓ — №"
    assert (visible(text), one_line(text)) == (text, text)


@given(st.text(), st.text(), st.sampled_from("\u200b\u202e\ufeff"))
def test_names_that_differ_by_an_invisible_character_look_different(before: str, after: str, char: str) -> None:
    assert visible(before + char + after) != visible(before + after)


@given(st.text(st.characters(codec=None)))
def test_json_keeps_every_character_and_escapes_invisible_ones(text: str) -> None:
    for ascii_only in (False, True):
        written = json_text({text: [text]}, ascii_only=ascii_only)
        assert json.loads(written) == json.loads(json.dumps({text: [text]}))
        assert visible(written) == written
        assert "\n" not in written
        written.encode("ascii" if ascii_only else "utf-8")


def test_json_with_indents_keeps_its_lines() -> None:
    assert json_text({"a": "\u2028"}, indent=1) == '{\n "a": "\\u2028"\n}'


def test_fields_of_a_log_line_are_visible_names_and_values() -> None:
    assert visible_values({"a\x1b": "b\u202e", "n": 1}) == {r"a\x1b": r"b\u202e", "n": 1}


SENTENCES: dict[str, tuple[object, str]] = {
    "a name": ("PDV201", '"PDV201"'),
    "a path of Windows": (r"C:\Temp\x", r'"C:\Temp\x"'),
    "an apostrophe": ("Joana d'Arc", '"Joana d\'Arc"'),
    "accents": ("São João", '"São João"'),
    "nothing typed": ("", '""'),
    "something invisible": ("PDV\u200b201", r'"PDV\u200b201"'),
    "lines": ("a\nb", '"a b"'),
    "no value": (None, "none"),
    "a list": (["a", 1, None], '["a", 1, null]'),
    "a number": (30, "30"),
    "something long": ("x" * 5000, f'"{"x" * 99}…"'),
}


@pytest.mark.parametrize(("value", "expected"), SENTENCES.values(), ids=SENTENCES)
def test_a_value_stands_in_a_sentence_as_a_person_wrote_it(value: object, expected: str) -> None:
    assert quoted(value) == expected


def represented(tree: ast.AST) -> Iterator[int]:
    """Lines with a value in a text as Python would write it, outside of what Python itself asks for."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef) and node.name == "__repr__":
            continue
        if isinstance(node, ast.FormattedValue) and node.conversion == ord("r"):
            yield node.lineno
        yield from represented(node)


def test_no_message_shows_a_value_as_python_writes_it() -> None:
    root = Path(__file__).parents[2]
    found = [
        f"{path.relative_to(root)}:{line}"
        for folder in ("contracts", "commandline", "server", "client_image", "demo")
        for path in sorted((root / folder).rglob("*.py"))
        for line in represented(ast.parse(path.read_bytes()))
    ]
    assert not found, f"use contracts.visible.quoted: {', '.join(found)}"
