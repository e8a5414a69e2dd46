"""What a new document changes for terminals, in words: the most dangerous first, secrets never."""

import json
from typing import Any

import pytest

from contracts.catalogue import Catalogue
from contracts.changes import Change, changes
from contracts.config import NetworkConfig
from contracts.document import read_document
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


SHARE = BASE["rollout"]["arius"]
WEEKLY = {"id": "w", "from_time": "17:00", "to_time": "20:30"}


def with_exceptions(**params: Any) -> dict[str, Any]:
    return other(actions={OFF: {"params": {"exceptions": ["PDV1"], **params}}})


def with_actions(**actions: Any) -> dict[str, Any]:
    return other(actions={**BASE["actions"], **actions})


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
        ("warning", f"overrides.arius.{ZONE}", f"hosts of arius get diagnose_env instead of {ZONE}"),
    ),
    "another override": (
        other(overrides={"arius": {ZONE: "diagnose_env"}}), other(overrides={"arius": {ZONE: "test_endpoint_connection"}}),
        ("warning", f"overrides.arius.{ZONE}", "hosts of arius get test_endpoint_connection instead of diagnose_env"),
    ),
    "no override any more": (
        other(overrides={"arius": {ZONE: "diagnose_env"}}), BASE,
        ("warning", f"overrides.arius.{ZONE}", f"hosts of arius get {ZONE} instead of diagnose_env"),
    ),
    "another provider": (
        BASE, other(provider="zanthus"), ("danger", "provider", "hosts without a tag belong to another software house"),
    ),
    "a mode that may be loosened": (
        BASE, other(compatibility={"mode": "enforce", "allow_loosening": True}),
        ("danger", "compatibility.allow_loosening", "false -> true: a run by hand may choose a weaker mode"),
    ),
    "a host less": (
        BASE, other(inventory={"kind": "static", "hosts": TILLS[1:]}),
        ("danger", "inventory.hosts.SOL-LOJA001-PDV1", "there -> none: other hosts may be selected"),
    ),
    "a key that is not told in words of its own": (
        BASE, other(client="Mercado Sol"), ("info", "client", "changed: client:  -> Mercado Sol"),
    ),
    "an action that powers off is switched on": (
        other(actions={OFF: {"enabled": False}}), other(actions={}), ("danger", f"actions.{OFF}", f"{OFF} is switched on"),
    ),
    "an action that changes is switched on": (
        with_actions(**{ZONE: {"enabled": False}}), BASE, ("warning", f"actions.{ZONE}", f"{ZONE} is switched on"),
    ),
    "an action that looks is switched on": (
        with_actions(diagnose_env={"enabled": False}), BASE, ("info", "actions.diagnose_env", "is switched on"),
    ),
    "an action that contradicts itself": (
        other(actions={}), other(actions={OFF: {"enabled": True}, "pdv_shutdown": {"enabled": False}}),
        ("info", f"actions.{OFF}", "is switched off"),
    ),
    "a job whose action is switched off": (
        other(schedule=[NIGHT], actions={}), other(schedule=[NIGHT], actions={OFF: {"enabled": False}}),
        ("info", "schedule.night", "removed: powers off"),
    ),
    "what no till sees of a job": (
        other(schedule=[NIGHT]), other(schedule=[{**NIGHT, "grace": 90, "overlap": "wait"}]),
        ("info", "schedule.night", "changed: overlap, grace of job night"),
    ),
    "a job with an exception of its own": (
        other(schedule=[NIGHT]), other(schedule=[{**NIGHT, "params": {"exceptions": ["PDV9"]}}]),
        ("danger", "schedule.night", "exceptions: 2 (job night); before: powers off up to 12 tills"),
    ),
    "a part without words of its own beside one with": (
        BASE, other(freeze=[*BASE["freeze"], WEEKLY], refresh_interval=600),
        ("info", "refresh_interval", "changed: refresh_interval: 300 -> 600"),
    ),
    "another value": (
        BASE, with_actions(**{ZONE: {"params": {"ntp_server": "ntp.example"}}}),
        ("warning", f"actions.{ZONE}.params.ntp_server", f"ntp_server of {ZONE}: none -> ntp.example"),
    ),
    "a value less": (
        with_actions(**{ZONE: {"params": {"ntp_server": "ntp.example"}}}), BASE,
        ("warning", f"actions.{ZONE}.params.ntp_server", f"ntp_server of {ZONE}: ntp.example -> none"),
    ),
    "a value of a parameter that nobody declared": (
        BASE, with_actions(diagnose_env={"params": {"word": "hunter2"}}),
        ("warning", "actions.diagnose_env.params.word", "changed: word of diagnose_env: a new value"),
    ),
    "windows of stores, days and zones": (
        BASE,
        with_exceptions(windows=[
            {"start": "21:00", "end": "07:30", "stores": [7, 8], "weekdays": ["sat", "sun"], "timezone": "America/Manaus"},
            {"start": "22:00", "end": "06:00"},
        ]),
        ("danger", f"actions.{OFF}.params.windows", "-> 21:00-07:30 sat,sun in store 7, 8 America/Manaus, 22:00-06:00"),
    ),
    "less of the rollout": (
        BASE, other(rollout={"arius": {**SHARE, "percent": "2.5"}}),
        ("info", "rollout.arius", "rollout of arius: 5 % -> 2.5 %, fewer hosts"),
    ),
    "more that are never touched": (
        BASE, other(rollout={"arius": {**SHARE, "never": ["PDV2", "PDV1", "PDV7"]}}),
        ("info", "rollout.arius.never", "new: PDV7 is protected from every action"),
    ),
    "one pilot more": (
        BASE, other(rollout={"arius": {**SHARE, "pilot": ["PDV3", "PDV4"]}}),
        ("warning", "rollout.arius.pilot", "new: pilot hosts of arius: PDV4"),
    ),
    "one pilot less": (
        BASE, other(rollout={"arius": {**SHARE, "pilot": []}}),
        ("info", "rollout.arius.pilot", "removed: pilot hosts of arius: PDV3"),
    ),
    "pilots of a provider that was not let in": (
        BASE, other(rollout={"arius": SHARE, "zanthus": {"pilot": ["PDV9"]}}),
        ("warning", "rollout.zanthus.pilot", "new: pilot hosts of zanthus: PDV9"),
    ),
    "pilots instead of a share": (
        BASE, other(rollout={"arius": {"never": SHARE["never"], "pilot": SHARE["pilot"]}}),
        ("info", "rollout.arius", "rollout of arius: 5 % -> 0 %, fewer hosts"),
    ),
    "neither pilots nor a share": (
        other(rollout={"arius": {"percent": 5}}), other(rollout={"arius": {}}),
        ("danger", "rollout.arius", "rollout of arius: 5 % -> 100 %, more hosts"),
    ),
    "a provider that nobody knows": (
        BASE, other(rollout={"arius": SHARE, "fresh": {"percent": 10}}),
        ("danger", "rollout.fresh", "rollout of fresh: 0 % -> 10 %, more hosts"),
    ),
    "a provider less that nobody knows": (
        other(rollout={"arius": SHARE, "fresh": {"percent": 10}}), BASE,
        ("info", "rollout.fresh", "rollout of fresh: 10 % -> 0 %, fewer hosts"),
    ),
    "a freeze every week": (
        BASE, other(freeze=[*BASE["freeze"], {**WEEKLY, "weekdays": ["fri", "sat"], "stores": [3, 4],
                                              "timezone": "America/Manaus", "effects": ["disrupt"]}]),
        ("info", "freeze.w", "new: freeze w (fri,sat 17:00-20:30, store 3, 4, America/Manaus, holds disrupt)"),
    ),
    "a freeze every day": (
        BASE, other(freeze=[*BASE["freeze"], WEEKLY]),
        ("info", "freeze.w", "new: freeze w (17:00-20:30, holds change and disrupt)"),
    ),
    "a shorter freeze": (
        BASE, other(freeze=[{**BASE["freeze"][0], "end": "2026-11-25T06:30"}]),
        ("danger", "freeze.black", "00:00, holds change and disrupt -> 2026-11-20 00:00 to 2026-11-25 06:30, holds"),
    ),
    "narrower networks": (
        BASE, other(ssh={"allowed_networks": ["10.1.0.0/16"]}),
        ("info", "ssh.allowed_networks", "removed from ssh.allowed_networks: 10.0.0.0/8"),
    ),
    "the same network in two parts": (
        BASE, other(ssh={"allowed_networks": ["10.0.0.0/9", "10.128.0.0/9"]}),
        ("info", "ssh.allowed_networks", "removed from ssh.allowed_networks: 10.0.0.0/8"),
    ),
    "a concentrator more": (
        BASE, other(concentrators=[*BASE["concentrators"], {"address": "10.0.0.251"}]),
        ("info", "concentrators", "new: 10.0.0.251 is protected as a concentrator"),
    ),
    "a name that protects more": (
        other(concentrators=[{"address": "10.0.0.250"}]), other(concentrators=[{"address": "10.0.0.250", "name": "ACME-SRV"}]),
        ("info", "concentrators.name", "name of concentrator 10.0.0.250: none -> ACME-SRV"),
    ),
    "another name that protects": (
        other(concentrators=[{"address": "10.0.0.250", "name": "A"}]),
        other(concentrators=[{"address": "10.0.0.250", "name": "B"}]),
        ("danger", "concentrators.name", "name of concentrator 10.0.0.250: A -> B"),
    ),
    "the store of a concentrator whose name protects": (
        other(concentrators=[{"address": "10.0.0.250", "name": "A"}]),
        other(concentrators=[{"address": "10.0.0.250", "name": "A", "store": 7}]),
        ("info", "concentrators.store", "store of concentrator 10.0.0.250: none -> 7"),
    ),
    "from no mode to warnings": (
        other(compatibility={"mode": "off"}), other(compatibility={"mode": "warn"}),
        ("info", "compatibility.mode", "off -> warn, more systems are kept out"),
    ),
    "from warnings to no mode": (
        other(compatibility={"mode": "warn"}), other(compatibility={"mode": "off"}),
        ("danger", "compatibility.mode", "warn -> off, fewer systems are kept out"),
    ),
    "the strictest mode": (
        other(compatibility={"mode": "off"}), BASE, ("info", "compatibility.mode", "off -> enforce, more systems"),
    ),
}  # fmt: skip

