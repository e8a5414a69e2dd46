"""Is the fleet well: every line, its level, and the command that shows more."""

import datetime as dt
from typing import Any

import pytest

from server.services.agents.fleet import AgentStatus
from server.services.fleet.status import Schedule, Seen, Server, status_of

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
ID = "0198c0de-0000-7000-8000-000000000001"


def agent(name: str = "one", state: str = "online", silent: int | None = 10, **more: Any) -> AgentStatus:
    values: dict[str, Any] = {
        "agent_id": ID,
        "client": "Sol",
        "network": "SOL",
        "hostname": name,
        "state": state,
        "seen_at": NOW,
        "silent_s": silent,
        "interval_s": 30,
        "version": "1.0",
        "mode": "daemon",
        "uptime_s": 5,
        "waiting": 0,
        "oldest_s": None,
        "running": 0,
        "clock_s": 0,
        "trouble": (),
        "enrolment": 1,
        "enrolled_at": NOW,
    }
    return AgentStatus(**{**values, **more})


def seen(*agents: AgentStatus, **more: Any) -> Seen:
    values: dict[str, Any] = {
        "server": Server("warning", ()),
        "doubled": frozenset(),
        "schedules": (),
        "runs": 3,
        "failed": 0,
        "hosts": {"ok": 7},
        "events": {},
    }
    return Seen(agents=agents or (agent(),), **{**values, **more})


def test_a_fleet_that_is_well_says_so_in_a_line_for_each_part() -> None:
    found = status_of(seen(agent(running=1, waiting=5), agent("two", version="0.9")))
    assert found.level == "ok"
    assert [line.text for line in found.lines] == [
        "the database answers and takes writes",
        "2 agents are online, 1 run at work, 5 messages to deliver, version 1.0 (1), 0.9 (1)",
        "3 runs in the last 24 h, none with an error; hosts: 7 ok",
    ]


CASES: dict[str, tuple[Seen, str, str, str]] = {
    "nobody": (seen(agent(state="retired")), "warning", "no agent has enrolled", "install-command"),
    "a network is silent": (
        seen(agent(state="offline", silent=7200), agent("two", "never", None)),
        "bad",
        "no agent of 1 network answers: Sol/SOL for 2 h",
        "flagee-server agents",
    ),
    "one of two is silent": (
        seen(agent("two", "offline", 7200), agent()),
        "warning",
        "1 agent is offline: two for 2 h",
        "flagee-server agents show 0198c0de-0000",
    ),
    "late": (seen(agent(state="late", silent=70)), "warning", "1 agent is late: one for 1 min 10 s", "agents show"),
    "never heard": (seen(agent(), agent("two", "never", None)), "warning", "never heard: two (Sol/SOL)", "agents show"),
    "two instances": (seen(doubled=frozenset({ID})), "bad", "two instances of 1 agent", "agents show"),
    "trouble": (seen(agent(trouble=("the disk is full",))), "warning", "one: the disk is full", "agents show"),
    "a backlog": (seen(agent(waiting=9, oldest_s=601)), "warning", "one for 10 min 1 s", "agents show"),
    "a clock": (seen(agent(clock_s=-121)), "warning", "one (-2 min 1 s)", "agents show"),
    "failed runs": (seen(failed=2), "warning", "2 of 3 runs", "flagee-server runs --failed --since 24h"),
    "an event": (seen(events={"job.missed": 2}), "warning", "job was missed: 2 times", "events --sub job.missed"),
    "a schedule that waits": (
        seen(schedules=[Schedule("Sol/SOL", "", ("two", ID))]),
        "warning",
        "Sol/SOL: jobs wait for two",
        "agents show",
    ),
    "a schedule between two agents": (
        seen(schedules=[Schedule("Sol/SOL", "", None)]),
        "warning",
        "no agent may start jobs now",
        "flagee-server agents",
    ),
    "the control plane": (
        seen(server=Server("bad", ("the disk is full; free space",))),
        "bad",
        "the disk is full",
        "health",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_comes_first_with_the_command_that_shows_more(case: str) -> None:
    given, level, words, see = CASES[case]
    found = status_of(given)
    first = found.lines[0]
    assert (found.level, first.level) == (level, level)
    assert words in first.text
    assert see in first.see
    assert sum(line.level != "ok" for line in found.lines) == 1


def test_the_worst_comes_first_and_a_long_list_is_cut() -> None:
    many = [agent(f"p{n}", "offline", 1000 + n) for n in range(9)]
    found = status_of(seen(agent(), *many, failed=1, doubled=frozenset({ID})))
    assert [line.level for line in found.lines] == sorted(
        (line.level for line in found.lines), key=("bad", "warning", "ok").index
    )
    assert "p8 for 16 min 48 s, p7 for 16 min 47 s, p6 for 16 min 46 s and 6 more" in found.lines[1].text


def test_a_holder_of_a_lease_is_named() -> None:
    found = status_of(seen(schedules=[Schedule("Sol/SOL", "one", None)]))
    assert found.level == "ok"
    assert any("Sol/SOL (one)" in line.text for line in found.lines)
