"""Bodies of envelopes, typed by kind and sub. A new one is one class here and one row of ``BODIES``.

Fields without a default are those that a reader relies on. Unknown fields are tolerated, and an unknown sub is stored untyped.
Instants are RFC 3339 with an offset.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from msgspec import Meta

from contracts.body_parts import Body, Code, Count, ExitCode, Host, Instant, RunId
from contracts.findings import (
    ClockDisagrees,
    CredentialsRefused,
    DriftFound,
    HealthChanged,
    HostChanged,
    HostIdentityUnclear,
    HostKeyChanged,
    LogLine,
    Measured,
    TillUnreachable,
    UpdateEnded,
)
from contracts.kinds import Kind


class RunStarted(Body, frozen=True):
    """A run began, with so many ``hosts``."""

    run_id: RunId
    action: Code
    started_at: Instant
    action_version: Annotated[str, Meta(max_length=32)] = ""
    asked: Annotated[str, Meta(max_length=64)] = ""
    provider: Annotated[str, Meta(max_length=32)] | None = None
    origin: Annotated[str, Meta(max_length=128)] = ""
    network: Annotated[str, Meta(max_length=64)] = ""
    dry_run: bool = False
    compat_mode: str = ""
    actor: str | None = None
    purpose: str | None = None
    params: dict[str, Any] = {}
    selector: dict[str, Any] = {}
    missing: list[dict[str, Any]] = []
    hosts: Count = 0


class RunFinished(Body, frozen=True):
    """A run ended. ``summary``: hosts by outcome. ``reason`` and ``message``: why it had no host at all."""

    run_id: RunId
    exit_code: ExitCode
    finished_at: Instant
    summary: dict[str, Count] = {}
    reason: Code | None = None
    message: str | None = None


class Gate(Body, frozen=True):
    """What one gate decided, and why."""

    gate: str
    allowed: bool
    text: str = ""


class Stage(Body, frozen=True):
    """A stage that was sent. ``state``: confirmed, applied, failed or sent; ``summary``: what it changes."""

    name: str
    state: str
    summary: list[str] = []


class HostOutcome(Body, frozen=True):
    """The one outcome of one host in one run."""

    host: Host
    outcome: Annotated[str, Meta(min_length=1, max_length=32)]
    reason: Code
    run_id: RunId
    message: str = ""
    detail: str | None = None
    action: Annotated[str, Meta(max_length=64)] = ""
    dry_run: bool = False
    attempts: Count = 1
    gates: list[Gate] = []
    stages: list[Stage] = []
    plan: list[str] = []
    facts: dict[str, Any] = {}
    report: dict[str, Any] = {}
    started_at: Instant | None = None
    finished_at: Instant | None = None


class JobEvent(Body, frozen=True):
    """A scheduled job that was missed, or not started, and never will be for this instant."""

    job: Code
    action: Annotated[str, Meta(max_length=64)]
    reason: Code
    message: str
    at: Instant


class JobWithoutRun(Body, frozen=True):
    """A scheduled job whose process ended before it was a run. ``why``: how it ended, where that is known."""

    job: Code
    action: Annotated[str, Meta(max_length=64)]
    run_id: RunId
    exit_code: int
    at: Instant
    why: str | None = None


class DeploymentChanged(Body, frozen=True):
    """An update, repair or rollback ended. Digests: of the running container, and of the image that its tag names."""

    verb: str
    reason: str
    message: str
    at: Instant
    happened_at: str | None = None
    running: str | None = None
    tag: str | None = None
    pinned: Any = None


class StateReplaced(Body, frozen=True):
    """The local state was damaged and replaced. ``notices``: what was kept and what was lost, in words."""

    notices: list[str]
    at: Instant


class ConfigurationApplied(Body, frozen=True):
    """A new configuration is in force. ``etag``: its version."""

    etag: str | None
    at: Instant


class ConfigurationRefused(Body, frozen=True):
    """A configuration was fetched and not taken; the last valid one stays in force. ``in_force``: whether there is one."""

    reason: str
    message: str
    in_force: bool
    at: Instant


class Lost(Body, frozen=True):
    """A tombstone: so many envelopes of ``stream`` went undelivered. ``ranges`` of seq, both ends included, at most 64;
    ``beyond``: how many no range names. ``cause``: limit, age, disk, dead_letters, too_old."""

    dropped: Count
    at: Instant
    cause: str = "limit"
    stream: str | None = None
    kinds: dict[str, Count] = {}
    ranges: list[tuple[int, int]] = []
    beyond: Count = 0
    first_at: str | None = None
    last_at: str | None = None


BODIES: Final[Mapping[tuple[Kind, str], type[Body]]] = {
    ("result", "host"): HostOutcome,
    ("event", "run.started"): RunStarted,
    ("event", "run.finished"): RunFinished,
    ("event", "job.missed"): JobEvent,
    ("event", "job.not_started"): JobEvent,
    ("event", "job.without_run"): JobWithoutRun,
    ("event", "deployment.changed"): DeploymentChanged,
    ("event", "state.replaced"): StateReplaced,
    ("event", "config.applied"): ConfigurationApplied,
    ("event", "config.refused"): ConfigurationRefused,
    ("event", "outbox.lost"): Lost,
    ("event", "host.changed"): HostChanged,
    ("event", "till.unreachable"): TillUnreachable,
    ("event", "update.finished"): UpdateEnded,
    ("event", "update.rolled_back"): UpdateEnded,
    ("event", "update.failed"): UpdateEnded,
    ("event", "repair.finished"): UpdateEnded,
    ("event", "health.changed"): HealthChanged,
    ("event", "log.line"): LogLine,
    ("detection", "clock.disagrees"): ClockDisagrees,
    ("detection", "host_key.changed"): HostKeyChanged,
    ("detection", "host_identity.unclear"): HostIdentityUnclear,
    ("detection", "credentials.refused"): CredentialsRefused,
    ("detection", "drift.found"): DriftFound,
    ("metric", "proxy"): Measured,
}
