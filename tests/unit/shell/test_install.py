"""The installer from first to last step: what it leaves on the host, what it keeps, and how it takes itself back."""

import base64
import json
import os
import re
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest

from tests.unit.shell.host import (
    AGENT_TOKEN,
    ROOT,
    SHELLS,
    TOKEN,
    TOOLS,
    VALUES,
    Host,
    render,
    settings_of,
    until,
    wrapper,
)

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
HOSTILE = [
    "$(touch /etc/pwned)",
    "`touch /etc/pwned`",
    "'; touch /etc/pwned; '",
    '"',
    "\\",
    "*",
    "a b",
    "# @@WRAPPERS@@",
]


def mode(path: Path) -> tuple[str, int]:
    about = path.stat()
    return f"{stat.S_IMODE(about.st_mode):o}", about.st_uid


def test_what_a_first_installation_leaves_on_the_host(host: Host) -> None:
    done = host.install()
    assert done.returncode == 0, done.stderr
    etc, var = host.etc / "flageemonitor", host.lib / "flageemonitor"
    values = settings_of(etc / "flageemonitor.env")
    assert UUID7.fullmatch(agent := values.pop("FLAGEEMONITOR_AGENT_ID"))
    assert abs(int(agent.replace("-", "")[:12], 16) / 1000 - time.time()) < 60
    assert values == {
        "FLAGEEMONITOR_REDE": "ACME",
        "FLAGEEMONITOR_API_BASE": VALUES["API_BASE"],
        "FLAGEEMONITOR_IMAGE": VALUES["IMAGE"],
        "FLAGEEMONITOR_RUNTIME_NAME": "flageemonitor",
        "FLAGEEMONITOR_WATCHTOWER_IMAGE": "containrrr/watchtower:1.7.1",
        "FLAGEEMONITOR_WATCHTOWER_INTERVAL": "300",
        "FLAGEEMONITOR_DOCKER_NETWORK": "bridge",
        "RUN_MODE": "daemon",
        "TZ": "America/Sao_Paulo",
    }
    assert (etc / "config/token").read_text() == AGENT_TOKEN + "\n"
    assert mode(etc) == ("700", 0)
    assert mode(etc / "flageemonitor.env") == ("600", 0)
    assert mode(etc / "config") == ("700", 10001)
    assert mode(etc / "config/token") == ("400", 10001)
    assert mode(var) == ("700", 10001)
    for name in TOOLS:
        path = host.bin / f"flageemonitor-{name}"
        assert path.read_text() == wrapper(name).replace("@RUNTIME_NAME@", "flageemonitor")
        assert mode(path) == ("755", 0)
    assert "flageemonitor-update-image --repair" in (host.etc / "cron.d/flageemonitor-repair").read_text()
    assert sorted(path.name for path in etc.iterdir()) == ["config", "flageemonitor.env", "healthy_image"]
    assert host.containers() == {"flageemonitor", "flageemonitor-watchtower"}
    for name in TOOLS:
        assert f"flageemonitor-{name}" in done.stdout


def test_the_first_container_is_as_locked_up_as_the_later_one_and_gets_its_environment_by_file(host: Host) -> None:
    host.answer("refresh-code", "0")
    assert host.install("--docker-network", "host").returncode == 0
    call = next(call for call in host.calls() if call[-2:] == ["config", "refresh"])
    assert " ".join(call) == (
        "run --rm --user 10001:10001 --network host --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges"
        " --env-file /etc/flageemonitor/.install/container.env -v /etc/flageemonitor/config:/flageemonitor/config"
        f" -v /var/lib/flageemonitor:/flageemonitor/data {VALUES['IMAGE']} config refresh"
    )


def test_the_order_is_pull_enrol_configuration_start(host: Host) -> None:
    host.already_installed()
    order = [call[0] if call[0] != "run" else call[-1] if call[-1] == "refresh" else "deploy" for call in host.calls()]
    steps = [step for step in order if step in ("pull", "refresh", "deploy")]
    assert steps == ["pull", "refresh", "pull", "deploy"]


