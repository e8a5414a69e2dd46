"""What the declarations of actions must fit, found when the catalogue is built: options of the first generation, its target."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from runtime.actions.registry import ACTIONS, registered
from runtime.domain.action import Action, LegacyOption
from runtime.domain.catalogue import build
from runtime.domain.sources import Query

ZONE = registered().by_name["update_endpoint_timezone"]


def test_every_option_that_an_action_declares_is_known_with_all_its_actions() -> None:
    options = registered().legacy_options()
    declared = {(one.option, action.name) for action in ACTIONS for one in action.legacy}
    assert {(option, owner.name) for option, (_, owners) in options.items() for owner in owners} == declared
    assert declared


@pytest.mark.parametrize(
    ("name", "option", "said"),
    [
        ("diagnose_env", LegacyOption("--timezone", "timezone", is_flag=True), "declared differently"),
        ("diagnose_env", LegacyOption("--speed", "speed"), "no parameter"),
    ],
)
def test_an_option_that_does_not_fit_is_refused_when_the_catalogue_is_built(
    name: str, option: LegacyOption, said: str
) -> None:
    other = dataclasses.replace(registered().by_name[name], legacy=(option,))
    with pytest.raises(ValueError, match=said):
        build([ZONE, other])


ROWS = Action(
    "collect",
    (),
    "1.0.0",
    "Collect.",
    "read",
    target="concentrator",
    roles=frozenset({"concentrator"}),
    queries=(Query("rows", "mysql", "SELECT 1"),),
    steps=("rows",),
    confirms=("receipt",),
)
PLAN = Action("plan", (), "1.0.0", "Plan.", "change", target="network", roles=frozenset(), steps=("call",))
# An action that fits, what is changed in it, and a part of the sentence that refuses it.
MISFITS: dict[str, tuple[Action, dict[str, Any], str]] = {
    "queries on a terminal": (ZONE, {"queries": ROWS.queries}, "declare `observe` instead of `queries`"),
    "rows on a terminal": (
        ZONE,
        {"steps": ("file", "rows")},
        "no terminal takes rows steps: `steps` may name script, file; or change its target to concentrator",
    ),
    "a receipt of a terminal": (
        ZONE,
        {"confirms": ("state", "receipt")},
        "no terminal gives a proof by receipt: `confirms` may name state, gone; or change its target to concentrator",
    ),
    "a script on a concentrator": (
        ROWS,
        {"observe": "id"},
        "nobody logs in to a concentrator: declare `queries` instead",
    ),
    "root on a concentrator": (ROWS, {"needs_root": True}, "nobody logs in to a concentrator: leave `needs_root` out"),
    "a file on a concentrator": (ROWS, {"steps": ("file",)}, "no concentrator takes file steps: `steps` may name rows"),
    "a concentrator that goes": (ROWS, {"confirms": ("gone",)}, "no concentrator gives a proof by gone"),
    "a concentrator's state": (ROWS, {"confirms": ("state",)}, "change its target to terminal or network"),
    "a change of a concentrator": (ROWS, {"effect": "change"}, "its effect is `read`"),
    "a concentrator with another role": (
        ROWS,
        {"roles": frozenset({"checkout"})},
        r"roles=frozenset\(\{'concentrator'\}\)",
    ),
    "a script on a network": (PLAN, {"observe": "id"}, "nobody logs in to a network: declare `queries` instead"),
    "a file on a network": (PLAN, {"steps": ("file",)}, "no network takes file steps: `steps` may name call"),
    "a receipt of a network": (PLAN, {"confirms": ("receipt",)}, "no network gives a proof by receipt"),
    "a network with a role": (
        PLAN,
        {"roles": frozenset({"checkout"})},
        r"a network has no role: declare roles=frozenset\(\)",
    ),
}


@pytest.mark.parametrize("case", MISFITS)
def test_a_declaration_that_does_not_fit_its_target_is_refused_with_what_to_change(case: str) -> None:
    action, changes, said = MISFITS[case]
    build([action])
    with pytest.raises(ValueError, match=f"^{action.name}: .*{said}"):
        build([dataclasses.replace(action, **changes)])
