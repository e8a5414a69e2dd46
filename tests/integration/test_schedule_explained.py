"""`schedule --explain`: for each planned run, how many hosts would run, and which rule keeps the others. No terminal is there."""

import datetime as dt
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from tests.integration.proxy import Proxy

ZONE = ZoneInfo("America/Sao_Paulo")
OFF = "shutdown_endpoint"
NIGHT = {"id": "night", "action": OFF, "cron": "50 23 * * *", "selector": {"all": True}}


def host(store: int, number: int, **parts: Any) -> dict[str, Any]:
    return {"name": f"SHOP-LOJA{store:03}-PDV{number}", "address": f"10.{store}.0.{number}", **parts}


HOSTS = [
    *(host(1, number) for number in range(1, 11)),
    *(host(2, number) for number in range(1, 5)),
    *(host(3, number) for number in range(1, 4)),
    host(4, 1, provider="zanthus"),
    {"name": "SHOP-LOJA001-CONCENTRADOR", "address": "10.1.0.250"},
]


def proxy(folder: Path, **parts: Any) -> Proxy:
    document = {
        "network": "SHOP",
        "inventory": {"kind": "static", "hosts": HOSTS},
        "rollout": {"arius": {"percent": 100, "never": ["10.1.0.10"]}},
        "actions": {
            OFF: {
                "params": {
                    "exceptions": ["SHOP-LOJA001-PDV1", "SHOP-LOJA001-PDV2"],
                    "windows": [{"start": "22:00", "end": "06:00"}, {"start": "01:00", "end": "05:00", "stores": [3]}],
                }
            }
        },
        "freeze": [{"id": "store2", "from_time": "20:00", "to_time": "08:00", "stores": [2], "reason": "stocktaking"}],
        "schedule": [NIGHT],
        **parts,
    }
    return Proxy(folder, document)


def test_every_host_of_a_planned_run_is_counted_once_with_the_rule_that_excludes_it(tmp_path: Path) -> None:
    said = proxy(tmp_path).run("schedule", "--explain", "--next", "24h", "--output", "json")
    (run,) = said.json
    assert (run["job"], run["hosts"], run["would_run"]) == ("night", 19, 7)
    assert dt.datetime.fromisoformat(run["at"]).astimezone(ZONE).strftime("%H:%M") == "23:50"
    kept = {(one["gate"], one["reason"], one["detail"]): one["hosts"] for one in run["kept"]}
    assert sum(kept.values()) + run["would_run"] == run["hosts"]
    assert kept[("freeze", "frozen", "store2")] == 4
    assert kept[("action", "refused", "outside_window")] == 3
    assert kept[("action", "refused", "exception")] == 2
    assert kept[("role", "protected_role", "")] == 1
    assert sum(number for (gate, _, _), number in kept.items() if gate == "rollout") == 2
    (frozen,) = (one for one in run["kept"] if one["gate"] == "freeze")
    assert "stocktaking" in frozen["text"]
    assert frozen["example"] == "SHOP-LOJA002-PDV1"


def test_in_a_pipe_the_explained_schedule_is_one_line_a_run(tmp_path: Path) -> None:
    said = proxy(tmp_path).run("schedule", "--explain", "--next", "24h")
    (line,) = said.stdout.splitlines()
    _when, job, action, hosts, running, why = line.split("\t")
    assert (job, action, hosts, running) == ("night", OFF, "19", "7")
    for words in (
        "4 frozen (freeze store2 until",
        "3 outside their window (it is",
        "2 exceptions (",
        "excluded by the rollout (",
    ):
        assert words in why


def test_on_a_terminal_the_schedule_is_a_table_and_a_run_without_hosts_is_marked(tmp_path: Path) -> None:
    freeze = [{"id": "all", "from_time": "20:00", "to_time": "08:00"}]
    shown = proxy(tmp_path, freeze=freeze).on_terminal("schedule", "--explain", "--next", "24h", columns=200).stdout
    assert "would run" in shown
    assert "frozen (freeze all until" in shown
    assert "can never run" in shown


def test_a_selector_and_a_limit_in_time_count(tmp_path: Path) -> None:
    jobs = [
        {**NIGHT, "id": "one", "selector": {"stores": [1], "hosts": ["SHOP-LOJA001-PDV3", "SHOP-LOJA001-PDV4"]}},
        {**NIGHT, "id": "nobody", "selector": {"stores": [77]}},
        {"id": "look", "action": "diagnose_env", "cron": "0 */6 * * *", "dry_run": True},
        {"id": "agent", "action": "pdv_install", "cron": "0 3 * * *"},
        {**NIGHT, "id": "off", "enabled": False},
    ]
    said = proxy(tmp_path, schedule=jobs).run("schedule", "--explain", "--next", "24h", "--output", "json")
    runs = {run["job"]: run for run in said.json}
    assert (runs["one"]["hosts"], runs["one"]["would_run"]) == (2, 2)
    assert (runs["nobody"]["hosts"], runs["nobody"]["would_run"]) == (0, 0)
    assert sum(run["job"] == "look" for run in said.json) == 4
    assert runs.keys() == {"one", "nobody", "look"}
    assert "switched off: off" in said.stderr
    assert "agent: install_endpoint_agent is not available" in said.stderr


def test_an_inventory_that_does_not_answer_is_no_empty_schedule(tmp_path: Path) -> None:
    zabbix = {"kind": "zabbix", "url": "http://127.0.0.1:9", "token": "t", "timeout": 2}
    said = proxy(tmp_path, inventory=zabbix).run("schedule", "--explain", "--next", "24h")
    assert (said.code, said.stdout) == (4, "")
