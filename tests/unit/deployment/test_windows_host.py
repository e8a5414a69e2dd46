"""What deploy does differently on a host with Windows: its commands, the engine's names for folders, and owners that are none."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from contracts.host_commands import COMMANDS
from runtime import deploy
from runtime.deployment.engine import Container
from runtime.deployment.environment import read_settings
from runtime.deployment.host_files import is_ours, windows_sources, write_wrappers
from runtime.deployment.names import Names
from runtime.deployment.results import DeployError
from runtime.deployment.specification import Sources, runtime_spec
from tests.unit.deployment.support import FACTS, MemoryClock, MemoryEngine
from tools.host_commands import made

ROOT = Path(__file__).parents[3]
GIVEN = Sources("C:\\ProgramData\\FlageeMonitor\\proxy\\config", "proxy-data")
TOOLS = tuple(COMMANDS)


class Engine(MemoryEngine):
    """An engine that knows the deploy container and what it has mounted."""

    def __init__(self, mounts: list[dict[str, Any]] | None) -> None:
        super().__init__(MemoryClock())
        self.mounts = mounts

    def container(self, name: str) -> Container | None:
        if name != "proxy-deploy" or self.mounts is None:
            return None
        return Container(id="1", name=name, image_id="2", status="running", raw={"Mounts": self.mounts})


def bind(source: str, target: str) -> dict[str, Any]:
    return {"Type": "bind", "Source": source, "Destination": target, "RW": True}


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    folder = tmp_path / "host" / "etc"
    (folder / "docker").mkdir(parents=True)
    return folder


@pytest.mark.parametrize(
    ("source", "config"),
    [
        ("/run/desktop/mnt/host/c/ProgramData/FlageeMonitor/proxy", "{}/config"),
        ("C:\\ProgramData\\FlageeMonitor\\proxy", "{}\\config"),
        ("/host_mnt/c/ProgramData/FlageeMonitor/proxy", "{}/config"),
    ],
)
def test_sources_are_named_as_the_engine_names_the_mounted_folder(etc: Path, source: str, config: str) -> None:
    engine = Engine([bind("/var/run/docker.sock", "/var/run/docker.sock"), bind(source, str(etc))])
    found = windows_sources(engine, Names("proxy"), GIVEN, etc)
    assert found == dataclasses.replace(GIVEN, config=config.format(source))
    (etc / "docker" / "config.json").write_text("{}")
    assert windows_sources(engine, Names("proxy"), GIVEN, etc).credentials == found.config.replace("config", "docker")
    spec = runtime_spec(read_settings(ENVIRONMENT, "proxy"), FACTS, found, "registry.example/proxy:1")
    assert [(mount["Type"], mount["Source"]) for mount in spec.body["HostConfig"]["Mounts"]] == [
        ("bind", found.config),
        ("volume", "proxy-data"),
    ]


@pytest.mark.parametrize(
    "mounts", [None, [], [{}], [bind("", "{etc}")], [{"Type": "volume", "Source": "/x", "Destination": "{etc}"}]]
)
def test_sources_stay_as_given_when_the_engine_does_not_name_them(
    etc: Path, mounts: list[dict[str, Any]] | None
) -> None:
    for mount in mounts or []:
        if "Destination" in mount:
            mount["Destination"] = str(etc)
    assert windows_sources(Engine(mounts), Names("proxy"), GIVEN, etc) == GIVEN


ENVIRONMENT = b"FLAGEEMONITOR_IMAGE=registry.example/proxy:1\n"


def test_messages_name_the_environment_file_by_its_windows_path() -> None:
    with pytest.raises(DeployError) as caught:
        read_settings(b"FLAGEEMONITOR_IMAGE=\n", "proxy", "windows")
    assert "%ProgramData%\\FlageeMonitor\\proxy\\flageemonitor.env" in caught.value.advice


def test_only_the_commands_for_windows_are_written(tmp_path: Path) -> None:
    changed, problems = write_wrappers(ROOT, tmp_path, Names("proxy"), "windows")
    assert (changed, problems) == (tuple(f"proxy-{tool}.ps1" for tool in TOOLS), ())
    text = (tmp_path / "proxy-run.ps1").read_text()
    assert "else { 'proxy' }" in text
    assert "@RUNTIME_NAME@" not in text
    for path in tmp_path.iterdir():
        path.chmod(0o777)  # as the engine makes up for a folder of Windows
    assert write_wrappers(ROOT, tmp_path, Names("proxy"), "windows") == ((), ())


def test_only_old_commands_of_this_runtime_are_removed_on_windows(tmp_path: Path) -> None:
    write_wrappers(ROOT, tmp_path, Names("proxy-two"), "windows")
    old = made("windows", "run", "proxy").encode()
    assert is_ours(old, "proxy")
    assert not is_ours(old, "proxy-two")
    (tmp_path / "proxy-old.ps1").write_bytes(old)
    changed, _ = write_wrappers(ROOT, tmp_path, Names("proxy"), "windows")
    assert "proxy-old.ps1" in changed
    assert len(list(tmp_path.iterdir())) == 2 * len(TOOLS)


def test_the_command_line_accepts_windows_and_names_the_path_of_the_missing_file(tmp_path: Path) -> None:
    for name in ("etc", "data", "bin"):
        (tmp_path / name).mkdir()
    arguments = [
        "status",
        "--runtime-name",
        "proxy",
        "--host-os",
        "windows",
        "--host",
        str(tmp_path),
        "--output",
        "json",
    ]
    result = CliRunner().invoke(deploy.cli, arguments)
    assert result.exit_code == 2
    assert "%ProgramData%" in json.loads(result.stdout)["message"]
