"""Identity, job fires, the daemon's word."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from uuid import UUID

from runtime.adapters.state.meta import (
    agent_id,
    job_fires_seen,
    note_heartbeat,
    note_job_fire,
    note_refresh,
    read_daemon_status,
)
from runtime.adapters.state.store import State
from runtime.services.config_refresh import RefreshResult
from tests.unit.state.support import NOON, open_state


def test_the_agent_id_is_made_once_and_stays(tmp_path: Path) -> None:
    with open_state(tmp_path) as state:
        made = agent_id(state)
    assert UUID(made).version == 7
    with open_state(tmp_path) as state:
        assert agent_id(state) == made


def test_the_agent_id_outlives_the_database(tmp_path: Path) -> None:
    with open_state(tmp_path) as state:
        made = agent_id(state)
    (tmp_path / "state.db").unlink()
    with open_state(tmp_path) as state:
        assert agent_id(state) == made
        assert state.notices == ()


def test_a_given_agent_id_wins(state: State) -> None:
    assert agent_id(state, "0190a0a0-0000-7000-8000-000000000001") == "0190a0a0-0000-7000-8000-000000000001"


def test_the_last_planned_fire_only_moves_forward(state: State) -> None:
    later = NOON + dt.timedelta(hours=1)
    for planned in (NOON, later, NOON):
        note_job_fire(state, "night", planned)
    note_job_fire(state, "noon", NOON)
    assert job_fires_seen(state) == {"night": later, "noon": NOON}


def test_the_daemon_status_keeps_fields_that_were_not_written_again(state: State) -> None:
    assert read_daemon_status(state) is None
    note_heartbeat(state, pid=42, started_at=NOON, now=NOON)
    note_refresh(state, RefreshResult("updated", "new", NOON, "c", warnings=("w",)), NOON + dt.timedelta(minutes=1))
    note_heartbeat(state, pid=42, started_at=NOON, now=NOON + dt.timedelta(minutes=2))
    status = read_daemon_status(state)
    assert status is not None
    assert (status.pid, status.started_at) == (42, NOON)
    assert (status.refresh["reason"], status.refresh["at"], status.refresh["warnings"]) == (
        "updated",
        NOON.isoformat(),
        ["w"],
    )
    assert status.heartbeat_at == NOON + dt.timedelta(minutes=2)
    assert status.refreshed_at == NOON + dt.timedelta(minutes=1)
