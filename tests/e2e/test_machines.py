"""A till that is excluded by name, and a stale entry of Zabbix that has its address: actions touch addresses."""

from dataclasses import replace

from tests.e2e.site import TILL, Site, zone_where_it_is
from tests.harness.fixtures import StartTerminal
from tests.harness.zabbix_api import HostSpec, Interface
from tests.integration.proxy import Proxy

OPEN = ("--param", 'windows=[{"start":"00:00","end":"23:59:59"}]')


def test_a_protected_till_is_not_touched_through_its_second_entry_and_its_neighbour_is(
    site: Site, start_terminal: StartTerminal
) -> None:
    till, neighbour = start_terminal(TILL), start_terminal(replace(TILL, hostname="neighbour"))
    kept = site.add_host("LOJA001-PDV401", till.address)
    stale = site.add_host("LOJA001-PDV403", till.address)
    nested = HostSpec(
        f"{site.code}-LOJA001-PDV404",
        groups=(f"{site.code}/Old",),
        interfaces=(Interface(till.address),),
        notes="root,terminal",
    )
    site.zabbix.create_hosts([nested])
    other = site.add_host("LOJA001-PDV402", neighbour.address)
    proxy: Proxy = site.proxy(
        timezone=zone_where_it_is(12),
        rollout={"arius": {"percent": 100, "never": [kept]}},
        actions={"shutdown_endpoint": {"params": {"exceptions": [kept]}}},
    )
    before = till.listing_hash()
    entries = {kept, stale, nested.host}
    tills = ("--pdv", "401,402,403,404", "--loja", "1", "--output", "json")
    changed = proxy.run("update_endpoint_timezone", *tills, "--param", "timezone=America/Manaus")
    assert changed.outcomes == {**dict.fromkeys(entries, "skipped rollout_excluded"), other: "changed confirmed"}
    off = proxy.run("shutdown_endpoint", *tills, *OPEN, "--dry-run")
    assert off.outcomes == {**dict.fromkeys(entries, "skipped rollout_excluded"), other: "would_change dry_run"}
    assert kept in off.result(stale)["message"]
    # The exception alone, without the rollout's list, is the last thing between the till and its power.
    site.publish(actions={"shutdown_endpoint": {"params": {"exceptions": [kept]}}}, timezone=zone_where_it_is(12))
    assert proxy.run("config", "refresh").code == 0
    said = proxy.run("shutdown_endpoint", "--host", stale, *OPEN, "--output", "json")
    assert said.outcomes == {stale: "skipped refused:exception"}
    assert kept in said.result(stale)["message"]
    assert till.alive()
    assert till.listing_hash() == before
    doctor = [check for check in proxy.run("doctor", "--output", "json").json if check["name"] == "machines"]
    assert all(any(name in check["text"] for check in doctor) for name in entries)
    listed = {host["name"]: set(host["same_machine"]) for host in proxy.run("hosts", "--output", "json").json}
    assert all(listed[name] == entries - {name} for name in entries)
    assert listed[other] == set()
