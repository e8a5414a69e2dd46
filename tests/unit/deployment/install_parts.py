"""A host on which `deploy install` and `uninstall` work with an engine in memory. Called by the tests of both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from contracts.stored_text import sentences_of
from contracts.text import say
from runtime.deployment import installation, removal
from runtime.deployment.deployment import Deployment
from runtime.deployment.engine import Probe
from runtime.deployment.environment import read_settings
from runtime.deployment.environment_lines import parse
from runtime.deployment.names import Names
from runtime.deployment.request import InstallOptions, Order, environment_text, read_request
from runtime.deployment.results import DeployError, Result, as_result
from runtime.deployment.web_proxies import found_by_installer
from tests.unit.deployment.support import RUNTIME, TAG, Host, StoredContainer, make_host

ROOT = Path(__file__).parents[3]
TOKEN = "fm1.0123456789ab.one-time_0123456789"
VALUES = {
    "API_BASE": "https://control.example/api/ingest",
    "ENROLL_URL": "https://control.example/api/bootstrap/enroll",
    "HEALTH_URL": "https://control.example/api/bootstrap/health",
    "CLIENT": "Mercado 'Sol' & Filhos",
    "NETWORK": "ACME",
    "TIMEZONE": "America/Sao_Paulo",
    "IMAGE": TAG,
    "WATCHTOWER_IMAGE": "containrrr/watchtower:1.7.1",
    "WATCHTOWER_INTERVAL": "300",
    "BOOTSTRAP_TOKEN": TOKEN,
    "HOSTNAME": "store-7",
}
AUTHORITY = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
CREDENTIALS = '{"auths": {"registry.example": {"auth": "dTpw"}}}\n'


def request(**values: str) -> bytes:
    """The installer's lines; a value of None leaves a key out."""
    given = {**VALUES, **values}
    lines = [f"{key}={line}" for key, value in given.items() for line in value.removesuffix("\n").split("\n")]
    return ("\n".join(lines) + "\n").encode()


@dataclass
class Site:
    """`enrolment`: what the enrolment's container answers; None: it fails without an answer. `orders`: what it was given."""

    host: Host
    enrolment: dict[str, Any] | None = field(default_factory=lambda: {"stage": "done", "enrolled": True})
    orders: list[dict[str, Any]] = field(default_factory=list)
    bodies: list[Mapping[str, Any]] = field(default_factory=list)
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def etc(self) -> Path:
        return self.host.folder / "etc"

    @property
    def data(self) -> Path:
        return self.host.folder / "data"

    def program(self, body: Mapping[str, Any], stdin: bytes) -> Probe:
        """Plays `runtime.enrol`."""
        order = json.loads(stdin)
        self.orders.append(order)
        self.bodies.append(body)
        assert (self.etc / "config" / order["seen"]).is_dir()
        assert (self.data / order["seen"]).is_dir()
        if self.enrolment is None:
            return Probe(1, "Traceback: no such thing")
        answer = {"message": say("fetched"), "advice": "", "notes": [], **self.enrolment}
        if answer["enrolled"]:
            (self.etc / "config/token").write_text("fm1.agent")
            (self.data / "state.db").write_text("state")
        texts = [answer["message"], answer["advice"], *answer["notes"]]
        text = json.dumps({**answer, "sentences": sentences_of(texts)})
        return Probe(0 if answer["stage"] == "done" else 1, f"a line of a log\n{text}\n")

    def install(self, raw: bytes | None = None, **options: Any) -> tuple[Result, dict[str, Any]]:
        """As runtime.deploy does it, without the lock."""
        asked, chosen = read_request(raw or request()), InstallOptions(**options)
        before, agent = installation.present(self.etc)
        web_proxies = found_by_installer(self.environ, parse(before or b"").values)
        environment = environment_text(before, RUNTIME, asked, chosen, agent, web_proxies)
        order = Order(asked, chosen, agent, before, environment)
        return installation.install(self.deployment(environment.text), order)

    def deployment(self, text: str) -> Deployment:
        made = self.host.deployment()
        folders = replace(made.folders, timer=self.host.folder / "timer")
        return replace(made, settings=read_settings(text.encode(), RUNTIME), folders=folders)

    def uninstall(self, *, delete_data: bool = False, dry_run: bool = False) -> Result:
        made = self.host.deployment()
        folders = replace(made.folders, timer=self.host.folder / "timer")
        try:
            return removal.uninstall(
                self.host.engine,
                Names(RUNTIME),
                folders,
                "linux",
                made.notify,
                delete_data=delete_data,
                dry_run=dry_run,
            )
        except DeployError as error:
            return as_result(error)

    def environment(self) -> dict[str, str]:
        lines = (self.etc / "flageemonitor.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if not line.startswith("#"))

    def files(self) -> set[str]:
        """Everything below etc, data, bin and timer."""
        tops = [self.host.folder / name for name in ("etc", "data", "bin", "timer")]
        return {str(path.relative_to(self.host.folder)) for top in tops for path in top.rglob("*")}

    def foreign(
        self, name: str, *, labels: Mapping[str, str] = {}, image: str = "other/thing:1", running: bool = True
    ) -> None:
        """A container of somebody else's."""
        mark = f"f{len(self.host.engine.containers):063x}"
        body: dict[str, Any] = {
            "Image": image,
            "Env": [],
            "Labels": {"flageemonitor.role": "watchtower", **labels},
            "StopTimeout": 10,
            "HostConfig": {"RestartPolicy": {"Name": "always"}},
        }
        stored = StoredContainer(mark, name, "sha256:foreign", body, status="running" if running else "exited")
        self.host.engine.containers[mark] = stored


def make_site(folder: Path) -> Site:
    """Nothing is installed: the folders are as the installer makes them."""
    host = make_host(folder)
    (folder / "data/runs").rmdir()
    (folder / "timer").mkdir()
    (folder / "image").mkdir(exist_ok=True)
    for shared in ("wrappers", "locale"):
        (folder / "image" / shared).symlink_to(ROOT / shared)
    host.engine.fetch()
    site = Site(host)
    host.engine.program = site.program
    return site