def test_no_token_is_in_any_argument_or_environment_or_output(host: Host) -> None:
    for tool in [*host.programs.iterdir()]:
        # Everything that is started says how, and what it was given to inherit.
        real = tool.with_name(f"real-{tool.name}")
        tool.rename(real)
        # A busybox applet goes by its name.
        start = f'exec "{real.resolve()}" {tool.name}' if real.resolve().name == "busybox" else f'exec "{real}"'
        tool.write_text(f'#!/bin/sh\n{{ echo "$0 $*"; export -p; }} >>"$STAND_IN/everything"\n{start} "$@"\n')
        tool.chmod(0o755)
    secret = host.folder / "registry-token"
    secret.write_text("registry-secret\n")
    done = host.install("--registry-user", "robot", "--registry-token-file", str(secret))
    assert done.returncode == 0, done.stderr
    assert host.install().returncode == 0  # and with the agent's own
    seen = (host.stand_in / "everything").read_text() + done.stdout + done.stderr
    assert "curl -sS" in seen
    for token in (TOKEN, AGENT_TOKEN, "registry-secret", base64.b64encode(b"robot:registry-secret").decode()):
        assert token not in seen
    given = (host.stand_in / "curl-stdin").read_text()
    assert f'header = "X-Bot-Token: {TOKEN}"' in given
    assert f'header = "X-Bot-Token: {AGENT_TOKEN}"' in given


def test_enrolment_says_who_and_for_which_network(host: Host) -> None:
    host.already_installed()
    (call,) = (call for call in host.calls("curl") if "enroll" in call[-1])
    assert call[-1] == "https://control.example/api/bootstrap/enroll?rede=ACME"
    body = json.loads(call[call.index("--data") + 1])
    assert UUID7.fullmatch(body["agent_id"])
    assert body["hostname"] == os.uname().nodename


def test_a_second_run_keeps_agent_token_and_what_was_written_by_hand(host: Host) -> None:
    host.already_installed()
    path = host.etc / "flageemonitor/flageemonitor.env"
    text = path.read_text().replace("INTERVAL=300", "INTERVAL=900").replace("stable", "canary")
    path.write_bytes(
        (text + "# mine\nFLAGEEMONITOR_LOG_FORMAT=console\nSOMETHING_ELSE = odd  ").replace("\n", "\r\n").encode()
    )
    before = settings_of(path)
    host.forget()
    done = host.install()
    assert done.returncode == 0, done.stderr
    assert settings_of(path) == before
    assert "# mine" in path.read_text()
    assert "although the control plane names registry.example/flageemonitor:stable" in done.stderr
    assert not [call for call in host.calls("curl") if "enroll" in call[-1]]
    assert (host.etc / "flageemonitor/config/token").read_text() == AGENT_TOKEN + "\n"
    assert ["pull", "--quiet", "registry.example/flageemonitor:canary"] in host.calls()


def test_options_replace_what_is_in_the_environment_file(host: Host) -> None:
    host.already_installed()
    options = ["--image", "other.example/fm:1", "--watchtower-image=other.example/wt:2", "--watchtower-interval", "60"]
    (host.stand_in / "networks").mkdir()
    host.answer("networks/shops", "")
    assert host.install(*options, "--docker-network", "shops").returncode == 0
    values = settings_of(host.etc / "flageemonitor/flageemonitor.env")
    assert values["FLAGEEMONITOR_IMAGE"] == "other.example/fm:1"
    assert values["FLAGEEMONITOR_WATCHTOWER_IMAGE"] == "other.example/wt:2"
    assert values["FLAGEEMONITOR_WATCHTOWER_INTERVAL"] == "60"
    assert values["FLAGEEMONITOR_DOCKER_NETWORK"] == "shops"


@pytest.mark.parametrize("code", ["401", "403"])
def test_a_token_that_works_no_more_is_replaced_and_the_agent_stays(a_host: Host, code: str) -> None:
    a_host.already_installed()
    path = a_host.etc / "flageemonitor/flageemonitor.env"
    agent = settings_of(path)["FLAGEEMONITOR_AGENT_ID"]
    a_host.answer("config-code", code)
    a_host.answer("enrol", '{"token": "fm1.new.token"}\n201')
    a_host.forget()
    assert a_host.install().returncode == 0
    (call,) = (call for call in a_host.calls("curl") if "enroll" in call[-1])
    assert json.loads(call[call.index("--data") + 1])["agent_id"] == agent
    assert settings_of(path)["FLAGEEMONITOR_AGENT_ID"] == agent
    assert (a_host.etc / "flageemonitor/config/token").read_text() == "fm1.new.token\n"
    assert mode(a_host.etc / "flageemonitor/config/token") == ("400", 10001)


