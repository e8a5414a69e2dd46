"""Which agent of a network may start scheduled jobs: every case of the decision."""

import datetime as dt

import pytest

from contracts.heartbeat import Basis, Schedule
from server.services.agents.leases import Decision, Lease, Member, decide

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
LENGTH = 120.0


def ago(seconds: float) -> dt.datetime:
    return NOW - dt.timedelta(seconds=seconds)


def member(name: str, basis: Basis = "lease", silent: float = 10) -> Member:
    return Member(name, f"id-{name}", f"host-{name}", basis, ago(silent))


def lease(agent: str, renewed: float, length: float = LENGTH, since: float | None = 5000) -> Lease:
    return Lease(agent, None if since is None else ago(since), ago(renewed), length)


def decided(*others: Member, told: Basis = "lease", before: Lease | None = None) -> Decision:
    """For the agent ``a``."""
    return decide(NOW, "a", told, others, before, LENGTH)


@pytest.mark.parametrize("told", ["alone", "lease"])
def test_the_only_agent_of_a_network_needs_no_lease(told: Basis) -> None:
    made = decided(told=told)
    assert made == Decision(Schedule("alone"), Lease("a", None, NOW, 0.0), "alone")


def test_of_two_agents_the_first_that_asks_gets_the_lease_and_makes_up_for_nothing() -> None:
    made = decided(member("b"))
    assert made.answer == Schedule("lease", LENGTH, own_s=0.0)
    assert (made.lease, made.basis) == (Lease("a", NOW, NOW, LENGTH), "lease")


def test_who_was_alone_before_gets_the_lease_and_is_known_to_need_one_when_it_says_so() -> None:
    before = lease("a", 3000, 0.0, None)
    made = decided(member("b"), told="alone", before=before)
    assert (made.answer, made.basis) == (Schedule("lease", LENGTH), "alone")
    assert decided(member("b"), told="lease", before=made.lease).basis == "lease"


@pytest.mark.parametrize(
    ("renewed", "given"), [(0, False), (LENGTH, False), (1.5 * LENGTH - 1, False), (1.5 * LENGTH, True)]
)
def test_another_agent_gets_the_lease_after_one_and_a_half_times_its_length(renewed: float, given: bool) -> None:
    before = lease("b", renewed)
    made = decided(member("b", silent=renewed), before=before)
    if given:
        # What was planned since the end of the earlier lease is nobody's but its own.
        assert made.answer == Schedule("lease", LENGTH, own_s=renewed - LENGTH)
        assert made.lease == Lease("a", before.ends_at, NOW, LENGTH)
    else:
        own_s = max(0, renewed - LENGTH)
        assert made.answer == Schedule("lease", own_s=own_s, why="held", agent="id-b", hostname="host-b")
        assert made.lease is before


def test_a_renewal_keeps_from_when_on_the_schedule_was_its_own() -> None:
    made = decided(member("b"), before=lease("a", 30, since=700))
    assert (made.answer, made.lease) == (Schedule("lease", LENGTH, own_s=700.0), Lease("a", ago(700), NOW, LENGTH))


@pytest.mark.parametrize("silent", [10, 10**8])
def test_an_agent_that_may_go_on_without_a_lease_keeps_the_others_waiting(silent: float) -> None:
    for before in (None, lease("b", 10**7, 0.0), lease("a", 30)):
        made = decided(member("b", "alone", silent), before=before)
        assert made.answer == Schedule("lease", why="unconfirmed", agent="id-b", hostname="host-b")
        assert made.lease is before


def test_an_agent_that_was_silent_for_a_day_does_not_count_unless_its_lease_lasts() -> None:
    assert decided(member("b", silent=86_399)).answer.basis == "lease"
    assert decided(member("b", silent=86_400)).answer.basis == "alone"
    assert decided(member("b", silent=86_400), before=lease("b", 60, 10**6)).answer.why == "held"


def test_a_retired_agent_is_waited_for_until_its_lease_is_over() -> None:
    assert decided(before=lease("b", 60)).answer == Schedule("lease", own_s=0, why="held")
    made = decided(before=lease("b", 1.5 * LENGTH))
    assert made.answer == Schedule("alone", own_s=0.5 * LENGTH)


def test_what_a_retired_agent_may_have_started_without_a_lease_is_not_started_again() -> None:
    assert decided(before=lease("b", 10**6, 0.0)).answer == Schedule("alone", own_s=0.0)


def test_a_clock_that_went_back_prolongs_a_lease_and_gives_none_away() -> None:
    assert decided(member("b"), before=lease("b", -3600)).answer.why == "held"
