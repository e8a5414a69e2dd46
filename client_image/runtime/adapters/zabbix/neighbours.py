"""Hosts outside the network's groups that have an address of one of its hosts, as far as the token sees them: they protect.

Called by the Zabbix inventory. Counting comes first, because that is cheap, and in most networks there are no such hosts.
"""

from __future__ import annotations

from collections.abc import Collection

from runtime.adapters.zabbix.api import Api
from runtime.adapters.zabbix.rows import Interface, InterfaceOwner

_NOWHERE = frozenset({"", "127.0.0.1", "::1", "0.0.0.0", "::", "localhost"})  # noqa: S104


def strangers(api: Api, interfaces: Collection[Interface], known: Collection[str]) -> frozenset[str]:
    """Ids of hosts that are not ``known`` and have an interface with an address or DNS name of one of ``interfaces``, as it is
    written there."""
    ips = {one.ip for one in interfaces} - _NOWHERE
    names = {one.dns for one in interfaces} - _NOWHERE
    given = {field: sorted(values) for field, values in (("ip", ips), ("dns", names)) if values}
    if not given:
        return frozenset()
    asked = {"filter": given, "searchByAny": True}
    if api.count("hostinterface.get", **asked) == sum(one.ip in ips or one.dns in names for one in interfaces):
        return frozenset()
    owners = api.get("hostinterface.get", InterfaceOwner, output=["interfaceid", "hostid"], **asked)
    return frozenset(one.host_id for one in owners) - frozenset(known)
