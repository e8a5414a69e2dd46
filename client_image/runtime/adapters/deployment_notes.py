"""stub for now"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DeploymentNotes:
    warnings: tuple[str, ...] = ()


def read_notes(data: Path, now: dt.datetime, interval: int | None) -> DeploymentNotes:
    return DeploymentNotes()
