"""The actions as an operator meets them: named in every way, planned, done, repeated, and kept from what they must not touch."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.harness.fixtures import StartTerminal
from tests.harness.terminals import Account, TerminalSpec
from tests.integration.proxy import NETWORK, ZONE, Proxy, Shop, shop, till

TIMEZONE = "update_endpoint_timezone"
ALWAYS = {"start": "00:00", "end": "23:59:59.999999"}
NIGHT = {"start": "22:00", "end": "06:00"}
NOWHERE = "127.77.7.250"
# Each of these is kept or let go by a rule of its own, so each is a machine of its own: one address means one machine, for
# which the strictest rule of all its entries counts.
APART = (
    *("LOJA001-PDV301", "LOJA001-PDV302", "LOJA001-PDV303", "LOJA001-PDV305", "LOJA001-PDV306", "LOJA001-PDV307"),
    *("LOJA001-PDV308", "LOJA001-CONCENTRADOR", "LOJA001-TC1", "PROXY", "printer"),
    *("LOJA001-PDV1", "LOJA002-PDV1", "LOJA003-PDV1", "LOJA004-PDV1"),
)


@pytest.fixture(scope="module")
def tills(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with shop(
        tmp_path_factory.mktemp("shop"),
        till("arius", "ubuntu-22.04", user="pdv", auth="key", privilege="nopasswd"),
        till("zanthus", "ubuntu-14.04", provider="zanthus", user="pdv", auth="keyboard", privilege="password"),
        till("fixed", "slackware-13.37"),
        till("excluded", provider="zanthus"),
        till("stays"),
        till("goes"),
        till("spared"),
        till("server"),
        till("office", files={"/servidor/configuracao/termcons.ini": {"text": "[Terminal-1]\n"}}),
        till("synced", "ubuntu-22.04", user="pdv", auth="key", privilege="nopasswd"),
        *(till(name.lower(), hostname=f"{NETWORK}-{name}") for name in APART),
    ) as running:
        yield running


def shutting_down(**params: Any) -> dict[str, Any]:
    return {"shutdown_endpoint": {"params": params}}


# -- the time zone


def test_a_zone_is_planned_then_changed_then_right_under_every_name_of_the_action(tills: Shop, tmp_path: Path) -> None:
    proxy = Proxy(tmp_path, tills.document("arius", "zanthus", rollout={"zanthus": {"percent": 100}}))
    arius, zanthus = tills.name("arius"), tills.name("zanthus")
    assert proxy.run("pdv_test_connection").code == 0
    before = tills.fingerprint("arius"), tills.fingerprint("zanthus")

    def told(name: str, *arguments: str) -> dict[str, str]:
        said = proxy.run(name, "--all", *arguments, "--output", "json")
        assert (said.code, said.json["run"]["action"], said.json["run"]["asked"]) == (0, TIMEZONE, name)
        return said.outcomes

    assert told(TIMEZONE, "--dry-run") == dict.fromkeys((arius, zanthus), "would_change dry_run")
    assert (tills.fingerprint("arius"), tills.fingerprint("zanthus")) == before
    assert told("pdv_update_timezone", "--provider", "arius") == {arius: "changed confirmed"}
    assert told("sync_terminal_timezone", "--provider", "zanthus") == {zanthus: "changed confirmed"}
    assert "command" in tills.events("zanthus")
    done = tills.fingerprint("arius"), tills.fingerprint("zanthus")
    assert done != before
    for name in (TIMEZONE, "update_host_timezone", "sync_terminal_timezone"):
        assert told(name) == dict.fromkeys((arius, zanthus), "ok done")
    assert (tills.fingerprint("arius"), tills.fingerprint("zanthus")) == done
    assert (tills.tree("arius") / "etc/timezone").read_text() == f"{ZONE}\n"
    assert str((tills.tree("arius") / "etc/localtime").readlink()) == f"/usr/share/zoneinfo/{ZONE}"


def test_first_generation_options_are_the_parameters_of_their_action(tills: Shop, tmp_path: Path) -> None:
    proxy = Proxy(tmp_path, tills.document("fixed"))
    address = tills.host("fixed")["address"]
    options = ("--timezone", ZONE, "--localtime-target", "/usr/share/zoneinfo/Etc/GMT+3", "--enable-ntp")
    said = proxy.run("pdv_update_timezone", "--pdv-ip", address, *options, "--output", "json")
    (result,) = said.json["hosts"]
    assert (said.code, result["outcome"], result["report"]["ntp"]) == (0, "changed", "no_client")
    assert result["report"]["localtime_target"] == "/usr/share/zoneinfo/Etc/GMT+3"
    assert not (tills.tree("fixed") / "etc/localtime").is_symlink()


def test_timesyncd_gets_its_server_is_started_and_then_left_unchanged(tills: Shop, tmp_path: Path) -> None:
    """On a terminal whose systemctl and timedatectl are the demo's: they keep a state, but there is no systemd behind them."""
    name, proxy = tills.name("synced"), Proxy(tmp_path, tills.document("synced"))
    options = ("--all", "--timezone", ZONE, "--enable-ntp", "--ntp-server", "10.77.0.1", "--output", "json")

    planned = proxy.run(TIMEZONE, *options, "--dry-run")
    assert planned.outcomes == {name: "would_change dry_run"}
    assert not (tills.tree("synced") / "var/lib/terminal/ntp").exists()

    changed = proxy.run(TIMEZONE, *options).result(name)
    assert (changed["outcome"], changed["reason"]) == ("changed", "confirmed")
    assert "restart timesyncd" in [step["name"] for step in changed["steps"]]
    conf = tills.tree("synced") / "etc/systemd/timesyncd.conf.d/90-flageemonitor.conf"
    assert conf.read_text() == "[Time]\nNTP=\nNTP=10.77.0.1\n"
    assert (tills.tree("synced") / "var/lib/terminal/ntp").exists()

    again = proxy.run(TIMEZONE, *options).result(name)
    assert (again["outcome"], again["steps"], again["report"]["ntp"]) == ("ok", [], "timesyncd")


