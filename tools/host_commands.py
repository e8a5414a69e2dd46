"""The host's commands and both installers as they are run on a host: `python -m tools.host_commands`, in `make check`.

What is checked is the finished script, because template and parts do not stand alone: ShellCheck on those for Linux,
tools.powershell on those for Windows.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from contracts.host_commands import COMMANDS, SUFFIXES, host_command
from contracts.installers import TEMPLATES, installer
from tools import powershell

_ROOT = Path(__file__).parents[1]


def _read(path: str) -> str:
    return (_ROOT / path).read_text(encoding="utf-8")


def made(system: str, command: str, runtime: str = "flageemonitor") -> str:
    """The command's text."""
    return host_command(_read, system, command, runtime)


def made_installer(system: str) -> str:
    """The installer, whole but for what the control plane fills in."""
    return installer(_read, system)


def main() -> int:
    """0 when there is nothing to correct."""
    with tempfile.TemporaryDirectory() as folder:
        paths: dict[str, list[str]] = {system: [] for system in SUFFIXES}
        for system, command in ((system, command) for system in SUFFIXES for command in COMMANDS):
            path = Path(folder, f"{command}{SUFFIXES[system]}")
            path.write_text(made(system, command), encoding="utf-8")
            paths[system].append(str(path))
        for system, template in TEMPLATES.items():
            path = Path(folder, Path(template).name)
            path.write_text(made_installer(system), encoding="utf-8")
            paths[system].append(str(path))
        # SC2317 (never called): functions that a trap calls, and those of the template that not every command needs.
        checked = subprocess.run(["shellcheck", "--exclude=SC2317", *paths["linux"]], check=False)
        return checked.returncode or powershell.main(paths["windows"])


if __name__ == "__main__":
    sys.exit(main())
