"""Flask stays at the edge: services and storage can be called without a request."""

import ast
from collections.abc import Iterator
from pathlib import Path

SERVER = Path(__file__).parents[3] / "server"
MAY_USE_FLASK = {"app.py", "auth.py", "current.py", "errors.py", "api", "serving"}


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_flask_and_werkzeug_are_used_at_the_edge_only() -> None:
    users = {
        path.relative_to(SERVER).parts[0]
        for path in SERVER.rglob("*.py")
        if any(name.split(".")[0] in ("flask", "werkzeug") for name in _imported(path))
    }
    assert users <= MAY_USE_FLASK
