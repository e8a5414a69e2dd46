"""The demo's stage: starts control plane and terminals, runs commands of operator and proxy, takes everything down again.

Used by the story (`make demo`) and by the demo in the background (`make demo-up`), which keeps what was started.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.text import Text

from contracts.ids import uuid7
from demo import terminals

_REPOSITORY = Path(__file__).resolve().parents[1]
PROGRAMS = Path(sys.executable).parent
_START_S = 180.0  # a busy machine with two cores has taken 30
_STOP_S = 10.0


class StageError(Exception):
    """Something that the story needs did not start or did not end as it should."""


class Stage:
    """``folder`` holds everything; nothing outside it is written. Processes are stopped in reverse order.

    ``keep(name, pid)``: is told of every process right after its start, and the processes are left to whom it tells; each has a
    session of its own, so that it outlives the shell. ``window_hours``: how long terminals may be powered off from now on.
    """

    def __init__(self, folder: Path, *, keep: Callable[[str, int], None] | None = None, window_hours: int = 2) -> None:
        self.folder = folder
        self.window_hours = window_hours
        self._keep = keep
        width = shutil.get_terminal_size((132, 40)).columns if sys.stdout.isatty() else 132
        self.console = Console(width=width, highlight=False)
        self._width = width
        self._stack = contextlib.ExitStack()
        self._environment = {key: value for key, value in os.environ.items() if not key.startswith("FLAGEE")}
        self.url = ""
        self.ready: terminals.Ready | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    # -- what the audience sees

    def chapter(self, title: str, *sentences: str) -> None:
        self.console.print()
        self.console.rule(Text(f" {title} ", style="bold cyan"), align="left", style="cyan")
        for sentence in sentences:
            self.console.print(Text(sentence))

    def say(self, text: str, style: str = "") -> None:
        self.console.print(Text(text, style=style))

    # -- what runs

    def server(self, *arguments: str) -> None:
        """A command of the operator at the control plane, shown as it is."""
        self._command("flagee-server", arguments, self._server_environment())

    def issue_token(self, *arguments: str) -> str:
        """The token is the last line of stdout, which is not shown; what is said for people is."""
        output = self._command("flagee-server", ("token", "issue", *arguments), self._server_environment(), kept=True)
        return output.strip().splitlines()[-1]

    def proxy(self, *arguments: str, expected: int = 0) -> None:
        """A command of an operator at the proxy, shown as it is on a terminal."""
        self._command("flageemonitor-run", arguments, self.proxy_environment(), expected=expected)

    def _command(
        self,
        program: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        expected: int = 0,
        kept: bool = False,
    ) -> str:
        shown = " ".join(argument if " " not in argument else f"'{argument}'" for argument in arguments)
        self.console.print(Text("\n$ ", style="bold green") + Text(f"{program} {shown}", style="bold"))
        self.console.file.flush()
        argv = (str(PROGRAMS / program), *arguments)
        done = subprocess.run(
            argv,
            cwd=self.folder,
            env=environment,
            check=False,
            stdin=subprocess.DEVNULL,  # nobody is there to answer a question
            stdout=subprocess.PIPE if kept else None,
            text=True,
        )
        if done.returncode != expected:
            raise StageError(f"{program} {shown} ended with {done.returncode}, {expected} was expected")
        return done.stdout or ""

    def _server_environment(self) -> dict[str, str]:
        key = self.folder / "secret.key"
        if not key.exists():
            key.touch(mode=0o600)
            key.write_bytes(base64.urlsafe_b64encode(secrets.token_bytes(32)))
        return {
            **self._environment,
            "FLAGEE_DATABASE_URL": f"sqlite:///{self.folder / 'control-plane.db'}",
            "FLAGEE_SECRET_KEY_FILE": str(key),
            "FLAGEE_LOG_FORMAT": "json",
        }

    def proxy_environment(self) -> dict[str, str]:
        """What makes `flageemonitor-run` the demo's proxy."""
        return {
            **self._environment,
            "COLUMNS": str(self._width),
            "FLAGEEMONITOR_CONFIG_PATH": str(self.folder / "proxy" / "config"),
            "FLAGEEMONITOR_DATA_PATH": str(self.folder / "proxy" / "data"),
            "FLAGEEMONITOR_API_BASE": f"{self.url}/api/ingest",
            "FLAGEEMONITOR_REDE": "DEMO",
            "FLAGEEMONITOR_ROOT": str(_REPOSITORY),
            **({"FLAGEEMONITOR_AGENT_ID": self._agent_id.read_text()} if self._agent_id.exists() else {}),
            **({"FORCE_COLOR": "1"} if sys.stdout.isatty() else {}),
        }

    def start_control_plane(self) -> None:
        """gunicorn on a free loopback port, through the very command an operator uses."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        argv = (str(PROGRAMS / "flagee-server"), "serve", "--bind", f"127.0.0.1:{port}")
        self._start("control-plane", argv, self.folder, self._server_environment(), self._healthy)

    def start_terminals(self, only: Sequence[str]) -> terminals.Ready:
        ready = self.folder / "terminals.json"
        options = (
            "--only",
            ",".join(only),
            "--cache",
            str(_REPOSITORY / ".cache" / "demo"),
            "--ready-file",
            str(ready),
        )
        argv = (sys.executable, "-m", "demo.terminals", "--folder", str(self.folder / "terminals"), *options)
        pid = self._start("terminals", argv, _REPOSITORY, self._environment, ready.exists)
        self.ready = terminals.Ready(pid, json.loads(ready.read_bytes()))
        return self.ready

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2) as answer:  # noqa: S310  # our own loopback server
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _start(
        self, name: str, argv: Sequence[str], cwd: Path, environment: Mapping[str, str], ready: Callable[[], bool]
    ) -> int:
        """Start a process and wait until it is ready; its pid. Raises StageError with the end of its log."""
        path = self.folder / f"{name}.log"
        with path.open("wb") as log:
            process = subprocess.Popen(
                argv,
                cwd=cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=self._keep is not None,
            )
        if self._keep is None:
            self._stack.callback(_stop, process)
        else:
            self._keep(name, process.pid)
        deadline = time.monotonic() + _START_S
        while not ready():
            code = process.poll()
            if code is not None or time.monotonic() > deadline:
                how = f"was not ready after {_START_S:.0f} s" if code is None else f"ended with {code} while starting"
                raise StageError(f"{name} {how}:\n{path.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)
        if self._keep is not None:
            process.returncode = 0  # it outlives us, and nobody here waits for it
        return process.pid

    def enrol(self, token: str) -> None:
        """As the installer does: the proxy becomes an agent of its network, and keeps a token of its own."""
        agent_id = uuid7()
        body = json.dumps({"agent_id": agent_id, "hostname": "demo-proxy"}).encode()
        headers = {"X-Bot-Token": token, "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/api/bootstrap/enroll", body, headers)  # noqa: S310  # as above
        try:
            with urllib.request.urlopen(request, timeout=_START_S) as answer:  # noqa: S310
                own = str(json.load(answer)["token"])
        except (urllib.error.URLError, OSError) as error:
            raise StageError(f"the proxy could not enrol: {error}") from error
        self._keep_token(own)
        self._agent_id.write_text(agent_id, encoding="ascii")

    @property
    def _agent_id(self) -> Path:
        return self.folder / "proxy" / "agent_id"

    def start_daemon(self) -> None:
        """The proxy's daemon, until its outbox is empty and headquarters has heard of it."""
        argv = (str(PROGRAMS / "flageemonitor-daemon"),)
        self._start("daemon", argv, self.folder, self.proxy_environment(), self._all_delivered)

    def _all_delivered(self) -> bool:
        data, plane = self.folder / "proxy" / "data" / "state.db", self.folder / "control-plane.db"
        return not _count(data, "outbox") and bool(_count(plane, "agent_reports"))

    def _keep_token(self, token: str) -> None:
        """Where the installer puts it: a file that only the proxy reads."""
        folder = self.folder / "proxy" / "config"
        folder.mkdir(parents=True, mode=0o700)
        path = folder / "token"
        path.touch(mode=0o600)
        path.write_text(token, encoding="ascii")
        path.chmod(0o400)


def _count(database: Path, table: str) -> int:
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as connection:
        found: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608  # our own two names
    return found


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
