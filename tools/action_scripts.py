"""ShellCheck on every script that a terminal receives: `python -m tools.action_scripts`, part of `make check`.

Each script is read from the source, so that a finding names its action, its file and its line: the ``observe`` of every action in
the registry, the text of every ``Script`` step, the providers' busy checks, the engine's probe and the frame around all of them.
Nothing is listed by hand: what is declared is checked. A step whose text is not a constant is refused here, because its values
would be pasted into shell text; values belong into the step's variables.
"""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml

import runtime
from runtime.actions.registry import ACTIONS
from runtime.adapters import assets
from runtime.domain import script
from runtime.domain.action import Action, Params, WriteFile
from runtime.engine import probe

_ROOT = Path(__file__).resolve().parents[1]
_PLAIN_VALUES = (str, int, float, bool, type(None))


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a script, and where it is written: a path below the repository and a line number from 1."""

    text: str
    path: str
    number: int


@dataclass(frozen=True, slots=True)
class Found:
    """A script to check. ``owner``: whose it is; ``variables``: the names that are assigned before it."""

    owner: str
    what: str
    lines: tuple[Line, ...]
    variables: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return "\n".join(line.text for line in self.lines)


class NotConstantError(Exception):
    """A script that is not written as a constant. The message says where and what to write instead."""


def problems(modules: Sequence[ModuleType], actions: Sequence[Action]) -> list[str]:
    """What ShellCheck finds in the scripts of these modules and actions, a line each; empty when there is nothing."""
    said: list[str] = []
    scripts: list[Found] = []
    for module in modules:
        for call in _calls(module):
            try:
                scripts += _scripts_of(call, module)
            except NotConstantError as error:
                said.append(str(error))
    seen = {(one.owner, one.text) for one in scripts if one.what == "observe"}
    said += [
        f"{action.name}: its observe script is not in the module that declares it, so ShellCheck cannot see it. Write it there"
        for action in actions
        if isinstance(action.observe, str) and action.observe and (action.name, action.observe) not in seen
    ]
    return said + [problem for one in scripts for problem in findings(one)]


def engine_scripts() -> Iterator[Found]:
    """What the engine and the providers send beside the actions."""
    yield Found("engine", "probe", _resolve(ast.parse("SCRIPT", mode="eval").body, probe))
    files = [WriteFile("plain", "/etc/motd", b"x\n"), WriteFile("kept", "/etc/motd", b"x\n", backup=2)]
    sections = [(f"step:{number}", script.render_step(step)) for number, step in enumerate(files)]
    frame = script.render(sections, "marker", 30).decode().split("\n")
    where = str(Path(str(script.__file__)).relative_to(_ROOT))
    yield Found("engine", "frame and file steps (rendered)", tuple(Line(text, where, 1) for text in frame))
    for path in sorted((assets.find_root({}, _ROOT / "tools") / "providers").glob("*/provider.yaml")):
        yield from busy_check(path)


def findings(one: Found) -> Iterator[str]:
    """What ShellCheck says about a script, run as it is on a terminal: under ``set -eu``, its variables assigned before it."""
    # Read, because ShellCheck trusts a value that it can see. Exported, because a parameter need not be used.
    head = "set -eu\n" + "".join(f"read -r {name}\nexport {name}\n" for name in one.variables)
    done = subprocess.run(
        ["shellcheck", "--shell=sh", "--format=json", "-"],
        input=f"{head}{one.text}\n",
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        yield f"{one.owner}: {one.what}: shellcheck failed: {done.stderr.strip()}"
        return
    before = head.count("\n")
    for note in json.loads(done.stdout):
        at = one.lines[min(max(note["line"] - before, 1), len(one.lines)) - 1]
        yield (
            f"{at.path}:{at.number}: {one.owner}: {one.what}: SC{note['code']} ({note['level']}): {note['message']} "
            f"In: {at.text.strip()}"
        )


def all_modules() -> list[ModuleType]:
    """Every module of the proxy that makes an action or a step."""
    names = [one.name for one in pkgutil.walk_packages(runtime.__path__, "runtime.") if not one.ispkg]
    paths = {name: Path(runtime.__path__[0], *name.split(".")[1:]).with_suffix(".py") for name in names}
    makes = [name for name, path in paths.items() if _makes_scripts(path.read_text(encoding="utf-8"))]
    return [importlib.import_module(name) for name in makes]


def main() -> int:
    """0 when ShellCheck has nothing to say, 1 with a line for each finding."""
    try:
        found = [*problems(all_modules(), ACTIONS), *(said for one in engine_scripts() for said in findings(one))]
    except FileNotFoundError:
        found = ["shellcheck is not installed; as root on Debian or Ubuntu: apt-get install shellcheck"]
    for line in found:
        sys.stderr.write(f"{line}\n")
    return int(bool(found))


def _makes_scripts(source: str) -> bool:
    return "runtime.domain.action" in source and ("Script(" in source or "Action(" in source)


def _calls(module: ModuleType) -> list[ast.Call]:
    return [
        node
        for node in ast.walk(_tree(str(module.__file__)))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("Script", "Action")
    ]


def _scripts_of(call: ast.Call, module: ModuleType) -> Iterator[Found]:
    given: dict[str, ast.expr] = {one.arg: one.value for one in call.keywords if one.arg}
    if isinstance(call.func, ast.Name) and call.func.id == "Script":
        given |= dict(zip(("name", "text", "variables"), call.args, strict=False))
        owners = sorted({one.name for one in vars(module).values() if isinstance(one, Action)})
        variables = given.get("variables")
        yield Found(
            ", ".join(owners) or module.__name__,
            f"step {_title(given['name'])}",
            _resolve(given["text"], module),
            _variable_names(variables, module) if variables else (),
        )
    elif "observe" in given:
        lines = _resolve(given["observe"], module)
        text = "\n".join(line.text for line in lines)
        declared = [one for one in vars(module).values() if isinstance(one, Action) and one.observe == text]
        for action in declared if text else ():
            yield Found(action.name, "observe", lines, tuple(f"P_{name}" for name in _assigned(action.params)))


def _title(name: ast.expr) -> str:
    return str(name.value) if isinstance(name, ast.Constant) else ast.unparse(name)


def _variable_names(node: ast.expr, module: ModuleType) -> tuple[str, ...]:
    if isinstance(node, ast.Dict):
        keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
        if len(keys) == len(node.keys):
            return tuple(map(str, keys))
    raise _refused(node, module, "the names of a step's variables must be written out: {'name': value}")


def _assigned(params: type[Params]) -> Iterator[str]:
    """The parameters that the engine hands to observe: texts, numbers and switches (engine.terminal.variables_of)."""
    for name, field in params.model_fields.items():
        if _is_plain(field.annotation):
            yield name


def _is_plain(annotation: Any) -> bool:
    origin = get_origin(annotation)
    if origin is Literal:
        return True
    if origin is Annotated:
        return _is_plain(get_args(annotation)[0])
    if isinstance(annotation, type) and origin is None:
        return issubclass(annotation, _PLAIN_VALUES)
    return not isinstance(origin, type) and all(map(_is_plain, get_args(annotation)))


def _resolve(node: ast.expr, module: ModuleType) -> tuple[Line, ...]:
    """The lines that an expression of constants stands for: literals, names of constants, and their sums."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _joined(_resolve(node.left, module), _resolve(node.right, module))
    if isinstance(node, ast.Name):
        return _constant(node.id, node, module)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        other = getattr(module, node.value.id, None)
        if isinstance(other, ModuleType):
            return _constant(node.attr, node, other)
    if isinstance(node, ast.Constant | ast.JoinedStr):
        return _literal(node, module)
    raise _refused(node, module)


