"""A control plane of a test's own: its environment, its command line in this process, its application, and gunicorn.

Called by tests of the server, on SQLite or on a database of the harness's PostgreSQL.
"""

import base64
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from flask import Flask

from server.app import create_app
from server.cli import cli
from server.current import EXTENSION
from server.settings import Settings, read_settings
from server.wiring import Clock, Services, utc_now
from tests.harness.logs import logging_as_before
from tests.harness.need import need_program
from tests.harness.ports import LOOPBACK, accepts, free_port
from tests.harness.process import Child, running

CLIENT = "Mercado Sol"
PUBLIC_URL = "https://control.example.com"
# Small files in the place of the product's bootstrap/ and wrappers/: the control plane's tests need only their contract.
PRODUCT = Path(__file__).parent / "product"
# The console script without the script: tests need no installed package.
COMMAND = [sys.executable, "-c", "from server.cli import main; main()"]


def new_key() -> str:
    """A secret key as FLAGEE_SECRET_KEY takes it."""
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def document(network: str, **changes: Any) -> bytes:
    """A small valid configuration document, written in a way that no serialiser would write again."""
    body = {"schema_version": 2, "network": network, "inventory": {"kind": "static", "hosts": []}, **changes}
    return b"\n  " + json.dumps(body, indent=3).encode() + b"\n\n"


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """Everything by the environment that an operator would set."""

    folder: Path
    environ: dict[str, str]

    def run(self, *arguments: str, stdin: bytes | None = None, **changes: str) -> Result:
        """A command of `flagee-server`; `changes` are settings for this command only (`SECRET_KEY="…"`)."""
        return CliRunner().invoke(
            cli, list(arguments), input=stdin, env=self._environ(changes), prog_name="flagee-server"
        )

    def must(self, *arguments: str, stdin: bytes | None = None) -> str:
        """As `run`, for what has to work: what it printed on stdout."""
        result = self.run(*arguments, stdin=stdin)
        assert result.exit_code == 0, result.output
        return result.stdout

    def token(self, *options: str, client: str = CLIENT) -> str:
        """A new token."""
        return self.must("token", "issue", client, *options).splitlines()[-1]

    def publish(self, network: str, **changes: Any) -> bytes:
        """Store a document for the client's network; its bytes."""
        raw = document(network, **changes)
        self.must("config", "set", CLIENT, network, "-", stdin=raw)
        return raw

    def etag(self, network: str) -> str:
        """The ETag of the version in force."""
        shown: str = json.loads(self.must("config", "show", CLIENT, network, "--output", "json"))["etag"]
        return shown

    def settings(self, **changes: str) -> Settings:
        """Settings as the server would read them."""
        return read_settings(self._environ(changes))

    @contextlib.contextmanager
    def app(self, clock: Clock = utc_now, /, **changes: str) -> Iterator[Flask]:
        """The application in this process; the process's logging is as before afterwards."""
        with logging_as_before():
            application = create_app(self.settings(**changes), clock=clock)
            try:
                yield application
            finally:
                services_of(application).close()

    @contextlib.contextmanager
    def serving(self, *arguments: str, **changes: str) -> Iterator[tuple[str, Child]]:
        """`flagee-server serve`: its base URL (https with TLS_CERTIFICATE) and the process."""
        if changes.get("NGINX") != "none":
            need_program("nginx", "nginx")
        port = free_port()
        scheme = "https" if "FLAGEE_TLS_CERTIFICATE" in self._environ(changes) else "http"
        with running(
            [*COMMAND, "serve", "--bind", f"{LOOPBACK}:{port}", *arguments],
            name="flagee-server",
            folder=self.folder,
            env=self._environ(changes),
            ready=lambda: accepts(LOOPBACK, port),
            within=60,
        ) as child:
            yield f"{scheme}://{LOOPBACK}:{port}", child

    def _environ(self, changes: dict[str, str]) -> dict[str, str]:
        return {**self.environ, **{f"FLAGEE_{name}": value for name, value in changes.items()}}


def services_of(app: Flask) -> Services:
    """What the application works with."""
    services: Services = app.extensions[EXTENSION]
    return services


def empty(folder: Path, database_url: str | None = None) -> ControlPlane:
    """A control plane before `init-db`; SQLite in `folder` unless `database_url` is given."""
    environ = {
        "FLAGEE_DATABASE_URL": database_url or f"sqlite:///{folder}/flagee.db",
        "FLAGEE_SECRET_KEY": new_key(),
        "FLAGEE_LOG_FORMAT": "json",
        "FLAGEE_WORKERS": "1",
        "FLAGEE_PUBLIC_URL": PUBLIC_URL,
        "FLAGEE_ASSETS": str(PRODUCT),
    }
    return ControlPlane(folder, environ)


def prepared(folder: Path, database_url: str | None = None) -> ControlPlane:
    """The client CLIENT with the networks SOL, which has a document, and LUA, which has none."""
    plane = empty(folder, database_url)
    plane.must("init-db")
    plane.must("client", "add", CLIENT)
    for network in ("SOL", "LUA"):
        plane.must("network", "add", CLIENT, network)
    plane.publish("SOL")
    return plane
