"""`flageemonitor-run` without a terminal: a signal cancels the run inside, and its result is delivered all the same."""

import os
import pty
import signal
import subprocess
import time

import pytest

from tests.unit.shell.host import Host, until

# A run that ends when it is cancelled by its id, which is known from the moment that `registered` is there.
RUN = """
case $* in
    (*'run_action.sh cancel'*)
        for id; do :; done
        echo "$id" >>$STAND_IN/asked
        [ -f $STAND_IN/registered ] || exit 2
        echo "$id" >$STAND_IN/cancelled
        exit 0 ;;
esac
echo "$2" >$STAND_IN/started
while [ ! -f $STAND_IN/cancelled ]; do sleep 0.05; done
echo '{"state": "cancelled"}'
exit 130
"""


@pytest.fixture
def proxy(host: Host) -> Host:
    host.container("flageemonitor", label="flageemonitor")
    host.answer("on-exec", RUN)
    host.answer("registered", "")
    return host


def started(host: Host) -> subprocess.Popen[str]:
    """The wrapper at work, in a process group of its own as a shell makes one."""
    command = host.command(host.installed_wrapper("run"), "x", "--output", "json")
    process = subprocess.Popen(
        command, env=host.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        process_group=0,
    )  # fmt: skip
    until(host.stand_in / "started")
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("whole_group", [True, False], ids=["from the terminal", "by kill"])
def test_the_run_is_cancelled_inside_and_its_result_delivered(
    proxy: Host, number: signal.Signals, whole_group: bool
) -> None:
    process = started(proxy)
    (os.killpg if whole_group else os.kill)(process.pid, number)
    out, said = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, '{"state": "cancelled"}\n')
    assert "Cancelling" in said
    invocation = until(proxy.stand_in / "started").removeprefix("FLAGEEMONITOR_INVOCATION=")
    assert until(proxy.stand_in / "cancelled") == invocation


def test_a_run_that_has_not_registered_yet_is_asked_again(proxy: Host) -> None:
    (proxy.stand_in / "registered").unlink()
    process = started(proxy)
    os.killpg(process.pid, signal.SIGINT)
    until(proxy.stand_in / "asked")
    assert process.poll() is None
    proxy.answer("registered", "")
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, '{"state": "cancelled"}\n')


# Each time it may come at another step of the trap that the first one started.
@pytest.mark.parametrize("pause", [0, 0.0005, 0.001, 0.002, 0.003, 0.004, 0.006, 0.008, 0.01])
def test_a_signal_that_comes_twice_at_once_counts_once(proxy: Host, pause: float) -> None:
    process = started(proxy)
    os.kill(process.pid, signal.SIGTERM)
    time.sleep(pause)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.communicate(timeout=60)[0] == '{"state": "cancelled"}\n'
    assert process.returncode == 130


def test_a_second_signal_ends_the_wait_and_says_where_the_run_is(proxy: Host) -> None:
    (proxy.stand_in / "registered").unlink()
    process = started(proxy)
    os.killpg(process.pid, signal.SIGINT)
    until(proxy.stand_in / "asked")
    time.sleep(2.1)
    os.killpg(process.pid, signal.SIGINT)
    out, said = process.communicate(timeout=60)
    invocation = until(proxy.stand_in / "started").removeprefix("FLAGEEMONITOR_INVOCATION=")
    assert (process.returncode, out) == (130, "")
    assert f"flageemonitor-run runs {invocation}" in said
    proxy.answer("registered", "")  # the cancelling goes on by itself
    assert until(proxy.stand_in / "cancelled") == invocation


def test_a_run_that_succeeds_despite_a_signal_keeps_its_exit_code(proxy: Host) -> None:
    proxy.answer("on-exec", RUN.replace("exit 130", "exit 0"))
    process = started(proxy)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_terminal_that_goes_away_cancels_the_run_inside(proxy: Host) -> None:
    proxy.answer("on-exec", RUN.replace('echo "$2"', 'echo "$*"'))
    pid, terminal = pty.fork()
    command = proxy.command(proxy.installed_wrapper("run"), "x")
    if pid == 0:
        os.execvpe(command[0], command, proxy.environment(TERM="xterm"))  # noqa: S606
    begun = until(proxy.stand_in / "started")
    assert "-it" in begun
    os.close(terminal)
    assert until(proxy.stand_in / "cancelled") in begun
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0
