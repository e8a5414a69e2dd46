"""Every part of a first-generation document at its edges: where it goes in schema 2, and which notes it draws."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.legacy import translate
from tests.contract.first_generation import REQUIRED, at

SSH, DATABASE, BI = (
    "ssh",
    {"DB_USER": "reader", "DB_PASS": "word"},
    {"PARAM_BI_SERVER": "bi.example", "PARAM_TOKEN_BI": "t"},
)
AT = {"PARAM_IP_CONCENTRADORES": ["10.0.0.3"]}
ZONES = "PDV_TIMEZONE_SETTINGS"
ZONE_PARAMS = "actions.update_endpoint_timezone.params"
TRAPPER = "PARAM_ZABBIX_SENDER_SERVER"
MYSQL = {"user": "reader", "password": "word", "name": "controle"}
PG = {"user": "reader", "password": "word", "name": "loja"}

# Old keys -> the path that shows them in schema 2, what stands there, and the notes beside those of every document.
TRANSLATED: dict[str, tuple[dict[str, Any], str, Any, dict[str, str]]] = {
    "a timeout that is short": (
        {SSH: {"timeout": 5}}, SSH, {"connect_timeout": 30, "command_timeout": 60}, {"ssh.timeout": "info"},
    ),
    "a timeout between the two": (
        {SSH: {"timeout": "45"}}, SSH, {"connect_timeout": 45, "command_timeout": 60}, {"ssh.timeout": "info"},
    ),
    "a timeout that is long": (
        {SSH: {"timeout": 300}}, SSH, {"connect_timeout": 120, "command_timeout": 300}, {"ssh.timeout": "info"},
    ),
    "a timeout that is very long": (
        {SSH: {"timeout": 9000}}, SSH, {"connect_timeout": 120, "command_timeout": 3600}, {"ssh.timeout": "info"},
    ),
    "a timeout that is no number": (
        {SSH: {"timeout": "soon"}}, SSH, {"connect_timeout": "soon", "command_timeout": "soon"}, {"ssh.timeout": "info"},
    ),
    "a timeout beside keys of schema 2": (
        {SSH: {"timeout": 45, "connect_timeout": 7, "port": 2222}}, SSH,
        {"connect_timeout": 7, "port": 2222, "command_timeout": 60}, {"ssh.timeout": "info"},
    ),
    "a stranger of ssh": ({SSH: {"user": "x", "port": 22}}, SSH, {"port": 22}, {"ssh.user": "warning"}),
    "one thread": ({"max_threads": 1}, SSH, {"parallel": 1}, {}),
    "too many threads": ({"max_threads": 513}, SSH, {"parallel": 512}, {"max_threads": "warning"}),
    "no threads": ({"max_threads": 0}, SSH, {"parallel": 1}, {"max_threads": "warning"}),
    "threads that are no number": ({"max_threads": "many"}, SSH, {"parallel": "many"}, {}),
    "threads beside the key of schema 2": ({"max_threads": 8, SSH: {"parallel": 4}}, SSH, {"parallel": 4}, {}),
    "a share of no provider": (
        {"PARAM_ROLLOUT_": 5, "PARAM_ROLLOUT_1A": 5}, "rollout", None,
        {"PARAM_ROLLOUT_": "warning", "PARAM_ROLLOUT_1A": "warning"},
    ),
    "a share that is no number": (
        {"PARAM_PROVIDER_ROLLOUT": {"zanthus": "half", "arius": None}}, "rollout", None,
        {"PARAM_PROVIDER_ROLLOUT": "info", "PARAM_PROVIDER_ROLLOUT.zanthus": "warning"},
    ),
    "a share that is too large": (
        {"PARAM_ROLLOUT_ZANTHUS": "250"}, "rollout", {"zanthus": {"percent": 100}}, {"PARAM_ROLLOUT_ZANTHUS": "warning"},
    ),
    "a mode in capitals": ({"PARAM_COMPATIBILITY_MODE": " ENFORCE "}, "compatibility", {"mode": "enforce"}, {}),
    "no mode": ({"PARAM_COMPATIBILITY_MODE": "off"}, "compatibility", {"mode": "off"}, {}),
    "a mode that is none": (
        {"PARAM_COMPATIBILITY_MODE": "strict"}, "compatibility", {"mode": "warn"}, {"PARAM_COMPATIBILITY_MODE": "warning"},
    ),
    "a mode of another type": (
        {"PARAM_COMPATIBILITY_MODE": ["off"]}, "compatibility", {"mode": "warn"}, {"PARAM_COMPATIBILITY_MODE": "warning"},
    ),
    "every general key of the zone": (
        {"TIMEZONE": "America/Bahia", "TIMEZONE_LOCALTIME_TARGET": "UTC", "NTP_ENABLE": "sim", "NTP_SERVER": "ntp"},
        ZONE_PARAMS, {"timezone": "America/Bahia", "localtime_target": "UTC", "enable_ntp": False, "ntp_server": "ntp"}, {},
    ),
    "switches of the network's own entry": (
        {"NTP_ENABLE": 0, ZONES: {"REDE": {"enable_ntp": "yes", "force_timesyncd": "on", "localtime_target": "UTC"}}},
        ZONE_PARAMS, {"enable_ntp": True, "force_timesyncd": True, "localtime_target": "UTC"}, {},
    ),
    "strangers of an entry": (
        {ZONES: {"default": {"zone": "x", "ntp_server": "a"}, "REDE": {"servers": "x"}, "OTHER": {"ntp_server": "b"}}},
        ZONE_PARAMS, {"ntp_server": "a"},
        {f"{ZONES}.default.zone": "warning", f"{ZONES}.REDE.servers": "warning", f"{ZONES}.OTHER": "info"},
    ),
    "entries that are no maps": (
        {ZONES: {"default": "UTC", "REDE": {"ntp_server": "a"}}}, ZONE_PARAMS, {"ntp_server": "a"},
        {f"{ZONES}.default": "warning"},
    ),
    "no map of zones": ({ZONES: ["UTC"]}, ZONE_PARAMS, None, {ZONES: "warning"}),
    "other parameters of actions": (
        {"PARAM_CLISITEF_DIR": "/tef", "PDV_PARSING_RULE": "rule"}, "actions.update_payment_client_config.params",
        {"template_dir": "/tef"}, {},
    ),
    "a switch that was none": (
        {"PARAM_CRON_ACTIONS": {"pdv_shutdown": False, "cupons": True}}, "schedule[].enabled", [False] * 7,
        {"PARAM_CRON_ACTIONS.cupons": "warning"},
    ),
    "no map of switches": (
        {"PARAM_CRON_ACTIONS": True}, "schedule[].enabled", [False] * 7,
        {"PARAM_CRON_ACTIONS": "warning", "PARAM_CRON_ACTIONS.pdv_shutdown": "danger"},
    ),
    "the status of checkouts with what it needs": (
        {"PARAM_CRON_ACTIONS": {"pdv_shutdown": False, "status_caixa": "yes"}, **AT, **DATABASE, "DB_PG_DB": "loja"},
        "schedule[].enabled", [False, False, False, False, True, True, False], {},
    ),
    "the status of checkouts without what it needs": (
        {"PARAM_CRON_ACTIONS": {"pdv_shutdown": False, "status_caixa": True}}, "schedule[].enabled", [False] * 7,
        {"schedule[collect_checkout_status]": "info"},
    ),
    "concentrators as one text": (
        {"PARAM_IP_CONCENTRADORES": "10.0.0.3, 10.0.0.4"}, "concentrators",
        [{"address": "10.0.0.3"}, {"address": "10.0.0.4"}], {},
    ),
    "concentrators of both lists": (
        {**AT, "CONCENTRADORES": [{"ip": "10.0.0.3", "loja": "LOJA007"}, {"ip": "10.0.0.5", "loja": 9}, "10.0.0.6"]},
        "concentrators",
        [{"address": "10.0.0.3", "store": 7}, {"address": "10.0.0.5", "store": 9}, {"address": "10.0.0.6"}], {},
    ),
    "a database of each kind": ({**AT, **DATABASE, "DB_PG_DB": "loja"}, "concentrators[].postgresql", [PG], {}),
    "a database of its own user": (
        {**AT, "DB_PG_USER": "reader", "DB_PG_PASS": "word", "DB_PG_DB": "loja", "DB_PG_PORT": 5433},
        "concentrators[].postgresql", [{**PG, "port": 5433}], {},
    ),
    "a database of another name": ({**AT, **DATABASE, "DB_NAME": "x"}, "concentrators[].mysql", [{**MYSQL, "name": "x"}], {}),
    "a user without a password": ({**AT, "DB_USER": "reader"}, "concentrators[].mysql", [None], {"DB_USER": "warning"}),
    "a password without a user": ({**AT, "DB_PASS": "word"}, "concentrators[].mysql", [None], {"DB_USER": "warning"}),
    "PostgreSQL without a name": (
        {**AT, **DATABASE, "DB_PG_PORT": 5432}, "concentrators",
        [{"address": "10.0.0.3", "mysql": MYSQL}], {"DB_PG_DB": "warning"},
    ),
    "PostgreSQL without a password": (
        {**AT, "DB_PG_DB": "loja", "DB_PG_USER": "reader"}, "concentrators[].postgresql", [None], {"DB_PG_DB": "warning"},
    ),
    "a proxy of the terminals' own": ({"PARAM_PROXY_IP": "127.0.0.1"}, "agent", None, {"PARAM_PROXY_IP": "warning"}),
    "a proxy called localhost": ({"PARAM_PROXY_IP": "localhost"}, "agent", None, {"PARAM_PROXY_IP": "warning"}),
    "a proxy at ::1": ({"PARAM_PROXY_IP": "::1"}, "agent", None, {"PARAM_PROXY_IP": "warning"}),
    "every key of the agent": (
        {"PARAM_PROXY_IP": "10.0.0.5", "PARAM_ZABBIX_PORT": 10050, "PARAM_REPO_URL": "repo.example/",
         "PARAM_LOCAL_ASSET_DIR": "/a", "PARAM_LOCAL_REPO_DIR": "/b", "PARAM_ZABBIX_PROXYID": 7, "PARAM_TEMPLATES": [1, "T"]},
        "agent",
        {"server": "10.0.0.5", "port": 10050, "assets_url": "https://repo.example", "assets_dir": "/a", "mirror_dir": "/b",
         "zabbix_proxy": "7", "templates": ["1", "T"]},
        {},
    ),
    "a back end": (
        {**BI, "PARAM_EMPRESA_ID": 5, "PARAM_BI_CERTI_PATH": "/etc/own.pem"}, "delivery.business_api",
        {"url": "https://bi.example", "token": "t", "ca_path": "/etc/own.pem", "company_id": 5}, {},
    ),
    "a back end with the shipped authority": (
        {**BI, "PARAM_BI_CERTI_PATH": "/old/certi_api.pem"}, "delivery.business_api",
        {"url": "https://bi.example", "token": "t"}, {},
    ),
    "a back end without its token": ({"PARAM_BI_SERVER": "bi.example"}, "delivery", None, {"PARAM_BI_SERVER": "warning"}),
    "a back end without its server": ({"PARAM_TOKEN_BI": "t"}, "delivery", None, {"PARAM_BI_SERVER": "warning"}),
    "a trapper": (
        {TRAPPER: "10.0.0.5", "PARAM_ZABBIX_SENDER_PORT": 10051}, "delivery.zabbix_trapper",
        {"address": "10.0.0.5", "port": 10051}, {},
    ),
    "a trapper in the container": (
        {TRAPPER: "127.0.0.1"}, "delivery.zabbix_trapper", {"address": "127.0.0.1"}, {TRAPPER: "warning"},
    ),
    "a trapper called localhost": (
        {TRAPPER: "localhost"}, "delivery.zabbix_trapper", {"address": "localhost"}, {TRAPPER: "warning"},
    ),
    "a port of no trapper": ({"PARAM_ZABBIX_SENDER_PORT": 10051}, "delivery", None, {"PARAM_ZABBIX_SENDER_PORT": "info"}),
    "no map where one belongs": ({"shutdown_window": "22-6"}, "actions.shutdown_endpoint.params.windows[].start", ["22:00"],
                                 {"shutdown_window": "warning"}),
    "strangers of maps": (
        {"shutdown_window": {"days": 1}, "logfiles": {"special": "x"}, "log_rotation": {"age": 1}},
        "actions.shutdown_endpoint.params.windows[].start", ["22:00"],
        {"shutdown_window.days": "warning", "logfiles.special": "warning", "log_rotation.age": "warning"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TRANSLATED)
def test_old_keys_are_translated_with_their_notes(case: str) -> None:
    keys, path, value, notes = TRANSLATED[case]
    switched_off = {"PARAM_CRON_ACTIONS": {"pdv_shutdown": False}}
    new, drawn = translate({**REQUIRED, **switched_off, **keys})
    _, usual = translate({**REQUIRED, **switched_off})
    assert standing(new, path) == value
    assert {note.path: note.level for note in drawn if note not in usual} == notes


def standing(node: Any, path: str) -> Any:
    """What stands at a dotted path; None where a part of the way is missing."""
    try:
        return at(node, path)
    except AttributeError:
        return None
