"""Hosts chosen through a real Zabbix 6.0. Each test has a network, so a host group, of its own."""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from contracts.config import NetworkConfig
from runtime.adapters.inventory import open_inventory
from runtime.domain.errors import InventoryUnavailable
from runtime.domain.model import Host, Listing, Selector
from runtime.domain.providers import Provider
from runtime.domain.selection import select
from tests.harness.faults import Answer, Cut, Fault, FaultProxy, Hang, RpcError
from tests.harness.ports import LOOPBACK, free_port
from tests.harness.zabbix import Zabbix
from tests.harness.zabbix_api import HostSpec, Interface

PROVIDERS = {name: Provider.model_validate({"id": name, "display_name": name}) for name in ("arius", "zanthus")}
_numbers = itertools.count(1)


@pytest.fixture
def network() -> str:
    """A network that no other test knows."""
    return f"NET-{next(_numbers)}"


def config(zabbix: Zabbix, network: str, **source: Any) -> NetworkConfig:
    inventory = {"kind": "zabbix", "url": zabbix.url, "token": zabbix.token, **source}
    return NetworkConfig.model_validate({"network": network, "inventory": inventory})


def listed(zabbix: Zabbix, network: str, selector: Selector = Selector(), **source: Any) -> list[Host]:
    """What a run with this selector would get: the inventory's candidates through the one pipeline."""
    return select(open_inventory(config(zabbix, network, **source), PROVIDERS).read(selector).hosts, selector)


def names(hosts: Iterable[Host]) -> list[str]:
    return [host.name for host in hosts]


def pdv(network: str, store: int, terminal: int, **more: Any) -> HostSpec:
    address = Interface(f"10.{store}.{terminal // 250}.{terminal % 250 + 1}")
    return HostSpec(
        **{
            "host": f"{network}-LOJA{store:03}-PDV{terminal}",
            "name": f"{network} (LOJA{store:03}) PDV{terminal}",
            "groups": (network,),
            "interfaces": (address,),
            **more,
        }
    )


def test_a_host_is_read_with_all_that_a_run_needs(zabbix_running: Zabbix, network: str) -> None:
    tags = (("provider", "zanthus"), ("floor", "1"))
    spec = pdv(network, 7, 201, tags=tags, groups=(network, f"{network} front"), notes='op,"a,b,22",2222')
    made = zabbix_running.create_hosts([spec])
    (host,) = listed(zabbix_running, network, notes_credentials=True)
    assert host.id == made[spec.host]
    assert (host.name, host.display_name, host.network) == (spec.host, spec.name, network)
    assert (host.address, host.port, host.agent_port, host.problem) == ("10.7.0.202", 2222, 10050, "")
    assert (host.store, host.terminal, host.role, host.provider) == (7, 201, "checkout", "zanthus")
    assert (set(host.groups), set(host.tags)) == ({network, f"{network} front"}, set(tags))
    assert (host.agent_status, host.maintenance) == (0, False)
    assert host.credential is not None
    assert host.credential.user == "op"
    assert host.credential.password is not None
    assert host.credential.password.reveal() == "a,b,22"


def test_only_enabled_hosts_of_the_network_and_its_nested_groups_are_listed(
    zabbix_running: Zabbix, network: str
) -> None:
    other = f"{network}X"
    mine = pdv(network, 1, 201)
    zabbix_running.create_hosts(
        [
            mine,
            pdv(network, 1, 202, enabled=False),
            pdv(network, 1, 203, groups=(other,)),
            pdv(network, 1, 204, groups=(f"{network}/Loja 1",)),
            pdv(other, 1, 205, groups=(network, other)),
            HostSpec(f"{network}-PROXY", groups=(network,), interfaces=(Interface("10.0.0.1"),)),
            HostSpec(f"{network}-LOJA001-CONCENTRADOR", groups=(network,), interfaces=(Interface("10.0.0.2"),)),
            HostSpec(f"free name {network}", groups=(network,), interfaces=(Interface("10.0.0.3"),)),
        ]
    )
    roles = {host.name: host.role for host in listed(zabbix_running, network)}
    assert roles == {
        mine.host: "checkout",
        f"{network}-LOJA001-PDV204": "checkout",
        f"{network}-PROXY": "proxy",
        f"{network}-LOJA001-CONCENTRADOR": "concentrator",
        f"free name {network}": "other",
    }