# What else is told where one key says two things.
ALSO = {
    "a rollout that was left out": {"rollout.arius.never", "rollout.arius.pilot"},
    "another zone": {f"actions.{ZONE}.params.timezone"},
    "a job whose action is switched off": {f"actions.{OFF}"},
    "a part without words of its own beside one with": {"freeze.w"},
}


@pytest.mark.parametrize("case", CASES)
def test_a_change_is_described_in_words_and_once(case: str) -> None:
    before, after, (level, path, text) = CASES[case]
    found = told(before, after)
    assert [(change.level, change.path) for change in found if text in change.text] == [(level, path)], found
    assert sorted(change.path for change in found) == sorted([path, *ALSO.get(case, ())]), found


@pytest.mark.parametrize(
    "job",
    [
        {"action": "shutdown_endpont"},
        {"action": "collect_coupons"},
        {"enabled": False},
        {"action": "diagnose_env", "enabled": False},
    ],
)
def test_a_job_that_starts_nothing_is_not_reported(job: dict[str, Any]) -> None:
    assert told(BASE, other(schedule=[{**NIGHT, **job}])) == ()


SECRETIVE = Catalogue.model_validate({
    "actions": {
        "set_word": {
            "version": "1.0.0",
            "available": True,
            "effect": "change",
            "summary": "Set a word.",
            "parameters": {
                "type": "object",
                "properties": {
                    "word": {"type": "string", "format": "password"},
                    "hint": {"anyOf": [{"type": "string", "format": "password"}, {"type": "null"}]},
                },
            },
        }
    },
    "providers": {},
})  # fmt: skip


