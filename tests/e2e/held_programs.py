"""Holds a terminal in the middle of what the proxy has it do, for tests of what happens to the rest meanwhile.

A program of the terminal is put before the one of the same name; it says that it was reached, and goes on when it is let.
"""

from tests.e2e.site import root_of
from tests.harness.process import wait_until
from tests.harness.terminals import Terminal

WAIT_S = 120.0  # for what a busy machine may take; no test waits that long on purpose
_MARKS = ("run/held-reached", "run/held-off")


def hold(terminal: Terminal, program: str) -> None:
    """From now on `program` of /usr/bin waits before it does its work."""
    _put_before(terminal, program, ":>/run/held-reached\nuntil [ -e /run/held-off ]; do sleep 0.1; done")


def hang_up_once(terminal: Terminal, program: str) -> None:
    """When `program` of /usr/bin is called for the first time, the connection that it is called through is broken off."""
    up = "while read -r name </proc/$p/comm; [ $name != sshd ]; do read -r _ _ _ p _ </proc/$p/stat; done"
    _put_before(terminal, program, f"p=$$\nif mkdir /run/hung-up; then {up}; kill -9 $p; exit 1; fi")


def _put_before(terminal: Terminal, program: str, text: str) -> None:
    real = root_of(terminal) / "usr/local/lib" / program
    (root_of(terminal) / "usr/bin" / program).rename(real)
    terminal.write(f"/usr/bin/{program}", f'#!/bin/sh\n{text}\nexec /usr/local/lib/{program} "$@"\n')


def wait_held(terminal: Terminal) -> None:
    """Wait until a process is held."""
    mark = root_of(terminal) / _MARKS[0]
    wait_until(mark.exists, within=WAIT_S, what="a process is held")


def release(terminal: Terminal) -> None:
    """Let every process continue that waits or comes later."""
    (root_of(terminal) / _MARKS[1]).touch()
