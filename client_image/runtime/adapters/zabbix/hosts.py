"""The hosts of one network as its Zabbix knows them: an :class:`runtime.domain.ports.Inventory`.

Always bound to the network: a run may select enabled hosts of its groups, nested ones included, whose names do not say another
network, linked to no excluded template. What is left out, and hosts of other groups that have an address of one of these, are
known all the same, because they protect. One call reads the groups' hosts, however many; triggers only name candidates (W-04).
What the API was asked to filter is checked again on what it answered: Zabbix ignores a parameter that it does not know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace

from contracts.bounded import whole
from contracts.config import ZabbixInventory
from contracts.text import plural, say, some_of
from runtime.adapters.naming import Naming
from runtime.adapters.resolver import with_names_resolved
from runtime.adapters.web_proxies import WebProxies
from runtime.adapters.zabbix.api import Api, connected
from runtime.adapters.zabbix.groups import read_groups, unseen_between
from runtime.adapters.zabbix.macros import Macros, is_macro, read_macros
from runtime.adapters.zabbix.neighbours import nobody_else, reaching, strangers, unclear
from runtime.adapters.zabbix.notes import Login, read_notes
from runtime.adapters.zabbix.rows import HostLinks, HostRow, Interface, Notes, Template, TemplateLink, Trigger
from runtime.domain.errors import InventoryUnavailable, UsageFault
from runtime.domain.machines import canonical, grouped, is_address
from runtime.domain.model import Host, LeftOut, Listing, Selector
from runtime.domain.names import parse_name

_ENABLED = 0
_IN_PROBLEM = 1
_AGENT_PORT = 10050
_NO_MACROS = Macros()


@dataclass(frozen=True, slots=True)
class ZabbixHosts:
    """``port``: SSH's, for hosts whose notes name none; ``within``: seconds for a whole reading, if it has a limit."""

    source: ZabbixInventory
    naming: Naming
    port: int
    within: float | None = None
    web_proxies: WebProxies | None = None

    def read(self, selector: Selector) -> Listing:
        """See the protocol. Raises InventoryUnavailable, and UsageFault for a trigger id that is no number."""
        if strange := [one for one in selector.trigger_ids if not (one.isascii() and one.isdecimal())]:
            raise UsageFault(
                "bad_trigger_id",
                say("{id} is not a trigger id", id=strange[0]),
                say("Zabbix's trigger ids are numbers"),
            )
        with connected(self.source, within=self.within, web_proxies=self.web_proxies) as api:
            names = self.source.groups or (self.naming.network,)
            groups = read_groups(api, names)
            excluded = _excluded_ids(api, self.source.exclude_templates)
            candidates = _in_problem(api, groups.keys(), selector)
            if candidates is not None and not candidates:
                return Listing()
            entries, notices = self._entries(api, groups, excluded)
        # All are read, also for a trigger of one of them: each may be a machine that another one's name protects.
        if candidates is not None:
            entries = [replace(host, triggers=candidates.get(host.id, ())) for host in entries]
        chosen = [not host.left_out and (candidates is None or host.id in candidates) for host in entries]
        hosts, others = (
            tuple(host for host, one in zip(entries, chosen, strict=True) if one is kept) for kept in (True, False)
        )
        told = (unseen_between(groups, names), *notices)
        return grouped(Listing(hosts, others, tuple(notice for notice in told if notice)))

    def _entries(
        self, api: Api, groups: Mapping[str, str], excluded: frozenset[str]
    ) -> tuple[list[Host], tuple[str, ...]]:
        """Everything of the network, and what else has an address of it; with notices.

        An address means one machine only where it is reached from: a host that says another network by name, and that Zabbix
        reaches through a proxy of its own which has none of ours, has its address at another site.
        """
        own: list[Host] = []
        interfaces: list[Interface] = []
        known: set[str] = set()
        proxies: set[str] = set()
        dynamic: list[HostRow] = []
        for row in self._rows(api, groupids=sorted(groups)):
            if groups.keys().isdisjoint([group.id for group in row.groups]):
                continue
            known.add(row.id)
            proxies.add(row.proxy)
            interfaces += row.interfaces
            if _has_macro(row):
                dynamic.append(row)
            else:
                own.append(self._host(row, _left_out(row), _is_excluded(api, row, excluded)))

        def elsewhere(ids: Set[str]) -> list[HostRow]:
            rows = self._rows(api, hostids=sorted(ids)) if ids else ()
            return [row for row in rows if row.id not in known and (row.proxy in proxies or self._ours(row))]

        def strange(row: HostRow) -> Host:
            return self._host(row, "group", _is_excluded(api, row, excluded), macros, unknown)

        alone = nobody_else(api, interfaces)
        doubtful, told = (frozenset[str](), "") if alone else unclear(api, interfaces, known)
        far = elsewhere(doubtful)
        macros = self._macros(api, [*dynamic, *far])
        unsaid: list[str] = []
        unknown: list[str] = []
        own += [self._host(row, _left_out(row), _is_excluded(api, row, excluded), macros, unsaid) for row in dynamic]
        notices: list[str] = [
            say("{unknown}, an address of it: it protects by its others only", unknown=one) for one in unsaid
        ]
        notices += [told, _foreign(own)]
        found, unresolved = with_names_resolved([*own, *map(strange, far)])
        own, others = found[: len(own)], found[len(own) :]
        notices += unresolved
        if not alone:
            meant = {text for host in own for text in host.addresses}
            near = elsewhere(strangers(api, interfaces, meant, known | doubtful))
            beside, unresolved = with_names_resolved([*map(strange, near)])
            own += [*reaching(others, meant), *beside]
            notices += unresolved
        if unknown:
            notices.append(
                say(
                    "hosts of other groups protect this network by the addresses that are known only: {hosts}",
                    hosts=some_of(unknown, 5, "; "),
                )
            )
        return own, tuple(notices)

    def _ours(self, row: HostRow) -> bool:
        return self.naming.describe(row.host, row.name, tuple((tag.tag, tag.value) for tag in row.tags)).ours

    def _macros(self, api: Api, rows: list[HostRow]) -> Macros:
        ids = [row.id for row in rows if _has_macro(row)]
        if not ids:
            return Macros()
        asked = {"hostids": ids, "output": ["hostid"], "selectParentTemplates": ["templateid"]}
        links = {one.id: [link.id for link in one.templates] for one in api.get("host.get", HostLinks, **asked)}
        return read_macros(api, {host: links.get(host, ()) for host in ids})

    def _rows(self, api: Api, **which: object) -> Iterator[HostRow]:
        """Disabled ones too: what a host that is switched off says of a machine still protects it."""
        proxy = "proxyid" if api.version >= (7, 0) else "proxy_hostid"
        asked: dict[str, object] = {
            **which,
            "output": ["hostid", "host", "name", "status", "maintenance_status", proxy],
            "selectInterfaces": ["type", "main", "useip", "ip", "dns", "port", "available"],
            "selectTags": ["tag", "value"],
            "selectHostGroups" if api.version >= (6, 2) else "selectGroups": ["groupid", "name"],
        }
        if self.source.exclude_templates:
            asked["selectParentTemplates"] = ["templateid"]
        if self.source.notes_credentials:
            asked["selectInventory"] = ["notes"]
        return api.get("host.get", HostRow, **asked)

    def _host(
        self,
        row: HostRow,
        left_out: LeftOut,
        excluded: bool,
        macros: Macros = _NO_MACROS,
        unknown: list[str] | None = None,
    ) -> Host:
        tags = tuple([(tag.tag, tag.value) for tag in row.tags])
        said = self.naming.describe(row.host, row.name, tags)
        agent = row.agent
        address, problem = _address(row, agent, macros)
        left_out = "network" if not said.ours else left_out or ("template" if excluded else "")
        login = self._login(row)
        addresses: dict[str, None] = {}
        reached_as: dict[str, None] = {}
        for one in row.interfaces:
            for text in (one.ip, one.dns):
                if not text:
                    continue
                value = macros.value(row.id, text).text if is_macro(text) else text
                if value is None:
                    # A host that is for runs and cannot be reached without it has a problem, which says so.
                    if unknown is not None and (one is not agent or left_out):
                        unknown.append(say("{host}: nobody knows the value of {text}", host=row.host, text=text))
                    continue
                if value := canonical(value):
                    addresses[value] = None
                    if one is agent:
                        reached_as[value] = None
        return Host(
            id=row.id,
            name=row.host,
            network=self.naming.network if said.ours else parse_name(row.host).network,
            address=address,
            port=login.port if login and login.port else self.port,
            addresses=tuple(addresses),
            display_name=row.name,
            store=said.store,
            terminal=said.terminal,
            role=said.role,
            provider=said.provider,
            groups=tuple([group.name for group in row.groups]),
            tags=tags,
            agent_status=agent.available if agent else None,
            agent_port=(whole(agent.port, 1, 65535) if agent else None) or _AGENT_PORT,
            credential=login.credential if login else None,
            problem=problem,
            maintenance=row.maintenance_status == 1,
            reached_as=tuple(reached_as),
            left_out=left_out,
            excluded=excluded,
        )

    def _login(self, row: HostRow) -> Login | None:
        if not self.source.notes_credentials or not isinstance(row.inventory, Notes):
            return None
        return read_notes(row.inventory.notes.reveal(), f"notes.{row.id}")


