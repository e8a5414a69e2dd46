"""While a run goes: how many hosts are done, and who is awaited for how long."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.cli.progress import Tally
from runtime.domain.model import HostResult, Outcome, Reason
from tests.unit.engine.in_memory import host


@dataclass
class Ticks:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_hosts_that_are_at_work_longest_are_named_with_their_time() -> None:
    ticks = Ticks()
    tally = Tally(5, ticks)
    for number in (201, 202, 203, 204):
        tally.started(host(number))
        ticks.now += 10
    tally.ended(HostResult(host(201), Outcome.OK, Reason.DONE, "fine"))
    tally.ended(HostResult(host(204), Outcome.FAILED, Reason.TIMEOUT, "slow"))
    assert tally.line() == (
        "2 of 5 hosts done; 1 failed, 1 ok; waiting for ACME-LOJA001-PDV202 (30 s), ACME-LOJA001-PDV203 (20 s)"
    )
    tally.started(host(205))
    ticks.now += 5
    assert tally.awaited().endswith("ACME-LOJA001-PDV203 (25 s) and 1 more")


def test_no_host_is_named_while_all_are_quick() -> None:
    ticks = Ticks()
    tally = Tally(1, ticks)
    tally.started(host(201))
    ticks.now += 4
    assert (tally.awaited(), tally.line()) == ("", "0 of 1 host done")
