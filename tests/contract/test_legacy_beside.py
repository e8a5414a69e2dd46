"""Keys of both generations in one document: no protection of either is lost, and what is replaced is named."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.document import DocumentError, read_document
from contracts.legacy import translate
from tests.contract.first_generation import REQUIRED, at, config, document, levels

SHUTDOWN_OLD = {"shutdown_exception_ips": ["10.0.0.9"], "shutdown_window": {"start": 23, "end": 4}}
WINDOW, OTHER_WINDOW = {"start": "23:00", "end": "05:00"}, {"start": "20:00", "end": "08:00"}
ADDRESS, STORE = {"address": "10.0.0.3"}, {"address": "10.0.0.4", "store": 4}
EXCLUDED = {"EXCLUDE_TEMPLATE_IDS": ["10700"]}
ZABBIX = {"kind": "zabbix", "url": "https://zabbix.example", "token": "example-token"}

# What is written of both generations -> the path that shows it, what stands there, and the paths of danger.
BESIDE: dict[str, tuple[dict[str, Any], str, Any, set[str]]] = {
    "another action": (
        {**SHUTDOWN_OLD, "actions": {"update_endpoint_timezone": {"params": {"enable_ntp": True}}}},
        "actions.shutdown_endpoint.params",
        {"windows": [WINDOW], "exceptions": ["10.0.0.9"]},
        set(),
    ),
    "the same action, switched off": (
        {**SHUTDOWN_OLD, "actions": {"shutdown_endpoint": {"enabled": False}}},
        "actions.shutdown_endpoint.params",
        {"windows": [WINDOW], "exceptions": ["10.0.0.9"]},
        set(),
    ),
    "more exceptions": (
        {**SHUTDOWN_OLD, "actions": {"shutdown_endpoint": {"params": {"exceptions": ["10.0.0.8", "10.0.0.9"]}}}},
        "actions.shutdown_endpoint.params.exceptions",
        ["10.0.0.9", "10.0.0.8"],
        set(),
    ),
    "exceptions that are null": (
        {**SHUTDOWN_OLD, "actions": {"shutdown_endpoint": {"params": {"exceptions": None}}}},
        "actions.shutdown_endpoint.params.exceptions",
        ["10.0.0.9"],
        set(),
    ),
    "another window": (
        {**SHUTDOWN_OLD, "actions": {"shutdown_endpoint": {"params": {"windows": [OTHER_WINDOW]}}}},
        "actions.shutdown_endpoint.params",
        {"windows": [OTHER_WINDOW], "exceptions": ["10.0.0.9"]},
        {"actions.shutdown_endpoint.params.windows"},
    ),
    "the same window": (
        {**SHUTDOWN_OLD, "actions": {"shutdown_endpoint": {"params": {"windows": [WINDOW]}}}},
        "actions.shutdown_endpoint.params.windows",
        [WINDOW],
        set(),
    ),
    "a window where none was written": (
        {"actions": {"shutdown_endpoint": {"params": {"windows": [OTHER_WINDOW]}}}},
        "actions.shutdown_endpoint.params.windows",
        [OTHER_WINDOW],
        set(),
    ),
    "another time zone": (
        {
            "TIMEZONE": "America/Bahia",
            "actions": {"update_endpoint_timezone": {"params": {"timezone": "America/Belem"}}},
        },
        "actions.update_endpoint_timezone.params.timezone",
        "America/Belem",
        set(),
    ),
    "another concentrator": (
        {"PARAM_IP_CONCENTRADORES": ["10.0.0.3"], "concentrators": [STORE]},
        "concentrators[].address",
        ["10.0.0.4", "10.0.0.3"],
        set(),
    ),
    "no concentrator": (
        {"PARAM_IP_CONCENTRADORES": ["10.0.0.3"], "concentrators": []},
        "concentrators[].address",
        ["10.0.0.3"],
        set(),
    ),
    "the same concentrator in another form": (
        {
            "CONCENTRADORES": [{"ip": "10.0.0.4", "loja": 3}],
            "concentrators": [{**STORE, "address": "::ffff:10.0.0.4"}, ADDRESS],
        },
        "concentrators[].store",
        [4, None],
        set(),
    ),
    "another provider's share": (
        {"PARAM_PROVIDER_ROLLOUT": 20, "rollout": {"zanthus": {"percent": 5}}},
        "rollout.arius.percent",
        20,
        set(),
    ),
    "hosts that are never in": (
        {"PARAM_ROLLOUT_ARIUS": 20, "rollout": {"arius": {"never": ["REDE-LOJA001-PDV1"]}}},
        "rollout.arius.percent",
        20,
        set(),
    ),
    "another share": (
        {"PARAM_ROLLOUT_ARIUS": 20, "rollout": {"arius": {"percent": 100}}},
        "rollout.arius.percent",
        100,
        {"rollout.arius.percent"},
    ),
    "another override": (
        {
            "PARAM_PROVIDER_ACTION_OVERRIDES": {"arius": {"pdv_shutdown": "diagnose_env", "cupons": "diagnose_env"}},
            "overrides": {"arius": {"cupons": "test_endpoint_connection"}},
        },
        "overrides.arius.pdv_shutdown",
        "diagnose_env",
        {"overrides.arius.cupons"},
    ),
    "another mode": (
        {"PARAM_COMPATIBILITY_MODE": "enforce", "compatibility": {"mode": "off"}},
        "compatibility.mode",
        "off",
        {"compatibility.mode"},
    ),
    "rows for the matrix": (
        {"PARAM_COMPATIBILITY_MODE": "enforce", "compatibility": {"rows": []}},
        "compatibility.mode",
        "enforce",
        set(),
    ),
    "another inventory": (
        {**EXCLUDED, "inventory": {**ZABBIX, "exclude_templates": ["10701"]}},
        "inventory.exclude_templates",
        ["10700", "10701"],
        set(),
    ),
    "an inventory that cannot leave out": (
        {**EXCLUDED, "inventory": {"kind": "static"}},
        "inventory.kind",
        "static",
        {"inventory"},
    ),
    "another network": ({"network": "OTHER"}, "network", "OTHER", {"network"}),
}


@pytest.mark.parametrize("case", BESIDE)
def test_no_protection_of_either_generation_is_lost_where_both_are_written(case: str) -> None:
    keys, path, value, dangers = BESIDE[case]
    off = {"PARAM_CRON_ACTIONS": {"pdv_shutdown": False}}
    assert at(translate({**REQUIRED, **off, **keys})[0], path) == value
    assert {path for path, level in levels(**off, **keys).items() if level == "danger"} == dangers


def test_a_protection_that_is_replaced_is_named_with_its_key() -> None:
    keys, *_ = BESIDE["another window"]
    (text,) = (
        note.text for note in read_document(document(**keys), strict=True).notes if note.path.endswith("windows")
    )
    assert "shutdown_window says: 23:00-05:00" in text


def test_a_concentrator_of_both_lists_keeps_its_databases() -> None:
    keys = {"PARAM_IP_CONCENTRADORES": ["10.0.0.4"], "DB_USER": "reader", "DB_PASS": "example-password"}
    (concentrator,) = config(**keys, concentrators=[STORE]).concentrators
    assert concentrator.store == 4
    assert concentrator.mysql is not None


def test_must_understand_applies_to_a_mixed_document_too() -> None:
    with pytest.raises(DocumentError) as refused:
        read_document(document(must_understand=["maintenance"]), strict=False)
    assert refused.value.reason == "must_understand"
