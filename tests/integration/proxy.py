"""A proxy in a folder of its own with the real command line run on it, and a shop of simulated terminals to run it against.

Called by the tests of the command line; of use to every test that wants the product as an operator meets it:

    with shop(folder, till("wrong"), till("right", zone=ZONE)) as tills:
        proxy = Proxy(folder / "proxy", tills.document("wrong", "right"))
        said = proxy.run("update_endpoint_timezone", "--all", "--output", "json")
        assert (said.code, said.outcomes) == (0, {"SHOP-LOJA001-PDV201": "changed confirmed", ...})
"""

import contextlib
import fcntl
import json
import os
import pty
import shutil
import signal
import sqlite3
import subprocess
import sys
import termios
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from demo import terminals
from demo.terminals.profiles import DEFAULT_PROFILES
from demo.terminals.tree import digest
from tests.harness.need import need, need_program
from tests.harness.process import wait_until

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAM = Path(sys.executable).parent / "flageemonitor-run"
NETWORK = "SHOP"
ZONE = "America/Sao_Paulo"
# Commands that run no action and so never ask.
VIEWS = frozenset({"actions", "explain", "why", "runs", "cancel", "hosts", "config", "schedule", "doctor", "outbox"})
QUESTION = b"to continue:"
LONG_S = 300.0  # for what a busy machine may take, and a power-off that is not confirmed within its two minutes


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended, with its output."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """What `--output json` printed."""
        return json.loads(self.stdout)

    @property
    def events(self) -> list[Any]:
        """What `--output ndjson` printed."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    @property
    def outcomes(self) -> dict[str, str]:
        """Host name → "outcome reason" or "outcome reason:detail", of a run with `--output json`."""
        return {result["host"]["name"]: verdict(result) for result in self.json["hosts"]}

    def result(self, name: str) -> Any:
        """The result of the host called `name`, of a run with `--output json`."""
        return next(result for result in self.json["hosts"] if result["host"]["name"] == name)


def verdict(result: Mapping[str, Any]) -> str:
    """A host's result in three words."""
    detail = f":{result['detail']}" if result["detail"] else ""
    return f"{result['outcome']} {result['reason']}{detail}"


def runs_an_action(arguments: Sequence[str]) -> bool:
    """Whether a command line runs an action, which may ask for a confirmation, and does not only show something."""
    return (
        bool(arguments) and not arguments[0].startswith("-") and "--help" not in arguments and arguments[0] not in VIEWS
    )


class Going:
    """A command at work; its output goes to files in `folder`, so that it never waits for a reader."""

    def __init__(self, argv: Sequence[str | Path], environment: Mapping[str, str], folder: Path) -> None:
        self._paths = tuple(folder / f"{os.urandom(6).hex()}.{name}" for name in ("stdout", "stderr"))
        with self._paths[0].open("wb") as out, self._paths[1].open("wb") as err:
            self.process = subprocess.Popen(
                argv, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
            )

    @property
    def so_far(self) -> Said:
        """Its complete lines of output until now."""
        out, err = (path.read_text(encoding="utf-8") for path in self._paths)
        return Said(-1, out[: out.rfind("\n") + 1], err)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self) -> Said:
        """Wait for its end."""
        try:
            code = self.process.wait(LONG_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"still at work after {LONG_S:.0f} s; it said: {self.so_far}") from None
        out, err = (path.read_text(encoding="utf-8") for path in self._paths)
        return Said(code, out, err)


