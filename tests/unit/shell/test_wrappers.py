"""The commands on a host: arguments, exit codes, pipes and terminals as they are, and a word of advice where they cannot work."""

import os
import pty
import re

import pytest

from tests.unit.shell.host import TOOLS, Host

RUN = "/flageemonitor/run_action.sh"
ODD = [
    "",
    "a b",
    "it's",
    '"',
    "*",
    "$HOME",
    "$(id)",
    "`id`",
    "\\",
    "two\nlines",
    "--",
    "-x",
    "São José",
    ";",
    "#",
    "a\tb",
]
IN_CONTAINER = ("run", "logs", "update-config", "watchtower-logs")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@pytest.fixture
def proxy(host: Host) -> Host:
    """A host with a running proxy."""
    host.container("flageemonitor", label="flageemonitor")
    host.container("flageemonitor-watchtower", label="flageemonitor")
    host.environment_file("# made by the installer\nFLAGEEMONITOR_IMAGE=registry.example/flageemonitor:stable\n")
    return host


def executed(host: Host) -> list[str]:
    (call,) = (call for call in host.calls() if call[0] == "exec")
    return call


def test_arguments_arrive_as_they_were_given(proxy: Host) -> None:
    done = proxy.run(proxy.installed_wrapper("run"), "diagnose_env", *ODD)
    assert done.returncode == 0
    command, option, invocation, again, actor, container, *rest = executed(proxy)
    assert (command, option, again, container) == ("exec", "-e", "-e", "flageemonitor")
    assert actor.startswith("FLAGEEMONITOR_ACTOR=")
    assert UUID.fullmatch(invocation.removeprefix("FLAGEEMONITOR_INVOCATION="))
    assert rest == [RUN, "diagnose_env", *ODD]


def test_the_container_gets_the_user_who_called_sudo(proxy: Host) -> None:
    proxy.run(proxy.installed_wrapper("run"), "runs", with_={"SUDO_USER": "ana maria"})
    assert "FLAGEEMONITOR_ACTOR=ana maria" in executed(proxy)


@pytest.mark.parametrize(
    ("environ", "language"),
    [
        ({"LANG": "pt_BR.UTF-8"}, "pt_BR.UTF-8"),
        ({"LANG": "pt_BR.UTF-8", "LC_MESSAGES": "en_US"}, "en_US"),
        ({"LANG": "pt_BR.UTF-8", "LC_MESSAGES": "en_US", "LC_ALL": "C"}, "C"),
    ],
)
def test_the_container_gets_the_language_of_the_caller(proxy: Host, environ: dict[str, str], language: str) -> None:
    for name, words in (("run", ("doctor",)), ("run", ("--help",)), ("update-config", ())):
        proxy.forget()
        proxy.run(proxy.installed_wrapper(name), *words, with_=environ)
        call = executed(proxy)
        assert call[call.index("flageemonitor") - 2 : call.index("flageemonitor")] == ["-e", f"LANG={language}"]


def test_every_run_has_an_id_of_its_own(proxy: Host) -> None:
    path = proxy.installed_wrapper("run")
    for _ in range(2):
        proxy.run(path, "runs")
    assert len({call[2] for call in proxy.calls() if call[0] == "exec"}) == 2


def test_exit_codes_are_the_runs_own(proxy: Host) -> None:
    for name in ("run", "update-config"):
        path = proxy.installed_wrapper(name)
        for code in (0, 1, 2, 3, 4, 5, 6, 75, 127, 130, 137):
            proxy.answer("on-exec", f"exit {code}")
            assert proxy.run(path, "x").returncode == code


def test_output_and_messages_stay_apart_and_stdin_stays_the_callers(proxy: Host) -> None:
    proxy.answer("on-exec", 'echo "{}"; echo progress >&2; cat')
    loop = proxy.folder / "loop.sh"
    path = proxy.installed_wrapper("run")
    loop.write_text(f'while read -r line; do echo "$line"; {" ".join(proxy.command("", str(path))[6:])} x; done\n')
    done = proxy.run(loop, stdin=b"one\ntwo\n")
    assert (done.stdout, done.stderr) == ("one\n{}\ntwo\n{}\n", "progress\nprogress\n")


def test_a_secret_on_stdin_reaches_the_run_and_no_command_line(proxy: Host) -> None:
    proxy.answer("on-exec", "read -r secret; echo got $secret")
    path = proxy.installed_wrapper("run")
    done = proxy.run(path, "sign", "--param", "signing_key=@-", stdin=b"hunter2\n")
    assert (done.returncode, done.stdout) == (0, "got hunter2\n")
    assert executed(proxy)[:2] == ["exec", "-i"]
    assert not any("hunter2" in word for call in proxy.calls() for word in call)


