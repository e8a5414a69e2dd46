"""deploy on a real Docker engine, with the real Watchtower and a real registry: containers, volumes, kernel locks, kills."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from runtime.adapters.state.files import locked
from runtime.adapters.state.runs import register
from tests.harness import docker_host, images, registry
from tests.harness.docker_host import DockerHost
from tests.harness.process import wait_until
from tests.harness.registry import Registry
from tests.integration.deploy_parts import NAME, REPOSITORY, TestHost, make_image, running_host
from tests.unit.state.support import make_info

# The SDK leaves the closing of some of its sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def engine() -> Iterator[DockerHost]:
    with docker_host.running() as host:
        yield host


@pytest.fixture(scope="module")
def watchtower(engine: DockerHost) -> str:
    return images.watchtower(engine)


@pytest.fixture(scope="module")
def published() -> Iterator[Registry]:
    with registry.running() as running:
        yield running


@pytest.fixture
def host(engine: DockerHost, watchtower: str, tmp_path: Path) -> Iterator[TestHost]:
    with running_host(engine, tmp_path / "host", watchtower) as made:
        yield made


@pytest.fixture
def installed(host: TestHost) -> TestHost:
    host.image("good", "1.0")
    done = host.deploy("apply")
    assert (done.code, done.reason) == (0, "installed"), done.output
    return host


def test_an_installation_is_as_specified_and_the_second_call_changes_nothing(installed: TestHost) -> None:
    assert installed.settled()
    found = installed.container()
    assert found is not None
    assert found["HostConfig"]["ReadonlyRootfs"] is True
    assert found["HostConfig"]["CapDrop"] == ["ALL"]
    assert (installed.host / "data/uid").read_text() == "10001\n"
    done = installed.deploy("apply")
    assert (done.code, done.reason) == (0, "unchanged"), done.output
    assert installed.deploy("repair").reason == "unchanged"
    again = installed.container()
    assert again is not None
    assert again["Id"] == found["Id"]
    wrapper = (installed.host / "bin" / f"{NAME}-run").read_text()
    assert f"RUNTIME_NAME:-{NAME}" in wrapper
    status = installed.deploy("status")
    assert (status.code, status.answer["report"]["drift"]) == (0, [])


def test_an_update_goes_through_a_candidate_that_has_a_copy_of_the_state(installed: TestHost) -> None:
    image = installed.image("good", "2.0")
    volumes: list[Any] = []
    process = _begun(installed, "apply")
    while process.poll() is None:
        with contextlib.suppress(Exception):
            code = installed.client.containers.get(f"{NAME}-candidate").exec_run(
                ["/bin/ls", "-ln", "/flageemonitor/data"]
            )
            if code.exit_code == 0 and b"state.db" in code.output:
                volumes.append(code.output)
    assert process.returncode == 0
    assert volumes, "the candidate had no state"
    assert b"10001" in volumes[0]
    assert installed.runs() == image
    assert installed.settled()
    assert installed.report()["running"]["version"] == "2.0"


@pytest.mark.parametrize("kind", ["unhealthy", "crash"])
def test_a_bad_image_is_refused_and_the_old_container_is_not_touched(installed: TestHost, kind: str) -> None:
    before = installed.container()
    installed.image(kind, "2.0")
    done = installed.deploy("apply")
    assert (done.code, done.reason) == (10, "candidate_unhealthy"), done.output
    assert f"runtime {kind} in mode candidate" in done.answer["log"]
    after = installed.container()
    assert before is not None
    assert after is not None
    assert (after["Id"], after["State"]["StartedAt"]) == (before["Id"], before["State"]["StartedAt"])
    assert installed.settled()


@pytest.mark.parametrize("kind", ["late-crash"])
def test_an_image_that_fails_after_the_update_gives_way_to_the_previous_container(
    installed: TestHost, kind: str
) -> None:
    before = installed.container()
    installed.image(kind, "2.0")
    done = installed.deploy("apply")
    assert (done.code, done.reason) == (11, "restored"), done.output
    after = installed.container()
    assert before is not None
    assert after is not None
    assert after["Id"] == before["Id"]
    assert installed.settled()
    assert installed.report()["last"]["reason"] == "restored"


def test_an_image_without_a_health_check_is_checked_by_our_probe(host: TestHost) -> None:
    host.image("good", "1.0", check=False)
    assert host.deploy("apply").reason == "installed"
    host.image("late", "2.0", check=False)
    assert host.deploy("apply", health=20).reason == "restored"
    assert host.settled()
    assert host.deploy("repair").reason == "unchanged"


NO_RESTART: Any = {"Name": "no"}
DIFFERENCES: dict[str, Callable[[TestHost], object]] = {
    "memory": lambda host: host.client.api.update_container(NAME, mem_limit="300m", memswap_limit="600m"),
    "environment": lambda host: host.write_env(FLAGEEMONITOR_REDE="other"),
    "restart policy": lambda host: host.client.api.update_container(NAME, restart_policy=NO_RESTART),
    "removed": lambda host: host.client.api.remove_container(NAME, force=True),
    "stopped": lambda host: host.client.api.stop(NAME, timeout=1),
    "no Watchtower": lambda host: host.client.api.remove_container(f"{NAME}-watchtower", force=True),
    "Watchtower stopped": lambda host: host.client.api.stop(f"{NAME}-watchtower", timeout=1),
    "interval": lambda host: host.write_env(FLAGEEMONITOR_WATCHTOWER_INTERVAL="600"),
    "wrapper": lambda host: (host.host / "bin" / f"{NAME}-run").write_text("#!/bin/sh\n"),
}
# Three on one host, one after the other: with more, the repairs of one hour would be too many attempts.
THREES = [list(DIFFERENCES)[first : first + 3] for first in range(0, len(DIFFERENCES), 3)]


@pytest.mark.parametrize("names", THREES, ids=", ".join)
def test_a_difference_is_repaired_once(installed: TestHost, names: Sequence[str]) -> None:
    for name in names:
        DIFFERENCES[name](installed)
        done = installed.deploy("repair")
        assert (done.code, done.reason) == (0, "repaired"), f"{name}: {done.output}"
        assert installed.settled(), name
        done = installed.deploy("repair")
        assert (done.code, done.reason) == (0, "unchanged"), f"{name}: {done.output}"


def test_a_run_at_work_in_another_process_is_waited_for(installed: TestHost) -> None:
    installed.image("good", "2.0")
    with register(installed.host / "data", make_info()):
        done = installed.deploy("apply")
        assert (done.code, done.reason) == (75, "run_in_progress"), done.output
        assert installed.settled()
        installed.write_env(FLAGEEMONITOR_REDE="other")
        done = installed.deploy("repair")
        assert (done.code, done.reason) == (0, "waiting"), done.output
        assert installed.settled()
        process = _begun(installed, "apply", wait=60)
        wait_until((installed.host / "data/door").exists, within=60, what="the barrier is closed")
    assert process.wait(120) == 0
    assert installed.settled()


def test_a_foreign_volume_is_not_removed(installed: TestHost) -> None:
    name = f"{NAME}-candidate"
    volume = installed.client.volumes.create(name)
    try:
        installed.image("good", "2.0")
        done = installed.deploy("apply")
        assert (done.code, done.reason) == (1, "failed"), done.output
        assert installed.client.volumes.get(name).name == name
    finally:
        volume.remove()


def test_a_second_deploy_at_the_same_time_is_refused(installed: TestHost) -> None:
    with locked(installed.host / "etc/deploy.lock") as held:
        assert held is not None
        done = installed.deploy("repair")
        assert (done.code, done.reason) == (6, "busy")
        assert installed.deploy("status").code == 0


def test_a_bad_environment_file_changes_nothing(installed: TestHost) -> None:
    before = installed.state()
    installed.write_env(TZ="Nowhere")
    done = installed.deploy("repair")
    assert (done.code, done.reason) == (2, "bad_environment")
    assert installed.state() == before


def test_a_missing_image_and_a_missing_engine_have_different_reasons(host: TestHost) -> None:
    assert host.deploy("apply").reason == "image_unavailable"
    assert host.state() == {}
    done = host.deploy("apply", "--engine", "unix:///nowhere/docker.sock")
    assert (done.code, done.reason) == (1, "engine_error"), done.output


# -- killed, and signalled --

# Every single call to the engine is killed in tests/unit/deployment; here it is what only a real one can show.
STEPS = ("candidate_started", "runs_held", "stopped", "renamed", "created", "started", "remembered")


def test_the_next_repair_recovers_a_killed_deploy(installed: TestHost) -> None:
    """One release after the other on one host: each update starts from a settled installation."""
    for number, step in enumerate(STEPS, start=2):
        old = installed.runs()
        new = installed.image("good", f"{number}.0")
        done = installed.interrupted("apply", step)
        assert done.returncode == -signal.SIGKILL, f"{step}: {done}"
        repaired = installed.deploy("repair")
        assert repaired.code == 0, f"{step}: {repaired.output}"
        assert installed.settled(), f"{step}: {installed.state()}"
        assert installed.runs() in (old, new), step
        assert installed.deploy("repair").reason == "unchanged", step


@pytest.mark.parametrize("step", ["new_removed", "renamed_back"])
def test_the_next_repair_recovers_a_deploy_killed_while_it_restores(installed: TestHost, step: str) -> None:
    old = installed.runs()
    installed.image("late", "2.0")
    assert installed.interrupted("apply", step).returncode == -signal.SIGKILL
    repaired = installed.deploy("repair")
    assert repaired.code in (0, 11), repaired.output
    assert installed.settled(), installed.state()
    assert installed.runs() == old


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_a_signal_stops_a_deploy_before_the_update_and_not_during_it(installed: TestHost, number: str) -> None:
    old, new = installed.runs(), installed.image("good", "2.0")
    done = installed.interrupted("apply", "candidate_started", number)
    assert (done.returncode, done.stdout) == (1, "failed\n"), done
    assert installed.runs() == old
    assert installed.settled()
    done = installed.interrupted("apply", "renamed", number)
    assert (done.returncode, done.stdout) == (0, "updated\n"), done
    assert installed.runs() == new
    assert installed.settled()


def test_the_next_repair_recovers_after_a_restart_of_the_engine(installed: TestHost, engine: DockerHost) -> None:
    old, new = installed.runs(), installed.image("good", "2.0")
    assert installed.interrupted("apply", "renamed").returncode == -signal.SIGKILL
    engine.restart_engine()
    repaired = installed.deploy("repair")
    assert repaired.code == 0, repaired.output
    assert installed.settled()
    assert installed.runs() in (old, new)


# -- with a registry, and with the real Watchtower at work --


def _publish(host: TestHost, published: Registry, kind: str, version: str) -> str:
    """Put it under the tag in the registry and take it away here; the digest."""
    tag = f"{published.address}/{REPOSITORY}:stable"
    image = make_image(host.client, kind, version, f"{REPOSITORY}:work")
    host.client.images.get(image).tag(tag)
    host.client.images.push(tag)
    digest = host.client.images.get_registry_data(tag).id
    host.client.images.remove(tag)
    host.client.images.remove(f"{REPOSITORY}:work")
    return str(digest)


def _pull(host: TestHost, published: Registry) -> None:
    host.client.images.pull(f"{published.address}/{REPOSITORY}", tag="stable")


def _digest(host: TestHost) -> str:
    """Of the image that runs, as the registry knows it."""
    found = host.client.images.get(host.runs()).attrs["RepoDigests"]
    return str(found[0]).partition("@")[2] if found else ""


def test_a_rollback_pins_a_digest_and_pulls_an_image_that_was_cleaned_up(host: TestHost, published: Registry) -> None:
    host.write_env(FLAGEEMONITOR_IMAGE=f"{published.address}/{REPOSITORY}:stable")
    first = _publish(host, published, "good", "1.0")
    _pull(host, published)
    assert host.deploy("apply").reason == "installed"
    old = host.runs()
    second = _publish(host, published, "good", "2.0")
    _pull(host, published)
    assert host.deploy("apply").reason == "updated"
    assert _digest(host) == second
    host.client.images.remove(old, force=True)

    published.stop()
    done = host.deploy("rollback")
    assert (done.code, done.reason) == (1, "image_unavailable"), done.output
    assert _digest(host) == second
    assert "registry did not say" in host.report()["tag"]["error"]
    published.start()

    done = host.deploy("rollback")
    assert (done.code, done.reason) == (0, "rolled_back"), done.output
    assert _digest(host) == first
    report = host.report()
    assert report["pinned"]["reference"].endswith(f"@{first}")
    assert (report["tag"]["digest"], bool(report["behind_since"])) == (second, True)
    assert host.deploy("apply").reason == "pinned"
    assert host.deploy("repair").reason == "unchanged"
    done = host.deploy("resume")
    assert (done.reason, _digest(host)) == ("updated", second), done.output
    assert host.report()["pinned"] is None


def test_a_repair_accepts_what_watchtower_updated_and_rolls_back_a_bad_release(
    host: TestHost, published: Registry
) -> None:
    host.write_env(
        FLAGEEMONITOR_IMAGE=f"{published.address}/{REPOSITORY}:stable", FLAGEEMONITOR_WATCHTOWER_INTERVAL="30"
    )
    _publish(host, published, "good", "1.0")
    _pull(host, published)
    assert host.deploy("apply").reason == "installed"
    second = _publish(host, published, "good", "2.0")
    wait_until(lambda: _taken(host, second), within=300, what="Watchtower took the new image", every=1)
    wait_until(
        lambda: host.deploy("repair", "--proof", "0").reason == "unchanged", within=300, what="no drift", every=1
    )
    assert [one["version"] for one in host.records()["healthy"]] == ["2.0", "1.0"]

    bad = _publish(host, published, "crash", "3.0")
    wait_until(lambda: _image_digest(host) == bad, within=300, what="Watchtower took the bad image", every=1)
    reasons: list[str] = []
    wait_until(lambda: _repaired(host, reasons) == "rolled_back", within=300, what="it is rolled back", every=1)
    assert set(reasons) <= {"waiting", "rolled_back"}
    assert (_digest(host), host.settled()) == (second, True)
    # Pinned by digest: Watchtower looks at it and leaves it alone.
    before = host.container()
    time.sleep(35)
    after = host.container()
    assert before is not None
    assert after is not None
    assert before["Id"] == after["Id"]
    assert host.deploy("repair").reason == "unchanged"


def test_a_repair_takes_a_digest_from_the_environment_file(host: TestHost, published: Registry) -> None:
    repository = f"{published.address}/{REPOSITORY}"
    host.write_env(FLAGEEMONITOR_IMAGE=f"{repository}:stable")
    _publish(host, published, "good", "1.0")
    _pull(host, published)
    assert host.deploy("apply").reason == "installed"
    before = host.container()
    host.write_env(FLAGEEMONITOR_IMAGE=f"{repository}@sha256:{'e' * 64}")
    done = host.deploy("repair")
    assert (done.code, done.reason) == (1, "image_unavailable"), done.output
    assert before is not None
    assert (host.container() or {})["State"]["StartedAt"] == before["State"]["StartedAt"]

    second = _publish(host, published, "good", "2.0")
    host.write_env(FLAGEEMONITOR_IMAGE=f"{repository}@{second}")
    done = host.deploy("repair")
    assert (done.code, done.reason) == (0, "repaired"), done.output
    assert (_digest(host), host.settled()) == (second, True)
    assert (host.container() or {})["Config"]["Image"] == f"{repository}@{second}"
    assert host.deploy("repair").reason == "unchanged"


def test_a_rollback_to_the_first_release_sets_later_keys_aside_and_resume_brings_them_back(host: TestHost) -> None:
    old = host.image("good", "0.9", first_release=True)
    assert host.deploy("apply").reason == "installed"
    host.image("good", "2.0")
    assert host.deploy("apply").reason == "updated"
    later = {"FLAGEEMONITOR_AUTO_UPDATE": "no", "FLAGEEMONITOR_HTTPS_PROXY": "http://user:hunter2@proxy.test:3128"}
    host.write_env(**later)
    assert host.deploy("repair").reason == "repaired"
    assert host.state() == {"": "running"}  # no Watchtower
    assert "hunter2" not in json.dumps(host.container())
    file = host.host / "etc/flageemonitor.env"
    before = file.read_text()

    done = host.deploy("rollback")
    assert (done.reason, host.runs()) == ("rolled_back", old), done.output
    assert not [line for line in file.read_text().splitlines() if line.startswith(tuple(later))]
    assert any("0.9 does not know" in note for note in done.answer["notes"])
    assert "hunter2" not in done.output

    done = host.deploy("resume")
    assert done.reason == "updated", done.output
    assert file.read_text() == before
    assert file.stat().st_mode & 0o777 == 0o600
    assert host.deploy("repair").reason == "unchanged"
    assert host.state() == {"": "running"}


def _repaired(host: TestHost, reasons: list[str]) -> str:
    reasons.append(host.deploy("repair").reason)
    return reasons[-1]


def _taken(host: TestHost, digest: str) -> bool:
    with contextlib.suppress(AssertionError):
        return _digest(host) == digest
    return False


def _image_digest(host: TestHost) -> str:
    found = host.container()
    if found is None:
        return ""
    with contextlib.suppress(Exception):
        return str(host.client.images.get(found["Image"]).attrs["RepoDigests"][0]).partition("@")[2]
    return ""


def _begun(host: TestHost, verb: str, wait: int = 2) -> subprocess.Popen[bytes]:
    """The same as `host.deploy`, without waiting for its end."""
    return subprocess.Popen(host.argv(verb, wait=wait), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_the_answer_is_one_json_object_or_one_line(installed: TestHost) -> None:
    done = subprocess.run(installed.argv("status")[:-2], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("status\t")
    done = subprocess.run(installed.argv("status"), capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["reason"] == "status"