def test_configured_groups_replace_the_networks_own(zabbix_running: Zabbix, network: str) -> None:
    one, other = f"{network} one", f"{network} other"
    zabbix_running.create_hosts(
        [
            pdv(network, 1, 201, groups=(one,)),
            pdv(network, 1, 202, groups=(other,)),
            pdv(network, 1, 203, groups=(one, other)),
            pdv(network, 1, 204),
        ]
    )
    hosts = listed(zabbix_running, network, groups=[one, other])
    assert [host.terminal for host in hosts] == [201, 202, 203]


SELECTORS: list[tuple[Selector, list[tuple[int, int]]]] = [
    (Selector(terminals=(20,)), [(1, 20), (2, 20)]),
    (Selector(terminals=(201,)), [(1, 201)]),
    (Selector(stores=(1,), terminals=(20, 201)), [(1, 20), (1, 201)]),
    (Selector(stores=(9,)), []),
    (Selector(addresses=("10.2.0.21",)), [(2, 20)]),
    (Selector(addresses=("10.2.0.2",)), []),
    (Selector(tags=(("provider", "zanthus"),)), [(2, 20)]),
    (Selector(provider="zanthus"), [(2, 20)]),
    (Selector(provider="arius"), [(1, 20), (1, 201)]),
    (Selector(agent_status=1), []),
    (Selector(agent_status=0, limit=1), [(1, 20)]),
]


@pytest.fixture(scope="module")
def small_network(zabbix_running: Zabbix) -> str:
    """Two stores: PDV20 and PDV201 of the first, PDV20 of the second."""
    network = f"NET-{next(_numbers)}"
    zanthus = (("provider", "zanthus"),)
    zabbix_running.create_hosts([pdv(network, 1, 20), pdv(network, 1, 201), pdv(network, 2, 20, tags=zanthus)])
    return network


@pytest.mark.parametrize(("selector", "expected"), SELECTORS)
def test_every_filter_is_applied_and_numbers_are_numbers(
    zabbix_running: Zabbix, small_network: str, selector: Selector, expected: list[tuple[int, int]]
) -> None:
    hosts = listed(zabbix_running, small_network, selector)
    assert [(host.store, host.terminal) for host in hosts] == expected


def interface(kind: int, address: str, *, main: int = 1, use_ip: int = 1, dns: str = "") -> dict[str, Any]:
    details = {"details": {"version": 2, "community": "public"}} if kind == 2 else {}
    return {"type": kind, "main": main, "useip": use_ip, "ip": address, "dns": dns, "port": "10050", **details}


def test_the_main_agent_interface_is_used_in_any_order_of_interfaces(zabbix_running: Zabbix, network: str) -> None:
    zabbix_running.create_hosts([pdv(network, 1, 200)])
    (group,) = zabbix_running.call("hostgroup.get", {"filter": {"name": [network]}, "output": ["groupid"]})
    interfaces = {
        201: [interface(2, "10.9.9.9"), interface(1, "10.9.9.8", main=0), interface(1, "10.1.0.1")],
        202: [interface(2, "10.9.9.9")],
        203: [interface(1, "", use_ip=0, dns="pdv203.example")],
        204: [],
    }
    for terminal, of_it in interfaces.items():
        host = {"host": f"{network}-LOJA001-PDV{terminal}", "groups": [group], "interfaces": of_it}
        zabbix_running.call("host.create", host)
    hosts = {host.terminal: host for host in listed(zabbix_running, network, Selector(stores=(1,)))}
    assert {terminal: host.address for terminal, host in hosts.items()} == {
        200: "10.1.0.201",
        201: "10.1.0.1",
        202: "",
        203: "",
        204: "",
    }
    assert "no agent interface" in hosts[202].problem
    assert "DNS name pdv203.example" in hosts[203].problem
    assert "no agent interface" in hosts[204].problem


