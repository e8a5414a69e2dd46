"""How a deploy ends: reason codes with exit codes, the result, and the one error. Pure. The table is in docs/deployment.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from runtime.domain.errors import RunError

EXIT_CODES: Mapping[str, int] = MappingProxyType(
    {
        "installed": 0,
        "updated": 0,
        "unchanged": 0,
        "repaired": 0,
        "rolled_back": 0,
        "waiting": 0,
        "status": 0,
        "planned": 0,
        "removed": 0,
        "no_problems": 0,
        "image_unavailable": 1,
        "engine_error": 1,
        "watchtower_unavailable": 1,
        "no_previous": 1,
        "pinned": 1,
        "failed": 1,
        "checks_failed": 1,
        "not_enrolled": 1,
        "not_installed": 1,
        "bad_environment": 2,
        "bad_request": 2,
        "busy": 6,
        "candidate_unhealthy": 10,
        "restored": 11,
        "broken": 12,
        "run_in_progress": 75,
    }
)
# Neither a change nor a fault: no event is posted for them each time the timer runs.
UNEVENTFUL = frozenset({"unchanged", "waiting", "busy", "pinned", "status", "planned", "no_problems"})


class DeployError(RunError):
    """Why a deploy stopped. ``reason`` is a key of EXIT_CODES."""

    def __init__(self, reason: str, message: str, advice: str = "") -> None:
        super().__init__(reason, message, advice)
        self.exit_code = EXIT_CODES[reason]


@dataclass(frozen=True, slots=True)
class Result:
    """How a verb ended. ``notes``: what else an operator should know, one sentence each; ``log``: a container's last lines."""

    reason: str
    message: str
    advice: str = ""
    notes: tuple[str, ...] = ()
    log: str = ""

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.reason]


def as_result(error: DeployError) -> Result:
    return Result(error.reason, error.message, error.advice)
