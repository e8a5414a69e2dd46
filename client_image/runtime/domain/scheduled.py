"""A job of the document as a run is asked for. Pure; used by the run itself, by `config check` and by `schedule --explain`."""

from __future__ import annotations

from contracts.config import Job
from runtime.domain.filters import from_job
from runtime.domain.pipeline import Request


def request_of(job: Job) -> Request:
    """The job as a request; when it is planned is not in it."""
    return Request(
        job.action,
        provider=job.selector.provider,
        selector=from_job(job.selector),
        params=job.params,
        dry_run=job.dry_run,
        origin=f"schedule:{job.id}",
        actor=f"schedule:{job.id}",
    )
