"""Is the fleet well, and what to look at first: a few lines, the worst first, each with the command that shows more. Pure.

What the lines are made from is read by :mod:`server.services.fleet.reading`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from contracts.durations import lasting
from contracts.text import Text, joined, plural, say, some_of
from server.services.agents.fleet import AgentStatus

Level = Literal["bad", "warning", "ok"]
_ORDER: Final[Mapping[Level, int]] = {"bad": 0, "warning": 1, "ok": 2}
_SHOWN = 3
_ID = 13  # of a UUIDv7: the millisecond
# A result that waits so long does not get through; a clock that is off by so much starts jobs at wrong times.
WAITING_S, CLOCK_S = 600, 120
AGENTS, SHOW = "flagee-server agents", "flagee-server agents show {agent}"


@dataclass(frozen=True, slots=True)
class Line:
    """``see``: the command that shows more; empty where there is no more."""

    level: Level
    about: Text
    text: str
    see: str = ""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A network that several agents work for. ``holder``: host name of the one whose jobs start now, empty for none;
    ``blocked_by``: host name and id of a silent one that may go on without a lease, for which the others wait."""

    network: str
    holder: str
    blocked_by: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Server:
    """The control plane itself. ``problems``: sentences, each with its fix."""

    level: Level
    problems: Sequence[str]


@dataclass(frozen=True, slots=True)
class Seen:
    """All that is looked at. ``doubled``: agents of which two instances are at work; ``runs`` and ``failed``: of the last 24 h;
    ``hosts``: theirs, by outcome; ``events``: those that somebody should know of, by sub, of the last 24 h."""

    server: Server
    agents: Sequence[AgentStatus]
    doubled: frozenset[str]
    schedules: Sequence[Schedule]
    runs: int
    failed: int
    hosts: Mapping[str, int]
    events: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Status:
    level: Level
    lines: Sequence[Line]


def status_of(seen: Seen) -> Status:
    found = [
        *_server(seen.server),
        *_silent(seen.agents),
        *_doubled(seen),
        *_schedules(seen.schedules),
        *_telling(seen.agents),
        *_runs(seen),
        *_events(seen.events),
    ]
    lines = sorted(found, key=lambda line: _ORDER[line.level])  # stable: within a level in the order above
    return Status(lines[0].level if lines else "ok", lines)


def _server(server: Server) -> Iterator[Line]:
    about = say("control plane")
    if server.problems:
        yield Line(server.level, about, some_of(server.problems, 1, "; "), "flagee-server health")
    else:
        yield Line("ok", about, say("the database answers and takes writes"), "flagee-server health")


def _silent(agents: Sequence[AgentStatus]) -> Iterator[Line]:
    about, serving = say("agents"), [one for one in agents if one.state != "retired"]
    if not serving:
        yield Line("warning", about, say("no agent has enrolled yet"), "flagee-server install-command --help")
        return
    networks: dict[str, list[AgentStatus]] = defaultdict(list)
    for one in serving:
        networks[_network(one)].append(one)
    dark = {name: members for name, members in networks.items() if _all_offline(members)}
    if dark:
        which = some_of([_for(name, _silence(members)) for name, members in dark.items()], _SHOWN)
        text = plural(
            "no agent of {n} network answers: {which}",
            "no agent of {n} networks answers: {which}",
            len(dark),
            which=which,
        )
        yield Line("bad", about, text, _see([one for members in dark.values() for one in members]))
    offline = [one for one in serving if one.state == "offline" and _network(one) not in dark]
    if offline:
        which = _silent_ones(offline)
        text = plural("{n} agent is offline: {which}", "{n} agents are offline: {which}", len(offline), which=which)
        yield Line("warning", about, text, _see(offline))
    if late := [one for one in serving if one.state == "late"]:
        which = _silent_ones(late)
        text = plural("{n} agent is late: {which}", "{n} agents are late: {which}", len(late), which=which)
        yield Line("warning", about, text, _see(late))
    if never := [one for one in serving if one.state == "never" and _network(one) not in dark]:
        which = _names(never)
        text = plural(
            "{n} agent enrolled and was never heard: {which}",
            "{n} agents enrolled and were never heard: {which}",
            len(never),
            which=which,
        )
        yield Line("warning", about, text, _see(never))
    if online := [one for one in serving if one.state == "online"]:
        yield Line("ok", about, _well(online), AGENTS)


def _all_offline(members: Sequence[AgentStatus]) -> bool:
    return all(one.state in ("offline", "never") for one in members) and any(one.state == "offline" for one in members)


def _well(online: Sequence[AgentStatus]) -> str:
    running, waiting = sum(one.running for one in online), sum(one.waiting or 0 for one in online)
    parts = [plural("{n} agent is online", "{n} agents are online", len(online))]
    parts += [plural("{n} run at work", "{n} runs at work", running)] if running else []
    parts += [plural("{n} message to deliver", "{n} messages to deliver", waiting)] if waiting else []
    versions = Counter(one.version for one in online if one.version).most_common()
    named = [version if len(versions) == 1 else f"{version} ({number})" for version, number in versions]
    parts += [say("version {versions}", versions=some_of(named, _SHOWN))] if named else []
    return joined(parts)


def _doubled(seen: Seen) -> Iterator[Line]:
    if doubled := [one for one in seen.agents if one.agent_id in seen.doubled and one.state != "retired"]:
        text = plural(
            "two instances of {n} agent are at work, so neither starts a job: {which}",
            "two instances of {n} agents are at work, so neither starts a job: {which}",
            len(doubled),
            which=_names(doubled),
        )
        yield Line("bad", say("agents"), text, _see(doubled))


