"""Several agents of a network and their control plane, whatever is lost or late on the way between them: never two at once."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.heartbeat import LEASE, Schedule
from runtime.domain.model import Allow
from runtime.domain.schedule_lease import UNASKED, Standing, SteadyTime, answered, verdict
from server.services.agents.leases import Lease, Member, decide

START = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
INTERVAL_S = 30
NAMES = "abc"


@dataclass
class Agent:
    """``boots``: how often its machine was started; then its steady clock begins anew."""

    name: str
    standing: Standing = UNASKED
    boots: int = 0
    booted_at: float = 0.0
    retired: bool = False


class Network:
    def __init__(self) -> None:
        self.at = 0.0
        self.agents = {name: Agent(name) for name in NAMES}
        self.members: dict[str, Member] = {}
        self.lease: Lease | None = None
        self.pending: list[tuple[Agent, Schedule, SteadyTime]] = []
        self.started: dict[float, set[str]] = {}

    @property
    def now(self) -> dt.datetime:
        return START + dt.timedelta(seconds=self.at)

    def steady(self, agent: Agent) -> SteadyTime:
        return SteadyTime(self.at - agent.booted_at, f"{agent.name}{agent.boots}")

    def reports(self, agent: Agent, fate: str) -> None:
        """A report reaches the control plane at once; its answer comes at once, late, or never."""
        if agent.retired:
            return
        others = [member for name, member in self.members.items() if name != agent.name]
        asked = self.steady(agent)
        made = decide(self.now, agent.name, agent.standing.basis, others, self.lease, float(LEASE * INTERVAL_S))
        self.lease = made.lease
        self.members[agent.name] = Member(agent.name, agent.name, agent.name, made.basis, self.now)
        if fate == "comes":
            agent.standing = answered(made.answer, asked, self.now)
        elif fate == "late":
            self.pending.append((agent, made.answer, asked))

    def late_answers_come(self) -> None:
        """In a daemon one report is under way at a time, so an answer is never overtaken by a younger one of its agent."""
        for agent, answer, asked in self.pending:
            if asked.boot == self.steady(agent).boot:
                agent.standing = answered(answer, asked, self.now)
        self.pending.clear()

    def may_start(self) -> set[str]:
        return {
            agent.name
            for agent in self.agents.values()
            if not agent.retired and isinstance(verdict(agent.standing, self.steady(agent)), Allow)
        }

    def starts_what_is_due(self) -> None:
        """Each agent that may start jobs starts all that were planned in the last hour and are its own."""
        for name in self.may_start():
            since = self.agents[name].standing.since
            for planned in range(int(max(0, self.at - 3600)) // 60 * 60, int(self.at) + 1, 60):
                if since is None or START + dt.timedelta(seconds=planned) > since:
                    self.started.setdefault(planned, set()).add(name)


REPORTS = [("report", name, fate) for name in NAMES for fate in ("comes",) * 4 + ("late", "never")]
WAITS = [("wait", seconds) for seconds in (1.0, 20.0, 59.0, 61.0, 115.0, 121.0, 179.0, 181.0, 4000.0, 90000.0)]
# Mostly reports and what passes between them: after a few retirements there would be nobody left.
STEPS = st.sampled_from(
    [*REPORTS * 2, *WAITS * 2, *(("boot", name) for name in NAMES), ("retire", "a"), ("retire", "b")]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(STEPS, min_size=10, max_size=50))
def test_never_two_agents_may_start_a_job_and_none_is_started_twice(steps: list[tuple[Any, ...]]) -> None:
    network = Network()
    for step in steps:
        match step:
            case ("report", str(name), str(fate)):
                if any(agent.name == name for agent, _, _ in network.pending):
                    network.late_answers_come()
                network.reports(network.agents[name], fate)
            case ("wait", float(seconds)):
                network.at += seconds
                if seconds > INTERVAL_S:  # the time limit of a call
                    network.pending.clear()
                network.late_answers_come()
            case ("boot", str(name)):
                agent = network.agents[name]
                agent.boots, agent.booted_at = agent.boots + 1, network.at
            case ("retire", str(name)):
                network.agents[name].retired = True
                network.members.pop(name, None)
        assert len(network.may_start()) <= 1, f"{network.may_start()} after {step}"
        network.starts_what_is_due()
    twice = {planned: names for planned, names in network.started.items() if len(names) > 1}
    assert not twice


def test_with_reports_that_come_one_agent_always_ends_up_with_the_schedule() -> None:
    network = Network()
    holders: list[set[str]] = []
    for _ in range(20):
        for agent in network.agents.values():
            network.reports(agent, "comes")
        network.at += INTERVAL_S
        holders.append(network.may_start())
    assert holders[1:] == [{"a"}] * 19
    for _ in range(20):  # `a` is gone
        for name in "bc":
            network.reports(network.agents[name], "comes")
        network.at += INTERVAL_S
        holders.append(network.may_start())
    assert holders[-1] == {"b"}
