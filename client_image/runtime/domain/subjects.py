"""Subjects that no inventory lists: the concentrators of the configuration, and the network as a whole. Pure."""

from __future__ import annotations

from contracts.config import NetworkConfig
from runtime.domain.model import Host, Listing


def network_subject(config: NetworkConfig) -> Host:
    """The network as the one subject of a run."""
    return Host(id=f"network:{config.network}", name=config.network, network=config.network, address="")


def concentrators(config: NetworkConfig) -> Listing:
    """Those of the configuration, which is where their databases are described; filters select among them as among hosts."""
    return Listing(
        tuple(
            Host(
                id=f"concentrator:{one.address}",
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
