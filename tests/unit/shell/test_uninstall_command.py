"""`<runtime>-uninstall`: needs no vendor and no token, asks before it removes, and keeps the data unless told."""

import json
import os
import pty
import subprocess

import pytest

from tests.unit.shell.host import Host

HEALTHY = "registry.example/flageemonitor@sha256:" + "1" * 64
OLD = "registry.example/flageemonitor:old"


@pytest.fixture
def proxy(host: Host) -> Host:
    """A host whose registry does not answer and whose engine has two images."""
    host.container("flageemonitor", label="flageemonitor")
    host.environment_file(f"FLAGEEMONITOR_IMAGE={OLD}\n")
    (host.etc / "flageemonitor/healthy_image").write_text(HEALTHY + "\n")
    (host.lib / "flageemonitor").mkdir()
    host.answer("pull-fails", "no route to host")
    host.answer("verbs", f"{HEALTHY}\n")
    host.answer("on-deploy", "exit 0")
    return host


def uninstall(host: Host, *words: str, user: str = "root") -> subprocess.CompletedProcess[str]:
    return host.run(host.installed_wrapper("uninstall"), *words, user=user)


def started(host: Host) -> list[list[str]]:
    return [call for call in host.calls() if call[0] == "run"]


@pytest.mark.parametrize(
    ("words", "passed"),
    [
        (("--yes",), []),
        (("--yes", "--delete-data"), ["--delete-data"]),
        (("--dry-run",), ["--dry-run"]),
        (("--delete-data", "--dry-run", "--yes"), ["--delete-data", "--dry-run"]),
    ],
)
def test_the_image_that_was_healthy_removes_what_was_asked_for(
    proxy: Host, words: tuple[str, ...], passed: list[str]
) -> None:
    assert uninstall(proxy, *words).returncode == 0
    [call] = started(proxy)
    assert call[call.index("deploy") - 1 :][:5] == [HEALTHY, "deploy", "uninstall", "--timer", "cron"]
    assert [word for word in call if word in ("--delete-data", "--dry-run", "--yes")] == passed
    assert "/etc/cron.d:/host/cron" in call
    assert not [call for call in proxy.calls() if "pull" in call]


def test_the_timer_stops_before_the_removal_and_returns_if_that_fails(proxy: Host) -> None:
    proxy.with_systemd()
    timer = proxy.etc / "systemd/system/flageemonitor-repair.timer"
    timer.touch()
    # By its answer, without one, killed, and by an engine that went away.
    for ended, code in (("echo said; exit 1", 1), ("exit 1", 1), ("exit 137", 137), ("exit 125", 1)):
        proxy.answer("on-deploy", f"cp $STAND_IN/systemctl $STAND_IN/before; {ended}")
        assert uninstall(proxy, "--yes").returncode == code
        assert "disable" in (proxy.stand_in / "before").read_text()
        assert [call[0] for call in proxy.calls("systemctl")] == ["disable", "enable"]
        assert "/etc/systemd/system:/host/systemd" in started(proxy)[0]
        proxy.forget()
    proxy.answer("on-deploy", "rm /etc/systemd/system/flageemonitor-repair.timer; exit 0")
    assert uninstall(proxy, "--yes").returncode == 0
    assert [call[0] for call in proxy.calls("systemctl")] == ["disable", "daemon-reload"]


def test_a_dry_run_touches_no_timer(proxy: Host) -> None:
    proxy.with_systemd()
    (proxy.etc / "systemd/system/flageemonitor-repair.timer").touch()
    before = proxy.tree()
    path = proxy.installed_wrapper("uninstall")
    assert proxy.run(path, "--dry-run").returncode == 0
    assert proxy.calls("systemctl") == []
    assert {key: value for key, value in proxy.tree().items() if "bin" not in key} == {
        key: value for key, value in before.items() if "bin" not in key and key != "lib/flageemonitor"
    }


def test_empty_folders_are_removed_and_others_stay(proxy: Host) -> None:
    proxy.answer("on-deploy", "rm -r /etc/flageemonitor/*; : >/var/lib/flageemonitor/state.db; exit 0")
    assert uninstall(proxy, "--yes").returncode == 0
    assert not (proxy.etc / "flageemonitor").exists()
    assert (proxy.lib / "flageemonitor/state.db").exists()


def test_without_a_terminal_nothing_is_removed_unless_yes_is_said(proxy: Host) -> None:
    done = uninstall(proxy)
    assert (done.returncode, "--yes is needed" in done.stderr) == (2, True)
    assert started(proxy) == []


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize(("answer", "code"), [("yes", 0), ("sim", 0), ("no", 1), ("", 1)])
def test_on_a_terminal_it_asks(a_host: Host, answer: str, code: int) -> None:
    a_host.container("flageemonitor", label="flageemonitor")
    a_host.environment_file(f"FLAGEEMONITOR_IMAGE={OLD}\n")
    a_host.answer("verbs", f"{OLD}\n")
    a_host.answer("on-deploy", "exit 0")
    command = a_host.command(str(a_host.installed_wrapper("uninstall")))
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(command[0], command, a_host.environment())  # noqa: S606
    os.write(terminal, answer.encode() + b"\n")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == code
    os.close(terminal)
    assert len(started(a_host)) == (code == 0)


def test_without_an_image_that_knows_how_nothing_is_changed(proxy: Host) -> None:
    proxy.no_answer("verbs")
    done = uninstall(proxy, "--yes", "--output", "json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["reason"], answer["verb"]) == (3, "image_unavailable", "uninstall")
    assert "docker rm -f flageemonitor flageemonitor-watchtower" in done.stderr
    assert started(proxy) == []
    proxy.answer("verbs", "c0ffee\n")  # the image of the container that runs: nothing is recorded as healthy
    assert uninstall(proxy, "--yes").returncode == 0


def test_it_works_without_an_environment_file(proxy: Host) -> None:
    (proxy.etc / "flageemonitor/flageemonitor.env").unlink()
    assert uninstall(proxy, "--yes").returncode == 0


def test_usage_root_and_engine_are_checked_first(proxy: Host) -> None:
    for words in (("--keep",), ("--lang",), ("--output", "xml"), ("flageemonitor",)):
        assert uninstall(proxy, *words).returncode == 2
    assert uninstall(proxy, "--yes", user="nobody").returncode == 2
    proxy.answer("down", "Cannot connect to the Docker daemon")
    assert uninstall(proxy, "--yes").returncode == 69
    assert started(proxy) == []
