"""Terminals cloned from one image: real sshd with the same host keys, whose addresses are swapped, and the whole command line."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.systems import ubuntu
from tests.harness.terminals import Terminal, TerminalSpec, start
from tests.integration.proxy import Proxy, Said

ZONE = "America/Sao_Paulo"
NAMES = ("ACME-LOJA001-PDV201", "ACME-LOJA001-PDV202")
CHANGE = ("update_endpoint_timezone", "--all", "--output", "json")
READ = ("test_endpoint_connection", "--all", "--output", "json")


def clone_keys(image: Terminal, clone: Terminal) -> None:
    """Give `clone` the host keys of `image`, as a copied disk would, and let its sshd read them."""
    for path in (image._root / "etc/ssh").glob("ssh_host_*"):
        (clone._root / "etc/ssh" / path.name).write_bytes(path.read_bytes())
    inside = ("nsenter", "--target", str(clone._pid), "--pid", "--mount")
    subprocess.run([*inside, "sh", "-c", "kill -HUP $(cat /run/sshd.pid)"], check=True)
    wanted = image.host_keys[0].split()[1]
    for _ in range(100):
        shown = subprocess.run(
            ["ssh-keyscan", "-p", str(clone.port), clone.address], check=False, capture_output=True, text=True
        )
        if wanted in shown.stdout:
            return
    raise AssertionError("the clone's sshd never showed the image's key")


@pytest.fixture
def clones(request: pytest.FixtureRequest) -> Iterator[tuple[Terminal, Terminal]]:
    """Two terminals with the same keys and the host names of `request.param`."""
    system = ubuntu("22.04", "jammy")
    one, two = (TerminalSpec(hostname=name, system=system) for name in request.param)
    with start(one) as first, start(two) as second:
        clone_keys(first, second)
        yield first, second


def document(*addresses: str) -> dict[str, Any]:
    hosts = [{"name": name, "address": address} for name, address in zip(NAMES, addresses, strict=True)]
    return {
        "schema_version": 2,
        "network": "ACME",
        "timezone": ZONE,
        "inventory": {"kind": "static", "hosts": hosts},
        "credentials": [{"id": "root", "user": "root", "password": "terminal"}],
        "ssh": {"allowed_networks": ["10.77.0.0/16"]},
    }


def zones(*terminals: Terminal) -> list[str]:
    return [terminal.read("/etc/timezone").strip() for terminal in terminals]


def doctor(proxy: Proxy) -> list[str]:
    """What `doctor` says about identities: "status: text"."""
    checks = proxy.run("doctor", "--output", "json").json
    return [f"{check['status']}: {check['text']}" for check in checks if check["name"] == "host identity"]


def settle(proxy: Proxy, *options: str) -> Said:
    [key] = {host["host_key"] for host in proxy.run("hosts", "--output", "json").json}
    return proxy.run("hosts", "settle", "--key", key, *options)


@pytest.mark.parametrize("clones", [("pdv201", "pdv202")], indirect=True)
def test_a_terminal_that_answers_at_anothers_address_is_not_changed(
    clones: tuple[Terminal, Terminal], tmp_path: Path
) -> None:
    one, two = clones
    proxy = Proxy(tmp_path, document(one.address, two.address))
    looked_at = proxy.run(*READ)
    assert looked_at.outcomes == dict.fromkeys(NAMES, "ok done")
    assert "is also that of" in looked_at.result(NAMES[0])["message"] + looked_at.result(NAMES[1])["message"]

    proxy.configure(document(two.address, one.address))
    before = [terminal.listing_hash() for terminal in clones]
    for dry_run in (["--dry-run"], []):
        said = proxy.run(*CHANGE, *dry_run)
        assert said.code == 1
        assert said.outcomes == dict.fromkeys(NAMES, "blocked host_identity_unclear:another_host")
    message = said.result(NAMES[0])["message"]
    assert f"{two.address} says that it is {NAMES[1]} (host name pdv202)" in message
    assert "Nothing was changed." in message
    assert [terminal.listing_hash() for terminal in clones] == before

    assert proxy.run(*READ).outcomes == dict.fromkeys(NAMES, "ok done")
    [*_, last] = proxy.run("why", NAMES[0], "--last", "1", "--output", "json").json
    gate = next(gate for gate in last["result"]["gates"] if gate["gate"] == "identity")
    assert NAMES[1] in gate["text"]
    assert any(line.startswith(f"warning: {NAMES[0]}: The machine at {two.address}") for line in doctor(proxy))

    assert settle(proxy).code == 0
    assert set(proxy.run(*CHANGE).outcomes.values()) == {"blocked host_identity_unclear:another_host"}

    proxy.configure(document(one.address, two.address))
    assert proxy.run(*CHANGE).outcomes == dict.fromkeys(NAMES, "changed confirmed")
    assert zones(one, two) == [ZONE, ZONE]


@pytest.mark.parametrize("clones", [("debian", "debian")], indirect=True)
def test_indistinguishable_clones_are_changed_only_after_the_image_was_accepted(
    clones: tuple[Terminal, Terminal], tmp_path: Path
) -> None:
    one, two = clones
    proxy = Proxy(tmp_path, document(one.address, two.address))
    proxy.run(*READ)
    assert proxy.run(*CHANGE).outcomes == dict.fromkeys(NAMES, "blocked host_identity_unclear:shared_key")
    [line] = doctor(proxy)
    assert line.startswith("warning: 2 hosts share the host key SHA256:")
    assert "settle --key" in proxy.run("doctor").stdout

    assert "2 hosts share this key" in settle(proxy).stderr
    [line] = doctor(proxy)
    assert line.startswith("ok: 2 hosts share the host key SHA256:")
    listed = proxy.run("hosts", "--output", "json").json
    assert [host["host_key_shared_with"] for host in listed] == [[NAMES[1]], [NAMES[0]]]
    assert all(host["host_key_settled"]["by"] and host["hostname"] == "debian" for host in listed)
    assert proxy.run(*CHANGE).outcomes == dict.fromkeys(NAMES, "changed confirmed")
    assert zones(one, two) == [ZONE, ZONE]

    assert json.loads(settle(proxy, "--undo", "--output", "json").stdout)["settled"] is None
    assert proxy.run(*CHANGE).outcomes == dict.fromkeys(NAMES, "blocked host_identity_unclear:shared_key")


@pytest.mark.parametrize("clones", [("pdv202", "pdv201")], indirect=True)
def test_a_change_that_is_the_first_login_of_all_does_not_reach_swapped_clones(
    clones: tuple[Terminal, Terminal], tmp_path: Path
) -> None:
    one, two = clones
    proxy = Proxy(tmp_path, document(one.address, two.address))
    assert set(proxy.run(*CHANGE).outcomes.values()) == {"blocked host_identity_unclear:another_host"}
    assert ZONE not in zones(one, two)
