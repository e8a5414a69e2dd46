"""The specification of our containers, and what counts as drift."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.deployment.drift import drift
from runtime.deployment.engine import Container, EngineFacts, Image
from runtime.deployment.environment import read_settings
from runtime.deployment.specification import (
    Sources,
    Specification,
    candidate_spec,
    nearest_api,
    runtime_spec,
    watchtower_spec,
)
from tests.unit.deployment.support import FACTS, SOURCES

SETTINGS = read_settings(
    b"FLAGEEMONITOR_IMAGE=registry.example/proxy:stable\nFLAGEEMONITOR_TOKEN=tok-secret\nTZ=UTC\n"
    b"FLAGEEMONITOR_API_BASE=https://control.example/api/ingest\n",
    "proxy",
)
RUNTIME = runtime_spec(SETTINGS, FACTS, SOURCES, str(SETTINGS.image))
CANDIDATE = candidate_spec(SETTINGS, FACTS, SOURCES, "sha256:aa")
WATCHTOWER = watchtower_spec(SETTINGS, FACTS, SOURCES)
IMAGE = Image(
    id="sha256:aa",
    config={
        "Env": ["PATH=/bin", "LANG=C.UTF-8", "FLAGEEMONITOR_ROOT=/flageemonitor"],
        "Entrypoint": ["/entry"],
        "Cmd": None,
        "User": "10001:10001",
        "Labels": {"org.opencontainers.image.version": "1", "flageemonitor.licence": "full"},
    },
)


def made(spec: Specification, image: Image = IMAGE) -> dict[str, Any]:
    """What the engine answers for a container created from the specification, with all that it adds."""
    body = copy.deepcopy(dict(spec.body))
    inherited = image.config
    host = {
        **body["HostConfig"],
        "Binds": None,
        "CapAdd": body["HostConfig"]["CapAdd"] or None,
        "MemorySwap": 2 * body["HostConfig"].get("Memory", 0),
        "Memory": body["HostConfig"].get("Memory", 0),
        "PidsLimit": body["HostConfig"].get("PidsLimit"),
        "RestartPolicy": {**body["HostConfig"]["RestartPolicy"], "MaximumRetryCount": 0},
        "Privileged": False,
        "IpcMode": "private",
        "PidMode": "",
        "Devices": [],
        "VolumesFrom": None,
        "ShmSize": 67108864,
        "Runtime": "runc",
        "MaskedPaths": ["/proc/kcore"],
    }
    return {
        "Config": {
            "Hostname": "0123456789ab",
            "Image": body["Image"],
            "Env": [*body["Env"], *inherited["Env"]],
            "Labels": {**inherited["Labels"], **body["Labels"]},
            "User": body.get("User", inherited["User"]),
            "StopTimeout": body["StopTimeout"],
            "Entrypoint": inherited["Entrypoint"],
            "Cmd": inherited["Cmd"],
        },
        "HostConfig": host,
    }


def container(raw: dict[str, Any], image_id: str = "sha256:aa") -> Container:
    return Container("c1", "proxy", image_id, "running", labels=raw["Config"]["Labels"], raw=raw)


@pytest.mark.parametrize("spec", [RUNTIME, CANDIDATE, WATCHTOWER], ids=lambda spec: spec.role)
def test_a_container_created_from_its_specification_has_no_drift(spec: Specification) -> None:
    assert drift(spec, container(made(spec)), IMAGE, image_id="sha256:aa") == ()


def test_a_container_that_watchtower_created_again_has_no_drift() -> None:
    newer = replace(IMAGE, id="sha256:bb", config={**IMAGE.config, "Env": ["PATH=/usr/bin"], "Entrypoint": ["/other"]})
    raw = made(RUNTIME, newer)
    raw["Config"]["Hostname"] = "ba9876543210"
    assert drift(RUNTIME, container(raw, "sha256:bb"), newer) == ()


@pytest.mark.parametrize("spec", [RUNTIME, CANDIDATE, WATCHTOWER], ids=lambda spec: spec.role)
def test_a_container_whose_image_was_removed_has_no_drift(spec: Specification) -> None:
    raw = made(spec)
    raw["Config"]["Labels"]["com.centurylinklabs.watchtower"] = "true"  # Watchtower's own image has it
    assert drift(spec, container(raw), None) == ()


# What daemon.json and newer engines write into each container's settings.
ADDITIONS: dict[str, dict[str, Any]] = {
    "log options": {
        "LogConfig": {
            "Type": "json-file",
            "Config": {
                "max-file": "5",
                "max-size": "10m",
                "compress": "true",
                "labels": "status",
                "env": "os,customer",
            },
        }
    },
    "ulimits": {"Ulimits": [{"Name": "nofile", "Hard": 64000, "Soft": 64000}]},
    "init": {"Init": True},
    "namespaces": {"CgroupnsMode": "host", "IpcMode": "shareable", "UTSMode": "", "UsernsMode": ""},
    "runtime": {"Runtime": "nvidia", "CgroupParent": "/customer", "ShmSize": 268435456, "OomScoreAdj": -500},
    "paths": {"MaskedPaths": ["/proc/kcore", "/proc/new"], "ReadonlyPaths": None},
    "empty instead of absent": {"DeviceRequests": None, "DeviceCgroupRules": None, "GroupAdd": [], "Binds": []},
    "memory": {"MemorySwap": -1, "MemorySwappiness": None, "OomKillDisable": None, "KernelMemory": 0},
}


@pytest.mark.parametrize("spec", [RUNTIME, CANDIDATE, WATCHTOWER], ids=lambda spec: spec.role)
@pytest.mark.parametrize("added", ADDITIONS.values(), ids=ADDITIONS)
def test_what_the_engine_adds_is_no_drift(spec: Specification, added: dict[str, Any]) -> None:
    raw = made(spec)
    raw["HostConfig"].update(added)
    assert drift(spec, container(raw), IMAGE) == ()


def change(part: str, key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def apply(raw: dict[str, Any]) -> None:
        raw[part][key] = value

    return apply


def environment(line: str) -> Callable[[dict[str, Any]], None]:
    return lambda raw: raw["Config"]["Env"].append(line)


def label(key: str, value: str) -> Callable[[dict[str, Any]], None]:
    return lambda raw: raw["Config"]["Labels"].update({key: value})


MOUNT = RUNTIME.body["HostConfig"]["Mounts"][0]


@pytest.mark.parametrize(
    ("alter", "text"),
    [
        (change("Config", "User", "0:0"), 'user "0:0"'),
        (change("Config", "Image", "registry.example/proxy:beta"), "follows image registry.example/proxy:beta"),
        (change("Config", "StopTimeout", None), "stop timeout"),
        (change("Config", "Entrypoint", ["/bin/sh"]), "entrypoint"),
        (change("Config", "Cmd", ["sleep"]), "cmd"),
        (environment("FLAGEEMONITOR_INSECURE=plain-http"), "FLAGEEMONITOR_INSECURE is set"),
        (environment("ARIUSMONITOR_REDE=x"), "ARIUSMONITOR_REDE is set"),
        (label("com.centurylinklabs.watchtower.scope", "other"), "scope"),
        (label("com.centurylinklabs.watchtower.monitor-only", "true"), "monitor-only is set"),
        (label("flageemonitor.spec", "older"), "another specification"),
        (change("HostConfig", "ReadonlyRootfs", False), "ReadonlyRootfs"),
        (change("HostConfig", "Privileged", True), "Privileged"),
        (change("HostConfig", "CapDrop", None), "CapDrop"),
        (change("HostConfig", "CapAdd", ["CAP_NET_ADMIN"]), "CapAdd"),
        (change("HostConfig", "SecurityOpt", []), "SecurityOpt"),
        (change("HostConfig", "Mounts", [MOUNT]), "Mounts"),
        (change("HostConfig", "Binds", ["/:/host"]), "Binds"),
        (change("HostConfig", "Devices", [{"PathOnHost": "/dev/mem"}]), "Devices"),
        (change("HostConfig", "DeviceRequests", [{"Driver": "nvidia"}]), "DeviceRequests"),
        (change("HostConfig", "DeviceCgroupRules", ["a *:* rwm"]), "DeviceCgroupRules"),
        (change("HostConfig", "GroupAdd", ["docker"]), "GroupAdd"),
        (change("HostConfig", "VolumesFrom", ["other"]), "VolumesFrom"),
        (change("HostConfig", "SecurityOpt", ["no-new-privileges", "seccomp=unconfined"]), "SecurityOpt"),
        (change("HostConfig", "IpcMode", "host"), "IpcMode"),
        (change("HostConfig", "UTSMode", "host"), "UTSMode"),
        (change("HostConfig", "UsernsMode", "host"), "UsernsMode"),
        (change("HostConfig", "Tmpfs", None), "Tmpfs"),
        (change("HostConfig", "NetworkMode", "host"), "NetworkMode"),
        (change("HostConfig", "PidMode", "host"), "PidMode"),
        (change("HostConfig", "PidMode", "container:other"), "PidMode"),
        (change("HostConfig", "RestartPolicy", {"Name": "always"}), "RestartPolicy"),
        (change("HostConfig", "LogConfig", {"Type": "journald", "Config": {}}), "LogConfig"),
        (change("HostConfig", "LogConfig", {"Type": "json-file", "Config": {"max-size": "10m"}}), "LogConfig"),
        (change("HostConfig", "LogConfig", None), "LogConfig"),
        (change("HostConfig", "Memory", 0), "Memory"),
        (change("HostConfig", "PidsLimit", 0), "PidsLimit"),
    ],
)
def test_every_difference_is_named(alter: Callable[[dict[str, Any]], None], text: str) -> None:
    raw = made(RUNTIME)
    alter(raw)
    [difference] = drift(RUNTIME, container(raw), IMAGE)
    assert text in difference


def test_a_changed_setting_is_shown_with_both_values_and_a_token_with_none() -> None:
    other = read_settings(
        b"FLAGEEMONITOR_IMAGE=registry.example/proxy:stable\nFLAGEEMONITOR_TOKEN=tok-other\nTZ=America/Recife\n"
        b"FLAGEEMONITOR_API_BASE=https://control.example/api/ingest\n",
        "proxy",
    )
    found = drift(runtime_spec(other, FACTS, SOURCES, str(other.image)), container(made(RUNTIME)), IMAGE)
    assert found == ("FLAGEEMONITOR_TOKEN differs", 'TZ is "UTC", should be "America/Recife"')


def test_another_image_is_drift_only_when_an_image_is_required() -> None:
    raw = made(RUNTIME)
    assert drift(RUNTIME, container(raw, "sha256:" + "b" * 64), IMAGE) == ()
    [difference] = drift(RUNTIME, container(raw, "sha256:" + "b" * 64), IMAGE, image_id="sha256:" + "a" * 64)
    assert difference == "image bbbbbbbbbbbb, should be aaaaaaaaaaaa"


JUNK = st.none() | st.integers() | st.text(max_size=5) | st.lists(st.none() | st.text(max_size=3), max_size=2)


@given(
    st.dictionaries(st.sampled_from(sorted(made(RUNTIME)["Config"])), JUNK),
    st.dictionaries(st.sampled_from(sorted(made(RUNTIME)["HostConfig"])), JUNK),
)
def test_no_answer_of_an_engine_makes_drift_raise(config: dict[str, Any], host: dict[str, Any]) -> None:
    raw = made(RUNTIME)
    found = replace(
        container(raw), raw={"Config": {**raw["Config"], **config}, "HostConfig": {**raw["HostConfig"], **host}}
    )
    assert all(isinstance(text, str) for text in drift(RUNTIME, found, IMAGE))


def test_the_runtime_is_confined() -> None:
    host = RUNTIME.body["HostConfig"]
    assert RUNTIME.body["User"] == "10001:10001"
    assert host["ReadonlyRootfs"] is True
    assert (host["CapDrop"], host["CapAdd"], host["SecurityOpt"]) == (["ALL"], [], ["no-new-privileges"])
    assert {mount["Target"] for mount in host["Mounts"]} == {"/flageemonitor/config", "/flageemonitor/data"}
    assert "docker.sock" not in str(RUNTIME.body)


def test_the_candidate_is_not_updated_by_watchtower_and_writes_only_to_its_own_volume() -> None:
    assert not any(key.startswith("com.centurylinklabs") for key in CANDIDATE.body["Labels"])
    assert "RUN_MODE=candidate" in CANDIDATE.body["Env"]
    config, data = CANDIDATE.body["HostConfig"]["Mounts"]
    assert config["ReadOnly"] is True
    assert (data["Type"], data["Source"]) == ("volume", "proxy-candidate")
    assert CANDIDATE.body["HostConfig"]["RestartPolicy"]["Name"] == "no"


@pytest.mark.parametrize("spec", [RUNTIME, CANDIDATE, WATCHTOWER], ids=lambda spec: spec.role)
def test_no_log_fills_the_disk(spec: Specification) -> None:
    assert spec.body["HostConfig"]["LogConfig"] == {
        "Type": "json-file",
        "Config": {"max-file": "5", "max-size": "10m"},
    }


def test_watchtower_updates_one_runtime_and_not_itself() -> None:
    values = dict(line.split("=", 1) for line in WATCHTOWER.body["Env"])
    # Without it Watchtower also updates containers without labels, which belong to others.
    assert values["WATCHTOWER_LABEL_ENABLE"] == "true"
    assert RUNTIME.body["Labels"]["com.centurylinklabs.watchtower.enable"] == "true"
    assert (values["WATCHTOWER_SCOPE"], values["DOCKER_API_VERSION"]) == ("proxy", "1.41")
    assert WATCHTOWER.body["Labels"]["com.centurylinklabs.watchtower.enable"] == "false"
    assert "FLAGEEMONITOR_TOKEN" not in values


def test_watchtower_gets_registry_credentials_only_if_there_are_any() -> None:
    spec = watchtower_spec(SETTINGS, FACTS, replace(SOURCES, credentials="/etc/proxy/docker"))
    assert spec.body["HostConfig"]["Mounts"][-1]["ReadOnly"] is True
    assert "DOCKER_CONFIG=/docker-config" in spec.body["Env"]
    assert "DOCKER_CONFIG" not in str(WATCHTOWER.body)


@pytest.mark.parametrize(
    ("source", "kind"), [("/var/lib/proxy", "bind"), ("C:\\ProgramData\\x", "bind"), ("proxy-data", "volume")]
)
def test_a_source_is_a_folder_or_a_volume(source: str, kind: str) -> None:
    spec = runtime_spec(SETTINGS, FACTS, Sources("/etc/proxy/config", source), "x")
    assert spec.body["HostConfig"]["Mounts"][1]["Type"] == kind


def test_limits_that_the_kernel_cannot_enforce_are_left_out() -> None:
    spec = runtime_spec(SETTINGS, replace(FACTS, memory_limit=False, pids_limit=False), SOURCES, "x")
    assert not {"Memory", "PidsLimit"} & spec.body["HostConfig"].keys()


def of(spec: Specification) -> dict[str, str]:
    return dict(line.split("=", 1) for line in spec.body["Env"])


BEHIND = read_settings(
    b"FLAGEEMONITOR_IMAGE=registry.example/proxy:stable\nFLAGEEMONITOR_HTTPS_PROXY=http://user:hunter2@proxy.corp:3128\n",
    "proxy",
)


def test_all_containers_have_the_http_proxy_and_none_its_login() -> None:
    specs = (
        runtime_spec(BEHIND, FACTS, SOURCES, "x"),
        candidate_spec(BEHIND, FACTS, SOURCES, "x"),
        watchtower_spec(BEHIND, FACTS, SOURCES),
    )
    for spec in specs:
        assert of(spec)["HTTPS_PROXY"] == "http://proxy.corp:3128"
        assert "10.0.0.0/8" in of(spec)["NO_PROXY"]
        assert "hunter2" not in str(spec.body)
    assert not any("PROXY" in key for spec in (RUNTIME, CANDIDATE, WATCHTOWER) for key in of(spec))


def test_another_http_proxy_of_the_engine_is_drift_and_a_login_in_it_is_not_shown() -> None:
    before = made(runtime_spec(SETTINGS, FACTS, SOURCES, str(SETTINGS.image)))
    behind = runtime_spec(SETTINGS, replace(FACTS, https_proxy="http://proxy.corp:3128"), SOURCES, str(SETTINGS.image))
    found = drift(behind, container(before), IMAGE)
    assert found[0] == "HTTPS_PROXY differs"
    assert found[1].startswith('NO_PROXY is not set, should be "localhost,127.0.0.0/8')
    by_hand = made(RUNTIME)
    by_hand["Config"]["Env"].append("HTTPS_PROXY=http://user:hunter2@proxy.corp:3128")
    assert drift(RUNTIME, container(by_hand), IMAGE) == ("HTTPS_PROXY differs",)


SELINUX = replace(FACTS, selinux=True)


def test_under_selinux_folders_are_labelled_for_runtime_and_candidate_which_stay_confined() -> None:
    for spec in (runtime_spec(SETTINGS, SELINUX, SOURCES, "x"), candidate_spec(SETTINGS, SELINUX, SOURCES, "x")):
        host = spec.body["HostConfig"]
        assert host["SecurityOpt"] == ["no-new-privileges"]
        assert all(mount["Type"] == "volume" for mount in host["Mounts"])
    assert runtime_spec(SETTINGS, SELINUX, SOURCES, "x").body["HostConfig"]["Binds"] == [
        "/etc/proxy/config:/flageemonitor/config:z",
        "/var/lib/proxy:/flageemonitor/data:z",
    ]
    assert candidate_spec(SETTINGS, SELINUX, SOURCES, "x").body["HostConfig"]["Binds"] == [
        "/etc/proxy/config:/flageemonitor/config:ro,z"
    ]


def test_under_selinux_watchtower_is_let_to_the_engine_s_socket_which_is_not_relabelled() -> None:
    host = watchtower_spec(SETTINGS, SELINUX, SOURCES).body["HostConfig"]
    assert host["SecurityOpt"] == ["no-new-privileges", "label=disable"]
    assert "Binds" not in host


@pytest.mark.parametrize("facts", [FACTS, SELINUX])
def test_labels_of_mounts_are_no_drift_and_missing_ones_are(facts: EngineFacts) -> None:
    spec = runtime_spec(SETTINGS, SELINUX, SOURCES, str(SETTINGS.image))
    raw = made(spec)
    raw["HostConfig"]["Binds"] = list(reversed(spec.body["HostConfig"]["Binds"]))
    wanted = runtime_spec(SETTINGS, facts, SOURCES, str(SETTINGS.image))
    assert bool(drift(wanted, container(raw), IMAGE)) is not facts.selinux


def test_no_watchtower_at_all_updates_a_runtime_whose_updates_are_off() -> None:
    off = read_settings(b"FLAGEEMONITOR_IMAGE=registry.example/proxy\nFLAGEEMONITOR_AUTO_UPDATE=no\n", "proxy")
    labels = runtime_spec(off, FACTS, SOURCES, "x").body["Labels"]
    assert labels["com.centurylinklabs.watchtower.enable"] == "false"


def test_the_hook_in_the_runtime_knows_the_update_window_and_its_zone() -> None:
    night = read_settings(
        b"FLAGEEMONITOR_IMAGE=registry.example/proxy\nTZ=America/Sao_Paulo\nFLAGEEMONITOR_UPDATE_WINDOW=02:00-05:00\n",
        "proxy",
    )
    values = of(runtime_spec(night, FACTS, SOURCES, "x"))
    assert (values["FLAGEEMONITOR_UPDATE_WINDOW"], values["TZ"]) == ("02:00-05:00", "America/Sao_Paulo")


def test_the_hash_differs_only_when_the_specification_does() -> None:
    again = runtime_spec(SETTINGS, FACTS, SOURCES, str(SETTINGS.image))
    assert (again.hash, again.body) == (RUNTIME.hash, RUNTIME.body)
    assert len({RUNTIME.hash, CANDIDATE.hash, WATCHTOWER.hash}) == 3
    assert "tok-secret" not in repr(RUNTIME)


@pytest.mark.parametrize(
    ("least", "most", "version"),
    [
        ("1.12", "1.41", "1.41"),
        ("1.24", "1.43", "1.43"),
        ("1.24", "1.47", "1.43"),
        ("1.44", "1.52", "1.44"),
        ("1.5", "1.9", "1.9"),
        ("", "", "1.43"),
        ("x", "1.40", "1.40"),
    ],
)
def test_the_api_version_is_the_nearest_that_the_engine_accepts(least: str, most: str, version: str) -> None:
    assert nearest_api((1, 43), EngineFacts("x", most, least)) == version


@given(st.integers(0, 99), st.integers(0, 99))
def test_the_api_version_is_within_the_engine_s_range(one: int, other: int) -> None:
    least, most = sorted((one, other))
    found = int(nearest_api((1, 43), EngineFacts("x", f"1.{most}", f"1.{least}")).partition(".")[2])
    assert least <= found <= most
    assert found == 43 or not least <= 43 <= most