def test_a_control_plane_that_cannot_say_whether_the_token_works_is_no_reason_for_a_new_one(host: Host) -> None:
    host.already_installed()
    before = host.tree()
    host.answer("config-code", "503")
    done = host.install()
    assert (done.returncode, "HTTP 503" in done.stderr) == (1, True)
    assert host.tree() == before


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("200", "Something between this host and the control plane answered: a web page (HTTP 200)"),
        ("401", "answered HTTP 401 with a web page: the server's own web server or something before it"),
        ("403", "asks for a login of its own or bars this host"),
        ("404", "Check the address of the control plane: https://"),
        ("503", "Look into the logs of the control plane"),
        ("511", "Something between this host and the control plane answered: a web page (HTTP 511)"),
    ],
)
def test_a_page_that_answers_for_the_control_plane_is_no_reason_for_a_new_token(
    a_host: Host, code: str, said: str
) -> None:
    a_host.already_installed()
    before = a_host.tree()
    a_host.answer("config-code", f"{code} text/html; charset=utf-8")
    done = a_host.install()
    assert done.returncode == 1
    assert said in done.stderr
    assert ("Something between" in done.stderr) == (code in ("200", "511"))
    assert a_host.tree() == before


def test_a_private_authority_is_used_and_kept(host: Host) -> None:
    authority = host.folder / "ca.pem"
    authority.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert host.install("--ca", str(authority)).returncode == 0
    kept = host.etc / "flageemonitor/config/ca.pem"
    assert kept.read_text() == authority.read_text()
    assert (
        settings_of(host.etc / "flageemonitor/flageemonitor.env")["FLAGEEMONITOR_CA_PATH"]
        == "/flageemonitor/config/ca.pem"
    )
    assert all(
        call[call.index("--cacert") + 1] == str(authority) for call in host.calls("curl") if "--unix-socket" not in call
    )
    host.forget()
    assert host.install().returncode == 0
    # Root's own copy: in the other folder the proxy may have laid anything.
    assert all(
        call[call.index("--cacert") + 1] == "/etc/flageemonitor/ca.pem"
        for call in host.calls("curl")
        if "--unix-socket" not in call
    )


REGISTRIES = {
    "registry.example/a/b:1": "registry.example",
    "localhost/a:1": "localhost",
    "host:5000/a": "host:5000",
    "acme/a:1": "https://index.docker.io/v1/",
    "a": "https://index.docker.io/v1/",
    "docker.io/acme/a": "https://index.docker.io/v1/",
}


def test_registry_credentials_have_the_form_of_docker_login(host: Host) -> None:
    path, kept = host.folder / "token", host.etc / "flageemonitor/docker/config.json"
    secrets = ["x", "xy", "xyz", "päss\\w0rd$(id)`\"' ", "x" * 300, "y"]
    for (image, registry), secret in zip(REGISTRIES.items(), secrets, strict=True):
        path.write_bytes(secret.encode() + b"\r\nsecond line\n")
        done = host.install("--image", image, "--registry-user", "robot$x", "--registry-token-file", str(path))
        assert done.returncode == 0, done.stderr
        auth = base64.b64encode(f"robot$x:{secret}".encode()).decode()
        assert json.loads(kept.read_text()) == {"auths": {registry: {"auth": auth}}}
        assert mode(kept) == ("600", 0)
        assert mode(kept.parent) == ("700", 0)
        assert (host.stand_in / "credentials").read_text() == kept.read_text()  # the pull had them
    assert host.install().returncode == 0
    assert json.loads(kept.read_text())["auths"]


def test_without_a_terminal_the_registrys_password_cannot_be_asked_for(host: Host) -> None:
    before = host.tree()
    done = host.install("--registry-user", "robot")
    assert (done.returncode, "--registry-token-file" in done.stderr) == (1, True)
    assert host.tree() == before


