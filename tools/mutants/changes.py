"""Small faults to put into a module: a comparison turned round, a condition left out, a statement removed. Pure.

Texts for people are left alone: a string with a space in it, or what a ``help=`` says.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_OPPOSITES = {"min": "max", "max": "min", "any": "all", "all": "any"}
_PLAIN_METHODS = frozenset({"lower", "upper", "casefold", "strip", "lstrip", "rstrip", "total_seconds"})
# Calls that only change the kind of a value: without them most code does the same.
_CONVERSIONS = frozenset({
    "bool", "bytes", "cast", "dict", "float", "frozenset", "getattr", "int", "isinstance", "iter", "len", "list", "next",
    "print", "range", "repr", "reversed", "set", "str", "super", "tuple", "type", "vars",
})  # fmt: skip
_FOR_PEOPLE = frozenset({"description", "help", "metavar", "summary", "title"})
_NEVER_ENTERED = (ast.Import, ast.ImportFrom, ast.Assert, ast.Global, ast.Nonlocal)

Put = Callable[[ast.AST], None]


@dataclass(frozen=True, slots=True)
class Change:
    """One fault. ``before`` and ``after`` are source text, at most 100 characters; ``code`` is the whole module with it."""

    line: int
    before: str
    after: str
    code: CodeType


def changes(source: str, filename: str) -> Iterator[Change]:
    """Every fault for one module's text, in the order of its lines."""
    tree = ast.parse(source, filename)
    for node, put in list(_places(tree)):
        for other in _alternatives(node):
            put(ast.fix_missing_locations(ast.copy_location(other, node)))
            yield Change(node.lineno, _text(node), _text(other), compile(tree, filename, "exec"))
            put(node)


def _text(node: ast.AST) -> str:
    return " ".join(ast.unparse(node).split())[:100]


