"""What `config check`, doctor and the daemon find in a document that is valid by itself: names and parameters of actions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contracts.config import NetworkConfig
from runtime.domain.config_check import problems
from runtime.settings import read_settings
from runtime.wiring import Installation

ZONE, OFF = "update_endpoint_timezone", "shutdown_endpoint"
NIGHT = {"start": "22:00", "end": "06:00"}

# Parts of the document -> the path of each error, and a part of what it says.
FOUND: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "known by every name": (
        {
            "actions": {OFF: {}, "pdv_update_timezone": {}, "terminal_ping": {}},
            "overrides": {"arius": {"cupons": "diagnose_env"}},
        },
        {},
    ),
    "settings of no action": (
        {"actions": {"pdv_shutdwn": {"enabled": False}}},
        {"actions.pdv_shutdwn": "did you mean pdv_shutdown"},
    ),
    "override of no action": (
        {"overrides": {"arius": {"shutdown_hots": "diagnose_env"}}},
        {"overrides.arius.shutdown_hots": "did you mean shutdown_host"},
    ),
    "override to no action": (
        {"overrides": {"arius": {"shutdown_host": "nothing"}}},
        {"overrides.arius.shutdown_host": 'unknown action "nothing"'},
    ),
    "override that does more": (
        {"overrides": {"zanthus": {"terminal_ping": "pdv_shutdown"}}},
        {"overrides.zanthus.terminal_ping": "does more"},
    ),
    "two overrides of one action": (
        {"overrides": {"arius": {OFF: "diagnose_env", "pdv_shutdown": "test_endpoint_connection"}}},
        {f"overrides.arius.{OFF}": "different replacements", "overrides.arius.pdv_shutdown": "different replacements"},
    ),
    "two names that contradict": (
        {"actions": {"pdv_shutdown": {"enabled": False}, OFF: {"enabled": True}}},
        {"actions.pdv_shutdown": f"actions.pdv_shutdown and actions.{OFF} are one action"},
    ),
    "a wrong parameter without a job": (
        {"actions": {ZONE: {"params": {"ntp_server": ""}}}},
        {f"actions.{ZONE}.params.ntp_server": "must be a host name"},
    ),
    "wrong parameters by an alias, of an action that is off": (
        {
            "actions": {
                "pdv_shutdown": {"enabled": False, "params": {"windows": [NIGHT, {"start": "22:00"}], "colour": 1}}
            }
        },
        {
            "actions.pdv_shutdown.params.windows[1].end": "is required",
            "actions.pdv_shutdown.params.colour": "unknown key",
        },
    ),
    "parameters of an action that this version does not carry": (
        {"actions": {"pdv_install": {"params": {"speed": 1}}}},
        {},
    ),
}


@pytest.mark.parametrize("case", FOUND)
def test_the_action_settings_of_a_document_are_checked_without_a_job(case: str, tmp_path: Path) -> None:
    parts, errors = FOUND[case]
    config = NetworkConfig.model_validate({"network": "ACME", "inventory": {"kind": "static"}, **parts})
    paths = {f"FLAGEEMONITOR_{name}_PATH": str(tmp_path / name.lower()) for name in ("CONFIG", "DATA")}
    with Installation(read_settings(paths)) as installation:
        findings = list(problems(config, installation.known, installation.clock.now()))
    found = {finding.path: finding.text for finding in findings if finding.level == "error"}
    assert found.keys() == errors.keys()
    assert all(said in found[path] for path, said in errors.items()), found
