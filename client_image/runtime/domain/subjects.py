"""Subjects that no inventory lists: the concentrators of the configuration, and the network as a whole. Pure."""

from __future__ import annotations

from contracts.config import NetworkConfig
from runtime.domain.action import Target
from runtime.domain.model import Host, Listing

_NETWORK, _CONCENTRATOR = "network:", "concentrator:"


def target_of(host_id: str) -> Target:
    """What kind of subject has this id: those made here have a prefix, hosts of an inventory have none."""
    if host_id.startswith(_NETWORK):
        return "network"
    return "concentrator" if host_id.startswith(_CONCENTRATOR) else "terminal"


def network_subject(config: NetworkConfig) -> Host:
    """The network as the one subject of a run."""
    return Host(id=f"{_NETWORK}{config.network}", name=config.network, network=config.network, address="")


def concentrators(config: NetworkConfig) -> Listing:
    """Those of the configuration, which is where their databases are described; filters select among them as among hosts."""
    return Listing(
        tuple(
            Host(
                id=f"{_CONCENTRATOR}{one.address}",
                name=one.name or one.address,
                network=config.network,
                address=one.address,
                store=one.store,
                role="concentrator",
                provider=config.provider,
            )
            for one in config.concentrators
        )
    )
