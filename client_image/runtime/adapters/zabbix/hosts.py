"""The hosts of one network as its Zabbix knows them: an :class:`runtime.core.ports.Inventory`.

Always bound to the network: enabled hosts of its groups, whose names do not say another network, linked to no excluded
template. One call reads them all, however many; triggers only name candidates (W-04). What the API was asked to filter is
checked again on what it answered, because Zabbix ignores a parameter that it does not know.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass

from contracts.address import parse_address
from contracts.config import ZabbixInventory
from runtime.adapters.naming import Naming
from runtime.adapters.zabbix.api import Api, connected
from runtime.adapters.zabbix.notes import Login, read_notes
from runtime.adapters.zabbix.rows import Group, HostRow, Interface, Notes, Template, TemplateLink, Trigger
from runtime.core.errors import InventoryUnavailable, UsageFault
from runtime.core.machines import canonical, grouped
from runtime.core.model import Host, Listing, Selector

_ENABLED = 0
_IN_PROBLEM = 1
_AGENT_PORT = 10050


@dataclass(frozen=True, slots=True)
class ZabbixHosts:
    """``port``: SSH's, for hosts whose notes name none."""

    source: ZabbixInventory
    naming: Naming
    port: int

    def read(self, selector: Selector) -> Listing:
        """See the protocol. Raises InventoryUnavailable, and UsageFault for a trigger id that is no number."""
        if strange := [one for one in selector.trigger_ids if not (one.isascii() and one.isdecimal())]:
            raise UsageFault(
                "bad_trigger_id", f"{strange[0]!r} is not a trigger id", "Zabbix's trigger ids are numbers"
            )
        with connected(self.source) as api:
            groups = _group_ids(api, self.source.groups or (self.naming.network,))
            excluded = _excluded_ids(api, self.source.exclude_templates)
            candidates = _in_problem(api, groups, selector)
            if candidates is not None and not candidates:
                return Listing()
            found: list[Host] = []
            wanted: set[str] = set()
            for row in self._rows(api, groups):
                if row.status != _ENABLED or not any(group.id in groups for group in row.groups):
                    continue
                host = self._host(row)
                if host is None:
                    continue
                found.append(host)
                if excluded and any(link.id in excluded for link in _links(api, row)):
                    continue
                if candidates is None or row.id in candidates:
                    wanted.add(row.id)
            # All are read, also for a trigger of one of them: each may be a machine that another one's name protects.
            others = tuple(host for host in found if host.id not in wanted)
            return grouped(Listing(tuple(host for host in found if host.id in wanted), others))

    def _rows(self, api: Api, groups: Set[str]) -> Iterator[HostRow]:
        asked: dict[str, object] = {
            "groupids": sorted(groups),
            "filter": {"status": _ENABLED},
            "output": ["hostid", "host", "name", "status", "maintenance_status"],
            "selectInterfaces": ["type", "main", "useip", "ip", "dns", "port", "available"],
            "selectTags": ["tag", "value"],
            "selectHostGroups" if api.version >= (6, 2) else "selectGroups": ["groupid", "name"],
        }
        if self.source.exclude_templates:
            asked["selectParentTemplates"] = ["templateid"]
        if self.source.notes_credentials:
            asked["selectInventory"] = ["notes"]
        return api.get("host.get", HostRow, **asked)

    def _host(self, row: HostRow) -> Host | None:
        tags = tuple((tag.tag, tag.value) for tag in row.tags)
        said = self.naming.describe(row.host, row.name, tags)
        if not said.ours:
            return None
        agent = row.agent
        address, problem = _address(agent)
        login = self._login(row)
        return Host(
            id=row.id,
            name=row.host,
            network=self.naming.network,
            address=address,
            port=login.port if login and login.port else self.port,
            addresses=tuple(
                dict.fromkeys(canonical(text) for one in row.interfaces for text in (one.ip, one.dns) if text)
            ),
            display_name=row.name,
            store=said.store,
            terminal=said.terminal,
            role=said.role,
            provider=said.provider,
            groups=tuple(group.name for group in row.groups),
            tags=tags,
            agent_status=agent.available if agent else None,
            agent_port=int(agent.port) if agent and agent.port.isdecimal() else _AGENT_PORT,
            credential=login.credential if login else None,
            problem=problem,
            maintenance=row.maintenance_status == 1,
        )

    def _login(self, row: HostRow) -> Login | None:
        if not self.source.notes_credentials or not isinstance(row.inventory, Notes):
            return None
        return read_notes(row.inventory.notes.reveal(), f"notes.{row.id}")