# -- the rollout


def test_a_provider_at_zero_is_not_even_contacted_and_at_a_hundred_it_is_run(tills: Shop, tmp_path: Path) -> None:
    name, proxy = tills.name("excluded"), Proxy(tmp_path)

    def at(**rollout: Any) -> str:
        proxy.configure(tills.document("excluded", rollout={"zanthus": rollout} if rollout else {}))
        said = proxy.run(TIMEZONE, "--all", "--dry-run", "--output", "json")
        assert said.code == 0
        return said.outcomes[name]

    assert at() == at(percent=0) == at(percent=100, never=[name.lower()]) == "skipped rollout_excluded"
    assert proxy.run("diagnose_env", "--loja", "1", "--output", "json").outcomes == {name: "skipped rollout_excluded"}
    assert tills.events("excluded") == []
    assert at(percent=100) == at(percent=0, pilot=[f"{NETWORK} (LOJA01) PDV204"]) == "would_change dry_run"
    proxy.configure(tills.document("excluded"))
    looked_at = proxy.run("diagnose_env", "--host", name, "--output", "json").result(name)
    assert looked_at["outcome"] == "ok"
    assert any("passes without the rollout" in gate["text"] for gate in looked_at["gates"])


# -- the power


def test_only_the_allowed_till_is_powered_off(tills: Shop, tmp_path: Path) -> None:
    """Every other one is kept by a reason of its own, all in the same run."""

    def entry(name: str, **changes: Any) -> dict[str, Any]:
        return tills.host(name.lower(), **changes)

    hosts = {
        "skipped protected_role": (
            entry("LOJA001-PDV301", role="concentrator"),
            entry("LOJA001-PDV302", tags={"role": "concentrator"}),
            entry("LOJA001-CONCENTRADOR"),
            entry("LOJA001-PDV303", display_name="Concentrador da loja 1"),
            tills.host("server", role="concentrator"),
            tills.host("server", name=f"{NETWORK}-LOJA001-PDV309"),  # by its address alone
            tills.host("stays", name=f"{NETWORK}-LOJA001-PDV304", address=NOWHERE),
            entry("LOJA001-PDV305"),
            entry("LOJA001-TC1"),
            entry("PROXY"),
            entry("printer"),
        ),
        "skipped refused:exception": (
            entry("LOJA001-PDV306"),
            entry("LOJA001-PDV307", display_name="The manager's own"),
            tills.host("spared"),
        ),
        "skipped refused:outside_window": (entry("LOJA003-PDV1"),),
        "skipped refused:protected_machine": (tills.host("office"),),
        "skipped rollout_excluded": (entry("LOJA001-PDV308", provider="zanthus"),),
        "skipped frozen:audit": (entry("LOJA004-PDV1"),),
        "changed confirmed": (tills.host("goes"),),
    }
    soon = dt.datetime.now(ZoneInfo(ZONE)) + dt.timedelta(hours=6)
    later = {"start": f"{soon:%H:%M}", "end": f"{soon + dt.timedelta(hours=1):%H:%M}", "stores": [3]}
    document = tills.document(
        hosts=[host for group in hosts.values() for host in group],
        concentrators=[{"address": NOWHERE}, {"address": "127.77.7.251", "name": f"{NETWORK}-loja001-pdv305"}],
        freeze=[{"id": "audit", "from_time": "00:00", "to_time": "23:59:59.999999", "stores": [4]}],
        actions=shutting_down(
            windows=[ALWAYS, later],
            exceptions=[f"{NETWORK}-loja001-pdv306", "the manager's OWN", tills.host("spared")["address"]],
        ),
        ssh={"connect_timeout": 10},
    )
    proxy = Proxy(tmp_path, document)
    said = proxy.run("pdv_shutdown", "--all", "--output", "json")
    assert said.outcomes == {host["name"]: verdict for verdict, group in hosts.items() for host in group}
    proof = said.result(tills.name("goes"))["report"]["power_off"]
    assert (proof["state"], proof["last_sign"]) == ("gone", "silent")
    assert proof["witness"]["address"] != tills.host("goes")["address"]
    everyone = ("stays", "goes", "spared", "server", "office", *map(str.lower, APART))
    assert [name for name in everyone if "power off" in tills.events(name)] == ["goes"]
    gone = proxy.run("test_endpoint_connection", "--host", tills.name("goes"), "--output", "json")
    assert gone.outcomes == {tills.name("goes"): "unreachable timeout"}


