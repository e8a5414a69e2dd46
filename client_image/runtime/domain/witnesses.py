"""Who may vouch for a store's line while one of its machines goes. Pure; built once a run by the execution."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain

from contracts.config import NetworkConfig
from contracts.text import say
from runtime.domain.model import Host

WITNESSES = 6  # of one store; each is asked at most once in a few seconds, for all hosts of the store together
GATEWAY_PORTS = (443, 80, 22)


@dataclass(frozen=True, slots=True)
class Witness:
    """Something of the same store. ``leaving``: it is to be powered off by this very run, so its silence means little."""

    name: str
    address: str
    ports: tuple[int, ...]
    leaving: bool = False

    def __str__(self) -> str:
        return say("{name} ({address})", name=self.name, address=self.address)


@dataclass(frozen=True, slots=True)
class Place:
    """A witness that the configuration names: a store's gateway or concentrator."""

    store: int
    name: str
    address: str
    ports: tuple[int, ...]


def places(config: NetworkConfig) -> tuple[Place, ...]:
    """Gateways first: of all that a store has they say most about its line."""
    gateways = (
        Place(number, say("the gateway of store {number}", number=number), store.gateway, GATEWAY_PORTS)
        for number, store in config.stores.items()
        if store.gateway is not None
    )
    concentrators = (
        Place(one.store, one.name or say("the concentrator"), one.address, (config.ssh.port,))
        for one in config.concentrators
        if one.store is not None
    )
    return (*gateways, *concentrators)


@dataclass(frozen=True, slots=True)
class Surrounding:
    """``witnesses``: the best few that may vouch for the host. ``own_address``: whether what answers at its address is the host;
    not where a store's machines share one address, a port each: there a router answers pings and other ports."""

    witnesses: tuple[Witness, ...] = ()
    own_address: bool = True


class Neighbours:
    """Who may vouch for a host: built once a run, so that it costs the same for one host and for thousands."""

    def __init__(
        self, places: Iterable[Place] = (), entries: Iterable[Host] = (), subjects: Collection[str] = frozenset()
    ) -> None:
        """``entries``: the whole inventory; ``subjects``: addresses of the hosts that this run is about."""
        self._places: Mapping[int, list[Witness]] = defaultdict(list)
        self._others: Mapping[int, list[Witness]] = defaultdict(list)
        self._ports: Mapping[str, set[int]] = defaultdict(set)
        for place in places:
            self._places[place.store].append(Witness(place.name, place.address, place.ports))
        for entry in sorted(entries, key=_trust):
            # What stays of an old entry must not make the host's own answers count as those of a router.
            if entry.address and entry.left_out not in ("disabled", "network"):
                self._ports[entry.address].add(entry.port)
            store = _stands_in(entry)
            if store is not None:
                ports = tuple(dict.fromkeys((entry.port, entry.agent_port)))
                leaving = entry.address in subjects
                self._others[store].append(Witness(entry.name, entry.address, ports, leaving))
        for others in self._others.values():
            others.sort(key=lambda witness: witness.leaving)

    def of(self, host: Host, own: Collection[str] = ()) -> Surrounding:
        """``own``: the other addresses of the host's machine, which is no witness of itself. None where its store is unknown."""
        shared = len(self._ports.get(host.address, ())) > 1
        if host.store is None:
            return Surrounding((), not shared)
        taken: set[object] = {(host.address, host.port), *own}
        if not shared:
            taken.add(host.address)
        chosen: list[Witness] = []
        for witness in chain(self._places.get(host.store, ()), self._others.get(host.store, ())):
            place = (witness.address, witness.ports[0])
            if len(chosen) == WITNESSES:
                break
            if place not in taken and (witness.address not in taken or (shared and witness.address == host.address)):
                taken |= {place} if shared else {place, witness.address}
                chosen.append(witness)
        return Surrounding(tuple(chosen), not shared)


def _stands_in(entry: Host) -> int | None:
    """The store whose line the entry can vouch for. What is excluded stands there all the same; a disabled entry may have an old
    address, another network's numbers mean other stores, and of a host of other groups nobody says what its name means."""
    return entry.store if entry.address and not entry.problem and entry.left_out in ("", "template") else None


def _trust(entry: Host) -> tuple[bool, bool, str]:
    """What nobody switches off comes first, then what was available a moment ago."""
    lasting = entry.role in ("concentrator", "proxy", "other")
    return not lasting, entry.agent_status != 1, entry.name
