"""Every filter of hosts, in one table: option, key in a job's selector, how a value is read, which hosts it keeps, what was
perhaps meant. A new filter is a field of Selector (and, for jobs, of JobSelector) and a row here. Pure.

Read by the command line, by jobs, by the selection, by the report of values that match nothing, and by a run's JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from contracts.address import parse_address
from contracts.config import JobSelector
from contracts.text import say
from runtime.domain.errors import UsageFault
from runtime.domain.model import Host, NamedTerminal, Selector
from runtime.domain.names import carries, parse_store, parse_terminal


def _text(value: Any) -> str:
    return str(value)


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter. ``field`` is the Selector's; a tuple of values there when ``many``, else one value or None.

    ``options``: as typed, the one that messages name first. ``read``: a typed text to a value; raises UsageFault. ``bounds``: the
    value is a whole number, these are the lowest and the highest. ``commas``: one text may hold several values. ``job_field``:
    the JobSelector's, empty where a job has none.
    ``key``: what a value is looked up by; ``has``: what a host can be found by. A host passes with any of the keys, with all of
    them when ``every``. ``by_inventory``: the inventory itself reads only hosts that pass.
    ``named``: texts of a host that a person may have meant, None where a value that matches nothing is no mistake of spelling;
    ``spelled``: a value written as these are.
    """

    field: str
    options: tuple[str, ...]
    metavar: str
    help: str
    key: Callable[[Any], Hashable]
    has: Callable[[Host], Iterable[Hashable]]
    read: Callable[[str], Any] = _text
    bounds: tuple[int, int] | None = None
    named: Callable[[Host], Iterable[str]] | None = None
    spelled: Callable[[str], str] = _text
    shown: Callable[[Any], str] = _text
    job_field: str = ""
    many: bool = True
    commas: bool = False
    every: bool = False
    by_inventory: bool = False

    @property
    def option(self) -> str:
        return self.options[0]

    def values(self, selector: Selector) -> tuple[Any, ...]:
        """What the selector gives for this filter; empty when nothing."""
        given = getattr(selector, self.field)
        if self.many:
            return tuple(given)
        return () if given is None else (given,)

    def test(self, selector: Selector) -> Callable[[Host], bool]:
        """Whether a host passes."""
        keys, has = frozenset(self.key(value) for value in self.values(selector)), self.has
        if self.every:
            return lambda host: keys <= frozenset(has(host))
        return lambda host: not keys.isdisjoint(has(host))


def from_job(given: JobSelector) -> Selector:
    """Which hosts a job of the schedule is for."""
    values: dict[str, Any] = {}
    for one in FILTERS:
        if one.job_field:
            value = getattr(given, one.job_field)
            values[one.field] = tuple(sorted(value.items())) if isinstance(value, dict) else value
    return Selector(**values, all=given.all)


def selector_json(selector: Selector) -> dict[str, Any]:
    """Only what was given, as plain JSON values."""
    found: dict[str, Any] = {}
    for one in FILTERS:
        values = one.values(selector)
        if values:
            plain = [value if isinstance(value, int) else one.shown(value) for value in values]
            found[one.field] = dict(values) if one.field == "tags" else plain if one.many else plain[0]
    return {**found, **({"limit": selector.limit} if selector.limit else {}), **({"all": True} if selector.all else {})}


