"""Powering off: a disposable terminal goes when everything is right, and none goes when one thing is not.

It is always about noon in these tests: the network's zone is chosen so. The configured window is open, so that what holds a
terminal back is what the test is about.
"""

import contextlib
import datetime as dt
import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.e2e.clocks import date_off_by, movable_clock
from tests.e2e.held_programs import WAIT_S, hold, release, wait_held
from tests.e2e.site import SUDO, SUDOER, TILL, Site, zone_where_it_is
from tests.harness.fixtures import StartTerminal
from tests.harness.process import wait_until
from tests.harness.terminals import Account, Terminal
from tests.integration.proxy import Proxy

NOON = zone_where_it_is(12)
OPEN = {"start": "09:00", "end": "17:00"}
NIGHT = {"start": "22:00", "end": "06:00"}
HALF_A_DAY = 12 * 3600
TODAY = dt.datetime.now(ZoneInfo(NOON)).strftime("%a").lower()


@dataclass(frozen=True)
class Store:
    """A store with one proxy; `till` is a checkout that must survive."""

    site: Site
    proxy: Proxy
    till: Terminal
    name: str


@pytest.fixture(scope="module")
def shop(site: Site, start: StartTerminal) -> Store:
    # Its own wall clock shows midnight: only instants count.
    till = start(replace(TILL, files={"/etc/localtime": "", "/etc/timezone": f"{zone_where_it_is(0)}\n"}))
    name = site.add_host("LOJA001-PDV201", till.address, name="Caixa 201")
    proxy = site.proxy(timezone=NOON, actions={"shutdown_endpoint": {"params": {"windows": [OPEN]}}})
    return Store(site, proxy, till, name)


def windows(*given: Mapping[str, object]) -> tuple[str, str]:
    return "--param", f"windows={json.dumps(given)}"


def survives(terminal: Terminal, before: str) -> None:
    """Alive, and nothing was written to it."""
    assert terminal.alive()
    assert terminal.ended() is None
    assert terminal.listing_hash() == before


@pytest.mark.parametrize("who", ["root", "sudo"])
def test_a_terminal_is_powered_off_when_everything_is_right(
    shop: Store, start_terminal: StartTerminal, who: str
) -> None:
    if who == "root":
        terminal, notes, number = start_terminal(TILL), "root,terminal", 301
        words = ("shutdown_endpoint", *windows(OPEN))
    else:
        spec = replace(TILL, accounts=(SUDOER, Account("root")))
        # A night over midnight that began yesterday evening and is open until this afternoon.
        terminal, notes, number = start_terminal(spec), SUDO, 302
        words = ("pdv_shutdown", *windows({"start": "20:00", "end": "15:00"}))
    host = shop.site.add_host(f"LOJA001-PDV{number}", terminal.address, notes)
    said = shop.proxy.run(*words, "--loja", "1", "--pdv", str(number), "--output", "json")
    assert (said.code, said.outcomes) == (0, {host: "changed confirmed"}), said.stderr
    wait_until(lambda: terminal.ended() is not None, within=WAIT_S, what="the terminal's end")
    assert terminal.ended() == "halted"
    assert said.result(host)["steps"][0]["name"] == "shut down"
    # Once it is off, a second run has nobody to talk to, and says so.
    again = shop.proxy.run("shutdown_endpoint", "--host", host, "--output", "json")
    assert (again.code, again.json["hosts"][0]["outcome"]) == (1, "unreachable")


@pytest.mark.parametrize("options", [(), ("--limit", "1"), ("--dry-run",)])
def test_without_a_target_no_terminal_is_contacted(shop: Store, options: tuple[str, ...]) -> None:
    before = shop.till.listing_hash()
    said = shop.proxy.run("shutdown_endpoint", *options, "--output", "json")
    assert (said.code, said.json["error"]["reason"]) == (2, "no_target")
    survives(shop.till, before)


