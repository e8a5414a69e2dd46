"""Rendering of an install script: what real shells make of it, whatever the values and the wrappers hold."""

import string
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.reasons.refusal import Refusal
from server.services.installer.rendering import TemplateUnusable, render
from tests.harness.control_plane import PRODUCT, stand_in_commands

SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}
TEMPLATE = (PRODUCT / "bootstrap" / "install.sh").read_bytes()
NAMES = [
    "API_BASE", "ENROLL_URL", "HEALTH_URL", "CLIENT", "NETWORK", "TIMEZONE", "IMAGE", "WATCHTOWER_IMAGE", "WATCHTOWER_INTERVAL",
    "BOOTSTRAP_TOKEN", "SERVER_TIME", "SERVER_VERSION",
]  # fmt: skip
WRAPPERS = stand_in_commands("linux")
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
        assert printed(render(TEMPLATE, values, WRAPPERS), shell, folder=tmp_path) == told(values)
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=60, deadline=None)
@given(values=st.fixed_dictionaries(dict.fromkeys(NAMES, printable)))
def test_any_printable_values_come_out_of_every_shell_as_they_went_in(values: dict[str, str]) -> None:
    script = render(TEMPLATE, values, WRAPPERS)
    for shell in SHELLS:
        assert printed(script, shell) == told(values)


@settings(max_examples=60, deadline=None)
@given(
    text=st.lists(
        st.one_of(
            printable, st.sampled_from(["EOF_run", "EOF_run_", "# @@VALUES@@", "# @@WRAPPERS@@", ";;", "esac", "\t"])
        )
    ).map(lambda lines: "".join(f"{line}\n" for line in [*lines, "end"]).encode())
)
def test_any_wrapper_comes_out_of_every_shell_as_it_went_in(text: bytes) -> None:
    script = render(TEMPLATE, PLAIN, {**WRAPPERS, "run": text})
    for shell in SHELLS:
        assert printed(script, shell, "run") == text
        assert printed(script, shell, "watchtower-logs") == WRAPPERS["watchtower-logs"]
        assert printed(script, shell) == told(PLAIN)


def test_numbers_are_quoted_too() -> None:
    script = render(TEMPLATE, {**PLAIN, "WATCHTOWER_INTERVAL": 300}, WRAPPERS)
    assert b"    WATCHTOWER_INTERVAL='300'\n" in script


def test_everything_but_the_two_lines_is_copied_byte_for_byte() -> None:
    template = b"\xff\xfe # @@VALUES@@ not alone\n\t# @@VALUES@@\n\x0b\x0c\n  # @@WRAPPERS@@\nlast # @@WRAPPERS@@\n"
    assert render(template, {"A": "b"}, {"run": b"text\n"}) == (
        b"\xff\xfe # @@VALUES@@ not alone\n\tA='b'\n\x0b\x0c\n  (run) cat <<'EOF_run'\ntext\nEOF_run\n  ;;\nlast # @@WRAPPERS@@\n"
    )


def test_the_same_input_gives_the_same_script() -> None:
    assert render(TEMPLATE, PLAIN, WRAPPERS) == render(TEMPLATE, dict(PLAIN), dict(WRAPPERS))


@pytest.mark.parametrize("value", ["a\nb", "\n", "a\0b", "a\rb", "a\tb", "\x1b[2J", "a\x85b", "a\u2028b", "\ud800"])
def test_a_value_that_cannot_be_on_one_line_is_refused_by_name_and_not_repeated(value: str) -> None:
    with pytest.raises(Refusal, match="IMAGE of the installer") as caught:
        render(TEMPLATE, {**PLAIN, "IMAGE": value}, WRAPPERS)
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
        (TEMPLATE.replace(b"# @@WRAPPERS@@", b"#@@WRAPPERS@@"), "0 lines # @@WRAPPERS@@"),
        (TEMPLATE + b"\t # @@WRAPPERS@@ \n", "2 lines # @@WRAPPERS@@"),
    ],
)
def test_a_template_that_is_not_one_is_refused(template: bytes, said: str) -> None:
    with pytest.raises(TemplateUnusable, match=said):
        render(template, PLAIN, WRAPPERS)


def test_a_line_that_begins_like_the_delimiter_and_continues_in_portuguese_is_not_damaged() -> None:
    text = "Ele\nEção\nEOã\nAção\nEOF_run\nBêbado\n".encode()
    script = render(TEMPLATE, PLAIN, {**WRAPPERS, "run": text})
    for shell in SHELLS:
        assert printed(script, shell, "run") == text


def test_a_wrapper_for_which_no_delimiter_exists_is_refused() -> None:
    text = "".join(f"{letter}\xe7\n" for letter in string.ascii_letters).encode()
    with pytest.raises(TemplateUnusable, match="run leaves no word"):
        render(TEMPLATE, PLAIN, {**WRAPPERS, "run": text})


@pytest.mark.parametrize("text", [b"", b"no end of line", b"a\r\n", b"a\0\n"])
def test_a_wrapper_that_cannot_be_written_as_it_is_is_refused_by_name(text: bytes) -> None:
    with pytest.raises(TemplateUnusable, match="update-image"):
        render(TEMPLATE, PLAIN, {**WRAPPERS, "update-image": text})


def test_the_rendered_script_passes_shellcheck(tmp_path: Path) -> None:
    values = dict.fromkeys(NAMES, "".join(sorted(set(string.printable) - set(string.whitespace))))
    path = tmp_path / "install.sh"
    path.write_bytes(render(TEMPLATE, values, WRAPPERS))
    done = subprocess.run(
        ["shellcheck", "-s", "sh", "-S", "warning", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
