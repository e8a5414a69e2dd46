"""The installer on a bad day: killed, without its engine, on a full disk, with a proxy that lays links."""

import os
import subprocess

import pytest

from tests.harness.need import need_program
from tests.unit.shell.host import AGENT_TOKEN, TOOLS, Host

ETC = "/etc/flageemonitor"
RUNTIME = {"flageemonitor", "flageemonitor-watchtower"}
# Containers as deploy starts them, when it does not come to its end.
STARTED = "".join(f'echo "running|1|$runtime" >"$STAND_IN/containers/{name}"; ' for name in sorted(RUNTIME))


def killed_at(host: Host, program: str, arguments: str, *options: str) -> None:
    """The installer, killed where it would call ``program`` with arguments like those."""
    pattern = arguments.replace(" ", "\\ ")
    host.before(program, f'case "$*" in ({pattern}) kill -9 $PPID; exit 1 ;; esac')
    assert host.install(*options).returncode == -9
    host.before(program, "")


def engine_fails(host: Host, when: str) -> None:
    """Docker cannot reach its engine while the shell's condition ``when`` holds."""
    path = host.programs / "docker"
    fails = f'if {when}; then echo "Cannot connect to the Docker daemon" >&2; exit 1; fi'
    path.write_text(path.read_text().replace("main() {", f"main() {{\n    {fails}", 1))


# ---- Killed

PLACES = {
    "before anything": ("mkdir", f"*{ETC}/.install"),
    "before the folders": ("mkdir", f"*{ETC}/config"),
    "before the data": ("mkdir", "*/var/lib/flageemonitor"),
    "with the folders": ("mv", f"*/token {ETC}/config/*"),
    "before the environment file": ("mv", f"*{ETC}/flageemonitor.env"),
    "with the environment file": ("rm", f"*{ETC}/.flageemonitor"),
    "among the commands": ("mv", "*/flageemonitor-logs"),
    "at its end": ("sync", "*"),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_killed_first_installation_is_completed(a_host: Host, place: str) -> None:
    before = a_host.tree()
    killed_at(a_host, *PLACES[place])
    done = a_host.install()
    assert done.returncode == 0, done.stderr
    assert not (a_host.etc / "flageemonitor/.flageemonitor").exists()
    assert a_host.containers() == RUNTIME
    assert a_host.install("--uninstall", "--delete-data").returncode == 0
    assert a_host.tree() == before


@pytest.mark.parametrize("place", PLACES)
def test_a_killed_first_installation_can_be_removed(a_host: Host, place: str) -> None:
    before = a_host.tree()
    killed_at(a_host, *PLACES[place])
    done = a_host.install("--uninstall", "--delete-data")
    assert done.returncode == 0, done.stderr
    after = a_host.tree()
    if place == "before anything":
        after.pop("etc/flageemonitor")  # an empty folder may be anybody's
    assert after == before
    assert a_host.containers() == set()


@pytest.mark.parametrize(
    "program", [("rm", f"*{ETC}/config"), ("rm", f"*{ETC}/flageemonitor.env"), ("rm", f"*-rf {ETC}")]
)
def test_an_installation_that_was_killed_during_its_undo_can_be_installed(
    a_host: Host, program: tuple[str, str]
) -> None:
    a_host.answer("refresh-code", "3")
    killed_at(a_host, *program)
    a_host.no_answer("refresh-code")
    done = a_host.install()
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "place",
    ["*/flageemonitor-run", "*/var/lib/flageemonitor", f"*{ETC}/config", f"*{ETC}/flageemonitor.env", f"*-rf {ETC}"],
)
def test_a_killed_removal_is_completed(a_host: Host, place: str) -> None:
    before = a_host.tree()
    a_host.already_installed()
    killed_at(a_host, "rm", place, "--uninstall", "--delete-data")
    done = a_host.install("--uninstall", "--delete-data")
    assert done.returncode == 0, done.stderr
    assert a_host.tree() == before


def test_a_failure_after_a_kill_leaves_nothing_of_both(host: Host) -> None:
    before = host.tree()
    killed_at(host, "mv", f"*{ETC}/flageemonitor.env")
    host.answer("enrol", '{"token": "fm1.other.token"}\n201')
    host.answer("refresh-code", "3")
    assert host.install().returncode == 1
    assert host.tree() == before


def test_files_that_a_killed_installer_left_are_removed(a_host: Host) -> None:
    a_host.already_installed()
    for name, folder in {"flageemonitor-logs": a_host.bin, "flageemonitor-repair": a_host.etc / "cron.d"}.items():
        killed_at(a_host, "mv", f"*/{name}")
        assert (folder / f".{name}.new").exists()
        assert a_host.install().returncode == 0
        assert not [*folder.glob(".*"), *(a_host.etc / "flageemonitor").glob(".*")]
    killed_at(a_host, "mv", "*/flageemonitor-logs")
    assert a_host.install("--uninstall", "--delete-data").returncode == 0
    assert list(a_host.bin.iterdir()) == []


