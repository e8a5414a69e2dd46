"""A host in a company's network: whatever leaves it goes through an HTTP proxy that asks for a login, and its own name server
knows nothing of the Internet. The real image, engine, registry and Watchtower.
"""

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import plane as control_plane
from tests.e2e.plane import CLIENT, Plane
from tests.harness import authority, docker_host, images, process, registry, web_proxy
from tests.harness.docker_host import DockerHost, Said
from tests.harness.ports import LOOPBACK
from tests.harness.registry import Registry
from tests.harness.web_proxy import WebProxy

RUNTIME, NETWORK = "flageemonitor", "BEHIND"
CONTROL, STORE = "control.test", "registry.test"
LOGIN, PASSWORD = "till:hunter2", "hunter2"
REPOSITORY = "flageemonitor-client"
INTERVAL_S = 30
CONTAINERS = (RUNTIME, f"{RUNTIME}-watchtower")


@dataclass(frozen=True, slots=True)
class Company:
    """The host, what is outside of it, and the HTTP proxy between them."""

    host: DockerHost
    plane: Plane
    store: Registry
    corporate: WebProxy
    authority: Path
    first: str

    @property
    def image(self) -> str:
        return f"{self.store.address.replace(LOOPBACK, STORE)}/{REPOSITORY}:stable"

    def release(self, name: str) -> str:
        """Push a local image as the current release: its digest."""
        return self.store.push(self.host, name, f"{REPOSITORY}:stable")

    def line(self) -> str:
        """A fresh line to paste into root's shell, as the control plane prints it."""
        printed = self.plane.command("install-command", CLIENT, NETWORK, "--ca", str(self.authority)).splitlines()[-1]
        return printed.replace("| sudo sh", "| sh") + " --docker-network host"

    def paste(self, line: str, **environ: str) -> Said:
        said = self.host.run("sh", "-c", line, stdin=b"", timeout=600, **environ)
        assert PASSWORD not in said.out + said.err
        return said

    def update(self, *options: str, **environ: str) -> Mapping[str, Any]:
        """`flageemonitor-update-image OPTIONS`: its JSON."""
        command = f"/usr/local/bin/{RUNTIME}-update-image"
        said = self.host.run(command, *options, "--output", "json", stdin=b"", timeout=600, **environ)
        assert said.out.startswith("{"), said
        assert PASSWORD not in said.out + said.err
        answer: Mapping[str, Any] = json.loads(said.out)
        return answer

    def repair(self, **environ: str) -> Mapping[str, Any]:
        return self.update("--repair", **environ)

    def run(self, *words: str) -> Said:
        return self.host.run(f"/usr/local/bin/{RUNTIME}-run", *words)

    def inspect(self, name: str = RUNTIME) -> Mapping[str, Any]:
        found: list[Mapping[str, Any]] = json.loads(self.host.must("docker", "container", "inspect", name))
        return found[0]

    def set_key(self, key: str, value: str) -> None:
        file = f"/etc/{RUNTIME}/flageemonitor.env"
        text = self.host.must("cat", file)
        kept = [line for line in text.splitlines() if line.partition("=")[0] != key]
        self.host.must("sh", "-c", f"cat >{file}", stdin="\n".join([*kept, f"{key}={value}", ""]).encode())

    def publish(self, zone: str) -> None:
        document = {"schema_version": 2, "network": NETWORK, "timezone": zone, "refresh_interval": 30}
        image = {"reference": self.image, "interval": INTERVAL_S}
        self.plane.publish(NETWORK, {**document, "image": image, "inventory": {"kind": "static", "hosts": []}})


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    folder = tmp_path_factory.mktemp("company")
    private = authority.new(folder)
    issued = private.issue(folder, CONTROL, LOOPBACK)
    with (
        web_proxy.running(LOGIN) as corporate,
        docker_host.running() as host,
        registry.running() as store,
        control_plane.running(folder, tls=issued, name=CONTROL) as plane,
    ):
        plane.add_network(NETWORK)
        name = store.address.replace(LOOPBACK, STORE)
        host.configure_engine({"insecure-registries": [name]}, HTTPS_PROXY=corporate.url, HTTP_PROXY=corporate.url)
        images.watchtower(host)
        made = Company(host, plane, store, corporate, private.certificate, images.product(host, "client", "0.1.0"))
        made.publish("UTC")
        made.release(made.first)
        yield made


