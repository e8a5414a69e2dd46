"""Log lines: one JSON object each, the correlation id on them, no secret in a traceback, no line that is really two."""

import json
import logging
import re

import pytest
import structlog
from structlog.testing import capture_logs

from contracts.visible import visible
from server.logs import configure_logging
from tests.harness.logs import logging_as_before


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


HOSTILE = {
    "line feed": "a\nlevel=error forged",
    "carriage return": "a\rb",
    "tab": "a\tb",
    "escape": "a\x1b]0;title\x07\x1b[2J",
    "delete": "a\x7fb",
    "C1": "a\x9b31m\x85b",
    "right-to-left override": "PDV\u202e102",
    "isolate": "a\u2066b\u2069",
    "zero width": "PDV\u200b201",
    "line separator": "a\u2028b\u2029c",
    "byte order mark": "\ufeffPDV201",
    "half of a surrogate pair": "a\ud83d",
    "no-break space": "LOJA\u00a0001",
    "tag": "a\U000e0041",
    "filler": "a\u3164\ufe0fb",
    "quotes": "a\"b'c\\",
}


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_in_any_field_stays_one_visible_line(
    form: str, text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    configure_logging("json" if form == "json" else "console", "info")
    log, foreign = structlog.get_logger("ours"), logging.getLogger("theirs")
    with structlog.contextvars.bound_contextvars(bound=text):
        log.info("said", path=text)
    log.info(text)
    log.info("said", **{text: "name"})
    log.info("said", listed=[text, (text,)], mapped={text: [{"inner": text}]}, other=OSError(2, text))
    foreign.warning("said %s", text)
    foreign.warning(text.replace("%", ""))
    printed = capfd.readouterr().err
    lines = printed.removesuffix("\n").split("\n")
    assert len(lines) == 6
    assert all(visible(line) == line and "\t" not in line for line in lines if form == "json" or "\x1b" not in line)
    colours = re.sub(r"\x1b\[[0-9;]*m", "", printed)
    assert "\x1b" not in colours
    assert visible(colours) == colours
    if form == "json":
        read = [json.loads(line) for line in lines]
        assert read[0]["path"] == read[0]["bound"] == read[1]["event"] == text, "a program reads exactly what was sent"


@pytest.mark.parametrize("form", ["json", "console"])
def test_what_an_exception_repeats_is_visible(form: str, capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging("json" if form == "json" else "console", "info")
    for text in HOSTILE.values():
        try:
            raise ValueError(text)  # noqa: TRY301
        except ValueError:
            structlog.get_logger("ours").exception("failed", cause=text)
            logging.getLogger("theirs").exception("failed")
    printed = re.sub(r"\x1b\[[0-9;]*m", "", capfd.readouterr().err)
    assert visible(printed) == printed


def test_a_logger_that_one_test_used_logs_as_the_next_one_configures(capsys: pytest.CaptureFixture[str]) -> None:
    log, root = structlog.get_logger("of a module"), logging.getLogger()
    before = structlog.get_config(), root.handlers[:], root.level
    with logging_as_before():
        configure_logging("json", "error")
        log.error("first", answer=1)
    assert (structlog.get_config(), root.handlers, root.level) == before
    with logging_as_before():
        configure_logging("json", "debug")
        with capture_logs() as lines:
            log.debug("second")
        log.debug("third")
    assert lines == [{"event": "second", "log_level": "debug"}]
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["first", "third"]
