"""ShellCheck on what terminals receive: a finding names the action and the line of the module, and nothing has to be listed."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from runtime.actions.registry import ACTIONS
from runtime.domain.action import Action
from tests.harness.need import need_program
from tools import action_scripts

Check = Callable[..., list[str]]

MODULE = '''\
from runtime.domain.action import Action, Decision, Done, Params, Script, Stage

class MotdParams(Params):
    text: str = ""

_OBSERVE = r"""
printf 'motd=%s\\n' "$(head -n 1 /etc/motd)"
"""

_WRITE = r"""
printf '%s\\n' "$text" >/etc/motd
"""

def _decide(facts, params, host) -> Decision:
    if facts.observed.get("motd"):
        return Done()
    return Stage("motd", (Script("write it", _WRITE, {"text": params.text}),))

ACTION = Action(
    name="set_motd", aliases=(), version="0.1.0", summary="Motd.", effect="change", params=MotdParams, observe=_OBSERVE,
    decide=_decide,
)
'''


@pytest.fixture
def checked(tmp_path: Path) -> Iterator[Check]:
    """The problems of the module above after one replacement in its text."""
    need_program("shellcheck", "shellcheck")
    made: list[str] = []

    def check(right: str = "", wrong: str = "") -> list[str]:
        assert right in MODULE
        name = f"motd_{len(made)}"
        path = tmp_path / f"{name}.py"
        path.write_text(MODULE.replace(right, wrong) if right else MODULE, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module: ModuleType = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        made.append(name)
        spec.loader.exec_module(module)
        actions = [one for one in vars(module).values() if isinstance(one, Action)]
        return [problem.replace(str(path), "motd.py") for problem in action_scripts.problems([module], actions)]

    yield check
    for name in made:
        del sys.modules[name]


MISTAKES = {
    "an unquoted variable in observe": ('"$(head -n 1 /etc/motd)"', "$P_text", "motd.py:7: set_motd: observe: SC2086"),
    "a variable that nobody assigned": ('"$(head -n 1 /etc/motd)"', '"$P_txt"', "motd.py:7: set_motd: observe: SC2154"),
    "what only bash knows": ('"$(head -n 1 /etc/motd)"', '"${P_text^^}"', "motd.py:7: set_motd: observe: SC3059"),
    "an unquoted variable in a step": ('"$text" >', "$text >", "motd.py:11: set_motd: step write it: SC2086"),
    "a value pasted into a step": ("_WRITE, {", 'f"echo {params.text}", {', "motd.py:17: motd_0: a script must be a constant"),
    "a step made by a function": ("_WRITE, {", "str(params), {", "motd.py:17: motd_0: a script must be a constant"),
    "variables without written names": ('{"text": params.text}', "dict(params)", "must be written out"),
    "an observe script made by a function": ("observe=_OBSERVE", "observe=str(_OBSERVE)", "a script must be a constant"),
}  # fmt: skip


@pytest.mark.parametrize(("right", "wrong", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_a_script_is_reported_with_its_action_and_its_line(
    checked: Check, right: str, wrong: str, message: str
) -> None:
    said = checked(right, wrong)
    assert any(message in line for line in said), said


def test_a_module_without_mistakes_is_not_reported(checked: Check) -> None:
    assert checked() == []


def test_every_script_of_the_product_is_found_and_passes() -> None:
    need_program("shellcheck", "shellcheck")
    modules = action_scripts.all_modules()
    assert {f"{module.__name__}.ACTION" for module in modules if isinstance(vars(module).get("ACTION"), Action)} >= {
        f"runtime.actions.{action.name}.ACTION" for action in ACTIONS if action.available and action.observe
    }
    assert action_scripts.problems(modules, ACTIONS) == []
    engine = list(action_scripts.engine_scripts())
    assert {one.what for one in engine} >= {"probe"}
    assert [said for one in engine for said in action_scripts.findings(one)] == []


def test_a_finding_in_a_provider_s_busy_check_names_the_file_and_its_line(tmp_path: Path) -> None:
    need_program("shellcheck", "shellcheck")
    path = tmp_path / "provider.yaml"
    path.write_text("id: acme\ndisplay_name: Acme\nbusy_check: |\n  open=$(cat /run/sale)\n  echo $open\n", "utf-8")
    (busy,) = action_scripts.busy_check(path)
    (said,) = action_scripts.findings(busy)
    assert said.startswith(f"{path}:5: acme: busy_check: SC2086")
