"""A host that install.sh works on, with an engine that plays `deploy`: the script's own part, without what the image does."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from server.services.installer.rendering import render as render_installer
from tests.harness.need import need_program
from tests.unit.shell.host import VALUES, Host
from tools import host_commands

STAND_INS = Path(__file__).parent / "stand_ins/install"
MORE = ("mktemp",)  # of the userland


def render(values: Mapping[str, str] = VALUES) -> bytes:
    """The installer as the control plane renders it."""
    return render_installer(host_commands.made_installer("linux").encode(), values)


class InstallHost(Host):
    """``request``: what the last deploy got on its stdin."""

    def __init__(self, folder: Path, shell: str) -> None:
        super().__init__(folder, shell)
        for name in ("docker", "curl"):
            shutil.copy(STAND_INS / f"{name}.sh", self.programs / name)
            (self.programs / name).chmod(0o755)
        for tool in MORE:
            program = need_program("busybox", "busybox") if shell == "busybox" else need_program(tool, "coreutils")
            (self.programs / tool).symlink_to(Path(program).resolve())
        self.answer("info", '20.10.24|linux|x86_64|/var/lib/docker|["name=seccomp,profile=default"]')
        self.answer("api", "1.41")
        self.answer("verbs", "install uninstall neighbours")
        self.answer("health", "200 application/json")
        self.installer = folder / "install.sh"
        self.installer.write_bytes(render())

    def install(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run(self.installer, *arguments)

    @property
    def request(self) -> dict[str, list[str]]:
        lines = (self.stand_in / "stdin").read_text().splitlines()
        found: dict[str, list[str]] = {}
        for key, _, value in (line.partition("=") for line in lines):
            found.setdefault(key, []).append(value)
        return found

    def deploys(self) -> list[list[str]]:
        """Arguments of each call of `docker run`."""
        return [call for call in self.calls() if call[0] == "run"]
