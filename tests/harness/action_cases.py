"""The cases of actions: `tests/cases/actions/<name>/*.yaml`, what an action decides about what a terminal said.

A file is a mapping, the case's name -> what is given and what must come of it (:class:`Case`); README.md beside the folders shows
one. Names that begin with an underscore are parts for others to use (YAML anchors). Read by the unit tests of the actions and by
every test that needs parameters for an action.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from functools import lru_cache
from pathlib import Path
from typing import Any, Self
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from runtime.domain.facts import Facts

FOLDER = Path(__file__).resolve().parents[1] / "cases" / "actions"
ZONE = ZoneInfo("America/Sao_Paulo")
NIGHT = "2026-03-10 23:00"
_FACTS = TypeAdapter(Facts)


class CaseError(Exception):
    """A file that holds no cases as they must be. The message names file and case."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Decided(_Part):
    """What the decision must be. Fields that are left out are not looked at; ``message`` is a part of the message."""

    code: str | None = None
    message: str | None = None
    report: dict[str, Any] = Field(default_factory=dict)
    name: str | None = None
    confirm: str | None = None
    steps: list[str] | None = None
    changes: list[str] | None = None


class Case(_Part):
    """One case. ``observed``: what the observe script printed; ``facts``: fields of Facts that are not those of an Ubuntu 22.04
    where we are root; ``now``: local time of the engine; ``clock``: seconds by which the terminal's clock is ahead, null: it has
    none; ``host``: fields of the host. Exactly one of ``done``, ``failed``, ``refused`` and ``stage``."""

    params: dict[str, Any] = Field(default_factory=dict)
    observed: dict[str, str] = Field(default_factory=dict)
    facts: dict[str, Any] = Field(default_factory=dict)
    host: dict[str, Any] = Field(default_factory=dict)
    now: str = NIGHT
    clock: float | None = 0.0
    done: Decided | None = None
    failed: Decided | None = None
    refused: Decided | None = None
    stage: Decided | None = None

    @model_validator(mode="after")
    def _one_decision(self) -> Self:
        if sum(one is not None for one in (self.done, self.failed, self.refused, self.stage)) != 1:
            raise ValueError("say exactly one of done, failed, refused and stage")
        return self

    def seen(self) -> Facts:
        """What one observation of the terminal reported to the engine."""
        now = dt.datetime.strptime(self.now, "%Y-%m-%d %H:%M").replace(tzinfo=ZONE)
        base = Facts(
            distro="ubuntu",
            version="22.04",
            uid=0,
            privilege="root",
            observed_at=now,
            epoch=None if self.clock is None else int(now.timestamp() + self.clock),
            observed=self.observed,
        )
        return _FACTS.validate_python(dataclasses.asdict(base) | self.facts)


@lru_cache(maxsize=64)
def cases(action: str) -> dict[str, Case]:
    """The cases of an action by name, in the order of the files; empty where there is no folder. Raises CaseError."""
    found: dict[str, Case] = {}
    for path in sorted((FOLDER / action).glob("*.yaml")):
        where = f"tests/cases/actions/{action}/{path.name}"
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise CaseError(f"{where}: a mapping of names to cases is expected")
        for name, case in content.items():
            if str(name).startswith("_"):
                continue
            if name in found:
                raise CaseError(f"{where}: there is another case with the name {name}")
            try:
                found[str(name)] = Case.model_validate(case)
            except ValidationError as error:
                first = error.errors()[0]
                key = ".".join(map(str, first["loc"]))
                raise CaseError(f"{where}: {name}: {key}: {first['msg']}".replace(": : ", ": ")) from error
    return found
