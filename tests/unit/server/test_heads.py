"""Who may keep a thread waiting for the head of a request, and for how long."""

from __future__ import annotations

from dataclasses import dataclass, field

from server.heads import HEAD_S, MOMENT_S, Heads


@dataclass
class Time:
    now: float = field(default=100.0)

    def __call__(self) -> float:
        return self.now


def test_a_head_that_takes_too_long_is_cut_whoever_sends_it() -> None:
    time = Time()
    heads: Heads[str] = Heads(None, time)
    heads.begin("slow", "192.0.2.1")
    time.now += HEAD_S
    heads.begin("new", "192.0.2.2")
    assert heads.overdue() == []
    time.now += 0.1
    assert heads.overdue() == ["slow"]


def test_a_head_that_came_is_forgotten() -> None:
    time = Time()
    heads: Heads[str] = Heads(1, time)
    heads.begin("one", "192.0.2.1")
    heads.end("one")
    heads.end("one")
    time.now += 1000
    assert heads.overdue() == []


def test_one_address_keeps_its_share_and_loses_the_oldest() -> None:
    time = Time()
    heads: Heads[int] = Heads(2, time)
    for number in range(5):
        heads.begin(number, "192.0.2.1")
        time.now += 0.01
    heads.begin(9, "192.0.2.2")
    assert heads.overdue() == []  # for a moment anybody may
    time.now += MOMENT_S + 0.1
    assert heads.overdue() == [0, 1, 2]


def test_behind_a_reverse_proxy_all_callers_have_one_address_and_none_is_crowded_out() -> None:
    time = Time()
    heads: Heads[int] = Heads(None, time)
    for number in range(50):
        heads.begin(number, "192.0.2.1")
    time.now += HEAD_S - 1
    assert heads.overdue() == []