def test_a_run_without_stdin_works(proxy: Host) -> None:
    proxy.installed_wrapper("run")
    caller = proxy.folder / "caller.sh"
    caller.write_text(f"exec {' '.join(proxy.command('', '/usr/local/bin/flageemonitor-run')[6:])} x <&-\n")
    done = proxy.run(caller)
    assert (done.returncode, done.stderr) == (0, "")
    assert executed(proxy)


def in_a_terminal(host: Host, *command: str) -> tuple[int, bytes]:
    """Exit code, and what the terminal showed."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(command[0], command, host.environment(TERM="xterm-256color"))  # noqa: S606
    shown = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_on_a_terminal_the_run_gets_the_terminal(proxy: Host) -> None:
    proxy.answer("on-exec", "test -t 0 && test -t 1 && echo here; exit 5")
    path = str(proxy.installed_wrapper("run"))
    assert in_a_terminal(proxy, *proxy.command(path, "doctor")) == (5, b"here\r\n")
    assert executed(proxy)[:3] == ["exec", "-it", "-e"]
    assert executed(proxy)[3] == "TERM=xterm-256color"
    proxy.forget()
    # Its output in a pipe, as with `| jq`.
    _code, shown = in_a_terminal(proxy, "sh", "-c", '"$@" | cat', "sh", *proxy.command(path, "doctor"))
    assert b"here" not in shown
    assert executed(proxy)[1] == "-e"


def test_a_container_that_stops_during_a_run_is_no_exit_code_of_the_run(proxy: Host) -> None:
    path = proxy.installed_wrapper("run")
    for after in ("exited|c0ffee", "running|another"):
        proxy.container("flageemonitor")
        proxy.answer("on-exec", f"echo '{after}|' >$STAND_IN/containers/flageemonitor; exit 137")
        done = proxy.run(path, "x")
        assert done.returncode == 69
        assert "was stopped during the run" in done.stderr
        assert re.search(rf"flageemonitor-run runs {UUID.pattern}", done.stderr)
    proxy.container("flageemonitor")
    proxy.answer("on-exec", "echo gone >$STAND_IN/down; exit 1")
    done = proxy.run(path, "x")
    assert (done.returncode, "engine went away" in done.stderr) == (69, True)


def test_a_finished_run_keeps_its_exit_code_although_the_container_is_replaced_then(proxy: Host) -> None:
    for code in (1, 130):
        proxy.container("flageemonitor")
        proxy.answer("on-exec", f"echo 'running|another|' >$STAND_IN/containers/flageemonitor; exit {code}")
        assert proxy.run(proxy.installed_wrapper("run"), "x").returncode == code


@pytest.mark.parametrize("name", IN_CONTAINER)
def test_without_docker_engine_or_container_69_says_what_to_do(host: Host, name: str) -> None:
    path = host.installed_wrapper(name)
    done = host.run(path, "x")
    assert done.returncode == 69
    assert "no other runtime on this host" in done.stderr
    host.answer("runtimes", "shop-1\nshop-2")
    done = host.run(path, "x")
    assert done.returncode == 69
    assert "Runtimes on this host: shop-1 shop-2\n" in done.stderr
    assert "shop-1-run ..." in done.stderr
    host.container("flageemonitor-deploy")
    assert "an update of flageemonitor is in progress" in host.run(path, "x").stderr
    host.answer("down", "permission denied while trying to connect to the docker API at unix:///var/run/docker.sock")
    done = host.run(path, "x")
    assert (done.returncode, "Use sudo" in done.stderr) == (69, True)
    host.answer("down", "Cannot connect to the Docker daemon. Is the docker daemon running?")
    done = host.run(path, "x")
    assert (done.returncode, "systemctl start docker" in done.stderr) == (69, True)
    (host.programs / "docker").unlink()
    done = host.run(path, "x")
    assert (done.returncode, "docker is not installed" in done.stderr) == (69, True)


def test_a_container_that_does_not_run_69_says_its_state(proxy: Host) -> None:
    for name in ("run", "update-config"):
        path = proxy.installed_wrapper(name)
        for state in ("exited", "restarting", "created", "dead"):
            proxy.container("flageemonitor", state)
            done = proxy.run(path, "x")
            assert done.returncode == 69
            assert f"it is {state}" in done.stderr
            assert "flageemonitor-logs" in done.stderr
            assert "flageemonitor-update-image --repair" in done.stderr
        proxy.container("flageemonitor", "paused")
        assert "docker unpause flageemonitor" in proxy.run(path, "x").stderr
    assert not [call for call in proxy.calls() if call[0] == "exec"]


def test_the_beginning_of_another_containers_id_is_not_the_container(host: Host) -> None:
    text = (host.programs / "docker").read_text()
    (host.programs / "docker").write_text(text.replace('echo "/$1 $status', 'echo "/other $status'))
    host.container("cafe")
    assert host.run(host.installed_wrapper("run", "cafe"), "x").returncode == 69


def test_the_environment_file_is_read_by_key_and_never_run(proxy: Host) -> None:
    proxy.environment_file(
        "# DOCKER_HOST=unix:///commented\r\nFLAGEEMONITOR_REDE=$(touch /etc/pwned)`touch /etc/pwned`\r\n"
        "touch /etc/pwned\r\nDOCKER_HOST= unix:///run/other.sock \r\nNOT_DOCKER_HOST=tcp://elsewhere"
    )
    for name in IN_CONTAINER:
        assert proxy.run(proxy.installed_wrapper(name), "x").returncode == 0
    hosts = set((proxy.stand_in / "docker-hosts").read_text().split())
    assert hosts == {"unix:///run/other.sock"}
    proxy.run(proxy.installed_wrapper("run"), "x", with_={"DOCKER_HOST": "unix:///run/mine.sock"})
    assert "unix:///run/mine.sock" in (proxy.stand_in / "docker-hosts").read_text()
    assert not (proxy.etc / "pwned").exists()


def test_a_user_who_may_not_read_the_environment_file_continues_without_it(proxy: Host) -> None:
    path = proxy.installed_wrapper("run")
    for record in ("docker", "docker-hosts"):
        (proxy.stand_in / record).touch()
        (proxy.stand_in / record).chmod(0o666)
    proxy.environment_file("DOCKER_HOST=unix:///run/other.sock\n")
    assert proxy.run(path, "x", user="nobody").returncode == 0
    assert set((proxy.stand_in / "docker-hosts").read_text().split()) == {"default"}


def test_runtime_name_names_another_runtime_and_nothing_else(proxy: Host) -> None:
    path = proxy.installed_wrapper("run")
    proxy.container("shop-2")
    assert proxy.run(path, "x", with_={"RUNTIME_NAME": "shop-2"}).returncode == 0
    assert executed(proxy)[5] == "shop-2"
    proxy.forget()
    for name in ("../shop", "a b", "-x", "a;b", "A", ".."):
        assert proxy.run(path, "x", with_={"RUNTIME_NAME": name}).returncode == 2
    assert proxy.calls() == []


@pytest.mark.parametrize("name", TOOLS)
def test_help_works_without_docker(host: Host, name: str) -> None:
    (host.programs / "docker").unlink()
    done = host.run(host.installed_wrapper(name, "shop-1"), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.match(rf"Usage: (sudo )?shop-1-{name} ", done.stdout)
    assert len(done.stdout.splitlines()) > 4


def test_help_of_run_includes_the_programs_own(proxy: Host) -> None:
    done = proxy.run(proxy.installed_wrapper("run"), "--help")
    assert done.stdout.endswith(f"in the container: flageemonitor {RUN} --help\n")


def test_logs_shows_the_end_by_default(proxy: Host) -> None:
    path = proxy.installed_wrapper("logs")
    for given, passed in (
        ((), ("--tail=200",)),
        (("-f",), ("--tail=200", "-f")),
        (("--tail", "5"), ("--tail=200", "--tail", "5")),
        (("--since", "1h", "-t"), ("--tail=all", "--since", "1h", "-t")),
        (("--until=3h",), ("--tail=all", "--until=3h")),
    ):
        proxy.forget()
        assert proxy.run(path, *given).returncode == 0
        assert proxy.calls()[-1] == ["logs", *passed, "flageemonitor"]
    proxy.forget()
    proxy.run(proxy.installed_wrapper("watchtower-logs"), "-f")
    assert proxy.calls()[-1] == ["logs", "--tail=200", "-f", "flageemonitor-watchtower"]


def test_the_log_of_a_stopped_container_is_shown_with_its_state(proxy: Host) -> None:
    proxy.container("flageemonitor", "exited")
    done = proxy.run(proxy.installed_wrapper("logs"))
    assert done.returncode == 0
    assert done.stdout == "log of --tail=200 flageemonitor\n"
    assert "The container flageemonitor is exited" in done.stderr


def test_update_config_runs_inside_the_container(proxy: Host) -> None:
    proxy.run(proxy.installed_wrapper("update-config"), "--output", "json")
    assert executed(proxy) == ["exec", "flageemonitor", "/flageemonitor/update_config.sh", "--output", "json"]
