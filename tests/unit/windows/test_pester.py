"""On a real PowerShell: the Pester tests, and what it makes of a rendered installer. Collected only where there is one."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.harness.need import need
from tests.harness.powershell import SHELLS
from tests.unit.server.test_installer_powershell import HOSTILE
from tests.unit.windows.scripts import ROOT, TOOLS, VALUES, rendered, wrapper

_PESTER = """
$ErrorActionPreference = 'Stop'
if (-not (Get-Module -ListAvailable -Name Pester | Where-Object { $_.Version.Major -ge 5 })) { exit 99 }
Import-Module Pester -MinimumVersion 5.0
$configuration = New-PesterConfiguration
$configuration.Run.Path = 'tests/pester'
$configuration.Run.Exit = $true
$configuration.Output.Verbosity = 'Detailed'
Invoke-Pester -Configuration $configuration
"""
_DUMP = """
$tokens = $null; $errors = $null
$tree = [System.Management.Automation.Language.Parser]::ParseFile($env:FM_SCRIPT, [ref]$tokens, [ref]$errors)
if ($errors.Count) { throw $errors[0].Message }
$type = [System.Management.Automation.Language.FunctionDefinitionAst]
$wanted = { param($node) $node -is $type -and $node.Name -eq 'Get-Rendered' }
. ([scriptblock]::Create($tree.Find($wanted, $true).Extent.Text))
[Console]::OutputEncoding = New-Object System.Text.UTF8Encoding $false
ConvertTo-Json (Get-Rendered) -Compress
"""


def run(shell: str, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [shell, "-NoProfile", "-NonInteractive", "-Command", code],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=280,
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_the_pester_tests_pass(shell: str, tmp_path: Path) -> None:
    for name in TOOLS:
        (tmp_path / f"flageemonitor-{name}.ps1").write_bytes(wrapper(name, "flageemonitor"))
    (tmp_path / "install.ps1").write_bytes(rendered())
    done = run(shell, _PESTER, FM_COMMANDS=str(tmp_path))
    need(done.returncode != 99, "Pester 5", "Install-Module Pester")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_hostile_values_are_data_to_powershell_itself(shell: str, tmp_path: Path) -> None:
    script = tmp_path / "install.ps1"
    for value in HOSTILE:
        script.write_bytes(rendered(value))
        done = run(shell, _DUMP, FM_SCRIPT=str(script))
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == dict.fromkeys(VALUES, value)
