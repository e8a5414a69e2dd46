"""`python -m runtime.enrol`: makes a host's proxy an agent of its network, and fetches its first configuration.

Runs once, unprivileged, as the runtime will run: same user, network, folders and environment. `deploy install` starts it, gives
it one JSON object on stdin and reads one from its last line. Everything that can fail is tried before the one-time token is used.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from contracts import core_dumps
from contracts.bounded import Unreadable, read_json, whole
from contracts.ids import uuid7
from contracts.secret import Secret
from contracts.stored_text import sentences_of
from contracts.text import say
from runtime.adapters.control_plane.http import HttpControlPlane
from runtime.adapters.control_plane.transport import (
    Answer,
    Fetched,
    Intercepted,
    NotModified,
    RequestRefused,
    Unavailable,
)
from runtime.adapters.state.errors import StateUnavailable
from runtime.adapters.state.files import write_atomically
from runtime.services.config_refresh import RefreshResult, record, refresh
from runtime.settings import RuntimeSettings, read_settings
from runtime.wiring import Installation

MAX_BYTES = 65536
CLOCK_S = 300
_UNKNOWN_TOKEN = (401, 403)


@dataclass(frozen=True, slots=True)
class Order:
    """What deploy asks for. ``seen``: name of an empty folder that it made in both folders. ``server_time``: seconds since 1970
    when the installer was made; 0 if not known."""

    health_url: str
    enroll_url: str
    token: Secret
    agent_id: str
    hostname: str
    seen: str
    server_time: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """``stage``: how far it came: folders, control_plane, clock, token, enrolment, configuration, done. ``enrolled``: the
    one-time token is used, and the agent has a new one."""

    stage: str
    message: str
    advice: str = ""
    enrolled: bool = False
    notes: tuple[str, ...] = ()


class Failed(Exception):
    """The stage did not succeed."""

    def __init__(self, stage: str, message: str, advice: str = "", *, enrolled: bool = False) -> None:
        super().__init__(message)
        self.outcome = Outcome(stage, message, advice, enrolled)


def enrol(order: Order, settings: RuntimeSettings) -> Outcome:
    """Raises Failed."""
    _try_folders(order, settings)
    with Installation(settings) as installation:
        plane = installation.plane
        _try_way(order, plane, installation.clock.now())
        enrolled = not _has_working_token(plane, installation.clock.now())
        if enrolled:
            _take_token(order, plane, settings, installation.clock.now())
        result = refresh(installation.store, plane, installation.clock)
        try:
            record(installation.state, result)
        except StateUnavailable as error:
            raise Failed("folders", error.message, error.advice, enrolled=enrolled) from error
    return _outcome(result, enrolled=enrolled)


def _try_folders(order: Order, settings: RuntimeSettings) -> None:
    """The engine mounts the very folders that the installer prepared, and this user may write there."""
    for folder in (settings.config_path, settings.data_path):
        if not (folder / order.seen).is_dir():
            text = say("The engine does not mount the host's folder at {folder}, but another one.", folder=folder)
            raise Failed("folders", text, say("Does Docker run in a sandbox (snap) or on another machine?"))
        probe = folder / f"{order.seen}.probe"
        try:
            write_atomically(probe, b"x" * 4096)
            probe.unlink()
        except OSError as error:
            text = say("{folder} cannot be written: {cause}", folder=folder, cause=error.strerror or error)
            raise Failed("folders", text, say("Is the disk full or read-only?")) from error


def _try_way(order: Order, plane: HttpControlPlane, now: dt.datetime) -> None:
    way = replace(plane, url=order.health_url)
    answer = way.health(correlation_id=uuid7(), now=now)
    if not isinstance(answer, Fetched):
        text = say("From a container, the control plane is not reached: {cause}", cause=_cause(answer))
        advice = (
            way.advice(answer)
            if isinstance(answer, Intercepted)
            else say(
                "If this host itself reaches it, containers do not: see the firewall, or install with --docker-network host. "
                "The address is {url}",
                url=order.health_url,
            )
        )
        raise Failed("control_plane", text, advice)
    told = answer.told or (dt.datetime.fromtimestamp(order.server_time, dt.UTC) if order.server_time else None)
    apart = abs((now - told).total_seconds()) if told else 0.0
    if apart > CLOCK_S:
        raise Failed(
            "clock",
            say("This host's clock and the control plane's are {seconds} seconds apart.", seconds=f"{apart:.0f}"),
            say("Set the clock, for example: timedatectl set-ntp true"),
        )


def _has_working_token(plane: HttpControlPlane, now: dt.datetime) -> bool:
    """Raises Failed when the control plane does not say: a token that may still work is not replaced."""
    if plane.login().token is None:
        return False
    answer = plane.fetch_config(None, correlation_id=uuid7(), now=now)
    if isinstance(answer, RequestRefused) and answer.status in _UNKNOWN_TOKEN and not answer.page:
        return False
    if isinstance(answer, Fetched | NotModified | RequestRefused) and not getattr(answer, "page", False):
        return True
    raise Failed(
        "token",
        say("The control plane did not say whether this host's token still works: {cause}", cause=_cause(answer)),
        plane.advice(answer),
    )


def _take_token(order: Order, plane: HttpControlPlane, settings: RuntimeSettings, now: dt.datetime) -> None:
    office = replace(plane, url=order.enroll_url)
    answer = office.enrol(order.token, order.agent_id, order.hostname, correlation_id=uuid7(), now=now)
    if isinstance(answer, RequestRefused) and not answer.page:
        raise Failed(
            "enrolment",
            say("The control plane refused to enrol this host: {cause}", cause=_cause(answer)),
            say("A line of `flagee-server install-command` works once, for an hour: get a new one."),
        )
    if not isinstance(answer, Fetched):
        text = say("The control plane did not enrol this host: {cause}", cause=_cause(answer))
        raise Failed("enrolment", text, office.advice(answer))
    token = _token_in(answer.raw)
    try:
        write_atomically(_token_file(settings), f"{token}\n".encode(), mode=0o400)
    except OSError as error:
        text = say("The token could not be stored: {cause}", cause=error.strerror or error)
        raise Failed("folders", text, say("Is the disk full or read-only?"), enrolled=True) from error


def _token_file(settings: RuntimeSettings) -> Path:
    return settings.token_file or settings.config_path / "token"


def _token_in(raw: bytes) -> str:
    try:
        found = read_json(raw, limit=MAX_BYTES)["token"]
    except (Unreadable, KeyError, TypeError):
        found = None
    if not isinstance(found, str) or not found.isascii() or not found.isprintable() or " " in found:
        text = say("The control plane's answer has no token.")
        raise Failed("enrolment", text, say("Report this to the control plane's operator."))
    return found


def _outcome(result: RefreshResult, *, enrolled: bool) -> Outcome:
    if result.current:
        return Outcome("done", result.message, enrolled=enrolled)
    if not result.in_force:
        text = say("The first configuration could not be fetched: {cause}", cause=result.message)
        raise Failed("configuration", text, result.advice, enrolled=enrolled)
    note = say("The configuration was not fetched; the last valid one stays in force: {cause}", cause=result.message)
    return Outcome("done", result.message, enrolled=enrolled, notes=(note,))


def _cause(answer: Answer) -> str:
    match answer:
        case RequestRefused():
            return answer.text
        case Unavailable() | Intercepted():
            return answer.reason
    return ""


def _order(given: Mapping[str, Any]) -> Order:
    words = ("health_url", "enroll_url", "agent_id", "hostname", "seen")
    return Order(
        **{name: str(given[name]) for name in words},
        token=Secret(str(given["token"])),
        server_time=whole(given["server_time"]) or 0,
    )


def main() -> None:
    """Entry point. Exit 0 with the stage `done`, else 1."""
    core_dumps.switch_off()
    try:
        outcome = enrol(_order(read_json(sys.stdin.buffer.read(MAX_BYTES))), read_settings(os.environ))
    except Failed as failed:
        outcome = failed.outcome
    texts = (outcome.message, outcome.advice, *outcome.notes)
    answer = {
        "stage": outcome.stage,
        "enrolled": outcome.enrolled,
        "message": outcome.message,
        "advice": outcome.advice,
        "notes": outcome.notes,
        "sentences": sentences_of(texts),
    }
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.exit(0 if outcome.stage == "done" else 1)


if __name__ == "__main__":
    main()
