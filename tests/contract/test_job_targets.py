"""A job that changes or disrupts says which hosts it means; both sides refuse one that does not, by the same rule."""

import datetime as dt
from typing import Any

import pytest

from contracts.action_check import Check
from contracts.config import Effect, Job, NetworkConfig
from runtime.domain.filters import from_job
from server.services.configurations import actions

NOW = dt.datetime(2026, 11, 30, 15, tzinfo=dt.UTC)
SELECTORS: tuple[dict[str, Any], ...] = (
    {}, {"all": True}, {"stores": [1]}, {"terminals": [203]}, {"stores": [1], "terminals": [203]}, {"hosts": ["a"]},
    {"addresses": ["10.0.0.1"]}, {"groups": ["g"]}, {"tags": {"a": "b"}}, {"agent_status": 1}, {"provider": "arius"},
)  # fmt: skip
ACTIONS: dict[Effect, str] = {
    "read": "diagnose_env",
    "change": "update_endpoint_timezone",
    "disrupt": "shutdown_endpoint",
}


@pytest.mark.parametrize("effect", ACTIONS)
@pytest.mark.parametrize("selector", SELECTORS, ids=str)
def test_control_plane_and_run_agree_on_what_is_explicit(selector: dict[str, Any], effect: Effect) -> None:
    job = {"id": "job", "action": ACTIONS[effect], "cron": "50 23 * * *", "selector": selector}
    config = NetworkConfig.model_validate({"network": "ACME", "inventory": {"kind": "static"}, "schedule": [job]})
    errors = [one for one in Check(config, actions.catalogue(), NOW).findings() if one.level == "error"]
    explicit = from_job(Job.model_validate(job).selector).explicit_for(effect)
    assert (not errors) is explicit
    assert all("needs explicit targets" in one.text for one in errors)
