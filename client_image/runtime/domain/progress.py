"""How far a host came: facts, steps and stages, kept outside the loop so that a deadline or a stop can still tell it.

Whatever ends a host, :func:`told` puts what was confirmed before in front of it: one place for every way out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from runtime.domain.facts import Facts
from runtime.domain.model import Change, Outcome, Reason, StageRecord, StepRecord


@dataclass(frozen=True, slots=True)
class Verified:
    """Where a host ended, before it becomes a HostResult."""

    outcome: Outcome
    reason: Reason
    message: str
    detail: str = ""
    report: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Progress:
    """``stages``: those that were sent, in order; only the last can be unconfirmed. ``writes``: whether files are changed.

    ``changes``: of the stages that were applied, or under dry-run would be.
    """

    facts: Facts | None = None
    steps: list[StepRecord] = field(default_factory=list)
    plan: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    durations: dict[str, float] = field(default_factory=dict)
    stages: list[StageRecord] = field(default_factory=list)
    writes: bool = False

    def spent(self, what: str, seconds: float) -> None:
        self.durations[what] = round(self.durations.get(what, 0.0) + seconds, 4)

    def sent(self, name: str, summary: tuple[str, ...]) -> None:
        self.stages.append(StageRecord(name, "sent", summary))

    def reached(self, state: str) -> None:
        """The last stage is in this state now; see StageRecord."""
        self.stages[-1] = replace(self.stages[-1], state=state)

    @property
    def confirmed(self) -> list[str]:
        return [stage.name for stage in self.stages if stage.state == "confirmed"]

    @property
    def unconfirmed(self) -> str:
        """The stage of which nobody knows yet what became of it, or empty."""
        last = self.stages[-1] if self.stages else None
        return last.name if last is not None and last.state in ("sent", "applied") else ""

    def so_far(self) -> str:
        """What is known of the last stage, in words that are true at any moment."""
        last = self.stages[-1] if self.stages else None
        if last is None:
            return "nothing was changed"
        return {
            "sent": f"{last.name} was sent but not finished",
            "applied": f"{last.name} was applied but not confirmed",
            "failed": f"{last.name} failed",
        }.get(last.state, "the rest was not begun")


def told(ended: Verified, progress: Progress) -> Verified:
    """The end with what came before it: stages that were confirmed stay so, and a change that will not last says so.

    A host that was changed and then left half-way is not "skipped" or "blocked": somebody should look at it.
    """
    limit = until_when(progress)
    if ended.outcome in (Outcome.CHANGED, Outcome.WOULD_CHANGE):
        return replace(ended, message=f"{ended.message}; {limit}") if limit else ended
    if not progress.stages or ended.outcome is Outcome.OK:
        return ended
    kept = f" ({limit})" if limit else ""
    before = f"{' and '.join(progress.confirmed)} confirmed{kept}; " if progress.confirmed else ""
    begun = f"{progress.so_far()}: " if progress.unconfirmed and progress.unconfirmed not in ended.message else ""
    if (progress.confirmed or progress.unconfirmed) and ended.outcome in _UNTOUCHED:
        text = f"{before}{begun or 'the rest was not begun: '}{ended.message}"
        return Verified(Outcome.FAILED, Reason.NOT_CONVERGED, text, ended.detail or ended.reason.value, ended.report)
    return replace(ended, message=f"{before}{begun}{ended.message}")


_UNTOUCHED = (Outcome.SKIPPED, Outcome.BLOCKED, Outcome.UNREACHABLE)


def until_when(progress: Progress) -> str:
    """A power-off needs no disk; a file that is written to memory is gone at the next boot."""
    storage = progress.facts.storage if progress.facts is not None and progress.writes else None
    return f"only until the next boot: {storage.why}" if storage is not None and storage.lasting is False else ""