def _places(node: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt | ast.excepthandler, Put]]:
    """Every expression and statement that may be changed, with what puts another one where it stands."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "ctx", "bases") or _is_docstring(node, name, value):
            continue
        several = value if isinstance(value, list) else [value]
        for at, child in enumerate(several):
            if not isinstance(child, ast.AST) or _for_people(child) or _only_a_type(child):
                continue
            if name == "body" and at == 0 and _is_text(child):
                continue
            if isinstance(child, ast.expr | ast.stmt | ast.excepthandler):
                yield child, _putter(node, name, at if isinstance(value, list) else None)
            yield from _places(child)


def _putter(holder: ast.AST, name: str, at: int | None) -> Put:
    def put(node: ast.AST) -> None:
        if at is None:
            setattr(holder, name, node)
        else:
            getattr(holder, name)[at] = node

    return put


def _is_docstring(node: ast.AST, name: str, value: object) -> bool:
    return isinstance(node, ast.Expr) and name == "value" and isinstance(value, ast.Constant)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _only_a_type(node: ast.AST) -> bool:
    """The words of a ``Literal`` are for mypy; where they are checked at run time, they stand in the published schema."""
    return isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "Literal"


def _for_people(node: ast.AST) -> bool:
    """What has no effect on what the product does."""
    if isinstance(node, ast.keyword):
        return node.arg in _FOR_PEOPLE
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "say"
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(part, ast.Constant) and " " in str(part.value) for part in node.values)
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    if isinstance(node, ast.Assign):
        return any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets)
    return isinstance(node, _NEVER_ENTERED)


def _alternatives(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.stmt):
        yield from _other_statements(node)
    elif isinstance(node, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.BinOp):
        yield from _other_operators(node)
    elif isinstance(node, ast.GeneratorExp | ast.ListComp | ast.SetComp | ast.DictComp):
        yield from _without_conditions(node)
    elif isinstance(node, ast.Call):
        yield from _other_calls(node)
    elif isinstance(node, ast.IfExp):
        yield from _turned_round(node)
    elif isinstance(node, ast.Constant):
        yield from (ast.Constant(value) for value in _other_values(node.value))
    elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
        for bound in ("lower", "upper"):
            if getattr(node.slice, bound) is not None:
                yield _with(node, slice=_with(node.slice, **{bound: None}))
    elif isinstance(node, ast.ExceptHandler) and isinstance(node.type, ast.Tuple):
        for at in range(len(node.type.elts)):
            yield _with(node, type=ast.Tuple([*node.type.elts[:at], *node.type.elts[at + 1 :]], ast.Load()))


def _turned_round(node: ast.If | ast.While | ast.IfExp) -> Iterator[ast.AST]:
    """A test made of operators is changed there."""
    if not isinstance(node.test, ast.Compare | ast.BoolOp | ast.UnaryOp):
        yield _with(node, test=ast.UnaryOp(ast.Not(), node.test))


def _other_operators(node: ast.Compare | ast.BoolOp | ast.UnaryOp | ast.BinOp) -> Iterator[ast.AST]:
    match node:
        case ast.Compare():
            for at, operator in enumerate(node.ops):
                for other in _COMPARISONS[type(operator)]:
                    yield ast.Compare(node.left, [*node.ops[:at], other(), *node.ops[at + 1 :]], node.comparators)
        case ast.BoolOp():
            yield ast.BoolOp(ast.And() if isinstance(node.op, ast.Or) else ast.Or(), node.values)
            for at in range(len(node.values)):
                rest = [*node.values[:at], *node.values[at + 1 :]]
                yield rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node.operand
        case ast.BinOp() if type(node.op) in _OPERATORS:
            yield ast.BinOp(node.left, _OPERATORS[type(node.op)](), node.right)


def _without_conditions(node: ast.GeneratorExp | ast.ListComp | ast.SetComp | ast.DictComp) -> Iterator[ast.AST]:
    for at, loop in enumerate(node.generators):
        for number in range(len(loop.ifs)):
            other = _with(loop, ifs=[*loop.ifs[:number], *loop.ifs[number + 1 :]])
            yield _with(node, generators=[*node.generators[:at], other, *node.generators[at + 1 :]])


def _other_values(value: object) -> Iterator[bool | int | float | str | bytes]:
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield value + 1
    elif isinstance(value, str) and " " not in value:
        yield f"XX{value}XX" if value else "XX"
    elif isinstance(value, bytes):
        yield b"XX" + value


def _other_calls(node: ast.Call) -> Iterator[ast.AST]:
    if isinstance(node.func, ast.Name):
        name = node.func.id
        if name in _OPPOSITES:
            yield _with(node, func=ast.Name(_OPPOSITES[name], ast.Load()))
        elif len(node.args) == 1 and not node.keywords and _may_go(name) and not isinstance(node.args[0], ast.Starred):
            yield node.args[0]
    elif isinstance(node.func, ast.Attribute) and node.func.attr in _PLAIN_METHODS:
        yield node.func.value
    for at, keyword in enumerate(node.keywords):
        if keyword.arg is not None and keyword.arg not in _FOR_PEOPLE:
            yield _with(node, keywords=[*node.keywords[:at], *node.keywords[at + 1 :]])


def _may_go(name: str) -> bool:
    return name not in _CONVERSIONS and not name.lstrip("_")[:1].isupper()


def _other_statements(node: ast.stmt) -> Iterator[ast.AST]:
    match node:
        case ast.If() | ast.While():
            yield from _turned_round(node)
        case ast.Continue():
            yield ast.Break()
        case ast.Break():
            yield ast.Continue()
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield ast.Return(ast.Constant(None))
        case ast.Raise() | ast.AugAssign() | ast.Delete() | ast.Expr():
            yield ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield ast.Pass()


def _with(node: ast.AST, **fields: object) -> ast.AST:
    other = copy.copy(node)
    for name, value in fields.items():
        setattr(other, name, value)
    return other
