"""What a new document changes for terminals, in words: the most dangerous first, secrets never."""

import json
from typing import Any

import pytest

from contracts.changes import Change, changes
from contracts.config import NetworkConfig
from contracts.cron import parse_cron
from contracts.document import read_document
from contracts.in_words import times
from server.services.configurations import actions

OFF, ZONE = "shutdown_endpoint", "update_endpoint_timezone"
TILLS = [{"name": f"SOL-LOJA001-PDV{number}", "address": f"10.0.0.{number}"} for number in range(1, 13)]
NIGHT = {"id": "night", "action": OFF, "cron": "50 23 * * *", "selector": {"all": True}}
BASE: dict[str, Any] = {
    "network": "SOL",
    "inventory": {"kind": "static", "hosts": TILLS},
    "rollout": {"arius": {"percent": 5, "never": ["PDV1", "PDV2"], "pilot": ["PDV3"]}},
    "freeze": [{"id": "black", "start": "2026-11-20T00:00", "end": "2026-12-01T00:00"}],
    "ssh": {"allowed_networks": ["10.0.0.0/8"]},
    "concentrators": [{"address": "10.0.0.250", "mysql": {"user": "u", "password": "hunter2", "name": "c"}}],
    "credentials": [{"id": "main", "user": "root", "password": "hunter2"}],
    "actions": {OFF: {"params": {"exceptions": ["PDV1"]}}},
    "compatibility": {"mode": "enforce"},
}


def told(before: dict[str, Any] | None, after: dict[str, Any]) -> tuple[Change, ...]:
    old = None if before is None else NetworkConfig.model_validate(before)
    found = changes(old, NetworkConfig.model_validate(after), actions.catalogue())
    assert "hunter" not in repr(found)
    return found


def other(**parts: Any) -> dict[str, Any]:
    return {**BASE, **parts}