class Proxy:
    """What the installer leaves on a customer's host, below `folder`: configuration, local state, and its environment."""

    def __init__(
        self, folder: Path, document: Mapping[str, Any] | bytes | None = None, *, root: Path = REPOSITORY
    ) -> None:
        self.config, self.data = folder / "config", folder / "data"
        self._logs, self._started = folder / "logs", list[Going]()
        for path in (self.config, self.data, self._logs):
            path.mkdir(parents=True, exist_ok=True)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("FLAGEE", "ARIUS"))},
            "FLAGEEMONITOR_CONFIG_PATH": str(self.config),
            "FLAGEEMONITOR_DATA_PATH": str(self.data),
            "FLAGEEMONITOR_ROOT": str(root),
        }
        for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR"):
            self.environment.pop(name, None)
        if document is not None:
            self.configure(document)

    def configure(self, document: Mapping[str, Any] | bytes) -> None:
        """Put this document where the refresh would have put it."""
        raw = document if isinstance(document, bytes) else json.dumps(document).encode()
        (self.config / "config_bot.json").write_bytes(raw)

    def use_data(self, folder: Path) -> None:
        """Keep the local state there from now on."""
        self.data = folder
        self.environment["FLAGEEMONITOR_DATA_PATH"] = str(folder)

    def run(self, *arguments: str, yes: bool = True, **environment: str) -> Said:
        """`flageemonitor-run ARGUMENTS`, to its end; `environment` adds to the proxy's own; `yes` confirms an action's run."""
        return self.start(*arguments, yes=yes, **environment).ended()

    def run_each(self, commands: Iterable[Sequence[str]], **environment: str) -> list[Said]:
        """The same for several commands that reach no terminal, one after another: the program is loaded once for all of them."""
        lines = [json.dumps([*words, "--yes"] if runs_an_action(words) else [*words]) for words in commands]
        done = subprocess.run(
            [sys.executable, "-m", "tests.integration.many_commands"],
            input="".join(f"{line}\n" for line in lines),
            env={**self.environment, **environment},
            cwd=REPOSITORY,
            capture_output=True,
            encoding="utf-8",
            timeout=LONG_S,
            check=True,
        )
        return [Said(*json.loads(line)) for line in done.stdout.splitlines()]

    def start(self, *arguments: str, yes: bool = True, **environment: str) -> Going:
        """The same, left at work."""
        words = (*arguments, "--yes") if yes and runs_an_action(arguments) else arguments
        going = Going((PROGRAM, *words), {**self.environment, **environment}, self._logs)
        self._started.append(going)
        return going

    def on_terminal(self, *arguments: str, columns: int, typed: str | None = None) -> Said:
        """The same on a terminal of its own, so wide; all that it shows, stderr too, is in `stdout`.

        `typed`: what somebody types when the run asks to be confirmed; None confirms the run of an action with --yes.
        """
        if typed is None and runs_an_action(arguments):
            arguments = (*arguments, "--yes")
        ours, theirs = pty.openpty()
        with os.fdopen(ours, "r+b", buffering=0) as screen:
            termios.tcsetwinsize(theirs, (50, columns))
            process = subprocess.Popen(
                (PROGRAM, *arguments),
                env={**self.environment, "TERM": "xterm-256color"},
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                start_new_session=True,
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  # so that Ctrl-C interrupts
            )
            os.close(theirs)
            shown = bytearray()
            with contextlib.suppress(OSError):  # how the end of a terminal looks from outside
                while part := screen.read(65536):
                    shown += part
                    if typed and shown.rstrip().endswith(QUESTION):
                        screen.write(typed.encode())
                        typed = None
            return Said(process.wait(LONG_S), shown.decode("utf-8"), "")

    def close(self) -> None:
        """End what a test that failed has left at work."""
        for going in self._started:
            going.process.kill()
            going.process.wait()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the local state holds, read past the product."""
        with contextlib.closing(sqlite3.connect(f"file:{self.data / 'state.db'}?mode=ro", uri=True)) as database:
            return database.execute(query).fetchall()


def till(name: str, system: str = "ubuntu-14.04", **profile: Any) -> dict[str, Any]:
    """A terminal for `shop`: a system of the demo's, root login by password unless `profile` says otherwise."""
    return {"id": name, "system": system, **profile}


def program(path: str, text: str) -> dict[str, Any]:
    """`files` of a till that has a shell script of its own at `path`; /usr/local/bin comes first in its PATH."""
    return {path: {"text": f"#!/bin/sh\n{text}\n", "mode": "755"}}


# Every write of a till with this ends with `mv`. It says that it was reached, and goes on when it is let.
WAITS = program("/usr/local/bin/mv", 'touch /tmp/reached; until [ -e /tmp/go ]; do sleep 0.1; done; exec /bin/mv "$@"')