# ---- Without its engine


def test_an_engine_that_is_away_for_one_question_costs_nothing_that_runs(host: Host) -> None:
    host.already_installed()
    host.answer("asked", "")
    engine_fails(
        host,
        f'[ -d {ETC}/.install ] && [ "$1 $2" = "container inspect" ] && [ "$(cat "$STAND_IN/asked")" != xx ]'
        ' && printf x >>"$STAND_IN/asked"',
    )
    host.answer("on-deploy", "exit 10")
    assert host.install().returncode == 1
    assert host.containers() == RUNTIME


def test_a_swap_that_was_interrupted_is_left_to_deploy(host: Host) -> None:
    host.already_installed()
    folder = host.stand_in / "containers"
    (folder / "flageemonitor").rename(folder / "flageemonitor-previous")
    host.answer("on-deploy", "mv $STAND_IN/containers/$runtime-previous $STAND_IN/containers/$runtime; exit 10")
    done = host.install()
    assert (done.returncode, "goes on" in done.stderr) == (1, True)
    assert host.containers() == RUNTIME


def test_a_first_installation_whose_engine_goes_away_does_not_forget_its_containers(host: Host) -> None:
    before = host.tree()
    host.answer("on-deploy", f'{STARTED}echo "Cannot connect" >"$STAND_IN/down"; exit 125')
    done = host.install()
    assert (done.returncode, "Nothing is installed" in done.stderr) == (1, False)
    assert "containers of flageemonitor may be there" in done.stderr
    assert (host.etc / "flageemonitor/config/token").read_text() == AGENT_TOKEN + "\n"
    assert (host.lib / "flageemonitor").is_dir()
    assert host.containers() == RUNTIME
    host.no_answer("down")
    host.no_answer("on-deploy")
    assert host.install().returncode == 0
    assert host.install("--uninstall", "--delete-data").returncode == 0
    assert host.tree() == before
    assert host.containers() == set()


@pytest.mark.parametrize("when", [f"[ -d {ETC}/.install ]", '[ -f "$STAND_IN/stopped" ]'])
def test_a_removal_whose_engine_goes_away_does_not_say_that_it_is_done(host: Host, when: str) -> None:
    host.already_installed()
    program = (host.programs / "docker").read_text()
    engine_fails(host, when)
    host.answer("on-stop", 'echo yes >"$STAND_IN/stopped"')
    done = host.install("--uninstall", "--delete-data")
    assert done.returncode == 1
    assert "Removed" not in done.stdout
    assert "Not all containers" in done.stderr
    assert (host.etc / "flageemonitor/flageemonitor.env").exists()
    assert (host.lib / "flageemonitor").is_dir()
    assert {path.name for path in host.bin.iterdir()} == {f"flageemonitor-{name}" for name in TOOLS}
    (host.programs / "docker").write_text(program)
    assert host.install("--uninstall", "--delete-data").returncode == 0
    assert host.containers() == set()


def test_a_failed_first_installation_names_the_agent_that_stays_registered(host: Host) -> None:
    host.answer("on-deploy", "exit 10")
    assert "whose token nobody holds now" in host.install().stderr
    host.answer("pull-fails", "no")
    assert "whose token nobody holds now" not in host.install().stderr


# ---- A full disk


def test_a_full_disk_during_the_undo_prevents_nothing(host: Host) -> None:
    host.already_installed()
    for name in TOOLS:
        (host.bin / f"flageemonitor-{name}").write_text("#!/bin/sh\n# FlageeMonitor Proxy, older\n")
    before = host.tree()
    # A copy makes its file and then finds no room for what is in it.
    full = 'if [ -f "$STAND_IN/full" ]; then for to; do :; done; : >"$to"; echo "cp: No space left on device" >&2; exit 1; fi'
    host.before("cp", full)
    host.answer("on-deploy", 'echo yes >"$STAND_IN/full"; exit 10')
    done = host.install("--image", "registry.example/other:1")
    assert (done.returncode, "goes on" in done.stderr) == (1, True)
    assert host.tree() == before


WRITTEN = {
    "the environment file": ("cp", f"*{ETC}/.flageemonitor.env.new"),
    "a backup": ("cp", "*/.flageemonitor-logs.old"),
    "a command": ("cp", "*/.flageemonitor-update-config.new"),
    "the last command": ("cp", "*/.flageemonitor-watchtower-logs.new"),
}


@pytest.mark.parametrize("what", WRITTEN)
def test_a_file_that_cannot_be_written_whole_is_not_written(a_host: Host, what: str) -> None:
    program, arguments = WRITTEN[what]
    a_host.already_installed()
    for name in TOOLS:
        (a_host.bin / f"flageemonitor-{name}").write_text("#!/bin/sh\n# FlageeMonitor Proxy, older\n")
    before = a_host.tree()
    a_host.before(program, f'case "$*" in ({arguments}) for to; do :; done; : >"$to"; exit 1 ;; esac')
    done = a_host.install("--image", "registry.example/other:1")
    assert (done.returncode, "cannot be written" in done.stderr) == (1, True)
    assert a_host.tree() == before
    assert a_host.containers() == RUNTIME


