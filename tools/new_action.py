"""Writes the skeleton of an action: `make new-action NAME=set_motd [EFFECT=change] [TARGET=terminal]`.

What it writes works at once (checks, tests, `make try`) and says of itself that it is a skeleton. A name that is announced
(`actions/announced.py`) leaves that table; its aliases, effect and summary (as the docstring) go into the new module.
"""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import yaml

from contracts.config import Effect
from contracts.visible import quoted
from runtime.actions.announced import ANNOUNCED
from runtime.actions.registry import ACTIONS
from runtime.adapters import assets
from runtime.domain.action import Action, Target
from runtime.domain.catalogue import build

_ROOT = Path(__file__).resolve().parents[1]
_SKELETONS = Path(__file__).parent / "skeletons"
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)+", re.ASCII)
_LONGEST = 48
TARGETS: frozenset[Target] = frozenset({"terminal"})  # those that there are skeletons for
_REGISTRY = "client_image/runtime/actions/registry.py"
_ANNOUNCED = "client_image/runtime/actions/announced.py"
_LEVELS = "compat_matrix/actions.yaml"


class Refused(Exception):
    """Nothing was written. The message says why and what to do."""


def main(arguments: list[str]) -> int:
    """0 when the skeleton is written, 1 when a generated document could not be, 2 when the request is refused."""
    parser = argparse.ArgumentParser(prog="make new-action NAME=… [EFFECT=…] [TARGET=…]")
    parser.add_argument("name")
    parser.add_argument("--effect", default="")
    parser.add_argument("--target", default="terminal")
    options = parser.parse_args(arguments)
    try:
        announced = check(options.name, options.effect, options.target)
        effect = options.effect or (announced.effect if announced else "change")
        written = write(options.name, effect, announced)
    except Refused as error:
        sys.stderr.write(f"{error}. Nothing was written.\n")
        return 2
    done = subprocess.run([sys.executable, "-m", "tools.documents"], cwd=_ROOT, check=False)
    sys.stdout.write(
        _told(options.name, effect, written, [one.option for one in announced.legacy] if announced else [])
    )
    if done.returncode:
        sys.stderr.write(
            "The generated documents could not be written; correct what is said above, then: make schema\n"
        )
    return int(done.returncode != 0)


def check(name: str, effect: str, target: str) -> Action | None:
    """The announced action of this name, if there is one. Raises Refused for what cannot be made."""
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise Refused(
            f"{quoted(name)} is no name for an action: a verb and a noun in lower case are expected, as in set_motd "
            f"(a-z, 0-9, at least one underscore, at most {_LONGEST} characters)"
        )
    if effect and effect not in get_args(Effect):
        raise Refused(f"EFFECT={effect} is unknown; one of {', '.join(get_args(Effect))} is expected")
    if target not in get_args(Target):
        raise Refused(f"TARGET={target} is unknown; one of {', '.join(get_args(Target))} is expected")
    if target not in TARGETS:
        raise Refused(
            f"no skeleton of an action on a {target} yet; there are skeletons for: {', '.join(sorted(TARGETS))}"
        )
    known = build(ACTIONS).names
    announced = next((one for one in ANNOUNCED if one.name == name), None)
    if announced is not None and announced.target != target:
        raise Refused(f"{name} is announced as an action on a {announced.target}, not on a {target}")
    if announced is None and name in known:
        owner = known[name]
        what = "an action already" if owner == name else f"an alias of {owner}"
        raise Refused(f"{name} is {what}; choose another name")
    for provider in assets.load(_ROOT, known).providers.values():
        if name in provider.actions:
            raise Refused(f"{name} is what {provider.id} calls {provider.actions[name]}; choose another name")
    if effect and announced and announced.effect != effect:
        raise Refused(f"{name} is announced with the effect {announced.effect}, not {effect}")
    for path in (_module(name), _case(name)):
        if (_ROOT / path).exists():
            raise Refused(f"{path} exists already; remove it or choose another name")
    return announced


