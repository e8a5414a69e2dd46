"""What `doctor` looks at: image, configuration, control plane, clock, local state, daemon, inventory. Touches no terminal.

Each function yields its findings in the order in which they are shown; `runtime.cli.parts` gives it what it needs.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import platform
from collections.abc import Callable, Iterator, Sequence

from contracts.config import NetworkConfig
from contracts.durations import lasting
from contracts.ids import uuid7
from contracts.text import joined, plural, say, some_of
from runtime.adapters.assets import Assets, find_root
from runtime.adapters.boot import steady_time
from runtime.adapters.build import read_build
from runtime.adapters.config_store import ConfigStore
from runtime.adapters.control_plane.transport import Intercepted, RequestRefused, Transport, Unavailable
from runtime.adapters.deployment_notes import DeploymentNotes, read_notes
from runtime.adapters.state.clock_evidence import ClockJudge
from runtime.adapters.state.errors import StateUnavailable
from runtime.adapters.state.history import count
from runtime.adapters.state.meta import probe_write, read_daemon_status
from runtime.adapters.state.outbox.limits import OutboxCounts
from runtime.adapters.state.outbox.status import read_status
from runtime.adapters.state.room import Room, room_at
from runtime.adapters.state.runs import live_runs
from runtime.adapters.state.schedule_lease import read_standing
from runtime.adapters.state.store import State
from runtime.cli.crowd import Crowds
from runtime.cli.doctor import LOOK_S, Check, Status
from runtime.cli.identity import Identities
from runtime.cli.schedule_lease import lease_line
from runtime.cli.text import hosts as in_words
from runtime.domain.catalogue import Catalogue
from runtime.domain.config_check import problems, startable
from runtime.domain.errors import RunError
from runtime.domain.listed import unmatched_entries
from runtime.domain.machines import same_as, shared_machines
from runtime.domain.model import Host, Selector
from runtime.domain.ports import Clock, OpenInventory
from runtime.domain.time.clock_trust import ADVICE, Suspect
from runtime.domain.time.stale import STALE_CONFIG
from runtime.settings import RuntimeSettings

SILENT_DAEMON = dt.timedelta(minutes=2)
_SHOWN = 5


def image(known: Catalogue, assets: Assets) -> Iterator[Check]:
    here = sum(action.available for action in known.actions.by_name.values())
    text = say(
        "{actions} actions, {providers} providers, {rows} matrix rows, Python {python}, data {digest}",
        actions=here,
        providers=len(known.providers),
        rows=len(assets.rows),
        python=platform.python_version(),
        digest=assets.digest[:12],
    )
    yield Check(say("image"), "ok", text)


def build() -> Iterator[Check]:
    found = read_build(find_root())
    if found is not None:
        text = say(
            "{version} ({revision}), built {time}, licence {licence}",
            version=found.version,
            revision=found.revision[:12],
            time=found.built_at,
            licence=found.licence,
        )
        yield Check(say("build"), "ok", text)


def deployment(settings: RuntimeSettings, clock: Clock) -> Iterator[Check]:
    """What the host's side left here; nothing where nothing deploys this proxy, as in a development checkout."""
    notes = read_notes(settings.data_path, clock.now(), settings.watchtower_interval)
    if notes.reported_at is not None:
        digest = notes.tag_digest[:19] or say("unknown: {why}", why=notes.tag_error or say("not asked yet"))
        running = notes.running_digest[:19] or say("an image of no registry")
        text = say("runs {digest}, {image} is {current}", digest=running, image=notes.image, current=digest)
        yield Check(say("deployment"), "ok", text)
        yield from _updates(notes)
    if notes.http_proxy:
        yield Check(say("HTTP proxy"), "ok", notes.http_proxy)
    if notes.last is not None:
        last = notes.last
        text = say(
            "{verb} at {time}: {reason}, {message}",
            verb=last.verb,
            time=last.at,
            reason=last.reason,
            message=last.message,
        )
        yield Check(say("last deploy"), "ok", text)
    for warning in notes.warnings:
        advice = say("on the host: {command}", command=f"{settings.runtime_name}-update-image --status")
        yield Check(say("deployment"), "warning", warning, advice)