@pytest.mark.parametrize("name", ["word", "hint"])
def test_a_secret_parameter_is_reported_without_its_values(name: str) -> None:
    before, after = (
        NetworkConfig.model_validate(other(rollout={}, actions={"set_word": {"params": {name: word}}}))
        for word in ("hunter2", "hunter3")
    )
    assert list(changes(before, before, SECRETIVE)) == []
    [change] = changes(before, after, SECRETIVE)
    assert (change.level, str(change)) == ("warning", f"changed: {name} of set_word: a new value")


def test_what_differs_is_listed_in_the_order_of_its_names() -> None:
    names = ["c", "a", "b", "d"]
    jobs = [{**NIGHT, "id": name} for name in names]
    freezes = [{**WEEKLY, "id": name} for name in names]
    addresses = [f"10.0.0.{number}" for number in (252, 251, 254, 253)]
    one, other_one = ([{"address": address, **more} for address in addresses] for more in ({}, {"store": 7}))
    shares = {name: {"percent": 1} for name in names}
    replaced = {name: {ZONE: "diagnose_env", "cupons": "diagnose_env", "zone": "diagnose_env"} for name in names}
    values = {ZONE: {"params": {"ntp_server": "ntp.example", "enable_ntp": True, "localtime_target": "UTC"}}}
    full = {"schedule": jobs, "freeze": freezes, "concentrators": one, "rollout": shares, "overrides": replaced}
    bare: dict[str, Any] = {"freeze": [], "concentrators": [], "rollout": {}}
    for before, after in (
        (full, bare),
        (bare, {**bare, "concentrators": one, "rollout": shares, "overrides": replaced, "actions": values}),
        ({**bare, "concentrators": one}, {**bare, "concentrators": other_one}),
    ):
        told_parts = [(change.path, change.text) for change in told(other(**before), other(**after))]
        for part in ("schedule.", "freeze.", "concentrators", "overrides.", "rollout.", f"actions.{ZONE}"):
            of_part = [told_part for told_part in told_parts if told_part[0].startswith(part)]
            levels = [told_part for told_part in of_part if "arius" not in told_part[0]]
            assert levels == sorted(levels)
            assert len(levels) in (0, 3, 4, 12)


