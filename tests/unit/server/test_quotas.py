"""Quotas: closed at 80 %, open again at 60 %, one sender's excess is not another's."""

import pytest

from server.reasons.refusal import Refusal
from server.services.telemetry.quotas import Quotas


class Line:
    """Quotas of 100 a minute for an agent and 150 for a client, on a clock that is moved by hand."""

    def __init__(self, spread: float = 0.0) -> None:
        self.now = 0.0
        self._quotas = Quotas(100, 150, lambda: self.now, lambda: spread)

    def send(self, envelopes: int, agent: str = "a", client: str = "c") -> int:
        """Seconds to wait; 0 when it was let through."""
        refusal: Refusal | None = None
        try:
            self._quotas.admit(agent, client)
        except Refusal as caught:
            refusal = caught
        if refusal is not None:
            assert refusal.reason == "quota_exceeded"
            return refusal.retry_after or 0
        self._quotas.charge(agent, client, envelopes)
        return 0


def test_below_80_percent_nothing_is_refused() -> None:
    line = Line()
    assert [line.send(79), line.send(0)] == [0, 0]


@pytest.mark.parametrize(("spread", "seconds"), [(0.0, 12), (0.5, 15), (0.999, 18)])
def test_at_80_percent_it_closes_until_60_percent_are_left(spread: float, seconds: int) -> None:
    line = Line(spread)
    assert line.send(80) == 0
    assert line.send(1) == seconds  # 20 of 100 a minute take 12 s
    line.now = 11.9
    assert line.send(1) > 0
    line.now = 12.1
    assert line.send(1) == 0


def test_what_is_refused_is_not_counted() -> None:
    line = Line()
    line.send(80)
    for _ in range(1000):
        assert line.send(50) == 12


def test_one_agent_does_not_close_another_but_all_together_close_their_client() -> None:
    line = Line()
    assert line.send(90, "a") == 0
    assert line.send(31, "b") == 0
    assert line.send(1, "a") > 0
    assert line.send(1, "b") > 0  # 121 of 150: the client is above 80 %
    assert line.send(1, "x", "d") == 0


def test_a_sender_that_was_silent_for_long_has_its_whole_quota_and_no_more() -> None:
    line = Line()
    line.send(80)
    line.now = 1e6
    assert line.send(80) == 0
    assert line.send(1) == 12