def _updates(notes: DeploymentNotes) -> Iterator[Check]:
    updates = notes.updates
    if updates.fixed:
        text = say("the host's environment file names a digest: no update is taken until it names another image")
    elif not updates.auto:
        behind = bool(notes.behind_since)
        text = (
            say("automatic updates are off; {image} points to another image than the one that runs", image=notes.image)
            if behind
            else say("automatic updates are off")
        )
    elif updates.window:
        text = say("automatic, from {window} ({zone})", window=updates.window, zone=updates.zone)
    else:
        text = say("automatic, at any time")
    yield Check(say("updates"), "ok", text)


def configuration(
    store: ConfigStore, known: Catalogue, clock: Clock, zone: dt.tzinfo, crowds: Crowds
) -> Iterator[Check]:
    stored = store.load()
    config = stored.document.config
    now = clock.now()
    text = joined((config.network, f"ETag {stored.etag}" if stored.etag else say("no ETag")))
    if stored.checked_at is None:
        text = say("{text}, of unknown origin", text=text)
        yield Check(say("configuration"), "warning", text, "flageemonitor-run config refresh")
    elif now - stored.checked_at > STALE_CONFIG:
        age = lasting((now - stored.checked_at).total_seconds())
        text = say("{text}, not confirmed for {time}", text=text, time=age)
        yield Check(say("configuration"), "warning", text, "flageemonitor-run config refresh")
    else:
        at = f"{stored.checked_at.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"
        yield Check(say("configuration"), "ok", say("{text}, confirmed {time}", text=text, time=at))
    for warning in stored.warnings:
        yield Check(say("configuration"), "warning", warning)
    found = list(problems(config, known, clock.now()))
    for finding in found:
        level: Status = "bad" if finding.level == "error" else "warning"
        yield Check(finding.path, level, finding.text, "flageemonitor-run config check")
    for text in crowds.sentences(config, startable(config, found)):
        advice = say("spread these jobs over several minutes, or raise their grace")
        yield Check(say("schedule"), "warning", text, advice)


def control_plane(plane: Transport, clock: Clock, judge: Callable[[], ClockJudge]) -> Iterator[Check]:
    answer = plane.fetch_config(None, correlation_id=uuid7(), now=clock.now(), within=LOOK_S - 5)
    if isinstance(answer, RequestRefused):
        yield Check(say("control plane"), "bad", answer.text, plane.advice(answer))
    elif isinstance(answer, Unavailable | Intercepted):
        yield Check(say("control plane"), "bad", answer.reason, plane.advice(answer))
    else:
        with contextlib.suppress(StateUnavailable):  # the check of the local state says so
            judge().note_plane_time(answer.told)
        yield Check(say("control plane"), "ok", plane.url)
    if warning := plane.login().warning:
        yield Check(say("token"), "warning", warning)


def right_time(judge: ClockJudge, zone: dt.tzinfo) -> Iterator[Check]:
    """After the control plane was asked, which may have told its time."""
    trust = judge.judge(note=False)
    time_here = f"{trust.now.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"
    if isinstance(trust, Suspect):
        text = say(
            "{time}: {why}. Nothing is deleted by age and no disruptive job starts.", time=time_here, why=trust.why
        )
        yield Check(say("clock"), "bad" if trust.contradicted else "warning", text, ADVICE)
    elif trust.why:
        yield Check(say("clock"), "warning", joined((time_here, trust.why), ": "))
    else:
        yield Check(say("clock"), "ok", say("{time}, agrees with {source}", time=time_here, source=trust.by))


