"""Warnings and errors of the daemon's log are worth telling, few of each."""

from __future__ import annotations

import io
import json

import structlog

from runtime.domain.kept_lines import OF_ALL, OF_ONE_EVENT, WINDOW_S, KeptLines
from runtime.logs import configure


class At:
    def __init__(self) -> None:
        self.now = 0.0
        self.lines = KeptLines(lambda: self.now)

    def note(self, event: str, level: str = "error", times: int = 1, **more: object) -> None:
        for _ in range(times):
            self.lines.note({"event": event, "level": level, **more})


def test_only_warnings_and_errors_are_kept() -> None:
    at = At()
    for level in ("debug", "info", "warning", "error", "critical"):
        at.note(f"an_{level}", level)
    assert [line["level"] for line in at.lines.take()] == ["warning", "error", "critical"]
    assert at.lines.take() == []


def test_what_the_channel_says_of_itself_does_not_fill_the_channel() -> None:
    at = At()
    at.note("delivery", "warning")
    at.note("status_report", "warning")
    assert at.lines.take() == []


def test_what_comes_too_often_is_counted_and_told_with_the_next_line() -> None:
    at = At()
    at.note("run_died", times=OF_ONE_EVENT + 7)
    assert len(at.lines.take()) == OF_ONE_EVENT
    at.now += WINDOW_S
    at.note("run_died", times=2)
    assert [line["suppressed"] for line in at.lines.take()] == [7, 0]


def test_all_events_together_are_bounded() -> None:
    at = At()
    for number in range(OF_ALL * 2):
        at.note(f"event_{number}")
    assert len(at.lines.take()) == OF_ALL


def test_a_line_that_is_absurdly_long_is_cut() -> None:
    at = At()
    many = {f"k{n}": "v" * 9999 for n in range(99)}
    at.lines.note({"event": "x" * 500, "level": "error", "message": "m" * 10_000, "exception": "Traceback", **many})
    [line] = at.lines.take()
    assert len(json.dumps(line)) < 12_000


def test_a_fault_is_kept_with_what_it_was() -> None:
    at = At()
    at.note("service_failed", exception="Traceback (most recent call last):\n  …\nOSError: no space left")
    [line] = at.lines.take()
    assert line["message"] == "OSError: no space left"


def test_the_log_hands_on_each_line_as_it_is_written() -> None:
    lines, out = KeptLines(lambda: 0.0), io.StringIO()
    try:
        configure("json", debug=False, stream=out, keep=lines.note)
        structlog.get_logger("daemon").bind(run_id="r1").warning("run_died", open_hosts=2)
    finally:
        structlog.reset_defaults()
    [line] = lines.take()
    assert (line["event"], line["fields"]) == ("run_died", {"run_id": "r1", "open_hosts": "2"})
    assert json.loads(out.getvalue())["event"] == "run_died"
