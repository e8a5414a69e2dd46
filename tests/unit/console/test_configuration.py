"""What `config check` says of a whole document in one line, and times that people read in UTC."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner, Result

from runtime.adapters.config_store import ConfigStore
from runtime.cli.commands import cli

HEAD = "ACME, provider arius, America/Sao_Paulo, inventory static"
EVERY = {"selector": {"all": True}}
WRONG = {"params": {"colour": "red"}}


def job(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "action": "update_endpoint_timezone", "cron": "0 3 * * *", **EVERY, **more}


def document(**parts: Any) -> dict[str, Any]:
    return {
        "schema_version": 2,
        "network": "ACME",
        "timezone": "America/Sao_Paulo",
        "inventory": {"kind": "static"},
        **parts,
    }


def run(folder: Path, raw: str | dict[str, Any], *words: str) -> Result:
    for name in ("config", "data"):
        (folder / name).mkdir(exist_ok=True)
    text = raw if isinstance(raw, str) else json.dumps(raw)
    (folder / "config/config_bot.json").write_text(text, encoding="utf-8")
    paths = {f"FLAGEEMONITOR_{name}_PATH": str(folder / name.lower()) for name in ("CONFIG", "DATA")}
    return CliRunner().invoke(cli, words, env=paths)


SAYS: dict[str, tuple[list[dict[str, Any]], int, str]] = {
    "no job": ([], 0, "0 jobs on: no errors"),
    "one job": ([job("a")], 0, "1 job on: no errors"),
    "a job that is off": ([job("a"), job("b", enabled=False), job("c")], 0, "2 jobs on: no errors"),
    "a job that is wrong": ([job("a"), job("b", **WRONG)], 3, "1 job on, 1 not started: 1 error"),
    "jobs that are wrong": (
        [job("a", **WRONG), job("b", **WRONG), job("c"), job("d", enabled=False)],
        3,
        "1 job on, 2 not started: 2 errors",
    ),
}


@pytest.mark.parametrize("case", SAYS)
def test_config_check_ends_with_how_many_jobs_are_on_and_how_many_are_not_started(case: str, tmp_path: Path) -> None:
    schedule, code, expected = SAYS[case]
    said = run(tmp_path, document(schedule=schedule), "config", "check")
    assert (said.exit_code, said.stderr.splitlines()[-1]) == (code, f"{HEAD}, {expected}")


def test_config_check_shows_level_place_and_sentence_of_each_finding(tmp_path: Path) -> None:
    said = run(tmp_path, document(schedule=[job("a", **WRONG)], teleport=True), "config", "check")
    rows = [line.split("\t") for line in said.stdout.splitlines()]
    assert [row[:2] for row in rows] == [["info", "teleport"], ["error", "schedule.a.params.colour"]]
    assert all(row[2] for row in rows)


def test_config_check_of_a_file_that_no_run_would_take_says_where_and_what_to_do(tmp_path: Path) -> None:
    said = run(tmp_path, document(network=""), "config", "check")
    assert said.exit_code == 3
    assert "config_bot.json" in said.stderr
    assert "network" in said.stderr
    assert "  try: " in said.stderr


@pytest.mark.parametrize(("option", "zone"), [((), "America/Sao_Paulo"), (("--utc",), "UTC")])
def test_doctor_shows_its_times_in_the_zone_of_the_network_or_in_utc(
    option: tuple[str, ...], zone: str, tmp_path: Path
) -> None:
    raw = json.dumps(document())
    now = dt.datetime.now(dt.UTC)
    ConfigStore(tmp_path / "config").replace(raw.encode(), '"e"', source="https://control.test", now=now)
    said = run(tmp_path, raw, "doctor", *option)
    shown = {line.split("\t")[0]: line.split("\t")[2] for line in said.stdout.splitlines()}
    there = now.astimezone(ZoneInfo(zone))
    assert shown["configuration"].endswith(f", confirmed {there:%Y-%m-%d %H:%M:%S %Z}")
    clock = re.match(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (\S+?)[,:]", shown["clock"])
    assert clock, shown["clock"]
    assert clock[2] == f"{there:%Z}"
    read = dt.datetime.fromisoformat(clock[1]).replace(tzinfo=ZoneInfo(zone))
    assert dt.timedelta(0) <= read - now.replace(microsecond=0) < dt.timedelta(minutes=30)
