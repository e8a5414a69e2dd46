"""What each action decides from facts: pure, case by case. Shells and real terminals are tested elsewhere."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest
from pydantic import ValidationError

from runtime.actions import diagnose_env, shutdown_endpoint, test_endpoint_privilege, update_endpoint_timezone
from runtime.actions.registry import ACTIONS, catalogue
from runtime.domain.action import Decision, Done, Failed, Refused, Script, Stage, WriteFile
from runtime.domain.facts import Facts
from tests.unit.engine.world import ZONE, host

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
STAGES: dict[str, tuple[dict[str, str], dict[str, Any], dict[str, Any], str | None]] = {
    "already right": (RIGHT, {}, {}, None),
    "a relative link is right too": ({**RIGHT, "localtime": "../usr/share/zoneinfo/America/Sao_Paulo"}, {}, {}, None),
    "wrong name file": ({**RIGHT, "timezone": "Etc/UTC"}, {}, {}, "zone"),
    "no name file": ({k: v for k, v in RIGHT.items() if k != "timezone"}, {}, {}, "zone"),
    "wrong link": ({**RIGHT, "localtime": "/usr/share/zoneinfo/Etc/UTC"}, {}, {}, "localtime"),
    "another target than the zone": (RIGHT, {}, {"localtime_target": "Etc/GMT+3"}, "localtime"),
    "slackware has no name file": ({k: v for k, v in RIGHT.items() if k != "timezone"}, SLACKWARE, {}, None),
    "a copy with the right content": ({**RIGHT, "localtime_kind": "copy", "localtime": ""}, SLACKWARE, {}, None),
    "a copy of something else": (
        {**RIGHT, "localtime_kind": "copy", "localtime_same": "no"},
        SLACKWARE,
        {},
        "localtime",
    ),
    "slackware remembers another source": (
        {**RIGHT, "copied_from": "/usr/share/zoneinfo/GB"},
        SLACKWARE,
        {},
        "localtime",
    ),
    "ntp wanted and running": (TIMESYNCD, {}, {"enable_ntp": "yes"}, None),
    "ntp wanted, timesyncd off": ({**TIMESYNCD, "timesyncd_active": "inactive"}, {}, {"enable_ntp": True}, "ntp"),
    "ntp server not written yet": (TIMESYNCD, {}, {"enable_ntp": True, "ntp_server": "ntp.br"}, "ntp"),
    "ntp server written": (
        {**TIMESYNCD, "timesyncd_conf": "[Time] NTP= NTP=ntp.br "},
        {},
        {"enable_ntp": True, "ntp_server": "ntp.br"},
        None,
    ),
    "timesyncd is to be forced": (TIMESYNCD, {}, {"enable_ntp": True, "force_timesyncd": True}, "ntp"),
    "another time daemon is left alone": (
        {**TIMESYNCD, "timesyncd_active": "inactive", "time_daemon_runs": "chronyd"},
        {},
        {"enable_ntp": True, "ntp_server": "ntp.br"},
        None,
    ),
    "another time daemon, and timesyncd is to be forced": (
        {**TIMESYNCD, "timesyncd_active": "inactive", "time_daemon_runs": "chronyd"},
        {},
        {"enable_ntp": True, "force_timesyncd": True},
        "ntp",
    ),
    "another time daemon where there is no timesyncd, and the clock is wrong": (
        {**RIGHT, "ntpdate": "/usr/sbin/ntpdate", "time_daemon_runs": "ntpd"},
        {"epoch": int(NOW.timestamp()) + 90},
        {"enable_ntp": True, "ntp_server": "ntp.br"},
        None,
    ),
    "ntpdate and a wrong clock": (
        {**RIGHT, "ntpdate": "/usr/sbin/ntpdate"},
        {"epoch": int(NOW.timestamp()) + 90},
        {"enable_ntp": True, "ntp_server": "ntp.br"},
        "ntp",
    ),
    "ntpdate and a right clock": (
        {**RIGHT, "ntpdate": "/usr/sbin/ntpdate"},
        {},
        {"enable_ntp": True, "ntp_server": "ntp.br"},
        None,
    ),
    "no client, nothing is installed": (RIGHT, {}, {"enable_ntp": True, "ntp_server": "ntp.br"}, None),
}


@pytest.mark.parametrize("case", STAGES)
def test_the_time_zone_stage_that_is_needed_first(case: str) -> None:
    observed, fact, params, expected = STAGES[case]
    decision = zone(observed, fact, **params)
    assert (decision.name if isinstance(decision, Stage) else None) == expected
    if expected is None:
        assert isinstance(decision, Done)


def test_why_timesyncd_does_not_run_is_told_in_systemd_s_words_and_not_guessed() -> None:
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


def test_a_masked_timesyncd_is_told_before_anything_is_written_for_it() -> None:
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


def test_a_missing_zone_file_changes_nothing() -> None:
    decision = zone({**RIGHT, "target_file": "no"})
    assert isinstance(decision, Failed)
    assert decision.code == "no_zone_file"


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


NOON_BREAK = {"windows": [{"start": "13:00", "end": "14:30"}]}
STORE_ONE_LATER = {"windows": [{"start": "22:00", "end": "06:00"}, {"start": "23:30", "end": "05:00", "stores": [1]}]}
WINDOWS: dict[str, tuple[dt.datetime, dict[str, Any], str | None]] = {
    "at night": (at(23), {}, None),
    "after midnight": (at(2), {}, None),
    "the first minute": (at(22), {}, None),
    "the minute before": (at(21, 59), {}, "outside_window"),
    "the end is outside": (at(6), {}, "outside_window"),
    "the first generation's 06:59": (at(6, 59), {}, "outside_window"),
    "opening hours": (at(15), {}, "outside_window"),
    "a window within a day": (at(14, 29), NOON_BREAK, None),
    "after it": (at(14, 30), NOON_BREAK, "outside_window"),
    "night is not in it": (at(23), NOON_BREAK, "outside_window"),
    "the store has its own window": (at(22, 30), STORE_ONE_LATER, "outside_window"),
    "inside the store's own": (at(23, 45), STORE_ONE_LATER, None),
    "excepted by name": (at(23), {"exceptions": ["acme-loja001-pdv201"]}, "exception"),
    "excepted by address": (at(23), {"exceptions": ["10.0.0.1"]}, "exception"),
    "excepted in another padding": (at(23), {"exceptions": ["ACME-LOJA1-PDV201"]}, "exception"),
    "excepted with a space": (at(23), {"exceptions": ["10.0.0.1 "]}, "exception"),
    "excepted as a mapped address": (at(23), {"exceptions": ["::ffff:10.0.0.1"]}, "exception"),
    "excepted by its network": (at(23), {"exceptions": ["10.0.0.0/24"]}, "exception"),
    "excepted among others in one text": (at(23), {"exceptions": ["10.9.9.9;10.0.0.1"]}, "exception"),
}


@pytest.mark.parametrize("case", WINDOWS)
def test_a_terminal_is_powered_off_inside_its_window_only(case: str) -> None:
    now, params, refusal = WINDOWS[case]
    decision = power_off(now, **params)
    if refusal is None:
        assert isinstance(decision, Stage)
        assert decision.confirm == "gone"
        assert decision.valid_until is not None
        assert decision.valid_until > now
    else:
        assert isinstance(decision, Refused)
        assert decision.code == refusal


def test_the_same_night_in_a_wrong_zone_is_refused() -> None:
    """23:00 UTC is 20:00 in the store: a container that believes UTC must not power anything off (W-07)."""
    assert isinstance(power_off(dt.datetime(2026, 3, 10, 23, tzinfo=dt.UTC).astimezone(ZONE)), Refused)


@pytest.mark.parametrize(
    ("skew", "code"), [(-3 * 3600.0, "clocks_disagree"), (8 * 3600.0, "clocks_disagree"), (None, "no_clock")]
)
def test_both_clocks_must_lie_in_the_window(skew: float | None, code: str) -> None:
    decision = power_off(at(23), skew=skew)
    assert isinstance(decision, Refused)
    assert decision.code == code


@pytest.mark.parametrize("kind", ["concentrator", "proxy"])
def test_a_machine_that_looks_like_a_server_is_refused_whatever_it_is_called(kind: str) -> None:
    decision = power_off(at(23), {**MACHINE, "looks_like": kind})
    assert isinstance(decision, Refused)
    assert decision.code == "protected_machine"


def test_a_machine_that_does_not_say_what_it_is_is_not_powered_off() -> None:
    decision = power_off(at(23), {"shutdown": "/sbin/shutdown"})
    assert isinstance(decision, Failed)
    assert decision.code == "incomplete_look"


def test_a_window_of_a_whole_day_is_not_accepted() -> None:
    with pytest.raises(ValidationError):
        shutdown_endpoint.ShutdownParams.model_validate({"windows": [{"start": "22:00", "end": "22:00"}]})
    with pytest.raises(ValidationError):
        shutdown_endpoint.ShutdownParams.model_validate({"windows": []})


# -- looking


def test_privilege_is_proven_by_the_uid_of_the_elevated_shell() -> None:
    decide = test_endpoint_privilege.ACTION.decide
    assert decide is not None
    params = test_endpoint_privilege.ACTION.params()
    assert isinstance(decide(facts({}), params, host()), Done)
    failed = decide(facts({}, uid=1000, user="pos", privilege="sudo"), params, host())
    assert isinstance(failed, Failed)
    assert failed.code == "not_root"


def test_the_diagnosis_is_structured_and_survives_nonsense() -> None:
    decide = diagnose_env.ACTION.decide
    assert decide is not None
    odd = {"free_root_kb": "lots", "listening_hex": "0016 zz 2742", "agent_state": ""}
    done = decide(facts(odd, epoch=int(NOW.timestamp()) + 5), diagnose_env.ACTION.params(), host())
    assert isinstance(done, Done)
    assert done.report["listening"] == [22, 10050]
    assert done.report["free_root_kb"] is None
    assert done.report["clock_skew_s"] == 5
    assert done.report["posnet"] is False


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


def test_all_eighteen_actions_are_known_by_every_name() -> None:
    names = catalogue().names
    assert {alias: names[alias] for alias in LEGACY} == LEGACY
    assert len(ACTIONS) == 18
    assert {action.name for action in ACTIONS if action.available} == {
        "diagnose_env",
        "test_endpoint_connection",
        "test_endpoint_privilege",
        "update_endpoint_timezone",
        "shutdown_endpoint",
    }


def test_nothing_that_changes_a_machine_may_touch_a_concentrator_or_a_proxy() -> None:
    for action in ACTIONS:
        if action.effect != "read":
            assert not action.roles & {"concentrator", "proxy", "other"}, action.name
