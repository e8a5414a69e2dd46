"""Text from outside is read within bounds, and by one reader."""

from __future__ import annotations

import ast
import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import bounded
from contracts.bounded import MAX_BYTES, MAX_DEPTH, MOST, Unreadable, read_json, require_bounds, whole

ROOT = Path(__file__).parents[2]
DEEP = 100_000


def refused(raw: bytes | str, **bounds: int) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        read_json(raw, **bounds)
    return caught.value


@pytest.mark.parametrize(
    ("raw", "reason", "says"),
    [
        pytest.param("[" * DEEP, "too_deep", "40 levels deep, line 1 column 41", id="a tower of lists"),
        pytest.param('{"a":\n' * DEEP, "too_deep", "40 levels deep, line 41 column 1", id="a tower of maps"),
        pytest.param("[" * 41 + "]" * 41, "too_deep", "40 levels deep", id="one level too many"),
        pytest.param('["[[[["]' + " " * 9, "", "", id="brackets in a text are text"),
        pytest.param('{"a":\n ' + "9" * 5000 + "}", "bad_number", "line 2 column 2", id="thousands of digits"),
        pytest.param(
            '{"a": {"b": [1, 18446744073709551616]}}', "bad_number", "a.b[1]: not a finite", id="beyond 64 bits"
        ),
        pytest.param("-9223372036854775809", "bad_number", "64 bits", id="below 64 bits"),
        pytest.param('{"a": 1e999999}', "bad_number", "a: not a finite", id="an exponent that means infinity"),
        pytest.param('{"a": NaN}', "bad_number", "NaN", id="not a number"),
        pytest.param('{"a": -Infinity}', "bad_number", "-Infinity", id="infinity by name"),
        pytest.param('{"a": 1, "a": 2}', "key_twice", "twice: a", id="a key twice"),
        pytest.param('{"a": [{"b": 1, "c": 2, "b": 3}]}', "key_twice", "twice: b", id="a key twice, inside"),
        pytest.param(b"\xff", "not_json", "not a complete JSON document", id="not UTF-8"),
        pytest.param("", "not_json", "not a complete JSON document", id="nothing"),
        pytest.param(b" " * 101, "too_large", "101 bytes; at most 100", id="too large"),
    ],
)
def test_text_beyond_a_bound_is_refused_with_its_place(raw: bytes | str, reason: str, says: str) -> None:
    if not reason:
        assert read_json(raw) == ["[[[["]
        return
    error = refused(raw, limit=100 if reason == "too_large" else 10**7)
    assert error.reason == reason
    assert says in str(error)


@pytest.mark.parametrize(
    "raw", ['"\\ud800"', "9223372036854775807", "-9223372036854775808", '"\ufeff"', "1e308", "null"]
)
def test_what_is_within_bounds_is_read_as_it_is(raw: str) -> None:
    assert read_json(raw) == json.loads(raw)
    assert read_json("\ufeff" + raw) == json.loads(raw)
    assert read_json(b"\xef\xbb\xbf" + raw.encode()) == json.loads(raw)


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), MOST)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(PLAIN)
def test_every_plain_value_is_read_back(value: Any) -> None:
    assert read_json(json.dumps(value)) == value


@given(st.binary() | st.text().map(str.encode) | st.text('[]{}":,0123456789eE+-.\\u').map(str.encode))
def test_any_bytes_are_read_or_refused_and_nothing_else(raw: bytes) -> None:
    with contextlib.suppress(Unreadable):
        require_bounds(read_json(raw))


@given(st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=6))
def test_a_key_is_taken_exactly_once(names: list[str]) -> None:
    raw = "{" + ", ".join(f'"{name}": 1' for name in names) + "}"
    if len(set(names)) == len(names):
        assert list(read_json(raw)) == names
    else:
        assert refused(raw).reason == "key_twice"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("007", 7),
        (b"42", 42),
        (str(MOST), MOST),
        (str(MOST + 1), None),
        ("9" * 5000, None),
        ("-1", None),
        ("", None),
        (None, None),
        ("1_000", None),
        (" 1", None),
        ("1\n", None),
        ("\u00b2", None),
        ("\u0663", None),
        ("1e3", None),
        (b"\xff1", None),
    ],
)
def test_a_whole_number_is_ascii_digits_within_its_range(text: str | bytes | None, number: int | None) -> None:
    assert whole(text) == number


