"""Which of the inventory's hosts a selector means: the one place where filters are applied, whatever the source (W-01..04)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from contracts.address import parse_address
from runtime.domain.host_names import names_of
from runtime.domain.model import Host, Listing, NamedTerminal, Selector
from runtime.domain.names import carries

Test = Callable[[Host], bool]


def select(listing: Listing | Iterable[Host], selector: Selector) -> list[Host]:
    """Hosts that pass every given filter, by store, terminal and name, cut at the limit. The same host never twice.

    Raises UsageFault for a name that means several entries of the listing, those that only protect among them.
    """
    if not isinstance(listing, Listing):
        listing = Listing(tuple(listing))
    tests = _tests(selector)
    if selector.names:
        known = names_of(listing.entries)
        meant = frozenset(known.meant(name) for name in selector.names)
        tests.append(lambda host: host.name in meant)
    chosen = {(host.id, host.name): host for host in listing.hosts if all(test(host) for test in tests)}
    ordered = sorted(chosen.values(), key=_order)
    return ordered if selector.limit is None else ordered[: selector.limit]


def _order(host: Host) -> tuple[bool, int, int, str]:
    return (host.store is None, host.store or 0, host.terminal or 0, host.name.lower())


def _is(host: Host, asked: int | NamedTerminal) -> bool:
    if isinstance(asked, int):
        return host.terminal == asked
    return host.terminal == asked.number and carries(host.name, asked.word, host.role)


def _within(group: str, groups: frozenset[str]) -> bool:
    """A group holds what its nested groups hold, as in Zabbix: ACME/Store 1 belongs to ACME."""
    return group in groups or ("/" in group and any(group.startswith(f"{outer}/") for outer in groups))


def _tests(selector: Selector) -> list[Test]:
    tests: list[Test] = []
    if selector.stores:
        stores = frozenset(selector.stores)
        tests.append(lambda host: host.store in stores)
    if selector.terminals:
        terminals = selector.terminals
        tests.append(lambda host: any(_is(host, asked) for asked in terminals))
    if selector.addresses:
        addresses = frozenset(parse_address(address) for address in selector.addresses)
        tests.append(lambda host: bool(host.address) and parse_address(host.address) in addresses)
    if selector.groups:
        groups = frozenset(group.lower() for group in selector.groups)
        tests.append(lambda host: any(_within(group.lower(), groups) for group in host.groups))
    if selector.tags:
        wanted = frozenset(selector.tags)
        tests.append(lambda host: wanted <= frozenset(host.tags))
    if selector.agent_status is not None:
        tests.append(lambda host: host.agent_status == selector.agent_status)
    if selector.provider is not None:
        tests.append(lambda host: host.provider == selector.provider)
    return tests
