"""What deploy and Watchtower's hooks left in the data folder, read for doctor, daemon and health report. It never raises.

Anything may stand in these files: a value of the wrong kind counts as absent, an absurd one as absent too.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from contracts.bounded import whole
from contracts.text import Text, say
from runtime.adapters.build import json_in, text_of
from runtime.adapters.untrusted_files import read_untrusted

REPORT, HOLD, STAMP = "deployment.json", "hold.json", "watchtower.stamp"
PATIENCE = dt.timedelta(hours=6)
# The window opens once a day.
WINDOW_PATIENCE = dt.timedelta(hours=30)
SILENT_POLLS = 3
# The timer calls the repair every five minutes, and each writes the report.
SILENT_REPAIR = dt.timedelta(hours=24)
# What the report says of the registry is believed for so long.
TAG_KNOWN = dt.timedelta(hours=1)
_FUTURE = dt.timedelta(minutes=10)
_LAST_SECOND = 99_999_999_999


@dataclass(frozen=True, slots=True)
class LastDeploy:
    """The last deploy that changed something or failed; equality tells whether it is a new one."""

    verb: str
    reason: str
    message: str
    at: str


@dataclass(frozen=True, slots=True)
class Updates:
    """How this host takes new images. ``auto``: by Watchtower; ``window``: when, with its zone, empty for always; ``fixed``: the
    environment file names a digest."""

    auto: bool = True
    window: str = ""
    zone: str = ""
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class DeploymentNotes:
    """Empty texts and None where nothing is known. ``tag_refused``: this host has refused what the tag points to just now.
    ``warnings``: sentences for an operator."""

    reported_at: dt.datetime | None = None
    image: str = ""
    running_digest: str = ""
    tag_digest: str = ""
    tag_error: str = ""
    tag_refused: bool = False
    behind_since: dt.datetime | None = None
    pinned: str = ""
    watchtower_state: str = ""
    watchtower_seen: dt.datetime | None = None
    held_since: dt.datetime | None = None
    updates: Updates = Updates()
    http_proxy: str = ""
    last: LastDeploy | None = None
    warnings: tuple[str, ...] = ()


def read_notes(data: Path, now: dt.datetime, interval: int | None) -> DeploymentNotes:
    """``interval``: seconds between two polls of Watchtower; None where nobody expects one."""
    report = json_in(data / REPORT)
    tag, watchtower = _mapping(report.get("tag")), _mapping(report.get("watchtower"))
    notes = DeploymentNotes(
        reported_at=_instant(report.get("at"), now),
        image=text_of(report.get("image")),
        running_digest=_running(report),
        tag_digest=text_of(tag.get("digest")),
        tag_error=text_of(tag.get("error")),
        tag_refused=_tag_refused(report, tag, now),
        behind_since=_instant(report.get("behind_since"), now),
        pinned=_pinned(report.get("pinned")),
        watchtower_state=text_of(watchtower.get("state")),
        watchtower_seen=_stamp(data / STAMP, now),
        held_since=_instant(json_in(data / HOLD).get("since"), now),
        updates=_updates(report.get("updates")),
        http_proxy=_http_proxy(report.get("http_proxy")),
        last=_last(report.get("last")),
    )
    return _with_warnings(notes, now, interval)


def _with_warnings(notes: DeploymentNotes, now: dt.datetime, interval: int | None) -> DeploymentNotes:
    warnings: list[str] = []
    if notes.pinned:
        warnings.append(
            say("pinned to {image}: no update is taken until update-image --resume on the host", image=notes.pinned)
        )
    elif notes.tag_refused:
        warnings.append(
            say(
                "{image} points to {digest}, which this host has refused: no update until it points to another",
                image=notes.image,
                digest=notes.tag_digest[:19],
            )
        )
    elif notes.updates.auto and notes.behind_since and now - notes.behind_since > _patience(notes.updates):
        warnings.append(
            say(
                "behind since {instant}: runs {running}, {image} points to {digest}",
                instant=_when(notes.behind_since),
                running=notes.running_digest[:19] or say("an image of no registry"),
                image=notes.image,
                digest=notes.tag_digest[:19],
            )
        )
    if notes.held_since and now - notes.held_since > PATIENCE:
        warnings.append(say("an update has been held back by runs since {instant}", instant=_when(notes.held_since)))
    if interval:
        seen = notes.watchtower_seen or (_instant(notes.last.at, now) if notes.last else None)
        if seen is None or now - seen > SILENT_POLLS * dt.timedelta(seconds=interval):
            warnings.append(_late_watchtower(notes.watchtower_seen, interval))
    if notes.watchtower_state not in ("", "running", "off"):
        warnings.append(say("Watchtower is {state}", state=notes.watchtower_state))
    if notes.reported_at and now - notes.reported_at > SILENT_REPAIR:
        warnings.append(say("the host's repair timer has not run since {instant}", instant=_when(notes.reported_at)))
    return replace(notes, warnings=tuple(warnings))


def _late_watchtower(seen: dt.datetime | None, interval: int) -> Text:
    if seen is None:
        return say("Watchtower has not looked for an update so far, it should every {seconds} s", seconds=interval)
    return say(
        "Watchtower has not looked for an update since {instant}, it should every {seconds} s",
        instant=_when(seen),
        seconds=interval,
    )


def _tag_refused(report: Mapping[str, Any], tag: Mapping[str, Any], now: dt.datetime) -> bool:
    refused, digest = report.get("refused"), text_of(tag.get("digest"))
    times = (_instant(report.get("at"), now), _instant(tag.get("known_at"), now))
    fresh = all(at is not None and now - at <= TAG_KNOWN for at in times)
    return fresh and bool(digest) and isinstance(refused, list) and digest in refused


def _running(report: Mapping[str, Any]) -> str:
    running = _mapping(report.get("running"))
    return text_of(running.get("digest")) or text_of(running.get("image_id"))


def _pinned(value: object) -> str:
    pinned = _mapping(value)
    return text_of(pinned.get("reference")) or text_of(pinned.get("image_id")) or text_of(value)


def _updates(value: object) -> Updates:
    updates = _mapping(value)
    return Updates(
        auto=updates.get("auto") is not False,
        window=text_of(updates.get("window")),
        zone=text_of(updates.get("zone")),
        fixed=updates.get("fixed") is True,
    )


def _http_proxy(value: object) -> str:
    proxy = _mapping(value)
    return text_of(proxy.get("https")) or text_of(proxy.get("http"))


def _patience(updates: Updates) -> dt.timedelta:
    return WINDOW_PATIENCE if updates.window else PATIENCE


def _last(value: object) -> LastDeploy | None:
    last = _mapping(value)
    told = LastDeploy(*(text_of(last.get(name)) for name in ("verb", "reason", "message", "at")))
    return told if told.reason else None


def _stamp(path: Path, now: dt.datetime) -> dt.datetime | None:
    try:
        text = read_untrusted(path, 64).decode("ascii").strip()
        seconds = whole(text, 0, _LAST_SECOND)
        return None if seconds is None else _known(dt.datetime.fromtimestamp(seconds, dt.UTC), now)
    except (OSError, ValueError, OverflowError):
        return None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _instant(value: object, now: dt.datetime) -> dt.datetime | None:
    try:
        return _known(dt.datetime.fromisoformat(text_of(value)), now)
    except (ValueError, OverflowError):
        return None


def _known(instant: dt.datetime, now: dt.datetime) -> dt.datetime | None:
    """Without an offset, or from the future, it tells nothing."""
    if instant.tzinfo is None or instant.utcoffset() is None:
        return None
    try:
        instant = instant.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None
    return instant if instant <= now + _FUTURE else None


def _when(instant: dt.datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"
