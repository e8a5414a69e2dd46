"""Finds the sentences for people in the code: calls of ``say`` and ``plural`` (contracts.text), the help texts of commands, and
what installers and the host's commands say.

Used by :mod:`tools.catalogues`. It reads the syntax tree, so that it also finds what no catalogue could translate: a template
that is not written out in full, and placeholders without values.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from contracts.help_pages import paragraphs
from contracts.host_commands import SOURCES
from contracts.installers import TEMPLATES
from contracts.stored_text import placeholders
from tools.script_sentences import of_powershell, of_sh

ROOT = Path(__file__).resolve().parents[1]
# Folder of the code -> how its rooms are called. Each folder directly below it is a room with a catalogue of its own.
_HOUSES = {
    "contracts": "contracts",
    "commandline": "commandline",
    "server": "server",
    "client_image/runtime": "runtime",
}
# Where the help texts of commands are translated when they are shown.
_HELP = ("commandline/", "client_image/runtime/cli/", "client_image/runtime/deploy.py", "server/cli/")
_MAKERS = ("say", "plural")
_MADE_IN = "contracts/text.py"  # it has sentences of its own


@dataclass(frozen=True, slots=True)
class Sentence:
    """``other``: the plural's template, empty for a sentence without a number. ``room``: the catalogue's name."""

    template: str
    other: str
    room: str
    path: str
    line: int


@dataclass(frozen=True, slots=True)
class Fault:
    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


def found_in(root: Path = ROOT) -> Iterator[Sentence | Fault]:
    """Every sentence and every fault of the code below ``root``."""
    for folder, house in _HOUSES.items():
        for file in sorted((root / folder).rglob("*.py")):
            path = file.relative_to(root).as_posix()
            parts = file.relative_to(root / folder).parts
            room = "-".join((house, *parts[:-1][:1]))
            yield from of_module(file.read_text(encoding="utf-8"), path, room)
    for system, path in TEMPLATES.items():
        if (root / path).is_file():
            yield from of_script((root / path).read_text(encoding="utf-8"), path, system, f"installer-{system}")
    for system, suffix in SOURCES.items():
        for file in sorted((root / "wrappers" / system).glob(f"*{suffix}")):
            path = file.relative_to(root).as_posix()
            yield from of_script(file.read_text(encoding="utf-8"), path, system, f"wrappers-{system}")


def of_script(source: str, path: str, system: str, room: str) -> Iterator[Sentence | Fault]:
    """Its room is its table: what stands in that catalogue is what the script can say in another language."""
    for line, template, fault in (of_powershell if system == "windows" else of_sh)(source):
        yield Fault(path, line, fault) if fault else Sentence(template, "", room, path, line)


def of_module(source: str, path: str, room: str) -> Iterator[Sentence | Fault]:
    tree = ast.parse(source)
    makers = {maker: maker for maker in _MAKERS} if path == _MADE_IN else _imported(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in makers:
            yield _made(node, makers[node.func.id], path, room)
        elif path.startswith(_HELP):
            yield from _help(node, path, room)


def _imported(tree: ast.Module) -> dict[str, str]:
    """The module's own name -> the maker."""
    return {
        one.asname or one.name: one.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "contracts.text"
        for one in node.names
        if one.name in _MAKERS
    }


def _made(call: ast.Call, maker: str, path: str, room: str) -> Sentence | Fault:
    number = 2 if maker == "plural" else 1
    texts = [node.value for node in call.args[:number] if isinstance(node, ast.Constant)]
    templates = [text for text in texts if isinstance(text, str) and text]
    fault = _fault(call, maker, templates, number)
    if fault:
        return Fault(path, call.lineno, fault)
    return Sentence(templates[0], templates[1] if maker == "plural" else "", room, path, call.lineno)


def _fault(call: ast.Call, maker: str, templates: list[str], number: int) -> str:
    """Why no catalogue could translate the sentence; empty when one can."""
    names = [keyword.arg for keyword in call.keywords]
    given = {name for name in names if name} | ({"n"} if maker == "plural" else set())
    asked: set[str] = set()
    try:
        asked = asked.union(*map(placeholders, templates)) if given else asked
    except ValueError as error:
        return str(error)
    unknown, unused = asked - given, given - asked - {"n"}
    findings = {
        "plural takes two templates and a number, then name=value": maker == "plural" and len(call.args) != 3,
        "say takes one template, then name=value": maker == "say" and len(call.args) != 1,
        "the template is not a literal: write it out, and give what varies as name=value": len(templates) != number,
        "**values hide which placeholders there are: name each value": None in names,
        f"no value for {', '.join(sorted(unknown))}": bool(unknown),
        f"{', '.join(sorted(unused))}: given, and not in the template": bool(unused),
    }
    return next((text for text, wrong in findings.items() if wrong), "")


def _help(node: ast.AST, path: str, room: str) -> Iterator[Sentence]:
    """``help=`` and ``short_help=`` of any call, and the docstrings of commands, a sentence a paragraph."""
    if isinstance(node, ast.Call):
        for keyword in node.keywords:
            value = keyword.value
            if (
                keyword.arg in ("help", "short_help")
                and isinstance(value, ast.Constant)
                and isinstance(value.value, str)
            ):
                yield Sentence(value.value, "", room, path, value.lineno)
    elif isinstance(node, ast.FunctionDef) and any(map(_is_command, node.decorator_list)):
        first = node.body[0].lineno
        yield from (
            Sentence(text, "", room, path, first) for text in paragraphs(ast.get_docstring(node, clean=False) or "")
        )


def _is_command(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(called, ast.Attribute) and called.attr in ("command", "group")
