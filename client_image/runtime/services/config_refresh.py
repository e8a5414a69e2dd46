"""Keeps the network's configuration current: asks the control plane, checks its answer, then replaces the last valid one.

:func:`refresh` is also what `config refresh` calls. Whatever happens, the last valid document stays in force.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import assert_never

import structlog
from sqlalchemy import Connection

from contracts.document import Document, DocumentError, read_document
from contracts.ids import uuid7
from contracts.text import say
from runtime.adapters.config_store import ConfigStore, StoredConfig
from runtime.adapters.control_plane.transport import (
    Answer,
    Fetched,
    Intercepted,
    NotModified,
    RequestRefused,
    Transport,
    Unavailable,
)
from runtime.adapters.state.clock_evidence import ClockJudge
from runtime.adapters.state.meta import refresh_noted
from runtime.adapters.state.outbox.events import forget_mark, put_once
from runtime.adapters.state.outbox.topics import CONFIG_APPLIED, CONFIG_REFUSED
from runtime.adapters.state.store import State
from runtime.domain.background import in_background
from runtime.domain.errors import NoConfiguration, RunError
from runtime.domain.ports import Clock

MIN_PAUSE_S = 30.0
MAX_PAUSE_S = 3600.0

log = structlog.get_logger("daemon")


@dataclass(frozen=True, slots=True)
class RefreshResult:
    """What a refresh came to, for people, status and metrics.

    ``reason``: updated, unchanged, ``invalid:<reason of the document>``, refused, unavailable, intercepted
    (something else answered), or not_stored (the disk). ``age``:
    seconds since the control plane last called the configuration in force current; None when that is not known, and without
    a configuration.
    ``told``: the control plane's own time in the answer.
    """

    reason: str
    message: str
    at: dt.datetime
    correlation_id: str
    changed: bool = False
    in_force: bool = False
    etag: str | None = None
    age: float | None = None
    status: int | None = None
    retry_after: float | None = None
    advice: str = ""
    warnings: tuple[str, ...] = field(default=())
    told: dt.datetime | None = None

    @property
    def current(self) -> bool:
        """The control plane answered, and what it serves is in force here."""
        return self.reason in ("updated", "unchanged")


def refresh(store: ConfigStore, plane: Transport, clock: Clock) -> RefreshResult:
    """Ask, check, and only then replace. Blocks for at most the plane's time limits."""
    try:
        before: StoredConfig | None = store.load()
    except NoConfiguration:
        before = None
    now = clock.now()
    correlation = uuid7()
    answer = plane.fetch_config(before.etag if before else None, correlation_id=correlation, now=now)
    reason, message, after = _take(store, plane, answer, before, now)
    warnings = tuple(text for text in (plane.login().warning, *(after.warnings if after else ())) if text)
    checked = after.checked_at if after else None
    return RefreshResult(
        reason=reason,
        message=message,
        at=now,
        correlation_id=correlation,
        changed=reason == "updated",
        in_force=after is not None,
        etag=after.etag if after else None,
        age=max(0.0, (now - checked).total_seconds()) if checked else None,
        status=getattr(answer, "status", None),
        retry_after=getattr(answer, "retry_after", None),
        advice=_advice(reason, plane, answer),
        warnings=warnings,
        told=getattr(answer, "told", None),
    )


def _advice(reason: str, plane: Transport, answer: Answer) -> str:
    if reason.startswith("invalid:"):
        return say(
            "correct it on the control plane: `flagee-server config validate` shows each place, then `config set`"
        )
    if reason == "not_stored":
        return say("free or repair the disk of that folder; `flageemonitor-run doctor` shows more")
    return plane.advice(answer) if reason in ("refused", "unavailable", "intercepted") else ""


def record(state: State, result: RefreshResult) -> None:
    """Note the refresh, and tell the control plane which version is in force, and once why a newer one is not: one transaction.

    What is in force is compared with what was told last, so that a kill between the file and this loses nothing.
    """

    def work(connection: Connection) -> None:
        refresh_noted(connection, result, result.at)
        if result.current:
            forget_mark(connection, CONFIG_REFUSED)
            mark = result.etag or (result.at.isoformat() if result.changed else "")
            if mark:
                put_once(connection, CONFIG_APPLIED, mark, {"etag": result.etag}, result.at)
        elif result.reason.startswith("invalid:"):
            told = {"reason": result.reason, "message": result.message, "in_force": result.in_force}
            put_once(connection, CONFIG_REFUSED, f"{result.reason} {result.message}", told, result.at)

    state.write(work)


