"""`python -m runtime.container.selftest`: whether this image holds together. Run inside a built image before it may be published.

Every module imports, every action is there, every data file loads, the local state can be made and brought to its schema, and the
scripts render. It needs no network, no configuration and no host; it writes only below the temporary folder.
"""

from __future__ import annotations

import datetime as dt
import importlib
import json
import pkgutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

_STARTS_BY_ITSELF = "__main__"


def modules() -> int:
    """Import everything that is protected; how many modules there are."""
    count = 0
    for name in ("contracts", "commandline", "runtime"):
        package = importlib.import_module(name)
        for found in pkgutil.walk_packages(package.__path__, f"{name}.", onerror=_raise):
            if not found.name.endswith(_STARTS_BY_ITSELF):
                importlib.import_module(found.name)
                count += 1
    return count


def actions() -> int:
    """The registry is whole; how many actions this version carries."""
    from runtime.actions.registry import registered

    return sum(action.available for action in registered().by_name.values())


def data() -> str:
    """Providers and matrices load; the digest over them."""
    from runtime.actions.registry import registered
    from runtime.adapters import assets

    return assets.load(assets.find_root(), registered().names).digest


def published() -> int:
    """The catalogue that the control plane reads says what this image's actions declare; how many they are."""
    import contracts
    from contracts.catalogue import FILE, parse_catalogue
    from runtime.actions.registry import ACTIONS, registered
    from runtime.adapters import assets
    from runtime.domain.published import publish

    text = (Path(contracts.__file__).parent / FILE).read_text(encoding="utf-8")
    declared = publish(ACTIONS, assets.load(assets.find_root(), registered().names).providers)
    if parse_catalogue(text) != declared:
        raise ValueError(f"contracts/{FILE} is not what the actions declare: run `make schema`, then build again")
    return len(declared.actions)


def state() -> str:
    """A local state can be made; the schema that it has."""
    from runtime.adapters.state.migrations import HEAD
    from runtime.adapters.state.store import State

    with tempfile.TemporaryDirectory() as folder:
        State(Path(folder), now=dt.datetime.now(dt.UTC)).close()
    return HEAD


def script() -> int:
    """The engine's own look renders; its bytes."""
    from runtime.domain.script import render
    from runtime.engine import probe

    return len(render([("facts", probe.SCRIPT), ("observe", "")], "selftest", 60))


def _raise(name: str) -> None:
    raise ImportError(f"{name} does not import")


def main() -> None:
    """One JSON line; exit 0 when everything holds, else 1."""
    checks: tuple[Callable[[], object], ...] = (modules, actions, data, published, state, script)
    found: dict[str, Any] = {}
    failed = False
    for check in checks:
        try:
            found[check.__name__] = check()
        except Exception as error:
            failed = True
            found[check.__name__] = f"{type(error).__name__}: {error}"
    sys.stdout.write(json.dumps({"ok": not failed, **found}) + "\n")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