@pytest.fixture(scope="module")
def installed(company: Company) -> Company:
    said = company.paste(company.line(), https_proxy=company.corporate.url)
    assert said.code == 0, said
    return company


def refresh(company: Company) -> Said:
    return company.run("config", "refresh")


def test_an_engine_s_http_proxy_with_a_login_refuses_an_installation_that_does_not_know_it(company: Company) -> None:
    # As sudo does, which hands on nothing of the caller's environment.
    line = company.line().replace("| sh -c", "| env -u https_proxy sh -c")
    said = company.paste(line, https_proxy=company.corporate.url)
    assert said.code == 1, said
    text = " ".join((said.out + said.err).split())
    assert f"{company.corporate.address} needs a login, which the engine does not tell" in text
    assert "HTTPS_PROXY=http://user:password@host:port" in text
    assert company.host.containers() == {}


def test_an_installation_is_enrolled_and_runs_through_the_http_proxy(installed: Company) -> None:
    ways = [one for one in installed.corporate.asked if one.target.startswith(CONTROL)]
    assert ways
    assert {(one.method, one.login, one.served) for one in ways} == {("CONNECT", LOGIN, True)}
    assert "zone" in installed.host.must("cat", f"/etc/{RUNTIME}/config/config_bot.json")
    checks = {check["name"]: check for check in json.loads(installed.run("doctor", "--output", "json").out)}
    assert (checks["control plane"]["status"], checks["configuration"]["status"]) == ("ok", "ok")
    assert checks["HTTP proxy"]["text"] == installed.corporate.address


def test_the_login_is_in_two_files_and_in_no_container(installed: Company) -> None:
    assert f"FLAGEEMONITOR_HTTPS_PROXY={installed.corporate.url}\n" in installed.host.must(
        "cat", f"/etc/{RUNTIME}/flageemonitor.env"
    )
    assert installed.host.must("stat", "-c", "%a %u", f"/etc/{RUNTIME}/config/proxy_logins.json") == "400 10001\n"
    for name in CONTAINERS:
        told = json.dumps(installed.inspect(name))
        assert PASSWORD not in told
        assert f"HTTPS_PROXY={installed.corporate.address}" in told
        assert PASSWORD not in installed.host.must("docker", "logs", name)
    processes = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not any(PASSWORD.encode() in words and b"flageemonitor" in words for words in processes)
    kept = installed.host.must("sh", "-c", f"cat /etc/{RUNTIME}/deploy.json /var/lib/{RUNTIME}/deployment.json")
    assert PASSWORD not in kept


def test_repairs_find_no_drift_with_and_without_the_caller_s_variables(installed: Company) -> None:
    before = [installed.inspect(name)["Id"] for name in CONTAINERS]
    assert installed.repair()["reason"] == "unchanged"
    assert installed.repair(HTTPS_PROXY="http://somebody.else:1")["reason"] == "unchanged"
    assert [installed.inspect(name)["Id"] for name in CONTAINERS] == before


def test_a_new_configuration_comes_by_the_daemon_s_own_refresh(installed: Company) -> None:
    installed.publish("America/Recife")
    file = f"/etc/{RUNTIME}/config/config_bot.json"
    process.wait_until(
        lambda: "America/Recife" in installed.host.run("cat", file).out,
        within=180,
        what="the new configuration",
        every=1,
    )


def test_an_http_proxy_with_another_login_says_so_and_the_new_one_changes_no_container(installed: Company) -> None:
    before = installed.inspect()["Id"]
    installed.corporate.login = "till:newer"
    try:
        said = refresh(installed)
        text = " ".join((said.out + said.err).split())
        assert said.code != 0
        assert "407" in text
        assert "FLAGEEMONITOR_HTTPS_PROXY=http://user:password@host:port" in text
        installed.set_key("FLAGEEMONITOR_HTTPS_PROXY", installed.corporate.url)
        assert installed.repair()["reason"] == "unchanged"
        assert refresh(installed).code == 0
        assert installed.inspect()["Id"] == before
    finally:
        installed.corporate.login = LOGIN
        installed.set_key("FLAGEEMONITOR_HTTPS_PROXY", installed.corporate.url)
        installed.repair()
    assert refresh(installed).code == 0