def read_tag(text: str) -> tuple[str, str]:
    """``name=value``; raises UsageFault."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise UsageFault("bad_tag", say("{text} is not tag=value", text=text), say("for example --tag name=value"))
    return name.strip(), value


def _read_address(text: str) -> str:
    try:
        parse_address(text)
    except ValueError:
        raise UsageFault(
            "bad_address", say("{text} is not an IP address", text=text), say("names go to --host")
        ) from None
    return text


def _address(host: Host) -> Iterator[Hashable]:
    if host.address:
        yield parse_address(host.address)


def _words(host: Host) -> Iterator[str]:
    yield from (word for word in ("PDV", "SELF") if host.terminal is not None and carries(host.name, word, host.role))


def _terminals(host: Host) -> Iterator[int | NamedTerminal]:
    if host.terminal is not None:
        yield host.terminal
        yield from (NamedTerminal(word, host.terminal) for word in _words(host))


def _with_outer(group: str) -> Iterator[str]:
    """A nested group and those that hold it, as in Zabbix: ACME/Store 1 belongs to ACME."""
    parts = group.split("/")
    yield from ("/".join(parts[:number]) for number in range(1, len(parts) + 1))


FILTERS = (
    Filter(
        "provider",
        ("--provider",),
        metavar="ID",
        help=say("Read names as this provider's, and keep only its hosts."),
        key=str,
        has=lambda host: (host.provider,),
        read=str.lower,
        job_field="provider",
        many=False,
    ),
    Filter(
        "stores",
        ("--loja", "--store"),
        metavar="N",
        help=say("Store: 1, 001 or LOJA001."),
        key=int,
        has=lambda host: (host.store,),
        read=parse_store,
        named=lambda host: () if host.store is None else (str(host.store),),
        job_field="stores",
        commas=True,
    ),
    Filter(
        "terminals",
        ("--pdv", "--terminal"),
        metavar="N",
        help=say("Terminal: PDV201 or SELF01; 201 is both kinds."),
        key=lambda terminal: terminal,  # a number, or a number with its word
        has=_terminals,
        read=parse_terminal,
        named=lambda host: (f"{word}{host.terminal}" for word in _words(host)),
        spelled=lambda text: f"PDV{text}" if text.isdecimal() else text,
        job_field="terminals",
        commas=True,
    ),
    Filter(
        "addresses",
        ("--ip", "--pdv-ip"),
        metavar="IP",
        help=say("Address of a host."),
        key=parse_address,
        has=_address,
        read=_read_address,
        named=lambda host: (host.address,) if host.address else (),
        job_field="addresses",
        commas=True,
    ),
    Filter(
        "names",
        ("--host",),
        metavar="NAME",
        help=say("Technical name of a host, or a visible name that is no other host's."),
        key=lambda name: name.strip().lower(),
        has=lambda host: (host.name.lower(), host.display_name.lower()),
        named=lambda host: (host.name, host.display_name),
        job_field="hosts",
    ),
    Filter(
        "groups",
        ("--group",),
        metavar="NAME",
        help=say("Host group, with what is nested in it."),
        key=str.lower,
        has=lambda host: (outer for group in host.groups for outer in _with_outer(group.lower())),
        named=lambda host: host.groups,
        job_field="groups",
    ),
    Filter(
        "tags",
        ("--tag",),
        metavar="K=V",
        help=say("Host tag; all given ones must be there."),
        key=tuple,
        has=lambda host: host.tags,
        read=read_tag,
        named=lambda host: (f"{name}={value}" for name, value in host.tags),
        shown="=".join,
        job_field="tags",
        every=True,
    ),
    Filter(
        "trigger_ids",
        ("--trigger-id",),
        metavar="ID",
        help=say("Hosts with this trigger in problem."),
        key=lambda one: ("id", one),
        has=lambda host: (("id", one) for one in host.triggers),
        named=lambda host: (),
        commas=True,
        by_inventory=True,
    ),
    Filter(
        "trigger_names",
        ("--trigger-name",),
        metavar="TEXT",
        help=say("The same by exact description."),
        key=lambda one: ("text", one),
        has=lambda host: (("text", one) for one in host.triggers),
        named=lambda host: (),
        by_inventory=True,
    ),
    Filter(
        "agent_status",
        ("--agent-status",),
        metavar="0-2",
        help=say("Agent as Zabbix sees it: 0 unknown, 1 up, 2 down."),
        key=int,
        has=lambda host: (host.agent_status,),
        bounds=(0, 2),
        job_field="agent_status",
        many=False,
    ),
)
