"""Crontab expressions: what they mean, and that a wrong one is refused by the name of its field."""

from __future__ import annotations

import datetime as dt

import pytest

from contracts.cron import CronError, cron_text, parse_cron

ALL_DAYS, ALL_MONTHS, ALL_WEEKDAYS = tuple(range(1, 32)), tuple(range(1, 13)), tuple(range(7))


@pytest.mark.parametrize(
    ("text", "field", "values"),
    [
        ("5 * * * *", "minutes", (5,)),
        ("*/20 * * * *", "minutes", (0, 20, 40)),
        ("10-20/5 * * * *", "minutes", (10, 15, 20)),
        ("3,1,2,1 * * * *", "minutes", (1, 2, 3)),
        ("0,30-32 * * * *", "minutes", (0, 30, 31, 32)),
        ("05 * * * *", "minutes", (5,)),
        ("0005 * * * *", "minutes", (5,)),
        ("*/1 * * * *", "minutes", tuple(range(60))),
        ("*/60 * * * *", "minutes", (0,)),
        ("0 7-23 * * *", "hours", tuple(range(7, 24))),
        ("0 0 1 jan,JUL *", "months", (1, 7)),
        ("0 0 1 Oct-dec *", "months", (10, 11, 12)),
        ("0 0 * * 0", "weekdays", (0,)),
        ("0 0 * * 7", "weekdays", (0,)),
        ("0 0 * * 0-7", "weekdays", ALL_WEEKDAYS),
        ("0 0 * * 5-7", "weekdays", (0, 5, 6)),
        ("0 0 * * mon-fri", "weekdays", (1, 2, 3, 4, 5)),
        ("0 0 * * Sat,fri,thu,wed,tue,mon,SUN", "weekdays", ALL_WEEKDAYS),
        ("0 0 * * tue", "weekdays", (2,)),
        ("0 0 * * 0-0", "weekdays", (0,)),
        ("0 0 * * sun-sun", "weekdays", (0,)),
        ("0 0 * * */7", "weekdays", (0,)),
        ("0 0 * * fri-sun", "weekdays", (0, 5, 6)),
        ("0 0 * * */2", "weekdays", (0, 2, 4, 6)),
        ("0 0 * * *", "weekdays", ALL_WEEKDAYS),
        ("0 0 * * *", "days", ALL_DAYS),
        ("0 0 * * *", "months", ALL_MONTHS),
        ("  0   0 * * *  ", "hours", (0,)),
    ],
)
def test_a_field_means_these_values(text: str, field: str, values: tuple[int, ...]) -> None:
    assert getattr(parse_cron(text), field) == values


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@Hourly", "0 * * * *"),
    ],
)
def test_a_named_schedule_stands_for_an_expression(word: str, text: str) -> None:
    assert parse_cron(word) == parse_cron(text)


@pytest.mark.parametrize(
    ("text", "day", "matches"),
    [
        # 2026-06-01 is a Monday, the 15th as well
        pytest.param("0 0 15 * 5", "2026-06-15", True, id="either: the number"),
        pytest.param("0 0 15 * 5", "2026-06-05", True, id="either: the weekday"),
        pytest.param("0 0 15 * 5", "2026-06-16", False, id="either: neither"),
        pytest.param("0 0 15 * *", "2026-06-05", False, id="only the number is restricted"),
        pytest.param("0 0 * * 5", "2026-06-15", False, id="only the weekday is restricted"),
        pytest.param("0 0 */2 * 1", "2026-06-15", True, id="a star with a step does not make it either: both hold"),
        pytest.param("0 0 */2 * 1", "2026-06-08", False, id="a star with a step: an even Monday"),
        pytest.param("0 0 */2 * 1", "2026-06-03", False, id="a star with a step: an odd Wednesday"),
        pytest.param("0 0 1-31 * 1", "2026-06-03", True, id="a full range is a restriction by its spelling"),
        pytest.param("0 0 15 7 5", "2026-06-05", False, id="the month holds for both"),
    ],
)
def test_day_of_month_or_weekday(text: str, day: str, matches: bool) -> None:
    assert parse_cron(text).on(dt.date.fromisoformat(day)) is matches


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "0 fields instead of 5"),
        ("5", "1 fields instead of 5"),
        ("* * * *", "4 fields instead of 5"),
        ("0 0 * * * *", "6 fields instead of 5"),
        ("60 * * * *", "minute: 60 is outside 0-59"),
        ("* 24 * * *", "hour: 24 is outside 0-23"),
        ("* * 0 * *", "day-of-month: 0 is outside 1-31"),
        ("* * * 13 *", "month: 13 is outside 1-12"),
        ("* * * * 8", "day-of-week: 8 is outside 0-7"),
        ("-5 * * * *", 'minute: "" is not a number'),
        ("1- * * * *", 'minute: "" is not a number'),
        ("1,,2 * * * *", 'minute: "" is not a number'),
        ("* * * * ?", 'day-of-week: "?" is not a number or one of sun, mon'),
        ("* * L * *", 'day-of-month: "L" is not a number'),
        ("* * * foo *", 'month: "foo" is not a number or one of jan, feb'),
        ("* * * * mon-jan", 'day-of-week: "jan" is not a number'),
        ("²  * * * *", 'minute: "²" is not a number'),
        ("99999999999999999999 * * * *", 'minute: "99999999999999999999" is not a number'),
        ("00005 * * * *", 'minute: "00005" is not a number'),
        ("5-0 * * * *", "minute: the range 5-0 runs backwards"),
        ("30-10 * * * *", "minute: the range 30-10 runs backwards"),
        ("* * * * sat-mon", "day-of-week: the range sat-mon runs backwards"),
        ("5/10 * * * *", "minute: a step needs a range: write 5-59/10 or */10"),
        ("*/0 * * * *", 'minute: the step "0" is not a number from 1 to 60'),
        ("*/90 * * * *", 'minute: the step "90" is not a number from 1 to 60'),
        ("*/61 * * * *", 'minute: the step "61" is not a number from 1 to 60'),
        ("0 0 */32 * *", 'day-of-month: the step "32" is not a number from 1 to 31'),
        ("*/x * * * *", 'minute: the step "x" is not a number from 1 to 60'),
        ("*/ * * * *", 'minute: the step "" is not a number from 1 to 60'),
        ("0 0 30 2 *", "day-of-month: 30 never comes in month 2"),
        ("0 0 31 4,6,9 *", "day-of-month: 31 never comes in month 4,6,9"),
        ("@reboot", "@reboot is not known here; use one of @yearly"),
    ],
)
def test_a_wrong_expression_is_refused_by_the_name_of_its_field(text: str, message: str) -> None:
    with pytest.raises(CronError) as refused:
        cron_text(text)
    assert str(refused.value).startswith(message)


def test_a_field_without_names_is_said_to_be_a_number_and_nothing_else() -> None:
    with pytest.raises(CronError) as refused:
        parse_cron("x * * * *")
    assert str(refused.value) == 'minute: "x" is not a number'


def test_a_day_that_some_month_or_year_has_is_accepted() -> None:
    assert parse_cron("0 0 31 2,3 *").days == (31,)
    assert parse_cron("0 0 29 2 *").days == (29,)
    assert parse_cron("0 0 30 2 mon").either_day  # the weekday alone makes it fire