# What is different -> level, path, a part of the sentence
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, str, str]]] = {
    "a nightly power-off": (
        BASE, other(schedule=[NIGHT]),
        ("danger", "schedule.night",
         "(the network's zone, America/Sao_Paulo), window 22:00-06:00, exceptions: 1 (job night)"),
    ),
    "the same by an alias and for a store": (
        BASE,
        other(schedule=[{**NIGHT, "action": "terminal_shutdown", "selector": {"stores": [7]}, "timezone": "America/Manaus"}]),
        ("danger", "schedule.night", "powers off up to 12 tills of store 7 daily at 23:50 (America/Manaus)"),
    ),
    "a number in every store": (
        BASE, other(schedule=[{**NIGHT, "selector": {"terminals": [203]}}]),
        ("danger", "schedule.night", "with the number 203, in every store"),
    ),
    "a dry run": (
        BASE, other(schedule=[{**NIGHT, "dry_run": True}]), ("info", "schedule.night", "dry-run only: nothing is changed"),
    ),
    "a change of terminals": (
        BASE, other(schedule=[{"id": "z", "action": ZONE, "cron": "0 3 * * 1"}]),
        ("warning", "schedule.z", "new: sets the time zone and clock of up to 12 tills of the network on Monday at 03:00"),
    ),
    "a read": (
        BASE, other(schedule=[{"id": "d", "action": "diagnose_env", "cron": "*/5 * * * *"}]),
        ("info", "schedule.d", "new: looks at up to 12 hosts of the network every 5 minutes"),
    ),
    "another time": (
        other(schedule=[NIGHT]), other(schedule=[{**NIGHT, "cron": "30 22 * * *"}]),
        ("danger", "schedule.night", "daily at 22:30"),
    ),
    "a job of other hosts": (
        other(schedule=[{**NIGHT, "selector": {"stores": [7]}}]), other(schedule=[NIGHT]),
        ("danger", "schedule.night", "changed: powers off up to 12 tills of the network"),
    ),
    "a job that is gone": (other(schedule=[NIGHT]), BASE, ("info", "schedule.night", "removed: powers off")),
    "a job that is switched off": (
        other(schedule=[NIGHT]), other(schedule=[{**NIGHT, "enabled": False}]), ("info", "schedule.night", "removed: "),
    ),
    "another window": (
        BASE, other(actions={OFF: {"params": {"exceptions": ["PDV1"], "windows": [{"start": "21:00", "end": "07:00"}]}}}),
        ("danger", f"actions.{OFF}.params.windows", "window of shutdown_endpoint: 22:00-06:00 -> 21:00-07:00"),
    ),
    "a lost exception": (
        BASE, other(actions={}),
        ("danger", f"actions.{OFF}.params.exceptions", "removed: PDV1 is no longer protected from shutdown_endpoint"),
    ),
    "an exception more": (
        BASE, other(actions={"pdv_shutdown": {"params": {"exceptions": ["PDV1", "PDV9"]}}}),
        ("info", f"actions.{OFF}.params.exceptions", "new: PDV9 is protected"),
    ),
    "an action that is switched off": (
        other(actions={}), other(actions={OFF: {"enabled": False}}), ("info", f"actions.{OFF}", "is switched off"),
    ),
    "more of the rollout": (
        BASE, other(rollout={"arius": {**BASE["rollout"]["arius"], "percent": 100}}),
        ("danger", "rollout.arius", "rollout of arius: 5 % -> 100 %, more hosts"),
    ),
    "a rollout that was left out": (
        BASE, other(rollout={}), ("danger", "rollout.arius", "5 % -> 100 %"),
    ),
    "another salt": (
        BASE, other(rollout={"arius": {**BASE["rollout"]["arius"], "salt": "x"}}),
        ("danger", "rollout.arius.salt", "other hosts are drawn"),
    ),
    "fewer that are never touched": (
        BASE, other(rollout={"arius": {**BASE["rollout"]["arius"], "never": ["PDV2"]}}),
        ("danger", "rollout.arius.never", "removed: PDV1 is no longer protected from every action"),
    ),
    "no freeze any more": (BASE, other(freeze=[]), ("danger", "freeze.black", "removed: freeze black (2026-11-20 00:00 to")),
    "another freeze": (
        BASE, other(freeze=[{**BASE["freeze"][0], "end": "2026-11-25T00:00"}]),
        ("danger", "freeze.black", "changed: freeze black"),
    ),
    "wider networks": (
        BASE, other(ssh={"allowed_networks": ["10.0.0.0/8", "0.0.0.0/0"]}),
        ("danger", "ssh.allowed_networks", "new: terminals in 0.0.0.0/0 may be contacted"),
    ),
    "a concentrator that is gone": (
        BASE, other(concentrators=[]), ("danger", "concentrators", "10.0.0.250 is no longer protected as a concentrator"),
    ),
    "a concentrator that loses the name that protects": (
        other(concentrators=[{"address": "10.0.0.250", "name": "ACME-SRV"}]), other(concentrators=[{"address": "10.0.0.250"}]),
        ("danger", "concentrators.name", "name of concentrator 10.0.0.250: ACME-SRV ->"),
    ),
    "a weaker mode": (
        BASE, other(compatibility={"mode": "warn"}), ("danger", "compatibility.mode", "enforce -> warn"),
    ),
    "another inventory": (
        BASE, other(inventory={"kind": "zabbix", "url": "https://zabbix.example", "token": "hunter3"}),
        ("danger", "inventory", "static -> zabbix: other hosts may be selected"),
    ),
    "another zone": (
        BASE, other(timezone="America/Manaus"), ("danger", "timezone", "every time without a zone of its own moves"),
    ),
    "another password": (
        BASE, other(credentials=[{"id": "main", "user": "root", "password": "hunter3"}]),
        ("info", "credentials.main.password", "*** -> a new value"),
    ),
    "another password of a database": (
        BASE, other(concentrators=[{"address": "10.0.0.250", "mysql": {"user": "u", "password": "hunter3", "name": "c"}}]),
        ("info", "concentrators.mysql.password", "a new value"),
    ),
    "a limit": (BASE, other(ssh={"allowed_networks": ["10.0.0.0/8"], "parallel": 64}), ("info", "ssh.parallel", "32 -> 64")),
    "an override": (
        BASE, other(overrides={"arius": {ZONE: "diagnose_env"}}),
        ("warning", f"overrides.arius.{ZONE}", "hosts of arius get diagnose_env instead of"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_change_is_described_in_words(case: str) -> None:
    before, after, (level, path, text) = CASES[case]
    found = told(before, after)
    assert [(change.level, change.path) for change in found if text in change.text] == [(level, path)], found


def test_an_equal_document_changes_nothing_however_it_is_written() -> None:
    assert told(BASE, json.loads(json.dumps(BASE))) == ()
    moved = other(schedule=[NIGHT, {**NIGHT, "id": "b"}])
    assert told(moved, other(schedule=[{**NIGHT, "id": "b"}, NIGHT])) == ()
    assert told(other(schedule=[NIGHT]), other(schedule=[{**NIGHT, "action": "pdv_shutdown"}]))[0].level == "info"


def test_the_most_dangerous_comes_first() -> None:
    after = other(
        schedule=[{"id": "d", "action": "diagnose_env", "cron": "0 3 * * *"}, NIGHT], freeze=[], timezone="UTC"
    )
    levels = [change.level for change in told(BASE, after)]
    assert levels == sorted(levels, key=("danger", "warning", "info").index)
    assert levels[0] == "danger"


def test_the_first_document_of_a_network_says_what_it_will_do() -> None:
    found = told(None, other(schedule=[NIGHT]))
    assert found[0].text.startswith("new: powers off up to 12 tills")
    assert "first: the first document of network SOL" in [change.text for change in found]
    assert "rollout of arius: 5 % of its hosts and 1 pilot hosts" in [change.text for change in found]


def test_a_document_of_the_first_generation_is_compared_by_what_it_means() -> None:
    legacy = {"PARAM_REDE": "SOL", "PARAM_ZABBIX_SERVER": "zabbix.example", "PARAM_TOKEN": "hunter2"}
    before = read_document(json.dumps({**legacy, "shutdown_exception_ips": ["10.0.0.9"]}).encode(), strict=True).config
    after = read_document(json.dumps(legacy).encode(), strict=True).config
    [change] = changes(before, after, actions.catalogue())
    assert (change.level, "10.0.0.9 is no longer protected" in change.text) == ("danger", True)


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("50 23 * * *", "daily at 23:50"),
        ("@hourly", "every hour at minute 0"),
        ("* * * * *", "every minute"),
        ("*/15 * * * *", "every 15 minutes"),
        ("0 1,13 * * *", "daily at 01:00, 13:00"),
        ("0 6 * * sun,mon", "on Sunday, Monday at 06:00"),
        ("0 6 1 * *", "at the times of `0 6 1 * *`"),
        ("*/7 * * * *", "at the times of `*/7 * * * *`"),
        ("*/5 7-23 * * *", "at the times of `*/5 7-23 * * *`"),
    ],
)
def test_times_are_shown_as_a_person_writes_them(cron: str, words: str) -> None:
    assert times(parse_cron(cron)) == words
