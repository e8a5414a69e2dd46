"""Holds a terminal in the middle of what the proxy has it do, for tests of what happens to the rest meanwhile.

A program of the terminal is put before the one of the same name; it says that it was reached, and goes on when it is let.
"""

from pathlib import Path

from tests.e2e.site import root_of
from tests.harness.process import wait_until
from tests.harness.terminals import Terminal

PATIENCE_S = 120.0  # for what a busy machine may take; no test waits that long on purpose
_MARKS = ("run/brake-reached", "run/brake-off")


def brake(terminal: Terminal, program: str) -> None:
    """From now on `program`, a full path such as /usr/bin/chown, waits before it does its work."""
    real = root_of(terminal) / "usr/local/lib" / Path(program).name
    path = root_of(terminal) / program.lstrip("/")
    if path.exists() and not real.exists():
        path.rename(real)
    script = "#!/bin/sh\n: >/run/brake-reached\nuntil [ -e /run/brake-off ]; do sleep 0.1; done\n"
    terminal.write(program, f'{script}exec /usr/local/lib/{real.name} "$@"\n')


def wait_held(terminal: Terminal) -> None:
    """Until somebody waits at the brake."""
    mark = root_of(terminal) / _MARKS[0]
    wait_until(mark.exists, within=PATIENCE_S, what="the brake was reached")


def release(terminal: Terminal) -> None:
    """Let whoever waits, and whoever comes later, go on."""
    (root_of(terminal) / _MARKS[1]).touch()


def hold_again(terminal: Terminal) -> None:
    """As before the first time."""
    for mark in _MARKS:
        (root_of(terminal) / mark).unlink(missing_ok=True)
