"""The script in place of an installer: every shell prints its message and fails, in the language of the host."""

import subprocess

import pytest

from contracts.stored_text import placeholders
from server.reasons import table
from server.reasons.on_host import on_host
from server.reasons.row import Row
from server.reasons.table import ROWS
from server.services.installer.error_script import FORMS, POWERSHELL, SH, error_script, form_for
from server.services.installer.lines import POWERSHELL_MARK, SH_MARK
from tests.harness.need import need_program
from tools import powershell

SHELLS = {
    "dash": [need_program("dash", "dash")],
    "bash": [need_program("bash", "bash"), "--posix"],
    "busybox": [need_program("busybox", "busybox"), "sh"],
}
VALUES = {"token": "0123456789ab", "at": "2026-01-01T00:00:00Z", "number": 2}
ANSWERED = [row for row in ROWS.values() if row.status is not None]
HOSTILE = [
    "'; touch hit; '",
    "$(touch hit)",
    "`touch hit`",
    "\\",
    "a\nb",
    '"',
    "'@\n",
    "\u2019; exit; \u2018",
    "[pP]) ;;",
]


def of(row: Row, values: dict[str, object] | None = None, correlation: str = "c0ffee") -> bytes:
    return error_script(SH, row, row.status or 500, correlation, VALUES if values is None else values).encode()


def run(script: bytes, shell: str, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """As the end of a pasted line runs it."""
    done = subprocess.run(
        [*SHELLS[shell], "-s", "--", *words], input=script, capture_output=True, check=False, timeout=30,
        env={"PATH": "/nowhere", **environ},
    )  # fmt: skip
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("row", ANSWERED, ids=lambda row: row.code)
def test_each_reason_is_printed_with_what_to_do_and_the_script_fails(row: Row, shell: str) -> None:
    done = run(of(row), shell, "--dry-run")
    assert (done.returncode, done.stdout) == (1, "")
    says, advice, codes = done.stderr.splitlines()
    assert says.startswith("Failed: ")
    assert says.endswith(" Nothing was changed on this host.")
    assert advice.endswith(".")
    assert codes == f"Reason: {row.code}, correlation id: c0ffee."


@pytest.mark.parametrize(
    ("environ", "begins"),
    [
        ({}, "Failed: "),
        ({"LANG": "C"}, "Failed: "),
        ({"LANG": "pt_BR.UTF-8"}, "Falhou: "),
        ({"LANG": "pt_BR.UTF-8", "LC_ALL": "en_US.UTF-8"}, "Failed: "),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "pt_BR"}, "Falhou: "),
        ({"LC_ALL": "", "LC_MESSAGES": "", "LANG": "PT"}, "Falhou: "),
    ],
)
def test_the_language_is_the_host_s(environ: dict[str, str], begins: str) -> None:
    for shell in SHELLS:
        done = run(of(table.TOKEN_EXPIRED), shell, **environ)
        assert done.returncode == 1
        assert begins in done.stderr, done.stderr
        assert "0123456789ab" in done.stderr
        assert "2026-01-01T00:00:00Z" in done.stderr


@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_is_only_text(value: str) -> None:
    script = of(table.TOKEN_EXPIRED, {"token": value, "at": value}, correlation=value)
    for shell in SHELLS:
        done = run(script, shell)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.count(value) == 3
    script = error_script(POWERSHELL, table.TOKEN_EXPIRED, 403, value, {"token": value, "at": value}).encode()
    assert script.isascii()
    assert powershell.faults(script) == []


@pytest.mark.parametrize("shell", SHELLS)
def test_it_fails_where_nobody_reads(shell: str) -> None:
    script = of(table.TOKEN_USED)
    for redirect in ("2>&-", "2>/dev/full", "2>&1 | :"):
        command = f'{{ "$@"; echo "$?" >&3; }} {redirect}'
        words = [SHELLS["bash"][0], "-c", f"exec 3>&1; {command}", "bash", *SHELLS[shell], "-s"]
        done = subprocess.run(words, input=script, capture_output=True, check=False, timeout=30)
        assert done.stdout.strip() == b"1", redirect


@pytest.mark.parametrize("shell", SHELLS)
def test_a_part_of_it_runs_nothing(shell: str) -> None:
    script = of(table.TOKEN_USED)
    for length in range(len("#!/bin/sh\n{"), len(script) - 2, 7):
        done = run(script[:length], shell)
        assert (done.returncode != 0, done.stdout) == (True, "")
        assert "Failed" not in done.stderr


def test_words_for_a_host_name_only_what_every_refusal_gives() -> None:
    for row in ANSWERED:
        words = on_host(row, row.status or 500, VALUES)
        assert not placeholders(words.says), row.code
    assert "cannot make the installer" in on_host(table.TOKEN_EXPIRED, 403, {}).says, "a value is missing"
    assert "in some minutes" in on_host(table.DATABASE_UNAVAILABLE, 503, {}).do


@pytest.mark.parametrize("row", ANSWERED, ids=lambda row: row.code)
def test_for_powershell_it_is_ascii_without_what_an_error_loses(row: Row) -> None:
    script = error_script(POWERSHELL, row, row.status or 500, "c0ffee", VALUES).encode()
    assert script.isascii()
    assert powershell.faults(script) == []
    assert b"<" not in script, "between angle brackets PowerShell takes text out of an error's body"
    assert script.startswith(POWERSHELL_MARK.encode())
    assert of(row).startswith(SH_MARK.encode() + b"\n")


@pytest.mark.parametrize(
    ("accept", "is_script"),
    [
        ("", True),
        ("*/*", True),
        ("text/html,application/xhtml+xml,*/*;q=0.8", True),
        ("application/json", False),
        ("application/problem+json", False),
        ("text/plain, Application/JSON;q=0.5", False),
    ],
)
def test_who_asks_for_json_gets_json(accept: str, is_script: bool) -> None:
    for path in FORMS:
        assert (form_for(path, accept) is not None) == is_script
    assert form_for("/api/bootstrap/enroll", accept) is None