def test_two_runtimes_share_nothing(a_host: Host) -> None:
    for name in ("shop-1", "shop.2", "shop_2"):
        assert a_host.install("--runtime-name", name).returncode == 0
    agents = {
        settings_of(a_host.etc / name / "flageemonitor.env")["FLAGEEMONITOR_AGENT_ID"]
        for name in ("shop-1", "shop.2", "shop_2")
    }
    assert len(agents) == 3
    assert "/shop.2-update-image" in (a_host.etc / "cron.d/shopDOT2-repair").read_text()
    assert "${RUNTIME_NAME:-shop.2}" in (a_host.bin / "shop.2-run").read_text()
    others = ("shop-1", "shop_2")
    kept = {name: value for name, value in a_host.tree().items() if any(other in name for other in others)}
    assert "etc/cron.d/shop_2-repair" in kept
    assert a_host.install("--runtime-name", "shop.2", "--uninstall", "--delete-data").returncode == 0
    assert {name: value for name, value in a_host.tree().items() if any(other in name for other in others)} == kept
    assert not [name for name in a_host.tree() if "shop.2" in name or "shopDOT2" in name]
    assert a_host.containers() == {"shop-1", "shop-1-watchtower", "shop_2", "shop_2-watchtower"}


def test_systemd_gets_a_timer(host: Host) -> None:
    host.with_systemd()
    host.already_installed()
    units = host.etc / "systemd/system"
    service = (units / "flageemonitor-repair.service").read_text()
    assert "ExecStart=/usr/local/bin/flageemonitor-update-image --repair\n" in service
    timer = (units / "flageemonitor-repair.timer").read_text()
    assert {"OnBootSec=5min", "OnUnitActiveSec=5min"} <= set(timer.splitlines())
    assert ["enable", "--quiet", "--now", "flageemonitor-repair.timer"] in host.calls("systemctl")
    assert not (host.etc / "cron.d/flageemonitor-repair").exists()


def test_without_systemd_and_cron_the_installer_says_what_is_missing(host: Host) -> None:
    (host.etc / "cron.d").rmdir()
    done = host.install()
    assert done.returncode == 0
    assert "no timer was set" in done.stderr


@pytest.mark.parametrize(
    ("answer", "text", "said"),
    [
        ("pull-fails", "Error response from daemon: no route to host", "no route to host"),
        ("enrol", '{"detail": "this token was used", "reason": "token_used"}\n403', "this token was used"),
        (
            "enrol",
            "<html><title>502 Bad Gateway</title></html>\n502",
            'answered HTTP 502 with a web page titled "502 Bad Gateway"',
        ),
        (
            "enrol",
            "<html><input type='password'></html>\n403",
            "Something between this host and the control plane answered",
        ),
        ("enrol", "<html><title>404</title></html>\n404", "Check the address of the control plane: https://"),
        ("enrol", "<html>Sign in</html>\n200", "Something between this host and the control plane answered"),
        ("enrol", "\n502", "answered HTTP 502 with no JSON: the server's own web server"),
        ("enrol", '{"token": "bad token\\n"}\n201', "holds no token"),
        ("refresh-code", "3", "exit code 3"),
        ("on-deploy", "exit 10", "exit code 10"),
        ("on-deploy", "exit 12", "exit code 12"),
        (
            "on-deploy",
            "echo 'running|1|flageemonitor' >$STAND_IN/containers/flageemonitor-candidate; exit 137",
            "exit code 137",
        ),
        ("systemctl-fails", "yes", "systemd did not take"),
    ],
)
def test_a_first_installation_that_fails_leaves_nothing(a_host: Host, answer: str, text: str, said: str) -> None:
    if answer == "systemctl-fails":
        a_host.with_systemd()
    before = a_host.tree()
    a_host.answer(answer, text)
    done = a_host.install()
    assert (done.returncode, said in done.stderr) == (1, True), done.stderr
    assert a_host.tree() == before
    assert a_host.containers() == set()


@pytest.mark.parametrize(
    ("answer", "text"),
    [("pull-fails", "no"), ("on-deploy", "exit 10"), ("on-deploy", "exit 75")],
)
def test_an_existing_installation_continues_when_the_next_one_fails(a_host: Host, answer: str, text: str) -> None:
    a_host.with_systemd()
    a_host.already_installed()
    # What an older release had written.
    (a_host.bin / "flageemonitor-run").write_text("#!/bin/sh\n# FlageeMonitor Proxy, older\n")
    (a_host.etc / "systemd/system/flageemonitor-repair.timer").write_text("older\n")
    before, containers = a_host.tree(), a_host.containers()
    a_host.answer(answer, text)
    a_host.forget()
    done = a_host.install("--image", "registry.example/other:1", "--watchtower-interval", "77")
    assert done.returncode == 1
    assert a_host.tree() == before
    assert a_host.containers() == containers
    assert not [call for call in a_host.calls() if call[0] in ("stop", "rm")]
    assert answer == "pull-fails" or "goes on" in done.stderr


