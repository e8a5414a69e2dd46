"""`make new-action`: what it writes passes checks and tests as it is, and what cannot be made is refused before a write."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from runtime.actions.announced import ANNOUNCED
from runtime.actions.registry import registered
from tests.harness.cache import cache_folder
from tests.harness.need import need_program
from tools.new_action import TARGETS, Refused, check

ROOT = Path(__file__).resolve().parents[2]
NEEDED = (
    *(
        "client_image",
        "commandline",
        "compat_matrix",
        "contracts",
        "demo",
        "docs",
        "providers",
        "server",
        "tools",
        "pyproject.toml",
    ),
    *("tests/__init__.py", "tests/conftest.py", "tests/cases", "tests/harness", "tests/unit"),
)
MADE = {"read_uptime_of_till": "read", "set_motd_of_till": "change", "remove_motd_of_till": "disrupt"}


def said(copy: Path, *arguments: str) -> str:
    """What a program of the copy prints. It must end with 0."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=copy,
        env=os.environ | {"PYTHONPATH": f"{copy}:{copy / 'client_image'}", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code in which an action of every effect was made, and one that had been announced."""
    need_program("shellcheck", "shellcheck")
    folder = tmp_path_factory.mktemp("copy")
    for name in NEEDED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name)  # with what is compiled already
        elif (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    code = "from tools.new_action import write\nfrom runtime.actions.announced import ANNOUNCED as a\n"
    code += f"for name, effect in {dict(list(MADE.items())[1:])}.items(): write(name, effect, None)\n"
    code += f"for one in a: one.name in {_announced()[:1]} and write(one.name, one.effect, one)\n"
    said(folder, "-c", code)
    (name, effect), *_ = MADE.items()
    assert "works, but it is a skeleton" in said(folder, "-m", "tools.new_action", name, f"--effect={effect}")
    return folder


def test_what_is_written_passes_the_checks(copy: Path) -> None:
    modules = [str(path.relative_to(copy)) for name in MADE for path in copy.rglob(f"{name}.py")]
    assert len(modules) == len(MADE)
    said(copy, "-m", "ruff", "check", "-q", "client_image/runtime/actions")
    said(copy, "-m", "ruff", "format", "-q", "--check", "client_image/runtime/actions")
    # What mypy knows of the other modules from an earlier run, which it compares by their content.
    said(copy, "-m", "mypy", "--cache-dir", str(cache_folder() / "types-of-new-actions"), *modules)
    said(copy, "-m", "tools.action_scripts")
    said(copy, "-m", "tools.documents", "--check")


def test_its_first_cases_run_and_pass(copy: Path) -> None:
    chosen = " or ".join((*MADE, *_announced()[:1]))
    told = said(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit/actions/test_cases.py", "-k", chosen)
    assert "passed" in told
    assert "skipped" not in told


REFUSED = {
    "no verb and noun": (("motd", "change", "terminal"), "is no name for an action"),
    "capital letters": (("Set_Motd", "change", "terminal"), "is no name for an action"),
    "a hyphen": (("set-motd", "change", "terminal"), "is no name for an action"),
    "what a shell would run": (("set_motd; reboot", "change", "terminal"), "is no name for an action"),
    "a path": (("../set_motd", "change", "terminal"), "is no name for an action"),
    "a very long name": (("set_" + "m" * 50, "change", "terminal"), "is no name for an action"),
    "an action": (("diagnose_env", "read", "terminal"), "diagnose_env is an action already"),
    "an alias": (("pdv_shutdown", "disrupt", "terminal"), "pdv_shutdown is an alias of shutdown_endpoint"),
    "a provider's name": (("terminal_ping", "read", "terminal"), "is what zanthus calls test_endpoint_connection"),
    "an unknown effect": (("set_motd", "destroy", "terminal"), "EFFECT=destroy is unknown"),
    "an unknown target": (("set_motd", "change", "moon"), "TARGET=moon is unknown"),
}


@pytest.mark.parametrize(("asked", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_made_is_refused_with_the_reason(asked: tuple[str, str, str], message: str) -> None:
    with pytest.raises(Refused, match=message):
        check(*asked)


def test_a_target_without_a_skeleton_is_refused() -> None:
    for target in {"terminal", "concentrator", "network"} - TARGETS:
        with pytest.raises(Refused, match="no skeleton"):
            check("set_motd", "change", target)


def test_an_announced_action_keeps_its_names_and_leaves_the_table(copy: Path) -> None:
    for name in _announced()[:1]:
        row = json.loads((copy / "contracts" / "catalogue.json").read_text("utf-8"))["actions"][name]
        assert (row["available"], tuple(row["aliases"])) == (True, registered().by_name[name].aliases)
        assert f'"{name}"' not in (copy / "client_image/runtime/actions/announced.py").read_text("utf-8")


def _announced() -> Sequence[str]:
    return [action.name for action in ANNOUNCED if action.target == "terminal"]
