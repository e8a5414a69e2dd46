"""Installers of both systems: the same environment file for the same network, the same options, the same one-shot container."""

import json
import re
from typing import Any

import pytest

from runtime.deployment.environment import read_settings
from runtime.deployment.environment_lines import parse
from runtime.deployment.request import InstallOptions, environment_text, read_request
from tests.unit.shell.host import wrapper as sh_wrapper
from tests.unit.windows.scripts import INSTALLER, ROOT, deploy_command, function, wrapper
from tools import powershell

CASES = ROOT / "tests/cases/environment_file"
LINUX = (ROOT / "bootstrap/install.sh").read_text()
WINDOWS = INSTALLER


def body(name: str) -> str:
    """Of a function of install.sh."""
    found = re.search(rf"^{name}\(\) \{{\n(.*?)^\}}", LINUX, re.MULTILINE | re.DOTALL)
    assert found, name
    return found[1]


def cases() -> dict[str, dict[str, Any]]:
    """What an installer hands over, and the environment file that it must lead to."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(CASES.glob("*.json"))}


@pytest.mark.parametrize("name", cases())
def test_deploy_writes_the_expected_environment_file(name: str) -> None:
    case: dict[str, Any] = cases()[name]
    given = case["options"]
    options = InstallOptions(
        image=given["image"],
        watchtower_image=given["watchtower_image"],
        watchtower_interval=given["interval"],
        docker_network=given["network"],
    )
    values = {**case["values"], **dict.fromkeys(("ENROLL_URL", "HEALTH_URL", "BOOTSTRAP_TOKEN", "HOSTNAME"), "x")}
    lines = [f"{key}={value}" for key, value in values.items()] + (
        ["CA=-----BEGIN CERTIFICATE-----"] if given["ca"] else []
    )
    before = case["before"].encode() if case["before"] else None
    request = read_request("\n".join(lines).encode())
    found = environment_text(before, case["runtime"], request, options, case["agent"], {}).text
    assert found == case["after"]
    assert parse(found.encode()).problems == ()
    assert read_settings(found.encode(), case["runtime"]).names.runtime == case["runtime"]


def test_both_installers_have_the_same_options() -> None:
    linux = set(re.findall(r"^    *\(?.*?(--[a-z-]+)[ )]", body("read_options"), re.MULTILINE))
    linux |= set(re.findall(r"--[a-z]+(?:-[a-z]+)*", body("read_options")))
    linux -= {"--help", "--*"}
    block = next(powershell.nodes(powershell.parse(WINDOWS), "param_block"))
    windows = {
        "--" + re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower() for name in re.findall(r"\$(\w+)", powershell.text(block))
    }
    linux -= {"--registry"}  # of a pattern
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


def test_both_installers_refuse_the_same_names() -> None:
    for ending in ("-candidate", "-previous", "-watchtower", "-deploy", "-repair"):
        assert f"*{ending}" in body("read_options")
        assert ending in powershell.text(function(WINDOWS, "Assert-Options"))
