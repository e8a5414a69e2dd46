"""Bodies of what a proxy found by itself, of what it measures of itself, and of events that matter to people outside of IT.

Which of them are business events: :mod:`contracts.business`.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from contracts.body_parts import Body, Code, Host, Instant, RunId

Action = Annotated[str, Meta(max_length=64)]
Measure = Annotated[str, Meta(min_length=1, max_length=64)]


class HostChanged(Body, frozen=True):
    """A run changed something on a host, and it was confirmed. ``plan``: what, in words."""

    run_id: RunId
    host: Host
    action: Action
    at: Instant
    plan: list[str] = []


class TillUnreachable(Body, frozen=True):
    """A run did not reach a host that the run before had not found unreachable. It is told once until the host was reached."""

    run_id: RunId
    host: Host
    action: Action
    reason: Code
    message: str
    at: Instant


class HostKeyChanged(Body, frozen=True):
    """A host answers with another SSH key than the pinned one. Nothing was sent to it."""

    run_id: RunId
    host: Host
    reason: Code
    message: str
    at: Instant
    detail: str | None = None


class HostIdentityUnclear(HostKeyChanged, frozen=True):
    """A machine is not, or may not be, the one that the inventory names. Nothing was changed on it."""


class CredentialsRefused(HostKeyChanged, frozen=True):
    """A host refuses the credentials of the configuration, or its password has expired."""


class DriftFound(Body, frozen=True):
    """A host that had what an action sees to (``converged_at``, by the run ``before``) has it no more. ``plan``: what differs;
    ``dry_run``: it is still so, else this run has restored it."""

    run_id: RunId
    host: Host
    action: Action
    before: RunId
    dry_run: bool
    at: Instant
    converged_at: Instant | None = None
    plan: list[str] = []


class ClockDisagrees(Body, frozen=True):
    """The proxy's clock contradicts the control plane's or its own record. ``trusted``: it is right again."""

    trusted: bool
    message: str
    at: Instant


class UpdateEnded(Body, frozen=True):
    """How an update, a rollback or a repair of the proxy itself ended. ``running``: digest of the image that runs now."""

    verb: str
    reason: str
    message: str
    at: Instant
    happened_at: str | None = None
    running: str | None = None
    tag: str | None = None


class HealthChanged(Body, frozen=True):
    """Duties of the daemon began to fail, or work again. ``trouble``: each that fails, and why."""

    healthy: bool
    trouble: list[str]
    at: Instant


class LogLine(Body, frozen=True):
    """A warning or an error of the daemon's log. ``suppressed``: lines of the same event that were left out before it."""

    level: Code
    event: Annotated[str, Meta(max_length=128)]
    at: Instant
    message: str = ""
    fields: dict[str, str] = {}
    suppressed: Annotated[int, Meta(ge=0)] = 0


class Measured(Body, frozen=True):
    """What the proxy measures of itself, every five minutes. Names end with their unit."""

    values: dict[Measure, float]
    at: Instant
