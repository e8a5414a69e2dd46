"""What proves that a machine went: rounds of signs go in, and the end comes out."""

from __future__ import annotations

import pytest

from runtime.domain.departure import SILENCE_S, Departure, DepartureWatch, Sign
from runtime.domain.model import LeftOut
from runtime.domain.witnesses import WITNESSES, Neighbours, Place, Witness
from tests.unit.engine.in_memory import host

OTHER = Witness("ACME-LOJA001-PDV202", "10.0.0.2", (22,))
SETTLE = 60.0
E, A, R, S, N = Sign.ECHO, Sign.ACCEPTED, Sign.REFUSED, Sign.SILENT, Sign.NOT_ASKED

# Rounds of (seconds, sign of the host, whether a witness answers); then the state at the end, None while it goes on.
Rounds = list[tuple[float, Sign, bool]]


def every(start: float, end: float, sign: Sign, vouched: bool = True) -> Rounds:
    return [(float(at), sign, vouched) for at in range(int(start), int(end) + 1, 3)]


ENDS: dict[str, tuple[Rounds, str | None]] = {
    "silent while another answers": (every(0, 6, A) + every(9, 24, S), "gone"),
    "silent, not for long enough yet": (every(0, 6, A) + every(9, 21, S), None),
    "a refused connection in between starts the silence again": (
        [*every(0, 12, S), (13, R, True), *every(15, 27, S)],
        None,
    ),
    "refused to the end": (every(0, 60, R), "there"),
    "a ping to the end": (every(0, 60, E), "there"),
    "back after a silence that was too short, as after a restart": (every(0, 9, S) + every(12, 60, A), "there"),
    "silence that begins just before the time is over is watched to its end": (
        every(0, 57, A) + every(60, 75, S),
        "gone",
    ),
    "the store is silent as a whole": (every(0, 75, S, vouched=False), "store_silent"),
    "the store was silent for a while and came back": (
        every(0, 30, S, vouched=False) + every(33, 48, S),
        "gone",
    ),
    "a silence that is vouched for in part is not enough": (
        [*every(0, 9, S), (12, S, False), *every(15, 27, S)],
        None,
    ),
    "a witness that goes before the end does not vouch": (
        every(0, 12, S) + every(15, 75, S, vouched=False),
        "store_silent",
    ),
    "what cannot be asked is not silent": (every(0, 75, N), "not_asked"),
}


def end_of(rounds: Rounds, asked: tuple[Witness, ...] = (OTHER,)) -> Departure | None:
    watch = DepartureWatch(0.0, SETTLE, asked)
    for at, sign, vouched in rounds:
        ended = watch.note(at, at, sign, (OTHER, A) if vouched and sign is S else None)
        if ended is not None:
            assert at == rounds[-1][0], "it ended before the last round"
            return ended
    return None


@pytest.mark.parametrize("case", ENDS)
def test_the_wait_for_a_power_off_ends_as_documented(case: str) -> None:
    rounds, state = ENDS[case]
    ended = end_of(rounds)
    assert (ended.state if ended else None) == state
    if ended is not None and state == "gone":
        assert (ended.vouched, ended.silent_s) == (OTHER, SILENCE_S)


def test_silence_without_a_witness_is_reported_before_the_whole_time_is_over() -> None:
    ended = end_of(every(0, 15, S, vouched=False), asked=())
    assert ended is not None
    assert ended.state == "no_witness"


# -- who may vouch


def test_a_witness_is_of_the_same_store_and_never_the_machine_itself() -> None:
    entries = [
        host(201, address="10.0.0.1"),
        host(202, address="10.0.0.2"),
        host(299, name="ACME-LOJA001-COPY", address="10.0.0.1"),
        host(301, store=2, address="10.0.2.1"),
        host(302, store=None, address="10.0.3.1"),
        host(303, address="", problem="no interface"),
    ]
    known = Neighbours(entries=entries)
    assert [witness.address for witness in known.of(entries[0]).witnesses] == ["10.0.0.2"]
    assert known.of(entries[4]).witnesses == ()
    assert known.of(host(204, address="10.0.0.4"), own=["10.0.0.1"]) == known.of(entries[0])


def test_the_gateway_comes_first_then_what_stays_on_and_what_leaves_comes_last() -> None:
    entries = [
        host(201, address="10.0.0.1"),
        host(202, address="10.0.0.2", agent_status=2),
        host(203, address="10.0.0.3", agent_status=1),
        host(1, name="ACME-LOJA001-BALANCA", role="other", address="10.0.0.9"),
        host(204, address="10.0.0.4"),
    ]
    places = [Place(1, "the gateway of store 1", "10.0.0.254", (443,))]
    known = Neighbours(places, entries, subjects={"10.0.0.1", "10.0.0.3"})
    chosen = known.of(entries[0]).witnesses
    assert [witness.address for witness in chosen] == ["10.0.0.254", "10.0.0.9", "10.0.0.2", "10.0.0.4", "10.0.0.3"]
    assert [witness.leaving for witness in chosen] == [False, False, False, False, True]


@pytest.mark.parametrize(
    ("left_out", "vouches"),
    [("", True), ("template", True), ("disabled", False), ("network", False), ("group", False)],
)
def test_only_a_machine_that_is_surely_in_the_store_is_a_witness_of_its_line(left_out: LeftOut, vouches: bool) -> None:
    mine, other = host(201, address="10.0.0.1"), host(202, address="10.0.0.2", left_out=left_out)
    nearby = Neighbours(entries=[mine, other]).of(mine)
    assert [witness.name for witness in nearby.witnesses] == ([other.name] if vouches else [])


@pytest.mark.parametrize("left_out", ["disabled", "network"])
def test_an_old_entry_with_another_port_does_not_make_a_host_of_its_own_a_store_behind_a_router(
    left_out: LeftOut,
) -> None:
    mine = host(201, address="10.0.0.1", port=22)
    nearby = Neighbours(entries=[mine, host(202, address="10.0.0.1", port=2222, left_out=left_out)]).of(mine)
    assert (nearby.own_address, nearby.witnesses) == (True, ())


def test_only_a_few_of_a_big_store_are_asked() -> None:
    known = Neighbours(entries=[host(number, address=f"10.0.1.{number - 200}") for number in range(201, 240)])
    assert len(known.of(host(250, address="10.0.0.1")).witnesses) == WITNESSES


def test_behind_one_address_a_host_is_its_port_and_its_neighbours_are_witnesses() -> None:
    """A router answers pings at that address, and forwards one port to each machine."""
    entries = [host(number, address="10.0.0.1", port=22000 + number) for number in (201, 202)]
    nearby = Neighbours(entries=entries).of(entries[0])
    assert not nearby.own_address
    assert [(witness.name, witness.ports[0]) for witness in nearby.witnesses] == [("ACME-LOJA001-PDV202", 22202)]
    alone = Neighbours(entries=entries[:1]).of(entries[0])
    assert (alone.own_address, alone.witnesses) == (True, ())