@pytest.fixture(scope="module")
def templates(zabbix_running: Zabbix) -> dict[str, str]:
    """Templates base ← middle (nested), and loose; name → id."""
    group = zabbix_running.call("hostgroup.create", {"name": "Inventory templates"})["groupids"][0]
    made: dict[str, str] = {}
    for name, parents in (("base", ()), ("middle", ("base",)), ("loose", ())):
        template = {"host": f"inventory-{name}", "name": f"Inventory {name}", "groups": [{"groupid": group}]}
        linked = [{"templateid": made[parent]} for parent in parents]
        made[name] = zabbix_running.call("template.create", {**template, "templates": linked})["templateids"][0]
    return made


EXCLUSIONS: list[tuple[Callable[[dict[str, str]], list[str]], list[int]]] = [
    (lambda ids: [], [201, 202, 203, 204]),
    (lambda ids: ["inventory-loose"], [201, 202, 204]),
    (lambda ids: ["Inventory loose"], [201, 202, 204]),
    (lambda ids: [ids["loose"]], [201, 202, 204]),
    (lambda ids: ["inventory-middle"], [201, 203, 204]),
    (lambda ids: ["inventory-base"], [203, 204]),
    (lambda ids: ["inventory-base", ids["loose"]], [204]),
]


@pytest.mark.parametrize(("excluded", "expected"), EXCLUSIONS)
def test_hosts_of_an_excluded_template_are_never_selected(
    zabbix_running: Zabbix,
    network: str,
    templates: dict[str, str],
    excluded: Callable[[dict[str, str]], list[str]],
    expected: list[int],
) -> None:
    linked = {201: "inventory-base", 202: "inventory-middle", 203: "inventory-loose"}
    zabbix_running.create_hosts([pdv(network, 1, terminal, templates=(name,)) for terminal, name in linked.items()])
    zabbix_running.create_hosts([pdv(network, 1, 204)])
    hosts = listed(zabbix_running, network, exclude_templates=excluded(templates))
    assert [host.terminal for host in hosts] == expected


@pytest.fixture(scope="module")
def limited_token(zabbix_running: Zabbix) -> Callable[[Sequence[str]], str]:
    """A token of a plain user who may read these host groups and nothing else."""

    def make(groups: Sequence[str]) -> str:
        call, name = zabbix_running.call, f"limited-{next(_numbers)}"
        found = call("hostgroup.get", {"filter": {"name": list(groups)}, "output": ["groupid"]})
        rights = [{"permission": 2, "id": group["groupid"]} for group in found]
        usergroup = call("usergroup.create", {"name": name, "rights": rights})["usrgrpids"][0]
        user = {"username": name, "passwd": "Kj3-lm9-Qx1", "roleid": "1", "usrgrps": [{"usrgrpid": usergroup}]}
        user_id = call("user.create", user)["userids"][0]
        made = call("token.create", {"name": name, "userid": user_id})["tokenids"]
        return str(call("token.generate", made)[0]["token"])

    return make


def test_a_token_that_may_not_see_everything_never_widens_the_selection(
    zabbix_running: Zabbix,
    network: str,
    templates: dict[str, str],
    limited_token: Callable[[Sequence[str]], str],
) -> None:
    zabbix_running.create_hosts([pdv(network, 1, 201, templates=("inventory-loose",)), pdv(network, 1, 202)])
    token = limited_token([network])
    assert [host.terminal for host in listed(zabbix_running, network, token=token)] == [201, 202]
    for written in (templates["loose"], "inventory-loose"):
        with pytest.raises(InventoryUnavailable) as caught:
            listed(zabbix_running, network, token=token, exclude_templates=[written])
        assert caught.value.reason == "unknown_template"
    allowed = limited_token([network, "Inventory templates"])
    hosts = listed(zabbix_running, network, token=allowed, exclude_templates=["inventory-loose"])
    assert [host.terminal for host in hosts] == [202]
    with pytest.raises(InventoryUnavailable) as caught:
        listed(zabbix_running, network, token=limited_token(["Inventory templates"]))
    assert caught.value.reason == "unknown_group"


