"""`config check`, `config refresh` and `schedule`: the network's configuration as this proxy has it, and what it will start."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from rich.text import Text

from contracts.config import Job, NetworkConfig
from contracts.document import Document, DocumentError, read_document
from contracts.schedule import plan_of, upcoming
from runtime.adapters.control_plane import refresh
from runtime.adapters.state.meta import note_refresh
from runtime.console.output import Out
from runtime.core.catalogue import nearest
from runtime.core.errors import NoConfiguration, RunError, UsageFault
from runtime.core.model import Selector
from runtime.core.pipeline import Knowledge, Request, overridden, resolve, wrong_settings
from runtime.wiring import Installation

Level = Literal["ok", "info", "warning", "danger", "error"]
_STYLE = {"ok": "green", "info": "dim", "warning": "yellow", "danger": "bold red", "error": "bold red"}


@dataclass(frozen=True, slots=True)
class Finding:
    level: Level
    path: str
    text: str


def check(installation: Installation, file: str | None, out: Out) -> int:
    document, findings = _read(installation, file)
    findings += [Finding(note.level, note.path, note.text) for note in document.notes]
    findings += list(problems(installation, document.config))
    config = document.config
    errors = sum(finding.level == "error" for finding in findings)
    if out.form in ("json", "ndjson"):
        body = {
            "network": config.network,
            "generation": document.generation,
            "digest": document.digest,
            "errors": errors,
        }
        out.json({**body, "findings": [dataclasses.asdict(finding) for finding in findings]})
        return 3 if errors else 0
    rows = [(_mark(finding.level, out), finding.path, finding.text) for finding in findings]
    out.table(("", "where", "what"), rows, ())
    jobs = sum(job.enabled for job in config.schedule)
    text = f"{config.network}, provider {config.provider}, {config.timezone}, inventory {config.inventory.kind}, {jobs} jobs on"
    out.say(f"{text}: {errors or 'no'} error{'s' if errors != 1 else ''}", "bold red" if errors else "green")
    return 3 if errors else 0


def _mark(level: Level, out: Out) -> object:
    return Text(level, style=_STYLE[level]) if out.form == "table" else level


def _read(installation: Installation, file: str | None) -> tuple[Document, list[Finding]]:
    if file is None:
        stored = installation.store.load()
        return stored.document, [Finding("warning", str(stored.path), text) for text in stored.warnings]
    try:
        return read_document(Path(file).read_bytes(), strict=True), []
    except DocumentError as error:
        raise NoConfiguration(error.reason, f"{file}: {error}", "correct these places, then check again") from None


def problems(installation: Installation, config: NetworkConfig) -> Iterator[Finding]:
    """What validation of the document alone cannot see: actions, parameters, providers. Also asked by the daemon."""
    known = installation.known
    yield from _settings_problems(known, config)
    yield from _override_problems(known, config)
    for name in {*config.rollout, *config.overrides, config.provider} - known.providers.keys():
        yield Finding("warning", "provider", f"{name} is not a provider that this image knows")
    for job in config.schedule:
        yield from _job_problems(installation, config, job)


def _settings_problems(known: Knowledge, config: NetworkConfig) -> Iterator[Finding]:
    names = known.names()
    first: dict[str, str] = {}  # action -> the key by which it is spoken of
    for key in config.actions:
        if key in names:
            first.setdefault(names[key], key)
        else:
            text = f"no such action, so this protects and changes nothing; {nearest(key, names)}"
            yield Finding("error", f"actions.{key}", text)
    for name, key in first.items():
        try:
            wrong = wrong_settings(known.catalogue.actions[name], config, known)
        except UsageFault as fault:
            yield Finding("error", f"actions.{key}", f"{fault.message}: no run of it starts; {fault.advice}")
            continue
        for problem in wrong:
            path = f"actions.{key}.params{'.' if problem.path else ''}{problem.path}"
            yield Finding("error", path, f"{problem.message}; runs of {name} with this value are refused")


def _override_problems(known: Knowledge, config: NetworkConfig) -> Iterator[Finding]:
    for provider, overrides in config.overrides.items():
        names = known.names(provider)
        for key in overrides:
            path = f"overrides.{provider}.{key}"
            if key not in names:
                yield Finding("error", path, f"no such action, so this replaces nothing; {nearest(key, names)}")
            elif provider in known.providers:
                try:
                    overridden(known.catalogue.actions[names[key]], provider, config, known)
                except UsageFault as fault:
                    text = f"{fault.message}: no run of {names[key]} that may meet hosts of {provider} starts; {fault.advice}"
                    yield Finding("error", path, text)


def _job_problems(installation: Installation, config: NetworkConfig, job: Job) -> Iterator[Finding]:
    path = f"schedule.{job.id}"
    try:
        plan_of(job, ZoneInfo(config.timezone), "")
        resolve(
            Request(job.action, provider=job.selector.provider, selector=_said(job), params=job.params),
            config,
            installation.known,
            agent_id="",
            now=installation.clock.now(),
        )
    except RunError as error:
        level: Level = "warning" if error.reason in ("not_available", "action_disabled") or not job.enabled else "error"
        yield Finding(level, path, f"{error.message}; this job is not started")
    except ValueError as error:
        yield Finding("error", path, f"{error}; this job is not started")


def _said(job: Job) -> Selector:
    """As explicit as the job's own selector is; which hosts it means does not matter here."""
    given = job.selector
    return Selector(
        stores=given.stores,
        terminals=given.terminals,
        addresses=given.addresses,
        names=given.hosts,
        groups=given.groups,
        tags=tuple(given.tags.items()),
        all=given.all,
    )


