"""What only reads, on a terminal of every kind chosen through Zabbix: it tells the truth, and it writes nothing."""

import pytest

from tests.e2e.fleet import SPECS, Fleet
from tests.integration.proxy import Proxy, Said


@pytest.fixture(scope="module")
def proxy(fleet: Fleet) -> Proxy:
    return fleet.site.proxy(rollout={"zanthus": {"percent": 100}})


@pytest.fixture(scope="module")
def diagnosis(fleet: Fleet, proxy: Proxy) -> Said:
    """`diagnose_env --all`; nothing was written by it."""
    before = fleet.hashes()
    said = proxy.run("diagnose_env", "--all", "--output", "json")
    assert fleet.hashes() == before
    return said


def test_every_terminal_is_diagnosed_also_those_that_nothing_else_may_touch(fleet: Fleet, diagnosis: Said) -> None:
    assert diagnosis.code == 0
    assert diagnosis.outcomes == dict.fromkeys(fleet.names.values(), "ok done")


# kind -> distribution, version, what the kernel says, architecture and bits of the userland, init
SYSTEMS = {
    "sudoer": ("ubuntu", "22.04", "x86_64", "x86_64", 64),
    "slackware": ("slackware", "13.37.0", "x86_64", "x86_64", 64),
    "i386": ("mint", "17.3", "i686", "i686", 32),
    "mixed": ("ubuntu", "14.04", "x86_64", "i686", 32),
    "old server": ("ubuntu", "14.04", "x86_64", "x86_64", 64),
    "zanthus": ("ubuntu", "22.04", "x86_64", "x86_64", 64),
    "concentrator": ("ubuntu", "22.04", "x86_64", "x86_64", 64),
    "unknown": (None, None, "x86_64", "x86_64", 64),
    "too new": ("slackware", "14.2", "x86_64", "x86_64", 64),
}


@pytest.mark.parametrize("kind", SPECS)
def test_a_terminals_system_is_recognised(fleet: Fleet, diagnosis: Said, kind: str) -> None:
    report = diagnosis.result(fleet.names[kind])["report"]
    told = tuple(report[key] for key in ("distro", "version", "machine", "arch", "bits"))
    assert told == SYSTEMS[kind]
    assert report["hostname"] == SPECS[kind][1].hostname
    assert report["init"] == "sysv"
    assert 22 in report["listening"]
    assert abs(report["clock_skew_s"]) < 60
    assert report["free_root_kb"] > 0


def test_the_login_s_rights_are_distinguished(fleet: Fleet, diagnosis: Said) -> None:
    reports = {kind: diagnosis.result(name)["report"] for kind, name in fleet.names.items()}
    assert (reports["sudoer"]["user"], reports["sudoer"]["uid"] > 0) == ("flagee", True)
    assert reports["sudoer"]["sudo_passwordless"] == "no"
    assert (reports["slackware"]["user"], reports["slackware"]["sudo_passwordless"]) == ("root", "root")


def test_the_level_of_every_terminal_is_recorded_and_blocks_no_read(fleet: Fleet, diagnosis: Said) -> None:
    levels = {kind: diagnosis.result(name)["compatibility"]["level"] for kind, name in fleet.names.items()}
    assert levels == {
        "sudoer": "L1",
        "slackware": "L2",
        "i386": "L2",
        "mixed": "L2",
        "old server": "L2",
        "zanthus": "L1",
        "concentrator": "L1",
        "unknown": None,
        "too new": "L3",
    }


def test_connection_and_privilege_are_proved_on_every_terminal_by_any_of_their_names(
    fleet: Fleet, proxy: Proxy
) -> None:
    before = fleet.hashes()
    connected = proxy.run("pdv_test_connection", "--loja", "LOJA001", "--output", "json")
    assert connected.outcomes == dict.fromkeys(fleet.names.values(), "ok done")
    assert connected.json["run"]["action"] == "test_endpoint_connection"

    # Becoming root is for checkouts: the concentrator is left alone.
    root = proxy.run("test_endpoint_privilege", "--all", "--output", "json")
    hub = fleet.names["concentrator"]
    assert root.code == 0
    assert root.outcomes.pop(hub) == "skipped protected_role"
    for kind, name in fleet.names.items():
        if kind == "concentrator":
            continue
        result = root.result(name)
        assert (result["outcome"], result["report"]["uid"]) == ("ok", 0), result["message"]
        assert result["report"]["privilege"] == ("sudo" if kind == "sudoer" else "root")

    named = proxy.run("terminal_ping", "--provider", "zanthus", "--all", "--output", "json")
    assert (named.code, named.outcomes) == (0, {fleet.names["zanthus"]: "ok done"})
    assert fleet.hashes() == before


def test_what_an_old_server_needs_is_remembered_and_shown(fleet: Fleet, proxy: Proxy, diagnosis: Said) -> None:
    listed = {host["name"]: host for host in proxy.run("hosts", "--output", "json").json}
    assert set(listed) == set(fleet.names.values())
    needs = {kind for kind, name in fleet.names.items() if listed[name]["ssh_needs"]}
    assert needs == {"old server"}
    assert any("ssh-dss" in need for need in listed[fleet.names["old server"]]["ssh_needs"])
    assert diagnosis.code == 0
