"""Keeps the network's configuration current: asks the control plane, checks its answer, then replaces the last valid one.

Called by the daemon every ``refresh_interval`` and by `config refresh`. Whatever happens, the last valid document stays in force.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import assert_never

from contracts.document import DocumentError, read_document
from contracts.ids import uuid7
from runtime.adapters.config_store import ConfigStore, StoredConfig
from runtime.adapters.control_plane.transport import (
    Answer,
    Fetched,
    Intercepted,
    NotModified,
    Refused,
    Transport,
    Unavailable,
)
from runtime.domain.errors import NoConfiguration
from runtime.domain.ports import Clock

MIN_PAUSE_S = 30.0
MAX_PAUSE_S = 3600.0


@dataclass(frozen=True, slots=True)
class RefreshResult:
    """What a refresh came to, for people, status and metrics.

    ``reason``: updated, unchanged, ``invalid:<reason of the document>``, refused, unavailable, intercepted
    (something else answered), or not_stored (the disk). ``age``:
    seconds since the control plane last called the configuration in force current; None when that is not known or there is none.
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
        return "correct it on the control plane: `flagee-server config validate` shows each place, then `config set`"
    if reason == "not_stored":
        return "free or mend the disk of that folder; `flageemonitor-run doctor` tells more"
    return plane.advice(answer) if reason in ("refused", "unavailable", "intercepted") else ""


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
                return "unchanged", "the configuration is current", store.load()
            except OSError as error:
                return "unchanged", f"the configuration is current; its time could not be stored: {error}", before
        case Refused():
            whose = "the control plane's address" if answer.page else "the control plane"
            return "refused", f"{whose} {answer.text}", before
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
        return f"invalid:{error.reason}", f"the control plane's answer is not a valid configuration: {error}", before
    if plane.network and document.config.network != plane.network:
        text = f"the answer is for the network {document.config.network}, not for {plane.network}"
        return "invalid:wrong_network", text, before
    try:
        after = store.replace(answer.raw, answer.etag, source=plane.url, now=now)
    except OSError as error:
        return "not_stored", f"a new configuration could not be stored in {store.folder}: {error}", before
    if before is not None and before.document == document:
        return "unchanged", "the configuration is current", after
    return "updated", "a new configuration is in force", after
