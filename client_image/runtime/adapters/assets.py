"""Finds the product's data on disk and loads it, checked: providers and compatibility matrices. Called by the composition roots.

The product root is the folder that holds `providers/`: the repository, or /flageemonitor in the image.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from contracts.config import Level
from contracts.text import say
from contracts.visible import quoted
from runtime.adapters.state.files import read_plain
from runtime.domain.compatibility_guard import EndpointRow, check_minimums, parse_minimums, parse_rows
from runtime.domain.data_files import DataFault
from runtime.domain.providers import DEFAULT, Provider, check_names, parse_provider

ROOT_VARIABLE = "FLAGEEMONITOR_ROOT"


@dataclass(frozen=True, slots=True)
class Assets:
    """``minimums``: canonical action -> level; ``digest``: SHA-256 (hex) over every file read, for `doctor` and heartbeats."""

    root: Path
    providers: Mapping[str, Provider]
    rows: tuple[EndpointRow, ...]
    minimums: Mapping[str, Level]
    digest: str


def find_root(environ: Mapping[str, str] = os.environ, start: Path = Path(__file__)) -> Path:
    """`$FLAGEEMONITOR_ROOT`, else the nearest parent of ``start`` that holds `providers/`. Raises DataFault."""
    said = environ.get(ROOT_VARIABLE)
    candidates = [Path(said)] if said else list(start.resolve().parents)
    for folder in candidates:
        if (folder / "providers").is_dir():
            return folder
    if said:
        text = say("not found in {folder} (from {variable})", folder=said, variable=ROOT_VARIABLE)
    else:
        text = say("not found in any folder above {folder}", folder=start)
    raise DataFault("providers/", "", text)


def load(root: Path, names: Mapping[str, str]) -> Assets:
    """Read and check everything. ``names``: canonical names and aliases -> canonical names, from the action registry.

    Raises DataFault, which names the file and the key.
    """
    digest = hashlib.sha256()

    def text(path: str) -> str:
        try:
            raw = read_plain(root / path)
            digest.update(f"{path}\0{len(raw)}\0".encode() + raw)
            return raw.decode("utf-8")
        except OSError as error:
            raise DataFault(path, "", error.strerror or str(error)) from None
        except UnicodeDecodeError:
            raise DataFault(path, "", say("not UTF-8")) from None

    providers = {}
    for folder in sorted(path.name for path in (root / "providers").iterdir() if path.is_dir()):
        where = f"providers/{folder}/provider.yaml"
        provider = parse_provider(text(where), where)
        if provider.id != folder:
            problem = say(
                "is {id}; the folder's name {folder} is expected", id=quoted(provider.id), folder=quoted(folder)
            )
            raise DataFault(where, "id", problem)
        check_names(provider, names, where)
        for name, file in provider.assets.items():
            if not (root / "providers" / folder / file).is_file():
                raise DataFault(where, f"assets.{name}", say("no such file: {file}", file=file))
        providers[folder] = provider
    if DEFAULT not in providers:
        raise DataFault("providers/", "", say("the default provider {provider} is missing", provider=DEFAULT))
    rows = parse_rows(text("compat_matrix/endpoints.yaml"), "compat_matrix/endpoints.yaml")
    minimums = parse_minimums(text("compat_matrix/actions.yaml"), "compat_matrix/actions.yaml")
    check_minimums(minimums, frozenset(names.values()), "compat_matrix/actions.yaml")
    return Assets(root, MappingProxyType(providers), rows, MappingProxyType(dict(minimums)), digest.hexdigest())