def test_a_till_is_not_powered_off_through_an_entry_beside_the_one_that_is_an_exception(
    tills: Shop, tmp_path: Path
) -> None:
    free = tills.host("stays", name=f"{NETWORK}-LOJA001-FUNDOS", role="checkout")
    other = tills.host("stays", name=f"{NETWORK}-LOJA001-PDV310")  # and the machine says that it is another terminal
    actions = shutting_down(windows=[ALWAYS], exceptions=[tills.name("stays")])
    for beside, outcome in ((free, "skipped refused:exception"), (other, "blocked host_identity_unclear:another_host")):
        proxy = Proxy(tmp_path / beside["name"], tills.document("stays", hosts=[beside], actions=actions))
        said = proxy.run("pdv_shutdown", "--host", beside["name"], "--output", "json")
        assert said.outcomes == {beside["name"]: outcome}
        assert "power off" not in tills.events("stays")


def zone_where_it_is(hour: int) -> ZoneInfo:
    """A zone in whose clocks this hour is now."""
    ahead = (hour - dt.datetime.now(dt.UTC).hour + 12) % 24 - 12
    return ZoneInfo(f"Etc/GMT{-ahead:+d}")


# Which stores may be powered off: 1 by the night's window, 2 by its weekday today, 3 by that of yesterday, 4 by no other.
@pytest.mark.parametrize(("hour", "open_stores"), [(23, {1, 2}), (2, {1, 3}), (12, set()), (7, set())])
def test_a_window_over_midnight_belongs_to_the_day_it_starts_on_in_the_networks_own_zone(
    tills: Shop, tmp_path: Path, hour: int, open_stores: set[int]
) -> None:
    zone = zone_where_it_is(hour)
    today = dt.datetime.now(zone)
    days = [f"{today - dt.timedelta(days=back):%a}".lower() for back in (0, 1)]
    windows = [
        {**NIGHT, "stores": [1]},
        {**NIGHT, "stores": [2], "weekdays": [days[0]]},
        {**NIGHT, "stores": [3], "weekdays": [days[1]]},
        {"start": "14:00", "end": "22:30"},
    ]
    four = {store: f"loja{store:03d}-pdv1" for store in (1, 2, 3, 4)}
    names = {store: tills.name(till) for store, till in four.items()}
    document = tills.document(*four.values(), timezone=zone.key, actions=shutting_down(windows=windows))
    said = Proxy(tmp_path, document).run("shutdown_endpoint", "--all", "--dry-run", "--output", "json")
    assert said.code == 0
    assert {store for store, name in names.items() if said.outcomes[name] == "would_change dry_run"} == open_stores
    closed = {said.outcomes[names[store]] for store in names.keys() - open_stores}
    assert closed == {"skipped refused:outside_window"}
    assert not [till for till in four.values() if "power off" in tills.events(till)]