def _schedules(schedules: Sequence[Schedule]) -> Iterator[Line]:
    """Networks that several agents work for, and who of them starts the jobs."""
    about = say("schedules")
    for one in schedules:
        if one.holder:
            continue
        if one.blocked_by:
            hostname, agent = one.blocked_by
            text = say(
                "{network}: jobs wait for {agent}, which is silent and may start them by itself; if its host is gone, retire it",
                network=one.network,
                agent=hostname,
            )
            yield Line("warning", about, text, SHOW.format(agent=agent[:_ID]))
        else:
            text = say("{network}: no agent may start jobs now, one will within minutes", network=one.network)
            yield Line("warning", about, text, AGENTS)
    if led := [one for one in schedules if one.holder]:
        which = some_of([f"{one.network} ({one.holder})" for one in led], _SHOWN)
        text = plural(
            "{n} network with several agents has its jobs started by one: {which}",
            "{n} networks with several agents have their jobs started by one: {which}",
            len(led),
            which=which,
        )
        yield Line("ok", about, text, AGENTS)


def _telling(agents: Sequence[AgentStatus]) -> Iterator[Line]:
    """What agents that are heard say of themselves."""
    heard = [one for one in agents if one.state in ("online", "late")]
    if troubled := [one for one in heard if one.trouble]:
        which = some_of([f"{one.hostname}: {one.trouble[0]}" for one in troubled], 1, "; ")
        text = plural(
            "{n} agent tells of trouble: {which}", "{n} agents tell of trouble: {which}", len(troubled), which=which
        )
        yield Line("warning", say("trouble"), text, _see(troubled))
    if lagging := [one for one in heard if (one.oldest_s or 0) > WAITING_S]:
        which = some_of([_for(one.hostname, lasting(one.oldest_s or 0)) for one in lagging], _SHOWN)
        text = plural(
            "results of {n} agent do not get through: {which}",
            "results of {n} agents do not get through: {which}",
            len(lagging),
            which=which,
        )
        yield Line("warning", say("delivery"), text, _see(lagging))
    if wrong := [one for one in heard if abs(one.clock_s or 0) > CLOCK_S]:
        which = some_of([f"{one.hostname} ({_signed(one.clock_s or 0)})" for one in wrong], _SHOWN)
        text = plural(
            "the clock of {n} agent is wrong: {which}",
            "the clocks of {n} agents are wrong: {which}",
            len(wrong),
            which=which,
        )
        yield Line("warning", say("clocks"), text, _see(wrong))


def _runs(seen: Seen) -> Iterator[Line]:
    about = say("runs")
    hosts = ", ".join(f"{number} {outcome}" for outcome, number in sorted(seen.hosts.items(), key=lambda one: -one[1]))
    if seen.failed:
        text = say(
            "{failed} of {runs} runs of the last 24 h ended with an error; hosts: {hosts}",
            failed=seen.failed,
            runs=seen.runs,
            hosts=hosts or "-",
        )
        yield Line("warning", about, text, "flagee-server runs --failed --since 24h")
    elif seen.runs:
        text = plural(
            "{n} run in the last 24 h, none with an error; hosts: {hosts}",
            "{n} runs in the last 24 h, none with an error; hosts: {hosts}",
            seen.runs,
            hosts=hosts or "-",
        )
        yield Line("ok", about, text, "flagee-server runs --since 24h")
    else:
        yield Line("ok", about, say("none in the last 24 h"), "flagee-server runs")


def _events(events: Mapping[str, int]) -> Iterator[Line]:
    for sub, says in NOTABLE.items():
        if number := events.get(sub):
            text = plural("{what}: {n} time in the last 24 h", "{what}: {n} times in the last 24 h", number, what=says)
            yield Line("warning", say("events"), text, f"flagee-server events --sub {sub}")


# Events that somebody should know of.
NOTABLE: Final[Mapping[str, Text]] = {
    "config.refused": say("a configuration was refused"),
    "job.missed": say("a scheduled job was missed"),
    "job.not_started": say("a scheduled job cannot start"),
    "job.without_run": say("a scheduled job ended before it was a run"),
    "state.replaced": say("a damaged local state was replaced"),
    "outbox.lost": say("messages were dropped before they were delivered"),
}


def _network(one: AgentStatus) -> str:
    return f"{one.client}/{one.network}"


def _silence(members: Iterable[AgentStatus]) -> str:
    """Since one of them was heard."""
    return lasting(min((one.silent_s for one in members if one.silent_s is not None), default=0))


def _silent_ones(agents: Sequence[AgentStatus]) -> str:
    longest = sorted(agents, key=lambda one: -(one.silent_s or 0))
    return some_of([_for(one.hostname, lasting(one.silent_s or 0)) for one in longest], _SHOWN)


def _names(agents: Sequence[AgentStatus]) -> str:
    return some_of([f"{one.hostname} ({_network(one)})" for one in agents], _SHOWN)


def _for(name: str, time: str) -> Text:
    return say("{name} for {time}", name=name, time=time)


def _see(agents: Sequence[AgentStatus]) -> str:
    return SHOW.format(agent=agents[0].agent_id[:_ID]) if len(agents) == 1 else AGENTS


def _signed(seconds: int) -> str:
    return f"{'+' if seconds > 0 else '-'}{lasting(abs(seconds))}"
