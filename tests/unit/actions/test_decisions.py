"""What each action decides from facts: pure, case by case. Shells and real terminals are tested elsewhere."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest
from pydantic import ValidationError

from runtime.actions import shutdown_endpoint, update_endpoint_timezone
from runtime.actions.registry import ACTIONS, registered
from runtime.domain.action import Decision, Done, Failed, Refused, Script, Stage, WriteFile
from runtime.domain.facts import Facts
from runtime.domain.machines import grouped
from runtime.domain.model import Listing
from tests.unit.engine.in_memory import ZONE, host

# -- time zone

RIGHT = {
    "zone_file": "yes",
    "target_file": "yes",
    "localtime_kind": "link",
    "localtime": "/usr/share/zoneinfo/America/Sao_Paulo",
    "localtime_same": "yes",
    "timezone": "America/Sao_Paulo",
}
NOW = dt.datetime(2026, 3, 10, 23, 0, tzinfo=ZONE)


def facts(observed: dict[str, str], **fields: Any) -> Facts:
    base = Facts(distro="ubuntu", version="22.04", observed_at=NOW, epoch=int(NOW.timestamp()), uid=0, privilege="root")
    return dataclasses.replace(base, observed=observed, **fields)


def zone(observed: dict[str, str], fact: dict[str, Any] | None = None, **params: Any) -> Decision:
    checked = update_endpoint_timezone.TimezoneParams.model_validate({"timezone": "America/Sao_Paulo", **params})
    assert update_endpoint_timezone.ACTION.decide is not None
    return update_endpoint_timezone.ACTION.decide(facts(observed, **(fact or {})), checked, host())


SLACKWARE = {"distro": "slackware", "version": "13.37"}
TIMESYNCD = {**RIGHT, "timesyncd": "yes", "timesyncd_active": "active", "timedatectl_ntp": "active"}


def test_why_timesyncd_does_not_run_comes_from_systemd_and_is_not_guessed() -> None:
    unmet = "ConditionFileIsExecutable=!/usr/sbin/VBoxService was not met"
    kept = {"timesyncd_active": "inactive", "unit_1": "LoadState=loaded", "unit_2": f"   └─ {unmet}"}
    decision = zone({**TIMESYNCD, **kept}, enable_ntp=True)
    assert isinstance(decision, Stage)
    expected = f"systemd-timesyncd is inactive; systemd says: {unmet}; force_timesyncd lifts such conditions"
    assert decision.why == expected
    silent = zone({**TIMESYNCD, "timesyncd_active": "inactive"}, enable_ntp=True)
    assert isinstance(silent, Stage)
    assert silent.why == "systemd-timesyncd is inactive; systemd gives no reason"
    off = zone({**TIMESYNCD, "timedatectl_ntp": "no"}, enable_ntp=True)
    assert isinstance(off, Stage)
    assert off.why == "timedatectl says that network time is no"


def test_a_masked_timesyncd_is_reported_before_anything_is_written_for_it() -> None:
    seen = {**TIMESYNCD, "timesyncd_active": "inactive", "unit_1": "LoadState=masked"}
    decision = zone(seen, enable_ntp=True, ntp_server="ntp.br", force_timesyncd=True)
    assert isinstance(decision, Failed)
    assert (decision.code, decision.stage) == ("unit_masked", "ntp")
    assert "systemctl unmask systemd-timesyncd" in decision.message
    zone_first = zone({**seen, "timezone": "Etc/UTC"}, enable_ntp=True)
    assert isinstance(zone_first, Stage)
    assert isinstance(zone({**seen, "time_daemon_runs": "chronyd"}, enable_ntp=True), Done)


def test_the_zone_comes_before_the_target_and_the_target_before_ntp() -> None:
    wrong = {**TIMESYNCD, "timezone": "Etc/UTC", "localtime": "/nowhere", "timesyncd_active": "inactive"}
    first = zone(wrong, enable_ntp=True)
    second = zone({**wrong, "timezone": "America/Sao_Paulo"}, enable_ntp=True)
    third = zone({**TIMESYNCD, "timesyncd_active": "inactive"}, enable_ntp=True)
    assert [stage.name for stage in (first, second, third) if isinstance(stage, Stage)] == ["zone", "localtime", "ntp"]


def test_the_ntp_files_reset_the_servers_of_the_main_file() -> None:
    stage = zone(TIMESYNCD, enable_ntp=True, ntp_server="ntp.br", force_timesyncd=True)
    assert isinstance(stage, Stage)
    files = {step.path: step.content for step in stage.steps if isinstance(step, WriteFile)}
    assert files[update_endpoint_timezone.TIMESYNCD_CONF] == b"[Time]\nNTP=\nNTP=ntp.br\n"
    assert b"ConditionFileIsExecutable=\n" in files[update_endpoint_timezone.TIMESYNCD_UNIT]


def test_values_reach_the_shell_as_variables_never_inside_its_text() -> None:
    stage = zone({**RIGHT, "localtime": "/nowhere"})
    assert isinstance(stage, Stage)
    step = stage.steps[0]
    assert isinstance(step, Script)
    assert "Sao_Paulo" not in step.text
    assert step.variables["target"] == "/usr/share/zoneinfo/America/Sao_Paulo"


@pytest.mark.parametrize(
    "params",
    [
        {"timezone": "Mars/Olympus"},
        {"timezone": "$(reboot)"},
        {"timezone": "../../etc/passwd"},
        {"localtime_target": "/etc/passwd"},
        {"localtime_target": "/usr/share/zoneinfo/../../../etc/shadow"},
        {"localtime_target": "Etc/GMT+3; reboot"},
        {"ntp_server": "ntp.br; reboot"},
        {"ntp_server": "-q"},
        {"ntp_server": "a b"},
    ],
)
def test_zone_and_server_names_are_held_to_strict_patterns(params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        zone(RIGHT, **params)


# -- shutdown

MACHINE = {"shutdown": "/sbin/shutdown", "looks_like": ""}


def power_off(
    now: dt.datetime, observed: dict[str, str] | None = None, who: Any = None, skew: float | None = 0.0, **params: Any
) -> Decision:
    seen = Facts(
        observed_at=now,
        epoch=None if skew is None else int(now.timestamp() + skew),
        observed=observed or MACHINE,
        uid=0,
        privilege="root",
    )
    checked = shutdown_endpoint.ShutdownParams.model_validate(params)
    assert shutdown_endpoint.ACTION.decide is not None
    return shutdown_endpoint.ACTION.decide(seen, checked, who or host())


def at(hour: int, minute: int = 0) -> dt.datetime:
    return dt.datetime(2026, 3, 10, hour, minute, tzinfo=ZONE)


def test_a_power_off_that_was_decided_starts_before_the_window_closes() -> None:
    decision = power_off(at(23))
    assert isinstance(decision, Stage)
    assert decision.valid_until == at(6) + dt.timedelta(days=1)


def test_a_power_off_is_one_script_as_root_with_the_terminals_own_command_and_the_time_to_go() -> None:
    decision = power_off(at(23), settle=30)
    assert isinstance(decision, Stage)
    (step,) = decision.steps
    assert isinstance(step, Script)
    assert (step.variables, decision.confirm, decision.settle) == ({"shutdown": "/sbin/shutdown"}, "gone", 30)
    assert (shutdown_endpoint.ACTION.needs_root, shutdown_endpoint.ACTION.stages) == (True, 1)


def test_an_exception_says_whose_it_is() -> None:
    own, other = host(), host(203, name="ACME-LOJA001-PDV203")
    refused = power_off(at(23), exceptions=[own.name])
    assert isinstance(refused, Refused)
    assert refused.message == "listed as an exception: never powered off"
    shared = power_off(at(23), who=grouped(Listing((own,), (other,))).hosts[0], exceptions=[other.name])
    assert isinstance(shared, Refused)
    assert shared.message.startswith("the same machine as ACME-LOJA001-PDV203 (")
    assert shared.message.endswith(", listed as an exception: never powered off")


@pytest.mark.parametrize(
    ("now", "exceptions", "code"),
    [
        (at(23), [], None),
        (at(12), [], "outside_window"),
        (at(23), ["10.0.0.0/24"], "exception"),
        (at(12), ["10.0.0.0/24"], "exception"),
    ],
)
def test_a_refusal_for_window_or_exception_is_foreseen_without_a_connection(
    now: dt.datetime, exceptions: list[str], code: str | None
) -> None:
    params = shutdown_endpoint.ShutdownParams.model_validate({"exceptions": exceptions})
    assert shutdown_endpoint.ACTION.foresee is not None
    refused = shutdown_endpoint.ACTION.foresee(params, host(), now)
    assert (refused.code if refused else None) == code


def test_the_same_night_in_a_wrong_zone_is_refused() -> None:
    """23:00 UTC is 20:00 in the store: a container that believes UTC must not power anything off (W-07)."""
    assert isinstance(power_off(dt.datetime(2026, 3, 10, 23, tzinfo=dt.UTC).astimezone(ZONE)), Refused)


def test_a_window_of_a_whole_day_is_not_accepted() -> None:
    with pytest.raises(ValidationError):
        shutdown_endpoint.ShutdownParams.model_validate({"windows": [{"start": "22:00", "end": "22:00"}]})
    with pytest.raises(ValidationError):
        shutdown_endpoint.ShutdownParams.model_validate({"windows": []})


# -- the registry

LEGACY = {
    "pdv_install": "install_endpoint_agent",
    "install_host_agent": "install_endpoint_agent",
    "install_client_agent": "install_endpoint_agent",
    "pdv_uninstall": "uninstall_endpoint_agent",
    "uninstall_host_agent": "uninstall_endpoint_agent",
    "uninstall_client_agent": "uninstall_endpoint_agent",
    "pdv_update_config": "update_endpoint_config",
    "update_host_config": "update_endpoint_config",
    "update_client_config": "update_endpoint_config",
    "pdv_update_timezone": "update_endpoint_timezone",
    "update_host_timezone": "update_endpoint_timezone",
    "pdv_shutdown": "shutdown_endpoint",
    "shutdown_host": "shutdown_endpoint",
    "pdv_test_connection": "test_endpoint_connection",
    "test_host_connection": "test_endpoint_connection",
    "pdv_test_sudo": "test_endpoint_privilege",
    "test_host_privilege": "test_endpoint_privilege",
    "pdv_atualiza_impressora": "refresh_endpoint_printer",
    "refresh_host_printer": "refresh_endpoint_printer",
    "pdv_auto_register": "register_endpoints",
    "register_hosts": "register_endpoints",
    "cupons": "collect_coupons",
    "cupons_detalhes": "collect_coupon_details",
    "cupons_lv": "collect_coupon_lv",
    "sat_config": "collect_sat_config",
    "status_caixa": "collect_checkout_status",
    "diagnose_env": "diagnose_env",
    "pdv_update_clisitef": "update_payment_client_config",
    "pdv_update_kwnfce": "update_fiscal_client_config",
    "pdv_update_geral_conf": "update_agent_userparameters",
}


def test_every_name_of_the_first_generation_means_the_same_action_still() -> None:
    names = registered().names
    assert {alias: names[alias] for alias in LEGACY} == LEGACY


def test_nothing_that_changes_a_machine_may_touch_a_concentrator_or_a_proxy() -> None:
    for action in ACTIONS:
        if action.effect != "read":
            assert not action.roles & {"concentrator", "proxy", "other"}, action.name
