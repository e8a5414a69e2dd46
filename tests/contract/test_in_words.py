"""A job in words: what it does to whom, when, and within which limits."""

from typing import Any

import pytest

from contracts.config import Job, JobSelector, StaticHost
from contracts.cron import parse_cron
from contracts.in_words import items, job_in_words, listed, targets, times, window_in_words
from contracts.static_hosts import StaticHosts
from server.services.configurations import actions

OFF = "shutdown_endpoint"
ENTRIES = actions.catalogue().actions


def told(action: str = OFF, params: dict[str, Any] | None = None, **keys: Any) -> str:
    job = Job.model_validate({"id": "night", "action": action, "cron": "50 23 * * *", **keys})
    return job_in_words(job, ENTRIES[action], params or {}, "America/Bahia", None)


@pytest.mark.parametrize(
    ("keys", "params", "words"),
    [
        (
            {},
            {},
            "powers off every till of the network daily at 23:50 (the network's zone, America/Bahia), no exceptions",
        ),
        (
            {"timezone": "Asia/Tokyo", "not_after": "05:30", "dry_run": True},
            {},
            (
                "powers off every till of the network daily at 23:50 (Asia/Tokyo), starts none after 05:30, no exceptions, "
                "dry-run only: nothing is changed"
            ),
        ),
        (
            {"selector": {"stores": [7]}},
            {"windows": [{"start": "22:00:00", "end": "06:00:00"}], "exceptions": ["a", "b"]},
            (
                "powers off every till of store 7 daily at 23:50 (the network's zone, America/Bahia), window 22:00-06:00, "
                "exceptions: 2"
            ),
        ),
        ({}, {"exceptions": []}, "(the network's zone, America/Bahia), no exceptions"),
    ],
)
def test_a_job_is_described_with_its_limits(keys: dict[str, Any], params: dict[str, Any], words: str) -> None:
    text = told(params=params, **keys)
    assert text.endswith(f"{words} (job night)")
    assert text.startswith("powers off every till")


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("diagnose_env", "looks at every host"),
        ("install_endpoint_agent", "changes every till"),
        ("uninstall_endpoint_agent", "disrupts every till"),
        ("register_endpoints", "changes every host"),
        ("update_endpoint_timezone", "sets the time zone and clock of every till"),
    ],
)
def test_an_action_without_a_verb_of_its_own_is_described_by_its_effect(action: str, words: str) -> None:
    assert told(action) == f"{words} of the network daily at 23:50 (the network's zone, America/Bahia) (job night)"


SELECTORS: list[tuple[dict[str, Any], str]] = [
    ({}, "of the network"),
    ({"all": True}, "of the network"),
    ({"stores": [1, 2]}, "of store 1, 2"),
    ({"stores": [1, 2, 3, 4, 5]}, "of store 1, 2, 3, 4, 5"),
    ({"stores": [1, 2, 3, 4, 5, 6]}, "of store 1, 2, 3, 4, 5 and 1 more"),
    ({"terminals": [203]}, "with the number 203, in every store"),
    ({"terminals": [203], "stores": [1]}, "of store 1 with the number 203"),
    ({"hosts": ["PDV1"]}, "named PDV1"),
    ({"addresses": ["10.0.0.1"]}, "at 10.0.0.1"),
    ({"groups": ["Pilot"]}, "in group Pilot"),
    ({"tags": {"shift": "night", "row": "1"}}, "with tag shift=night, row=1"),
    ({"agent_status": 0}, "with an unknown agent status"),
    ({"agent_status": 1}, "with an agent that answers"),
    ({"agent_status": 2}, "with an agent that does not answer"),
    ({"provider": "zanthus"}, "of provider zanthus"),
    ({"provider": "zanthus", "hosts": ["PDV1"], "stores": [1]}, "of store 1 named PDV1 of provider zanthus"),
]


