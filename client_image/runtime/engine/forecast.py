"""What a planned run would meet: how many of its hosts would run, and what would keep each of the others, and why. Pure.

Asked by `flageemonitor-run schedule --explain`, and by the question before a run by hand. The gates are those of a run, asked for
the planned instant instead of now. What only a terminal can tell (its compatibility, whether it is busy, its own clock) is not
foreseen.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from contracts.text import say
from runtime.domain.model import Deny, Host, Reason
from runtime.domain.pipeline import RunPlan
from runtime.engine import gates
from runtime.engine.gates import Policy

_WORDS = {
    "rollout_excluded": say("excluded by the rollout"),
    "protected_role": say("protected or of another role"),
    "frozen": say("frozen"),
    "no_address": say("without a usable address"),
    "outside_window": say("outside their window"),
    "exception": say("exceptions"),
    "not_after": say("too late for not_after"),
}


@dataclass(frozen=True, slots=True)
class Kept:
    """Hosts that one rule keeps from running. ``text``: the sentence that ``example`` would get in a run."""

    gate: str
    reason: str
    detail: str
    hosts: int
    example: str
    text: str

    @property
    def lasting(self) -> bool:
        """Whether it is so at every moment of this configuration and inventory; a freeze or a window ends while a run waits."""
        return self.gate in ("role", "rollout")

    @property
    def words(self) -> str:
        return _WORDS.get(self.detail) or _WORDS.get(self.reason) or f"{self.reason} {self.detail}".strip()


@dataclass(frozen=True, slots=True)
class Expected:
    """One planned run; ``kept`` with the most hosts first. ``running``: the hosts that would run, in their order."""

    hosts: int
    running: tuple[Host, ...]
    kept: tuple[Kept, ...]

    @property
    def would_run(self) -> int:
        return len(self.running)


@dataclass(frozen=True, slots=True)
class Forecast:
    """One job's hosts, for any of its instants. ``job``: as it is resolved for a run, without its ``not_after``."""

    hosts: Sequence[Host]
    rules: Policy
    _lasting: dict[int, Kept] = field(default_factory=dict)

    def expect(self, job: RunPlan, at: dt.datetime) -> Expected:
        """``at``: the planned instant (aware). What does not depend on it is asked once for all instants."""
        found: dict[tuple[str, str, str], Kept] = {}
        running: list[Host] = []
        for number, host in enumerate(self.hosts):
            kept = self._lasting.get(number) or self._kept(host, job, at)
            if kept is None:
                running.append(host)
                continue
            if kept.lasting:
                self._lasting[number] = kept
            key = (kept.gate, kept.reason, kept.detail)
            before = found.get(key)
            found[key] = kept if before is None else _with(before, before.hosts + 1)
        ordered = sorted(found.values(), key=lambda one: -one.hosts)
        return Expected(len(self.hosts), tuple(running), tuple(ordered))

    def _kept(self, host: Host, job: RunPlan, at: dt.datetime) -> Kept | None:
        binding = job.binding(host.provider)
        for gate, verdict in gates.early(host, binding, job, self.rules, at):
            if isinstance(verdict, Deny):
                return Kept(gate, verdict.reason.value, verdict.detail, 1, host.name, verdict.message)
        if binding.action.foresee is not None:
            refused = binding.action.foresee(binding.params, host, at.astimezone(self.rules.zone))
            if refused is not None:
                return Kept("action", Reason.REFUSED.value, refused.code, 1, host.name, refused.message)
        return None


def sentences(expected: Expected) -> Iterator[str]:
    """``12 frozen (freeze black until …)``, one for each rule."""
    for kept in expected.kept:
        yield say("{number} {words} ({text})", number=kept.hosts, words=kept.words, text=kept.text)


def _with(kept: Kept, hosts: int) -> Kept:
    return Kept(kept.gate, kept.reason, kept.detail, hosts, kept.example, kept.text)