@dataclass(frozen=True, slots=True)
class Shop:
    """Running terminals, by the name that `till` gave them."""

    ready: terminals.Ready
    folder: Path

    def name(self, till: str) -> str:
        """Its technical name."""
        return str(self._entry(till)["hostname"])

    def host(self, till: str, **changes: Any) -> dict[str, Any]:
        """Its entry of a static inventory."""
        entry = self._entry(till)
        listed = {"name": entry["hostname"], "address": entry["address"], "port": entry["port"], "credential": till}
        return {**listed, "provider": entry["provider"], **changes}

    def document(self, *tills: str, hosts: Sequence[Mapping[str, Any]] = (), **parts: Any) -> dict[str, Any]:
        """A configuration with these tills and further `hosts`; `ssh` in `parts` adds to the usual limits."""
        ssh = {"allowed_networks": ["127.77.0.0/16"], "connect_timeout": 60, "command_timeout": 60}
        return {
            "schema_version": 2,
            "network": NETWORK,
            "timezone": ZONE,
            "inventory": {"kind": "static", "hosts": [*map(self.host, tills), *hosts]},
            "credentials": [self._credential(name) for name in self.ready.credentials],
            "compatibility": {"mode": "enforce"},
            **parts,
            "ssh": {**ssh, **parts.get("ssh", {})},
        }

    def tree(self, till: str) -> Path:
        """Its files; there after the first login."""
        return self.folder / "yard" / "trees" / till

    def fingerprint(self, till: str) -> str:
        """Equal when nothing was written to it in between; not while a user is logged in."""
        return digest(self.tree(till))

    def events(self, till: str) -> list[str]:
        """What it has met: connected, login, login refused, command, power off."""
        lines = Path(self.ready.document["events"]).read_text(encoding="utf-8").splitlines()
        return [event["event"] for event in map(json.loads, lines) if event["id"] == till]

    def wait_reached(self, *tills: str) -> None:
        """Until each of these, which have WAITS, is in the middle of a stage."""
        for name in tills:
            wait_until((self.tree(name) / "tmp/reached").exists, within=LONG_S, what=f"a stage at {name}")

    def let_go(self, *tills: str) -> None:
        """Let these, which have WAITS, go on; also those that have not come that far."""
        for name in tills:
            (self.tree(name) / "tmp/go").touch()

    def _entry(self, till: str) -> dict[str, Any]:
        return next(entry for entry in self.ready.terminals if entry["id"] == till)

    def _credential(self, till: str) -> dict[str, Any]:
        noted = self.ready.credentials[till]
        way = {"private_key": Path(noted["key"]).read_text()} if "key" in noted else {"password": noted["password"]}
        return {"id": till, "user": noted["user"], **way}


@contextlib.contextmanager
def shop(folder: Path, *tills: Mapping[str, Any]) -> Iterator[Shop]:
    """Run these terminals (see `till`) in `folder`. They are SHOP-LOJA001-PDV201, 202 and so on, if they have no hostname."""
    need_program("busybox", "busybox")
    systems = yaml.safe_load(DEFAULT_PROFILES.read_text(encoding="utf-8"))["systems"]
    listed = [
        {"address": f"127.77.7.{number}", "hostname": f"{NETWORK}-LOJA001-PDV{200 + number}", **entry}
        for number, entry in enumerate(tills, start=1)
    ]
    profiles = folder / "profiles.yaml"
    profiles.write_text(yaml.safe_dump({"systems": systems, "terminals": listed}), encoding="utf-8")
    with terminals.running(folder / "terminals", "--profiles", str(profiles)) as ready:
        need(ready.document["isolation"] != "none", "a way to make boxes", "apt-get install bubblewrap")
        yield Shop(ready, folder / "terminals")


def product_root(folder: Path, **busy_checks: str) -> Path:
    """The product's data in `folder` with further providers, rolled out to all: id → its busy check, a read-only script."""
    for name in ("providers", "compat_matrix"):
        shutil.copytree(REPOSITORY / name, folder / name)
    for name, script in busy_checks.items():
        provider = {"id": name, "display_name": name.title(), "default_rollout": 100, "busy_check": script}
        path = folder / "providers" / name / "provider.yaml"
        path.parent.mkdir()
        path.write_text(yaml.safe_dump(provider), encoding="utf-8")
    return folder
