"""Whether a clock is believed: by the control plane, by the proxy's own memory, after a pause, and against an image's age."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from runtime.domain.time.clock_trust import (
    LONGEST_PAUSE,
    SETTLING,
    Evidence,
    Known,
    Reading,
    Suspect,
    Trusted,
    judge,
    jumped,
)

NOON = dt.datetime(2026, 3, 14, 12, 0, tzinfo=dt.UTC)
MINUTE, HOUR, DAY = dt.timedelta(minutes=1), dt.timedelta(hours=1), dt.timedelta(days=1)
YEARS = 4380 * DAY


def reading(wall: dt.datetime, after: dt.timedelta = dt.timedelta(), boot: str = "this") -> Reading:
    """The clock shows ``wall``, ``after`` so much real time since noon."""
    return Reading(wall, 1000 + after.total_seconds(), boot)


AT_NOON = Known(NOON, 1000.0, "this")
BEFORE = Known(NOON, 99_000.0, "a start before")


@pytest.mark.parametrize(
    ("evidence", "now", "became"),
    [
        pytest.param(Evidence(), reading(NOON + YEARS), "trusted", id="a new proxy has nothing to lose"),
        pytest.param(Evidence(AT_NOON), reading(NOON + HOUR, HOUR), "trusted", id="as much as passed"),
        pytest.param(Evidence(AT_NOON), reading(NOON + 90 * DAY, 90 * DAY), "trusted", id="a long time that passed"),
        pytest.param(Evidence(AT_NOON), reading(NOON + YEARS, MINUTE), "contradicted", id="years ahead"),
        pytest.param(Evidence(AT_NOON), reading(NOON - YEARS, MINUTE), "contradicted", id="years behind"),
        pytest.param(
            Evidence(AT_NOON), reading(NOON + 3 * HOUR, MINUTE), "contradicted", id="local time taken for UTC"
        ),
        pytest.param(
            Evidence(AT_NOON), reading(NOON + 50 * MINUTE, MINUTE), "trusted", id="a step within the tolerance"
        ),
        pytest.param(Evidence(BEFORE), reading(NOON + DAY), "trusted", id="off for a night"),
        pytest.param(Evidence(BEFORE), reading(NOON + 40 * DAY), "unconfirmed", id="off for forty days"),
        pytest.param(Evidence(BEFORE), reading(NOON + YEARS), "unconfirmed", id="years ahead after a start"),
        pytest.param(Evidence(BEFORE), reading(NOON - 2 * HOUR), "contradicted", id="behind after a start"),
        pytest.param(Evidence(BEFORE, AT_NOON), reading(NOON + HOUR, HOUR), "trusted", id="plane: right"),
        pytest.param(
            Evidence(BEFORE, Known(NOON + 40 * DAY, 1000.0, "this")),
            reading(NOON + 40 * DAY + HOUR, HOUR),
            "trusted",
            id="plane: forty days have passed",
        ),
        pytest.param(
            Evidence(AT_NOON, AT_NOON), reading(NOON + YEARS, MINUTE), "contradicted", id="plane: years ahead"
        ),
        pytest.param(
            Evidence(Known(NOON + YEARS, 1000.0, "this"), AT_NOON),
            reading(NOON + YEARS, MINUTE),
            "contradicted",
            id="plane: wrong from the first moment on",
        ),
        pytest.param(
            Evidence(Known(NOON + YEARS, 1000.0, "this"), AT_NOON),
            reading(NOON),
            "trusted",
            id="plane: set right again",
        ),
        pytest.param(
            Evidence(AT_NOON, Known(NOON + YEARS, 1000.0, "this")),
            reading(NOON),
            "contradicted",
            id="plane is wrong itself",
        ),
        pytest.param(Evidence(None, BEFORE), reading(NOON - DAY), "contradicted", id="plane: behind its last contact"),
        pytest.param(Evidence(newest=NOON), reading(NOON + DAY), "trusted", id="rows of yesterday"),
        pytest.param(Evidence(newest=NOON), reading(NOON + YEARS), "unconfirmed", id="rows of twelve years ago"),
        pytest.param(Evidence(newest=NOON), reading(NOON - DAY), "contradicted", id="rows of tomorrow"),
        pytest.param(Evidence(built=NOON), reading(NOON - DAY), "contradicted", id="older than the image"),
        pytest.param(Evidence(AT_NOON, built=NOON - DAY), reading(NOON), "trusted", id="younger than the image"),
        pytest.param(
            Evidence(Known(NOON, 5.0, "")),
            Reading(NOON + YEARS, 9.0, ""),
            "unconfirmed",
            id="no name of the start is known",
        ),
    ],
)
def test_a_clock_is_trusted_only_where_other_evidence_agrees(evidence: Evidence, now: Reading, became: str) -> None:
    trust = judge(evidence, now)
    assert trust.now == now.wall
    found = "trusted" if isinstance(trust, Trusted) else "contradicted" if trust.contradicted else "unconfirmed"
    assert found == became


def test_history_rests_for_a_day_after_a_jump_that_the_control_plane_confirms() -> None:
    moved = reading(NOON + 40 * DAY, MINUTE)
    plane = Known(NOON + 40 * DAY, moved.monotonic, "this")
    assert jumped(Evidence(AT_NOON), moved)
    settled = moved.wall + SETTLING
    for after, deletes in ((HOUR, False), (SETTLING + MINUTE, True)):
        later = reading(moved.wall + after, MINUTE + after)
        trust = judge(Evidence(Known(moved.wall, moved.monotonic, "this"), plane, settled=settled), later)
        assert isinstance(trust, Trusted)
        assert (trust.deletes, bool(trust.why)) == (deletes, not deletes)


def test_a_rest_that_a_wrong_clock_set_does_not_last_for_years() -> None:
    trust = judge(Evidence(AT_NOON, AT_NOON, settled=NOON + YEARS), reading(NOON + HOUR, HOUR))
    assert isinstance(trust, Trusted)
    assert trust.deletes


def test_the_sentence_names_both_times() -> None:
    trust = judge(Evidence(AT_NOON), reading(NOON + YEARS, MINUTE))
    assert isinstance(trust, Suspect)
    assert "2038-03-11 12:00 UTC" in trust.why
    assert "4379 days" in trust.why
    assert LONGEST_PAUSE < 7 * DAY


def test_a_clock_fault_is_reported_in_the_chosen_time_zone() -> None:
    trust = judge(Evidence(newest=NOON), reading(NOON - DAY), ZoneInfo("America/Sao_Paulo"))
    assert isinstance(trust, Suspect)
    there = NOON.astimezone(ZoneInfo("America/Sao_Paulo"))
    assert f"but {there:%Y-%m-%d %H:%M} -03 has been already" in trust.why
    assert "UTC" not in trust.why
