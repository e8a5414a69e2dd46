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


OVERRIDES = {"PARAM_PROVIDER_ACTION_OVERRIDES": {"arius": {"cupons": "diagnose_env"}}}
ADDRESSES = {"PARAM_IP_CONCENTRADORES": ["10.0.0.3"]}

# What cannot be used of schema 2 beside old keys -> the path at which it is put through as it is.
WRONG: dict[str, tuple[dict[str, Any], str, Any]] = {
    "actions": ({**SHUTDOWN_OLD, "actions": 5}, "actions", 5),
    "an action": ({**SHUTDOWN_OLD, "actions": {"shutdown_endpoint": "off"}}, "actions.shutdown_endpoint", "off"),
    "exceptions": (
        {**SHUTDOWN_OLD, "actions": {"shutdown_endpoint": {"params": {"exceptions": "10.0.0.8"}}}},
        "actions.shutdown_endpoint.params.exceptions",
        "10.0.0.8",
    ),
    "a map where a list is expected": (
        {**SHUTDOWN_OLD, "actions": {"shutdown_endpoint": {"params": {"exceptions": {"a": 1}}}}},
        "actions.shutdown_endpoint.params.exceptions",
        {"a": 1},
    ),
    "shares": ({"PARAM_ROLLOUT_ARIUS": 20, "rollout": [1]}, "rollout", [1]),
    "a share": ({"PARAM_ROLLOUT_ARIUS": 20, "rollout": {"arius": 30}}, "rollout.arius", 30),
    "overrides": ({**OVERRIDES, "overrides": "none"}, "overrides", "none"),
    "overrides of a provider": ({**OVERRIDES, "overrides": {"arius": 5}}, "overrides.arius", 5),
    "a mode": ({"PARAM_COMPATIBILITY_MODE": "enforce", "compatibility": "off"}, "compatibility", "off"),
    "an inventory": ({**EXCLUDED, "inventory": 5}, "inventory", 5),
    "concentrators": ({**ADDRESSES, "concentrators": 5}, "concentrators", 5),
    "a concentrator": (
        {**ADDRESSES, "concentrators": [5, {"address": "?"}]},
        "concentrators",
        [5, {"address": "?"}, {"address": "10.0.0.3"}],
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_used_of_schema_2_is_put_through_as_it_is_written(case: str) -> None:
    keys, path, value = WRONG[case]
    assert at(translate({**REQUIRED, **keys})[0], path) == value


TAKEN, JOINED, REPLACED = (
    f"a key of schema 2: {text}"
    for text in (
        "taken as it is",
        "joined with what the translation makes of this part",
        "it replaces what the translation makes of this part",
    )
)
ELSE = "replaces what the translation makes of it"
LOST = "is that meant? Keep one of the two"


# What is written of both generations -> every note on the parts of schema 2.
NOTES: dict[str, tuple[dict[str, Any], set[tuple[str, str, str]]]] = {
    "a part that only schema 2 has": ({"freeze": []}, {("info", "freeze", TAKEN)}),
    "parts of which the old keys say nothing": (
        {"overrides": {}, "rollout": {}, "compatibility": {}, "concentrators": []},
        {("info", part, TAKEN) for part in ("overrides", "rollout", "compatibility", "concentrators")},
    ),
    "parts that say the same": (
        {**OVERRIDES, "overrides": OVERRIDES["PARAM_PROVIDER_ACTION_OVERRIDES"], "network": "REDE"},
        {("info", "overrides", JOINED), ("info", "network", REPLACED)},
    ),
    "a part that is replaced": (
        {"PARAM_PROXY_IP": "10.0.0.5", "agent": {"server": "10.0.0.6"}},
        {("info", "agent", REPLACED)},
    ),
    "a value that protects nothing": (
        {
            "TIMEZONE": "America/Bahia",
            "actions": {"update_endpoint_timezone": {"params": {"timezone": "America/Belem"}}},
        },
        {("info", "actions", JOINED), ("info", "actions.update_endpoint_timezone.params.timezone", ELSE)},
    ),
    "another share": (
        {"PARAM_ROLLOUT_ARIUS": 20, "rollout": {"arius": {"percent": 30}}},
        {
            ("info", "rollout", JOINED),
            (
                "danger",
                "rollout.arius.percent",
                f"replaces what PARAM_PROVIDER_ROLLOUT or PARAM_ROLLOUT_<PROVIDER> says: 20; {LOST}",
            ),
        },
    ),
    "another mode": (
        {"PARAM_COMPATIBILITY_MODE": "enforce", "compatibility": {"mode": "warn"}},
        {
            ("info", "compatibility", JOINED),
            ("danger", "compatibility.mode", f"replaces what PARAM_COMPATIBILITY_MODE says: enforce; {LOST}"),
        },
    ),
    "another override": (
        {**OVERRIDES, "overrides": {"arius": {"cupons": "cupons"}}},
        {
            ("info", "overrides", JOINED),
            (
                "danger",
                "overrides.arius.cupons",
                f"replaces what PARAM_PROVIDER_ACTION_OVERRIDES says: diagnose_env; {LOST}",
            ),
        },
    ),
    "another network": (
        {"PARAM_REDE": "R" * 100, "network": "OTHER"},
        {("info", "network", REPLACED), ("danger", "network", f"replaces what PARAM_REDE says: {'R' * 80}; {LOST}")},
    ),
    "another inventory": ({"inventory": ZABBIX}, {("info", "inventory", JOINED)}),
    "an inventory that cannot leave out": (
        {"EXCLUDE_TEMPLATE_IDS": [10700, 10701], "inventory": {"kind": "static"}},
        {
            ("info", "inventory", JOINED),
            (
                "danger",
                "inventory",
                "what EXCLUDE_TEMPLATE_IDS left out (10700, 10701) is not left out: only an inventory of kind zabbix can",
            ),
        },
    ),
}


@pytest.mark.parametrize("case", NOTES)
def test_what_becomes_of_each_part_is_noted(case: str) -> None:
    keys, expected = NOTES[case]
    _, notes = translate({**REQUIRED, **keys})
    found = {(note.level, note.path, note.text) for note in notes if note.path.partition(".")[0] in keys}
    assert found == expected


def test_an_inventory_that_leaves_nothing_out_is_taken_as_it_is_written() -> None:
    assert translate({**REQUIRED, "inventory": ZABBIX})[0]["inventory"] == ZABBIX


@pytest.mark.parametrize("written", [" 10.0.0.3 ", "::ffff:10.0.0.3", "10.0.0.3"])
def test_one_address_in_two_forms_is_one_concentrator(written: str) -> None:
    found = translate({**REQUIRED, **ADDRESSES, "concentrators": [{"address": written, "store": 4}]})[0][
        "concentrators"
    ]
    assert found == [{"address": written, "store": 4}]


def test_concentrators_without_an_address_that_can_be_read_are_told_apart_by_what_is_written() -> None:
    keys = {"PARAM_IP_CONCENTRADORES": ["till", "back"], "concentrators": [{"address": "back", "store": 4}]}
    found = translate({**REQUIRED, **keys})[0]["concentrators"]
    assert found == [{"address": "back", "store": 4}, {"address": "till"}]


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
