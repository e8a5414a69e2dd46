"""Rendering of an install script: what real shells make of it, whatever the values hold."""

import string
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.reasons.refusal import Refusal
from server.services.installer.rendering import TemplateUnusable, render
from tests.harness.control_plane import PRODUCT

SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}
TEMPLATE = (PRODUCT / "bootstrap" / "install.sh").read_bytes()
NAMES = [
    "API_BASE", "ENROLL_URL", "HEALTH_URL", "CLIENT", "NETWORK", "TIMEZONE", "IMAGE", "WATCHTOWER_IMAGE", "WATCHTOWER_INTERVAL",
    "BOOTSTRAP_TOKEN", "SERVER_TIME", "SERVER_VERSION",
]  # fmt: skip
PLAIN = dict.fromkeys(NAMES, "plain")

printable = st.text(
    st.one_of(
        st.sampled_from("'\"\\$`!*?[](){}<>|&;#~ =-@%^,.:/"),
        st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]),
    )
)
HOSTILE = [
    "'", "''", '"', "\\", "\\\\'", "`id`", "$(id)", "${HOME}", "$", "!", "!!", "~", "~root", "-n", "-e", "--", "# comment",
    " leading and trailing ", "", "*", "a;b", "a&&b", "a|b", ">/dev/null", "%s%n", "\\n\\t\\0", "São José: ação", "日本語",
    "🛒", "\u0301", "\u202e", "'; rm -rf /; '", "# @@VALUES@@", "# @@WRAPPERS@@", "EOF_run", ";;", "esac",
]  # fmt: skip


def printed(script: bytes, shell: str, *arguments: str, folder: Path | None = None) -> bytes:
    """What the script prints; it is read from stdin, as `curl … | sh` does."""
    command = [*SHELLS[shell], "-s", "--", *arguments]
    return subprocess.run(command, input=script, capture_output=True, check=True, cwd=folder, timeout=30).stdout


def told(values: dict[str, str]) -> bytes:
    return "".join(f"{name}={values[name]}\n" for name in NAMES).encode()


@pytest.mark.parametrize("shell", SHELLS)
def test_hostile_values_come_out_of_every_shell_as_they_went_in(shell: str, tmp_path: Path) -> None:
    for value in HOSTILE:
        values = dict.fromkeys(NAMES, value)
        assert printed(render(TEMPLATE, values), shell, folder=tmp_path) == told(values)
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=60, deadline=None)
@given(values=st.fixed_dictionaries(dict.fromkeys(NAMES, printable)))
def test_any_printable_values_come_out_of_every_shell_as_they_went_in(values: dict[str, str]) -> None:
    script = render(TEMPLATE, values)
    for shell in SHELLS:
        assert printed(script, shell) == told(values)


def test_numbers_are_quoted_too() -> None:
    script = render(TEMPLATE, {**PLAIN, "WATCHTOWER_INTERVAL": 300})
    assert b"    WATCHTOWER_INTERVAL='300'\n" in script


def test_everything_but_the_line_of_the_values_is_copied_byte_for_byte() -> None:
    template = b"\xff\xfe # @@VALUES@@ not alone\n\t# @@VALUES@@\n\x0b\x0c\n  # @@WRAPPERS@@\nlast # @@VALUES@@\n"
    assert render(template, {"A": "b"}) == (
        b"\xff\xfe # @@VALUES@@ not alone\n\tA='b'\n\x0b\x0c\n  # @@WRAPPERS@@\nlast # @@VALUES@@\n"
    )


def test_the_same_input_gives_the_same_script() -> None:
    assert render(TEMPLATE, PLAIN) == render(TEMPLATE, dict(PLAIN))


@pytest.mark.parametrize("value", ["a\nb", "\n", "a\0b", "a\rb", "a\tb", "\x1b[2J", "a\x85b", "a\u2028b", "\ud800"])
def test_a_value_that_cannot_be_on_one_line_is_refused_by_name_and_not_repeated(value: str) -> None:
    with pytest.raises(Refusal, match="IMAGE of the installer") as caught:
        render(TEMPLATE, {**PLAIN, "IMAGE": value})
    assert caught.value.reason == "installer_value_invalid"
    assert value not in caught.value.message


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (b"", "cut off"),
        (TEMPLATE[:-1], "cut off"),
        (TEMPLATE.replace(b"\n", b"\r\n"), "carriage return"),
        (TEMPLATE + b"\0\n", "NUL"),
        (TEMPLATE.replace(b"# @@VALUES@@", b"#"), "0 lines # @@VALUES@@"),
        (TEMPLATE + b"# @@VALUES@@\n", "2 lines # @@VALUES@@"),
    ],
)
def test_a_template_that_is_not_one_is_refused(template: bytes, said: str) -> None:
    with pytest.raises(TemplateUnusable, match=said):
        render(template, PLAIN)


def test_the_rendered_script_passes_shellcheck(tmp_path: Path) -> None:
    values = dict.fromkeys(NAMES, "".join(sorted(set(string.printable) - set(string.whitespace))))
    path = tmp_path / "install.sh"
    path.write_bytes(render(TEMPLATE, values))
    done = subprocess.run(
        ["shellcheck", "-s", "sh", "-S", "warning", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
