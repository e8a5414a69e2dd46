"""Removing: nothing stays behind, nothing of others goes, and data only goes when somebody said so."""

import os
import pty

import pytest

from tests.unit.shell.host import TOOLS, Host, settings_of


@pytest.fixture
def installed(host: Host) -> Host:
    host.with_systemd()
    host.already_installed()
    (host.lib / "flageemonitor/state.db").write_text("x")
    host.forget()
    return host


def test_uninstalling_removes_everything(host: Host) -> None:
    host.with_systemd()
    before = host.tree()
    host.already_installed()
    for part in ("candidate", "previous"):
        host.container(f"flageemonitor-{part}", "exited", "flageemonitor")
    host.container("flageemonitor-deploy", "exited")
    host.forget()
    done = host.install("--uninstall", "--delete-data")
    assert done.returncode == 0, done.stderr
    assert host.tree() == before
    assert host.containers() == set()
    calls = host.calls()
    assert ["stop", "-t", "150", "flageemonitor"] in calls
    # Watchtower before what it looks after.
    assert calls.index(["rm", "-f", "-v", "flageemonitor-watchtower"]) < calls.index(
        ["stop", "-t", "150", "flageemonitor"]
    )
    assert ["volume", "rm", "flageemonitor-candidate"] in calls
    assert ["disable", "--quiet", "--now", "flageemonitor-repair.timer"] in host.calls("systemctl")
    assert "flagee-server token revoke" in done.stdout or "token revoke" in done.stdout
    again = host.install("--uninstall", "--delete-data")
    assert (again.returncode, "Nothing to remove" in again.stdout) == (0, True)


def test_without_a_terminal_data_is_kept_and_a_new_installation_is_the_same_agent(installed: Host) -> None:
    agent = settings_of(installed.etc / "flageemonitor/flageemonitor.env")["FLAGEEMONITOR_AGENT_ID"]
    done = installed.install("--uninstall")
    assert (done.returncode, "the data is kept" in done.stdout) == (0, True)
    assert (installed.lib / "flageemonitor/state.db").exists()
    assert [path.name for path in (installed.etc / "flageemonitor").iterdir()] == ["flageemonitor.env"]
    assert list(installed.bin.iterdir()) == []
    assert installed.containers() == set()
    assert installed.install().returncode == 0
    assert settings_of(installed.etc / "flageemonitor/flageemonitor.env")["FLAGEEMONITOR_AGENT_ID"] == agent
    assert (installed.lib / "flageemonitor/state.db").exists()


def test_a_new_installation_over_kept_data_that_fails_leaves_them_and_what_runs(installed: Host) -> None:
    assert installed.install("--uninstall", "--keep-data").returncode == 0
    installed.answer("on-deploy", "echo 'running|1|flageemonitor' >$STAND_IN/containers/flageemonitor; exit 12")
    before = (installed.etc / "flageemonitor/flageemonitor.env").read_text()
    done = installed.install()
    assert (done.returncode, "what of it runs was left alone" in done.stderr) == (1, True)
    assert installed.containers() == {"flageemonitor"}
    assert (installed.etc / "flageemonitor/flageemonitor.env").read_text() == before
    assert (installed.lib / "flageemonitor/state.db").exists()
    assert list(installed.bin.iterdir()) == []
    assert installed.install("--uninstall", "--delete-data").returncode == 0
    assert installed.containers() == set()


@pytest.mark.parametrize("option", ["--yes", "--delete-data"])
def test_options_answer_the_question_about_data(installed: Host, option: str) -> None:
    assert installed.install("--uninstall", option).returncode == 0
    assert not (installed.lib / "flageemonitor").exists()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize(("reply", "gone"), [("y", True), ("sim", True), ("n", False), ("", False)])
def test_on_a_terminal_the_uninstaller_asks(installed: Host, reply: str, gone: bool) -> None:
    pid, terminal = pty.fork()
    command = installed.command(installed.installer, "--uninstall")
    if pid == 0:
        os.execvpe(command[0], command, installed.environment())  # noqa: S606
    shown = b""
    while b"[y/N]" not in shown:
        shown += os.read(terminal, 65536)
    os.write(terminal, reply.encode() + b"\n")
    try:
        while os.read(terminal, 65536):
            pass
    except OSError:
        pass
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert (installed.lib / "flageemonitor").exists() is not gone


def test_foreign_containers_and_commands_are_not_removed(installed: Host) -> None:
    installed.container("other")
    (installed.bin / "flageemonitor-logs").write_text("#!/bin/sh\necho mine\n")
    done = installed.install("--uninstall", "--delete-data")
    assert done.returncode == 0
    assert installed.containers() == {"other"}
    assert [path.name for path in installed.bin.iterdir()] == ["flageemonitor-logs"]
    assert "not removed, because it is not ours: /usr/local/bin/flageemonitor-logs" in done.stderr


@pytest.mark.parametrize("part", ["", "-watchtower", "-candidate", "-previous"])
@pytest.mark.parametrize("label", ["", "somebody-else"])
@pytest.mark.parametrize("options", [("--delete-data",), ("--keep-data",), ("--dry-run",)], ids=" ".join)
def test_a_container_of_that_name_that_is_not_ours_stops_it_before_anything(
    a_host: Host, part: str, label: str, options: tuple[str, ...]
) -> None:
    a_host.already_installed()
    a_host.container(f"flageemonitor{part}", label=label)
    before, containers = a_host.tree(), a_host.containers()
    a_host.forget()
    done = a_host.install("--uninstall", *options)
    assert (done.returncode, "Nothing was changed" in done.stderr, "Removed" in done.stdout) == (1, True, False)
    assert f"docker rm -f flageemonitor{part}." in done.stderr
    assert (a_host.tree(), a_host.containers()) == (before, containers)
    assert not [call for call in a_host.calls() if call[0] in ("stop", "rm")]


@pytest.mark.parametrize("name", ["flageemonitor", "ariusmonitor"])
def test_a_proxy_of_the_first_generation_is_not_removed_and_not_reported_as_removed(host: Host, name: str) -> None:
    host.environment_file("FLAGEEMONITOR_IMAGE=registry.example/old:latest\n", name)
    (host.lib / name / "logs").mkdir(parents=True)
    for tool in TOOLS:
        (host.bin / f"{name}-{tool}").write_text("#!/usr/bin/env bash\nset -euo pipefail\n")
    host.container(name)
    host.container(f"{name}-watchtower")
    before = host.tree()
    done = host.install("--uninstall", "--yes", "--runtime-name", name)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"docker rm -f {name} {name}-watchtower." in done.stderr
    assert host.tree() == before
    assert host.containers() == {name, f"{name}-watchtower"}


def test_an_update_at_work_or_a_silent_engine_stops_it_before_anything(installed: Host) -> None:
    installed.container("flageemonitor-deploy")
    before = installed.tree()
    assert installed.install("--uninstall", "--yes").returncode == 6
    installed.answer("down", "Cannot connect to the Docker daemon")
    done = installed.install("--uninstall", "--yes")
    assert (done.returncode, "Nothing was changed" in done.stderr) == (1, True)
    assert installed.tree() == before


def test_uninstalling_needs_neither_the_control_plane_nor_a_valid_script(installed: Host) -> None:
    installed.answer("health-fails", "7 no")
    assert installed.install("--uninstall", "--delete-data").returncode == 0
    assert installed.calls("curl") == []