UNNAMED = ("", "--limit 1", "--provider arius", "--dry-run", "--pdv 201", "--pdv PDV201 --dry-run")


@pytest.mark.parametrize("arguments", UNNAMED)
def test_nothing_is_powered_off_without_explicit_targets(tills: Shop, tmp_path: Path, arguments: str) -> None:
    proxy = Proxy(tmp_path, tills.document("stays", actions=shutting_down(windows=[ALWAYS])))
    said = proxy.run("shutdown_endpoint", *arguments.split(), "--output", "json")
    assert (said.code, said.json["error"]["reason"]) == (2, "no_target")
    assert "power off" not in tills.events("stays")


def test_a_till_with_a_wrong_clock_stays_on_and_one_with_a_right_clock_is_powered_off(
    start_terminal: StartTerminal, tmp_path: Path
) -> None:
    """On real machines: their own `date`, their own shutdown, and accounts without a shell that runs anything."""
    accounts = (Account("root", "terminal"), Account("ana", "secret"))
    ahead = "#!/bin/bash\necho $(($(printf '%(%s)T' -1) + 43200))\n"
    odd = start_terminal(TerminalSpec(accounts=accounts, files={"/usr/bin/date": ahead}))
    even = start_terminal(TerminalSpec())
    odd.write("/etc/passwd", odd.read("/etc/passwd").replace("/home/ana:/bin/bash", "/home/ana:/usr/sbin/nologin"))
    now = dt.datetime.now(ZoneInfo(ZONE))
    window = {"start": f"{now - dt.timedelta(hours=1):%H:%M}", "end": f"{now + dt.timedelta(hours=3):%H:%M}"}
    names = {name: f"{NETWORK}-LOJA001-PDV{number}" for number, name in enumerate(("odd", "even", "shut"), start=1)}

    def host(name: str, address: str, credential: str = "root") -> dict[str, Any]:
        return {"name": names[name], "address": address, "credential": credential}

    hosts = [host("odd", odd.address), host("even", even.address), host("shut", odd.address, "ana")]
    logins = [
        {"id": "root", "user": "root", "password": "terminal"},
        {"id": "ana", "user": "ana", "password": "secret"},
    ]
    document = {
        "network": NETWORK,
        "timezone": ZONE,
        "inventory": {"kind": "static", "hosts": hosts},
        "credentials": logins,
        "actions": shutting_down(windows=[window]),
        "compatibility": {"rows": [{"distro": "debian", "versions": "*", "arch": ["x86_64"], "level": "L1"}]},
    }
    proxy = Proxy(tmp_path, document)
    looked = proxy.run("test_endpoint_connection", "--host", names["shut"], "--output", "json")
    assert looked.outcomes == {names["shut"]: "unreachable login_refused"}
    assert "account is currently not available" in looked.result(names["shut"])["message"]
    odd.write("/etc/passwd", odd.read("/etc/passwd").replace("/home/ana:/usr/sbin/nologin", "/home/ana:/bin/bash"))
    odd.write("/home/ana/.bashrc", "echo See you; exit\n")
    looked = proxy.run("test_endpoint_connection", "--host", names["shut"], "--output", "json")
    assert looked.outcomes == {names["shut"]: "failed bad_facts:shell"}
    assert "See you" in looked.result(names["shut"])["message"]
    said = proxy.run("shutdown_endpoint", "--host", names["odd"], "--host", names["even"], "--output", "json")
    assert said.outcomes == {names["odd"]: "skipped refused:clocks_disagree", names["even"]: "changed confirmed"}
    assert (odd.ended(), even.ended()) == (None, "halted")
    odd.write("/usr/bin/date", "#!/bin/sh\nexit 1\n")
    said = proxy.run("shutdown_endpoint", "--host", names["odd"], "--output", "json")
    assert said.outcomes == {names["odd"]: "skipped refused:no_clock"}
    assert odd.alive()
