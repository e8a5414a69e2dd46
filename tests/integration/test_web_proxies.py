"""The runtime behind a real HTTP proxy that alone knows the way to the control plane: CONNECT, plain http, logins, and away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e import plane as control_plane
from tests.e2e.plane import Plane
from tests.e2e.site import set_token
from tests.harness import authority, web_proxy
from tests.harness.ports import LOOPBACK
from tests.harness.web_proxy import WebProxy
from tests.integration.proxy import Proxy

CODE, NAME = "BEHIND", "control.test"
LOGIN = "till:h%40unter2"  # as in a URL
DOCUMENT = {"schema_version": 2, "network": CODE, "timezone": "UTC", "inventory": {"kind": "static", "hosts": []}}


@pytest.fixture(scope="module", params=["https", "http"])
def plane(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """A control plane whose name only an HTTP proxy knows."""
    folder = tmp_path_factory.mktemp("plane")
    issued = authority.new(folder).issue(folder, NAME) if request.param == "https" else None
    with control_plane.running(folder, tls=issued) as running:
        running.add_network(CODE)
        running.publish(CODE, DOCUMENT)
        yield replace(running, url=running.url.replace(LOOPBACK, NAME))


@pytest.fixture
def corporate() -> Iterator[WebProxy]:
    with web_proxy.running("till:h@unter2") as running:
        yield running


@pytest.fixture
def proxy(plane: Plane, corporate: WebProxy, tmp_path: Path) -> Proxy:
    """As deploy leaves it: the address in the environment, the login in its file."""
    made = Proxy(tmp_path / "proxy")
    for name in ("https_proxy", "http_proxy", "no_proxy"):  # of this machine
        made.environment.pop(name, None)
    made.environment |= {
        "FLAGEEMONITOR_API_BASE": f"{plane.url}/api/ingest",
        "FLAGEEMONITOR_REDE": CODE,
        "FLAGEEMONITOR_INSECURE": "plain-http",
        "HTTPS_PROXY": corporate.address,
        "HTTP_PROXY": corporate.address,
        "NO_PROXY": "localhost,127.0.0.0/8",
    }
    if plane.url.startswith("https"):
        made.environment["FLAGEEMONITOR_CA_PATH"] = str(
            Path(plane.environment["FLAGEE_TLS_CERTIFICATE"]).parent / "ca.pem"
        )
    set_token(made, plane.token("--network", CODE))
    write_login(made, corporate, LOGIN)
    return made


def write_login(proxy: Proxy, corporate: WebProxy, login: str) -> None:
    (proxy.config / "proxy_logins.json").write_text(json.dumps({f"{LOOPBACK}:{corporate.port}": login}))


def test_the_configuration_comes_through_the_http_proxy_with_its_login(
    plane: Plane, proxy: Proxy, corporate: WebProxy
) -> None:
    said = proxy.run("config", "refresh")
    assert said.code == 0, said
    [asked] = corporate.asked
    method = "CONNECT" if plane.url.startswith("https") else "GET"
    assert (asked.method, asked.served, asked.login) == (method, True, "till:h@unter2")
    assert asked.target.partition(":")[0] == NAME
    doctor = proxy.run("doctor", "--output", "json")
    assert {"status": "ok"}.items() <= next(one for one in doctor.json if one["name"] == "control plane").items()
    assert "unter2" not in said.stdout + said.stderr + doctor.stdout + doctor.stderr


@pytest.mark.parametrize("login", ["", "till:wrong"])
def test_a_login_that_is_refused_says_what_to_do_and_the_last_configuration_stays(
    proxy: Proxy, corporate: WebProxy, login: str
) -> None:
    assert proxy.run("config", "refresh").code == 0
    write_login(proxy, corporate, login)
    said = proxy.run("config", "refresh")
    assert said.code != 0
    assert "Nothing was changed" in said.stdout + said.stderr
    assert "the HTTP proxy asks for a login: write FLAGEEMONITOR_HTTPS_PROXY=" in " ".join(
        (said.stdout + said.stderr).split()
    )
    assert "wrong" not in said.stdout + said.stderr
    assert proxy.run("schedule").code == 0


def test_an_http_proxy_that_is_away_is_named_as_the_cause(proxy: Proxy, corporate: WebProxy) -> None:
    with web_proxy.running() as other:
        away = other.address
    proxy.environment |= {"HTTPS_PROXY": away, "HTTP_PROXY": away}
    said = proxy.run("config", "refresh")
    assert said.code != 0
    text = " ".join((said.stdout + said.stderr).split())
    assert f"the HTTP proxy on the way to {NAME}" in text
    assert "could not be reached" in text
    assert corporate.asked == ()


def test_a_zabbix_on_this_host_or_the_local_network_is_never_asked_through_it(
    proxy: Proxy, corporate: WebProxy
) -> None:
    assert proxy.run("config", "refresh").code == 0
    corporate.forget()
    inventory = {"kind": "zabbix", "url": f"http://{LOOPBACK}:1/zabbix", "token": "t", "timeout": 5}
    (proxy.config / "config_bot.json").write_text(json.dumps({**DOCUMENT, "inventory": inventory}))
    said = proxy.run("hosts")
    assert said.code == 4, said  # nobody listens there
    assert corporate.asked == ()
