"""Tells what became of updates: what keeps this container current is outside of it, and leaves notes in the data folder."""

from __future__ import annotations

import asyncio

import structlog

from runtime.adapters.deployment_notes import DeploymentNotes, LastDeploy, read_notes
from runtime.adapters.state.outbox.events import post_event_once
from runtime.adapters.state.outbox.topics import DEPLOYMENT
from runtime.wiring import Installation

log = structlog.get_logger("daemon")


class DeploymentWatch:
    """Warns once of each new trouble, and posts each change once, although every container that comes finds the report again."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._warned: frozenset[str] = frozenset()

    async def check(self) -> None:
        settings, now = self._installation.settings, self._installation.clock.now()
        notes = await asyncio.to_thread(read_notes, settings.data_path, now, settings.watchtower_interval)
        for warning in notes.warnings:
            if warning not in self._warned:
                log.warning("deployment", warning=warning)
        self._warned = frozenset(notes.warnings)
        if notes.last is not None:
            await self._post(notes, notes.last)

    async def _post(self, notes: DeploymentNotes, last: LastDeploy) -> None:
        mark = f"{last.at} {last.verb} {last.reason}"
        what = {"verb": last.verb, "reason": last.reason, "message": last.message}
        more = {
            "happened_at": last.at,
            "running": notes.running_digest,
            "tag": notes.tag_digest,
            "pinned": notes.pinned,
        }
        state, now = self._installation.state, self._installation.clock.now()
        if await asyncio.to_thread(post_event_once, state, DEPLOYMENT, mark, {**what, **more}, now):
            log.info("deployment", **what)
