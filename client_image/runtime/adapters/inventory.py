"""Opens the inventory that a network's configuration names. Called by the composition roots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from contracts.config import NetworkConfig, StaticInventory
from runtime.adapters.naming import naming
from runtime.adapters.static_inventory import StaticHosts
from runtime.domain.ports import Inventory
from runtime.domain.providers import Provider

if TYPE_CHECKING:
    from runtime.adapters.web_proxies import WebProxies


def open_inventory(
    config: NetworkConfig,
    providers: Mapping[str, Provider],
    *,
    within: float | None = None,
    web_proxies: WebProxies | None = None,
) -> Inventory:
    """Nothing is read yet: every call of ``read`` reads again. ``within``: seconds for one, where the caller has no more.

    ``web_proxies``: through which Zabbix may be asked; None for none.
    """
    reader = naming(config, providers)
    if isinstance(config.inventory, StaticInventory):
        credentials = {credential.id: credential for credential in config.credentials}
        return StaticHosts(config.inventory.hosts, reader, config.ssh.port, credentials)
    from runtime.adapters.zabbix.hosts import ZabbixHosts  # its HTTP client would slow every start down

    return ZabbixHosts(config.inventory, reader, config.ssh.port, within, web_proxies)
