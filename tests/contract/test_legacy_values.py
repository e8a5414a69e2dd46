"""Values of first-generation documents: whatever was written is read as it was meant, or put through to be named."""

from typing import Any

import pytest

from contracts.legacy_values import Old, flag, given, listed, store, text, texts, whole, without_blanks
from contracts.notes import Note


def old(**data: Any) -> Old:
    return Old(data)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (12, 12),
        (-3, -3),
        (7.9, 7),
        (-7.9, -7),
        ("12", 12),
        (" +12\t", 12),
        ("-4", -4),
        ("007", 7),
        ("999999999", 999_999_999),
        ("1234567890", None),
        (999_999_999, 999_999_999),
        (1_000_000_000, None),
        (-1_000_000_000, None),
        (-999_999_999, -999_999_999),
        (1e300, None),
        ("7.9", None),
        ("1 2", None),
        ("", None),
        ("+", None),
        ("\u00b2", None),
        ("\u0663", None),
        (True, None),
        (False, None),
        (None, None),
        ([1], None),
    ],
)
def test_a_whole_number_is_a_json_number_or_a_text_of_digits(written: Any, expected: int | None) -> None:
    assert whole(written) == expected
    assert type(whole(written)) is type(expected)


@pytest.mark.parametrize("written", ["1", "true", "yes", "y", "on", "ON", " True\n", True, 1, 2.5, [0], {"a": 0}])
def test_these_switch_something_on(written: Any) -> None:
    assert flag(written) is True


@pytest.mark.parametrize("written", ["0", "false", "no", "n", "off", "sim", "yes!", "", "yy", False, 0, None, [], {}])
def test_everything_else_switches_something_off(written: Any) -> None:
    assert flag(written) is False


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("LOJA001", 1),
        ("loja 12", 12),
        (" 007 ", 7),
        ("999999999", 999_999_999),
        ("1234567890", "1234567890"),
        ("LOJA", "LOJA"),
        ("LOJA1A", "LOJA1A"),
        ("store 1", "store 1"),
        (5, 5),
        (None, None),
    ],
)
def test_a_store_is_its_number_also_in_the_form_of_a_name(written: Any, expected: Any) -> None:
    assert store(written) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (None, None),
        ([], []),
        (["a", "b"], ["a", "b"]),
        ("a", ["a"]),
        (" a, b ,,c, ", ["a", "b", "c"]),
        ("", []),
        (5, [5]),
        ({"a": 1}, [{"a": 1}]),
    ],
)
def test_one_value_or_a_text_with_commas_is_read_as_a_list(written: Any, expected: Any) -> None:
    assert listed(written) == expected


@pytest.mark.parametrize(
    ("written", "expected"), [(5, "5"), ("5", "5"), (True, True), (5.5, 5.5), (None, None), ([5], [5])]
)
def test_an_id_is_a_text_also_where_it_was_written_as_a_number(written: Any, expected: Any) -> None:
    assert text(written) == expected
    assert type(text(written)) is type(expected)


@pytest.mark.parametrize(
    ("written", "expected"), [(None, None), ("1, a", ["1", "a"]), ([1, "a"], ["1", "a"]), (7, ["7"])]
)
def test_ids_of_a_list_are_texts(written: Any, expected: Any) -> None:
    assert texts(written) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (" a ", "a"),
        (" ", None),
        (None, None),
        (0, 0),
        (False, False),
        ({"a": " b ", "c": "", "d": None, "e": {"f": " "}}, {"a": "b", "e": {}}),
        ([" a ", "", None, 0, False], ["a", 0, False]),
        ([{"a": " "}], []),
        ([{}, {"a": ""}, {"a": "b"}], [{}, {"a": "b"}]),
        ([["", "a"], []], [["a"], []]),
    ],
)
def test_what_is_blank_is_left_out_and_with_it_a_map_of_a_list_that_held_nothing_else(
    written: Any, expected: Any
) -> None:
    assert without_blanks(written) == expected


def test_only_values_that_are_there_are_given() -> None:
    assert given(a=None, b=0, c="", d=False, e="x") == {"b": 0, "c": "", "d": False, "e": "x"}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("host", "https://host/api"),
        ("host/zabbix//", "https://host/zabbix/api"),
        ("10.0.0.1:8443", "https://10.0.0.1:8443/api"),
        ("http://host/", "http://host/"),
        ("HTTPS://host", "HTTPS://host"),
        ("ftp://host", "https://ftp://host/api"),
        ("httphost", "https://httphost/api"),
        (5, 5),
        (None, None),
    ],
)
def test_a_host_becomes_a_url_and_a_url_stays(written: Any, expected: Any) -> None:
    assert old(server=written).url("server", "/api") == expected


def test_a_host_without_a_path_of_ours_is_a_url_of_its_own() -> None:
    assert old(server="host/").url("server") == "https://host"
    assert old().url("server") is None


@pytest.mark.parametrize(
    ("written", "expected", "note"),
    [
        (1, 1, None),
        (512, 512, None),
        ("60", 60, None),
        (0, 1, "0 is held to 1"),
        (513, 512, "513 is held to 512"),
        ("9000", 512, "9000 is held to 512"),
        ("many", None, None),
        (True, None, None),
    ],
)
def test_a_number_is_held_to_its_range_with_a_note(written: Any, expected: int | None, note: str | None) -> None:
    document = old()
    assert document.held("max_threads", written, 1, 512) == expected
    assert document.notes == ([Note("warning", "max_threads", note)] if note else [])


def test_a_map_is_copied_and_anything_else_is_ignored_with_a_note() -> None:
    document = old(window={"start": 1}, other="22-6")
    found = document.map("window")
    found.clear()
    assert document.map("window") == {"start": 1}
    assert document.map("absent") == {}
    assert document.notes == []
    assert document.map("other") == {}
    assert document.notes == [Note("warning", "other", "is not a map: ignored")]


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("a", True),
        ("a.b", True),
        ("a.c", False),
        ("a.d", False),
        ("e", False),
        ("f", True),
        ("f.g", False),
        ("x.y", False),
    ],
)
def test_a_path_is_there_when_every_step_is(path: str, there: bool) -> None:
    assert old(a={"b": 0, "c": None}, e=None, f="g").has(path) is there
