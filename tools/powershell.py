"""PowerShell without PowerShell: scripts are parsed with its grammar (tree-sitter), and what they hold as constants is read.

``python -m tools.powershell FILE...`` is what `make check` calls: each file must parse without an error, be ASCII with LF at line
ends (Windows PowerShell 5.1 reads a file without BOM in the machine's code page), and use nothing that only PowerShell 7 knows.
The tests use the functions.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import tree_sitter_powershell
from tree_sitter import Language, Node, Parser

_PARSER = Parser(Language(tree_sitter_powershell.language()))
_QUOTES = "'\u2018\u2019\u201a\u201b"  # any of them is a single quote to PowerShell

# Each would be a parse error, an unknown name or an unknown parameter under Windows PowerShell 5.1.
_ONLY_7 = {
    "??": re.compile(r"\?\?"),
    "?.": re.compile(r"\$\{?\w+\}?\?[.\[]"),
    "&& or ||": re.compile(r"&&|\|\|"),
    "$IsWindows and its like": re.compile(r"\$Is(Windows|Linux|MacOS|CoreCLR)\b", re.IGNORECASE),
    "-AsHashtable": re.compile(r"-AsHashtable\b", re.IGNORECASE),
    "-SkipCertificateCheck": re.compile(r"-SkipCertificateCheck\b", re.IGNORECASE),
    "-SkipHttpErrorCheck": re.compile(r"-SkipHttpErrorCheck\b", re.IGNORECASE),
    "-AsByteStream": re.compile(r"-AsByteStream\b", re.IGNORECASE),
    "utf8NoBOM": re.compile(r"utf8NoBOM", re.IGNORECASE),
    "-Parallel": re.compile(r"-Parallel\b", re.IGNORECASE),
    "ArgumentList of ProcessStartInfo": re.compile(r"\.ArgumentList\b"),
    "ternary": re.compile(r"\)\s\?\s"),
}
_NOT_LINE_END = re.compile(rb"[^\n]")
# "$name: text" is no variable and a colon, but a variable of a scope or drive.
_COLON = re.compile(r"(?<!`)\$\w+:(?![\w:])")


@functools.lru_cache(maxsize=8)
def parse(script: bytes) -> Node:
    """The root of the syntax tree."""
    return _PARSER.parse(script).root_node


def nodes(root: Node, *types: str) -> Iterator[Node]:
    """Every node of one of the types (of any, without types), in the order of the text."""
    cursor = root.walk()
    while True:
        node = cursor.node
        if node is not None and (not types or node.type in types):
            yield node
        if cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return


def faults(script: bytes) -> list[str]:
    """What the grammar cannot read, with the line. Empty for a script that parses."""
    root = parse(script)
    if not root.has_error:
        return []
    return [
        f"line {node.start_point[0] + 1}: not PowerShell: {text(node)[:60]!r}"
        for node in nodes(root)
        if node.is_error or node.is_missing
    ]


def problems(script: bytes) -> list[str]:
    """Everything that `make check` refuses."""
    found = faults(script)
    for number, line in enumerate(script.split(b"\n"), 1):
        if not line.isascii():
            found.append(f"line {number}: a character beyond ASCII")
        if b"\r" in line:
            found.append(f"line {number}: a carriage return; end lines with LF")
    for node in nodes(parse(script), "expandable_string_literal"):
        if _COLON.search(text(node)):
            found.append(f"line {node.start_point[0] + 1}: write ${{name}}: where a colon follows a variable")
    blanked = bytearray(script)
    for node in nodes(parse(script), "comment", "string_literal", "expandable_string_literal"):
        place = slice(node.start_byte, node.end_byte)
        blanked[place] = _NOT_LINE_END.sub(b" ", script[place])
    for number, code in enumerate(blanked.decode(errors="replace").split("\n"), 1):
        found += [
            f"line {number}: {name} is not known to PowerShell 5.1"
            for name, what in _ONLY_7.items()
            if what.search(code)
        ]
    return found


def text(node: Node) -> str:
    """The node's source."""
    return (node.text or b"").decode()


def constant(node: Node) -> str:
    """The value of an expression that is made of literals alone: strings, here-strings, ``[char]`` numbers, joined by ``+``.

    Raises ValueError for anything else, and that is what proves data to be data: a variable or a call is no literal.
    """
    while len(node.children) == 1 and node.type != "string_literal":
        node = node.children[0]
    if node.type == "string_literal":
        return _string(node)
    kinds = [child.type for child in node.children]
    if node.type == "parenthesized_expression" and kinds == ["(", "pipeline", ")"]:
        return constant(node.children[1])
    if node.type == "additive_expression" and len(kinds) == 3 and kinds[1] == "+":
        return constant(node.children[0]) + constant(node.children[2])
    if found := re.fullmatch(r"\[char\]0x([0-9A-F]{4})", text(node)):
        return chr(int(found[1], 16))
    raise ValueError(f"not a constant: {node.type} {text(node)[:80]!r}")


def _string(node: Node) -> str:
    source = text(node)
    if source.startswith("@'"):
        body = re.fullmatch(r"@'[ \t]*\n(.*)\n'@", source, re.DOTALL)
        if body is None or re.search(rf"^[{_QUOTES}]@", body[1], re.MULTILINE):
            raise ValueError("not one here-string")
        return body[1]
    body = re.fullmatch(rf"'((?:[^{_QUOTES}]|[{_QUOTES}][{_QUOTES}])*)'", source, re.DOTALL)
    if body is None:
        raise ValueError(f"not one single-quoted string: {source[:80]!r}")
    return re.sub(rf"[{_QUOTES}]([{_QUOTES}])", r"\1", body[1])


def hashtable(node: Node) -> dict[str, str]:
    """A hashtable literal whose keys and values are constants. Raises ValueError."""
    if node.type != "hash_literal_expression":
        raise ValueError(f"not a hashtable: {node.type}")
    found: dict[str, str] = {}
    for entry in nodes(node, "hash_entry"):
        key, _, value = entry.children
        bare = key.children[0]
        name = text(bare) if bare.type == "simple_name" else constant(bare)
        found[name] = _joined(constant(value))
    return found


def _joined(value: str) -> str:
    """Halves of a character beyond 16 bits, put together."""
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def functions(root: Node) -> dict[str, Node]:
    """The functions of a script by name."""
    return {
        text(name): node
        for node in nodes(root, "function_statement")
        for name in node.children
        if name.type == "function_name"
    }


def main(paths: list[str]) -> int:
    """0 when there is nothing to say."""
    bad = False
    for path in paths:
        for problem in problems(Path(path).read_bytes()):
            sys.stderr.write(f"{path}: {problem}\n")
            bad = True
    return int(bad)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