def test_a_timer_that_cannot_be_set_does_not_take_back_what_runs_already(host: Host) -> None:
    host.with_systemd()
    host.already_installed()
    timer = host.etc / "systemd/system/flageemonitor-repair.timer"
    timer.write_text("older\n")
    host.answer("systemctl-fails", "yes")
    done = host.install("--image", "registry.example/other:1")
    assert (done.returncode, "runs as specified" in done.stderr) == (1, True)
    assert timer.read_text() == "older\n"
    values = settings_of(host.etc / "flageemonitor/flageemonitor.env")
    assert values["FLAGEEMONITOR_IMAGE"] == "registry.example/other:1"


def test_a_configuration_that_cannot_be_fetched_now_does_not_stop_a_repair(host: Host) -> None:
    host.already_installed()
    (host.etc / "flageemonitor/config/config_bot.json").write_text("{}")
    host.answer("refresh-code", "1")
    done = host.install()
    assert (done.returncode, "last valid configuration stays" in done.stderr) == (0, True)


def test_dry_run_changes_nothing_and_says_what_would_be_done(host: Host) -> None:
    before = host.tree()
    done = host.install("--dry-run")
    assert done.returncode == 0
    assert "Nothing is changed" in done.stdout
    assert "enrol this host" in done.stdout
    assert host.tree() == before
    assert not [call for call in host.calls() if call[0] in ("pull", "run", "rm", "stop")]
    assert not [call for call in host.calls("curl") if "enroll" in call[-1]]
    host.already_installed()
    before = host.tree()
    assert "keep agent" in host.install("--dry-run").stdout
    assert host.install("--uninstall", "--delete-data", "--dry-run").returncode == 0
    assert host.tree() == before


def test_a_first_generation_proxy_is_stopped_permanently_once_this_one_runs(host: Host) -> None:
    (host.etc / "ariusmonitor").mkdir()
    host.container("ariusmonitor")
    host.container("ariusmonitor-watchtower")
    host.answer("neighbours", '/ariusmonitor-watchtower|containrrr/watchtower|true\t["PATH=/"]\t["ariusmonitor"]null')
    assert host.install("--replace-legacy").returncode == 0
    calls = host.calls()
    for name in ("ariusmonitor-watchtower", "ariusmonitor"):
        assert ["update", "--restart=no", name] in calls
        assert calls.index(["stop", "-t", "150", name]) > next(i for i, call in enumerate(calls) if "deploy" in call)
    assert (host.etc / "ariusmonitor").is_dir()
    host.forget()
    host.container("ariusmonitor", "exited")
    (host.stand_in / "containers/ariusmonitor-watchtower").unlink()
    host.answer("neighbours", "")
    assert host.install().returncode == 0  # it is dealt with


def test_a_first_generation_proxy_of_the_usual_name_is_stopped_once_one_of_another_name_runs(a_host: Host) -> None:
    a_host.environment_file("FLAGEEMONITOR_REDE=ACME\n")
    a_host.container("flageemonitor")
    a_host.container("flageemonitor-watchtower")
    a_host.answer(
        "neighbours", '/flageemonitor-watchtower|containrrr/watchtower|\tnull\t["--cleanup","flageemonitor"]null'
    )
    theirs = (a_host.etc / "flageemonitor/flageemonitor.env").read_bytes()
    planned = a_host.install("--runtime-name", "fm2", "--replace-legacy", "--dry-run")
    assert "stop the container flageemonitor and its Watchtower" in planned.stdout
    assert a_host.install("--runtime-name", "fm2", "--replace-legacy").returncode == 0
    calls = a_host.calls()
    started = next(i for i, call in enumerate(calls) if "deploy" in call)
    for name in ("flageemonitor-watchtower", "flageemonitor"):
        assert ["update", "--restart=no", name] in calls
        assert calls.index(["stop", "-t", "150", name]) > started
    assert not [call for call in calls if call[0] == "rm"]
    assert (a_host.etc / "flageemonitor/flageemonitor.env").read_bytes() == theirs
    a_host.forget()
    a_host.container("flageemonitor", "exited")
    a_host.container("flageemonitor-watchtower", "exited")
    a_host.answer("neighbours", "")
    assert a_host.install("--runtime-name", "fm2").returncode == 0  # it is dealt with


