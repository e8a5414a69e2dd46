"""States of agents by their silence, and two instances of one agent, told from a restart."""

import datetime as dt

import pytest

from server.services.agents.presence import Instances, speaks, state_at

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("silent", "state"),
    [(0, "online"), (59, "online"), (60, "late"), (299, "late"), (300, "offline"), (10**7, "offline")],
)
def test_an_agent_is_late_after_two_intervals_and_offline_after_ten(silent: int, state: str) -> None:
    seen = NOW - dt.timedelta(seconds=silent)
    assert state_at(NOW, seen_at=seen, interval_s=30, retired_at=None) == state


def test_an_agent_that_never_spoke_and_one_that_was_retired_have_states_of_their_own() -> None:
    assert state_at(NOW, seen_at=None, interval_s=30, retired_at=None) == "never"
    assert state_at(NOW, seen_at=NOW, interval_s=30, retired_at=NOW) == "retired"
    assert state_at(NOW, seen_at=NOW + dt.timedelta(hours=1), interval_s=30, retired_at=None) == "online"


def story(spoken: str, every: float = 15) -> str:
    """For each letter, an instance that speaks: ``!`` when it is told that there are two, else ``.``"""
    known: Instances | None = None
    told = ""
    for place, instance in enumerate(spoken):
        if instance == " ":
            continue
        known, doubled = speaks(known, instance, NOW + dt.timedelta(seconds=place * every), 30)
        told += "!" if doubled else "."
    return told


@pytest.mark.parametrize(
    ("spoken", "told"),
    [
        ("aaaa", "...."),
        ("aabb", "...."),  # a restart
        ("abcde", "....."),  # one restart after another
        ("aba", "..."),  # the last word of one that stops may come late
        ("abab", "...!"),
        ("ababab", "...!!!"),
        ("aabbaabb", "......!!"),
        ("abab" + "a" * 9, "...!" + "!" * 6 + "..."),
        ("ab" + " " * 40 + "ab", "...!"),  # also after a long silence: neither of the two was started again
        ("ababc", "...!."),  # the one was stopped and the other started again
    ],
)
def test_two_instances_that_take_turns_are_told_and_restarts_are_not(spoken: str, told: str) -> None:
    assert story(spoken) == told
