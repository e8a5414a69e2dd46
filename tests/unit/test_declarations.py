"""What the declarations of actions must fit, found when the catalogue is built: options of the first generation, a driver."""

from __future__ import annotations

import dataclasses

import pytest

from runtime.actions.registry import ACTIONS, catalogue
from runtime.domain.action import LegacyOption, Target
from runtime.domain.catalogue import build

ZONE = catalogue().actions["update_endpoint_timezone"]


def test_every_option_that_an_action_declares_is_known_with_all_its_actions() -> None:
    options = catalogue().legacy_options()
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
    other = dataclasses.replace(catalogue().actions[name], legacy=(option,))
    with pytest.raises(ValueError, match=said):
        build([ZONE, other])


@pytest.mark.parametrize("target", ["network", "concentrator"])
def test_an_action_that_nothing_drives_is_refused_when_the_catalogue_is_built(target: Target) -> None:
    with pytest.raises(ValueError, match=f"nothing drives actions on a {target}"):
        build([dataclasses.replace(ZONE, target=target)])