def test_a_runtime_of_the_usual_name_is_not_taken_for_the_first_generation(host: Host) -> None:
    host.already_installed()
    before = host.tree()
    done = host.install("--runtime-name", "fm2", "--replace-legacy")
    assert (done.returncode, "is not of the first generation" in done.stderr) == (1, True)
    assert host.tree() == before
    assert host.install("--runtime-name", "fm2").returncode == 0
    host.container("ariusmonitor")
    assert host.install("--runtime-name", "fm2", "--replace-legacy").returncode == 0
    stopped = [call[-1] for call in host.calls() if call[0] == "stop"]
    assert stopped == ["ariusmonitor"]


def test_a_runtime_of_this_generation_is_not_taken_for_the_first_whatever_its_name(a_host: Host) -> None:
    assert a_host.install("--runtime-name", "ariusmonitor").returncode == 0
    before = a_host.tree()
    done = a_host.install("--replace-legacy")
    assert (done.returncode, "is not of the first generation" in done.stderr) == (1, True)
    assert a_host.tree() == before
    assert a_host.install("--runtime-name", "ariusmonitor", "--replace-legacy").returncode == 0
    assert a_host.install().returncode == 0
    assert not [call for call in a_host.calls() if call[0] in ("stop", "update", "rm")]


def test_the_first_generation_keeps_running_until_this_one_runs(host: Host) -> None:
    host.container("ariusmonitor")
    host.answer("on-deploy", "echo waiting; exit 0")
    done = host.install("--replace-legacy")
    assert (done.returncode, "was left alone" in done.stderr) == (0, True)
    assert not [call for call in host.calls() if call[0] in ("stop", "update")]


def test_what_is_pinned_is_kept_and_the_rest_is_done(host: Host) -> None:
    host.already_installed()
    (host.bin / "flageemonitor-run").write_text("#!/bin/sh\n# FlageeMonitor Proxy, older\n")
    (host.etc / "cron.d/flageemonitor-repair").unlink()
    host.answer("on-deploy", "printf 'pinned\\tpinned to x@sha256:1 since yesterday\\n'; exit 1")
    done = host.install("--watchtower-interval", "77")
    assert done.returncode == 0, done.stderr
    assert "pinned to x@sha256:1" in done.stdout
    assert "--resume" in done.stderr
    values = settings_of(host.etc / "flageemonitor/flageemonitor.env")
    assert values["FLAGEEMONITOR_WATCHTOWER_INTERVAL"] == "77"
    assert (host.bin / "flageemonitor-run").read_text() == wrapper("run").replace("@RUNTIME_NAME@", "flageemonitor")
    assert (host.etc / "cron.d/flageemonitor-repair").exists()


def test_everything_is_on_the_disk_before_success_is_reported(a_host: Host) -> None:
    a_host.before("sync", 'ls /etc/cron.d >"$STAND_IN/synced"')
    assert a_host.install().returncode == 0
    assert "flageemonitor-repair" in (a_host.stand_in / "synced").read_text()


# ---- Two at once, signals, and downloads that were cut


def test_the_second_of_two_installers_is_refused(host: Host) -> None:
    host.answer("on-deploy", "echo yes >$STAND_IN/begun; while [ ! -f $STAND_IN/go-on ]; do sleep 0.05; done")
    first = subprocess.Popen(
        host.command(host.installer), env=host.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    until(host.stand_in / "begun")
    done = host.install()
    assert (done.returncode, "at work" in done.stderr) == (6, True)
    host.answer("go-on", "")
    _, said = first.communicate(timeout=60)
    assert first.returncode == 0, said


def test_what_a_killed_installer_left_does_not_lock_the_next_one_out(a_host: Host) -> None:
    for left in (None, "", "999999999 1", f"{os.getpid()} 1"):  # the last: the number is somebody else's by now
        folder = a_host.etc / "flageemonitor/.install"
        folder.mkdir(parents=True, exist_ok=True)
        if left is not None:
            (folder / "pid").write_text(left)
        assert a_host.install().returncode == 0
        assert not folder.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_undoes_what_was_made(host: Host, number: signal.Signals) -> None:
    before = host.tree()
    program = (host.programs / "docker").read_text()
    (host.programs / "docker").write_text(
        program.replace(
            '    echo "refreshed: $code"', '    echo yes >"$STAND_IN/begun"; sleep 5; echo "refreshed: $code"'
        )
    )
    process = subprocess.Popen(
        host.command(host.installer), env=host.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, process_group=0,
    )  # fmt: skip
    until(host.stand_in / "begun")
    os.killpg(process.pid, number)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, "Nothing is installed" in said) == (1, True)
    assert host.tree() == before


