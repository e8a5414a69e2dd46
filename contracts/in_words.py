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
from contracts.text import joined, plural, recognised, say

_BY_EFFECT = {"read": say("looks at"), "change": say("changes"), "disrupt": say("disrupts")}
# What actions do by their own words, which the catalogue carries in English; tests compare.
ACTIONS_DO = (say("powers off"), say("sets the time zone and clock of"))
_TILLS = {"checkout", "self_checkout"}
_DAYS = (
    say("Sunday"),
    say("Monday"),
    say("Tuesday"),
    say("Wednesday"),
    say("Thursday"),
    say("Friday"),
    say("Saturday"),
)
_STATUS = {
    0: say("with an unknown agent status"),
    1: say("with an agent that answers"),
    2: say("with an agent that does not answer"),
}
_SHOWN = 5

Item = TypeVar("Item")


def job_in_words(
    job: Job, entry: ActionEntry, params: Mapping[str, Any], network_zone: str, hosts: StaticHosts | None
) -> str:
    """What the job does to whom, when, and within which limits. ``params``: those of network and job together; ``hosts``: those
    that the document lists, None where the inventory is elsewhere."""
    does = recognised(entry.does, ACTIONS_DO) if entry.does else _BY_EFFECT[entry.effect]
    zone = job.timezone or say("the network's zone, {zone}", zone=network_zone)
    parts: list[str] = [
        say(
            "{does} {targets} {times} ({zone})",
            does=does,
            targets=targets(job.selector, entry, hosts),
            times=times(parse_cron(job.cron)),
            zone=zone,
        )
    ]
    if job.not_after is not None:
        parts.append(say("starts none after {time}", time=f"{job.not_after:%H:%M}"))
    if entry.windows in params:
        parts.append(say("window {windows}", windows=listed(items(params[entry.windows]), window_in_words)))
    for name in entry.protects:
        given = items(params.get(name))
        parts.append(f"{name}: {len(given)}" if given else say("no {list}", list=name))
    if job.dry_run:
        parts.append(say("dry-run only: nothing is changed"))
    return say("{parts} (job {job})", parts=joined(parts), job=job.id)


def targets(selector: JobSelector, entry: ActionEntry, hosts: StaticHosts | None) -> str:
    """Whom a selector means. A number is known only where the document lists the hosts, and is the most there can be."""
    tills = bool(entry.roles) and set(entry.roles) <= _TILLS
    filters: list[str] = [
        *([say("of store {stores}", stores=listed(selector.stores))] if selector.stores else ()),
        *([say("with the number {numbers}", numbers=listed(selector.terminals))] if selector.terminals else ()),
        *([say("named {names}", names=listed(selector.hosts))] if selector.hosts else ()),
        *([say("at {addresses}", addresses=listed(selector.addresses))] if selector.addresses else ()),
        *([say("in group {groups}", groups=listed(selector.groups))] if selector.groups else ()),
        *([say("with tag {tags}", tags=listed(selector.tags.items(), "=".join))] if selector.tags else ()),
        *([_STATUS[selector.agent_status]] if selector.agent_status is not None else ()),
        *([say("of provider {provider}", provider=selector.provider)] if selector.provider else ()),
    ]
    shown = joined(filters, " ")
    if hosts is not None:
        number = hosts.at_most(selector, entry.roles)
        every = (
            plural("up to {n} till", "up to {n} tills", number)
            if tills
            else plural("up to {n} host", "up to {n} hosts", number)
        )
    else:
        every = say("every till") if tills else say("every host")
    if selector.terminals and not selector.stores:
        shown = say("{filters}, in every store", filters=shown)
    return joined((every, shown), " ") if shown else say("{hosts} of the network", hosts=every)


def times(cron: Cron) -> str:
    """``daily at 23:50``, ``every 5 minutes``, ``on Monday, Friday at 06:00``; the expression where words do not help."""
    every_day = len(cron.days) == 31 and len(cron.months) == 12
    if every_day and len(cron.hours) == 24 and len(cron.weekdays) == 7:
        minutes = cron.minutes
        if len(minutes) == 1:
            return say("every hour at minute {minute}", minute=minutes[0])
        step = minutes[1] - minutes[0]
        if 60 % step == 0 and minutes == tuple(range(0, 60, step)):
            return say("every {number} minutes", number=step) if step > 1 else say("every minute")
    clock = [f"{hour:02}:{minute:02}" for hour in cron.hours for minute in cron.minutes]
    if not every_day or len(clock) > _SHOWN:
        return say("at the times of `{cron}`", cron=cron.text)
    if len(cron.weekdays) == 7:
        return say("daily at {times}", times=", ".join(clock))
    return say("on {days} at {times}", days=joined(_DAYS[day] for day in cron.weekdays), times=", ".join(clock))


def window_in_words(window: Any) -> str:
    """A window of the action's parameters, as a document writes it."""
    if not isinstance(window, Mapping):
        return shown("window", window)
    parts = [f"{str(window.get('start'))[:5]}-{str(window.get('end'))[:5]}"]
    if window.get("weekdays"):
        parts.append(",".join(map(str, items(window["weekdays"]))))
    if window.get("stores"):
        parts.append(say("in store {stores}", stores=listed(items(window["stores"]))))
    if window.get("timezone"):
        parts.append(str(window["timezone"]))
    return joined(parts, " ")


def items(value: Any) -> Collection[Any]:
    """A parameter that has to be a list. A stored document may have something else there: one value is a list of one."""
    if value is None:
        return ()
    return value if isinstance(value, list | tuple) else (value,)


def listed(values: Collection[Item], as_text: Callable[[Item], str] = str) -> str:
    """A few names, and how many more there are. Only the few are made into text."""
    more = len(values) - _SHOWN
    some = joined(map(as_text, islice(values, _SHOWN)))
    return say("{some} and {n} more", some=some, n=more) if more > 0 else some
