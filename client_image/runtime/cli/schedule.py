"""`schedule`: what will be started and when, and with `--explain` what each run would meet. Touches no terminal."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from rich.text import Text

from contracts.config import Job, MatrixRow, NetworkConfig
from contracts.schedule import plan_of, upcoming
from contracts.text import Text as Sentence
from contracts.text import joined, say
from runtime.cli.crowd import Crowds
from runtime.cli.output import Out
from runtime.cli.schedule_lease import LeaseLine
from runtime.cli.text import lines_of, weekday
from runtime.domain.catalogue import Catalogue
from runtime.domain.config_check import problems, startable
from runtime.domain.errors import UsageFault
from runtime.domain.filters import from_job
from runtime.domain.model import Listing, Selector
from runtime.domain.pipeline import resolve
from runtime.domain.ports import Inventory
from runtime.domain.schedule_lease import needs_lease
from runtime.domain.scheduled import request_of
from runtime.domain.selection import select
from runtime.domain.time.crowd import in_turn
from runtime.engine import gates
from runtime.engine.forecast import Expected, Forecast, sentences


def parse_span(text: str) -> float:
    """``90m``, ``24h``, ``7d`` or hours alone; returns hours. Raises UsageFault."""
    match = re.fullmatch(r"(\d{1,5})([mhd]?)", text.strip())
    hours = int(match[1]) * {"m": 1 / 60, "h": 1, "": 1, "d": 24}[match[2]] if match else 0
    if not 0 < hours <= 24 * 366:
        raise UsageFault(
            "bad_span", say("{text} is not a span", text=text), say("for example 90m, 24h or 7d, at most a year")
        )
    return hours


@dataclass(frozen=True, slots=True)
class ScheduleParts:
    """What the schedule is shown from. ``rows``: the compatibility matrix; ``inventory``: opens the inventory; ``lease``: whether
    jobs that change anything start here."""

    config: NetworkConfig
    known: Catalogue
    rows: tuple[MatrixRow, ...]
    now: dt.datetime
    agent_id: str
    inventory: Callable[[NetworkConfig], Inventory]
    crowds: Crowds
    lease: LeaseLine | None = None

    def held(self, job: Job) -> str | None:
        """Why the job would not start now, where another agent of the network may run it."""
        if self.lease is None or not self.lease.held:
            return None
        effect = resolve(request_of(job), self.config, self.known, agent_id="", now=self.now).effect
        return self.lease.text if needs_lease(effect, dry_run=job.dry_run) else None


def show_schedule(parts: ScheduleParts, span: str, explain: bool, out: Out) -> int:
    config = parts.config
    found = list(problems(config, parts.known, parts.now))
    good = startable(config, found)
    zone = ZoneInfo(config.timezone)
    planned = in_turn(upcoming(good, zone, parts.now, parse_span(span), parts.agent_id), config)
    if explain:
        _show_explained(parts, planned, out)
    else:
        _show_planned(parts, planned, zone, out)
    if not planned:
        out.say(say("nothing is due within {span}", span=span))
    if parts.lease is not None and parts.lease.held:
        out.say(parts.lease.text, "yellow")
        if parts.lease.advice:
            out.advise(parts.lease.advice)
    off = [
        job.id
        for job in config.schedule
        if not job.enabled and all(job.id != finding.job for finding in found if finding.stops)
    ]
    if off:
        out.say(say("switched off: {jobs}", jobs=", ".join(off)), "dim")
    for text in parts.crowds.sentences(config, good, parse_span(span)):
        out.say(text, "yellow")
    for finding in found:
        if finding.job:
            out.say(joined((finding.job, finding.text), ": "), "yellow")
    return 0


def _show_planned(parts: ScheduleParts, planned: list[tuple[dt.datetime, Job]], zone: ZoneInfo, out: Out) -> None:
    data, rows = [], []
    for instant, job in planned:
        deadline = plan_of(job, zone, parts.agent_id).deadline(instant)
        data.append(
            {
                **_when(instant, job, zone),
                "not_after": deadline.isoformat() if deadline else None,
                "selector": job.selector.model_dump(exclude_defaults=True, mode="json"),
                "dry_run": job.dry_run,
                "held": parts.held(job),
            }
        )
        limit = f"{deadline.astimezone(out.zone()):%H:%M}" if deadline else ""
        rows.append((_shown(instant, out.zone()), job.id, job.action, limit, _selector_text(job)))
    columns = (say("when"), say("job"), say("action"), say("not after"), say("hosts"))
    out.table(columns, rows, data, whole=columns[:3])


def _show_explained(parts: ScheduleParts, planned: list[tuple[dt.datetime, Job]], out: Out) -> None:
    """The inventory is read once, for all runs."""
    config, known, zone = parts.config, parts.known, ZoneInfo(parts.config.timezone)
    rules = gates.policy(config, known.providers, parts.rows)
    listing = parts.inventory(config).read(Selector()) if planned else Listing()
    forecasts: dict[str, tuple[Any, Forecast]] = {}
    data, rows = [], []
    for instant, job in planned:
        if job.id not in forecasts:
            run = resolve(request_of(job), config, known, agent_id="", now=instant)
            forecasts[job.id] = (run, Forecast(select(listing, from_job(job.selector)), rules))
        run, forecast = forecasts[job.id]
        deadline = plan_of(job, zone, parts.agent_id).deadline(instant)
        expected = forecast.expect(dataclasses.replace(run, not_after=deadline), instant)
        kept = [dataclasses.asdict(one) for one in expected.kept]
        counts = {"hosts": expected.hosts, "would_run": expected.would_run}
        data.append(
            {**_when(instant, job, zone), **counts, "dry_run": job.dry_run, "kept": kept, "held": parts.held(job)}
        )
        rows.append((_shown(instant, out.zone()), job.id, job.action, *_counts(expected, out), _why(expected, job)))
    columns = (say("when"), say("job"), say("action"), say("hosts"), say("would run"), say("the others, and why"))
    out.table(columns, rows, data, whole=columns[:5])


def _counts(expected: Expected, out: Out) -> tuple[object, object]:
    running: object = str(expected.would_run)
    if out.form == "table" and not expected.would_run:
        running = Text("0", style="bold yellow")
    return str(expected.hosts), running


def _why(expected: Expected, job: Job) -> str:
    parts = list(sentences(expected))
    if not expected.hosts:
        parts.append(say("no host of the inventory matches the job"))
    if job.dry_run:
        parts.append(say("dry-run: nothing is changed"))
    return lines_of(*parts)


def _when(instant: dt.datetime, job: Job, zone: ZoneInfo) -> dict[str, Any]:
    local = instant.astimezone(zone)
    return {"at": instant.isoformat(), "local": local.isoformat(), "job": job.id, "action": job.action}


def _shown(instant: dt.datetime, zone: dt.tzinfo) -> Sentence:
    local = instant.astimezone(zone)
    return say("{day} {time}", day=weekday(local), time=f"{local:%Y-%m-%d %H:%M:%S %Z}")


def _selector_text(job: Job) -> str:
    given = job.selector.model_dump(exclude_defaults=True, mode="json")
    parts = (
        name if v is True else f"{name}={','.join(map(str, v)) if isinstance(v, list) else v}"
        for name, v in given.items()
    )
    return ", ".join(parts) or say("every host")