def test_triggers_in_problem_state_name_candidates_of_this_network_only(zabbix_running: Zabbix, network: str) -> None:
    other = f"{network}X"
    mine, quiet, disabled, foreign = (
        pdv(network, 1, 201),
        pdv(network, 1, 202),
        pdv(network, 1, 203),
        pdv(other, 1, 204),
    )
    zabbix_running.create_hosts([mine, quiet, disabled, foreign])
    text = f"Agent of {network} is down"
    everyone = [one.host for one in (mine, quiet, disabled, foreign)]
    by_host = {host: zabbix_running.create_trapper_trigger(host, "down", text) for host in everyone}
    for host in everyone:
        zabbix_running.show(host, "down", by_host[host], int(host != quiet.host))
    zabbix_running.call("trigger.update", {"triggerid": by_host[disabled.host], "status": 1})
    expected: list[tuple[Selector, list[str]]] = [
        (Selector(trigger_names=(text,)), [mine.host]),
        (Selector(trigger_ids=tuple(by_host.values())), [mine.host]),
        (Selector(trigger_ids=(by_host[mine.host],), trigger_names=(text,)), [mine.host]),
        (Selector(trigger_ids=(by_host[mine.host],), trigger_names=("another",)), []),
        (Selector(trigger_names=(text[:-1],)), []),
        (Selector(trigger_names=(text.lower(),)), []),
        (Selector(trigger_ids=("999999",)), []),
        (Selector(trigger_names=(text,), stores=(2,)), []),
        (Selector(trigger_names=(text,), names=(quiet.host,)), []),
    ]
    for selector, hosts in expected:
        assert names(listed(zabbix_running, network, selector)) == hosts, selector
    assert names(listed(zabbix_running, other, Selector(trigger_names=(text,)))) == [foreign.host]


def test_a_trigger_does_not_select_a_host_of_an_excluded_template(
    zabbix_running: Zabbix, network: str, templates: dict[str, str]
) -> None:
    one, other = pdv(network, 1, 201, templates=("inventory-loose",)), pdv(network, 1, 202)
    zabbix_running.create_hosts([one, other])
    for host in (one.host, other.host):
        zabbix_running.raise_problem(host, "Down")
    hosts = listed(zabbix_running, network, Selector(trigger_names=("Down",)), exclude_templates=[templates["loose"]])
    assert names(hosts) == [other.host]


def test_the_address_of_a_concentrator_protects_every_host_that_has_it_in_a_run_by_trigger_too(
    zabbix_running: Zabbix, network: str, templates: dict[str, str]
) -> None:
    till = pdv(network, 1, 201)
    hub = replace(till, host=f"{network}-LOJA001-CONCENTRADOR", name="", templates=("inventory-loose",))
    zabbix_running.create_hosts([till, hub])
    zabbix_running.raise_problem(till.host, "Down")
    for selector in (Selector(), Selector(trigger_names=("Down",))):
        (found,) = listed(zabbix_running, network, selector, exclude_templates=[templates["loose"]])
        assert found.name == till.host
        assert found.machine.roles["concentrator"].name == hub.host


def read(zabbix: Zabbix, network: str, **source: Any) -> Listing:
    return open_inventory(config(zabbix, network, **source), PROVIDERS).read(Selector())


def test_every_entry_that_reaches_a_machine_protects_it_whatever_its_state(
    zabbix_running: Zabbix, network: str, limited_token: Callable[[Sequence[str]], str]
) -> None:
    till = pdv(network, 1, 201)
    shared = till.interfaces
    beside = {
        "disabled": (pdv(network, 1, 202, interfaces=shared, enabled=False), "disabled"),
        "of a nested group": (pdv(network, 1, 203, interfaces=shared, groups=(f"{network}/Old",)), ""),
        "of another network by name": (pdv(f"{network}X", 1, 204, interfaces=shared, groups=(network,)), "network"),
        "of another group": (pdv(network, 1, 205, interfaces=shared, groups=(f"Servers of {network}",)), "group"),
    }
    zabbix_running.create_hosts([till, pdv(network, 2, 201), *(spec for spec, _ in beside.values())])
    listing = read(zabbix_running, network)
    (found,) = (host for host in listing.hosts if host.name == till.host)
    # Hosts of other tests have the same addresses, and are in sight as well.
    entries = {host.name: host.left_out for host in found.machine.entries if network in host.name}
    assert entries == {till.host: "", **{spec.host: left_out for spec, left_out in beside.values()}}
    seen = read(zabbix_running, network, token=limited_token([network]))
    assert {host.name for host in seen.entries} == {
        till.host,
        pdv(network, 2, 201).host,
        beside["disabled"][0].host,
        beside["of another network by name"][0].host,
    }


