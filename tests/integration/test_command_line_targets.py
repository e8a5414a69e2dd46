"""Who is touched is who was named, and confirmed: missing values, explicit targets, the question, and who asked."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.proxy import NETWORK, Proxy, Said, Shop, shop, till

TIMEZONE = "update_endpoint_timezone"
NOWHERE = f"{NETWORK}-LOJA001-PDV299"


@dataclass(frozen=True, slots=True)
class Place:
    """Two tills in two stores, and a new proxy."""

    shop: Shop
    proxy: Proxy
    names: tuple[str, str]
    met: list[list[str]]

    def touched(self) -> bool:
        return events(self.shop) != self.met


def events(tills: Shop) -> list[list[str]]:
    return [tills.events(name) for name in ("first", "second")]


@pytest.fixture(scope="module")
def tills(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    second = till("second", hostname=f"{NETWORK}-LOJA002-PDV201", address="127.77.7.2")
    with shop(tmp_path_factory.mktemp("shop"), till("first"), second) as running:
        yield running


@pytest.fixture
def place(tills: Shop, tmp_path: Path) -> Iterator[Place]:
    proxy = Proxy(tmp_path, tills.document("first", "second"))
    yield Place(tills, proxy, (tills.name("first"), tills.name("second")), events(tills))
    proxy.close()


def error(said: Said) -> Any:
    return said.json["error"]


# -- values that match nothing


def test_a_name_that_matches_nothing_stops_a_run_by_hand_before_it_touches_anything(place: Place) -> None:
    asked = (TIMEZONE, "--host", place.names[0], "--host", NOWHERE, "--loja", "7", "--loja", "1", "--output", "json")
    said = place.proxy.run(*asked)
    assert (said.code, error(said)["reason"]) == (5, "no_host_matched")
    assert f"--host {NOWHERE} (near: {place.names[0]}" in error(said)["message"]
    assert "--loja 7" in error(said)["message"]
    assert "Nothing was touched" in error(said)["message"]
    assert "--ignore-missing" in error(said)["advice"]
    assert not place.touched()

    went_on = place.proxy.run(*asked, "--ignore-missing")
    assert (went_on.code, list(went_on.outcomes)) == (0, [place.names[0]])
    assert [(one["option"], one["value"]) for one in went_on.json["run"]["missing"]] == [
        ("--loja", "7"),
        ("--host", NOWHERE),
    ]
    shown = place.proxy.run(TIMEZONE, "--host", place.names[0], "--host", NOWHERE, "--ignore-missing")
    assert NOWHERE in shown.stderr
    listed = place.proxy.run("runs", went_on.json["run"]["run_id"], "--output", "json").json
    assert [one["value"] for one in listed["missing"]] == ["7", NOWHERE]


def test_a_scheduled_job_continues_without_missing_values_and_ends_with_1(place: Place) -> None:
    selector = {"hosts": [place.names[0], NOWHERE]}
    job = {"id": "zone", "action": TIMEZONE, "cron": "0 3 * * *", "selector": selector}
    place.proxy.configure(place.shop.document("first", "second", schedule=[job]))
    said = place.proxy.run(TIMEZONE, "--job", "zone", "--output", "json")
    assert (said.code, said.json["exit_code"]) == (1, 1)
    assert list(said.outcomes) == [place.names[0]]
    assert [one["value"] for one in said.json["run"]["missing"]] == [NOWHERE]
    (run,) = place.proxy.run("runs", "--output", "json").json
    assert (run["exit_code"], run["actor"], [one["value"] for one in run["missing"]]) == (1, "schedule:zone", [NOWHERE])
    assert NOWHERE in place.proxy.run("runs", run["run_id"], "--output", "table").stdout


def test_hosts_names_a_value_that_matches_nothing(place: Place) -> None:
    said = place.proxy.run("hosts", "--host", place.names[0], "--host", NOWHERE)
    assert (said.code, said.stdout.count("\n")) == (5, 1)
    assert NOWHERE in said.stderr
    assert place.proxy.run("hosts", "--host", place.names[0]).code == 0


# -- explicit targets


@pytest.mark.parametrize("arguments", [(), ("--dry-run",), ("--limit", "1"), ("--provider", "arius")])
def test_a_change_without_targets_is_refused_under_dry_run_too(place: Place, arguments: tuple[str, ...]) -> None:
    said = place.proxy.run(TIMEZONE, *arguments, "--output", "json")
    assert (said.code, error(said)["reason"]) == (2, "no_target")
    assert "--all" in error(said)["advice"]
    assert not place.touched()


# -- confirmation


def test_in_a_pipe_what_must_be_confirmed_is_refused_with_its_counts(place: Place) -> None:
    said = place.proxy.run(TIMEZONE, "--all", "--output", "json", yes=False)
    assert (said.code, error(said)["reason"]) == (2, "not_confirmed")
    assert "changes 2 hosts in 2 stores of SHOP" in error(said)["message"]
    assert "--yes" in error(said)["advice"]
    off = place.proxy.run("shutdown_endpoint", "--host", place.names[0], "--output", "json", yes=False)
    assert (off.code, error(off)["reason"]) == (2, "not_confirmed")
    # By day the till is outside its window; the question is asked all the same, because a window begins while a run waits.
    assert re.search(r"disrupts (1 host in 1 store|none of 1 selected host) of SHOP", error(off)["message"])
    assert not place.touched()
    (latest, _) = place.proxy.run("runs", "--output", "json").json
    assert (latest["reason"], latest["exit_code"]) == ("not_confirmed", 2)


def test_a_read_a_dry_run_and_a_change_in_one_store_ask_nothing(place: Place) -> None:
    assert place.proxy.run("diagnose_env", "--all", yes=False).code == 0
    assert place.proxy.run(TIMEZONE, "--all", "--dry-run", yes=False).code == 0
    assert place.proxy.run(TIMEZONE, "--loja", "1", yes=False).code == 0


@pytest.mark.parametrize(
    "typed", ["\n", "3\n", "yes\n", "\x04"], ids=["nothing", "another number", "yes", "end of file"]
)
def test_on_a_terminal_any_other_answer_than_the_number_touches_nothing(place: Place, typed: str) -> None:
    said = place.proxy.on_terminal(TIMEZONE, "--all", columns=100, typed=typed)
    assert "changes 2 hosts in 2 stores of SHOP" in said.stdout
    assert "Type the number of hosts that update_endpoint_timezone changes to continue:" in said.stdout
    assert (said.code, "Nothing was touched" in said.stdout) == (130, True)
    assert not place.touched()


def test_an_interrupt_at_the_question_touches_nothing(place: Place) -> None:
    said = place.proxy.on_terminal(TIMEZONE, "--all", columns=100, typed="\x03")
    assert said.code == 130
    assert not place.touched()


def test_on_a_terminal_the_number_of_hosts_confirms_the_run(place: Place) -> None:
    said = place.proxy.on_terminal(TIMEZONE, "--all", "--param", "timezone=America/Manaus", columns=100, typed="2\n")
    assert said.code == 0, said.stdout
    assert re.search(r"2 hosts: 2 changed", said.stdout)


# -- who, and why


def test_a_run_keeps_who_asked_and_why(place: Place) -> None:
    reason = "ticket 4711:\x1b[31m clocks \x07drift"
    said = place.proxy.run(TIMEZONE, "--host", place.names[0], "--reason", reason, "--output", "json", SUDO_USER="ana")
    run = said.json["run"]
    assert (run["actor"], run["purpose"]) == ("ana", "ticket 4711:\\x1b[31m clocks \\x07drift")
    (listed,) = place.proxy.run("runs", "--output", "json").json
    assert (listed["actor"], listed["purpose"]) == (run["actor"], run["purpose"])
    (told,) = place.proxy.run("why", place.names[0], "--output", "json").json
    assert (told["actor"], told["purpose"]) == (run["actor"], run["purpose"])
    for command in (("why", place.names[0]), ("runs", run["run_id"])):
        shown = place.proxy.run(*command, "--output", "table").stdout
        assert ("ana" in shown, "ticket 4711" in shown) == (True, True), command
    assert "\tana\t" in place.proxy.run("runs").stdout


def test_the_wrapper_s_actor_has_priority_over_the_process_s_own(place: Place) -> None:
    environment: dict[str, Any] = {"FLAGEEMONITOR_ACTOR": "bia\n\x1b]0;x" + "y" * 200, "SUDO_USER": "root"}
    said = place.proxy.run("diagnose_env", "--loja", "1", "--output", "json", **environment)
    actor = said.json["run"]["actor"]
    assert actor.startswith("bia \\x1b]0;xyyy")
    assert len(actor) == 64
