"""A private PostgreSQL cluster: own data folder, own port on loopback, no durability, gone at the end.

Called by `zabbix` (which brings a data folder that is already loaded) and by tests that need a database of their own.
"""

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tests.harness import process
from tests.harness.need import need
from tests.harness.ports import LOOPBACK, free_port
from tests.harness.workdir import in_memory, workdir

SUPERUSER = "harness"
PASSWORD = "harness"

# Asked for at every start instead of written into the data folder, so that a loaded folder can be copied as it is.
_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "60",
}
# As Debian's package has it, for who measures what a commit costs.
DURABLE: Any = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "shared_buffers": "128MB"}


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster; SUPERUSER and PASSWORD open every database in it."""

    port: int
    host: str = LOOPBACK

    def url(self, database: str, scheme: str = "postgresql+psycopg") -> str:
        """SQLAlchemy URL of `database`; with scheme 'postgresql' one for libpq."""
        return f"{scheme}://{SUPERUSER}:{PASSWORD}@{self.host}:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """A new empty database, as SQLAlchemy URL (`postgresql+psycopg://…`)."""
        with psycopg.connect(self.url("postgres", "postgresql"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def accepts(self) -> bool:
        """Whether it lets us in by now."""
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(self.url("postgres", "postgresql"), connect_timeout=2).close()
            return True
        return False


@contextlib.contextmanager
def cluster(loaded: Path | None = None, *, disk: Path | None = None, **changes: str) -> Iterator[Cluster]:
    """A running cluster, empty or with a copy of the data folder `loaded`. `disk`: a folder for data that memory cannot hold, or
    whose way to a disk is measured. `changes`: settings that differ from a test's."""
    with workdir("postgres", disk) as folder:
        # Throw-away data need no disk, and a disk that several sessions share is slow.
        data = (in_memory(folder / "memory", "2g") if os.geteuid() == 0 and not disk else folder) / "data"
        if loaded:
            process.run(["cp", "--archive", "--reflink=auto", loaded, data])
        else:
            make_data_folder(data)
        with serving(data, folder, **changes) as server:
            yield server


@contextlib.contextmanager
def serving(data: Path, folder: Path, **changes: str) -> Iterator[Cluster]:
    """Run the server on `data`, with its log and socket in `folder`. `changes`: settings that differ from a test's, `port` among
    them, which is a free one by default."""
    user = unprivileged()
    sockets = folder / "sockets"
    sockets.mkdir(mode=0o700, exist_ok=True)
    if user:
        shutil.chown(sockets, user, user)
    server = Cluster(port=int(changes.get("port") or free_port()))
    settings = {**_SETTINGS, **changes, "port": server.port, "unix_socket_directories": sockets}
    argv: list[str | Path] = [
        _program("postgres"),
        "-D",
        data,
        *(f"--{key}={value}" for key, value in settings.items()),
    ]
    # SIGINT is PostgreSQL's fast shutdown: sessions are closed, the data folder is left clean.
    with process.running(
        argv, name="postgres", folder=folder, ready=server.accepts, user=user, cwd=folder, stop_signal=signal.SIGINT
    ):
        yield server


def make_data_folder(data: Path) -> None:
    """A new data folder, owned by the account that will serve it; its parent must let that account through."""
    user = unprivileged()
    data.mkdir(mode=0o700)
    if user:
        shutil.chown(data, user, user)
    password = data.with_name("password")
    password.write_text(PASSWORD)
    options = [
        f"--username={SUPERUSER}",
        "--auth=scram-sha-256",
        f"--pwfile={password}",
        "--encoding=UTF8",
        "--no-sync",
    ]
    process.run([_program("initdb"), "-D", data, *options, "--locale=C.UTF-8"], user=user, cwd=data)
    password.unlink()


def unprivileged() -> str | None:
    """The account that runs the server: it refuses to be root. None when we are not root ourselves."""
    return "postgres" if os.geteuid() == 0 else None


def _program(name: str) -> Path:
    """The newest installed version's program; Debian keeps each version in a folder of its own, off PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    need(found, "PostgreSQL server", "apt-get install postgresql")
    return found[-1]