HELD_BACK: dict[str, tuple[tuple[str, ...], dict[str, Any], str]] = {
    "outside the window": (windows(NIGHT), {}, "skipped refused:outside_window"),
    # Midnight where the proxy's process believes to be: the network's zone decides, not TZ.
    "the proxy lives in another zone": (windows(NIGHT), {"TZ": zone_where_it_is(0)}, "skipped refused:outside_window"),
    # 20:00-15:00 holds now, but it is yesterday's: today's begins this evening.
    "over midnight, of today only": (
        windows({"start": "20:00", "end": "15:00", "weekdays": [TODAY]}),
        {},
        "skipped refused:outside_window",
    ),
    "the window of another store": (windows({**OPEN, "stores": [2]}), {}, "skipped refused:outside_window"),
    "its store has a window of its own": (
        windows(OPEN, {**NIGHT, "stores": [1]}),
        {},
        "skipped refused:outside_window",
    ),
    "an exception by name": (("--param", 'exceptions=["{name}"]'), {}, "skipped refused:exception"),
    "an exception by visible name": (("--param", 'exceptions=["caixa 201"]'), {}, "skipped refused:exception"),
    "an exception by address": (("--param", 'exceptions=["{address}"]'), {}, "skipped refused:exception"),
    "dry-run": (("--dry-run",), {}, "would_change dry_run"),
}


@pytest.mark.parametrize("case", HELD_BACK)
def test_a_terminal_stays_on(shop: Store, case: str) -> None:
    options, environment, expected = HELD_BACK[case]
    filled = [word.replace("{name}", shop.name).replace("{address}", shop.till.address) for word in options]
    before = shop.till.listing_hash()
    said = shop.proxy.run("shutdown_endpoint", "--host", shop.name, *filled, "--output", "json", **environment)
    assert (said.code, said.outcomes) == (0, {shop.name: expected})
    assert said.result(shop.name)["steps"] == []
    survives(shop.till, before)


@contextlib.contextmanager
def nothing_known_of_the_clock(proxy: Proxy) -> Iterator[None]:
    """Inside, this proxy has never received the right time and has none stored."""
    with contextlib.closing(sqlite3.connect(proxy.data / "state.db")) as state:
        known = state.execute("select key, value from meta where key like 'clock_%'").fetchall()
        state.execute("delete from meta where key like 'clock_%'")
        state.commit()
        yield
        state.executemany("insert or replace into meta (key, value) values (?, ?)", known)
        state.commit()


@pytest.mark.parametrize("off", [HALF_A_DAY, -HALF_A_DAY, 4380 * 86400], ids=["ahead", "behind", "in 2038"])
def test_a_proxy_whose_clock_the_control_plane_contradicts_powers_nothing_off(
    shop: Store, tmp_path: Path, off: int
) -> None:
    assert shop.proxy.run("config", "refresh").code == 0
    clock = movable_clock(tmp_path)
    clock.set_off_by(off)
    before = shop.till.listing_hash()
    said = shop.proxy.run("shutdown_endpoint", "--host", shop.name, "--output", "json", **clock.environment)
    assert (said.code, said.json["error"]["reason"]) == (2, "clock_suspect")
    assert "No host was touched" in said.json["error"]["message"]
    survives(shop.till, before)


def test_a_wrong_clock_that_nothing_contradicts_is_found_by_the_terminal_s_own(shop: Store, tmp_path: Path) -> None:
    clock = movable_clock(tmp_path)
    clock.set_off_by(HALF_A_DAY)
    before = shop.till.listing_hash()
    with nothing_known_of_the_clock(shop.proxy):
        said = shop.proxy.run(
            "shutdown_endpoint", "--host", shop.name, *windows(NIGHT), "--output", "json", **clock.environment
        )
    assert (said.code, said.outcomes) == (0, {shop.name: "skipped refused:clocks_disagree"})
    survives(shop.till, before)


@pytest.mark.parametrize("seconds", [600, -600])
def test_when_the_proxy_s_clock_jumps_during_the_run_nothing_is_powered_off(
    shop: Store, start_terminal: StartTerminal, tmp_path: Path, seconds: int
) -> None:
    terminal = start_terminal(TILL)
    hold(terminal, "date")
    host = shop.site.add_host(f"LOJA001-PDV{320 + (seconds > 0)}", terminal.address)
    before, clock = terminal.listing_hash(), movable_clock(tmp_path)
    going = shop.proxy.start("shutdown_endpoint", "--host", host, "--output", "json", **clock.environment)
    wait_held(terminal)  # in the middle of its look: the run's clocks were read, the decision is still to come
    clock.set_off_by(seconds)
    release(terminal)
    said = going.ended()
    assert (said.code, said.outcomes) == (0, {host: "skipped refused:clock_jumped"})
    survives(terminal, before)


