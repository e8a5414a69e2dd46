"""Filling a Zabbix through its API: hosts in bulk, maintenance, items and triggers.

Called by `zabbix` and by the tests through it. It is a client of its own on purpose: the product's client is under test.
"""

import itertools
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import requests

_AT_ONCE = 250  # hosts a call: few calls, and no request so large that PHP refuses it


class ZabbixError(Exception):
    """The API answered with an error."""


@dataclass(frozen=True, slots=True)
class Interface:
    """An agent interface of a host; the first one of a host is its main one."""

    ip: str
    port: int = 10050
    dns: str = ""


@dataclass(frozen=True, slots=True)
class HostSpec:
    """A host as a test wants it; groups and templates by name, groups are made when they do not exist."""

    host: str
    name: str = ""
    groups: tuple[str, ...] = ("Harness",)
    interfaces: tuple[Interface, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    macros: Mapping[str, str] = field(default_factory=dict)
    notes: str = ""
    templates: tuple[str, ...] = ()
    enabled: bool = True


class Api:
    """JSON-RPC to one Zabbix 6.0."""

    def __init__(self, url: str, token: str | None = None) -> None:
        """`url` is the frontend's base; without a token only calls that need none work."""
        self.url = url
        self.token = token
        self._ids = itertools.count(1)

    def call(self, method: str, params: object) -> Any:
        """One call; the `result`, or ZabbixError."""
        request = {"jsonrpc": "2.0", "method": method, "params": params, "id": next(self._ids), "auth": self.token}
        answer = requests.post(f"{self.url}/api_jsonrpc.php", json=request, timeout=60)
        answer.raise_for_status()
        document = answer.json()
        if "error" in document:
            raise ZabbixError(f"{method}: {document['error']}")
        return document["result"]

    def create_hosts(self, hosts: Sequence[HostSpec]) -> dict[str, str]:
        """Create them in few calls; technical name → host id."""
        groups = self._group_ids(group for host in hosts for group in host.groups)
        templates = self._template_ids({template for host in hosts for template in host.templates})
        made: dict[str, str] = {}
        for first in range(0, len(hosts), _AT_ONCE):
            part = hosts[first : first + _AT_ONCE]
            result = self.call("host.create", [_host_params(host, groups, templates) for host in part])
            made.update(zip((host.host for host in part), result["hostids"], strict=True))
        return made

    def delete_hosts(self, host_ids: Iterable[str]) -> None:
        """Remove hosts with all that belongs to them."""
        self.call("host.delete", list(host_ids))

    def host_id(self, host: str) -> str:
        """Id of the host with this technical name."""
        found = self.call("host.get", {"filter": {"host": [host]}, "output": ["hostid"]})
        return str(found[0]["hostid"])

    def availability(self, host: str) -> list[int]:
        """Of each interface of the host: 0 unknown, 1 available, 2 unavailable."""
        found = self.call("hostinterface.get", {"hostids": self.host_id(host), "output": ["available"]})
        return [int(interface["available"]) for interface in found]

    def create_trapper_trigger(self, host: str, key: str, description: str) -> str:
        """A trapper item `key` and a trigger that is in problem state while its last value is not 0; the trigger's id."""
        item = {"hostid": self.host_id(host), "name": key, "key_": key, "type": 2, "value_type": 3}
        self.call("item.create", item)
        trigger = {"description": description, "expression": f"last(/{host}/{key})<>0", "priority": 4}
        return str(self.call("trigger.create", trigger)["triggerids"][0])

    def trigger_value(self, trigger_id: str) -> int:
        """1 while in problem state, else 0."""
        return int(self.call("trigger.get", {"triggerids": trigger_id, "output": ["value"]})[0]["value"])

    def create_maintenance(self, name: str, hosts: Iterable[str], *, seconds: int = 3600) -> str:
        """A one-time maintenance that began a minute ago and takes `seconds`; its id. The server makes it take effect."""
        since = int(time.time()) - 60
        period = {"timeperiod_type": 0, "start_date": since, "period": seconds}
        window = {"active_since": since, "active_till": since + seconds, "timeperiods": [period]}
        params = {"name": name, **window, "hostids": [self.host_id(host) for host in hosts]}
        return str(self.call("maintenance.create", params)["maintenanceids"][0])

    def in_maintenance(self, host: str) -> bool:
        """Whether the server has put this host into maintenance."""
        found = self.call("host.get", {"filter": {"host": [host]}, "output": ["maintenance_status"]})
        return bool(found[0]["maintenance_status"] == "1")

    def _group_ids(self, names: Iterable[str]) -> dict[str, str]:
        wanted = sorted(set(names))
        found = self.call("hostgroup.get", {"filter": {"name": wanted}, "output": ["name"]})
        ids = {group["name"]: group["groupid"] for group in found}
        missing = [name for name in wanted if name not in ids]
        if missing:
            made = self.call("hostgroup.create", [{"name": name} for name in missing])
            ids.update(zip(missing, made["groupids"], strict=True))
        return ids

    def _template_ids(self, names: set[str]) -> dict[str, str]:
        if not names:
            return {}
        found = self.call("template.get", {"filter": {"host": sorted(names)}, "output": ["host"]})
        return {template["host"]: template["templateid"] for template in found}


def _host_params(host: HostSpec, groups: Mapping[str, str], templates: Mapping[str, str]) -> dict[str, object]:
    interfaces = [
        {
            "type": 1,
            "main": int(place == 0),
            "useip": 1,
            "ip": interface.ip,
            "dns": interface.dns,
            "port": str(interface.port),
        }
        for place, interface in enumerate(host.interfaces)
    ]
    inventory: dict[str, object] = {"inventory_mode": 0, "inventory": {"notes": host.notes}} if host.notes else {}
    return {
        "host": host.host,
        "name": host.name or host.host,
        "status": 0 if host.enabled else 1,
        "groups": [{"groupid": groups[name]} for name in host.groups],
        "interfaces": interfaces,
        "tags": [{"tag": tag, "value": value} for tag, value in host.tags],
        "macros": [{"macro": macro, "value": value} for macro, value in host.macros.items()],
        "templates": [{"templateid": templates[name]} for name in host.templates],
        **inventory,
    }
