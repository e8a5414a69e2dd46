"""The Zabbix server and agent programs, with settings that make them notice everything within about a second.

Called by `zabbix` when a test needs availability, triggers, trapper items or maintenance; the API alone needs neither.
"""

import contextlib
import json
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.harness import postgres, process
from tests.harness.need import need_program
from tests.harness.ports import LOOPBACK, accepts, free_port

# One process of each kind is enough, and the two cores of a build machine are soon full of idle ones.
_SERVER_SETTINGS = {
    "ListenIP": LOOPBACK,
    "CacheUpdateFrequency": 1,
    "HousekeepingFrequency": 0,
    "UnreachablePeriod": 1,
    "UnreachableDelay": 1,
    "UnavailableDelay": 1,
    "Timeout": 10,
    "StartPollers": 1,
    "StartPollersUnreachable": 1,
    "StartTrappers": 1,
    "StartPingers": 0,
    "StartDiscoverers": 0,
    "StartHTTPPollers": 0,
    "StartHistoryPollers": 1,
    "StartPreprocessors": 1,
    "StartDBSyncers": 1,
    "StartLLDProcessors": 1,
    "StartAlerters": 1,
    "LogType": "console",
}


@dataclass(frozen=True, slots=True)
class Trapper:
    """Where a running server takes values for trapper items."""

    port: int
    address: str = LOOPBACK

    def send(self, host: str, key: str, value: str) -> bool:
        """Send one value by the sender protocol; whether the server knew the item and took it."""
        values = [{"host": host, "key": key, "value": value}]
        body = json.dumps({"request": "sender data", "data": values}).encode()
        with socket.create_connection((self.address, self.port), timeout=60) as connection:
            connection.sendall(b"ZBXD\x01" + struct.pack("<Q", len(body)) + body)
            with connection.makefile("rb") as stream:
                answer = json.loads(stream.read()[13:])
        return "processed: 1;" in answer.get("info", "")


@contextlib.contextmanager
def server(database: postgres.Cluster, name: str, folder: Path) -> Iterator[Trapper]:
    """Run zabbix_server on the database `name`; ready when its trapper listens."""
    program = need_program("zabbix_server", "zabbix-server-pgsql")
    trapper = Trapper(port=free_port())
    own = _own_folder(folder / "server")
    settings = {
        **_SERVER_SETTINGS,
        "ListenPort": trapper.port,
        "PidFile": own / "server.pid",
        "SocketDir": own,
        "DBHost": database.host,
        "DBPort": database.port,
        "DBName": name,
        "DBUser": postgres.SUPERUSER,
        "DBPassword": postgres.PASSWORD,
    }
    with process.running(
        [program, "--foreground", "--config", _write(own / "zabbix_server.conf", settings)],
        name="zabbix_server",
        folder=folder,
        user=account(),
        ready=lambda: accepts(trapper.address, trapper.port),
    ):
        yield trapper


@contextlib.contextmanager
def agent(folder: Path, hostname: str = "harness-agent") -> Iterator[tuple[str, int]]:
    """Run zabbix_agentd on loopback; address and port, for the interface of a host that shall be available."""
    program = need_program("zabbix_agentd", "zabbix-agent")
    port = free_port()
    own = _own_folder(folder / "agent")
    settings = {
        "Server": LOOPBACK,
        "ListenIP": LOOPBACK,
        "ListenPort": port,
        "Hostname": hostname,
        "StartAgents": 1,
        "LogType": "console",
        "PidFile": own / "agent.pid",
    }
    with process.running(
        [program, "--foreground", "--config", _write(own / "zabbix_agentd.conf", settings)],
        name="zabbix_agentd",
        folder=folder,
        user=account(),
        ready=lambda: accepts(LOOPBACK, port),
    ):
        yield LOOPBACK, port


def account() -> str | None:
    """The account that Zabbix's programs and its frontend run as; None when we are not root ourselves."""
    return "zabbix" if os.geteuid() == 0 else None


def _own_folder(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)  # nosec: the folder around it is ours, and the programs run as another account
    return folder


def _write(path: Path, settings: Mapping[str, object]) -> Path:
    path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    return path