def local_state(state: State, clock: Clock) -> Iterator[Check]:
    counts = count(state)
    held = (
        plural("{n} run", "{n} runs", counts.runs),
        plural("{n} result", "{n} results", counts.results),
        plural("{n} pinned key", "{n} pinned keys", counts.host_keys),
    )
    folder = state.folder
    size = sum(path.stat().st_size for path in folder.glob("state.db*")) >> 20
    room = room_at(folder)
    sizes = joined([f"{size} MB", *([str(room)] if room else [])])
    text = say("{folder}: {counts}; {sizes}", folder=folder, counts=joined(held), sizes=sizes)
    yield Check(say("local state"), "ok", text)
    yield from _room_for_state(state, clock, room)
    outbox = counts.outbox
    waiting = say("{waiting} waiting, {delivered} delivered", waiting=outbox.waiting, delivered=outbox.delivered)
    if outbox.dead:
        waiting = say("{counts}, {dead} refused by the control plane", counts=waiting, dead=outbox.dead)
    if outbox.dropped:
        waiting = say("{counts}, {dropped} dropped undelivered", counts=waiting, dropped=outbox.dropped)
    yield from _delivery(state, waiting, outbox)
    if counts.first_use_blocked:
        yield Check(say("host keys"), "bad", counts.first_use_blocked, "flageemonitor-run hosts rekey --all")
    for notice in state.notices:
        yield Check(say("local state"), "warning", notice)


def _delivery(state: State, waiting: str, counts: OutboxCounts) -> Iterator[Check]:
    with state.read() as connection:
        status = read_status(connection)
    if status is not None and status.state != "ok":
        text = say("{counts}; {problem}", counts=waiting, problem=status.message)
        yield Check(say("outbox"), "warning", text, status.advice)
    elif counts.dead:
        yield Check(say("outbox"), "warning", waiting, "flageemonitor-run outbox --dead")
    elif counts.waiting and not counts.delivered:
        advice = say("flageemonitor-daemon delivers; now: flageemonitor-run outbox --drain")
        yield Check(say("outbox"), "warning", waiting, advice)
    elif counts.dropped:
        advice = say("results that were dropped are still here: flageemonitor-run runs")
        yield Check(say("outbox"), "warning", waiting, advice)
    else:
        yield Check(say("outbox"), "ok", waiting)


def _room_for_state(state: State, clock: Clock, room: Room | None) -> Iterator[Check]:
    """Bad where runs are refused or their results may be lost; a warning while there is little left."""
    trouble = state.trouble
    try:
        if trouble is None:
            probe_write(state, clock.now())
    except StateUnavailable as error:
        trouble = error
    if trouble is not None:
        yield Check(say("disk"), "bad", trouble.message, trouble.advice)
    elif room is not None and room.full:
        text = say(
            "the volume {volume} is almost full ({space}): a run may fail to record its results",
            volume=room.volume,
            space=room,
        )
        yield Check(say("disk"), "bad", text, say("free space on this volume"))
    elif room is not None and room.scarce:
        text = say(
            "little space left on the volume {volume} ({space}): when it is full, no run can be recorded, so none starts",
            volume=room.volume,
            space=room,
        )
        yield Check(say("disk"), "warning", text, say("free space on this volume"))


def config_room(settings: RuntimeSettings) -> Iterator[Check]:
    """Only where the configuration has a volume of its own: else the local state's check has told it."""
    room, other = room_at(settings.config_path), room_at(settings.data_path)
    if room is not None and room.full and (other is None or other.volume != room.volume):
        text = say(
            "the volume {volume} of the configuration is full ({space}): no new one can be stored; the last valid one stays "
            "in force",
            volume=room.volume,
            space=room,
        )
        yield Check(say("disk"), "bad", text, say("free space on this volume"))


def schedule_lease(state: State, zone: dt.tzinfo) -> Iterator[Check]:
    line = lease_line(read_standing(state), steady_time(), zone)
    if line is not None:
        yield Check(say("schedule"), line.status, line.text, line.advice)


