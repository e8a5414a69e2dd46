"""`flageemonitor-update-image`: which image does the work, what the one-shot container is, and that nothing is left half-way."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.unit.shell.host import Host, until

NAMED = "registry.example/flageemonitor:stable"
HEALTHY = "registry.example/flageemonitor@sha256:" + "1" * 64
VERBS = {
    "apply": [],
    "repair": ["--repair"],
    "rollback": ["--rollback"],
    "resume": ["--resume"],
    "status": ["--status"],
}


@pytest.fixture
def proxy(host: Host) -> Host:
    host.container("flageemonitor", label="flageemonitor")
    host.environment_file(
        f"# FLAGEEMONITOR_IMAGE=other\r\nFLAGEEMONITOR_IMAGE = wrong\r\nFLAGEEMONITOR_IMAGE={NAMED} \r\n"
    )
    return host


def update(host: Host, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return host.run(host.installed_wrapper("update-image"), *arguments, with_=environment)


def made(host: Host) -> list[str]:
    """Arguments of the one-shot container, which is the only one that was started."""
    (call,) = (call for call in host.calls() if call[0] == "run")
    return call


def pulls(host: Host) -> list[str]:
    return [call[-1] for call in host.calls() if "pull" in call]


def test_the_one_shot_container_is_the_one_that_is_described(proxy: Host) -> None:
    assert update(proxy, "--force", "--wait", "7", "--output", "json").returncode == 0
    described = (
        "run --rm --name flageemonitor-deploy --label flageemonitor.runtime=flageemonitor --label flageemonitor.role=deploy"
        " --user 0:0 --network none --read-only --tmpfs /tmp --cap-drop ALL --cap-add DAC_OVERRIDE --cap-add CHOWN"
        " --cap-add FOWNER --security-opt no-new-privileges --security-opt label=disable"
        " -v /var/run/docker.sock:/var/run/docker.sock -v /etc/flageemonitor:/host/etc -v /var/lib/flageemonitor:/host/data"
        f" -v /usr/local/bin:/host/bin {NAMED} deploy apply --force --wait 7 --runtime-name flageemonitor --socket"
        " /var/run/docker.sock --config-source /etc/flageemonitor/config --data-source /var/lib/flageemonitor --output json"
    )
    call = made(proxy)
    identity = call.pop(call.index("--cidfile") + 1)
    call.remove("--cidfile")
    assert call == described.split()
    assert re.fullmatch(r"/run/flageemonitor-deploy\.\d+\.id", identity)
    assert not (proxy.run_folder / Path(identity).name).exists()
    assert pulls(proxy) == [NAMED]


def test_another_socket_and_the_first_generations_key(host: Host) -> None:
    host.environment_file(f"ARIUSMONITOR_IMAGE={NAMED}\nDOCKER_HOST=unix:///run/user/docker.sock\n", "shop-2")
    assert host.run(host.installed_wrapper("update-image", "shop-2")).returncode == 0
    call = made(host)
    assert "/run/user/docker.sock:/var/run/docker.sock" in call
    assert call[call.index("--socket") + 1] == "/run/user/docker.sock"
    assert call[call.index("--name") + 1] == "shop-2-deploy"
    assert set((host.stand_in / "docker-hosts").read_text().split()) == {"unix:///run/user/docker.sock"}


@pytest.mark.parametrize("verb", VERBS)
def test_the_image_that_does_the_work(proxy: Host, verb: str) -> None:
    (proxy.etc / "flageemonitor/healthy_image").write_text(HEALTHY + "\n")
    assert update(proxy, *VERBS[verb]).returncode == 0
    wanted = NAMED if verb in ("apply", "resume") else HEALTHY
    call = made(proxy)
    assert call[call.index("deploy") - 1 : call.index("deploy") + 2] == [wanted, "deploy", verb]
    assert pulls(proxy) == [wanted]  # also the healthy one, which Watchtower had cleaned away
    proxy.forget()
    update(proxy, *VERBS[verb])
    assert pulls(proxy) == ([NAMED] if verb in ("apply", "resume") else [])


@pytest.mark.parametrize("healthy", ["", "--privileged\n", "$(id)\n", "a b\n", "\n\n"])
def test_without_a_healthy_image_the_named_one_does_the_work(proxy: Host, healthy: str) -> None:
    (proxy.etc / "flageemonitor/healthy_image").write_text(healthy)
    assert update(proxy, "--repair").returncode == 0
    assert NAMED in made(proxy)


def test_a_registry_that_does_not_answer_changes_nothing(proxy: Host) -> None:
    proxy.answer("pull-fails", 'Error response from "daemon":\tdial tcp:\\ no route to host')
    for arguments in ([], ["--resume"]):
        done = update(proxy, *arguments, "--output", "json")
        assert done.returncode == 1
        assert "no route to host" in done.stderr
        answer = json.loads(done.stdout)
        assert (answer["reason"], answer["runtime"], answer["exit_code"]) == ("image_unavailable", "flageemonitor", 1)
        assert "no route to host" in answer["message"]
        assert "Nothing was changed" in answer["advice"]
    assert not [call for call in proxy.calls() if call[0] == "run"]
    assert update(proxy, "--repair").returncode == 1
    # What the timer calls needs no registry while an image is here.
    proxy.no_answer("pull-fails")
    update(proxy)
    proxy.answer("pull-fails", "Error")
    assert update(proxy, "--repair").returncode == 0


def test_credentials_are_used_where_there_are_some(proxy: Host) -> None:
    folder = proxy.etc / "flageemonitor/docker"
    folder.mkdir()
    (folder / "config.json").write_text('{"auths": {}}')
    assert update(proxy).returncode == 0
    (call,) = (call for call in proxy.calls() if "pull" in call)
    assert call == ["--config", "/etc/flageemonitor/docker", "pull", "--quiet", NAMED]


@pytest.mark.parametrize("code", [0, 1, 2, 10, 11, 12, 75, 137])
def test_exit_codes_are_deploys_own(proxy: Host, code: int) -> None:
    proxy.answer("on-deploy", f"echo said; exit {code}")
    done = update(proxy)
    assert (done.returncode, done.stdout) == (code, "said\n")


@pytest.mark.parametrize(("on_deploy", "shown"), [("exit 1", ""), ("echo 'no such file' >&2; exit 2", "no such file")])
def test_an_image_that_gives_no_answer_is_reported(proxy: Host, on_deploy: str, shown: str) -> None:
    proxy.answer("on-deploy", on_deploy)
    done = update(proxy, "--output", "json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["reason"], answer["exit_code"]) == (1, "no_answer", 1)
    assert "is not known" in answer["message"]
    assert "flageemonitor-update-image --repair" in done.stderr
    assert shown in done.stderr
    assert not list(proxy.run_folder.glob("flageemonitor-*"))
    proxy.answer("on-deploy", "exit 0")  # nothing to say is no failure
    done = update(proxy)
    assert (done.returncode, done.stdout, done.stderr.count("no answer")) == (0, "", 0)


def test_an_answer_arrives_where_run_cannot_be_written(proxy: Host) -> None:
    proxy.before("rm", "exit 1")
    proxy.answer("on-deploy", "echo said; exit 10")
    done = update(proxy)
    assert (done.returncode, done.stdout) == (10, "said\n")


def test_an_engine_that_does_not_start_the_container_is_reported(proxy: Host) -> None:
    proxy.answer("on-create", "exit 125")
    done = update(proxy)
    assert (done.returncode, "Nothing was changed" in done.stderr) == (1, True)


def test_an_engine_that_stops_during_an_update_is_reported_without_claiming_that_nothing_changed(proxy: Host) -> None:
    proxy.answer("on-deploy", "echo Cannot connect >$STAND_IN/down; exit 125")
    done = update(proxy, "--output", "json")
    assert (done.returncode, "Nothing was changed" in done.stderr) == (1, False)
    assert json.loads(done.stdout)["reason"] == "engine_error"
    assert "is not known" in done.stderr
    assert not list(proxy.run_folder.glob("*.id"))


def test_the_second_of_two_updates_is_refused(proxy: Host) -> None:
    proxy.container("flageemonitor-deploy", label="flageemonitor")
    before = proxy.tree()
    done = update(proxy, "--output", "json")
    assert (done.returncode, json.loads(done.stdout)["reason"]) == (6, "busy")
    assert not [call for call in proxy.calls() if call[0] in ("run", "rm", "pull")]
    # The other one was faster by a moment: its name is taken when ours is to start.
    for state in ("running", "created"):  # made, and perhaps not started yet
        (proxy.stand_in / "containers/flageemonitor-deploy").unlink()
        proxy.answer(
            "on-create", f"echo '{state}|1|flageemonitor' >$STAND_IN/containers/flageemonitor-deploy; exit 125"
        )
        assert update(proxy).returncode == 6
    assert {key: value for key, value in proxy.tree().items() if "update-image" not in key} == {
        key: value for key, value in before.items() if "update-image" not in key
    }


@pytest.mark.parametrize("state", ["exited", "dead", "created"])
def test_what_a_killed_engine_left_is_removed(proxy: Host, state: str) -> None:
    for whose in ({"label": "flageemonitor"}, {"title": "FlageeMonitor Proxy"}):
        proxy.container("flageemonitor-deploy", state, **whose)
        assert update(proxy).returncode == 0
        assert ["rm", "flageemonitor-deploy"] in proxy.calls()
        proxy.forget()


@pytest.mark.parametrize("state", ["running", "exited"])
@pytest.mark.parametrize("label", ["", "shop-2"])
def test_a_container_of_that_name_that_is_not_ours_is_left_alone(a_host: Host, state: str, label: str) -> None:
    a_host.environment_file(f"FLAGEEMONITOR_IMAGE={NAMED}\n")
    a_host.container("flageemonitor-deploy", state, label=label, title="Somebody's")
    done = update(a_host, "--output", "json")
    assert (done.returncode, json.loads(done.stdout)["reason"]) == (1, "engine_error")
    assert "Nothing was changed" in done.stderr
    assert not [call for call in a_host.calls() if call[0] in ("run", "rm", "pull")]


def test_another_deploy_that_starts_while_its_name_is_cleared_is_left_alone(proxy: Host) -> None:
    proxy.container("flageemonitor-deploy", "created", label="flageemonitor")
    path = proxy.programs / "docker"
    starts = 'case $1 in (rm) echo "running|1|flageemonitor" >"$STAND_IN/containers/flageemonitor-deploy" ;; esac'
    path.write_text(path.read_text().replace("main() {", f"main() {{\n    {starts}", 1))
    assert update(proxy).returncode == 6
    assert "flageemonitor-deploy" in proxy.containers()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_no_signal_leaves_an_update_unfinished(proxy: Host, number: signal.Signals) -> None:
    proxy.answer(
        "on-deploy",
        "echo yes >$STAND_IN/begun; while [ ! -f $STAND_IN/go-on ]; do sleep 0.05; done; echo whole; exit 11",
    )
    process = subprocess.Popen(
        proxy.command(proxy.installed_wrapper("update-image")), env=proxy.environment(), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0,
    )  # fmt: skip
    until(proxy.stand_in / "begun")
    for _ in range(3):
        os.killpg(process.pid, number)
        time.sleep(0.1)
    proxy.answer("go-on", "")
    out, said = process.communicate(timeout=60)
    assert (process.returncode, out) == (11, "whole\n")
    assert "cannot be interrupted half-way" in said


def test_an_unknown_option_is_refused_before_anything_changes(proxy: Host) -> None:
    for arguments in (
        ["--rolback"],
        ["--repair", "--rollback"],
        ["--wait"],
        ["--wait", "x"],
        ["--output", "xml"],
        ["image"],
    ):
        done = update(proxy, *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr
    assert proxy.calls() == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not the name of an image: ''"),
        ("FLAGEEMONITOR_IMAGE=--privileged\n", "not the name of an image"),
        ("FLAGEEMONITOR_IMAGE=$(id)\n", "not the name of an image"),
        (f"FLAGEEMONITOR_IMAGE={NAMED}\nDOCKER_HOST=tcp://10.0.0.1:2375\n", "must be a unix:// socket"),
        (f"FLAGEEMONITOR_IMAGE={NAMED}\nDOCKER_HOST=unix:///run/x:/host.sock\n", "cannot be mounted"),
    ],
)
def test_a_wrong_environment_file_is_reported(host: Host, text: str, said: str) -> None:
    host.environment_file(text)
    done = update(host)
    assert (done.returncode, said in done.stderr) == (2, True)


def test_a_missing_installation_root_or_engine_is_reported(host: Host) -> None:
    done = update(host)
    assert (done.returncode, "is not installed here" in done.stderr) == (2, True)
    done = host.run(host.installed_wrapper("update-image"), user="nobody")
    assert (done.returncode, "sudo" in done.stderr) == (2, True)
    host.environment_file(f"FLAGEEMONITOR_IMAGE={NAMED}\n")
    host.answer("down", "Cannot connect to the Docker daemon")
    assert update(host, "--repair").returncode == 69
