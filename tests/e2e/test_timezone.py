"""The time zone, changed on real terminals that a real Zabbix lists: what is asserted is what the terminals' own trees hold."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.e2e import fleet as store
from tests.e2e.conftest import NewSite
from tests.e2e.fleet import Fleet
from tests.e2e.site import TILL, Site, root_of
from tests.harness.fixtures import StartTerminal
from tests.harness.terminals import Terminal
from tests.integration.proxy import Proxy, Said

ZONE = "America/Sao_Paulo"
FILE = f"/usr/share/zoneinfo/{ZONE}"

# What `--all` comes to where compatibility is enforced; the zanthus terminal aside.
SPARED = {
    "concentrator": "skipped protected_role",
    "unknown": "blocked compat_unknown",
    "too new": "blocked compat_below_minimum",
}
ARIUS = ("sudoer", "slackware", "i386", "mixed", "old server")


@pytest.fixture
def shop(new_site: NewSite) -> Iterator[Fleet]:
    """A fleet of this test's own: it is changed."""
    with store.running(new_site()) as running:
        yield running


def asked(fleet: Fleet, said: Said) -> dict[str, str]:
    """Kind of terminal → what became of it."""
    kinds = {name: kind for kind, name in fleet.names.items()}
    return {kinds[name]: what for name, what in said.outcomes.items()}


def all_of(kinds: tuple[str, ...], what: str) -> dict[str, str]:
    return dict.fromkeys(kinds, what)


def test_a_store_is_brought_to_its_zone_and_stays_as_it_is(shop: Fleet) -> None:
    proxy = shop.site.proxy(timezone=ZONE)
    zanthus = shop.names["zanthus"]
    untouched = shop.hashes()

    plan = proxy.run("update_endpoint_timezone", "--all", "--dry-run", "--output", "json")
    excluded = {**SPARED, "zanthus": "skipped rollout_excluded"}
    assert asked(shop, plan) == {**all_of(ARIUS, "would_change dry_run"), **excluded}
    assert plan.code == 1  # of the two that are blocked
    assert plan.result(shop.names["sudoer"])["plan"] == [f"/etc/timezone: Etc/UTC -> {ZONE}"]
    assert shop.hashes() == untouched

    changed = proxy.run("pdv_update_timezone", "--loja", "1", "--output", "json")
    assert asked(shop, changed) == {**all_of(ARIUS, "changed confirmed"), **excluded}
    assert changed.json["run"]["asked"] == "pdv_update_timezone"
    for kind in ARIUS:
        is_in_zone(shop.terminals[kind], copy=kind == "slackware")
    now = shop.hashes()
    spared = (*SPARED, "zanthus")
    assert {kind: now[kind] for kind in spared} == {kind: untouched[kind] for kind in spared}

    again = proxy.run("update_host_timezone", "--loja", "LOJA001", "--output", "json")
    assert asked(shop, again) == {**all_of(ARIUS, "ok done"), **excluded}
    assert shop.hashes() == now

    # 0 % holds for every name of the action, also for the terminal named by itself; 100 % lets it in.
    for words in (
        ("update_endpoint_timezone", "--host", zanthus),
        ("sync_terminal_timezone", "--provider", "zanthus", "--all"),
    ):
        refused = proxy.run(*words, "--output", "json")
        assert (refused.code, refused.outcomes) == (0, {zanthus: "skipped rollout_excluded"})
    assert shop.hashes() == now
    shop.site.publish(timezone=ZONE, rollout={"zanthus": {"percent": 100}})
    assert proxy.run("config", "refresh").code == 0
    let_in = proxy.run("sync_terminal_timezone", "--provider", "zanthus", "--all", "--output", "json")
    assert (let_in.code, let_in.outcomes) == (0, {zanthus: "changed confirmed"})
    is_in_zone(shop.terminals["zanthus"], copy=False)

    # The ledger tells the same story, newest first.
    told = proxy.run("why", zanthus, "--output", "json").json
    assert [(record["outcome"], record["reason"], record["asked"]) for record in told] == [
        ("changed", "confirmed", "sync_terminal_timezone"),
        ("skipped", "rollout_excluded", "sync_terminal_timezone"),
        ("skipped", "rollout_excluded", "update_endpoint_timezone"),
        ("skipped", "rollout_excluded", "update_host_timezone"),
        ("skipped", "rollout_excluded", "pdv_update_timezone"),
    ]
    refusing = told[1]["result"]["gates"][-1]
    assert (refusing["gate"], refusing["allowed"]) == ("rollout", False)
    assert len(proxy.rows("select id from outbox where kind = 'host_result'")) == 30


