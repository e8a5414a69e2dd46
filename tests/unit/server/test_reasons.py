"""The table of reasons: each row is given somewhere, each reason that is given has a row, and its words can be filled in."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

from server.reasons import table
from server.reasons.refusal import Refusal
from server.reasons.row import Row
from server.reasons.table import ROWS

ROOT = Path(__file__).parents[3]
SOURCES = [path for path in sorted((ROOT / "server").rglob("*.py")) if path.name != "table.py"]
NAMES = {name: row for name, row in vars(table).items() if isinstance(row, Row)}


def _calls() -> Iterator[tuple[str, ast.Call, Row]]:
    """Every call that makes a message of a row: where, the call, the row."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id="Refusal" | "_cause"), args=[ast.Attribute(attr=name), *_]):
                    pass
                case ast.Call(func=ast.Attribute(value=ast.Attribute(attr=name), attr="text")):
                    pass
                case _:
                    continue
            if name in NAMES:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node, NAMES[name]


def _fields(text: str) -> set[str]:
    return {field for _, field, _, _ in Formatter().parse(text) if field}


def test_each_code_is_there_once() -> None:
    assert len(NAMES) == len(ROWS)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in ROWS)
    assert {name.lower() for name in NAMES} == set(ROWS)


def test_no_row_is_left_that_nothing_gives() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    documents = (ROOT / "contracts" / "document.py").read_text(encoding="utf-8")
    unused = [
        name
        for name, row in NAMES.items()
        if not re.search(rf"\btable\.{name}\b|^from server\.reasons\.table import .*\b{name}\b", text, re.MULTILINE)
        and not (row.about == "document" and f'"{row.code}"' in documents)
    ]
    assert unused == []


def test_what_a_document_is_refused_for_has_a_row() -> None:
    text = (ROOT / "contracts" / "document.py").read_text(encoding="utf-8")
    [named] = re.findall(r"class DocumentError.*?``reason``: ([a-z_, ]+ or [a-z]+)\.", text, re.DOTALL)
    assert {word.strip() for word in re.split(",| or ", named)} <= set(ROWS)


def test_a_code_is_written_in_the_table_alone() -> None:
    literal = re.compile(r'"?reason"?[:=] ?"([a-z_]+)"')
    found = [(path.name, code) for path in SOURCES for code in literal.findall(path.read_text(encoding="utf-8"))]
    assert found == []


def test_every_message_has_the_values_that_its_row_asks_for() -> None:
    calls = list(_calls())
    assert len(calls) > 40
    for where, call, row in calls:
        given = {keyword.arg for keyword in call.keywords}
        needed = (set() if "says" in given else _fields(row.says)) | (set() if "do" in given else _fields(row.do))
        assert needed <= given, f"{where}: {row.code} needs {needed - given}"


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_words_are_clauses_that_can_be_joined(row: Row) -> None:
    for text in (row.says, row.do):
        assert text, row.code
        assert text == text.strip()
        assert not text.endswith((".", ";", ","))
    assert row.status is None or 400 <= row.status <= 599


def test_a_refusal_speaks_the_words_of_its_row() -> None:
    refusal = Refusal(table.SCOPE_MISSING, token="0123456789ab", scope="config")
    assert refusal.reason == "scope_missing"
    assert refusal.message == "token 0123456789ab has no scope config; ask for a token with: --scope config"


def test_more_exact_words_replace_those_of_the_row() -> None:
    assert Refusal(table.TOKEN_UNKNOWN, says="a {brace}", do="").message == "a {brace}"


def test_a_brace_in_a_value_is_only_text() -> None:
    assert "{x}" in Refusal(table.ASSETS_MISSING, cause="{x}").message
