"""The page for a customer's administrator has the containers, keys and limits that the specification and the defaults have."""

import re
from pathlib import Path
from typing import Any

import pytest

from contracts.config import Delivery, NetworkConfig, Ssh
from contracts.envelope import OUTBOX_DAYS
from contracts.heartbeat import INTERVAL_S
from runtime.adapters.config_store import KEPT
from runtime.deployment.environment import read_settings
from runtime.deployment.environment_lines import KNOWN_KEYS
from runtime.deployment.specification import (
    Specification,
    candidate_spec,
    enrolment_spec,
    runtime_spec,
    watchtower_spec,
)
from server.settings import Settings
from tests.unit.deployment.support import FACTS, RUNTIME, SOURCES, TAG

ROOT = Path(__file__).parents[3]
PAGES = ("docs/operations/administrators.md", "docs/pt-BR/administrators.md")
SETTINGS = read_settings(f"FLAGEEMONITOR_IMAGE={TAG}\n".encode(), RUNTIME)
SPECS = {
    "runtime": runtime_spec(SETTINGS, FACTS, SOURCES, TAG),
    "candidate": candidate_spec(SETTINGS, FACTS, SOURCES, TAG),
    "enrolment": enrolment_spec(SETTINGS, FACTS, SOURCES, TAG),
    "watchtower": watchtower_spec(SETTINGS, FACTS, SOURCES),
}


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def host(spec: Specification) -> Any:
    return spec.body["HostConfig"]


def row(text: str, container: str) -> list[str]:
    [line] = re.findall(rf"^\| `{container}`.*$", text, re.MULTILINE)
    return [cell.strip() for cell in line.split("|")[1:-1]]


def mounts(spec: Specification) -> str:
    return str([*host(spec).get("Mounts", ()), *host(spec).get("Binds", ())])


def test_watchtower_alone_of_the_containers_of_the_specification_has_the_socket() -> None:
    assert {name for name, spec in SPECS.items() if "docker.sock" in mounts(spec)} == {"watchtower"}
    for page in PAGES:
        has = {name: "**" in row(read(page), name)[3] for name in ("flageemonitor", "flageemonitor-candidate")}
        assert not any(has.values())
        for name in ("flageemonitor-watchtower", "flageemonitor-deploy"):
            assert "**" in row(read(page), name)[3]


def test_no_container_of_the_specification_opens_a_port() -> None:
    for spec in SPECS.values():
        assert not {"ExposedPorts"} & spec.body.keys()
        assert not {"PortBindings", "PublishAllPorts"} & host(spec).keys()
    assert not re.search(r"--publish|--expose| -p [0-9.]+:[0-9]", one_shot_sources())


def test_accounts_and_capabilities_are_those_of_the_table() -> None:
    for name in ("runtime", "candidate", "enrolment"):
        assert (SPECS[name].body["User"], host(SPECS[name])["CapDrop"], host(SPECS[name])["CapAdd"]) == (
            "10001:10001",
            ["ALL"],
            [],
        )
    assert (host(SPECS["watchtower"])["CapDrop"], host(SPECS["watchtower"])["CapAdd"]) == (["ALL"], ["DAC_OVERRIDE"])
    assert all(host(spec)["ReadonlyRootfs"] for spec in SPECS.values())
    for page in PAGES:
        assert "10001" in row(read(page), "flageemonitor")[1]
        assert re.findall(r"`(\w+)`", row(read(page), "flageemonitor-watchtower")[1]) == ["DAC_OVERRIDE"]


def one_shot_sources() -> str:
    """The scripts for Linux that start flageemonitor-deploy."""
    scripts = [ROOT / "bootstrap/install.sh", *(ROOT / "wrappers/linux").iterdir()]
    return "\n".join(text for path in scripts if "-deploy" in (text := path.read_text(encoding="utf-8")))


def test_the_one_shot_container_has_the_capabilities_of_the_table_and_no_network() -> None:
    given = set(re.findall(r"--cap-add[ =]([A-Z_]+)", one_shot_sources()))
    for page in PAGES:
        assert set(re.findall(r"`([A-Z_]+)`", row(read(page), "flageemonitor-deploy")[1])) == given
    text = one_shot_sources()
    assert all(option in text for option in ("--cap-drop ALL", "--network none", "--read-only", "no-new-privileges"))


@pytest.mark.parametrize("page", PAGES)
def test_every_key_of_the_environment_file_exists(page: str) -> None:
    named = set(re.findall(r"FLAGEEMONITOR_[A-Z_]+", read(page)))
    assert len(named) > 8
    assert named <= set(KNOWN_KEYS)


@pytest.mark.parametrize("page", PAGES)
def test_limits_and_defaults_are_the_program_s(page: str) -> None:
    text = read(page)
    default = {
        name: field.default for model in (Delivery, Ssh, NetworkConfig) for name, field in model.model_fields.items()
    }
    rows = {
        "delivery.keep_days": default["keep_days"],
        "delivery.outbox_limit": default["outbox_limit"],
        "ssh.parallel": default["parallel"],
        "refresh_interval": default["refresh_interval"],
    }
    for key, value in rows.items():
        [line] = re.findall(rf"^.*`{re.escape(key)}`.*$", text.split("## ", 1)[1], re.MULTILINE)[:1]
        assert str(value) in re.sub(r"(?<=\d)[.,](?=\d{3})", "", line), key
    runtime, watchtower = host(SPECS["runtime"]), host(SPECS["watchtower"])
    assert f"proxy {runtime['Memory'] >> 30} GiB" in text
    assert f" {runtime['PidsLimit']}, Watchtower {watchtower['Memory'] >> 20} MiB" in text
    assert f"MiB e {watchtower['PidsLimit']}" in text or f"MiB and {watchtower['PidsLimit']}" in text
    logs = runtime["LogConfig"]["Config"]
    assert f"{logs['max-file']} files of {logs['max-size'][:-1]} MB" in text or (
        f"{logs['max-file']} arquivos de {logs['max-size'][:-1]} MB" in text
    )
    [waiting] = re.findall(r"^.*`delivery.outbox_limit`.*$", text, re.MULTILINE)
    assert f" {OUTBOX_DAYS} " in waiting
    [stored] = re.findall(r"^.*`FLAGEE_TELEMETRY_DAYS`.*$", text, re.MULTILINE)
    assert f" {Settings.model_fields['telemetry_days'].default} " in stored
    assert f" {INTERVAL_S} s" in text
    assert KEPT == 3
    assert "three earlier" in text or "três anteriores" in text