# A document that an older release stored, with a parameter that cannot be used -> what is told of the correction.
UNUSABLE: dict[str, tuple[dict[str, Any], str]] = {
    "a word as windows": ({"windows": "always"}, "window of shutdown_endpoint: always -> 22:00-06:00"),
    "words in windows": ({"windows": ["a", "b"]}, "window of shutdown_endpoint: a, b -> 22:00-06:00"),
    "no list of days": (
        {"windows": [{"start": "1", "end": "2", "weekdays": "mon", "stores": 7}]},
        "window of shutdown_endpoint: 1-2 mon in store 7 -> 22:00-06:00",
    ),
    "a number as exceptions": ({"exceptions": 7}, "removed: 7 is no longer protected from shutdown_endpoint"),
    "a word as exceptions": ({"exceptions": "PDV1"}, "removed: PDV1 is no longer protected from shutdown_endpoint"),
    "maps in exceptions": ({"exceptions": [{"ip": "x"}]}, "is no longer protected from shutdown_endpoint"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_stored_document_with_unusable_parameters_can_be_corrected(case: str) -> None:
    params, text = UNUSABLE[case]
    before, after = ({"actions": actions, "schedule": [NIGHT]} for actions in ({OFF: {"params": params}}, {}))
    found = told(other(**before), other(**after))
    assert [change.level for change in found if text in change.text] == ["danger"], found
    assert {change.path for change in told(other(**after), other(**before))} >= {change.path for change in found}
    assert "schedule.night" in {change.path for change in found}


def test_an_equal_document_changes_nothing_however_it_is_written() -> None:
    assert told(BASE, json.loads(json.dumps(BASE))) == ()
    moved = other(schedule=[NIGHT, {**NIGHT, "id": "b"}])
    assert told(moved, other(schedule=[{**NIGHT, "id": "b"}, NIGHT])) == ()
    assert told(other(schedule=[NIGHT]), other(schedule=[{**NIGHT, "action": "pdv_shutdown"}]))[0].level == "info"


def test_the_order_of_keys_in_a_value_is_no_change() -> None:
    one, two = ({"exceptions": [dict(pairs)]} for pairs in ([("a", 1), ("b", 2)], [("b", 2), ("a", 1)]))
    assert told(with_exceptions(**one), with_exceptions(**two)) == ()


def test_the_most_dangerous_comes_first() -> None:
    after = other(
        schedule=[{"id": "d", "action": "diagnose_env", "cron": "0 3 * * *"}, NIGHT], freeze=[], timezone="UTC"
    )
    levels = [change.level for change in told(BASE, after)]
    assert levels == sorted(levels, key=("danger", "warning", "info").index)
    assert levels[0] == "danger"


STATIC = {"kind": "static"}


@pytest.mark.parametrize(
    ("document", "texts"),
    [
        (other(), ["rollout of arius: 5 % of its hosts and 1 pilot hosts"]),
        ({"network": "SOL", "inventory": STATIC}, ["rollout of arius: 100 % of its hosts"]),
        (
            {
                "network": "SOL",
                "inventory": STATIC,
                "rollout": {"arius": {"percent": 0}, "zanthus": {"pilot": ["A", "B"]}},
            },
            ["rollout of zanthus: 0 % of its hosts and 2 pilot hosts"],
        ),
        (
            other(rollout={"arius": {"percent": 0}}, actions={OFF: {"enabled": False}}, schedule=[NIGHT]),
            ["changed: shutdown_endpoint is switched off"],
        ),
    ],
)
def test_the_first_document_of_a_network_says_what_it_will_do(document: dict[str, Any], texts: list[str]) -> None:
    first, *rest = told(None, document)
    assert (first.level, first.path, first.text) == ("warning", "", "first: the first document of network SOL")
    assert [(change.level, change.text) for change in rest] == [("info", text) for text in texts]


def test_the_first_document_of_a_network_names_its_jobs() -> None:
    found = told(None, other(schedule=[NIGHT]))
    assert found[0].text.startswith("new: powers off up to 12 tills")


def test_a_document_of_the_first_generation_is_compared_by_what_it_means() -> None:
    legacy = {"PARAM_REDE": "SOL", "PARAM_ZABBIX_SERVER": "zabbix.example", "PARAM_TOKEN": "hunter2"}
    before = read_document(json.dumps({**legacy, "shutdown_exception_ips": ["10.0.0.9"]}).encode(), strict=True).config
    after = read_document(json.dumps(legacy).encode(), strict=True).config
    [change] = changes(before, after, actions.catalogue())
    assert (change.level, "10.0.0.9 is no longer protected" in change.text) == ("danger", True)
