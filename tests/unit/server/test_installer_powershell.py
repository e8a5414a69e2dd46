"""Rendering of an install script for PowerShell: what its grammar makes of it, whatever the values and the wrappers hold."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from server.reasons.refusal import Refusal
from server.services.installer.rendering import POWERSHELL, TemplateUnusable, powershell_quoted, render
from tests.harness.control_plane import PRODUCT, stand_in_commands
from tools import powershell

TEMPLATE = (PRODUCT / "bootstrap" / "install.ps1").read_bytes()
NAMES = ["API_BASE", "CLIENT", "NETWORK", "IMAGE", "BOOTSTRAP_TOKEN"]
WRAPPERS = stand_in_commands("windows")
PLAIN = dict.fromkeys(NAMES, "plain")
HOSTILE = [
    "'", "''", '"', "`", "`n", "$", "$(id)", "$env:Path", "${x}", "@", "@'", "'@", '@"', '"@', "{0}", "}", "#", "<#", "#>", ";",
    "|", "&", "\u2018", "\u2019", "\u201a", "\u201b", "\u201c", "\u2019\u2019", "'\u2019", "\u2019'", "-f", "--%", "%PATH%",
    "\\", "\\'", "", " ", "São José: ação", "日本語", "🛒", "\u0301", "\u202e", "[char]0x27",
    "'; Remove-Item C:\\ -Recurse; '", "# @@VALUES@@", "# @@WRAPPERS@@",
]  # fmt: skip
printable = st.text(
    st.one_of(
        st.sampled_from("'\"`$@(){}[];|&#<>+-,.%\\\u2018\u2019\u201a\u201b"),
        st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]),
    )
)


def told(script: bytes) -> tuple[dict[str, str], dict[str, str]]:
    """Values and wrappers of a rendered stand-in: literals, and nothing that would run."""
    assert script.isascii()
    assert powershell.faults(script) == []
    root = powershell.parse(script)
    assert {child.type for child in root.children} == {"comment", "statement_list"}
    values, wrappers = map(powershell.hashtable, powershell.nodes(root, "hash_literal_expression"))
    return values, wrappers


def test_hostile_values_are_data() -> None:
    for value in HOSTILE:
        values = dict.fromkeys(NAMES, value)
        assert told(render(TEMPLATE, values, WRAPPERS, POWERSHELL))[0] == values


@settings(max_examples=100, deadline=None)
@given(values=st.fixed_dictionaries(dict.fromkeys(NAMES, printable)))
def test_any_printable_values_are_data(values: dict[str, str]) -> None:
    assert told(render(TEMPLATE, values, WRAPPERS, POWERSHELL))[0] == values


@settings(max_examples=100, deadline=None)
@given(
    text=st.lists(
        st.one_of(
            st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)),
            st.sampled_from([" '@", "@'", '"@', "# @@VALUES@@", "# @@WRAPPERS@@", "}", "$(exit)", "\t", "'"]),
        ).filter(lambda line: not line.startswith("'@"))
    ).map(lambda lines: "".join(f"{line}\n" for line in [*lines, "end"]))
)
def test_any_wrapper_is_data(text: str) -> None:
    # Only '@ at the start of a line ends a here-string; this grammar takes a quote after an empty line for the end as well.
    assume("\n\n'" not in f"\n{text}")
    _, wrappers = told(render(TEMPLATE, PLAIN, {**WRAPPERS, "run": text.encode()}, POWERSHELL))
    assert wrappers["run"] == text
    assert wrappers["logs"] == WRAPPERS["logs"].decode()


def test_no_byte_of_a_value_can_become_a_quote_in_a_code_page() -> None:
    # In windows-1252 the second byte of Ñ in UTF-8 is a typographic quote.
    assert powershell_quoted("Ñ") == "('' + [char]0x00D1)"
    assert powershell_quoted("O\u2019Neil") == "('O' + [char]0x2019 + 'Neil')"
    assert powershell_quoted("it's") == "'it''s'"
    assert powershell_quoted("") == "''"


@pytest.mark.parametrize("value", ["a\nb", "\r", "a\0b", "a\tb", "\x85", "\u2028", "\ud800"])
def test_a_value_that_cannot_be_on_one_line_is_refused(value: str) -> None:
    with pytest.raises(Refusal, match="IMAGE of the installer"):
        render(TEMPLATE, {**PLAIN, "IMAGE": value}, WRAPPERS, POWERSHELL)


@pytest.mark.parametrize(
    ("text", "said"),
    [(b"a\n'@ | iex\n", "'@"), (b"'@\n", "'@"), ("ação\n".encode(), "ASCII"), ("\u2019@\n".encode(), "ASCII")],
)
def test_a_wrapper_that_would_end_its_here_string_is_refused_by_name(text: bytes, said: str) -> None:
    with pytest.raises(TemplateUnusable, match=f"run .*{said}"):
        render(TEMPLATE, PLAIN, {**WRAPPERS, "run": text}, POWERSHELL)


def test_the_reader_of_constants_takes_nothing_that_would_run() -> None:
    for code in ("$x", '"a"', "(Get-Date)", "'a' + $b", "'a' - 'b'", "@(1)", "[int]0x0041", "'a' -f 'b'"):
        root = powershell.parse(f"@{{ K = {code} }}".encode())
        with pytest.raises(ValueError, match="not "):
            [powershell.hashtable(node) for node in powershell.nodes(root, "hash_literal_expression")]
