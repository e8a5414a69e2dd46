"""Rendering of an install script for PowerShell: what its grammar makes of it, whatever the values and the wrappers hold."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.reasons.refusal import Refusal
from server.services.installer.rendering import POWERSHELL, powershell_quoted, render
from tests.harness.control_plane import PRODUCT
from tools import powershell

TEMPLATE = (PRODUCT / "bootstrap" / "install.ps1").read_bytes()
NAMES = ["API_BASE", "CLIENT", "NETWORK", "IMAGE", "BOOTSTRAP_TOKEN"]
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


def told(script: bytes) -> dict[str, str]:
    """Values of a rendered stand-in: literals, and nothing that would run."""
    assert script.isascii()
    assert powershell.faults(script) == []
    root = powershell.parse(script)
    assert {child.type for child in root.children} == {"comment", "statement_list"}
    [values] = map(powershell.hashtable, powershell.nodes(root, "hash_literal_expression"))
    return values


def test_hostile_values_are_data() -> None:
    for value in HOSTILE:
        values = dict.fromkeys(NAMES, value)
        assert told(render(TEMPLATE, values, POWERSHELL)) == values


@settings(max_examples=100, deadline=None)
@given(values=st.fixed_dictionaries(dict.fromkeys(NAMES, printable)))
def test_any_printable_values_are_data(values: dict[str, str]) -> None:
    assert told(render(TEMPLATE, values, POWERSHELL)) == values


def test_no_byte_of_a_value_can_become_a_quote_in_a_code_page() -> None:
    # In windows-1252 the second byte of Ñ in UTF-8 is a typographic quote.
    assert powershell_quoted("Ñ") == "('' + [char]0x00D1)"
    assert powershell_quoted("O\u2019Neil") == "('O' + [char]0x2019 + 'Neil')"
    assert powershell_quoted("it's") == "'it''s'"
    assert powershell_quoted("") == "''"


@pytest.mark.parametrize("value", ["a\nb", "\r", "a\0b", "a\tb", "\x85", "\u2028", "\ud800"])
def test_a_value_that_cannot_be_on_one_line_is_refused(value: str) -> None:
    with pytest.raises(Refusal, match="IMAGE of the installer"):
        render(TEMPLATE, {**PLAIN, "IMAGE": value}, POWERSHELL)


def test_the_reader_of_constants_takes_nothing_that_would_run() -> None:
    for code in ("$x", '"a"', "(Get-Date)", "'a' + $b", "'a' - 'b'", "@(1)", "[int]0x0041", "'a' -f 'b'"):
        root = powershell.parse(f"@{{ K = {code} }}".encode())
        with pytest.raises(ValueError, match="not "):
            [powershell.hashtable(node) for node in powershell.nodes(root, "hash_literal_expression")]