def test_every_interface_counts_and_macros_of_host_template_and_server_are_resolved(
    zabbix_running: Zabbix, network: str, templates: dict[str, str]
) -> None:
    till, hub = pdv(network, 1, 201), HostSpec(f"{network}-LOJA001-CONCENTRADOR", groups=(network,))
    call = zabbix_running.call
    made = zabbix_running.create_hosts([till, pdv(network, 1, 202)])
    (group,) = call("hostgroup.get", {"filter": {"name": [network]}, "output": ["groupid"]})
    mark = network.replace("-", "_")
    template = call(
        "template.create",
        {
            "host": f"{network} addresses",
            "groups": [{"groupid": call("hostgroup.get", {"filter": {"name": ["Inventory templates"]}})[0]["groupid"]}],
            "macros": [{"macro": "{$OF_TEMPLATE}", "value": "10.77.0.2"}, {"macro": "{$OWN}", "value": "10.77.9.9"}],
        },
    )["templateids"][0]
    call("usermacro.createglobal", {"macro": f"{{${mark}_GLOBAL}}", "value": "10.77.0.3"})
    call(
        "host.create",
        {
            "host": hub.host,
            "groups": [group],
            "templates": [{"templateid": template}],
            "macros": [
                {"macro": "{$OWN}", "value": "10.77.0.1"},
                {"macro": "{$HIDDEN}", "value": "10.77.0.4", "type": 1},
            ],
            "interfaces": [
                interface(1, "{$OWN}"),
                interface(2, "{$OF_TEMPLATE}"),
                interface(4, f"{{${mark}_GLOBAL}}"),
                interface(3, "{$HIDDEN}", dns="hub.invalid"),
                interface(1, "10.1.0.202", main=0),
            ],
        },
    )
    listing = read(zabbix_running, network)
    found = {host.name: host for host in listing.hosts}
    assert found[hub.host].address == "10.77.0.1"
    assert set(found[hub.host].addresses) == {"10.77.0.1", "10.77.0.2", "10.77.0.3", "hub.invalid", "10.1.0.202"}
    assert set(found[till.host].machine.roles) == {"checkout", "concentrator"}
    told = " ".join(listing.notices)
    assert "{$HIDDEN}" in told
    assert "hub.invalid" in told
    assert len(made) == 2


def test_a_name_that_zabbix_has_for_a_server_protects_the_address_that_it_stands_for(
    zabbix_running: Zabbix, network: str
) -> None:
    till = pdv(network, 1, 201, interfaces=(Interface("127.0.0.1"),))
    zabbix_running.create_hosts([till])
    (group,) = zabbix_running.call("hostgroup.get", {"filter": {"name": [network]}, "output": ["groupid"]})
    by_name = interface(1, "", use_ip=0, dns=socket.gethostname())
    zabbix_running.call("host.create", {"host": f"{network}-PROXY", "groups": [group], "interfaces": [by_name]})
    addresses = {str(answer[4][0]) for answer in socket.getaddrinfo(socket.gethostname(), None)}
    (proxy,) = (host for host in read(zabbix_running, network).hosts if host.role == "proxy")
    assert proxy.address == ""
    assert "DNS name" in proxy.problem
    assert addresses & set(proxy.addresses)


