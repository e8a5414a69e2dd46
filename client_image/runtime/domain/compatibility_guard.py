"""Whether an action may touch a system: the matrix, the mode, and one recorded decision for every host. Pure.

Rows come from the configuration and then from `compat_matrix/endpoints.yaml`; what an action needs, from
`compat_matrix/actions.yaml`. Called by the pipeline (mode), the compatibility gate (lookup, decide) and `adapters.assets`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set
from functools import cache, lru_cache
from typing import Any, get_args

from packaging.specifiers import SpecifierSet
from packaging.version import Version
from pydantic import Field

from contracts.config import ActionName, Effect, Level, MatrixRow, Mode, Part, Text
from contracts.text import say
from runtime.domain.data_files import DataFault, read
from runtime.domain.errors import UsageFault
from runtime.domain.facts import Facts
from runtime.domain.model import Allow, Deny, Outcome, Reason, Verdict

_MODES: tuple[Mode, ...] = get_args(Mode)  # from loose to tight
_RANK: Mapping[Level, int] = {"L1": 3, "L2": 2, "L3": 1}
# How well a system is known, in the words that people read wherever a level is shown.
LEVELS: Mapping[Level, str] = {
    "L1": say("production"),
    "L2": say("restricted"),
    "L3": say("best effort"),
}
LEGEND = say(
    "Levels of systems: L1 production, seen in the field; L2 restricted, expected to work; L3 best effort, only looked at"
)
_LEADING_NUMBERS = re.compile(r"\s*v?([0-9]{1,9}(?:\.[0-9]{1,9}){0,5})(?![0-9])", re.ASCII)


class EndpointRow(MatrixRow):
    """A row that the image ships. ``source`` says where its level comes from: a row nobody can justify does not belong there."""

    source: Text


class _Endpoints(Part):
    rows: tuple[EndpointRow, ...] = Field(min_length=1)


class _Minimums(Part):
    actions: dict[ActionName, Level]


def parse_rows(text: str, where: str) -> tuple[EndpointRow, ...]:
    """The shipped matrix, in order. Raises DataFault."""
    return read(_Endpoints, text, where).rows


def parse_minimums(text: str, where: str) -> Mapping[str, Level]:
    """Canonical action -> the level that a system needs for it. Raises DataFault."""
    return read(_Minimums, text, where).actions


def check_minimums(minimums: Mapping[str, Level], canonical: Set[str], where: str) -> None:
    """Every action has a row and every row an action. Raises DataFault."""
    for name in sorted(minimums.keys() - canonical):
        raise DataFault(where, f"actions.{name}", say("unknown action"))
    for name in sorted(canonical - minimums.keys()):
        raise DataFault(where, "actions", say("{action} has no level", action=name))


def lookup(rows: Iterable[MatrixRow], facts: Facts) -> Level | None:
    """Level of the first row that covers the system, or None: unknown. Total for every version text of a system."""
    return next(
        (
            row.level
            for row in rows
            if row.distro == facts.distro and facts.arch in row.arch and _covers(row.versions, facts.version)
        ),
        None,
    )


def effective_mode(configured: Mode, requested: str | None, allow_loosening: bool) -> Mode:
    """The command line may tighten the configured mode; loosen it only where the configuration allows. Raises UsageFault."""
    if requested is None:
        return configured
    mode = next((mode for mode in _MODES if mode == requested.strip().lower()), None)
    if mode is None:
        raise UsageFault(
            "bad_compat_mode",
            say("unknown compatibility mode {mode}", mode=requested),
            say("one of {modes}", modes=", ".join(_MODES)),
        )
    if _MODES.index(mode) < _MODES.index(configured) and not allow_loosening:
        raise UsageFault(
            "compat_mode_loosened",
            say(
                "compatibility mode {mode} is looser than the configured {configured}", mode=mode, configured=configured
            ),
            say("leave --compat-mode out, or set compatibility.allow_loosening in the network's configuration"),
        )
    return mode


def decide(
    mode: Mode, facts: Facts, level: Level | None, required: Level, effect: Effect
) -> tuple[Verdict, Mapping[str, Any]]:
    """The verdict and what is recorded of it. Off decides nothing; warn lets pass; enforce blocks all but reads."""
    system = _system(facts)
    record: dict[str, Any] = {
        "mode": mode,
        "required": required,
        "level": level,
        "system": system,
        "source": facts.source,
    }
    if mode == "off":
        return Allow(), {**record, "decision": "not_checked"}
    refusal = _refusal(facts, level, required)
    if refusal is None:
        return Allow(_is_of(system, level)), {**record, "decision": "allowed"}
    record |= {"reason": refusal.reason.value, "message": refusal.message}
    if mode == "warn":
        return Allow(say("warning: {message}", message=refusal.message)), {**record, "decision": "warned"}
    if effect == "read":
        note = say("only reads, so let through: {message}", message=refusal.message)
        return Allow(note), {**record, "decision": "read_allowed"}
    return refusal, {**record, "decision": "blocked"}


@lru_cache(maxsize=4096)
def _is_of(system: str, level: Level | None) -> str:
    """Said of nearly every host, and of few systems."""
    return say("{system} is {level}", system=system, level=explained(level) if level else say("unknown"))


@cache
def explained(level: Level) -> str:
    """L2 (restricted)."""
    return say("{level} ({word})", level=level, word=LEVELS[level])


def _refusal(facts: Facts, level: Level | None, required: Level) -> Deny | None:
    if level is None:
        what = say("its system was not recognised")
        if facts.distro:
            what = say("no compatibility row covers {system}", system=_system(facts))
        return Deny(Outcome.BLOCKED, Reason.COMPAT_UNKNOWN, what)
    if _RANK[level] < _RANK[required]:
        message = say(
            "{system} is {level}; this action needs {required}",
            system=_system(facts),
            level=explained(level),
            required=explained(required),
        )
        return Deny(Outcome.BLOCKED, Reason.COMPAT_BELOW_MINIMUM, message)
    return None


def _system(facts: Facts) -> str:
    return " ".join(part for part in (facts.distro, facts.version, facts.arch) if part) or say("unknown")


def _version(text: str) -> Version | None:
    """The leading numbers: 13.37.0, 14.2+, 22.04.3 LTS. None for a name such as rolling, which only ``*`` covers."""
    match = _LEADING_NUMBERS.match(text)
    return Version(match[1]) if match else None


@lru_cache(maxsize=4096)
def _covers(specifiers: str, text: str) -> bool:
    """Cached, because a fleet has few systems and many hosts, and specifiers are slow. The row's validation has tried them."""
    if specifiers.strip() == "*":
        return True
    version = _version(text)
    return version is not None and SpecifierSet(specifiers).contains(version)
