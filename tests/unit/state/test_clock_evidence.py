"""A clock that is wrong for a while, on a real local state: what is deleted, what is remembered, how it becomes right again."""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import dataclass

from runtime.adapters.state.clock_evidence import assess, note_plane_time
from runtime.adapters.state.history import count
from runtime.adapters.state.meta import note_heartbeat
from runtime.adapters.state.retention import Maintained, maintain
from runtime.adapters.state.store import State
from runtime.domain.time.clock_trust import SETTLING, Reading, Suspect, Trust, Trusted
from tests.unit.state.support import NOON, complete_run, make_hosts, make_info, make_result

SECOND, MINUTE, HOUR, DAY = (
    dt.timedelta(seconds=1),
    dt.timedelta(minutes=1),
    dt.timedelta(hours=1),
    dt.timedelta(days=1),
)
YEARS = 4380 * DAY


@dataclass
class Machine:
    """A proxy's machine: real time passes, its clock may be off, and it may be started again."""

    state: State
    real: dt.datetime = NOON
    off: dt.timedelta = dt.timedelta(0)
    boot: int = 1
    up: float = 1000.0

    def reading(self) -> Reading:
        return Reading(self.real + self.off, self.up, str(self.boot))

    def passes(self, span: dt.timedelta) -> None:
        self.real += span
        self.up += span.total_seconds()

    def switched_off(self, span: dt.timedelta) -> None:
        self.real += span
        self.boot += 1
        self.up = 10.0

    def beat(self) -> Trust:
        """What the daemon does every 15 s."""
        trust = assess(self.state, self.reading())
        note_heartbeat(self.state, pid=1, started_at=NOON, now=self.reading().wall)
        return trust

    def maintain(self) -> Maintained:
        return maintain(self.state, keep_days=30, outbox_limit=10**6, trust=self.beat())

    def contact(self, off: dt.timedelta = dt.timedelta(0)) -> None:
        """The control plane answers; its clock may be off as well."""
        note_plane_time(self.state, self.real + off, self.reading())

    def run(self) -> None:
        """A run judges the clock before it leaves rows."""
        assess(self.state, self.reading())
        info = make_info(started_at=self.reading().wall)
        asyncio.run(complete_run(self.state, info, [make_result(host) for host in make_hosts(2)]))


def test_twelve_seconds_in_2038_delete_nothing_and_the_history_stays(state: State) -> None:
    machine = Machine(state)
    machine.beat()
    machine.run()
    machine.off = YEARS
    for _ in range(12):
        machine.passes(SECOND)
        done = machine.maintain()
        assert done == Maintained(0, 0, 0, kept=done.kept)
        assert "jumped forward" in done.kept
    machine.off = dt.timedelta(0)
    assert isinstance(machine.beat(), Trusted)
    assert count(state).results == 2


def test_a_proxy_that_starts_in_2038_cannot_make_its_own_rows_witnesses(state: State) -> None:
    machine = Machine(state)
    machine.run()  # nothing has judged a clock yet
    machine.switched_off(HOUR)
    machine.off = YEARS
    for _ in range(50):
        machine.passes(HOUR)
        machine.run()
        assert machine.maintain().runs == 0
    assert count(state).results == 51 * 2


def test_a_clock_years_in_the_past_deletes_nothing_and_is_seen(state: State) -> None:
    machine = Machine(state)
    machine.beat()
    machine.run()
    machine.switched_off(HOUR)
    machine.off = -YEARS
    trust = machine.beat()
    assert isinstance(trust, Suspect)
    assert trust.contradicted
    assert machine.maintain().kept
    machine.switched_off(HOUR)
    machine.off = dt.timedelta(0)
    assert isinstance(machine.beat(), Trusted)


def test_after_forty_days_without_power_history_waits_for_the_control_planes_time(state: State) -> None:
    machine = Machine(state)
    machine.beat()
    machine.run()
    machine.switched_off(40 * DAY)
    assert (machine.maintain().runs, count(state).results) == (0, 2)
    machine.passes(DAY)
    assert machine.maintain().runs == 0
    machine.contact()
    # What was not delivered within thirty days goes as well, and leaves a tombstone.
    assert machine.maintain() == Maintained(results=2, runs=1, dropped=6)


def test_history_goes_by_age_while_the_clock_is_right_also_without_a_control_plane(state: State) -> None:
    machine = Machine(state)
    machine.beat()
    machine.run()
    for night in range(31):
        machine.switched_off(8 * HOUR)
        machine.passes(16 * HOUR)
        assert machine.maintain().runs == (1 if night == 30 else 0)


def test_a_clock_that_the_control_plane_contradicts_deletes_nothing_although_it_never_jumped(state: State) -> None:
    machine = Machine(state, off=YEARS)  # wrong since the installation
    machine.beat()
    machine.off = dt.timedelta(0)
    machine.run()
    machine.off = YEARS
    machine.contact()
    trust = machine.beat()
    assert isinstance(trust, Suspect)
    assert "the control plane gave" in trust.why
    assert machine.maintain().runs == 0
    machine.off = dt.timedelta(0)
    assert isinstance(machine.beat(), Trusted)
    machine.switched_off(HOUR)
    assert isinstance(machine.beat(), Trusted)


def test_a_control_plane_on_the_same_wrong_machine_is_not_trusted_at_once(state: State) -> None:
    machine = Machine(state)
    machine.beat()
    machine.run()
    machine.off = YEARS
    machine.contact(off=YEARS)
    for _ in range(20):
        machine.passes(HOUR)
        assert machine.maintain().runs == 0
    machine.off = dt.timedelta(0)
    machine.contact()
    assert machine.maintain().runs == 0
    machine.passes(SETTLING + MINUTE)
    assert (machine.maintain().kept, count(state).results) == ("", 2)


def test_a_look_leaves_nothing_behind(state: State) -> None:
    before = state.folder.joinpath("state.db-wal").stat().st_size
    assess(state, Machine(state).reading(), note=False)
    assert state.folder.joinpath("state.db-wal").stat().st_size == before