def test_an_http_proxy_that_is_away_is_named_and_the_runtime_stays_healthy(installed: Company) -> None:
    with web_proxy.running() as other:
        away = other.address
    installed.set_key("FLAGEEMONITOR_HTTPS_PROXY", away)
    answer = installed.repair()
    assert answer["reason"] == "repaired", answer
    assert "HTTPS_PROXY differs" in answer["message"]
    try:
        said = refresh(installed)
        assert said.code != 0
        assert f"the HTTP proxy on the way to {CONTROL}" in " ".join((said.out + said.err).split())
        assert installed.run("schedule").code == 0  # the last valid configuration is in force
        health = installed.host.run("docker", "exec", RUNTIME, "python", "-m", "runtime.container.health")
        assert health.code == 0, health
    finally:
        installed.set_key("FLAGEEMONITOR_HTTPS_PROXY", installed.corporate.url)
        answer = installed.repair()
    assert answer["reason"] == "repaired", answer
    assert refresh(installed).code == 0


def release(company: Company, number: int) -> str:
    """A further release: the id of its image."""
    name = f"flagee-test-client:behind-{number}"
    if company.host.run("docker", "image", "inspect", company.first).code:
        images.product(company.host, "client", "0.1.0")  # Watchtower removed what it replaced, with all its names
    lines = (f"FROM {company.first}", f'LABEL number="{number}"')
    company.host.must("docker", "build", "-q", "-t", name, "-", stdin="\n".join(lines).encode())
    company.release(name)
    return company.host.must("docker", "image", "inspect", "--format", "{{.Id}}", name).strip()


def test_watchtower_takes_a_release_through_the_engine_and_never_knows_the_login(installed: Company) -> None:
    installed.corporate.forget()
    second = release(installed, 2)
    process.wait_until(
        lambda: installed.host.run("docker", "inspect", "--format", "{{.Image}}", RUNTIME).out.strip() == second,
        within=4 * INTERVAL_S + 240,
        what="Watchtower took the release",
        every=1,
    )
    asked = [one for one in installed.corporate.asked if one.target.startswith(STORE)]
    assert {one.login for one in asked if one.served} == {LOGIN}  # the engine
    assert any(one.method == "CONNECT" and not one.login and not one.served for one in asked)  # Watchtower, refused


def closed_window() -> str:
    """An update window, in UTC, that begins in some hours."""
    begin = dt.datetime.now(dt.UTC) + dt.timedelta(hours=3)
    return f"{begin:%H:%M}-{begin + dt.timedelta(hours=2):%H:%M}"


def wait_for_polls(company: Company, count: int) -> None:
    """Of Watchtower, whose pre-check hook leaves a stamp at each."""
    seen: set[str] = set()

    def enough() -> bool:
        seen.add(company.host.run("cat", f"/var/lib/{RUNTIME}/watchtower.stamp").out)
        return len(seen) > count

    process.wait_until(enough, within=300, what=f"{count} more polls", every=1)


def test_watchtower_waits_for_the_update_window_and_a_person_need_not(installed: Company) -> None:
    installed.set_key("FLAGEEMONITOR_UPDATE_WINDOW", closed_window())
    assert installed.update()["reason"] == "updated"
    before = installed.inspect()["Id"]
    third = release(installed, 3)
    named = ("docker", "image", "inspect", "--format", "{{.Id}}", installed.image)
    process.wait_until(
        lambda: installed.host.run(*named).out.strip() == third,
        within=4 * INTERVAL_S + 240,
        what="Watchtower pulled the release",
        every=1,
    )
    wait_for_polls(installed, 1)  # the one that pulled it is over then
    assert installed.inspect()["Id"] == before
    checks = {check["name"]: check for check in json.loads(installed.run("doctor", "--output", "json").out)}
    assert checks["updates"]["text"].startswith("automatic, from ")
    assert installed.update()["reason"] == "updated"
    assert installed.inspect()["Image"] == third
