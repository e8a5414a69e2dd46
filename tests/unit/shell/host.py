"""A host to install on: its own /etc, /var/lib, /run and /usr/local/bin, a small userland, stand-ins for docker and curl.

Scripts run as they are, in a mount namespace, by the shell that a test names. The real engine is for e2e.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from contracts.host_commands import COMMANDS, PLACEHOLDER
from tests.harness.need import need_program, need_root
from tools import host_commands

ROOT = Path(__file__).parents[3]
TOOLS = COMMANDS
SHELLS = {"dash": ("dash",), "bash": ("bash",), "busybox": ("busybox", "sh")}
# Everything that the scripts call beside docker, curl, systemctl and what a shell has built in.
USERLAND = (
    *(
        "awk",
        "cat",
        "chmod",
        "chown",
        "cp",
        "cut",
        "date",
        "df",
        "find",
        "grep",
        "id",
        "ln",
        "ls",
        "mkdir",
        "mv",
        "od",
        "rm",
        "rmdir",
    ),
    *("sed", "setsid", "sleep", "stty", "sync", "tr", "uname"),
)
TOKEN = "fm1.0123456789ab.bootstrap-token-of-this-test_0123456789abcdef"
VALUES = {
    "API_BASE": "https://control.example/api/ingest",
    "ENROLL_URL": "https://control.example/api/bootstrap/enroll",
    "HEALTH_URL": "https://control.example/api/bootstrap/health",
    "CLIENT": "acme",
    "NETWORK": "ACME",
    "TIMEZONE": "America/Sao_Paulo",
    "IMAGE": "registry.example/flageemonitor:stable",
    "WATCHTOWER_IMAGE": "containrrr/watchtower:1.7.1",
    "WATCHTOWER_INTERVAL": "300",
    "BOOTSTRAP_TOKEN": TOKEN,
    "SERVER_TIME": "",
    "SERVER_VERSION": "0.1.0",
}
# What the stand-ins write down of their calls.
_RECORDS = ("docker", "docker-hosts", "curl", "curl-stdin", "systemctl")
_MOUNTS = {"etc": "/etc", "lib": "/var/lib", "run": "/run", "bin": "/usr/local/bin"}


def wrapper(name: str, runtime: str = PLACEHOLDER) -> str:
    return host_commands.made("linux", name, runtime)


class Host:
    """``folder`` holds everything; `stand_in` what the stand-ins answer from and record."""

    def __init__(self, folder: Path, shell: str) -> None:
        need_root("a host of its own")
        self.folder, self.shell = folder, shell
        self.etc, self.lib, self.run_folder, self.bin = (folder / name for name in _MOUNTS)
        self.stand_in, self.programs = folder / "stand-in", folder / "programs"
        for made in (self.etc, self.lib, self.run_folder, self.bin, self.stand_in / "containers", self.programs):
            made.mkdir(parents=True)
        (self.etc / "passwd").write_text("root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
        (self.etc / "cron.d").mkdir()
        busybox = need_program("busybox", "busybox")
        for tool in USERLAND:
            # With busybox as the shell, its userland as well.
            program = busybox if shell == "busybox" else need_program(tool, "coreutils")
            (self.programs / tool).symlink_to(Path(program).resolve())
        for name in ("docker", "systemctl"):
            shutil.copy(Path(__file__).parent / "stand_ins" / f"{name}.sh", self.programs / name)
            (self.programs / name).chmod(0o755)
        self.answer("version", "20.10.24 1.41")
        self.answer("info", "linux|/var/lib/docker|[]")
        self.answer("neighbours", "")
        self.answer("on-exec", 'echo "in the container: $*"')

    def answer(self, name: str, text: str) -> None:
        """What a stand-in answers from."""
        (self.stand_in / name).write_text(text + "\n" if text else "")

    def no_answer(self, name: str) -> None:
        (self.stand_in / name).unlink()

    def container(
        self, name: str, status: str = "running", label: str = "", number: str = "c0ffee", title: str = ""
    ) -> None:
        self.answer(f"containers/{name}", f"{status}|{number}|{label}|{title}")

    def containers(self) -> set[str]:
        return {path.name for path in (self.stand_in / "containers").iterdir()}

    def before(self, program: str, script: str) -> None:
        """Have ``script`` run before every call of a program of the userland; an empty one takes that back."""
        path = self.programs / program
        kept = path.with_name(f"real-{program}")
        if not kept.exists():
            path.rename(kept)
        real = kept.resolve()
        # A busybox applet goes by its name.
        start = f'exec "{real}" {program}' if real.name == "busybox" else f'exec "{real}"'
        path.write_text(f'#!/bin/sh\n{script}\n{start} "$@"\n')
        path.chmod(0o755)

    def with_systemd(self) -> None:
        (self.run_folder / "systemd/system").mkdir(parents=True)
        (self.etc / "systemd/system").mkdir(parents=True)

    def command(self, program: Path | str, *arguments: str, user: str = "root") -> list[str]:
        """What starts the script here; `user` may be nobody."""
        mounts = " && ".join(f'mount --bind "$0/{name}" {path}' for name, path in _MOUNTS.items())
        become = (
            ""
            if user == "root"
            else f"{need_program('setpriv', 'util-linux')} --reuid {user} --regid 65534 --clear-groups "
        )
        if user != "root":
            self._let_in()
        name, *options = SHELLS[self.shell]
        shell = [need_program(name, name), *options]
        return ["unshare", "--mount", "sh", "-c", f'{mounts} && export PATH="$0/programs" && exec {become}"$@"', str(self.folder),
                *shell, *([str(program)] if program else []), *arguments]  # fmt: skip

    def _let_in(self) -> None:
        """Folders of other users' tests are closed, anew at the start of every pytest; what runs as nobody must get here."""
        for path in (self.folder, *self.folder.parents):
            if path.stat().st_uid == os.getuid() and path != Path("/"):
                path.chmod(path.stat().st_mode | stat.S_IXOTH)

    def environment(self, **more: str) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "STAND_IN": str(self.stand_in), "HOME": "/root", **more}

    def run(
        self,
        program: Path | str,
        *arguments: str,
        user: str = "root",
        stdin: bytes = b"",
        with_: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(program, *arguments, user=user), input=stdin, capture_output=True, check=False, timeout=120,
            env=self.environment(**(with_ or {})), start_new_session=True,
        )  # fmt: skip
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
        )

    def installed_wrapper(self, name: str, runtime: str = "flageemonitor") -> Path:
        """The wrapper as the installer writes it, without installing anything."""
        path = self.bin / f"{runtime}-{name}"
        path.write_text(wrapper(name, runtime))
        path.chmod(0o755)
        return path

    def environment_file(self, text: str, runtime: str = "flageemonitor") -> Path:
        path = self.etc / runtime / "flageemonitor.env"
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_bytes(text.encode())
        path.chmod(0o600)
        return path

    def calls(self, program: str = "docker") -> list[list[str]]:
        """Arguments of every call of a stand-in, oldest first."""
        path = self.stand_in / program
        text = path.read_text() if path.exists() else ""
        return [call.split("\x1f")[:-1] for call in text.split("\x1e")[:-1]]

    def forget(self) -> None:
        for name in _RECORDS:
            (self.stand_in / name).unlink(missing_ok=True)

    def tree(self) -> dict[str, str]:
        """Everything in /etc, /var/lib, /run and /usr/local/bin, with kind, mode, owner and content."""
        return dict(self._look())

    def _look(self) -> Iterator[tuple[str, str]]:
        for top in (self.etc, self.lib, self.run_folder, self.bin):
            for path in [top, *sorted(top.rglob("*"))]:
                if path == self.run_folder / "mount":
                    continue  # mount's own
                about = path.lstat()
                content = (
                    hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() and not path.is_symlink() else ""
                )
                yield str(path.relative_to(self.folder)), f"{about.st_mode:o} {about.st_uid}:{about.st_gid} {content}"


def until(path: Path) -> str:
    """What the file holds, once it holds something."""
    deadline = time.monotonic() + 60
    while not path.exists() or not path.read_text():
        assert time.monotonic() < deadline, f"nothing came to {path}"
        time.sleep(0.02)
    return path.read_text().strip()