def refresh_now(installation: Installation, out: Out) -> int:
    """Exit code 0 when what the control plane serves is in force, 1 when the last valid one was kept, 3 when there is none."""
    result = refresh(installation.store, installation.plane, installation.clock)
    note_refresh(installation.state, result, installation.clock.now())
    if result.current:
        installation.note_plane_time(result.told)
    if out.form in ("json", "ndjson"):
        body: dict[str, Any] = dataclasses.asdict(result)
        out.json({**body, "at": result.at.isoformat()})
    else:
        out.say(f"{result.reason}: {result.message}", "green" if result.current else "bold red")
        if result.advice:
            out.say(f"  try: {result.advice}")
        for warning in result.warnings:
            out.say(f"warning: {warning}", "yellow")
        if not result.current and result.in_force:
            age = "" if result.age is None else f", confirmed {_span(result.age)} ago"
            out.say(f"the last valid configuration stays in force{age}")
    return 0 if result.current else 1 if result.in_force else 3


def _span(seconds: float) -> str:
    return str(dt.timedelta(seconds=round(seconds)))


def parse_span(text: str) -> float:
    """``90m``, ``24h``, ``7d`` or hours alone; returns hours. Raises UsageFault."""
    match = re.fullmatch(r"(\d{1,5})([mhd]?)", text.strip())
    hours = int(match[1]) * {"m": 1 / 60, "h": 1, "": 1, "d": 24}[match[2]] if match else 0
    if not 0 < hours <= 24 * 366:
        raise UsageFault("bad_span", f"{text!r} is not a span", "for example 90m, 24h or 7d, at most a year")
    return hours


def show_schedule(installation: Installation, span: str, out: Out) -> int:
    config = installation.document().config
    zone = ZoneInfo(config.timezone)
    bad = {finding.path.removeprefix("schedule."): finding.text for finding in problems(installation, config)}
    start = installation.clock.now()
    good = [job for job in config.schedule if job.id not in bad]
    data, rows = [], []
    for instant, job in upcoming(good, zone, start, parse_span(span), installation.agent_id):
        deadline = plan_of(job, zone, installation.agent_id).deadline(instant)
        local = instant.astimezone(zone)
        data.append(
            {
                "at": instant.isoformat(),
                "local": local.isoformat(),
                "job": job.id,
                "action": job.action,
                "not_after": deadline.isoformat() if deadline else None,
                "selector": job.selector.model_dump(exclude_defaults=True, mode="json"),
                "dry_run": job.dry_run,
            }
        )
        limit = f"{deadline.astimezone(zone):%H:%M}" if deadline else ""
        rows.append((f"{local:%a %Y-%m-%d %H:%M:%S %Z}", job.id, job.action, limit, _selector_text(job)))
    out.table(("when", "job", "action", "not after", "hosts"), rows, data, whole=("when", "job", "action"))
    if not rows:
        out.say(f"nothing is due within {span}")
    off = [job.id for job in config.schedule if not job.enabled and job.id not in bad]
    if off:
        out.say(f"switched off: {', '.join(off)}", "dim")
    for job_id, text in bad.items():
        out.say(f"{job_id}: {text}", "yellow")
    return 0


def _selector_text(job: Job) -> str:
    given = job.selector.model_dump(exclude_defaults=True, mode="json")
    parts = (
        name if v is True else f"{name}={','.join(map(str, v)) if isinstance(v, list) else v}"
        for name, v in given.items()
    )
    return ", ".join(parts) or "every host"
