"""Hosts outside the network's groups that may have an address of one of its hosts, as far as the token sees them: they protect.

Called by the Zabbix inventory. Counting comes first, because that is cheap, and in most networks there are no such hosts. Zabbix
compares texts, so a host elsewhere whose address is not plainly written (a macro, a DNS name, another spelling of an address)
is read, and what it stands for is compared here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from contracts.text import say
from runtime.adapters.zabbix.api import Api
from runtime.adapters.zabbix.macros import is_macro
from runtime.adapters.zabbix.rows import Interface, InterfaceOwner
from runtime.domain.machines import is_address
from runtime.domain.model import Host

MOST = 1000  # hosts elsewhere that are read for what their addresses stand for
_NOWHERE = frozenset({"", "127.0.0.1", "::1", "0.0.0.0", "::", "localhost"})  # noqa: S104

_Asked = dict[str, Any]


def nobody_else(api: Api, interfaces: Collection[Interface]) -> bool:
    """Whether the token sees no other interfaces than these."""
    return api.count("hostinterface.get") == len(interfaces)


def unclear(api: Api, interfaces: Collection[Interface], known: Collection[str]) -> tuple[frozenset[str], str]:
    """Ids of hosts that are not ``known`` and have an address that a comparison of texts may miss; and a notice, or nothing."""
    otherwise: _Asked = {"search": {"ip": ["{", ":"], "dns": ["{"]}, "searchByAny": True}
    found = {
        *_owners(api, otherwise, interfaces, lambda one: "{" in one.ip + one.dns or ":" in one.ip),
        *_owners(api, {"filter": {"useip": 0}}, interfaces, lambda one: one.useip == 0),
    } - {*known}
    if len(found) <= MOST:
        return frozenset(found), ""
    notice = say(
        "more than {most} hosts of other groups have a macro, a DNS name or an IPv6 address: only {most} of them were "
        "compared with this network, so another one at an address of it does not protect it. "
        "Let the token's user read fewer groups",
        most=MOST,
    )
    return frozenset(sorted(found, key=int)[:MOST]), notice


def strangers(
    api: Api, interfaces: Collection[Interface], meant: Iterable[str], known: Collection[str]
) -> frozenset[str]:
    """Ids of hosts that are not ``known`` and have an interface with an address or DNS name of one of ``interfaces``, as it is
    written there, or one of those that they stand for (``meant``, canonical)."""
    ips, names = {one.ip for one in interfaces}, {one.dns for one in interfaces}
    for text in meant:
        (ips if is_address(text) else names).add(text)
    given = {
        field: {text for text in values - _NOWHERE if not is_macro(text)}
        for field, values in (("ip", ips), ("dns", names))
    }
    filters = {field: sorted(values) for field, values in given.items() if values}
    if not filters:
        return frozenset()
    asked: _Asked = {"filter": filters, "searchByAny": True}
    return _owners(api, asked, interfaces, lambda one: one.ip in given["ip"] or one.dns in given["dns"]) - {*known}


def reaching(hosts: Iterable[Host], meant: Collection[str]) -> list[Host]:
    """Those that have one of these addresses or names."""
    places = {*meant} - _NOWHERE
    return [host for host in hosts if not places.isdisjoint(host.addresses)]


def _owners(
    api: Api, asked: _Asked, interfaces: Iterable[Interface], passes: Callable[[Interface], bool]
) -> frozenset[str]:
    """Who has such interfaces, when there are more of them than ``interfaces`` has."""
    ours = sum(passes(one) for one in interfaces)
    if api.count("hostinterface.get", **asked) == ours:
        return frozenset()
    found = api.get("hostinterface.get", InterfaceOwner, output=["interfaceid", "hostid"], **asked)
    return frozenset(one.host_id for one in found)