def test_a_download_that_was_cut_does_nothing(host: Host) -> None:
    """Cut in about 200 places, and at every byte of the end, where a shorter last line would run with other arguments."""
    size = host.installer.stat().st_size
    step = size // 150
    cuts = sorted({*range(0, size, step), *range(size - 60, size - 1)})
    # Everything up to the last line's end is the whole script: without it, nothing may be started.
    driver = host.folder / "driver.sh"
    shell = " ".join(host.command("")[6:])
    driver.write_text(
        f'while read -r size; do dd if={host.installer} bs="$size" count=1 2>/dev/null | {shell} -s -- --runtime-name cut; done\n'
    )
    (host.programs / "dd").symlink_to(Path("/bin/dd").resolve())
    before = host.tree()
    done = host.run(driver, stdin="".join(f"{cut}\n" for cut in cuts if cut).encode())
    assert done.returncode in (0, 2)
    assert host.calls() == host.calls("curl") == []
    assert host.tree() == before
    assert "Usage" not in done.stdout
    whole = host.run("", "-s", "--", "--runtime-name", "cut", stdin=host.installer.read_bytes())
    assert whole.returncode == 0, whole.stderr
    assert (host.etc / "cut/flageemonitor.env").exists()


@pytest.mark.parametrize("name", [name for name in VALUES if name != "BOOTSTRAP_TOKEN"])
def test_hostile_values_stay_data(a_host: Host, name: str) -> None:
    for value in HOSTILE:
        a_host.installer.write_bytes(render({**VALUES, name: value}))
        done = a_host.install("--dry-run")
        assert done.returncode in (0, 1)
        if name in ("CLIENT", "SERVER_VERSION"):
            assert done.returncode == 0
            assert value in done.stdout
        a_host.forget()
    assert not (a_host.etc / "pwned").exists()


@pytest.mark.parametrize("name", ["NETWORK", "TIMEZONE", "IMAGE", "API_BASE", "WATCHTOWER_IMAGE"])
def test_a_value_with_a_second_line_is_refused(a_host: Host, name: str) -> None:
    # The control plane refuses to render such a value; a damaged script may still carry one.
    script = render({**VALUES, name: f"{VALUES[name]}@@"})
    a_host.installer.write_bytes(script.replace(b"@@'\n", b"\nFLAGEEMONITOR_INSECURE=plain-http'\n"))
    before = a_host.tree()
    done = a_host.install()
    assert (done.returncode, "cannot be printed" in done.stderr) == (1, True)
    assert a_host.tree() == before


def test_links_that_the_proxy_could_have_made_are_not_followed(host: Host) -> None:
    host.already_installed()
    config, victim = host.etc / "flageemonitor/config", host.etc / "victim"
    victim.write_text("untouched\n")
    (config / "token").unlink()
    (config / "token").symlink_to("/etc/victim")
    (config / "ca.pem").symlink_to("/etc/cron.d")
    authority = host.folder / "ca.pem"
    authority.write_text("-----BEGIN CERTIFICATE-----\n")
    host.forget()
    assert host.install("--ca", str(authority)).returncode == 0
    assert victim.read_text() == "untouched\n"
    assert mode(victim) == ("644", 0)
    assert not (config / "token").is_symlink()
    assert not (config / "ca.pem").is_symlink()
    assert sorted(path.name for path in (host.etc / "cron.d").iterdir()) == ["flageemonitor-repair"]
    assert "untouched" not in (host.stand_in / "curl-stdin").read_text()


def test_the_template_and_the_rendered_script_pass_shellcheck(tmp_path: Path) -> None:
    path = tmp_path / "install.sh"
    path.write_bytes(render({**VALUES, **dict.fromkeys(("CLIENT", "NETWORK"), "a'b\"$(c)")}))
    # SC2016: values stand in single quotes so that nothing in them is expanded.
    done = subprocess.run(["shellcheck", "-e", "SC2016", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    for shell in SHELLS.values():
        subprocess.run([*shell, "-n", ROOT / "bootstrap/install.sh"], check=True)
