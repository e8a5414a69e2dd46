"""Every script for Windows, by the grammar: what is rendered stays data, what is cut off does nothing, no name is mistyped."""

import random
import re
from pathlib import Path

import pytest
from tree_sitter import Node

from contracts.languages import read_po
from contracts.stored_text import placeholders
from server.services.installer.assets import InstallerFiles
from tests.unit.server.test_installer_powershell import HOSTILE
from tests.unit.windows.scripts import INSTALLER, ROOT, SCRIPTS, TOOLS, VALUES, function, rendered, wrapper
from tools import powershell

# Of PowerShell 5.1 and of the modules that come with Windows.
CMDLETS = {
    "ConvertTo-Json", "ForEach-Object", "Get-Acl", "Get-ChildItem", "Get-CimInstance", "Get-Command", "Get-Content", "Get-Date",
    "Get-ExecutionPolicy", "Get-Help", "Get-Item", "Get-LocalGroupMember", "Get-ScheduledTask", "Invoke-CimMethod", "Join-Path",
    "New-Object", "New-ScheduledTaskAction", "New-ScheduledTaskPrincipal", "New-ScheduledTaskSettingsSet",
    "New-ScheduledTaskTrigger", "New-TimeSpan", "Out-String", "Read-Host", "Register-ScheduledTask", "Remove-Item",
    "Select-Object", "Set-StrictMode", "Start-Sleep", "Split-Path", "Test-Path", "Unregister-ScheduledTask", "Where-Object",
    "Write-Host",
}  # fmt: skip
AUTOMATIC = {
    "_", "args", "executioncontext", "false", "host", "matches", "myinvocation", "null", "pid", "pscommandpath", "pshome",
    "psuiculture", "psversiontable", "true",
}  # fmt: skip


@pytest.fixture(params=SCRIPTS)
def script(request: pytest.FixtureRequest) -> bytes:
    return SCRIPTS[request.param]


def values_of(script: bytes) -> dict[str, str]:
    """Of the rendered installer."""
    [table] = powershell.nodes(function(script, "Get-Rendered"), "hash_literal_expression")
    return powershell.hashtable(table)


def test_the_real_installer_can_be_rendered() -> None:
    assert InstallerFiles(ROOT).problem() is None
    script = rendered()
    assert powershell.problems(script) == []
    assert values_of(script) == dict.fromkeys(VALUES, "plain")


def test_hostile_values_stay_data_in_the_real_installer() -> None:
    plain = [node.type for node in powershell.nodes(powershell.parse(rendered()), "command", "invokation_expression")]
    for value in HOSTILE:
        script = rendered(value)
        assert powershell.problems(script) == []
        assert values_of(script) == dict.fromkeys(VALUES, value)
        # Nothing is called that a harmless value does not call.
        root = powershell.parse(script)
        assert [node.type for node in powershell.nodes(root, "command", "invokation_expression")] == plain


def runs_something(script: bytes) -> bool:
    """Whether a PowerShell would run any of it: it parses all of it first, and runs nothing of what does not parse."""
    root = powershell.parse(script)
    if root.has_error:
        return False
    statements = [child for child in root.children if child.type == "statement_list"]
    return any(child.type not in ("comment", "empty_statement") for one in statements for child in one.children)


def test_the_installer_stays_short() -> None:
    """What is written, and what an administrator reads: with what it shares with the commands, and the Portuguese sentences."""
    assert len((ROOT / "bootstrap/install.ps1").read_text().splitlines()) <= 643
    assert len(rendered().splitlines()) <= 980


def test_a_download_that_was_cut_off_runs_nothing() -> None:
    script = rendered()
    assert runs_something(script)
    chance = random.Random(7)
    body = script.index(b"\n& {\n")
    end = script.rindex(b"}")
    cuts = {chance.randrange(len(script)) for _ in range(60)}
    cuts |= {at + 1 for at in chance.sample([at for at, byte in enumerate(script) if byte == 0x0A and at < end], 80)}
    cuts |= set(range(body - 3, body + 8)) | set(range(end - 20, end + 1))
    for cut in sorted(cuts):
        assert not runs_something(script[:cut]), script[:cut][-80:]


def test_nothing_but_the_block_runs_and_it_ends_in_the_last_line() -> None:
    script = INSTALLER
    root = powershell.parse(script)
    [statements] = [child for child in root.children if child.type == "statement_list"]
    [block] = [child for child in statements.children if child.type != "comment"]
    assert block.type == "pipeline"
    assert script.count(b"\n", 0, block.end_byte) == script.count(b"\n") - 1


def test_every_command_is_one_of_ours_or_comes_with_windows(script: bytes) -> None:
    root = powershell.parse(script)
    ours = set(powershell.functions(root))
    called = {powershell.text(node) for node in powershell.nodes(root, "command_name")}
    called -= {name for name in called if re.fullmatch(r"\d+\.\.\d+", name)}  # a range, to this grammar
    assert called - ours <= CMDLETS