def next_pause(result: RefreshResult, *, interval: float, failures: int, spread: float) -> float:
    """Seconds until the next refresh. ``failures``: in a row, this one included; ``spread``: from 0 to below 1, drawn at random.

    A refusing server is left alone for at least MIN_PAUSE_S, longer if it says so (up to MAX_PAUSE_S: a mistyped Retry-After
    must not silence a proxy for a year). One that is away is tried again soon, then ever more slowly up to the interval.
    """
    pause = max(interval, MIN_PAUSE_S)
    if result.current:
        pause = interval
    elif result.reason in ("unavailable", "intercepted"):
        pause = min(pause, MIN_PAUSE_S * 2.0 ** min(failures - 1, 20))
    pause = max(pause, min(result.retry_after or 0.0, MAX_PAUSE_S))
    return pause * (1 + spread / 10)  # thousands of proxies that lost the same server must not come back in one second


def _take(
    store: ConfigStore, plane: Transport, answer: Answer, before: StoredConfig | None, now: dt.datetime
) -> tuple[str, str, StoredConfig | None]:
    """Reason, sentence, and what is in force afterwards."""
    match answer:
        case NotModified():
            try:
                if before is not None:
                    store.confirm(before, now)
                return "unchanged", say("the configuration is current"), store.load()
            except OSError as error:
                text = say("the configuration is current; its time could not be stored: {problem}", problem=error)
                return "unchanged", text, before
        case RequestRefused():
            whose = say("the control plane's address") if answer.page else say("the control plane")
            return "refused", say("{subject} {answer}", subject=whose, answer=answer.text), before
        case Unavailable():
            return "unavailable", answer.reason, before
        case Intercepted():
            return "intercepted", answer.reason, before
        case Fetched():
            return _replace(store, plane, answer, before, now)
    assert_never(answer)


def _replace(
    store: ConfigStore, plane: Transport, answer: Fetched, before: StoredConfig | None, now: dt.datetime
) -> tuple[str, str, StoredConfig | None]:
    try:
        document = read_document(answer.raw, strict=False)
    except DocumentError as error:
        text = say("the control plane's answer is not a valid configuration: {problem}", problem=error)
        return f"invalid:{error.reason}", text, before
    if plane.network and document.config.network != plane.network:
        answered = document.config.network
        text = say(
            "the answer is for the network {answered}, not for {network}", answered=answered, network=plane.network
        )
        return "invalid:wrong_network", text, before
    try:
        after = store.replace(answer.raw, answer.etag, source=plane.url, now=now)
    except OSError as error:
        text = say("a new configuration could not be stored in {folder}: {problem}", folder=store.folder, problem=error)
        return "not_stored", text, before
    if before is not None and before.document == document:
        return "unchanged", say("the configuration is current"), after
    return "updated", say("a new configuration is in force"), after


class ConfigRefresh:
    """Keeps the stored document current and in force.

    ``connect``: makes the transport, with what it loads, when it is first needed. ``schedule`` is given each document that comes
    into force; it returns the ids of the jobs.
    """

    def __init__(
        self,
        state: State,
        store: ConfigStore,
        connect: Callable[[], Transport],
        clock: Clock,
        judge: ClockJudge,
        schedule: Callable[[Document], tuple[str, ...]],
    ) -> None:
        self._state, self._store, self._connect = state, store, connect
        self._clock, self._judge, self._schedule = clock, judge, schedule
        self._in_force: Document | None = None
        self._stamp: object = None
        self._failures = 0

    def take_stored(self) -> float:
        """Put the stored document in force if it is not yet; the seconds between refreshes."""
        self._stamp = self._store.stamp()
        try:
            stored = self._store.load()
        except RunError as error:
            log.error(error.reason, message=error.message, advice=error.advice)
            return MIN_PAUSE_S
        document = stored.document
        if document != self._in_force:
            for note in document.notes:
                if note.level != "info":
                    log.warning("configuration_note", level_of_note=note.level, path=note.path, note=note.text)
            jobs = self._schedule(document)
            self._in_force = document
            log.info("configuration_in_force", network=document.config.network, etag=stored.etag, jobs=jobs)
        return float(document.config.refresh_interval)

    def take_what_others_stored(self) -> None:
        """Another process may have written the file: `config refresh`, the installer."""
        if self._store.stamp() != self._stamp:
            self.take_stored()

    async def fetch(self) -> float:
        """Ask the control plane once; seconds until the next time."""
        result = await in_background(lambda: refresh(self._store, self._connect(), self._clock))
        await asyncio.to_thread(record, self._state, result)
        if result.current:
            await asyncio.to_thread(self._judge.note_plane_time, result.told)
        _tell(result, recovered=result.current and self._failures > 0)
        self._failures = 0 if result.current else self._failures + 1
        interval = self.take_stored()
        spread = random.random()  # noqa: S311  # no secret: it spreads the load
        return next_pause(result, interval=interval, failures=self._failures, spread=spread)


def _tell(result: RefreshResult, *, recovered: bool) -> None:
    quiet = result.reason == "unchanged" and not recovered
    level = log.debug if quiet else log.info if result.current else log.error
    extra = {} if result.current else {"in_force": result.in_force, "age": result.age}
    level("configuration", reason=result.reason, message=result.message, correlation_id=result.correlation_id, **extra)
    for warning in result.warnings:
        log.warning("configuration", warning=warning)
