"""Errors with a reason code. Two kinds carry meaning to the engine; the rest end a run before it touches a host."""

from __future__ import annotations

from runtime.domain.model import Outcome, Reason


def in_words(error: BaseException) -> str:
    """The innermost cause as the system words it, without Python's type and error number."""
    while below := error.__cause__ or error.__context__:
        error = below
    told = getattr(error, "verify_message", None) or getattr(error, "strerror", None)
    return str(told or str(error) or type(error).__name__)


class HostError(Exception):
    """Something about one host went wrong; becomes its outcome in one place (process_one)."""

    def __init__(self, outcome: Outcome, reason: Reason, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.outcome, self.reason, self.message, self.detail = outcome, reason, message, detail


class Transient(HostError):
    """May pass in a moment, and another attempt does no harm: the network, a busy server. Before anything was sent to the host,
    the run tries again."""


class Permanent(HostError):
    """Not worth another attempt in this run: a changed key, a refused login, an answer that makes no sense. Also what another
    attempt could make worse, such as a login that was cut after a password was given: attempts are counted there."""


class RunError(Exception):
    """The run cannot start. ``exit_code`` is the process's; ``advice`` says what to do next."""

    exit_code = 2

    def __init__(self, reason: str, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.reason, self.message, self.advice = reason, message, advice


class UsageFault(RunError):
    """Unknown or unavailable action, filter or parameter."""


class NoConfiguration(RunError):
    exit_code = 3


class InventoryUnavailable(RunError):
    """The inventory did not answer or answered with an error: never the same as "no hosts"."""

    exit_code = 4


class NoHostMatched(RunError):
    exit_code = 5


class JobStillRunning(RunError):
    exit_code = 6


class Updating(RunError):
    """An update is about to replace this container; whoever asked can ask the next one."""

    exit_code = 69


class RunCancelled(RunError):
    """Stopped before it had a host to consider."""

    exit_code = 130
