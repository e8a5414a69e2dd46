"""The end of one subject in words: stages that were confirmed before it stay so, and what is not known is said."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from runtime.domain.model import Outcome, Reason
from runtime.domain.subject_record import Ended, SubjectRecord, last_line

FROZEN = Ended(Outcome.SKIPPED, Reason.FROZEN, "frozen until 20:00", "sale")
BUSY = Ended(Outcome.SKIPPED, Reason.TERMINAL_BUSY, "in use")
BLOCKED = Ended(Outcome.BLOCKED, Reason.COMPAT_UNKNOWN, "unknown system")
LOST = Ended(Outcome.UNREACHABLE, Reason.TIMEOUT, "no answer")
BROKEN = Ended(Outcome.FAILED, Reason.STEP_FAILED, "second: step failed", "second")
UNKNOWN = Ended(Outcome.UNKNOWN, Reason.KILLED, "first was sent but not finished, then cut", "first")
CHANGED = Ended(Outcome.CHANGED, Reason.CONFIRMED, "as it should be")


def record(*states: str, **fields: Any) -> SubjectRecord:
    """``states``: of the stages first and second."""
    one = SubjectRecord(**fields)
    for name, state in zip(("first", "second"), states, strict=False):
        one.sent(name, ())
        one.reached(state)
    return one


# states of the stages, and where it ended -> outcome, reason, detail and message
ENDS: dict[str, tuple[tuple[str, ...], Ended, tuple[str, str, str, str]]] = {
    "nothing sent": ((), FROZEN, ("skipped", "frozen", "sale", "frozen until 20:00")),
    "sent, then refused": (
        ("sent",),
        FROZEN,
        ("failed", "not_converged", "sale", "first was sent but not finished: frozen until 20:00"),
    ),
    "applied, then refused without a detail": (
        ("applied",),
        BUSY,
        ("failed", "not_converged", "terminal_busy", "first was applied but not confirmed: in use"),
    ),
    "confirmed, then refused": (
        ("confirmed",),
        BLOCKED,
        ("failed", "not_converged", "compat_unknown", "first confirmed; the rest was not begun: unknown system"),
    ),
    "one confirmed, one applied, then lost": (
        ("confirmed", "applied"),
        LOST,
        ("failed", "not_converged", "timeout", "first confirmed; second was applied but not confirmed: no answer"),
    ),
    "confirmed, then a step that failed": (
        ("confirmed", "failed"),
        BROKEN,
        ("failed", "step_failed", "second", "first confirmed; second: step failed"),
    ),
    "what names its stage is not said twice": (("sent",), UNKNOWN, ("unknown", "killed", "first", UNKNOWN.message)),
    "both confirmed": (("confirmed", "confirmed"), CHANGED, ("changed", "confirmed", "", "as it should be")),
    "both confirmed, then refused": (
        ("confirmed", "confirmed"),
        BUSY,
        ("failed", "not_converged", "terminal_busy", "first and second confirmed; the rest was not begun: in use"),
    ),
}


@pytest.mark.parametrize("case", ENDS)
def test_an_end_keeps_what_was_done_before_it(case: str) -> None:
    states, ended, expected = ENDS[case]
    found = record(*states).completed(ended)
    assert (found.outcome.value, found.reason.value, found.detail, found.message) == expected


@pytest.mark.parametrize(
    ("states", "told", "unconfirmed"),
    [
        ((), "nothing was changed", ""),
        (("sent",), "first was sent but not finished", "first"),
        (("applied",), "first was applied but not confirmed", "first"),
        (("failed",), "first failed", ""),
        (("confirmed",), "the rest was not begun", ""),
        (("confirmed", "sent"), "second was sent but not finished", "second"),
    ],
)
def test_what_is_known_of_the_last_stage_is_true_at_any_moment(
    states: tuple[str, ...], told: str, unconfirmed: str
) -> None:
    one = record(*states)
    assert (one.so_far(), one.unconfirmed) == (told, unconfirmed)


@pytest.mark.parametrize(
    ("ended", "message"),
    [
        (Ended(Outcome.OK, Reason.DONE, "right."), "right. Identity: a second machine has this key"),
        (Ended(Outcome.OK, Reason.DONE, ""), "Identity: a second machine has this key"),
        (Ended(Outcome.BLOCKED, Reason.HOST_IDENTITY_UNCLEAR, "a clone"), "a clone"),
    ],
)
def test_a_doubt_about_the_identity_is_told_once(ended: Ended, message: str) -> None:
    assert record(warning="a second machine has this key").completed(ended).message == message


@pytest.mark.parametrize(
    ("writes", "lasting", "message"),
    [
        (True, False, "as it should be; only until the next boot: / is in memory"),
        (True, True, "as it should be"),
        (True, None, "as it should be"),
        (False, False, "as it should be"),
    ],
)
def test_a_change_that_does_not_last_says_so(writes: bool, lasting: bool | None, message: str) -> None:
    facts: Any = SimpleNamespace(storage=SimpleNamespace(lasting=lasting, why="/ is in memory"))
    assert record("confirmed", facts=facts, writes=writes).completed(CHANGED).message == message
    assert record("confirmed", writes=writes).completed(CHANGED).message == "as it should be"


def test_a_confirmed_stage_that_does_not_last_says_so_in_an_end_that_came_after_it() -> None:
    facts: Any = SimpleNamespace(storage=SimpleNamespace(lasting=False, why="/ is in memory"))
    found = record("confirmed", facts=facts, writes=True).completed(BROKEN)
    assert found.message == "first confirmed (only until the next boot: / is in memory); second: step failed"


def test_seconds_of_one_kind_are_added_up_and_rounded() -> None:
    one = record()
    one.spent("observe", 1.5)
    one.spent("observe", 0.123456)
    assert one.durations == {"observe": 1.6235}


@pytest.mark.parametrize(
    ("text", "line"), [("", ""), (" \n\t\n", ""), ("one\n two \n  \n", "two"), ("x" * 300, "x" * 200)]
)
def test_the_last_line_is_the_last_that_says_something(text: str, line: str) -> None:
    assert last_line(text) == line