def test_a_whole_number_keeps_to_the_range_of_its_use() -> None:
    assert whole("65535", 1, 65535) == 65535
    assert whole("65536", 1, 65535) is None
    assert whole("-3", -5) == -3


def test_a_key_given_twice_among_very_many_is_found_with_work_that_grows_with_their_number() -> None:
    compared = 0

    class Counted(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    number = 20_000
    pairs = [(Counted(f"key{place}"), 1) for place in range(number)]
    with pytest.raises(Unreadable, match="given twice"):
        bounded._unique_keys([*pairs, (Counted("key19999"), 2)])
    assert compared < number


def test_digit_runs_just_short_of_too_long_are_read_once() -> None:
    """Begun again at each digit, which the first pattern did, this text would take half a minute."""
    run = "9" * 4299
    text = f"[{','.join([run] * (MAX_BYTES // 4300 - 2))},\n{run}99]"
    assert refused(text).message == "a number with thousands of digits, line 2 column 1"
    starts = [found.start() for found in re.finditer(bounded._MANY_DIGITS.pattern.replace("{4300,}", ""), text)]
    assert len(starts) == text.count(",") + 1, "one place to begin at for each run"


# Where a pattern or a length just before it bounds the digits of what int() is given.
BOUNDED_DIGITS = {
    "contracts/cron.py",
    "contracts/legacy_values.py",
    "server/cli/durations.py",
    "client_image/runtime/domain/names.py",
    "client_image/runtime/engine/probe.py",
    "client_image/runtime/deployment/specification.py",
    "client_image/runtime/cli/schedule.py",
    "client_image/runtime/domain/storage.py",
    "contracts/networks.py",  # an address as a number
    "client_image/runtime/domain/time/zone_truth.py",  # hours of a time difference
    "client_image/runtime/actions/diagnose_env.py",
}
READERS = {
    "contracts/bounded.py": {"json.loads", "int"},
    "client_image/runtime/domain/data_files.py": {"yaml.parse"},
}
PARSERS = ("json", "yaml", "tomllib", "configparser", "pickle", "marshal", "msgspec")
NAMES = {"loads", "load", "safe_load", "load_all", "safe_load_all", "parse", "decode", "JSONDecoder", "literal_eval"}


def _parses(tree: ast.AST, bounded_digits: bool) -> Iterator[tuple[int, str]]:
    """Line and name of each call that parses text without the bounded reader."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        match node.func:
            case ast.Attribute(value=ast.Name(id=module), attr=name) if module in PARSERS and name in NAMES:
                yield node.lineno, f"{module}.{name}"
            case ast.Attribute(attr="model_validate_json" | "validate_json" as name):
                yield node.lineno, name
            case ast.Name(id="literal_eval" | "eval" as name):
                yield node.lineno, name
            case ast.Name(id="int" | "float" as name) if node.args and not bounded_digits:
                # A name, a part of something or a text: what it holds may have come from outside. Arithmetic has not.
                if isinstance(node.args[0], ast.Name | ast.Subscript | ast.JoinedStr):
                    yield node.lineno, name


def test_text_is_parsed_by_the_bounded_reader_alone() -> None:
    found = []
    for folder in ("contracts", "commandline", "server", "client_image/runtime"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            where = path.relative_to(ROOT).as_posix()
            for line, call in _parses(ast.parse(path.read_bytes()), where in BOUNDED_DIGITS):
                if call not in READERS.get(where, set()):
                    found.append(f"{where}:{line}: {call}()")
    assert not found, f"read text by contracts.bounded (read_json, whole), which keeps bounds: {', '.join(found)}"


def test_the_search_for_other_parsers_finds_them() -> None:
    source = (
        "json.loads(x)\nint(match['a'])\nint(3 * x)\nM.model_validate_json(y)\nfloat(text)\nint(f())\nyaml.safe_load(z)"
    )
    found = [name for _, name in _parses(ast.parse(source), bounded_digits=False)]
    assert found == ["json.loads", "int", "model_validate_json", "float", "yaml.safe_load"]


def test_no_depth_up_to_the_limit_is_refused() -> None:
    for depth in range(MAX_DEPTH + 1):
        read_json("[" * depth + "1" + "]" * depth)
