"""What is wrong with a network's configuration beyond its own form: actions, parameters, providers, jobs. Pure.

Asked by `config check`, `schedule`, `doctor`, and by the daemon before it starts a job.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator

from contracts.action_check import Check, Finding, Level
from contracts.config import Job, NetworkConfig
from contracts.text import say
from runtime.domain.catalogue import Catalogue
from runtime.domain.errors import RunError
from runtime.domain.pipeline import resolve
from runtime.domain.published import publish
from runtime.domain.scheduled import request_of


def problems(config: NetworkConfig, known: Catalogue, now: dt.datetime) -> Iterator[Finding]:
    """Every finding; one that keeps a job from being started ``stops`` and names the job."""
    actions = known.actions.by_name
    published = publish(actions.values(), known.providers)
    check = Check(config, published, now, models=lambda name: actions[name].params)
    stopped: set[str] = set()
    for finding in check.findings():
        if finding.stops:
            stopped.add(finding.job)
        yield finding
    for job in config.schedule:
        if job.id not in stopped:
            yield from _job_problems(config, known, job, now)


def startable(config: NetworkConfig, found: Iterable[Finding]) -> list[Job]:
    """The jobs of the schedule that no finding stops."""
    stopped = {finding.job for finding in found if finding.stops}
    return [job for job in config.schedule if job.id not in stopped]


def _job_problems(config: NetworkConfig, known: Catalogue, job: Job, now: dt.datetime) -> Iterator[Finding]:
    """What only a run finds: its targets above all."""
    try:
        resolve(request_of(job), config, known, agent_id="", now=now)
    except RunError as error:
        level: Level = "error" if job.enabled else "warning"
        text = say("{message}; this job is not started", message=error.message)
        if error.reason == "no_target":
            text = say("{message}; this job is not started: {advice}", message=error.message, advice=error.advice)
        yield Finding(level, f"schedule.{job.id}", text, job=job.id, stops=True)
