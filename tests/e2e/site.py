"""A customer's side: one network of the control plane, its hosts in Zabbix, real terminals, and proxies that serve it.

Called by the end-to-end tests through the fixtures in conftest.
"""

import datetime as dt
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.plane import Plane
from tests.harness.systems import ubuntu
from tests.harness.terminals import NETWORK, Account, Terminal, TerminalSpec
from tests.harness.zabbix import Zabbix
from tests.harness.zabbix_api import HostSpec, Interface
from tests.integration.proxy import Proxy

UBUNTU = ubuntu("22.04", "jammy")
TILL = TerminalSpec(hostname="till", system=UBUNTU)
ROOT = "root,terminal"  # of TILL's accounts, as inventory notes say it
SUDOER = Account("flagee", password="with a, comma", sudo="password")
SUDO = 'flagee,"with a, comma"'


def zone_where_it_is(hour: int) -> str:
    """A zone, whose clocks never change, in which it is `hour` o'clock now: what a test wants of the time of day."""
    ahead = (hour - dt.datetime.now(dt.UTC).hour + 11) % 24 - 11
    return f"Etc/GMT{-ahead:+d}" if ahead else "Etc/GMT"


@dataclass(frozen=True, slots=True)
class Site:
    """`url`: the control plane as this site's proxies reach it; `token` opens this network's configuration."""

    code: str
    plane: Plane
    zabbix: Zabbix
    folder: Path
    token: str
    url: str
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def add_host(self, place: str, address: str, notes: str = ROOT, *, name: str = "", **tags: str) -> str:
        """A host in Zabbix, called by its place such as LOJA001-PDV201; its technical name."""
        host = f"{self.code}-{place}"
        spec = HostSpec(
            host,
            name=name,
            groups=(self.code,),
            interfaces=(Interface(address),),
            tags=tuple(tags.items()),
            notes=notes,
        )
        self.zabbix.create_hosts([spec])
        return host

    def document(self, **parts: Any) -> dict[str, Any]:
        """The network's configuration; `inventory` and `ssh` in `parts` add to the usual ones."""
        inventory = {
            "kind": "zabbix",
            "url": self.zabbix.url,
            "token": self.zabbix.token,
            "notes_credentials": True,
            "timeout": 20,
        }
        ssh = {"allowed_networks": [str(NETWORK)], "connect_timeout": 20, "command_timeout": 30}
        return {
            "schema_version": 2,
            "network": self.code,
            "timezone": "America/Sao_Paulo",
            "compatibility": {"mode": "enforce"},
            **parts,
            "inventory": {**inventory, **parts.get("inventory", {})},
            "ssh": {**ssh, **parts.get("ssh", {})},
        }

    def publish(self, **parts: Any) -> None:
        """Store `document(**parts)` at the control plane."""
        self.plane.publish(self.code, self.document(**parts))

    def install(self, *, url: str = "", token: str = "") -> Proxy:
        """A new proxy of this network, as the installer leaves it: with token and address, without configuration."""
        proxy = Proxy(self.folder / f"proxy-{next(self._numbers)}")
        proxy.environment["FLAGEEMONITOR_API_BASE"] = f"{url or self.url}/api/ingest"
        proxy.environment["FLAGEEMONITOR_REDE"] = self.code
        set_token(proxy, token or self.token)
        return proxy

    def proxy(self, **parts: Any) -> Proxy:
        """A new proxy that has fetched `document(**parts)`."""
        self.publish(**parts)
        proxy = self.install()
        said = proxy.run("config", "refresh")
        assert said.code == 0, said.stderr
        return proxy


def set_token(proxy: Proxy, token: str) -> None:
    """Put a token where the proxy looks for it."""
    path = proxy.config / "token"
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(f"{token}\n")
    path.chmod(0o400)


def root_of(terminal: Terminal) -> Path:
    """Its file tree, to look into and to leave signs for its programs; links in there lead into this machine."""
    return terminal.folder / "layers" / "root"
