"""Both installers write the same files for the same network, take the same options, and start the same one-shot container."""

import re
from pathlib import Path
from typing import Any

import pytest

from runtime.deployment.environment import parse, read_settings
from tests.unit.shell.host import wrapper as sh_wrapper
from tests.unit.windows.linux_installer import cases, written
from tests.unit.windows.scripts import INSTALLER, ROOT, deploy_command, function, wrapper
from tools import powershell

LINUX = (ROOT / "bootstrap/install.sh").read_text()
WINDOWS = INSTALLER.read_bytes()

# What each script calls the same thing.
_SAME = {
    "$agent_id": "agent", "$site.Agent": "agent", "$runtime": "runtime", "$RuntimeName": "runtime", "$image": "option image",
    "$Image": "option image", "$watchtower_image": "option watchtower image", "$WatchtowerImage": "option watchtower image",
    "$interval": "option interval", "$WatchtowerInterval": "option interval", "$network": "option network",
    "$DockerNetwork": "option network",
}  # fmt: skip


def body(name: str) -> str:
    """Of a function of install.sh."""
    found = re.search(rf"^{name}\(\) \{{\n(.*?)^\}}", LINUX, re.MULTILINE | re.DOTALL)
    assert found, name
    return found[1]


def meaning(word: str) -> str:
    rendered = re.fullmatch(r"\(Get-Value '(\w+)'\)|\$([A-Z_]+)", word)
    if rendered:
        return f"rendered {rendered[1] or rendered[2]}"
    return _SAME.get(word, word)


def linux_keys() -> list[tuple[str, ...]]:
    calls = re.findall(r"(set_key|offer_key) (.+?)(?:; fi)?$", body("write_environment"), re.MULTILINE)
    found = []
    for call, words in calls:
        taken = re.findall(r'"([^"]*)"|(\S+)', words)
        found.append((call, *(meaning(quoted or bare) for quoted, bare in taken)))
    return [call for call in found if call[1] != "DOCKER_HOST"]  # the other engines of Linux


def windows_keys() -> list[tuple[str, ...]]:
    names = {"Set-EnvKey": "set_key", "Set-OfferedKey": "offer_key"}
    found = []
    for call in powershell.nodes(function(WINDOWS, "New-EnvironmentText"), "command"):
        words = re.findall(r"\(Get-Value '\w+'\)|'[^']*'|\S+", powershell.text(call))
        if words[0] in names:
            assert words[1] == "$lines"
            found.append((names[words[0]], *(meaning(word.strip("'")) for word in words[2:])))
    return found


def test_the_same_keys_in_the_same_order_from_the_same_values() -> None:
    assert len(windows_keys()) == 11
    assert windows_keys() == linux_keys()


def test_the_first_container_gets_the_same_keys() -> None:
    linux = re.search(r"for key in ([A-Z_ ]+); do", body("write_container_environment"))
    assert linux
    windows = re.findall(r"'([A-Z_]+)'", powershell.text(function(WINDOWS, "New-ContainerEnvironment")))
    assert windows == [*linux[1].split(), "TZ"]


def test_the_head_of_the_file_is_the_same() -> None:
    linux = [line.replace("$runtime", "NAME") for line in re.findall(r'"(# [^"]+)"', body("write_environment"))]
    source = powershell.text(function(WINDOWS, "New-EnvironmentText"))
    windows = [
        line.replace("${RuntimeName}", "NAME").replace("$RuntimeName", "NAME").removesuffix("`n")
        for line in re.findall(r'"(# [^"]+)"', source)
    ]
    assert linux == windows


@pytest.mark.parametrize("name", cases())
def test_the_linux_installer_writes_what_the_pester_tests_expect_of_the_windows_one(name: str, tmp_path: Path) -> None:
    case: dict[str, Any] = cases()[name]
    found = written(case, tmp_path)
    assert (found.file, found.container) == (case["after"], case["container"])
    assert parse(found.file.encode()).problems == ()
    assert "\r" not in found.file
    assert read_settings(found.file.encode(), case["runtime"]).names.runtime == case["runtime"]


def test_both_installers_have_the_same_options() -> None:
    linux = set(re.findall(r"^    *\(?.*?(--[a-z-]+)[ )]", body("read_options"), re.MULTILINE))
    linux |= set(re.findall(r"--[a-z]+(?:-[a-z]+)*", body("read_options")))
    linux -= {"--help", "--*"}
    block = next(powershell.nodes(powershell.parse(WINDOWS), "param_block"))
    windows = {
        "--" + re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower() for name in re.findall(r"\$(\w+)", powershell.text(block))
    }
    assert windows - {"--true", "--false"} == linux