@pytest.mark.parametrize(
    ("number", "date", "detail"),
    [
        (331, date_off_by(HALF_A_DAY), "clocks_disagree"),
        (332, date_off_by(-HALF_A_DAY), "clocks_disagree"),
        (333, "#!/bin/sh\nexit 1\n", "no_clock"),
    ],
    ids=["ahead", "behind", "none"],
)
def test_a_terminal_whose_clock_is_not_in_the_window_stays_on(
    shop: Store, start_terminal: StartTerminal, number: int, date: str, detail: str
) -> None:
    terminal = start_terminal(replace(TILL, files={"/usr/bin/date": date}))
    host = shop.site.add_host(f"LOJA001-PDV{number}", terminal.address)
    before = terminal.listing_hash()
    said = shop.proxy.run("shutdown_endpoint", "--host", host, "--output", "json")
    assert said.code == 0, said.stderr
    result = said.result(host)
    assert (result["outcome"], result["reason"]) == ("skipped", "refused")
    assert result["detail"] == detail, result["message"]
    survives(terminal, before)


def test_a_concentrator_stays_on_however_it_is_recognised(
    site: Site, shop: Store, start_terminal: StartTerminal
) -> None:
    by_configuration = start_terminal(TILL)
    configured_by_name = start_terminal(TILL)
    proxy_host = start_terminal(replace(TILL, files={"/etc/flageemonitor/flageemonitor.env": ""}))
    # Known as protected only by what a login finds on them: no entry and no configuration names them so.
    looks_like_one = start_terminal(replace(TILL, files={"/servidor/configuracao/termcons.ini": ""}))
    runs_a_proxy = start_terminal(replace(TILL, files={"/etc/flageemonitor/flageemonitor.env": ""}))
    of_another_house = start_terminal(TILL)
    till = start_terminal(TILL)  # of this test: the address of a concentrator protects whoever else has it
    hosts = {
        site.add_host("LOJA009-CONCENTRADOR", till.address): "skipped protected_role",
        site.add_host("LOJA009-PDV401", till.address, role="concentrator"): "skipped protected_role",
        site.add_host("LOJA009-PDV402", till.address, TIPO_DISPOSITIVO="Concentrador"): "skipped protected_role",
        site.add_host("LOJA009-PDV403", till.address, name="Antigo CONCENTRADOR loja 9"): "skipped protected_role",
        site.add_host("LOJA009-TC1", proxy_host.address): "skipped protected_role",
        site.add_host("PROXY", till.address): None,
        site.add_host("LOJA009-PDV404", by_configuration.address): "skipped protected_role",
        site.add_host("LOJA009-PDV405", configured_by_name.address): "skipped protected_role",
        site.add_host("LOJA009-PDV406", looks_like_one.address): "skipped refused:protected_machine",
        site.add_host("LOJA009-PDV407", runs_a_proxy.address): "skipped refused:protected_machine",
        site.add_host("LOJA009-PDV408", of_another_house.address, provider="zanthus"): "skipped rollout_excluded",
        # Second entries of protected machines: the strictest counts, before anything is asked over the network.
        site.add_host("LOJA009-PDV409", till.address): "skipped protected_role",
        site.add_host("LOJA009-PDV410", configured_by_name.address): "skipped protected_role",
        site.add_host("LOJA009-PDV411", configured_by_name.address, provider="zanthus"): "skipped protected_role",
        site.add_host("LOJA009-PDV412", proxy_host.address): "skipped protected_role",
    }
    terminals = (till, by_configuration, configured_by_name, proxy_host, looks_like_one, runs_a_proxy, of_another_house)
    before = [terminal.listing_hash() for terminal in terminals]
    concentrators = [
        {"address": by_configuration.address},
        {"address": "10.0.0.9", "name": f"{site.code}-loja009-pdv405"},
    ]
    proxy = site.proxy(
        timezone=NOON, concentrators=concentrators, actions={"shutdown_endpoint": {"params": {"windows": [OPEN]}}}
    )
    said = proxy.run("shutdown_endpoint", "--loja", "9", "--output", "json")
    assert said.code == 0
    assert said.outcomes == {name: outcome for name, outcome in hosts.items() if outcome}
    named = proxy.run("shutdown_endpoint", "--host", f"{site.code}-PROXY", "--output", "json")
    assert named.outcomes == {f"{site.code}-PROXY": "skipped protected_role"}
    for terminal, hash_before in zip(terminals, before, strict=True):
        survives(terminal, hash_before)
    (told,) = proxy.run("why", f"{site.code}-LOJA009-PDV404", "--output", "json").json
    assert (told["run_id"], told["outcome"]) == (said.json["run"]["run_id"], "skipped")
    assert [(gate["gate"], gate["allowed"]) for gate in told["result"]["gates"]] == [("role", False)]
