"""From what was asked to a job: names, parameters, modes, overrides, and every refusal with its reason."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from pydantic import Field

from runtime.actions import shutdown_endpoint
from runtime.domain.action import Params
from runtime.domain.errors import UsageFault
from runtime.domain.model import Selector
from runtime.domain.pipeline import Request, RunPlan, configured
from runtime.domain.providers import Provider
from tests.unit.engine import in_memory

ALL = Selector(all=True)


def resolve(action: str, document: dict[str, Any] | None = None, known: Any = None, **request: Any) -> RunPlan:
    request.setdefault("selector", ALL)
    return in_memory.job(Request(action, **request), in_memory.config(**(document or {})), known=known)


@pytest.mark.parametrize("name", ["set_value", "old_set", "SET_VALUE", "term_set", " Term_Set "])
def test_canonical_legacy_and_provider_names_are_one_action(name: str) -> None:
    assert resolve(name).info.action == "set_value"


def test_a_provider_name_with_its_provider_keeps_only_that_providers_hosts() -> None:
    job = resolve("term_set", provider="zanthus", selector=Selector(all=True, provider="zanthus"))
    assert job.info.provider == "zanthus"
    assert set(job.bindings) == {"zanthus"}


def test_a_provider_name_is_not_known_to_another_provider() -> None:
    with pytest.raises(UsageFault) as caught:
        resolve("term_set", provider="arius")
    assert caught.value.reason == "unknown_action"


def test_a_provider_is_known_in_any_case() -> None:
    assert resolve("set_value", provider="ZANTHUS").info.provider == "zanthus"


def test_a_canonical_name_is_never_ambiguous() -> None:
    known = in_memory.knowledge()
    others = {name: Provider(id=name, display_name=name, actions={"old_look": means}) for name, means in
              (("one", "set_value"), ("two", "climb_up"))}  # fmt: skip
    known = dataclasses.replace(known, providers={**known.providers, **others})
    assert resolve("old_look", known=known).info.action == "look_at_value"


def test_given_options_are_in_the_job_and_others_have_defaults() -> None:
    plain = resolve("old_set").info
    assert (plain.action, plain.asked, plain.action_version) == ("set_value", "old_set", "1.0.0")
    assert (plain.origin, plain.actor, plain.purpose, plain.agent_id) == ("manual", "", "", "agent-1")
    assert (plain.dry_run, plain.ignore_missing, plain.provider, plain.compat_mode) == (False, False, None, "warn")
    assert plain.started_at == in_memory.NOON
    assert plain.run_id
    assert plain.run_id not in (resolve("old_set").info.run_id, plain.correlation_id)

    asked: dict[str, Any] = {
        "origin": "command:7",
        "actor": "ana",
        "purpose": "ticket 12",
        "dry_run": True,
        "ignore_missing": True,
        "run_id": "run-1",
        "correlation_id": "order-12345678",
        "provider": "arius",
        "selector": Selector(stores=(1,)),
    }
    full = resolve("set_value", **asked).info
    assert {name: getattr(full, name) for name in asked} == asked


def test_a_correlation_id_that_could_break_a_log_line_is_replaced() -> None:
    received = "one line\nanother"
    assert resolve("set_value", correlation_id=received).info.correlation_id not in (received, "")


MIXED = {"overrides": {"zanthus": {"set_value": "look_at_value"}}}


@pytest.mark.parametrize(
    ("providers", "effect"),
    [
        ([], "read"),
        (["zanthus"], "read"),
        (["arius"], "change"),
        (["zanthus", "arius"], "change"),
        (["unheard of"], "change"),
    ],
)
def test_a_runs_effect_is_the_strongest_on_any_of_its_hosts(providers: list[str], effect: str) -> None:
    job = resolve("set_value", MIXED)
    assert job.effect == "change"
    assert job.effect_on(providers) == effect


@pytest.mark.parametrize(
    ("action", "request_", "message", "advice"),
    [
        ("power_off", {}, "power_off disrupts terminals and needs explicit targets", "--all"),
        ("set_value", {}, "set_value changes terminals and needs explicit targets", "--all"),
        (
            "power_off",
            {"selector": Selector(terminals=(7, 8))},
            "power_off disrupts terminals and needs explicit targets: --pdv 7, --pdv 8 alone is a terminal of every store",
            "--all",
        ),
        (
            "power_off",
            {"origin": "schedule:night"},
            "power_off disrupts terminals and needs explicit targets",
            "the job's `selector`",
        ),
    ],
)
def test_a_run_without_targets_is_refused_with_how_to_name_them(
    action: str, request_: dict[str, Any], message: str, advice: str
) -> None:
    with pytest.raises(UsageFault) as caught:
        resolve(action, **{"selector": Selector(), **request_})
    assert caught.value.message == message
    assert advice in caught.value.advice


@pytest.mark.parametrize("text", ["123", "true", "null", '"quoted"', " [1]"])
def test_a_parameter_that_is_neither_a_list_nor_a_map_stays_text(text: str) -> None:
    assert resolve("set_value", params={"wanted": text}).info.params["wanted"] == text


def test_lists_and_maps_come_from_a_command_line_as_json() -> None:
    class Several(Params):
        """A list and a map."""

        numbers: tuple[int, ...] = ()
        labels: dict[str, int] = Field(default_factory=dict)

    known = in_memory.knowledge(dataclasses.replace(in_memory.SET, params=Several))
    job = resolve("set_value", known=known, params={"numbers": "[1, 2]", "labels": '{"a": 1}'})
    assert job.info.params == {"numbers": [1, 2], "labels": {"a": 1}}


def test_a_wrong_parameter_is_refused_with_the_actions_own_parameters() -> None:
    with pytest.raises(UsageFault) as caught:
        resolve("shutdown_endpoint", known=in_memory.knowledge(shutdown_endpoint.ACTION), params={"window": "x"})
    assert caught.value.advice == "parameters of this action: exceptions, settle, windows"


def test_providers_are_named_and_bound_in_the_order_of_their_names() -> None:
    known = in_memory.knowledge()
    known = dataclasses.replace(known, providers=dict(reversed([*known.providers.items()])))
    assert list(resolve("set_value", known=known).bindings) == ["arius", "zanthus"]
    with pytest.raises(UsageFault) as caught:
        resolve("set_value", known=known, provider="nobody")
    assert caught.value.advice == "known: arius, zanthus"


def test_the_documents_parameters_of_an_action_are_readable_without_a_run() -> None:
    document = in_memory.config(actions={"old_set": {"params": {"wanted": "from network"}}})
    assert configured(in_memory.SET, document, in_memory.knowledge()) == {"wanted": "from network"}
    assert configured(in_memory.LOOK, document, in_memory.knowledge()) == {}


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "unknown action": ({"action": "no_such"}, {}, "unknown_action"),
    "not available": ({"action": "later"}, {}, "not_available"),
    "another network": ({"action": "look_at_value", "network": "OTHER"}, {}, "other_network"),
    "unknown provider": ({"action": "look_at_value", "provider": "nobody"}, {}, "unknown_provider"),
    "unknown parameter": ({"action": "set_value", "params": {"wnted": "x"}}, {}, "bad_parameter"),
    "no target": ({"action": "power_off", "selector": Selector()}, {}, "no_target"),
    "bad mode": ({"action": "set_value", "compat_mode": "maybe"}, {}, "bad_compat_mode"),
    "looser mode": ({"action": "set_value", "compat_mode": "off"}, {}, "compat_mode_loosened"),
    "switched off": ({"action": "set_value"}, {"actions": {"set_value": {"enabled": False}}}, "action_disabled"),
    "override to nowhere": ({"action": "set_value"}, {"overrides": {"arius": {"set_value": "gone"}}}, "bad_override"),
    "switched off by an alias": (
        {"action": "set_value"},
        {"actions": {"old_set": {"enabled": False}}},
        "action_disabled",
    ),
    "switched off by a provider's name": (
        {"action": "set_value"},
        {"actions": {"term_set": {"enabled": False}}},
        "action_disabled",
    ),
    "switched off by one name, parameters by another": (
        {"action": "set_value"},
        {"actions": {"old_set": {"enabled": False}, "set_value": {"params": {"wanted": "x"}}}},
        "action_disabled",
    ),
    "on by one name and off by another": (
        {"action": "set_value"},
        {"actions": {"old_set": {"enabled": False}, "set_value": {"enabled": True}}},
        "contradiction",
    ),
    "one parameter, two values": (
        {"action": "set_value"},
        {"actions": {name: {"params": {"wanted": name}} for name in ("old_set", "set_value")}},
        "contradiction",
    ),
    "two overrides of one action": (
        {"action": "set_value"},
        {"overrides": {"arius": {"set_value": "look_at_value", "old_set": "climb_up"}}},
        "bad_override",
    ),
    "override to nowhere, by an alias": (
        {"action": "set_value"},
        {"overrides": {"arius": {"old_set": "gone"}}},
        "bad_override",
    ),
    "override of a change by a power-off": (
        {"action": "set_value"},
        {"overrides": {"arius": {"set_value": "power_off"}}},
        "bad_override",
    ),
    "override that does more": (
        {"action": "look_at_value"},
        {"overrides": {"arius": {"look_at_value": "power_off"}}},
        "bad_override",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_impossible_request_is_refused_with_a_reason_and_advice(case: str) -> None:
    request, document, reason = REFUSED[case]
    with pytest.raises(UsageFault) as caught:
        resolve(**request, document=document)
    assert caught.value.reason == reason
    assert caught.value.exit_code == 2
    assert caught.value.advice


def test_an_unknown_name_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(UsageFault) as caught:
        resolve("set_valu")
    assert "set_value" in caught.value.advice


def test_parameters_come_from_the_action_then_the_network_then_the_command_line() -> None:
    document = {"actions": {"set_value": {"params": {"wanted": "from network"}}}}
    assert resolve("set_value").info.params == {"wanted": "new"}
    assert resolve("set_value", document).info.params == {"wanted": "from network"}
    assert resolve("set_value", document, params={"wanted": "from argv"}).info.params == {"wanted": "from argv"}


def test_an_override_replaces_the_action_for_that_provider_only() -> None:
    job = resolve("set_value", {"overrides": {"zanthus": {"set_value": "look_at_value"}}})
    assert job.binding("arius").action.name == "set_value"
    assert job.binding("zanthus").action.name == "look_at_value"
    assert job.binding("unheard of").action.name == "set_value"


@pytest.mark.parametrize("asked", ["set_value", "old_set", "term_set"])
@pytest.mark.parametrize("replaced", ["set_value", "old_set", "term_set"])
@pytest.mark.parametrize("replacement", ["look_at_value", "old_look"])
def test_an_override_counts_under_every_name_of_both_actions(asked: str, replaced: str, replacement: str) -> None:
    job = resolve(asked, {"overrides": {"zanthus": {replaced: replacement}}})
    assert job.binding("zanthus").action.name == "look_at_value"
    assert job.binding("arius").action.name == "set_value"


def test_a_networks_override_by_an_alias_has_priority_over_the_providers_own() -> None:
    known = in_memory.knowledge()
    zanthus = Provider(id="zanthus", display_name="Zanthus", overrides={"set_value": "climb_up"})
    known = dataclasses.replace(known, providers={**known.providers, "zanthus": zanthus})
    assert resolve("set_value", known=known).binding("zanthus").action.name == "climb_up"
    job = resolve("set_value", {"overrides": {"zanthus": {"old_set": "look_at_value"}}}, known)
    assert job.binding("zanthus").action.name == "look_at_value"


@pytest.mark.parametrize(
    "part", [{"actions": {"set_valeu": {"enabled": False}}}, {"overrides": {"arius": {"new": "x"}}}]
)
def test_a_key_that_names_no_action_stops_no_run(part: dict[str, Any]) -> None:
    assert resolve("set_value", part).binding("arius").action.name == "set_value"


def test_a_parameter_that_the_replacement_lacks_is_refused_with_the_override_that_causes_it() -> None:
    document = {"overrides": {"zanthus": {"set_value": "look_at_value"}}}
    with pytest.raises(UsageFault) as caught:
        resolve("set_value", document, params={"wanted": "other"})
    assert caught.value.reason == "bad_parameter"
    assert "for provider zanthus, `overrides` replaces set_value by look_at_value: " in caught.value.message
    assert "wanted: unknown key" in caught.value.message
    assert "parameters of this action: none" in caught.value.advice
    assert "--provider" in caught.value.advice
    assert "correct `overrides`" in caught.value.advice

    spared = resolve("set_value", document, params={"wanted": "other"}, provider="arius")
    assert spared.binding("arius").action.name == "set_value"


def test_an_override_to_a_disabled_action_is_refused_with_the_override() -> None:
    document = {
        "overrides": {"zanthus": {"set_value": "look_at_value"}},
        "actions": {"look_at_value": {"enabled": False}},
    }
    with pytest.raises(UsageFault) as caught:
        resolve("set_value", document)
    assert caught.value.reason == "action_disabled"
    assert "for provider zanthus, `overrides` replaces set_value by look_at_value" in caught.value.message


def test_two_actions_cannot_share_a_name() -> None:
    twin = dataclasses.replace(in_memory.LOOK, name="twin")
    with pytest.raises(ValueError, match="old_look"):
        in_memory.knowledge(in_memory.LOOK, twin)


def test_the_command_line_may_tighten_the_mode() -> None:
    assert resolve("set_value", compat_mode="enforce").mode == "enforce"


@pytest.mark.parametrize("network", ["acme", "ACME", "Acme"])
def test_the_network_may_be_named_in_any_case(network: str) -> None:
    assert resolve("set_value", network=network).info.network == "ACME"


def test_exceptions_are_added_to_the_networks_and_never_removed() -> None:
    document = {"actions": {"shutdown_endpoint": {"params": {"exceptions": ["ACME-LOJA001-PDV201"]}}}}
    known = in_memory.knowledge(shutdown_endpoint.ACTION)
    job = resolve("shutdown_endpoint", document, known, params={"exceptions": '["10.0.0.9"]'})
    assert job.info.params["exceptions"] == ["ACME-LOJA001-PDV201", "10.0.0.9"]


@pytest.mark.parametrize("name", ["shutdown_endpoint", "pdv_shutdown", "shutdown_host"])
def test_exceptions_count_under_every_name_of_the_action_and_add_up(name: str) -> None:
    known = in_memory.knowledge(shutdown_endpoint.ACTION)
    only = {"actions": {name: {"params": {"exceptions": ["10.0.0.9"]}}}}
    assert resolve("shutdown_endpoint", only, known).info.params["exceptions"] == ["10.0.0.9"]
    both = {"actions": {"pdv_shutdown": {"params": {"exceptions": ["10.0.0.8"]}}, **only["actions"]}}
    if name != "pdv_shutdown":
        assert resolve("shutdown_endpoint", both, known).info.params["exceptions"] == ["10.0.0.8", "10.0.0.9"]


def test_a_name_that_two_providers_use_differently_is_ambiguous_and_stops_no_other_run() -> None:
    known = in_memory.knowledge()
    other = Provider(id="other", display_name="Other", actions={"term_set": "look_at_value"})
    known = dataclasses.replace(known, providers={**known.providers, "other": other})
    assert resolve("set_value", known=known).info.action == "set_value"
    assert resolve("term_set", known=known, provider="other").info.action == "look_at_value"
    for spelling in ("term_set", " Term_Set "):
        with pytest.raises(UsageFault) as caught:
            resolve(spelling, known=known)
        assert caught.value.reason == "ambiguous_action"


def test_a_deeply_nested_parameter_stays_text_and_is_no_crash() -> None:
    deep = "[" * 100_000
    assert resolve("set_value", params={"wanted": deep}).info.params["wanted"] == deep