def _has_macro(row: HostRow) -> bool:
    return any(is_macro(one.ip) or is_macro(one.dns) for one in row.interfaces)


def _foreign(hosts: list[Host]) -> str:
    foreign = sorted(host.name for host in hosts if host.left_out == "network")
    if not foreign:
        return ""
    return plural(
        "{n} of the groups' hosts says another network by name, so no run selects it: {hosts}",
        "{n} of the groups' hosts say another network by name, so no run selects them: {hosts}",
        len(foreign),
        hosts=some_of(foreign, 5),
    )


def _links(api: Api, row: HostRow) -> tuple[TemplateLink, ...]:
    if row.templates is None:
        raise api.unexpected(say("host.get does not say which templates {host} is linked to", host=row.host))
    return row.templates


def _is_excluded(api: Api, row: HostRow, excluded: frozenset[str]) -> bool:
    return bool(excluded) and any(link.id in excluded for link in _links(api, row))


def _left_out(row: HostRow) -> LeftOut:
    return "" if row.status == _ENABLED else "disabled"


def _address(row: HostRow, agent: Interface | None, macros: Macros) -> tuple[str, str]:
    """Address and problem, one of them empty. A DNS name is not resolved: whatever answers for it would be logged in to."""
    if agent is None:
        return "", say("no agent interface in Zabbix: add one with the host's IP address")
    if agent.useip != 1:
        problem = say(
            "its agent interface goes by the DNS name {name}: let it go by IP address in Zabbix", name=agent.dns
        )
        return "", problem
    text = agent.ip.strip()
    if is_macro(text):
        value = macros.value(row.id, text)
        if value.text is None:
            problem = say(
                "the IP address of its agent interface is {text}, and nobody here knows its value "
                "(secret, missing, or not readable for this token): write the address itself in Zabbix",
                text=text,
            )
            return "", problem
        if not value.own:
            problem = say(
                "the IP address of its agent interface is {text}, a template or global macro, "
                "which may be another host's: set the macro on the host itself",
                text=text,
            )
            return "", problem
        text = value.text.strip()
    address = canonical(text)
    if is_address(address):
        return address, ""
    return "", say('its agent interface has no IP address but "{text}": correct it in Zabbix', text=text)


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
                say("Zabbix shows no template {name} to this token, so its hosts cannot be excluded", name=name),
                say(
                    "correct inventory.exclude_templates (id, name or visible name), "
                    "or let the token's user read the template"
                ),
            )
        excluded |= ids
    while more := {
        one.id for one in templates if one.id not in excluded and any(link.id in excluded for link in one.parents)
    }:
        excluded |= more
    return frozenset(excluded)


def _in_problem(api: Api, groups: Set[str], selector: Selector) -> Mapping[str, tuple[str, ...]] | None:
    """Host id -> ids and texts of its live triggers in problem state with one of the ids and texts given; None: not asked."""
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
    found: dict[str, tuple[str, ...]] = {}
    for trigger in api.get("trigger.get", Trigger, **asked):
        if (
            trigger.value == _IN_PROBLEM
            and (not ids or trigger.id in ids)
            and (not texts or trigger.description in texts)
        ):
            for host in trigger.hosts:
                found[host.id] = (*found.get(host.id, ()), trigger.id, trigger.description)
    return found
