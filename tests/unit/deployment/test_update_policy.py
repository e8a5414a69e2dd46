"""How a host takes new images, what its containers know of HTTP proxies, and a settings file that an older image must read."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.deployment.environment_lines import KNOWN_KEYS, SET_ASIDE, set_aside
from runtime.deployment.results import Result
from tests.unit.deployment.support import REPOSITORY, RUNTIME, TAG, Host, Killed, make_host

LOGIN = "user:hunter2"
LATER = {
    "FLAGEEMONITOR_HTTPS_PROXY": f"http://{LOGIN}@proxy.corp:3128",
    "FLAGEEMONITOR_UPDATE_WINDOW": "02:00-05:00",
    "FLAGEEMONITOR_OF_2031": "x",
}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return make_host(tmp_path)


@pytest.fixture
def installed(host: Host) -> Host:
    assert host.update().reason == "installed"
    return host


def watchtower(host: Host) -> str:
    return host.status().get("-watchtower", "absent")


# -- automatic updates off --


def test_without_automatic_updates_there_is_no_watchtower_and_repairs_keep_it_so(host: Host) -> None:
    host.env["FLAGEEMONITOR_AUTO_UPDATE"] = "no"
    assert host.update().reason == "installed"
    assert host.status() == {"": "running"}
    assert host.run("repair").reason == "unchanged"
    assert host.status() == {"": "running"}
    status = host.run("status")
    assert "Watchtower is off" in status.message
    assert any("automatic updates are off; proxy-update-image updates" in note for note in status.notes)
    report = json.loads((host.folder / "data/deployment.json").read_text())
    assert (report["updates"]["auto"], report["watchtower"]["state"]) == (False, "off")


def test_switching_automatic_updates_off_removes_watchtower_and_on_creates_it_again(installed: Host) -> None:
    installed.env["FLAGEEMONITOR_AUTO_UPDATE"] = "no"
    assert installed.run("repair").reason == "repaired"  # the runtime's label and interval differ too
    assert watchtower(installed) == "absent"
    installed.env["FLAGEEMONITOR_AUTO_UPDATE"] = "yes"
    assert installed.run("repair").reason == "repaired"
    installed.assert_settled()


def test_a_person_updates_a_host_without_automatic_updates(host: Host) -> None:
    host.env["FLAGEEMONITOR_AUTO_UPDATE"] = "no"
    assert host.update().reason == "installed"
    host.engine.publish("good", "2.0")
    assert host.update().reason == "updated"
    assert (host.runs(), host.status()) == ("2.0", {"": "running"})
    assert host.run("rollback").reason == "rolled_back"
    assert host.status() == {"": "running"}


def test_somebody_s_container_by_watchtower_s_name_is_left_alone_when_updates_are_off(host: Host) -> None:
    host.env["FLAGEEMONITOR_AUTO_UPDATE"] = "no"
    assert host.update().reason == "installed"
    body = {"Image": TAG, "Env": [], "Labels": {"flageemonitor.role": "watchtower"}, "StopTimeout": 1}
    host.engine.create(f"{RUNTIME}-watchtower", {**body, "HostConfig": {"RestartPolicy": {"Name": "no"}}})
    result = host.run("repair")
    assert "a container proxy-watchtower exists that FlageeMonitor did not make" in result.message
    assert watchtower(host) == "created"


# -- a digest --


def at_digest(host: Host, version: str) -> str:
    image = host.engine.publish("good", version)
    host.env["FLAGEEMONITOR_IMAGE"] = image.digests[0]
    host.engine.images[image.id] = image
    return image.digests[0]


def test_an_image_named_by_its_digest_stays_whatever_is_published(host: Host) -> None:
    digest = at_digest(host, "1.5")
    assert host.run("apply").reason == "installed"
    host.engine.publish("good", "2.0")
    for verb in ("apply", "repair", "resume"):
        assert host.run(verb).reason == "unchanged"
    assert host.runs() == "1.5"
    found = host.engine.container(RUNTIME)
    assert found is not None
    assert found.made_from == digest  # Watchtower leaves a container of a digest alone
    status = host.run("status")
    assert any("names a digest: no update is taken until it names another image" in note for note in status.notes)
    assert not any("behind" in note for note in status.notes)


def test_a_host_is_moved_from_a_tag_to_a_digest_and_back(installed: Host) -> None:
    at_digest(installed, "1.5")
    assert installed.run("apply").reason == "updated"
    assert installed.runs() == "1.5"
    installed.engine.publish("good", "2.0")
    installed.env["FLAGEEMONITOR_IMAGE"] = TAG
    assert installed.update().reason == "updated"
    assert installed.runs() == "2.0"
    installed.assert_settled()


def test_a_rollback_from_a_digest_holds_until_resume_and_resume_returns_to_the_digest(installed: Host) -> None:
    at_digest(installed, "1.5")
    assert installed.run("apply").reason == "updated"
    assert installed.run("rollback").reason == "rolled_back"
    assert installed.runs() == "1.0"
    assert installed.run("apply").reason == "pinned"
    assert installed.run("resume").reason == "updated"
    assert installed.runs() == "1.5"


# -- the update window --


@pytest.mark.parametrize(("hour", "told"), [(4, "and now at 04:00"), (12, "not now at 12:00")])
def test_a_person_may_update_outside_the_window_which_status_shows(installed: Host, hour: int, told: str) -> None:
    installed.env |= {"FLAGEEMONITOR_UPDATE_WINDOW": "02:00-05:00", "TZ": "UTC"}
    installed.engine.clock.at = dt.datetime(2026, 3, 11, hour, tzinfo=dt.UTC)
    installed.engine.publish("good", "2.0")
    assert installed.update().reason == "updated"
    [note] = [note for note in installed.run("status").notes if "Watchtower may" in note]
    assert note.startswith("Watchtower may update from 02:00-05:00 (UTC)")
    assert told in note


# -- HTTP proxies --


def test_a_login_is_only_in_the_runtime_s_own_file_and_a_new_one_changes_no_container(installed: Host) -> None:
    installed.env |= {"FLAGEEMONITOR_HTTPS_PROXY": f"http://{LOGIN}@proxy.corp:3128"}
    assert installed.run("repair").reason == "repaired"
    logins = installed.folder / "etc/config/proxy_logins.json"
    assert json.loads(logins.read_text()) == {"proxy.corp:3128": LOGIN}
    assert logins.stat().st_mode & 0o777 == 0o400
    assert "hunter2" not in str(installed.engine.containers)
    for file in ("data/deployment.json", "etc/deploy.json"):
        assert "hunter2" not in (installed.folder / file).read_text()
    before = {stored.id for stored in installed.engine.containers.values()}
    installed.env |= {"FLAGEEMONITOR_HTTPS_PROXY": "http://user:word@proxy.corp:3128"}
    assert installed.run("repair").reason == "unchanged"
    assert json.loads(logins.read_text()) == {"proxy.corp:3128": "user:word"}
    assert {stored.id for stored in installed.engine.containers.values()} == before
    installed.env |= {"FLAGEEMONITOR_HTTPS_PROXY": "none"}
    assert installed.run("repair").reason == "repaired"
    assert not logins.exists()


def test_an_engine_that_gets_an_http_proxy_is_followed_by_the_next_repair(installed: Host) -> None:
    installed.facts = replace(installed.facts, https_proxy="http://proxy.engine:3128")
    result = installed.run("repair")
    assert result.reason == "repaired"
    assert "HTTPS_PROXY differs" in result.message
    for stored in installed.engine.containers.values():
        assert "HTTPS_PROXY=http://proxy.engine:3128" in stored.body["Env"]
    assert installed.run("repair").reason == "unchanged"
    [note] = [note for note in installed.run("status").notes if "HTTP proxy" in note]
    assert note == "HTTP proxy http://proxy.engine:3128 (engine)"


def test_a_pull_that_fails_says_that_the_engine_has_no_http_proxy(installed: Host) -> None:
    installed.env |= {
        "FLAGEEMONITOR_HTTPS_PROXY": "http://proxy.corp:3128",
        "FLAGEEMONITOR_IMAGE": f"{REPOSITORY}:none",
    }
    result = installed.run("repair")
    assert result.reason == "image_unavailable"
    assert "images are pulled by the engine, which has no HTTP proxy of its own" in result.advice


# -- keys that an older image does not know --


# As its code has them: any other key makes its deploy refuse the file.
FIRST_RELEASE = {
    *("FLAGEEMONITOR_REDE", "FLAGEEMONITOR_API_BASE", "FLAGEEMONITOR_CONFIG_URL", "FLAGEEMONITOR_CONFIG_PATH"),
    *("FLAGEEMONITOR_DATA_PATH", "FLAGEEMONITOR_IMAGE", "FLAGEEMONITOR_RUNTIME_NAME", "FLAGEEMONITOR_WATCHTOWER_IMAGE"),
    *("FLAGEEMONITOR_WATCHTOWER_INTERVAL", "FLAGEEMONITOR_AGENT_ID", "FLAGEEMONITOR_TOKEN_FILE", "FLAGEEMONITOR_TOKEN"),
    *("FLAGEEMONITOR_CA_PATH", "FLAGEEMONITOR_DOCKER_NETWORK", "FLAGEEMONITOR_INSECURE", "FLAGEEMONITOR_LOG_FORMAT"),
    *("RUN_MODE", "TZ", "DOCKER_HOST"),
}


def read_by_the_first_release(host: Host) -> bool:
    """Whether its deploy accepts the environment file."""
    lines = host.environment_file.read_text().splitlines()
    keys = {line.partition("=")[0] for line in lines if line.strip() and not line.startswith("#")}
    return keys <= FIRST_RELEASE


@pytest.mark.parametrize("key", sorted({*KNOWN_KEYS} - FIRST_RELEASE))
def test_every_key_that_the_first_release_does_not_know_is_set_aside(key: str) -> None:
    assert set_aside(f"{key}=x\n".encode()) == (f"{SET_ASIDE}{key}=x\n".encode(), (key,))


@pytest.fixture
def moved(tmp_path: Path) -> Host:
    """The first release, then an image that knows the later keys, which an operator wrote when it ran."""
    host = make_host(tmp_path)
    host.engine.publish("good", "0.9", first_release=True)
    assert host.update().reason == "installed"
    host.engine.publish("good", "2.0")
    assert host.update().reason == "updated"
    host.env |= LATER
    assert host.run("repair").reason == "repaired"
    return host


def test_after_a_rollback_the_first_release_reads_the_environment_file(moved: Host) -> None:
    assert not read_by_the_first_release(moved)
    before = moved.environment_file.read_text()
    result = moved.run("rollback")
    assert (result.reason, moved.runs()) == ("rolled_back", "0.9")
    assert read_by_the_first_release(moved)
    assert all(f"{SET_ASIDE}{key}={value}\n" in moved.environment_file.read_text() for key, value in LATER.items())
    [note] = [note for note in result.notes if "0.9" in note]
    assert "FLAGEEMONITOR_HTTPS_PROXY, FLAGEEMONITOR_UPDATE_WINDOW, FLAGEEMONITOR_OF_2031" in note
    assert "hunter2" not in str(result)
    assert moved.run("resume").reason == "updated"
    assert moved.environment_file.read_text() == before
    found = moved.engine.container(RUNTIME)
    assert found is not None
    assert "HTTPS_PROXY=http://proxy.corp:3128" in found.raw["Config"]["Env"]
    assert moved.run("repair").reason == "unchanged"


def test_an_image_that_reads_any_key_keeps_the_file_as_it_is(installed: Host) -> None:
    installed.engine.publish("good", "2.0")
    assert installed.update().reason == "updated"
    installed.env |= LATER
    assert installed.run("repair").reason == "repaired"
    before = installed.environment_file.read_text()
    assert installed.run("rollback").reason == "rolled_back"
    assert installed.environment_file.read_text() == before


def test_an_older_image_that_watchtower_took_can_read_the_file_before_a_repair_runs_its_deploy(moved: Host) -> None:
    moved.engine.publish("good", "0.9.1", first_release=True)
    moved.watchtower_updates()
    assert moved.run("repair").reason == "unchanged"
    assert not read_by_the_first_release(moved)  # deploy of 2.0 still does the repairs
    moved.engine.clock.sleep(1200)
    assert moved.run("repair").reason == "unchanged"
    assert (moved.folder / "etc/healthy_image").read_text().strip() == moved.engine.registry[TAG].digests[0]
    assert read_by_the_first_release(moved)


def test_a_rollback_that_is_killed_at_any_call_leaves_a_file_that_the_next_deploy_reads(tmp_path: Path) -> None:
    """The next repair runs the deploy of the image in `healthy_image`, whichever that is by then."""
    number = 0
    while True:
        number += 1
        host = _moved(tmp_path / str(number))
        host.engine.die_at = host.engine.calls + number
        try:
            host.run("rollback")
        except Killed:
            pass
        else:
            break
        host.engine.die_at = None
        _assert_next_deploy_reads(host)
        assert _repeat(host).exit_code == 0
        _assert_next_deploy_reads(host)
    assert number > 10


def _moved(folder: Path) -> Host:
    folder.mkdir()
    host = make_host(folder)
    host.engine.publish("good", "0.9", first_release=True)
    host.update()
    host.engine.publish("good", "2.0")
    host.update()
    host.env |= LATER
    host.run("repair")
    return host


def _assert_next_deploy_reads(host: Host) -> None:
    named = (host.folder / "etc/healthy_image").read_text().strip()
    image = host.engine.image(named) or host.engine.registry[named]
    assert "flageemonitor.environment" in image.labels or read_by_the_first_release(host)


def _repeat(host: Host) -> Result:
    result = host.run("repair")
    return result if result.reason != "waiting" else host.run("repair")
