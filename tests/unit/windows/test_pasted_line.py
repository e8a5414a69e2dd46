"""The line for Windows in a real PowerShell: what it runs, prints, and that it fails. Collected only where there is one."""

import contextlib
import socket

import pytest

from server.reasons import table
from server.services.installer.error_script import POWERSHELL, error_script
from server.services.installer.lines import NOT_A_SCRIPT, POWERSHELL_MARK
from tests.harness.powershell import SHELLS
from tests.unit.server.test_lines import PAGE, Answer, recipe, serving
from tests.unit.windows.test_pester import run

INSTALLER = (
    f'{POWERSHELL_MARK}: a test\nparam([switch] $DryRun)\n& {{ "installed $DryRun"; $global:LASTEXITCODE = 0 }}\n'
)
ERROR = error_script(POWERSHELL, table.TOKEN_USED, 403, "c0ffee", {"token": "0123456789ab"})
# In an interactive session the window stays, so that the code counts as well.
_PASTED = 'try {{ {line} }} catch {{ "caught: $_" }}; "code: $LASTEXITCODE"'


def pasted(shell: str, answer: Answer, **environment: str) -> tuple[str, str]:
    with serving(answer) as (url, seen):
        done = run(shell, _PASTED.format(line=recipe(url, windows=True).line + " -DryRun"), **environment)
    assert len(seen) == 1, "no redirect is followed with the token"
    return done.stdout, done.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_the_line_runs_the_installer_with_the_options_at_its_end(shell: str) -> None:
    assert pasted(shell, Answer(body=INSTALLER))[0].splitlines() == ["installed True", "code: 0"]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("status", [401, 403, 503])
def test_an_error_of_the_control_plane_is_printed_and_the_line_fails(shell: str, status: int) -> None:
    printed, errors = pasted(shell, Answer(status, ERROR))
    assert printed.splitlines() == ["caught: Reason: token_used, correlation id: c0ffee.", "code: 1"]
    assert "Failed: This line was used before" in errors


@pytest.mark.parametrize("shell", SHELLS)
def test_an_error_is_in_the_host_s_language(shell: str) -> None:
    _, errors = pasted(shell, Answer(403, ERROR), LANG="pt_BR.UTF-8")
    assert "Peça uma linha nova à empresa de monitoramento." in errors


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "answer", [Answer(502, PAGE), Answer(200, PAGE), Answer(200, ""), Answer(302, PAGE, {"Location": "/x"})]
)
def test_what_is_no_installer_is_not_run_and_the_line_fails(shell: str, answer: Answer) -> None:
    printed, _ = pasted(shell, answer)
    assert printed.startswith(f"caught: {NOT_A_SCRIPT}")
    assert printed.endswith("code: 1\n")


@pytest.mark.parametrize("shell", SHELLS)
def test_without_a_network_the_line_names_the_cause_and_ends_with_1(shell: str) -> None:
    with contextlib.closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))  # nobody listens
        line = recipe(f"http://127.0.0.1:{bound.getsockname()[1]}", windows=True).line
        done = run(shell, line)
    assert done.returncode == 1
    assert NOT_A_SCRIPT in done.stderr
    assert "refused" in done.stderr
