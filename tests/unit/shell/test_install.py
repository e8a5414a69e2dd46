"""install.sh: what it checks before anything is changed, what it hands to the image, and what it says when nobody reads."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.languages import read_po
from tests.unit.shell.host import ROOT, SHELLS, TOKEN, VALUES
from tests.unit.shell.install_host import InstallHost, render

AUTHORITY = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def refused(host: InstallHost, said: str, *options: str) -> None:
    """The checks refuse it: exit 1, the reason, nothing pulled, started or written."""
    before = host.tree()
    done = host.install(*options)
    assert done.returncode == 1, done
    assert said in done.stderr, done.stderr
    assert host.tree() == before
    assert not [call for call in host.calls() if call[0] in ("pull", "run")]


def test_the_image_installs_itself_in_a_one_shot_container(new_host: InstallHost) -> None:
    done = new_host.install()
    assert (done.returncode, done.stderr) == (0, ""), done
    assert "deploy install for flageemonitor" in done.stdout
    [call] = new_host.deploys()
    words = " ".join(call)
    for part in (
        "--name flageemonitor-deploy",
        "--label flageemonitor.runtime=flageemonitor",
        "--user 0:0 --network none --read-only --tmpfs /tmp --cap-drop ALL",
        "--security-opt label=disable -e HTTPS_PROXY -e HTTP_PROXY",
        "--mount type=bind,source=/etc/flageemonitor,target=/host/etc",
        "--mount type=bind,source=/var/lib/flageemonitor,target=/host/data",
        "--mount type=bind,source=/etc/cron.d,target=/host/cron",
        f"{VALUES['IMAGE']} deploy install --runtime-name flageemonitor --socket /var/run/docker.sock --timer cron --lang en",
    ):
        assert part in words
    for folder in ("etc/flageemonitor", "lib/flageemonitor"):
        assert (new_host.folder / folder).stat().st_mode & 0o777 == 0o700


def test_deploy_is_told_what_the_control_plane_filled_in(new_host: InstallHost) -> None:
    assert new_host.install().returncode == 0
    told = {key: values[0] for key, values in new_host.request.items()}
    assert told.pop("HOSTNAME")
    assert len(told.pop("SEEN")) == 16
    assert told == {key: value for key, value in VALUES.items() if key != "SERVER_VERSION"}


HOSTILE = ["'", '"', "$(touch /etc/pwned)", "`touch /etc/pwned`", "; touch /etc/pwned", "\\", "*", "-n", "ação", "a b"]


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_stay_data(a_new_host: InstallHost, value: str) -> None:
    a_new_host.installer.write_bytes(render({**VALUES, "CLIENT": value}))
    assert a_new_host.install().returncode == 0
    assert a_new_host.request["CLIENT"] == [value]
    assert not (a_new_host.etc / "pwned").exists()


def test_no_token_is_in_any_argument_environment_file_or_output(new_host: InstallHost) -> None:
    new_host.answer("on-deploy", 'tr "\\0" "\\n" </proc/self/environ >"$STAND_IN/environ"')
    done = new_host.install()
    assert new_host.request["BOOTSTRAP_TOKEN"] == [TOKEN]
    texts = [
        done.stdout,
        done.stderr,
        str(new_host.calls()),
        str(new_host.calls("curl")),
        (new_host.stand_in / "environ").read_text(),
    ]
    assert not [text for text in texts if TOKEN in text]
    assert not [path for path in new_host.etc.rglob("*") if path.is_file() and TOKEN in path.read_text()]


def test_the_engine_must_mount_what_the_script_sees(new_host: InstallHost) -> None:
    """It makes an empty folder of a random name in each, which deploy must find."""
    new_host.answer("on-deploy", 'ls -A /etc/flageemonitor /var/lib/flageemonitor >"$STAND_IN/found"')
    assert new_host.install().returncode == 0
    found = (new_host.stand_in / "found").read_text()
    assert found.count(f".seen-{new_host.request['SEEN'][0]}") == 2
    assert not list(new_host.folder.rglob(".seen-*"))


def test_an_authority_and_credentials_go_the_same_way(new_host: InstallHost) -> None:
    for name, text in {"ca.pem": AUTHORITY, "password": "p: \\ $x'\"\r\n"}.items():
        (new_host.etc / name).write_text(text, newline="")
    options = ("--ca", "/etc/ca.pem", "--registry-user", "me", "--registry-token-file", "/etc/password")
    assert new_host.install(*options).returncode == 0
    assert new_host.request["CA"] == AUTHORITY.splitlines()
    assert "".join(new_host.request["CREDENTIALS"]) == '{"auths": {"localhost": {}}}'
    assert (new_host.stand_in / "login").read_text() == "p: \\ $x'\""
    assert new_host.calls("curl")[0][-7:-5] == ["--cacert", "/etc/ca.pem"] or "/etc/ca.pem" in new_host.calls("curl")[0]
    login = next(call for call in new_host.calls() if "login" in call)
    assert login[-1] == "registry.example"


def test_curl_is_told_to_ignore_its_own_settings(new_host: InstallHost) -> None:
    new_host.install()
    assert {call[0] for call in new_host.calls("curl")} == {"-q"}


def test_options_of_deploy_are_handed_on_as_they_are(new_host: InstallHost) -> None:
    options = ["--watchtower-image", "a/b:1", "--watchtower-interval=60", "--docker-network", "host", "--beside-legacy"]
    options += ["--allow-foreign-watchtower", "--no-auto-update", "--update-window", "02:00-05:00"]
    options += ["--image", "[::1]:5000/other:2"]
    assert new_host.install(*options).returncode == 0
    assert new_host.deploys()[0][-8:] == [
        "--watchtower-image=a/b:1",
        "--watchtower-interval=60",
        "--docker-network=host",
        "--beside-legacy",
        "--allow-foreign-watchtower",
        "--no-auto-update",
        "--update-window=02:00-05:00",
        "--image=[::1]:5000/other:2",
    ]
    assert ["pull", "--quiet", "[::1]:5000/other:2"] in new_host.calls()


def engine_names(host: InstallHost) -> None:
    host.answer("engine-proxy", "http://xxxxx:xxxxx@proxy.corp:3128")


def file_names(host: InstallHost) -> None:
    host.environment_file("FLAGEEMONITOR_REDE=ACME\nFLAGEEMONITOR_HTTPS_PROXY=http://u:hunter2@proxy.corp:3128\n")


@pytest.mark.parametrize("named", [engine_names, file_names])
def test_an_http_proxy_that_curl_does_not_know_is_tried_by_deploy_alone(
    new_host: InstallHost, named: Callable[[InstallHost], None]
) -> None:
    named(new_host)
    new_host.answer("health-fails", "6 Could not resolve host: only the HTTP proxy knows it")
    done = new_host.install()
    assert done.returncode == 0, done
    assert len(new_host.deploys()) == 1
    assert new_host.calls("curl") == []
    assert "hunter2" not in done.stdout + done.stderr + str(new_host.calls())


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY"])
def test_an_http_proxy_of_root_s_environment_is_used_by_curl_and_handed_on_by_name(
    new_host: InstallHost, name: str
) -> None:
    engine_names(new_host)
    new_host.answer("on-deploy", 'tr "\\0" "\\n" </proc/self/environ >"$STAND_IN/environ"')
    value = "http://u:hunter2@proxy.corp:3128"
    done = new_host.run(new_host.installer, with_={name: value})
    assert done.returncode == 0, done
    assert len(new_host.calls("curl")) == 1
    assert f"{name}={value}" in (new_host.stand_in / "environ").read_text().splitlines()
    assert "hunter2" not in done.stdout + done.stderr + str(new_host.calls()) + str(new_host.calls("curl"))


def test_what_the_environment_file_says_is_used_again(new_host: InstallHost) -> None:
    text = "\ufeffFLAGEEMONITOR_IMAGE=registry.example/mine:3\r\nDOCKER_HOST=unix:///run/other.sock\r\n"
    new_host.environment_file(text)
    assert new_host.install().returncode == 0
    words = " ".join(new_host.deploys()[0])
    assert "registry.example/mine:3 deploy install" in words
    assert "-v /run/other.sock:/var/run/docker.sock" in words
    assert new_host.request["DOCKER_HOST"] == ["unix:///run/other.sock"]


def test_systemd_is_told_of_the_timer(new_host: InstallHost) -> None:
    new_host.with_systemd()
    assert new_host.install().returncode == 0
    assert "--timer systemd" in " ".join(new_host.deploys()[0])
    assert new_host.calls("systemctl") == [
        ["daemon-reload"],
        ["enable", "--quiet", "--now", "flageemonitor-repair.timer"],
    ]


def test_a_timer_that_systemd_refuses_takes_nothing_back(new_host: InstallHost) -> None:
    new_host.with_systemd()
    new_host.answer("systemctl-fails", "yes")
    done = new_host.install()
    assert (done.returncode, "systemd did not take" in done.stderr) == (1, True)
    assert (new_host.etc / "flageemonitor/flageemonitor.env").exists()


def test_slackwares_cron_is_recognised(a_new_host: InstallHost) -> None:
    crond = a_new_host.programs / "crond"
    crond.write_bytes(b"\x7fELF\0dillon's cron daemon\0")
    crond.chmod(0o755)
    assert a_new_host.install().returncode == 0
    words = " ".join(a_new_host.deploys()[0])
    assert "--timer dcron" in words
    assert "--mount type=bind,source=/etc/cron.d,target=/host/cron" in words


@pytest.mark.parametrize(("code", "ends"), [(0, 0), (1, 1), (2, 2), (6, 6), (10, 1), (12, 1), (75, 1), (125, 1)])
def test_the_exit_code_is_what_deploy_came_to(a_new_host: InstallHost, code: int, ends: int) -> None:
    a_new_host.answer("deploy-code", str(code))
    assert a_new_host.install().returncode == ends
    assert not list(a_new_host.folder.rglob(".seen-*"))


def test_folders_that_deploy_left_empty_are_removed(new_host: InstallHost) -> None:
    before = new_host.tree()
    new_host.answer("deploy-code", "1")
    assert new_host.install().returncode == 1
    assert new_host.tree() == before


def test_an_image_that_gives_no_answer_is_named(a_new_host: InstallHost) -> None:
    a_new_host.answer("silent", "yes")
    a_new_host.answer("deploy-code", "1")
    done = a_new_host.install()
    assert (done.returncode, f"{VALUES['IMAGE']} gave no answer" in done.stdout) == (1, True)


def test_a_dry_run_makes_no_folder_and_mounts_none(new_host: InstallHost) -> None:
    before = new_host.tree()
    assert new_host.install("--dry-run").returncode == 0
    assert new_host.tree() == before
    [call] = new_host.deploys()
    assert "--dry-run" in call
    assert "/host/etc" not in " ".join(call)


@pytest.mark.parametrize("verbs", ["", "other", "installer"])
def test_an_older_image_is_refused_with_the_one_that_is_needed(a_new_host: InstallHost, verbs: str) -> None:
    before = a_new_host.tree()
    a_new_host.answer("verbs", verbs)
    done = a_new_host.install()
    assert (done.returncode, a_new_host.deploys()) == (1, [])
    assert f"--image {VALUES['IMAGE']}" in done.stderr
    assert a_new_host.tree() == before


@pytest.mark.parametrize(
    ("answer", "text", "said"),
    [
        ("pull-fails", "denied: sign in", "denied: sign in"),
        ("down", "Cannot connect to the Docker daemon", "does not answer"),
        ("api", "1.40", "too old"),
        ("api", "1.24", "too old"),
        ("info", "20|windows|amd64|C:|[]", "Linux containers"),
        ("info", '20|linux|x86_64|/x|["name=rootless"]', "maps users"),
        ("info", '20|linux|x86_64|/x|["name=userns"]', "maps users"),
        ("info", "20|linux|x86_64|/var/snap/docker/common/var-lib-docker|[]", "snap"),
        ("health", "200 text/html", "not that of a healthy control plane"),
        ("health", "407 text/html", "not that of a healthy control plane"),
        ("health", "503 application/json", "not that of a healthy control plane (HTTP 503 application/json)"),
        ("health-fails", "6 Could not resolve host", "Could not resolve host"),
        ("health-fails", "60 self-signed certificate", "--ca FILE"),
        ("health-fails", "7 Failed to connect", "cannot be reached"),
        ("containers/flageemonitor-deploy", "exited other somebody's", "A container flageemonitor-deploy exists"),
        ("containers/flageemonitor-deploy", "running  somebody's", "A container flageemonitor-deploy exists"),
    ],
)
def test_each_refusal_says_what_to_do(a_new_host: InstallHost, answer: str, text: str, said: str) -> None:
    before = a_new_host.tree()
    a_new_host.answer(answer, text)
    done = a_new_host.install()
    assert done.returncode == 1
    assert said in done.stderr, done.stderr
    assert (a_new_host.tree(), a_new_host.deploys()) == (before, [])


@pytest.mark.parametrize("api", ["1.41", "1.47", "1.56", "2.0"])
def test_newer_engines_are_accepted(a_new_host: InstallHost, api: str) -> None:
    a_new_host.answer("api", api)
    assert a_new_host.install().returncode == 0


@pytest.mark.parametrize("host", ["tcp://10.0.0.1:2375", "ssh://x", "unix:///a:b", "unix://relative"])
def test_a_remote_engine_is_refused(a_new_host: InstallHost, host: str) -> None:
    before = a_new_host.tree()
    done = a_new_host.run(a_new_host.installer, with_={"DOCKER_HOST": host})
    assert done.returncode == 1
    assert host in done.stderr
    assert a_new_host.tree() == before


@pytest.mark.parametrize("machine", ["aarch64", "i686"])
def test_another_architecture_is_answered_honestly(a_new_host: InstallHost, machine: str) -> None:
    a_new_host.answer("info", f"20|linux|{machine}|/var/lib/docker|[]")
    refused(a_new_host, f"this machine is {machine}")
    assert a_new_host.install("--image", "registry.example/arm:1").returncode == 0


def test_root_is_required(new_host: InstallHost) -> None:
    done = new_host.run(new_host.installer, user="nobody")
    assert (done.returncode, "needs root" in done.stderr) == (1, True)


def test_all_problems_are_told_at_once(new_host: InstallHost) -> None:
    new_host.answer("down", "no")
    new_host.answer("health-fails", "7 no")
    (new_host.etc / "flageemonitor").write_text("")
    done = new_host.install()
    assert [line[:4] for line in done.stderr.splitlines() if line.startswith("  ") and line[2].isdigit()] == [
        "  1.",
        "  2.",
        "  3.",
    ]


@pytest.mark.parametrize("name", ["etc/flageemonitor", "lib/flageemonitor"])
@pytest.mark.parametrize("options", [(), ("--uninstall",)])
def test_files_and_links_in_the_place_of_a_folder_are_left_alone(
    a_new_host: InstallHost, name: str, options: tuple[str, ...]
) -> None:
    path = a_new_host.folder / name
    path.write_text("mine")
    refused(a_new_host, "is not a folder", *options)
    path.unlink()
    for target in (a_new_host.folder, Path("/nowhere")):
        path.symlink_to(target)
        refused(a_new_host, "is not a folder", *options)
        path.unlink()


def test_a_folder_with_somebody_else_s_files_is_for_deploy_to_refuse(a_new_host: InstallHost) -> None:
    """Which knows its own files; the script makes nothing there that stays."""
    path = a_new_host.etc / "flageemonitor"
    path.mkdir()
    (path / "file").write_text("mine")
    before = a_new_host.tree()
    a_new_host.answer("deploy-code", "1")
    assert a_new_host.install().returncode == 1
    assert a_new_host.tree() == before


def test_data_that_an_earlier_installation_kept_is_used_again(new_host: InstallHost) -> None:
    data = new_host.lib / "flageemonitor"
    data.mkdir(mode=0o700)
    (data / "state.db").write_text("")
    os.chown(data, 10001, 10001)
    assert new_host.install().returncode == 0


def test_a_running_deploy_is_not_disturbed(new_host: InstallHost) -> None:
    before = new_host.tree()
    new_host.answer("containers/flageemonitor-deploy", "running flageemonitor FlageeMonitor Proxy")
    done = new_host.install()
    assert (done.returncode, new_host.deploys()) == (6, [])
    assert new_host.tree() == before


@pytest.mark.parametrize("labels", ["flageemonitor x", " FlageeMonitor Proxy"])
def test_a_leftover_of_ours_is_removed_without_force(a_new_host: InstallHost, labels: str) -> None:
    a_new_host.answer("containers/flageemonitor-deploy", f"exited {labels}")
    assert a_new_host.install().returncode == 0
    assert ["rm", "flageemonitor-deploy"] in a_new_host.calls()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--what"],
        ["--image"],
        ["--dry-run=yes"],
        ["--runtime-name", "-x"],
        ["--runtime-name", "a-deploy"],
        ["--runtime-name", "A"],
        ["--runtime-name", "x" * 41],
        ["--image", "a b"],
        ["--image", "-v/:/x"],
        ["--docker-network", "a;b"],
        ["--watchtower-interval", "soon"],
        ["--replace-legacy", "--beside-legacy"],
        ["--keep-data", "--delete-data", "--uninstall"],
        ["--delete-data"],
        ["--registry-token-file", "/x"],
        ["--image="],
        ["--image", ""],
        ["--dry-run", "no"],
    ],
)
def test_a_usage_error_ends_with_2(a_new_host: InstallHost, arguments: list[str]) -> None:
    before = a_new_host.tree()
    done = a_new_host.install(*arguments)
    assert done.returncode == 2, done
    assert done.stderr
    assert (a_new_host.tree(), a_new_host.calls()) == (before, [])


def test_help_needs_nothing(new_host: InstallHost) -> None:
    done = new_host.run(new_host.installer, "--help", user="nobody")
    assert (done.returncode, "--uninstall" in done.stdout) == (0, True)


@pytest.mark.parametrize("name", ["LC_ALL", "LC_MESSAGES", "LANG"])
def test_messages_are_in_the_hosts_language(a_new_host: InstallHost, name: str) -> None:
    done = a_new_host.run(a_new_host.installer, with_={name: "pt_BR.UTF-8"})
    assert "Instalando flageemonitor" in done.stdout
    assert "--lang pt-BR" in " ".join(a_new_host.deploys()[0])
    a_new_host.answer("down", "não")
    done = a_new_host.run(a_new_host.installer, with_={name: "pt_BR.UTF-8"})
    assert "Nada foi alterado. O que impede:" in done.stderr


def test_refusals_are_in_portuguese_to_the_last_sentence(a_new_host: InstallHost) -> None:
    a_new_host.answer("info", '20|linux|aarch64|/x|["name=userns"]')
    a_new_host.answer("api", "1.40")
    a_new_host.answer("health-fails", "7 não")
    (a_new_host.etc / "flageemonitor").write_text("")
    done = a_new_host.run(
        a_new_host.installer, "--registry-user", "eu", "--registry-token-file", "/x", with_={"LANG": "pt_BR.UTF-8"}
    )
    sentences = read_po((ROOT / "locale/pt_BR/installer-linux.po").read_text())
    beginnings = [
        start
        for english, (portuguese,) in sentences.items()
        if len(start := english.split("{")[0].strip()) > 8 and not portuguese.startswith(start)
    ]
    assert [text for text in beginnings if text in done.stdout + done.stderr] == []
    assert "  4. Não é possível ler /x.\n     Corrija o caminho.\n" in done.stderr


# -- nobody reads, somebody interrupts, the script is cut --


@pytest.mark.parametrize("output", ["closed", "full", "reader gone"])
def test_a_stdout_that_takes_nothing_ends_nothing(new_host: InstallHost, output: str) -> None:
    new_host.answer("on-deploy", "for n in 1 2 3 4 5 6 7 8 9; do echo $n; done")
    ends = {"closed": ">&- 2>&-", "full": ">/dev/full 2>&1", "reader gone": "2>&1 | true"}[output]
    code = new_host.folder / "code"
    command = new_host.command(new_host.installer)
    line = f'{{ "$@"; echo $? >{code}; }} {ends}'
    subprocess.run(["bash", "-c", line, "x", *command], check=False, env=new_host.environment(), timeout=60)
    assert code.read_text() == "0\n"
    assert (new_host.etc / "flageemonitor/flageemonitor.env").exists()


@pytest.mark.parametrize("ends", [">&- 2>&-", ">/dev/full 2>&1", "2>&1 | true"])
def test_a_failure_that_nobody_reads_is_still_one(a_new_host: InstallHost, ends: str) -> None:
    before = a_new_host.tree()
    a_new_host.answer("deploy-code", "1")
    code = a_new_host.folder / "code"
    line = f'{{ "$@"; echo $? >{code}; }} {ends}'
    subprocess.run(
        ["bash", "-c", line, "x", *a_new_host.command(a_new_host.installer)],
        check=False,
        env=a_new_host.environment(),
        timeout=60,
    )
    assert (code.read_text(), a_new_host.tree()) == ("1\n", before)


# As the docker client and the program behind it: it hears a signal even where the shell that started it does not.
AT_WORK = """
import pathlib, signal, sys, time
folder = pathlib.Path("{folder}")
def stop(*_):
    (folder / "deploy-code").write_text("1\\n"); print("taken back"); sys.exit()
