"""A job of the document as a run is asked for. Pure; used by the run itself, by `config check` and by `schedule --explain`."""

from __future__ import annotations

from contracts.config import Job
from runtime.domain.model import Selector
from runtime.domain.pipeline import Request


def selector_of(job: Job) -> Selector:
    """Which hosts the job is for."""
    given = job.selector
    return Selector(
        stores=given.stores,
        terminals=given.terminals,
        addresses=given.addresses,
        names=given.hosts,
        groups=given.groups,
        tags=tuple(sorted(given.tags.items())),
        agent_status=given.agent_status,
        provider=given.provider,
        all=given.all,
    )


def request_of(job: Job) -> Request:
    """The job as a request; when it is planned is not in it."""
    return Request(
        job.action,
        provider=job.selector.provider,
        selector=selector_of(job),
        params=job.params,
        dry_run=job.dry_run,
        origin=f"schedule:{job.id}",
        actor=f"schedule:{job.id}",
    )
