"""Jobs of a document as a person would say them: "powers off every till daily at 23:50 (America/Sao_Paulo)". Pure.

Used by :mod:`contracts.changes` for `config set`, which says what a document changes before it is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from itertools import islice
from typing import Any, TypeVar

from contracts.catalogue import ActionEntry
from contracts.config import Job, JobSelector
from contracts.cron import Cron, parse_cron
from contracts.differences import shown
from contracts.static_hosts import StaticHosts

_BY_EFFECT = {"read": "looks at", "change": "changes", "disrupt": "disrupts"}
_TILLS = {"checkout", "self_checkout"}
_DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_STATUS = {0: "with an unknown agent status", 1: "with an agent that answers", 2: "with an agent that does not answer"}
_SHOWN = 5

Item = TypeVar("Item")


def job_in_words(
    job: Job, entry: ActionEntry, params: Mapping[str, Any], network_zone: str, hosts: StaticHosts | None
) -> str:
    """What the job does to whom, when, and within which limits. ``params``: those of network and job together; ``hosts``: those
    that the document lists, None where the inventory is elsewhere."""
    does = entry.does or _BY_EFFECT[entry.effect]
    zone = job.timezone or network_zone
    where = zone if job.timezone else f"the network's zone, {zone}"
    parts = [f"{does} {targets(job.selector, entry, hosts)} {times(parse_cron(job.cron))} ({where})"]
    if job.not_after is not None:
        parts.append(f"starts none after {job.not_after:%H:%M}")
    if entry.windows in params:
        parts.append(f"window {listed(items(params[entry.windows]), window_in_words)}")
    for name in entry.protects:
        given = items(params.get(name))
        parts.append(f"{name}: {len(given)}" if given else f"no {name}")
    if job.dry_run:
        parts.append("dry-run only: nothing is changed")
    return f"{', '.join(parts)} (job {job.id})"


def targets(selector: JobSelector, entry: ActionEntry, hosts: StaticHosts | None) -> str:
    """Whom a selector means. A number is known only where the document lists the hosts, and is the most there can be."""
    noun = "till" if entry.roles and set(entry.roles) <= _TILLS else "host"
    filters = [
        *([f"of store {listed(selector.stores)}"] if selector.stores else ()),
        *([f"with the number {listed(selector.terminals)}"] if selector.terminals else ()),
        *([f"named {listed(selector.hosts)}"] if selector.hosts else ()),
        *([f"at {listed(selector.addresses)}"] if selector.addresses else ()),
        *([f"in group {listed(selector.groups)}"] if selector.groups else ()),
        *([f"with tag {listed(selector.tags.items(), '='.join)}"] if selector.tags else ()),
        *([_STATUS[selector.agent_status]] if selector.agent_status is not None else ()),
        *([f"of provider {selector.provider}"] if selector.provider else ()),
    ]
    shown = " ".join(filters)
    if hosts is not None:
        number = hosts.at_most(selector, entry.roles)
        every = f"up to {number} {noun}{'' if number == 1 else 's'}"
    else:
        every = f"every {noun}"
    if selector.terminals and not selector.stores:
        shown += ", in every store"
    return f"{every} {shown}" if shown else f"{every} of the network"


def times(cron: Cron) -> str:
    """``daily at 23:50``, ``every 5 minutes``, ``on Monday, Friday at 06:00``; the expression where words do not help."""
    every_day = len(cron.days) == 31 and len(cron.months) == 12
    if every_day and len(cron.hours) == 24 and len(cron.weekdays) == 7:
        minutes = cron.minutes
        if len(minutes) == 1:
            return f"every hour at minute {minutes[0]}"
        step = minutes[1] - minutes[0]
        if 60 % step == 0 and minutes == tuple(range(0, 60, step)):
            return f"every {step} minutes" if step > 1 else "every minute"
    clock = [f"{hour:02}:{minute:02}" for hour in cron.hours for minute in cron.minutes]
    if not every_day or len(clock) > _SHOWN:
        return f"at the times of `{cron.text}`"
    days = "daily" if len(cron.weekdays) == 7 else f"on {', '.join(_DAYS[day] for day in cron.weekdays)}"
    return f"{days} at {', '.join(clock)}"


def window_in_words(window: Any) -> str:
    """A window of the action's parameters, as a document writes it."""
    if not isinstance(window, Mapping):
        return shown("window", window)
    days = f" {','.join(map(str, items(window['weekdays'])))}" if window.get("weekdays") else ""
    stores = f" in store {listed(items(window['stores']))}" if window.get("stores") else ""
    zone = f" {window['timezone']}" if window.get("timezone") else ""
    return f"{str(window.get('start'))[:5]}-{str(window.get('end'))[:5]}{days}{stores}{zone}"


def items(value: Any) -> Collection[Any]:
    """A parameter that has to be a list. A stored document may have something else there: one value is a list of one."""
    if value is None:
        return ()
    return value if isinstance(value, list | tuple) else (value,)


def listed(values: Collection[Item], as_text: Callable[[Item], str] = str) -> str:
    """A few names, and how many more there are. Only the few are made into text."""
    more = len(values) - _SHOWN
    return ", ".join(map(as_text, islice(values, _SHOWN))) + (f" and {more} more" if more > 0 else "")