def _links(api: Api, row: HostRow) -> tuple[TemplateLink, ...]:
    if row.templates is None:
        raise api.unexpected(f"host.get does not say which templates {row.host} is linked to")
    return row.templates


def _address(agent: Interface | None) -> tuple[str, str]:
    """Address and problem, one of them empty. A DNS name is not resolved: whoever answers for it would be logged in to."""
    if agent is None:
        return "", "no agent interface in Zabbix: add one with the host's IP address"
    if agent.useip != 1:
        return "", f"its agent interface goes by the DNS name {agent.dns!r}: let it go by IP address in Zabbix"
    try:
        return str(parse_address(agent.ip.strip())), ""
    except ValueError:
        return "", f"its agent interface has no IP address but {agent.ip!r}: correct it in Zabbix"


def _group_ids(api: Api, names: tuple[str, ...]) -> frozenset[str]:
    found = api.get("hostgroup.get", Group, filter={"name": list(names)}, output=["groupid", "name"])
    ids = {group.name: group.id for group in found}
    if unknown := [name for name in names if name not in ids]:
        raise InventoryUnavailable(
            "unknown_group",
            f"Zabbix shows no host group named {' or '.join(map(repr, unknown))} to this token",
            "correct inventory.groups (case counts; empty means one group named as the network), "
            "or let the token's user read the group",
        )
    return frozenset(ids[name] for name in names)


def _excluded_ids(api: Api, wanted: tuple[str, ...]) -> frozenset[str]:
    """Ids of the excluded templates and of all that are linked to them. One we cannot see is an error: its hosts would pass."""
    if not wanted:
        return frozenset()
    asked = {"output": ["templateid", "host", "name"], "selectParentTemplates": ["templateid"]}
    templates = list(api.get("template.get", Template, **asked))
    excluded: set[str] = set()
    for name in wanted:
        ids = {one.id for one in templates if name in (one.id, one.host, one.name)}
        if not ids:
            raise InventoryUnavailable(
                "unknown_template",
                f"Zabbix shows no template {name!r} to this token, so its hosts cannot be excluded",
                "correct inventory.exclude_templates (id, name or visible name), or let the token's user read the template",
            )
        excluded |= ids
    while more := {
        one.id for one in templates if one.id not in excluded and any(link.id in excluded for link in one.parents)
    }:
        excluded |= more
    return frozenset(excluded)


def _in_problem(api: Api, groups: Set[str], selector: Selector) -> frozenset[str] | None:
    """Ids of the hosts of live triggers in problem state that have one of the ids and one of the texts given; None: not asked."""
    ids, texts = selector.trigger_ids, selector.trigger_names
    if not ids and not texts:
        return None
    asked: dict[str, object] = {
        "groupids": sorted(groups),
        "monitored": True,
        "filter": {"value": _IN_PROBLEM, **({"description": list(texts)} if texts else {})},
        "output": ["triggerid", "description", "value"],
        "selectHosts": ["hostid"],
    }
    if ids:
        asked["triggerids"] = list(ids)
    return frozenset(
        host.id
        for trigger in api.get("trigger.get", Trigger, **asked)
        if trigger.value == _IN_PROBLEM
        and (not ids or trigger.id in ids)
        and (not texts or trigger.description in texts)
        for host in trigger.hosts
    )