def daemon(state: State, clock: Clock) -> Iterator[Check]:
    status = read_daemon_status(state)
    if status is None or status.heartbeat_at is None:
        yield Check(say("daemon"), "warning", say("has never run on this state"), say("start flageemonitor-daemon"))
        return
    silence = clock.now() - status.heartbeat_at
    silent = lasting(max(silence.total_seconds(), 0))
    if silence > SILENT_DAEMON:
        text = say("last seen {time} ago: nothing is started on schedule", time=silent)
        yield Check(say("daemon"), "bad", text, say("start it again, read its log"))
    else:
        yield Check(say("daemon"), "ok", say("pid {pid}, last seen {time} ago", pid=status.pid or "?", time=silent))
    live = live_runs(state.folder)
    yield Check(
        say("runs"), "ok", ", ".join(f"{run.action} ({run.origin})" for run in live) or say("none at the moment")
    )


def inventory(
    store: ConfigStore, opened: OpenInventory, state: Callable[[], State], zone: dt.tzinfo
) -> Iterator[Check]:
    """Silent without a configuration, which has a look of its own."""
    try:
        config = store.load().document.config
    except RunError:
        return
    try:
        listing = opened(config, within=LOOK_S - 5).read(Selector())
    except RunError:
        yield from _identity(state(), config, None, zone)
        raise
    hosts = listing.hosts
    broken = [host for host in hosts if host.problem]
    text = say("{inventory}: {hosts}", inventory=config.inventory.kind, hosts=in_words(len(hosts)))
    if not hosts:
        yield Check(say("inventory"), "warning", text, say("check the network's groups and host names"))
    else:
        yield Check(say("inventory"), "ok", text)
    machines = shared_machines(listing.entries)
    for machine in machines[:_SHOWN]:
        first, *more = machine.certain
        others = some_of([same_as(first, entry) for entry in more], _SHOWN, "; ")
        advice = say("what protects one of them protects all; correct the inventory where they are different machines")
        yield Check(say("machines"), "warning", say("{host} is {others}", host=first.name, others=others), advice)
    if len(machines) > _SHOWN:
        text = plural(
            "and {n} more machine with several entries",
            "and {n} more machines with several entries",
            len(machines) - _SHOWN,
        )
        yield Check(say("machines"), "warning", text, "flageemonitor-run hosts --output json: same_machine")
    for notice in listing.notices:
        yield Check(say("inventory"), "warning", notice)
    yield from _identity(state(), config, listing.entries, zone)
    for place, entries in _lists(config):
        for entry in unmatched_entries(entries, listing.entries):
            text = say("{place}: {entry} is no host of the inventory, so it protects none", place=place, entry=entry)
            advice = say("write a name or address as `flageemonitor-run hosts` shows it")
            yield Check(say("lists"), "warning", text, advice)
    for host in broken[:5]:
        yield Check(say("inventory"), "warning", joined((host.name, host.problem), ": "))
    if len(broken) > 5:
        text = plural("and {n} more host with a problem", "and {n} more hosts with a problem", len(broken) - 5)
        yield Check(say("inventory"), "warning", text, "flageemonitor-run hosts")


def _identity(state: State, config: NetworkConfig, entries: Sequence[Host] | None, zone: dt.tzinfo) -> Iterator[Check]:
    for line in Identities(state, config.network, entries).lines(zone):
        yield Check(say("host identity"), "ok" if line.good else "warning", line.text, line.advice)


def _lists(config: NetworkConfig) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What somebody wrote so that hosts are left alone, with its place in the document."""
    for provider, rollout in config.rollout.items():
        yield f"rollout.{provider}.never", rollout.never
    for name, action in config.actions.items():
        given = action.params.get("exceptions", ())
        entries = given if isinstance(given, list | tuple) else [given]
        yield f"actions.{name}.params.exceptions", tuple(str(entry) for entry in entries)