def test_a_concentrator_of_another_group_protects_however_its_address_is_written(
    zabbix_running: Zabbix, network: str, templates: dict[str, str]
) -> None:
    # The system's resolver knows 0x0a4e00cc, which is 10.78.0.204, without a name server.
    # terminal -> (interface of the till, interface of the concentrator); each has {$IP} as its own macro
    written = {
        201: (interface(1, "{$IP}"), interface(1, "10.78.0.201")),
        202: (interface(1, "10.78.0.202"), interface(1, "{$IP}")),
        203: (interface(1, "10.78.0.203"), interface(1, "::FFFF:10.78.0.203")),
        204: (interface(1, "10.78.0.204"), interface(1, "", use_ip=0, dns="0x0a4e00cc")),
        207: (interface(1, "", use_ip=0, dns="0x0a4e00cf"), interface(1, "10.78.0.207")),
        205: (interface(1, "", use_ip=0, dns="till.invalid"), interface(1, "", use_ip=0, dns="TILL.Invalid")),
        206: (interface(1, "fd00::206"), interface(1, "FD00:0:0:0:0:0:0:206")),
    }
    call = zabbix_running.call
    zabbix_running.create_hosts([pdv(network, 1, 209), pdv(f"Servers of {network}", 1, 209)])
    groups = {
        name: call("hostgroup.get", {"filter": {"name": [name]}, "output": ["groupid"]})
        for name in (network, f"Servers of {network}")
    }
    for terminal, (till, hub) in written.items():
        for name, group, one in (
            (f"{network}-LOJA001-PDV{terminal}", network, till),
            (f"{network}-LOJA{terminal}-CONCENTRADOR", f"Servers of {network}", hub),
        ):
            macro = {"macro": "{$IP}", "value": f"10.78.0.{terminal}"}
            excluded = [{"templateid": templates["loose"]}] if group != network else []
            host = {"host": name, "groups": groups[group], "interfaces": [one], "macros": [macro]}
            call("host.create", {**host, "templates": excluded})
    listing = read(zabbix_running, network, exclude_templates=["inventory-loose"])
    machines = {host.terminal: host.machine for host in listing.hosts}
    hubs = {
        terminal: {entry.name for entry in machine.entries if entry.name.startswith(network) and entry.left_out}
        for terminal, machine in machines.items()
    }
    assert hubs == {209: set()} | {one: {f"{network}-LOJA{one}-CONCENTRADOR"} for one in written}
    assert {terminal for terminal, machine in machines.items() if machine.excluded} == {*written}


def test_agent_status_is_that_of_the_main_agent_interface(zabbix_running: Zabbix, network: str) -> None:
    address, port = zabbix_running.agent()
    up = pdv(network, 1, 201, interfaces=(Interface(address, port),))
    down = pdv(network, 1, 202, interfaces=(Interface(LOOPBACK, free_port()),))
    zabbix_running.create_hosts([up, down, pdv(network, 1, 203)])
    zabbix_running.poll_agents(up.host, down.host)
    by_status = {
        status: [host.terminal for host in listed(zabbix_running, network, Selector(agent_status=status))]
        for status in (0, 1, 2)
    }
    assert by_status == {0: [203], 1: [201], 2: [202]}
    assert listed(zabbix_running, network, Selector(agent_status=1))[0].agent_port == port


def test_a_host_has_its_maintenance_state(zabbix_running: Zabbix, network: str) -> None:
    inside, outside = pdv(network, 1, 201), pdv(network, 1, 202)
    zabbix_running.create_hosts([inside, outside])
    zabbix_running.put_into_maintenance(f"{network} works", inside.host)
    assert [host.maintenance for host in listed(zabbix_running, network)] == [True, False]


def test_thousands_of_hosts_are_read_in_one_call(
    zabbix_running: Zabbix, zabbix_faults: FaultProxy, network: str
) -> None:
    zabbix_running.create_hosts([pdv(network, store, 200 + till) for store in range(101, 201) for till in range(20)])
    hosts = listed(zabbix_running, network, url=zabbix_faults.url, exclude_templates=["Linux by Zabbix agent"])
    assert len(hosts) == 2000
    assert len({host.identity for host in hosts}) == 2000
    methods = [method for _, method in zabbix_faults.requests]
    assert methods[:5] == ["apiinfo.version", "hostgroup.get", "template.get", "host.get", "hostinterface.get"]
    # What other tests have made is in sight, too: it is counted, and read where its addresses are not plainly written.
    assert len(methods) <= 16


# What an inventory must be asked so that it makes every call that there is.
DOWN = Selector(trigger_names=("Down",))
EVERY_CALL: Mapping[str, Any] = {"exclude_templates": ["Linux by Zabbix agent"]}
FAULTS: dict[str, tuple[Fault, str]] = {
    "error in a 200": (RpcError(data="Incorrect arguments passed to function."), "zabbix_error"),
    "HTTP 500": (Answer(), "zabbix_http_error"),
    "a web page": (Answer(200, b"<html><title>Zabbix</title></html>", "text/html"), "not_zabbix"),
    "nothing": (Answer(200, b""), "not_zabbix"),
    "cut at once": (Cut(0), "zabbix_unreachable"),
    "no answer": (Hang(), "zabbix_timeout"),
}