def test_the_one_shot_container_is_the_documented_one() -> None:
    [linux] = re.findall(r"apart docker (run --rm .*?) \"\$@\"", sh_wrapper("update-image"), re.DOTALL)
    for here, there in (
        ("\\\n", " "),
        ('"', ""),
        ("${made:+--cidfile $made}", "--cidfile made"),
        ("${language:+-e LANG=$language}", "-e LANG=pt_BR"),
        ("$runtime", "win"),
    ):
        linux = linux.replace(here, there)
    linux = linux.split()
    before_mounts = linux[: linux.index("-v")]
    own = deploy_command({"folder": "/etc/win", "runtime": "win", "image": "an/image:1", "verb": "apply"})
    assert own[: len(before_mounts)] == before_mounts
    mounts = [own[at + 1] for at, word in enumerate(own) if word == "-v"]
    assert mounts == [
        "/var/run/docker.sock:/var/run/docker.sock",
        "/etc/win:/host/etc",
        "win-data:/host/data",
        "/etc/win/bin:/host/bin",
    ]
    at = own.index("an/image:1")
    assert own[at + 1 : at + 7] == ["deploy", "apply", "--runtime-name", "win", "--host-os", "windows"]
    document = (ROOT / "docs/deployment.md").read_text()
    for option in ("--runtime-name", "--socket", "--config-source", "--data-source", "--host-os"):
        assert option in own
        assert option in document


def test_a_failure_of_a_wrapper_is_reported_as_json_in_the_same_form() -> None:
    linux = re.findall(
        r"printf '(.*?)(?:\\n)?'", sh_wrapper("update-image").split("print_failure() {")[1].split("\n}\n")[0]
    )
    *tables, _ = powershell.nodes(function(wrapper("update-image"), "Stop-Script"), "hash_literal_expression")
    windows = [
        powershell.text(entry.children[0]) for table in tables for entry in powershell.nodes(table, "hash_entry")
    ]
    assert windows == re.findall(r'"(\w+)":', "".join(linux))


def test_the_first_configuration_runs_in_the_same_container() -> None:
    linux = re.search(r"docker run (.*?)\|\| code", body("first_configuration"), re.DOTALL)
    assert linux
    options = [word for word in linux[1].replace("\\\n", " ").split() if word.startswith("--") or word == "-v"]
    windows = re.findall(r"'(--[a-z-]+|-v)'", powershell.text(function(WINDOWS, "Save-Configuration")))
    assert windows == options


def test_both_installers_refuse_the_same_names() -> None:
    for ending in ("-candidate", "-previous", "-watchtower", "-deploy", "-repair"):
        assert f"*{ending}" in body("check_options")
        assert ending in powershell.text(function(WINDOWS, "Assert-Options"))


def test_the_first_generation_is_known_by_the_same_names_and_its_containers_by_the_same_lack_of_a_label() -> None:
    linux = re.search(r"^FIRST='([a-z ]+)'", LINUX, re.MULTILINE)
    windows = re.search(r"First = @\(([^)]*)\)", WINDOWS.decode())
    assert linux
    assert windows
    assert re.findall(r"'(\w+)'", windows[1]) == linux[1].split()
    for name in ("Test-Engine", "Test-Neighbours", "Get-Strangers", "Stop-Legacy", "Uninstall-Proxy"):
        text = powershell.text(function(WINDOWS, name))
        assert "Test-Legacy" in text or "Get-Strangers" in text, name
    uninstall = powershell.text(function(WINDOWS, "Uninstall-Proxy"))
    assert uninstall.index("Get-Strangers") < uninstall.index("$installed") < uninstall.index("Lock-Site")


def test_what_a_person_reads_first_is_the_same_on_both() -> None:
    """Failures that a support call names: the same words on both systems."""
    windows = WINDOWS.decode()
    for text in (
        "This is the bare template, or a damaged script.",
        "serves network",
        "is there that is not ours.",
        "is a Watchtower without scope: it ends ours when it starts, and updates the proxy without asking it first.",
        "A proxy of the first generation is on this host",
        "It seems to be of the first generation. Install beside it with ",
        "is not of the first generation: -",
        "Not removed: not made by this installer, perhaps by the first generation's: the containers ",
        "If they are to go as well: docker rm -f ",
        "The control plane's name cannot be resolved",
        "The control plane's certificate is not trusted here",
        "The control plane cannot be reached at",
        "that it is not well (HTTP",
        "This host's clock and the control plane's are",
        "Another installer is at work on",
        "The control plane refused to enrol this host (HTTP",
        "The control plane's answer holds no token.",
        "Runs are still at work, so the new version did not start.",
        "runs as specified, but is not complete. Correct what is said above and start again.",
        "Its token is still known to the control plane: flagee-server token list, token revoke ID.",
    ):
        assert text in LINUX, text
        assert text in windows, text