def _constant(name: str, node: ast.expr, module: ModuleType) -> tuple[Line, ...]:
    for statement in _tree(str(module.__file__)).body:
        if isinstance(statement, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == name for target in statement.targets
        ):
            return _resolve(statement.value, module)
        if isinstance(statement, ast.ImportFrom) and statement.module:
            for alias in statement.names:
                if (alias.asname or alias.name) == name:
                    return _constant(alias.name, node, importlib.import_module(statement.module))
    raise _refused(node, module)


def _literal(node: ast.Constant | ast.JoinedStr, module: ModuleType) -> tuple[Line, ...]:
    try:
        text = eval(compile(ast.Expression(node), "script", "eval"), dict(vars(module)))  # noqa: S307  # our own constants
    except NameError as error:
        raise _refused(node, module) from error
    last = node.end_lineno or node.lineno
    where = _path(module)
    return tuple(Line(line, where, min(node.lineno + at, last)) for at, line in enumerate(str(text).split("\n")))


def _joined(first: tuple[Line, ...], second: tuple[Line, ...]) -> tuple[Line, ...]:
    """Two texts put together: the last line of the first and the first of the second are one."""
    seam = Line(first[-1].text + second[0].text, second[0].path, second[0].number)
    return (*first[:-1], seam, *second[1:])


def _refused(node: ast.expr, module: ModuleType, why: str = "") -> NotConstantError:
    advice = why or "a script must be a constant, without pasted values; hand values over as variables of the step"
    return NotConstantError(
        f"{_path(module)}:{node.lineno}: {module.__name__}: {advice}. Here: {ast.unparse(node)[:80]}"
    )


def _path(module: ModuleType) -> str:
    path = Path(str(module.__file__))
    return str(path.relative_to(_ROOT)) if path.is_relative_to(_ROOT) else str(path)


@lru_cache(maxsize=64)
def _tree(path: str) -> ast.Module:
    return ast.parse(Path(path).read_text(encoding="utf-8"))


def busy_check(path: Path) -> Iterator[Found]:
    """A provider's busy check, with the lines that it has in the file."""
    root = yaml.compose(path.read_text(encoding="utf-8"))
    values: Mapping[str, Any] = {key.value: value for key, value in getattr(root, "value", ())}
    node = values.get("busy_check")
    if not isinstance(node, yaml.ScalarNode) or not node.value.strip():
        return
    first = node.start_mark.line + (2 if node.style in ("|", ">") else 1)  # a block begins below its key
    where = str(path.relative_to(_ROOT)) if path.is_relative_to(_ROOT) else str(path)
    lines = (Line(text, where, first + at) for at, text in enumerate(node.value.split("\n")))
    yield Found(values["id"].value, "busy_check", tuple(lines))


if __name__ == "__main__":
    sys.exit(main())
