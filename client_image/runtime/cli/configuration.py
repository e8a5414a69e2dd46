"""`config check` and `config refresh`: the network's configuration as this proxy has it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rich.text import Text

from commandline.language import shown
from contracts.action_check import Finding, Level
from contracts.config import Job, NetworkConfig
from contracts.document import Document, DocumentError, read_document
from contracts.durations import lasting
from contracts.text import Text as Sentence
from contracts.text import joined, plural, say
from runtime.adapters.config_store import ConfigStore
from runtime.adapters.control_plane.transport import Transport
from runtime.adapters.state.clock_evidence import ClockJudge
from runtime.adapters.state.files import read_plain
from runtime.adapters.state.store import State
from runtime.cli.crowd import Crowds
from runtime.cli.output import Out
from runtime.domain.catalogue import Catalogue
from runtime.domain.config_check import problems, startable
from runtime.domain.errors import NoConfiguration
from runtime.domain.ports import Clock
from runtime.services.config_refresh import record, refresh

_STYLE = {"ok": "green", "info": "dim", "warning": "yellow", "danger": "bold red", "error": "bold red"}
_LEVELS = {
    "ok": say("ok"),
    "info": say("info"),
    "warning": say("warning"),
    "danger": say("danger"),
    "error": say("error"),
}


def check(store: ConfigStore, known: Catalogue, clock: Clock, crowds: Crowds, file: str | None, out: Out) -> int:
    document, etag, findings = _read(store, file)
    findings += [Finding(note.level, note.path, note.text) for note in document.notes]
    config = document.config
    found = list(problems(config, known, clock.now()))
    findings += found
    good = startable(config, found)
    findings += [Finding("warning", "schedule", text) for text in crowds.sentences(config, good)]
    errors = sum(finding.level == "error" for finding in findings)
    if out.form in ("json", "ndjson"):
        body = {
            "network": config.network,
            "generation": document.generation,
            "etag": etag,
            "errors": errors,
        }
        out.json({**body, "findings": [{"level": one.level, "path": one.path, "text": one.text} for one in findings]})
        return 3 if errors else 0
    rows = [(_mark(finding.level, out), finding.path, finding.text) for finding in findings]
    out.table(("", say("where"), say("what")), rows, ())
    verdict = plural("{n} error", "{n} errors", errors) if errors else say("no errors")
    text = say(
        "{network}, provider {provider}, {zone}, inventory {inventory}, {jobs}: {verdict}",
        network=config.network,
        provider=config.provider,
        zone=config.timezone,
        inventory=config.inventory.kind,
        jobs=_jobs_on(config, good),
        verdict=verdict,
    )
    out.say(text, "bold red" if errors else "green")
    return 3 if errors else 0


def _jobs_on(config: NetworkConfig, good: Iterable[Job]) -> Sentence:
    """5 jobs on, 2 not started: what is wrong with a job keeps it from being started."""
    on = sum(job.enabled for job in good)
    stopped = sum(job.enabled for job in config.schedule) - on
    text = plural("{n} job on", "{n} jobs on", on)
    return plural("{jobs}, {n} not started", "{jobs}, {n} not started", stopped, jobs=text) if stopped else text


def _mark(level: Level, out: Out) -> object:
    """A word for a person; a pipe gets the code."""
    return Text(shown(_LEVELS[level]), style=_STYLE[level]) if out.form == "table" else level


def _read(store: ConfigStore, file: str | None) -> tuple[Document, str | None, list[Finding]]:
    """The document, its ETag if the control plane gave it one, and findings about the file itself."""
    if file is None:
        stored = store.load()
        return stored.document, stored.etag, [Finding("warning", str(stored.path), text) for text in stored.warnings]
    try:
        return read_document(read_plain(Path(file)), strict=True), None, []
    except DocumentError as error:
        advice = say("correct these places, then check again")
        raise NoConfiguration(error.reason, joined((file, str(error)), ": "), advice) from None


def refresh_now(
    store: ConfigStore,
    plane: Transport,
    clock: Clock,
    state: Callable[[], State],
    judge: Callable[[], ClockJudge],
    out: Out,
) -> int:
    """Exit code 0 when what the control plane serves is in force, 1 when the last valid one was kept, 3 without a valid one."""
    result = refresh(store, plane, clock)
    record(state(), result)
    if result.current:
        judge().note_plane_time(result.told)
    if out.form in ("json", "ndjson"):
        body: dict[str, Any] = dataclasses.asdict(result)
        out.json({**body, "at": result.at.isoformat()})
    else:
        out.say(joined((result.reason, result.message), ": "), "green" if result.current else "bold red")
        if result.advice:
            out.advise(result.advice)
        for warning in result.warnings:
            out.warn(warning)
        if not result.current and result.in_force:
            text = say("the last valid configuration stays in force")
            if result.age is not None:
                text = say("{text}, confirmed {time} ago", text=text, time=lasting(result.age))
            out.say(text)
    return 0 if result.current else 1 if result.in_force else 3