signal.signal({number}, stop)
(folder / "at-work").write_text("")
time.sleep(30)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_obeyed_by_deploy_and_awaited_by_the_script(new_host: InstallHost, number: signal.Signals) -> None:
    """As Ctrl-C sends it: to the whole group, with the reader of the output dead. deploy decides; the script waits."""
    program = new_host.folder / "deploy.py"
    program.write_text(AT_WORK.format(number=int(number), folder=new_host.stand_in))
    new_host.answer("on-deploy", f"{sys.executable} {program}")
    before = new_host.tree()
    process = subprocess.Popen(new_host.command(new_host.installer), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               env=new_host.environment(), start_new_session=True)  # fmt: skip
    deadline = time.monotonic() + 30
    while not (new_host.stand_in / "at-work").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert process.stdout
    process.stdout.close()
    os.killpg(process.pid, number)
    assert process.wait(30) == 1
    assert new_host.tree() == before


def test_a_cut_script_runs_nothing_at_any_byte(tmp_path: Path) -> None:
    """Every beginning of the rendered script, in every shell, with tripwires for every word of it that could be a command."""
    script = render()
    whole = script.rstrip(b"\n")
    tripwires = tmp_path / "bin"
    tripwires.mkdir()
    hit = tmp_path / "hit"
    names = {word for size in range(1, 25) for word in _beginnings(script, size)}
    for name in names:
        path = tripwires / name
        path.write_text(f"#!/bin/sh\necho {name} >>{hit}\n")
        path.chmod(0o755)
    driver = tmp_path / "driver.py"
    driver.write_text(DRIVER)
    for shell, words in SHELLS.items():
        program = subprocess.run(["which", words[0]], capture_output=True, text=True, check=True).stdout.strip()
        done = subprocess.run(
            ["python3", driver, str(tripwires), program, *words[1:]],
            input=whole,
            capture_output=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, (shell, done.stdout.decode(), done.stderr.decode()[-500:])
    assert not hit.exists(), hit.read_text()


# Cuts at every byte of the first lines and of the last, at every seventh between: all of them are inside the one pair of braces.
DRIVER = """
import subprocess, sys
folder, *shell = sys.argv[1:]
script = sys.stdin.buffer.read()
cuts = sorted({*range(0, 900), *range(900, len(script), 97), *range(len(script) - 400, len(script))})
for cut in cuts:
    done = subprocess.run(shell, input=script[:cut], capture_output=True, env={"PATH": folder})
    if done.stdout:
        print(cut, done.stdout[:200]); sys.exit(1)
"""


def _beginnings(script: bytes, size: int) -> set[str]:
    lines = (line.strip() for line in script.decode().splitlines())
    return {line[:size] for line in lines if len(line) >= size and line[:size].isalnum()}


# -- removing --

TIMER = "flageemonitor-repair.timer"


@pytest.fixture
def installed(new_host: InstallHost) -> InstallHost:
    new_host.with_systemd()
    assert new_host.install().returncode == 0
    new_host.answer("containers/flageemonitor", "running")
    new_host.answer("here", "sha256:0123")
    new_host.forget()
    return new_host


@pytest.mark.parametrize("options", [(), ("--keep-data",), ("--yes", "--no-auto-update")])
def test_an_image_removes_its_proxy_and_keeps_the_data(installed: InstallHost, options: tuple[str, ...]) -> None:
    """The running container's: no registry is asked. Options of the installation have no meaning here."""
    done = installed.install("--uninstall", *options)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert "deploy uninstall for flageemonitor" in done.stdout
    [call] = installed.deploys()
    words = " ".join(call)
    for mount in (
        "/etc/flageemonitor,target=/host/etc",
        "/usr/local/bin,target=/host/bin",
        "/system,target=/host/systemd",
    ):
        assert mount in words
    end = ["sha256:0123", "deploy", "uninstall", "--runtime-name", "flageemonitor", "--socket", "/var/run/docker.sock"]
    assert call[-len(end) - 4 :] == [*end, "--timer", "systemd", "--lang", "en"]
    assert not [one for one in installed.calls() if "pull" in one]
    assert (installed.stand_in / "stdin").read_text() == ""
    assert installed.calls("curl") == []
    assert installed.calls("systemctl") == [["disable", "--quiet", "--now", TIMER], ["daemon-reload"]]
    assert (installed.etc / "flageemonitor/flageemonitor.env").exists()
    assert not list(installed.folder.rglob(".seen-*"))


def test_the_data_is_deleted_only_when_asked_by_name(installed: InstallHost) -> None:
    assert installed.install("--uninstall", "--yes", "--delete-data").returncode == 0
    assert "--delete-data" in installed.deploys()[0]
    assert not (installed.etc / "flageemonitor").exists()
    assert not (installed.lib / "flageemonitor").exists()


def test_an_engine_that_is_away_is_not_an_engine_without_containers(installed: InstallHost) -> None:
    before = installed.tree()
    installed.answer("down", "Cannot connect")
    done = installed.install("--uninstall", "--yes", "--delete-data")
    assert (done.returncode, "does not answer" in done.stderr) == (1, True)
    assert (installed.tree(), installed.calls("systemctl")) == (before, [])


def test_a_removal_needs_neither_room_nor_the_control_plane(installed: InstallHost) -> None:
    installed.answer("health-fails", "7 Failed to connect")
    installed.answer("info", '20|linux|aarch64|/var/lib/docker|["name=userns"]')
    assert installed.install("--uninstall").returncode == 0


def test_an_image_that_is_not_here_is_pulled(installed: InstallHost) -> None:
    installed.answer("here", "")
    assert installed.install("--uninstall", "--image", "registry.example/other:2").returncode == 0
    assert ["pull", "--quiet", "registry.example/other:2"] in installed.calls()
    assert "registry.example/other:2 deploy uninstall" in " ".join(installed.deploys()[0])


@pytest.mark.parametrize("trouble", ["pull-fails", "verbs"])
def test_without_an_image_the_commands_to_remove_by_hand_are_named(installed: InstallHost, trouble: str) -> None:
    before = installed.tree()
    installed.answer("here", "")
    installed.answer(trouble, "none")
    done = installed.install("--uninstall", "--delete-data")
    assert done.returncode == 1, done
    for word in (
        "-update-image; ",
        "docker rm -f $(docker ps -aq --filter label=flageemonitor.runtime=flageemonitor)",
        "/var/lib/",
    ):
        assert word in done.stderr
    assert (installed.tree(), installed.deploys(), installed.calls("systemctl")) == (before, [], [])


@pytest.mark.parametrize("state", ["exited", "running"])
def test_a_container_of_somebody_else_with_the_name_of_deploy_stops_a_removal(
    installed: InstallHost, state: str
) -> None:
    before = installed.tree()
    installed.answer("containers/flageemonitor-deploy", f"{state} other somebody's")
    done = installed.install("--uninstall")
    assert (done.returncode, "that FlageeMonitor did not make" in done.stderr) == (1, True)
    assert ["rm", "flageemonitor-deploy"] not in installed.calls()
    assert (installed.tree(), installed.deploys()) == (before, [])


@pytest.mark.parametrize("code", [1, 6, 125])
def test_a_removal_that_fails_leaves_the_repair_timer_on(installed: InstallHost, code: int) -> None:
    installed.answer("deploy-code", str(code))
    assert installed.install("--uninstall").returncode == (6 if code == 6 else 1)
    calls = [call[0] for call in installed.calls("systemctl")]
    assert calls == ["disable", "daemon-reload", "enable"]


def test_a_dry_run_of_the_removal_changes_nothing(installed: InstallHost) -> None:
    before = installed.tree()
    assert installed.install("--uninstall", "--dry-run").returncode == 0
    assert "--dry-run" in installed.deploys()[0]
    assert installed.tree() == before
    assert installed.calls("systemctl") == []


def test_where_nothing_is_installed_nothing_is_left(new_host: InstallHost) -> None:
    before = new_host.tree()
    assert new_host.install("--uninstall").returncode == 0
    assert new_host.tree() == before


def test_the_template_and_the_rendered_script_pass_shellcheck(tmp_path: Path) -> None:
    path = tmp_path / "install.sh"
    path.write_bytes(render())
    done = subprocess.run(["shellcheck", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_script_stays_short() -> None:
    """What is written, and what an administrator reads: with both helps and the Portuguese sentences."""
    assert len((ROOT / "bootstrap/install.sh").read_text().splitlines()) <= 423
    assert len(render().splitlines()) <= 575
