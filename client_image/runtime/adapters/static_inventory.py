"""Hosts listed in the configuration itself, for networks without Zabbix. Built by :mod:`runtime.adapters.inventory`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from contracts.config import Credential, StaticHost
from contracts.text import say
from runtime.adapters.naming import Naming
from runtime.domain.errors import UsageFault
from runtime.domain.machines import grouped
from runtime.domain.model import Host, Listing, Selector


@dataclass(frozen=True, slots=True)
class StaticHosts:
    """An :class:`runtime.domain.ports.Inventory`. ``port``: for hosts that give none; ``credentials`` by id."""

    listed: tuple[StaticHost, ...]
    naming: Naming
    port: int
    credentials: Mapping[str, Credential]

    def read(self, selector: Selector) -> Listing:
        """Every listed host. Raises UsageFault for filters that only Zabbix can answer."""
        if selector.trigger_ids or selector.trigger_names or selector.agent_status is not None:
            raise UsageFault(
                "needs_zabbix",
                say(
                    "the hosts of this network are listed in its configuration, where nothing knows triggers or agent status"
                ),
                say("leave --trigger-id, --trigger-name and --agent-status out, or take the inventory from Zabbix"),
            )
        return grouped(Listing(tuple(self._host(host) for host in self.listed)))

    def _host(self, host: StaticHost) -> Host:
        tags = tuple(host.tags.items())
        display_name = host.display_name or host.name
        said = self.naming.describe(host.name, display_name, tags, provider=host.provider, role=host.role)
        return Host(
            id=host.name,
            name=host.name,
            network=self.naming.network,
            address=host.address if said.ours else "",
            port=host.port or self.port,
            addresses=(host.address,) if host.address else (),
            display_name=display_name,
            store=said.store,
            terminal=said.terminal,
            role=said.role,
            provider=said.provider,
            groups=host.groups,
            tags=tags,
            credential=self.credentials[host.credential] if host.credential else None,
            problem=""
            if said.ours
            else say(
                "its name says another network than {network}: correct inventory.hosts", network=self.naming.network
            ),
        )
