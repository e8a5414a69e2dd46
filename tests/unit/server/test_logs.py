"""Log lines: one JSON object each, the correlation id on them, no secret in a traceback, no line that is really two."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from server.logs import configure_logging


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


def test_our_lines_and_those_of_libraries_have_one_shape(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "info")
    structlog.contextvars.bind_contextvars(correlation_id="c1")
    structlog.get_logger("ours").info("said", answer=42)
    logging.getLogger("theirs").warning("said %s", "too")
    ours, theirs = map(json.loads, capsys.readouterr().err.splitlines())
    assert list(ours)[:4] == list(theirs)[:4] == ["timestamp", "level", "event", "correlation_id"]
    assert (ours["event"], ours["answer"], ours["correlation_id"]) == ("said", 42, "c1")
    assert (theirs["event"], theirs["logger"], theirs["correlation_id"]) == ("said too", "theirs", "c1")


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_local_variables(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json" if form == "json" else "console", "info")
    try:
        json.loads("hunter2 is the value of a local variable in there")
    except ValueError:
        structlog.get_logger("ours").exception("failed")
    printed = capsys.readouterr().err
    assert "JSONDecodeError" in printed
    assert printed.count("hunter2") == 1  # the line of source above, and not the argument on its way down


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_line_break_in_a_value_makes_no_second_line(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json" if form == "json" else "console", "info")
    structlog.get_logger("ours").info("request", path="/a\nlevel=error forged\x1b[2J")
    printed = capsys.readouterr().err
    assert len(printed.splitlines()) == 1
    assert "\x1b[2J" not in printed


def test_levels_below_the_chosen_one_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "error")
    structlog.get_logger("quiet").warning("not said")
    logging.getLogger("theirs").warning("not said")
    assert capsys.readouterr().err == ""