def is_in_zone(terminal: Terminal, *, copy: bool) -> None:
    """A copy of the zone's file stays a copy, and Slackware gets no /etc/timezone."""
    localtime = root_of(terminal) / "etc/localtime"
    if copy:
        assert not localtime.is_symlink()
        assert localtime.read_bytes() == (root_of(terminal) / FILE.lstrip("/")).read_bytes()
        assert terminal.link("/etc/localtime-copied-from") == FILE
        assert not (root_of(terminal) / "etc/timezone").exists()
    else:
        assert terminal.link("/etc/localtime") == FILE
        assert terminal.read("/etc/timezone") == f"{ZONE}\n"


@pytest.fixture(scope="module")
def proxy(site: Site) -> Proxy:
    return site.proxy(timezone=ZONE)


def placed(site: Site, proxy: Proxy, terminal: Terminal, number: int, *options: str) -> Said:
    """The action on this terminal, which has its zone already unless the options say another."""
    host = site.add_host(f"LOJA002-PDV{number}", terminal.address)
    return proxy.run("update_endpoint_timezone", "--host", host, *options, "--output", "json")


def test_local_time_may_be_another_zone_s_by_first_generation_options(
    site: Site, proxy: Proxy, start_terminal: StartTerminal
) -> None:
    terminal = start_terminal(TILL)
    options = ("--timezone", "America/Recife", "--localtime-target", "Etc/GMT+3")
    said = placed(site, proxy, terminal, 201, *options)
    (result,) = said.json["hosts"]
    assert (said.code, result["outcome"]) == (0, "changed")
    assert terminal.read("/etc/timezone") == "America/Recife\n"
    assert terminal.link("/etc/localtime") == "/usr/share/zoneinfo/Etc/GMT+3"


def test_a_zone_that_the_terminal_does_not_have_is_failed_and_nothing_is_written(
    site: Site, proxy: Proxy, start_terminal: StartTerminal
) -> None:
    terminal = start_terminal(TILL)
    (root_of(terminal) / FILE.lstrip("/")).unlink()
    before = terminal.listing_hash()
    said = placed(site, proxy, terminal, 202)
    (result,) = said.json["hosts"]
    assert (said.code, result["outcome"], result["detail"]) == (1, "failed", "no_zone_file")
    assert terminal.listing_hash() == before


# A clock that is 100 s ahead, and an ntpdate that leaves a mark and sets nothing.
AHEAD = "#!/bin/bash\necho $(($(printf '%(%s)T' -1) + 100))\n"
NTPDATE = '#!/bin/sh\necho "$*" >>/var/log/ntpdate\n'


@pytest.mark.parametrize(
    ("files", "options", "outcome", "ntp", "called"),
    [
        ({}, (), "ok", "no_client", False),
        ({"/usr/sbin/ntpdate": NTPDATE}, (), "ok", "no_server", False),
        ({"/usr/sbin/ntpdate": NTPDATE}, ("--ntp-server", "10.77.0.1"), "ok", "ntpdate", False),
        ({"/usr/sbin/ntpdate": NTPDATE, "/usr/bin/date": AHEAD}, ("--ntp-server", "10.77.0.1"), "failed", None, True),
    ],
    ids=["no client", "no server", "clock is right", "ntpdate sets nothing"],
)
def test_ntp_is_reported_only_as_far_as_it_was_confirmed(
    site: Site,
    proxy: Proxy,
    start_terminal: StartTerminal,
    files: dict[str, str],
    options: tuple[str, ...],
    outcome: str,
    ntp: str | None,
    called: bool,
) -> None:
    terminal = in_zone(start_terminal(replace(TILL, files=files)))
    number = 210 + 2 * len(files) + len(options)
    said = placed(site, proxy, terminal, number, "--enable-ntp", *options)
    (result,) = said.json["hosts"]
    assert result["outcome"] == outcome, result["message"]
    assert result["report"].get("ntp") == ntp
    assert (root_of(terminal) / "var/log/ntpdate").exists() == called
    if ntp in ("no_client", "no_server"):
        assert "NTP client" in result["message"] or "ntp_server" in result["message"]
    if outcome == "failed":
        assert result["reason"] == "not_converged"


def in_zone(terminal: Terminal) -> Terminal:
    """The same, with its zone right."""
    terminal.write("/etc/timezone", f"{ZONE}\n")
    localtime = root_of(terminal) / "etc/localtime"
    localtime.unlink()
    localtime.symlink_to(FILE)
    return terminal
