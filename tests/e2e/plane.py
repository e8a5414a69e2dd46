"""The control plane as an operator runs it: made and served by the console script. Later commands run in this process: to start
the program for each would take most of their time.

Called by the end-to-end tests, on SQLite or on a database of the harness's PostgreSQL.
"""

import base64
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness import process
from tests.harness.authority import Issued
from tests.harness.control_plane import ControlPlane
from tests.harness.ports import LOOPBACK, accepts, free_port

CLIENT = "Mercado Sol"
PROGRAMS = Path(sys.executable).parent


@dataclass(frozen=True, slots=True)
class Plane:
    """A running control plane with the client CLIENT. `environment` is what its operator has set."""

    url: str
    environment: Mapping[str, str]
    child: process.Child

    def command(self, *arguments: str, stdin: bytes = b"") -> str:
        """`flagee-server ARGUMENTS`, which has to work: its stdout."""
        return ControlPlane(self.child.log.parent, dict(self.environment)).must(*arguments, stdin=stdin)

    def add_network(self, code: str) -> None:
        """Register a network of the client."""
        self.command("network", "add", CLIENT, code)

    def publish(self, code: str, document: Mapping[str, Any], *options: str) -> None:
        """Store the network's configuration."""
        self.command("config", "set", CLIENT, code, "-", *options, stdin=json.dumps(document).encode())

    def token(self, *options: str) -> str:
        """A new token of the client."""
        return self.command("token", "issue", CLIENT, *options).splitlines()[-1]

    def log(self) -> list[dict[str, Any]]:
        """What it has logged so far, one object a line."""
        return [json.loads(line) for line in self.child.log.read_text().splitlines() if line.startswith("{")]


@contextlib.contextmanager
def running(
    folder: Path, database_url: str | None = None, *, tls: Issued | None = None, name: str = LOOPBACK
) -> Iterator[Plane]:
    """From nothing to a server that answers; SQLite in `folder` unless `database_url` is given. With `tls` it serves https.

    `name`: in the public address, which installers and their proxies use; the server listens on loopback all the same.
    """
    key = folder / "secret.key"
    key.write_bytes(base64.urlsafe_b64encode(os.urandom(32)))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("FLAGEE")},
        "FLAGEE_DATABASE_URL": database_url or f"sqlite:///{folder}/flagee.db",
        "FLAGEE_SECRET_KEY_FILE": str(key),
        "FLAGEE_LOG_FORMAT": "json",
    }
    port = free_port()
    scheme = "https" if tls else "http"
    environment["FLAGEE_PUBLIC_URL"] = f"{scheme}://{name}:{port}"
    if tls:
        environment |= {"FLAGEE_TLS_CERTIFICATE": str(tls.certificate), "FLAGEE_TLS_KEY": str(tls.key)}
    _script(environment, "init-db")
    _script(environment, "client", "add", CLIENT)
    serve: list[str | Path] = [PROGRAMS / "flagee-server", "serve", "--bind", f"{LOOPBACK}:{port}"]
    with process.running(
        serve,
        name="control-plane",
        folder=folder,
        env=environment,
        ready=lambda: accepts(LOOPBACK, port),
        within=60,
    ) as child:
        yield Plane(f"{scheme}://{LOOPBACK}:{port}", environment, child)


def _script(environment: Mapping[str, str], *arguments: str) -> None:
    done = subprocess.run([PROGRAMS / "flagee-server", *arguments], env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