def test_every_variable_is_given_a_value_somewhere(script: bytes) -> None:
    root = powershell.parse(script)
    given = set(AUTOMATIC)
    for node in powershell.nodes(root, "left_assignment_expression"):
        given |= {name_of(found) for found in powershell.nodes(node, "variable")}
    for node in powershell.nodes(root, "script_parameter", "foreach_statement"):
        given |= {name_of(child) for child in node.children if child.type == "variable"}
    table = powershell.functions(root)["Get-Text"]  # has those of the sentences of all commands
    inside = range(table.start_byte, table.end_byte)
    variables = powershell.nodes(root, "variable", "braced_variable")
    used = {name_of(node) for node in variables if node.start_byte not in inside}
    assert {name for name in used - given if not name.startswith("env:")} == set()


def name_of(node: Node) -> str:
    return powershell.text(node).lower().strip("${}").removeprefix("script:").removeprefix("global:")


def test_functions_get_no_more_arguments_than_they_accept(script: bytes) -> None:
    root = powershell.parse(script)
    takes = {
        name: [powershell.text(one).lower() for one in powershell.nodes(node, "script_parameter")]
        for name, node in powershell.functions(root).items()
    }
    for call in powershell.nodes(root, "command"):
        name = powershell.text(call.children[0])
        if name not in takes or "{" in powershell.text(call).split("\n")[0]:
            continue
        elements = [one for part in call.children if part.type == "command_elements" for one in part.children]
        given = [one for one in elements if one.type not in ("command_argument_sep", "command_parameter")]
        assert len(given) <= len([one for one in takes[name] if "[switch]" not in one]), powershell.text(call)


@pytest.mark.parametrize("name", TOOLS)
def test_a_command_has_help_its_mark_and_its_runtime_s_name(name: str) -> None:
    text = wrapper(name).decode()
    assert text.split("\n")[1].startswith(f"# FlageeMonitor Proxy, flageemonitor-{name}.")
    assert "\n\n<#\n.SYNOPSIS\n" in text
    assert text.count("@RUNTIME_NAME@") == 1
    assert text.endswith("    exit $script:ExitCode\n} $MyInvocation $args\n")


@pytest.mark.parametrize("name", TOOLS)
def test_a_command_that_was_cut_off_runs_nothing(name: str) -> None:
    script = wrapper(name)
    assert runs_something(script)
    body, end = script.index(b"\n& {\n"), script.rindex(b"}")
    for cut in {
        *random.Random(name).sample(range(body, end), 60),
        *range(body + 2, body + 8),
        *range(end - 20, end + 1),
    }:
        assert not runs_something(script[:cut]), script[:cut][-80:]


def test_nothing_on_the_way_to_the_table_hides_a_value_of_a_sentence() -> None:
    """The values are variables of the function that says the sentence, or of one that called it."""
    found = powershell.functions(powershell.parse(wrapper("run")))
    functions = ("Get-Text", "Write-Message", "Write-Warned", "Stop-Script", "Stop-Usage", "Stop-Gone")
    way = "\n".join(powershell.text(found[name]) for name in functions)
    own = {(one[0] or one[1]).lower() for one in re.findall(r"\]\$(\w+)|\$(\w+) (?:=|in) ", way)}
    assert {"finished", "sentence", "exitcode", "next", "stop"} <= own
    sentences = read_po((ROOT / "locale/pt_BR/wrappers-windows.po").read_text(encoding="utf-8"))
    assert own & {value.lower() for template in sentences for value in placeholders(template)} == set()


def test_the_token_goes_to_deploy_through_its_input_alone() -> None:
    """`Values`, which has it, is read in Get-Request; else by the names of other values."""
    root = powershell.parse(INSTALLER)
    whole = [
        name
        for name, node in powershell.functions(root).items()
        if re.search(r"\$site\.Values(?!\['[A-Z_]+'\])", powershell.text(node))
    ]
    assert whole == ["Get-Request"]
    assert "BOOTSTRAP_TOKEN" not in powershell.text(root)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("$a = $b ?? 1\n", "not known to PowerShell 5.1"),
        ("Invoke-RestMethod -SkipCertificateCheck $x\n", "not known to PowerShell 5.1"),
        ('"$name: x"\n', "where a colon follows"),
        ("# ação\n", "beyond ASCII"),
        ("$a = 1\r\n", "carriage return"),
        ("function f { \n", "not PowerShell"),
        ("'?? && -Parallel' # ?? $a:\n", ""),
    ],
)
def test_make_check_refuses_these_scripts(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.ps1").write_bytes(text.encode())
    assert powershell.main([str(tmp_path / "x.ps1")]) == int(bool(said))
    assert said in capsys.readouterr().err
