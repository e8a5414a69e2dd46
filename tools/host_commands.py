"""The host's commands as they are installed, and the installer for Windows: `python -m tools.host_commands`, in `make check`.

What is checked is the finished script, because template and parts do not stand alone: ShellCheck on those for Linux,
tools.powershell on those for Windows.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from contracts import host_commands
from contracts.host_commands import COMMANDS, SUFFIXES, host_command
from tools import powershell

_FOLDER = Path(__file__).parents[1] / "wrappers"


def made(system: str, command: str, runtime: str = "flageemonitor") -> str:
    """The command's text."""

    return host_command(lambda path: (_FOLDER / path).read_text(encoding="utf-8"), system, command, runtime)


def windows_installer() -> str:
    """The installer for Windows, whole but for what the control plane fills in."""
    template = (_FOLDER.parent / "bootstrap/install.ps1").read_text(encoding="utf-8")
    return host_commands.windows_installer(lambda path: (_FOLDER / path).read_text(encoding="utf-8"), template)


def main() -> int:
    """0 when there is nothing to correct."""
    with tempfile.TemporaryDirectory() as folder:
        paths: dict[str, list[str]] = {system: [] for system in SUFFIXES}
        for system, command in ((system, command) for system in SUFFIXES for command in COMMANDS):
            path = Path(folder, f"{command}{SUFFIXES[system]}")
            path.write_text(made(system, command), encoding="utf-8")
            paths[system].append(str(path))
        installer = Path(folder, "install.ps1")
        installer.write_text(windows_installer(), encoding="utf-8")
        paths["windows"].append(str(installer))
        # SC2317 (never called): functions that a trap calls, and those of the template that not every command needs.
        checked = subprocess.run(["shellcheck", "--exclude=SC2317", *paths["linux"]], check=False)
        return checked.returncode or powershell.main(paths["windows"])


if __name__ == "__main__":
    sys.exit(main())
