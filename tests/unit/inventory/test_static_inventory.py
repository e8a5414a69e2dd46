"""Hosts that the configuration lists."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.config import NetworkConfig
from runtime.adapters.inventory import open_inventory
from runtime.domain.errors import UsageFault
from runtime.domain.model import Host, Selector
from runtime.domain.providers import Provider

PROVIDERS = {
    "zanthus": Provider.model_validate({"id": "zanthus", "display_name": "Zanthus", "roles": {"checkout": ["CX"]}})
}


def listed(*hosts: dict[str, Any], selector: Selector = Selector(), **config: Any) -> list[Host]:
    document = {"network": "ACME", "inventory": {"kind": "static", "hosts": list(hosts)}, **config}
    return list(open_inventory(NetworkConfig.model_validate(document), PROVIDERS).read(selector).hosts)


NAMED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {"name": "ACME-LOJA001-PDV201"},
        {"store": 1, "terminal": 201, "role": "checkout", "provider": "arius", "port": 22},
    ),
    ({"name": "acme-loja1-self7"}, {"store": 1, "terminal": 7, "role": "self_checkout", "network": "ACME"}),
    ({"name": "ACME-LOJA001-CX5", "provider": "zanthus"}, {"terminal": 5, "role": "checkout", "provider": "zanthus"}),
    ({"name": "ACME-LOJA001-PDV201", "tags": {"provider": "zanthus"}}, {"provider": "zanthus"}),
    ({"name": "ACME-LOJA001-PDV201", "tags": {"provider": "zanthus"}, "provider": "arius"}, {"provider": "arius"}),
    ({"name": "till", "role": "checkout"}, {"store": None, "terminal": None, "role": "checkout", "problem": ""}),
    ({"name": "till"}, {"role": "other"}),
    ({"name": "ACME-LOJA001-CONCENTRADOR", "role": "checkout"}, {"role": "concentrator"}),
    ({"name": "ACME-LOJA001-PDV201", "display_name": "CONCENTRADOR"}, {"role": "concentrator"}),
    ({"name": "till", "port": 2222, "groups": ["Front"]}, {"port": 2222, "groups": ("Front",), "display_name": "till"}),
]


@pytest.mark.parametrize(("written", "expected"), NAMED)
def test_what_is_not_written_comes_from_the_name(written: dict[str, Any], expected: dict[str, Any]) -> None:
    (host,) = listed({"address": "10.0.0.1", **written})
    assert {name: getattr(host, name) for name in expected} == expected
    assert host.address == "10.0.0.1"


@pytest.mark.parametrize("written", ["10.0.0.9", "::ffff:10.0.0.9"])
def test_a_host_with_the_address_of_a_concentrator_names_the_concentrator(written: str) -> None:
    till, hub, other, beside = listed(
        {"name": "ACME-LOJA001-PDV209", "address": written},
        {"name": "ACME-LOJA001-CONCENTRADOR", "address": "10.0.0.9"},
        {"name": "ACME-LOJA001-PDV210", "address": "10.0.0.10"},
        {"name": "ACME-LOJA001-PDV211", "address": written, "port": 2201},
    )
    assert set(till.machine.entries) == set(hub.machine.entries) == {till, hub}
    assert (other.machine.entries, beside.machine.entries) == ((other,), (beside,))


def test_a_host_of_another_network_is_reported_and_has_no_address() -> None:
    (host,) = listed({"name": "OTHER-LOJA001-PDV201", "address": "10.0.0.1"})
    assert host.address == ""
    assert "another network than ACME" in host.problem


def test_a_host_gets_the_credential_that_it_names() -> None:
    credentials = [{"id": "old", "user": "root", "password": "x"}, {"id": "new", "user": "op", "password": "y"}]
    one, other = listed(
        {"name": "a", "address": "10.0.0.1", "credential": "new"},
        {"name": "b", "address": "10.0.0.2"},
        credentials=credentials,
    )
    assert one.credential is not None
    assert one.credential.user == "op"
    assert other.credential is None


@pytest.mark.parametrize(
    "selector", [Selector(trigger_ids=("1",)), Selector(trigger_names=("down",)), Selector(agent_status=0)]
)
def test_a_filter_that_only_zabbix_knows_is_refused_not_ignored(selector: Selector) -> None:
    with pytest.raises(UsageFault) as caught:
        listed({"name": "a", "address": "10.0.0.1"}, selector=selector)
    assert caught.value.reason == "needs_zabbix"
