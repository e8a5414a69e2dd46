"""Tells what became of updates: what keeps this container current is outside of it, and leaves notes in the data folder."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Mapping
from functools import partial

import structlog

from runtime.adapters.deployment_notes import DeploymentNotes, LastDeploy, read_notes
from runtime.adapters.state.outbox.events import post_event_once
from runtime.adapters.state.outbox.topics import (
    DEPLOYMENT,
    REPAIR_FINISHED,
    UPDATE_FAILED,
    UPDATE_FINISHED,
    UPDATE_ROLLED_BACK,
    Topic,
)
from runtime.adapters.state.store import State
from runtime.domain.ports import Clock

log = structlog.get_logger("daemon")

# What a deploy that changed something came to, by its reason; any other reason is a failure. See docs/deployment.md.
_ENDED: Mapping[str, Topic | None] = {
    "installed": UPDATE_FINISHED,
    "updated": UPDATE_FINISHED,
    "repaired": REPAIR_FINISHED,
    "rolled_back": UPDATE_ROLLED_BACK,
    "restored": UPDATE_ROLLED_BACK,
    "candidate_unhealthy": UPDATE_ROLLED_BACK,
    "removed": None,
}


class DeploymentWatch:
    """Warns once of each new trouble, and posts each change once, although every container that comes finds the report again.

    ``poll_seconds``: how often Watchtower looks for a new image; None: not known.
    """

    def __init__(self, state: State, clock: Clock, poll_seconds: int | None) -> None:
        self._state, self._clock, self._poll_seconds = state, clock, poll_seconds
        self._warned: frozenset[str] = frozenset()

    async def check(self) -> None:
        now = self._clock.now()
        notes = await asyncio.to_thread(read_notes, self._state.folder, now, self._poll_seconds)
        for warning in notes.warnings:
            if warning not in self._warned:
                log.warning("deployment", warning=warning)
        self._warned = frozenset(notes.warnings)
        if notes.last is not None:
            await self._post(notes, notes.last, now)

    async def _post(self, notes: DeploymentNotes, last: LastDeploy, now: dt.datetime) -> None:
        mark = f"{last.at} {last.verb} {last.reason}"
        what = {"verb": last.verb, "reason": last.reason, "message": last.message}
        more = {
            "happened_at": last.at,
            "running": notes.running_digest,
            "tag": notes.tag_digest,
            "pinned": notes.pinned,
        }
        also = _ENDED.get(last.reason, UPDATE_FAILED)
        post = partial(post_event_once, self._state, DEPLOYMENT, mark, {**what, **more}, now, also=also)
        if await asyncio.to_thread(post):
            log.info("deployment", **what)