def write(name: str, effect: str, announced: Action | None) -> list[tuple[str, str]]:
    """Write and edit the files. Gives (path, what is in it). Raises Refused before anything is written."""
    registry, levels = (_ROOT / _REGISTRY).read_text("utf-8"), (_ROOT / _LEVELS).read_text("utf-8")
    level = yaml.safe_load(levels)["actions"].get(name)
    new_level = level or ("L3" if effect == "read" else "L2")
    texts = {
        _module(name): _filled(f"{effect}.py.txt", name, announced),
        _case(name): _filled(f"{effect}.yaml.txt", name, announced),
        _REGISTRY: _registered(registry, name),
    }
    if level is None:
        texts[_LEVELS] = f"{levels.rstrip()}\n  {name}: {new_level}\n"
    if announced is not None:
        texts[_ANNOUNCED] = _without(name, (_ROOT / _ANNOUNCED).read_text("utf-8"))
    for path, text in texts.items():
        (_ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (_ROOT / path).write_text(text, encoding="utf-8", newline="\n")
    # Long names may need other line breaks; the registry's imports are sorted.
    made = [path for path in texts if path.endswith(".py")]
    for command in (["check", "--fix", "-q", "--select", "I,F401"], ["format", "-q"]):
        subprocess.run([sys.executable, "-m", "ruff", *command, *made], cwd=_ROOT, check=True)
    return [
        (_module(name), "the action: parameters, observe, decide, declaration"),
        (_LEVELS, f"{name}: {new_level}, the level that a system needs for it"),
        (_case(name), "what it must decide, case by case"),
        (_REGISTRY, "its line in the allow-list"),
        *([(_ANNOUNCED, "its announcement, removed")] if announced else []),
    ]


def _told(name: str, effect: str, written: list[tuple[str, str]], options: list[str]) -> str:
    rows = [*written, ("contracts/catalogue.json, docs/actions.md", "generated (make schema)")]
    width = max(len(path) for path, _ in rows)
    file = f"/etc/flageemonitor-{name}"
    does = {"read": "tells how long a host is up", "change": f"keeps one line in {file}"}.get(effect, f"removes {file}")
    return (
        "Written:\n"
        + "".join(f"  {path:<{width}}  {what}\n" for path, what in rows)
        + f"\n{name} works, but it is a skeleton: it {does}.\nNext:\n"
        "  1. Edit the first three: the action, its level, its cases.\n"
        + (f"     Declare its options of the first generation: {', '.join(options)}.\n" if options else "")
        + f'  2. make demo-up, then: make try ACTION={name} ARGS="--loja 1 --dry-run"\n'
        "  3. make schema check unit\n"
        "docs/extending.md shows each step.\n"
    )


def _module(name: str) -> str:
    return f"client_image/runtime/actions/{name}.py"


def _case(name: str) -> str:
    return f"tests/cases/actions/{name}/decisions.yaml"


def _filled(skeleton: str, name: str, announced: Action | None) -> str:
    words = {
        "@name@": name,
        "@Class@": "".join(part.capitalize() for part in name.split("_")),
        "@aliases@": repr(announced.aliases) if announced else "()",
        "@summary@": f"Skeleton of {name}, not for use.",
        "@about@": announced.summary if announced else f"Says in one line what {name} is for.",
    }
    text = (_SKELETONS / skeleton).read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace(word, value)
    return text


def _registered(text: str, name: str) -> str:
    found = re.search(r"^from runtime\.actions import \(\n", text, re.MULTILINE)
    if found is None or text.count("    *ANNOUNCED,\n") != 1:
        raise Refused(f"{_REGISTRY} is not written as expected: its import list and the line *ANNOUNCED are needed")
    imported = f"{text[: found.end()]}    {name},\n{text[found.end() :]}"
    return imported.replace("    *ANNOUNCED,\n", f"    {name}.ACTION,\n    *ANNOUNCED,\n")


def _without(name: str, text: str) -> str:
    """The table of announced actions without the row of this name."""
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Tuple)
            and node.elts
            and isinstance(first := node.elts[0], ast.Constant)
            and first.value == name
        ):
            lines = text.splitlines(keepends=True)
            return "".join(lines[: node.lineno - 1] + lines[node.end_lineno :])
    raise Refused(f"{_ANNOUNCED} has no row for {name}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