@pytest.mark.parametrize(
    "method", ["apiinfo.version", "hostgroup.get", "trigger.get", "template.get", "host.get", "hostinterface.get"]
)
@pytest.mark.parametrize(("fault", "reason"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_in_any_call_is_never_no_hosts(
    zabbix_running: Zabbix, zabbix_faults: FaultProxy, problem_network: str, fault: Fault, reason: str, method: str
) -> None:
    source = {**EVERY_CALL, "url": zabbix_faults.url}
    if reason == "zabbix_timeout":
        source["timeout"] = 0.5
    with zabbix_faults.failing(fault, method=method), pytest.raises(InventoryUnavailable) as caught:
        listed(zabbix_running, problem_network, DOWN, **source)
    assert caught.value.exit_code == 4
    assert caught.value.reason == reason
    assert caught.value.advice
    assert str(zabbix_running.token) not in f"{caught.value.message} {caught.value.advice}"


def test_a_list_of_hosts_cut_anywhere_is_not_a_shorter_list(
    zabbix_running: Zabbix, zabbix_faults: FaultProxy, small_network: str
) -> None:
    for after in range(20, 1200, 59):
        with zabbix_faults.failing(Cut(after), method="host.get"), pytest.raises(InventoryUnavailable):
            listed(zabbix_running, small_network, url=zabbix_faults.url)
    assert len(listed(zabbix_running, small_network, url=zabbix_faults.url)) == 3


@pytest.fixture(scope="module")
def problem_network(zabbix_running: Zabbix) -> str:
    """A network with one host, which has a problem and is found when every call has its answer."""
    network = f"NET-{next(_numbers)}"
    zabbix_running.create_hosts([pdv(network, 1, 201)])
    zabbix_running.raise_problem(pdv(network, 1, 201).host, "Down")
    assert len(listed(zabbix_running, network, DOWN, **EVERY_CALL)) == 1
    return network


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ({"token": "0" * 64}, "zabbix_token"),
        ({"token": "not a token"}, "zabbix_token"),
        ({"groups": ["No Such Group"]}, "unknown_group"),
        ({"exclude_templates": ["No Such Template"]}, "unknown_template"),
        ({"exclude_templates": ["999999"]}, "unknown_template"),
    ],
)
def test_a_wrong_setting_is_named(
    zabbix_running: Zabbix, small_network: str, source: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InventoryUnavailable) as caught:
        listed(zabbix_running, small_network, **source)
    assert caught.value.reason == reason
    assert str(source.get("token", "***")) not in caught.value.message


def test_group_names_are_compared_exactly(zabbix_running: Zabbix, small_network: str) -> None:
    with pytest.raises(InventoryUnavailable) as caught:
        listed(zabbix_running, small_network.lower())
    assert caught.value.reason == "unknown_group"


@pytest.mark.parametrize("path", ["/index.php", "/zabbix", "/favicon.ico"])
def test_an_address_that_is_not_the_api_is_named(zabbix_running: Zabbix, small_network: str, path: str) -> None:
    with pytest.raises(InventoryUnavailable) as caught:
        listed(zabbix_running, small_network, url=zabbix_running.url + path)
    assert caught.value.reason in ("not_zabbix", "zabbix_http_error", "zabbix_redirect"), caught.value.message


@pytest.mark.parametrize("end", ["/", "/api_jsonrpc.php", "/api_jsonrpc.php/"])
def test_the_url_may_be_written_in_each_usual_way(zabbix_running: Zabbix, small_network: str, end: str) -> None:
    assert len(listed(zabbix_running, small_network, url=zabbix_running.url + end)) == 3


def test_hosts_print_no_password(zabbix_running: Zabbix, network: str) -> None:
    zabbix_running.create_hosts([pdv(network, 1, 201, notes="root,hidden-password")])
    hosts = listed(zabbix_running, network, notes_credentials=True)
    assert hosts[0].credential is not None
    assert "hidden-password" not in repr(hosts) + json.dumps([str(host) for host in hosts])