@pytest.mark.parametrize(("selector", "words"), SELECTORS)
def test_targets_are_described_filter_by_filter(selector: dict[str, Any], words: str) -> None:
    assert targets(JobSelector.model_validate(selector), ENTRIES[OFF], None) == f"every till {words}"


@pytest.mark.parametrize(("number", "words"), [(0, "up to 0 tills"), (1, "up to 1 till"), (2, "up to 2 tills")])
def test_targets_are_counted_where_the_document_lists_the_hosts(number: int, words: str) -> None:
    hosts = [StaticHost(name=f"SOL-LOJA001-PDV{n}", address=f"10.0.0.{n}") for n in range(number)]
    counted = StaticHosts(hosts, "arius")
    assert targets(JobSelector(), ENTRIES[OFF], counted) == f"{words} of the network"
    assert targets(JobSelector(stores=(1,)), ENTRIES[OFF], counted) == f"{words} of store 1"


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("50 23 * * *", "daily at 23:50"),
        ("@hourly", "every hour at minute 0"),
        ("59 * * * *", "every hour at minute 59"),
        ("* * * * *", "every minute"),
        ("*/2 * * * *", "every 2 minutes"),
        ("*/15 * * * *", "every 15 minutes"),
        ("0,30 * * * *", "every 30 minutes"),
        ("5,35 * * * *", "at the times of `5,35 * * * *`"),
        ("0,20 * * * *", "at the times of `0,20 * * * *`"),
        ("*/7 * * * *", "at the times of `*/7 * * * *`"),
        ("*/15 * * * 1", "at the times of `*/15 * * * 1`"),
        ("*/15 * 1 * *", "at the times of `*/15 * 1 * *`"),
        ("*/15 * * 1 *", "at the times of `*/15 * * 1 *`"),
        ("*/5 7-23 * * *", "at the times of `*/5 7-23 * * *`"),
        ("0 1,13 * * *", "daily at 01:00, 13:00"),
        ("0 1-5 * * *", "daily at 01:00, 02:00, 03:00, 04:00, 05:00"),
        ("0 1-6 * * *", "at the times of `0 1-6 * * *`"),
        ("0 6 * * sun,mon", "on Sunday, Monday at 06:00"),
        ("0 6 * * 1-6", "on Monday, Tuesday, Wednesday, Thursday, Friday, Saturday at 06:00"),
        ("0 6 1 * *", "at the times of `0 6 1 * *`"),
        ("0 6 * 1 *", "at the times of `0 6 * 1 *`"),
    ],
)
def test_times_are_shown_as_a_person_writes_them(cron: str, words: str) -> None:
    assert times(parse_cron(cron)) == words


@pytest.mark.parametrize(
    ("window", "words"),
    [
        ({"start": "22:00", "end": "06:00"}, "22:00-06:00"),
        (
            {"start": "22:00:00", "end": "23:59:59.999999", "weekdays": [], "stores": [], "timezone": None},
            "22:00-23:59",
        ),
        (
            {"start": "22:00", "end": "06:00", "weekdays": ["sat", "sun"], "stores": [7, 8], "timezone": "Asia/Tokyo"},
            "22:00-06:00 sat,sun in store 7, 8 Asia/Tokyo",
        ),
        ("always", "always"),
        (7, "7"),
    ],
)
def test_a_window_is_described_with_what_limits_it(window: Any, words: str) -> None:
    assert window_in_words(window) == words


@pytest.mark.parametrize(
    ("value", "expected"), [(None, ()), ([], []), ([1, 2], [1, 2]), ((1,), (1,)), ("ab", ("ab",)), (0, (0,))]
)
def test_what_has_to_be_a_list_is_read_as_one(value: Any, expected: Any) -> None:
    assert items(value) == expected


def test_of_many_names_a_few_are_shown() -> None:
    assert listed([]) == ""
    assert listed(range(5)) == "0, 1, 2, 3, 4"
    assert listed(range(6), lambda number: f"<{number}>") == "<0>, <1>, <2>, <3>, <4> and 1 more"
