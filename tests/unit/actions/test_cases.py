"""What each action decides from what a terminal said: the cases of `tests/cases/actions`, one test a case."""

from __future__ import annotations

import pytest

from runtime.actions.registry import ACTIONS, registered
from runtime.domain.action import Decision, Done, Failed, Refused, Stage
from tests.harness.action_cases import FOLDER, Case, Decided, cases
from tests.unit.engine.in_memory import host

AVAILABLE = [action.name for action in ACTIONS if action.available and action.target == "terminal"]
CASES = [(name, case) for name in AVAILABLE for case in cases(name)]
KINDS: dict[str, type[Decision]] = {"done": Done, "failed": Failed, "refused": Refused, "stage": Stage}


@pytest.mark.parametrize(("name", "title"), CASES, ids=[f"{name}: {title}" for name, title in CASES])
def test_an_action_decides_what_its_case_says(name: str, title: str) -> None:
    action, case = registered().by_name[name], cases(name)[title]
    assert action.decide is not None
    params = action.params.model_validate(case.params)
    compare(action.decide(case.seen(), params, host(**case.host)), case)


def compare(decision: Decision, case: Case) -> None:
    kind, expected = next((name, one) for name in KINDS if isinstance(one := getattr(case, name), Decided))
    assert isinstance(decision, KINDS[kind]), f"{kind} was expected, not {decision}"
    for field in ("code", "name", "confirm"):
        if (value := getattr(expected, field)) is not None:
            assert getattr(decision, field) == value
    if expected.message is not None:
        assert expected.message in getattr(decision, "message", "")
    report = getattr(decision, "report", {})
    assert {key: report.get(key) for key in expected.report} == expected.report
    if isinstance(decision, Stage) and decision.valid_until is not None:
        assert decision.valid_until > case.seen().observed_at
    if expected.steps is not None:
        assert [step.name for step in getattr(decision, "steps", ())] == expected.steps
    if expected.changes is not None:
        assert [str(change) for change in getattr(decision, "changes", ())] == expected.changes


@pytest.mark.parametrize("name", AVAILABLE)
def test_every_action_has_a_case(name: str) -> None:
    assert cases(name), f"{name} has no case: write one in tests/cases/actions/{name}/ (README.md there shows how)"


def test_every_folder_of_cases_belongs_to_an_action() -> None:
    folders = {path.name for path in FOLDER.iterdir() if path.is_dir()}
    assert folders <= set(AVAILABLE), f"no such action: {', '.join(sorted(folders - set(AVAILABLE)))}"