def test_a_timer_that_cannot_be_written_whole_stays_as_it_was(host: Host) -> None:
    host.already_installed()
    timer = host.etc / "cron.d/flageemonitor-repair"
    timer.write_text("older\n")
    host.before(
        "cp", 'case "$*" in (*/.flageemonitor-repair.new) : >/etc/cron.d/.flageemonitor-repair.new; exit 1 ;; esac'
    )
    done = host.install()
    assert (done.returncode, "cannot be written" in done.stderr) == (1, True)
    assert timer.read_text() == "older\n"
    assert sorted(path.name for path in timer.parent.iterdir()) == ["flageemonitor-repair"]


@pytest.mark.parametrize("size", ["8k", "12k", "16k", "20k", "24k", "32k", "40k", "60k", "90k"])
def test_a_small_disk_gets_a_whole_installation_or_none(a_host: Host, size: str) -> None:
    """With a file system of that size for settings and state alike, at first and over what is there."""
    command = a_host.command(a_host.installer)
    mount, script = need_program("mount", "mount"), command[4]
    look = 'code=$?; [ ! -e /etc/flageemonitor ] || cat /etc/flageemonitor/config/token; ls -A /etc /usr/local/bin; exit "$code"'
    # In a mount namespace of its own: nothing to take away afterwards.
    command[4] = (
        script.replace(" exec ", f" {mount} -t tmpfs -o size={size} none /etc && mkdir /etc/cron.d && ") + f"; {look}"
    )
    a_host.before("df", "echo; echo / 0 0 9999999 0% /; exit 0")
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=a_host.environment())
    if done.returncode == 0:
        assert AGENT_TOKEN in done.stdout
    else:
        assert done.returncode == 1
        assert done.stdout.split("/etc:\n")[1].split() == ["cron.d", "/usr/local/bin:"]


# ---- What the proxy may have laid into its own folder


def test_a_link_that_is_laid_at_the_last_moment_is_not_followed(host: Host) -> None:
    host.already_installed()
    config = host.etc / "flageemonitor/config"
    authority = host.folder / "ca.pem"
    authority.write_text("-----BEGIN CERTIFICATE-----\n")
    host.answer("config-code", "401")
    (host.programs / "real-ln").symlink_to((host.programs / "ln").resolve())
    link = f'"{(host.programs / "real-ln").resolve()}"' + (" ln" if host.shell == "busybox" else "")
    host.before(
        "mv",
        'for name in ca.pem token; do case "$*" in '
        f"(*{ETC}/config*) /bin/rm -f {ETC}/config/$name; {link} -s /etc/cron.d {ETC}/config/$name ;; esac; done",
    )
    before = sorted(path.name for path in (host.etc / "cron.d").iterdir())
    assert host.install("--ca", str(authority)).returncode == 0
    assert sorted(path.name for path in (host.etc / "cron.d").iterdir()) == before
    # Written last, and so not laid anew: in the place of the link.
    assert (config / "ca.pem").read_text() == authority.read_text()
    assert not (config / "ca.pem").is_symlink()


@pytest.mark.parametrize("name", ["token", "ca.pem"])
def test_a_folder_in_place_of_a_file_is_reported_and_stays(a_host: Host, name: str) -> None:
    a_host.already_installed()
    authority = a_host.folder / "ca.pem"
    authority.write_text("-----BEGIN CERTIFICATE-----\n")
    path = a_host.etc / "flageemonitor/config" / name
    path.unlink(missing_ok=True)
    (path / "in it").mkdir(parents=True)
    done = a_host.install("--ca", str(authority))
    assert (done.returncode, f"{ETC}/config/{name} cannot be written" in done.stderr) == (1, True)
    assert (path / "in it").is_dir()
    assert a_host.containers() == RUNTIME


def test_neither_a_pipe_nor_a_link_is_read_as_the_token(a_host: Host) -> None:
    a_host.already_installed()
    token = a_host.etc / "flageemonitor/config/token"
    token.unlink()
    os.mkfifo(token)
    assert a_host.install().returncode == 0
    assert token.read_text() == AGENT_TOKEN + "\n"


def test_an_authority_is_put_back_when_the_installation_fails(host: Host) -> None:
    authority = host.folder / "ca.pem"
    authority.write_text("-----BEGIN CERTIFICATE-----\n")
    assert host.install("--ca", str(authority)).returncode == 0
    before = host.tree()
    authority.write_text("-----BEGIN CERTIFICATE-----\nother\n")
    host.answer("on-deploy", "exit 10")
    assert host.install("--ca", str(authority)).returncode == 1
    assert host.tree() == before
