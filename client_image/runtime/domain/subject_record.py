"""What is recorded of one subject while a run works on it, and the sentences made from it when it ends. Pure.

Owned by :class:`runtime.process_one.SubjectRun` and kept outside its loop, so that a deadline or a stop can still say what was
done. Whatever ends a subject, :meth:`SubjectRecord.completed` puts what was confirmed before it: one place for every way out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from contracts.text import all_of, joined, say
from runtime.domain.model import Allow, Change, Deny, GateRecord, Outcome, Reason, StageRecord, StepRecord, Verdict

if TYPE_CHECKING:
    from runtime.domain.ports import ObservedFacts


@dataclass(frozen=True, slots=True)
class Ended:
    """Where a subject ended, before it becomes a HostResult."""

    outcome: Outcome
    reason: Reason
    message: str
    detail: str = ""
    report: Mapping[str, Any] = field(default_factory=dict)


_UNTOUCHED = (Outcome.SKIPPED, Outcome.BLOCKED, Outcome.UNREACHABLE)


@dataclass(slots=True)
class SubjectRecord:
    """``stages``: those that were sent, in order; only the last can be unconfirmed. ``writes``: whether files are changed.

    ``changes``: of the stages that were applied, or under dry-run would be. ``warning``: about the subject's identity.
    ``durations``: seconds. ``attempts``: to connect.
    """

    gates: list[GateRecord] = field(default_factory=list)
    compatibility: Mapping[str, object] = field(default_factory=dict)
    warning: str = ""
    facts: ObservedFacts | None = None
    steps: list[StepRecord] = field(default_factory=list)
    plan: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    durations: dict[str, float] = field(default_factory=dict)
    stages: list[StageRecord] = field(default_factory=list)
    writes: bool = False
    attempts: int = 0

    def note(self, gate: str, verdict: Verdict) -> Ended | None:
        """Record what a gate said. The end of the subject when it refuses."""
        if isinstance(verdict, Allow):
            self.gates.append(GateRecord(gate, allowed=True, text=verdict.note))
            return None
        self.gates.append(GateRecord(gate, allowed=False, text=verdict.message))
        return denied(verdict)

    def has(self, gate: str) -> bool:
        return any(record.gate == gate for record in self.gates)

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
            return say("nothing was changed")
        if last.state == "sent":
            return say("{stage} was sent but not finished", stage=last.name)
        if last.state == "applied":
            return say("{stage} was applied but not confirmed", stage=last.name)
        return say("{stage} failed", stage=last.name) if last.state == "failed" else say("the rest was not begun")

    def lasting(self) -> str:
        """How long the changes last, where that is not for ever. A power-off needs no disk; a file that is written to memory is
        gone at the next boot."""
        storage = self.facts.storage if self.facts is not None and self.writes else None
        if storage is None or storage.lasting is not False:
            return ""
        return say("only until the next boot: {why}", why=storage.why)

    def completed(self, ended: Ended) -> Ended:
        """The end with what came before it: stages that were confirmed stay so, and a change that does not last says so.

        A subject that was changed and then left half-way is not "skipped" or "blocked": somebody should look at it.
        """
        if self.warning and ended.reason is not Reason.HOST_IDENTITY_UNCLEAR:
            ended = replace(ended, message=_with_identity(ended.message, self.warning))
        limit = self.lasting()
        if ended.outcome in (Outcome.CHANGED, Outcome.WOULD_CHANGE):
            return replace(ended, message=joined((ended.message, limit), "; ")) if limit else ended
        before = self._confirmed(limit)
        begun = self.so_far() if self.unconfirmed and self.unconfirmed not in ended.message else ""
        if (self.confirmed or self.unconfirmed) and ended.outcome in _UNTOUCHED:
            why = joined((begun or say("the rest was not begun"), ended.message), ": ")
            text = joined((*before, why), "; ")
            return Ended(Outcome.FAILED, Reason.NOT_CONVERGED, text, ended.detail or ended.reason.value, ended.report)
        why = joined((begun, ended.message), ": ") if begun else ended.message
        return replace(ended, message=joined((*before, why), "; "))

    def _confirmed(self, limit: str) -> tuple[str, ...]:
        """``limit``: how long it lasts, from :meth:`lasting`. Empty where no stage is confirmed."""
        if not self.confirmed:
            return ()
        stages = all_of(self.confirmed)
        if limit:
            return (say("{stages} confirmed ({limit})", stages=stages, limit=limit),)
        return (say("{stages} confirmed", stages=stages),)


def _with_identity(message: str, warning: str) -> str:
    if not message:
        return say("Identity: {warning}", warning=warning)
    if message.endswith("."):
        return say("{message} Identity: {warning}", message=message, warning=warning)
    return say("{message}. Identity: {warning}", message=message, warning=warning)


def denied(verdict: Deny) -> Ended:
    return Ended(verdict.outcome, verdict.reason, verdict.message, verdict.detail)


def last_line(text: str) -> str:
    """The last line that says something, at most 200 characters of it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""
