"""The commands on a host when something fails around them: readers, full disks, the engine, a file that was cut off."""

import json
import os
import random
import re
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from tests.unit.shell.host import SHELLS, TOOLS, Host, until, wrapper
from tests.unit.shell.test_run_signals import RUN

WITH_OUTPUT = ("run", "update-config", "update-image", "uninstall")
NAMED = "registry.example/flageemonitor:stable"


@pytest.fixture
def proxy(host: Host) -> Host:
    host.container("flageemonitor", label="flageemonitor")
    host.environment_file(f"FLAGEEMONITOR_IMAGE={NAMED}\n")
    return host


def started(host: Host, name: str, *words: str, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        host.command(host.installed_wrapper(name), *words),
        env=host.environment(),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        process_group=0,
    )


def broken_pipe() -> int:
    """The writing end of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


# Readers and full disks


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_is_cancelled_although_the_reader_of_its_messages_has_ended(proxy: Host, number: signal.Signals) -> None:
    proxy.answer("on-exec", RUN)
    proxy.answer("registered", "")
    output = broken_pipe()  # as with `2>&1 | tee log`: the same Ctrl-C ends tee
    process = started(proxy, "run", "x", stdout=output, stderr=output)
    os.close(output)
    invocation = until(proxy.stand_in / "started").removeprefix("FLAGEEMONITOR_INVOCATION=")
    os.killpg(process.pid, number)
    assert until(proxy.stand_in / "cancelled") == invocation
    assert process.wait(timeout=60) == 130


def test_a_run_is_cancelled_although_its_messages_have_no_room(proxy: Host) -> None:
    proxy.answer("on-exec", RUN)
    proxy.answer("registered", "")
    with Path("/dev/full").open("wb") as full:
        process = started(proxy, "run", "x", stdout=subprocess.PIPE, stderr=full.fileno())
    until(proxy.stand_in / "started")
    os.killpg(process.pid, signal.SIGINT)
    assert until(proxy.stand_in / "cancelled")
    process.communicate(timeout=60)
    assert process.returncode == 130


def test_a_run_whose_reader_has_ended_names_the_place_of_its_result(proxy: Host) -> None:
    proxy.answer("on-exec", "kill -PIPE $$; sleep 60")  # as docker ends when it writes to such a pipe
    output = broken_pipe()
    process = started(proxy, "run", "x", stdout=output, stderr=subprocess.PIPE)
    os.close(output)
    said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 141
    assert re.search(r"flageemonitor-run runs [0-9a-f-]{36}", said)


def test_an_update_whose_output_cannot_be_written_keeps_its_exit_code(proxy: Host) -> None:
    proxy.answer(
        "on-deploy",
        "echo 'running|3|flageemonitor' >$STAND_IN/containers/flageemonitor-deploy; kill -PIPE $$; sleep 60",
    )
    proxy.answer("on-wait", 'rm "$STAND_IN/containers/flageemonitor-deploy"; echo 11')
    output = broken_pipe()
    process = started(proxy, "update-image", stdout=output, stderr=output)
    os.close(output)
    assert process.wait(timeout=60) == 11
    assert ["wait", "3"] in proxy.calls()
    assert not list(proxy.run_folder.glob("*.id"))


@pytest.mark.parametrize("name", TOOLS)
def test_closed_streams_are_replaced_by_nothing(proxy: Host, name: str) -> None:
    proxy.container("flageemonitor-watchtower", label="flageemonitor")
    proxy.answer("on-exec", "exit 7")
    proxy.answer("on-deploy", "echo said; exit 7")
    proxy.answer("verbs", f"{NAMED}\n")
    path = f"/usr/local/bin/{proxy.installed_wrapper(name).name}"
    caller = proxy.folder / "caller.sh"
    words = {"run": ["x"], "uninstall": ["--yes"]}.get(name, [])
    caller.write_text(f"exec {shlex.join(proxy.command('', path, *words)[6:])} <&- >&- 2>&-\n")
    assert proxy.run(caller).returncode == (0 if name.endswith("logs") else 7)


# The engine


@pytest.mark.parametrize("form", [("--output", "json"), ("--output=json",)])
@pytest.mark.parametrize("name", WITH_OUTPUT)
def test_failures_of_a_wrapper_are_one_json_object_where_json_was_asked_for(
    a_host: Host, name: str, form: tuple[str, ...]
) -> None:
    path = a_host.installed_wrapper(name)
    a_host.environment_file(f"FLAGEEMONITOR_IMAGE={NAMED}\n")
    portuguese = {"LC_ALL": "pt_BR.UTF-8"}

    def failed(code: int, reason: str) -> None:
        done = a_host.run(path, *form, with_=portuguese)
        answer = json.loads(done.stdout)
        assert (done.returncode, answer["exit_code"], answer["reason"], answer["schema"]) == (code, code, reason, 1)
        said = answer.get("error", answer)
        assert said["message"]
        assert said["message"] not in done.stderr, "JSON is English, messages are the operator's"
        advice = [line.strip() for line in done.stderr.splitlines() if line.startswith("  ")]
        assert bool(advice) == bool(said["advice"])
        assert [line for line in advice if line in said["advice"]] == []

    a_host.answer("down", "Cannot connect to the Docker daemon")
    failed(69, "no_engine")
    a_host.no_answer("down")
    if name in ("run", "update-config"):
        failed(69, "no_container")
        a_host.container("flageemonitor", "paused")
        failed(69, "not_running")
    with_name = a_host.run(path, *form, with_={"RUNTIME_NAME": 'a"b'})
    assert json.loads(with_name.stdout)["exit_code"] == 2
    (a_host.programs / "docker").unlink()
    failed(69, "no_engine")


def test_a_run_that_loses_its_engine_is_one_json_object(proxy: Host) -> None:
    proxy.answer("on-exec", "echo gone >$STAND_IN/down; exit 1")
    done = proxy.run(proxy.installed_wrapper("run"), "x", "--output", "ndjson")
    assert (done.returncode, json.loads(done.stdout)["reason"]) == (69, "container_gone")


def test_an_engine_that_is_away_is_not_a_missing_container(proxy: Host) -> None:
    proxy.answer("down", "Cannot connect to the Docker daemon")
    for name in TOOLS:
        done = proxy.run(proxy.installed_wrapper(name), *(["x"] if name == "run" else []))
        assert (done.returncode, "does not answer" in done.stderr) == (69, True)
        assert "no container" not in done.stderr
    # It goes away during a run, together with the container.
    proxy.no_answer("down")
    proxy.answer("on-exec", "echo gone >$STAND_IN/down; exit 137")
    done = proxy.run(proxy.installed_wrapper("run"), "x")
    assert (done.returncode, "engine went away" in done.stderr) == (69, True)


def test_a_deploy_that_was_killed_makes_no_claim_of_what_was_changed(proxy: Host) -> None:
    proxy.answer("on-deploy", "exit 137")
    done = proxy.run(proxy.installed_wrapper("update-image"), "--output", "json")
    assert (done.returncode, json.loads(done.stdout)["reason"]) == (137, "killed")
    assert "not known" in done.stderr
    assert "Nothing was changed" not in done.stderr


# The environment file and the language


def test_a_mark_at_the_start_of_the_environment_file_is_no_part_of_it(proxy: Host) -> None:
    proxy.environment_file("\ufeffDOCKER_HOST=unix:///run/other.sock\r\nFLAGEEMONITOR_IMAGE=registry.example/x:1\r\n")
    for name in WITH_OUTPUT:
        proxy.run(proxy.installed_wrapper(name), *(["x"] if name == "run" else []))
    assert set((proxy.stand_in / "docker-hosts").read_text().split()) == {"unix:///run/other.sock"}
    proxy.environment_file("\ufeffFLAGEEMONITOR_IMAGE=registry.example/x:1\n")
    proxy.forget()
    proxy.run(proxy.installed_wrapper("update-image"))
    assert "registry.example/x:1" in next(call for call in proxy.calls() if call[0] == "run")


@pytest.mark.parametrize("name", TOOLS)
def test_help_and_messages_are_in_the_language_of_the_caller(a_host: Host, name: str) -> None:
    path = a_host.installed_wrapper(name)
    a_host.answer("down", "Cannot connect to the Docker daemon")
    a_host.environment_file(f"FLAGEEMONITOR_IMAGE={NAMED}\n")
    for words, environ, portuguese in (
        ((), {"LANG": "pt_BR.UTF-8"}, True),
        ((), {"LANG": "en_US.UTF-8", "LC_MESSAGES": "PT_br"}, True),
        ((), {"LANG": "pt_BR.UTF-8", "LC_ALL": "C"}, False),
        ((), {"LANG": "ptolemaic"}, False),
        (("--lang", "pt-BR"), {}, True),
        (("--lang=en",), {"LANG": "pt_BR.UTF-8"}, False),
    ):
        said = a_host.run(path, *words, with_=environ)
        assert ("não responde" in said.stderr, "does not answer" in said.stderr) == (portuguese, not portuguese), (
            environ
        )
        shown = a_host.run(path, "--help", *words, with_=environ)
        assert (shown.returncode, shown.stderr) == (0, "")
        assert ("Uso: " in shown.stdout, "Usage: " in shown.stdout) == (portuguese, not portuguese)


@pytest.mark.parametrize("name", ["run", "update-config", "update-image"])
def test_the_program_in_the_container_gets_the_language_of_the_command_line(proxy: Host, name: str) -> None:
    proxy.run(proxy.installed_wrapper(name), "--lang", "pt-BR", with_={"LANG": "en_US.UTF-8"})
    (call,) = (call for call in proxy.calls() if call[0] in ("exec", "run"))
    assert "LANG=pt-BR" in call


# A file that was cut off


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", TOOLS)
def test_a_command_that_was_cut_off_runs_nothing(name: str, shell: str, tmp_path: Path) -> None:
    script = wrapper(name, "shop-1").encode()
    begin, end = script.index(b"\n{\n") + 1, script.rindex(b"}")
    chance = random.Random(f"{name} {shell}")
    cuts = (
        {chance.randrange(begin + 1, end) for _ in range(60)}
        | set(range(begin + 1, begin + 12))
        | set(range(end - 30, end + 1))
    )
    for line in re.finditer(rb"^[a-z_]+\(\)", script, re.MULTILINE):  # also inside a function's name
        cuts |= {line.start(), line.start() + 1, chance.randrange(*line.span()), line.end()}
    path = tmp_path / "cut"
    for cut in sorted(cuts):
        path.write_bytes(script[:cut])
        done = subprocess.run([*SHELLS[shell], str(path), "--help"], capture_output=True, check=False, timeout=30)
        assert (done.returncode != 0, done.stdout) == (True, b""), script[max(0, cut - 60) : cut]
        assert b"not found" not in done.stderr, script[max(0, cut - 60) : cut]
    for cut in range(0, begin, 7):  # comments alone
        path.write_bytes(script[:cut])
        done = subprocess.run([*SHELLS[shell], str(path)], capture_output=True, check=True, timeout=30)
        assert (done.stdout, done.stderr) == (b"", b"")
