"""What this release knows of actions, and what a document says about them. Called by the configurations service and the CLI.

`contracts/catalogue.json` belongs to the release, as its code does: it is read once a process, from beside the package.
"""

from __future__ import annotations

import datetime as dt
from functools import cache
from pathlib import Path

import contracts
from contracts.action_check import Check, Finding
from contracts.catalogue import FILE, Catalogue, parse_catalogue
from contracts.config import NetworkConfig


@cache
def catalogue() -> Catalogue:
    """Raises OSError or ValueError when the release is not whole."""
    return parse_catalogue((Path(contracts.__file__).parent / FILE).read_text(encoding="utf-8"))


def findings(config: NetworkConfig, now: dt.datetime, *, allow_unknown: bool = False) -> tuple[Finding, ...]:
    """Names, parameters, overrides and jobs, each looked at. ``allow_unknown``: a name that this release does not have is a
    warning, because a newer proxy may know it."""
    check = Check(config, catalogue(), now, unknown="warning" if allow_unknown else "error", strict=True)
    return tuple(check.findings())
