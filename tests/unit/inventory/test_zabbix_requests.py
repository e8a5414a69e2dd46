"""What is asked of each Zabbix version, and what is believed of its answers. The server is a stand-in on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from runtime.adapters.zabbix.neighbours import MOST
from runtime.domain.errors import InventoryUnavailable, UsageFault
from runtime.domain.model import Selector
from tests.unit.inventory.stand_in import TOKEN, StandIn, host_row, inventory_at, results, standing_in


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with standing_in(StandIn()) as server:
        yield server


VERSIONS = {
    # version: where the token goes, how groups are asked for, how they are answered
    "5.4.12": ("body", "selectGroups", "groups"),
    "6.0.14": ("body", "selectGroups", "groups"),
    "6.2.9": ("body", "selectHostGroups", "hostgroups"),
    "6.4.0": ("header", "selectHostGroups", "hostgroups"),
    "7.0.5": ("header", "selectHostGroups", "hostgroups"),
    "7.2.0": ("header", "selectHostGroups", "hostgroups"),
    "7.4.0rc1": ("header", "selectHostGroups", "hostgroups"),
}


def answered(version: str, row: dict[str, Any]) -> dict[str, Any]:
    """The row as this version answers it."""
    groups = row.pop("groups")
    return {**row, VERSIONS[version][2]: groups}


@pytest.mark.parametrize("version", VERSIONS)
def test_each_version_of_zabbix_gets_its_own_request(stand_in: StandIn, version: str) -> None:
    place, select, _ = VERSIONS[version]
    stand_in.results = results(version, answered(version, host_row("1", "ACME-LOJA001-PDV201")))
    (host,) = inventory_at(stand_in.url).read(Selector()).hosts
    assert (host.name, host.groups) == ("ACME-LOJA001-PDV201", ("ACME",))
    assert [one.method for one in stand_in.asked] == [
        "apiinfo.version",
        "hostgroup.get",
        "host.get",
        "hostinterface.get",
    ]
    version_call, *others = stand_in.asked
    assert (version_call.auth, version_call.bearer) == (None, None)
    for one in others:
        assert (one.auth, one.bearer) == ((TOKEN, None) if place == "body" else (None, f"Bearer {TOKEN}"))
    (call,) = stand_in.of("host.get")
    assert {name for name in call.params if name.endswith("Groups")} == {select}
    assert call.params["groupids"] == ["20"]
    assert "filter" not in call.params  # what is disabled protects all the same
    assert "hostids" not in call.params


def test_what_is_not_needed_is_not_asked_for(stand_in: StandIn) -> None:
    stand_in.results = results("6.0.14")
    inventory_at(stand_in.url).read(Selector())
    (call,) = stand_in.of("host.get")
    assert not {"selectInventory", "selectParentTemplates"} & call.params.keys()


@pytest.mark.parametrize("end", ["", "/", "/api_jsonrpc.php", "/api_jsonrpc.php/"])
@pytest.mark.parametrize("base", ["", "/zabbix"])
def test_the_url_may_be_the_base_or_the_entry_itself(stand_in: StandIn, base: str, end: str) -> None:
    stand_in.results = results("7.0.0")
    inventory_at(stand_in.url + base + end).read(Selector())
    assert {one.path for one in stand_in.asked} == {f"{base}/api_jsonrpc.php"}


def test_triggers_are_asked_within_the_network_and_all_hosts_are_read(stand_in: StandIn) -> None:
    trigger = {"triggerid": "9", "description": "Down", "value": "1", "hosts": [{"hostid": "2"}]}
    rows = (host_row("1", "ACME-LOJA001-PDV201"), host_row("2", "ACME-LOJA001-PDV202"))
    stand_in.results = results("6.0.14", *rows, trigger_get=[trigger])
    selector = Selector(trigger_ids=("9",), trigger_names=("Down",))
    (chosen,) = inventory_at(stand_in.url).read(selector).hosts
    assert (chosen.id, chosen.triggers) == ("2", ("9", "Down"))
    (call,) = stand_in.of("trigger.get")
    assert call.params["groupids"] == ["20"]
    assert call.params["triggerids"] == ["9"]
    assert call.params["filter"] == {"value": 1, "description": ["Down"]}
    # All are read: any of them may have the address of the one with the problem, and be a concentrator.
    assert "hostids" not in stand_in.of("host.get")[0].params


@pytest.mark.parametrize(
    "trigger",
    [
        {"triggerid": "8", "description": "Down", "value": "1"},
        {"triggerid": "9", "description": "Down too", "value": "1"},
        {"triggerid": "9", "description": "down", "value": "1"},
        {"triggerid": "9", "description": "Down", "value": "0"},
    ],
)
def test_a_trigger_that_does_not_match_selects_no_host(stand_in: StandIn, trigger: dict[str, Any]) -> None:
    row = host_row("1", "ACME-LOJA001-PDV201")
    stand_in.results = results("6.0.14", row, trigger_get=[{**trigger, "hosts": [{"hostid": "1"}]}])
    assert inventory_at(stand_in.url).read(Selector(trigger_ids=("9",), trigger_names=("Down",))).hosts == ()
    assert stand_in.of("host.get") == []


def test_a_trigger_id_that_is_no_number_is_refused_before_anything_is_asked(stand_in: StandIn) -> None:
    with pytest.raises(UsageFault):
        inventory_at(stand_in.url).read(Selector(trigger_ids=("9 or 1=1",)))
    assert stand_in.asked == []


def test_hosts_that_the_api_should_have_left_out_are_left_out(stand_in: StandIn) -> None:
    elsewhere = [{"groupid": "21", "name": "OTHER"}]
    stand_in.results = results(
        "6.0.14",
        host_row("1", "ACME-LOJA001-PDV201"),
        host_row("2", "ACME-LOJA001-PDV202", status="1"),
        host_row("3", "ACME-LOJA001-PDV203", groups=elsewhere),
        host_row("4", "OTHER-LOJA001-PDV204"),
        host_row("5", "ACME2-LOJA001-PDV205"),
    )
    assert [host.id for host in inventory_at(stand_in.url).read(Selector()).hosts] == ["1"]


def test_an_excluded_template_excludes_what_inherits_it(stand_in: StandIn) -> None:
    templates = [
        {"templateid": "100", "host": "base", "name": "Base", "parentTemplates": []},
        {"templateid": "101", "host": "middle", "name": "Middle", "parentTemplates": [{"templateid": "100"}]},
        {"templateid": "102", "host": "top", "name": "Top", "parentTemplates": [{"templateid": "101"}]},
        {"templateid": "103", "host": "other", "name": "Other", "parentTemplates": []},
    ]
    rows = [
        host_row(one, f"ACME-LOJA001-PDV{one}", parentTemplates=[{"templateid": one}]) for one in ("100", "102", "103")
    ]
    stand_in.results = results("6.0.14", *rows, template_get=templates)
    inventory = inventory_at(stand_in.url, exclude_templates=["Base"])
    assert [host.terminal for host in inventory.read(Selector()).hosts] == [103]


def test_an_answer_without_templates_is_not_taken_for_no_templates(stand_in: StandIn) -> None:
    template = {"templateid": "100", "host": "base", "name": "Base", "parentTemplates": []}
    stand_in.results = results("6.0.14", host_row("1", "ACME-LOJA001-PDV201"), template_get=[template])
    with pytest.raises(InventoryUnavailable) as caught:
        inventory_at(stand_in.url, exclude_templates=["100"]).read(Selector())
    assert caught.value.reason == "zabbix_bad_answer"


def interface(**more: str) -> dict[str, str]:
    return {
        "type": "1",
        "main": "1",
        "useip": "1",
        "ip": "10.0.0.1",
        "dns": "",
        "port": "10050",
        "available": "1",
        **more,
    }


def macros_of(params: Any) -> list[dict[str, str]]:
    if params.get("globalmacro"):
        return [{"macro": "{$GLOBAL}", "value": "10.0.0.9", "type": "0"}]
    values = (("1", "{$OWN}", "10.0.0.7"), ("100", "{$TEMPLATE}", "10.0.0.8"), ("1", "{$TEXT}", "till"))
    known = [{"hostid": at, "macro": name, "value": value, "type": "0"} for at, name, value in values]
    return [*known, {"hostid": "1", "macro": "{$SECRET}", "type": "1"}]


MACROS: dict[str, Any] = {
    "usermacro_get": macros_of,
    "template_get": [
        {"templateid": "101", "host": "top", "name": "Top", "parentTemplates": [{"templateid": "100"}]},
        {"templateid": "100", "host": "base", "name": "Base", "parentTemplates": []},
    ],
}
PROTECTING: dict[str, tuple[list[dict[str, str]], tuple[str, ...], tuple[str, ...]]] = {
    "one": ([interface()], ("10.0.0.1",), ("10.0.0.1",)),
    "every type, whatever useip says": (
        [
            interface(dns="Till.example."),
            interface(type="2", useip="0", ip="::FFFF:10.0.0.2", dns="b"),
            interface(main="0", ip="10.0.0.3"),
        ],
        ("10.0.0.1", "till.example", "10.0.0.2", "b", "10.0.0.3"),
        ("10.0.0.1", "till.example"),
    ),
    "macros of every level": (
        [
            interface(type=kind, main=main, ip=ip)
            for kind, main, ip in (("1", "1", "{$OWN}"), ("2", "1", "{$TEMPLATE}"), ("3", "1", "{$GLOBAL}"))
        ],
        ("10.0.0.7", "10.0.0.8", "10.0.0.9"),
        ("10.0.0.7",),
    ),
}


@pytest.mark.parametrize("case", PROTECTING)
def test_a_host_is_known_by_every_address_that_zabbix_has_for_it(stand_in: StandIn, case: str) -> None:
    interfaces, addresses, reached_as = PROTECTING[case]
    row = host_row("1", "ACME-LOJA001-PDV201", interfaces=interfaces, parentTemplates=[{"templateid": "101"}])
    stand_in.results = results("6.0.14", row, **MACROS)
    (host,) = inventory_at(stand_in.url).read(Selector()).hosts
    assert (host.addresses, host.reached_as) == (addresses, reached_as)


def test_an_unknown_macro_on_another_interface_is_reported(stand_in: StandIn) -> None:
    row = host_row(
        "1", "ACME-LOJA001-PDV201", interfaces=[interface(), interface(type="2", ip="{$WHAT}")], parentTemplates=[]
    )
    stand_in.results = results("6.0.14", row, **MACROS)
    listing = inventory_at(stand_in.url).read(Selector())
    (notice,) = listing.notices
    assert "ACME-LOJA001-PDV201: nobody knows the value of {$WHAT}" in notice
    assert listing.hosts[0].address == "10.0.0.1"


def test_what_no_run_may_select_is_known_so_that_it_can_protect(stand_in: StandIn) -> None:
    template = {"templateid": "100", "host": "base", "name": "Base", "parentTemplates": []}
    plain: dict[str, Any] = {"parentTemplates": []}
    rows = [
        host_row("1", "ACME-LOJA001-PDV201", **plain),
        host_row("2", "ACME-LOJA001-PDV202", status="1", **plain),
        host_row("3", "ACME-LOJA001-PDV203", parentTemplates=[{"templateid": "100"}]),
        host_row("4", "OTHER-LOJA001-PDV204", **plain),
    ]
    stand_in.results = results("6.0.14", *rows, template_get=[template])
    listing = inventory_at(stand_in.url, exclude_templates=["Base"]).read(Selector())
    assert [host.id for host in listing.hosts] == ["1"]
    assert {host.id: host.left_out for host in listing.others} == {"2": "disabled", "3": "template", "4": "network"}
    assert set(listing.hosts[0].machine.entries) == set(listing.entries)
    (notice,) = listing.notices
    assert "OTHER-LOJA001-PDV204" in notice


@pytest.mark.parametrize(
    ("name", "group", "left_out"),
    [
        ("ACME-LOJA001-PDV202", "20", "template"),
        ("ACME-LOJA001-PDV202", "21", "group"),
        ("OTHER-LOJA001-PDV1", "20", "network"),
        ("OTHER-LOJA001-PDV1", "21", "network"),
    ],
)
@pytest.mark.parametrize("status", ["0", "1"])
def test_an_excluded_template_protects_through_every_entry_of_the_machine(
    stand_in: StandIn, name: str, group: str, left_out: str, status: str
) -> None:
    template = {"templateid": "100", "host": "base", "name": "Base", "parentTemplates": []}
    mine = host_row("1", "ACME-LOJA001-PDV201", parentTemplates=[])
    groups = [{"groupid": group, "name": "ACME" if group == "20" else "Servers"}]
    other = host_row("2", name, groups=groups, status=status, parentTemplates=[{"templateid": "100"}])
    stand_in.results = {
        **results("6.0.14", mine, other, template_get=[template]),
        "host.get": lambda params: [other] if "2" in params.get("hostids", ()) else [mine, other],
    }
    listing = inventory_at(stand_in.url, exclude_templates=["100"]).read(Selector())
    (found,) = listing.hosts
    assert {host.id: host.left_out for host in listing.others} == {
        "2": "disabled" if status == "1" and left_out == "template" else left_out
    }
    assert found.machine.excluded is not None
    assert found.machine.excluded.name == name


def test_a_host_of_another_group_that_has_an_address_of_the_network_protects_it(stand_in: StandIn) -> None:
    elsewhere = [{"groupid": "21", "name": "Servers"}]
    mine, stranger = host_row("1", "ACME-LOJA001-PDV201"), host_row("2", "ACME-PROXY", groups=elsewhere)
    stand_in.results = {
        **results("6.0.14", mine, stranger),
        "host.get": lambda params: [stranger] if params.get("hostids") == ["2"] else [mine],
    }
    listing = inventory_at(stand_in.url).read(Selector())
    assert [(host.name, host.left_out, host.role) for host in listing.others] == [("ACME-PROXY", "group", "proxy")]
    assert set(listing.hosts[0].machine.roles) == {"checkout", "proxy"}


def named(name: str) -> dict[str, str]:
    """An interface that goes by a DNS name."""
    return interface(useip="0", ip="", dns=name)


# name -> (interface of the till, interface of the concentrator in another group, whether they may be one machine)
ELSEWHERE: dict[str, tuple[dict[str, str], dict[str, str], bool]] = {
    "a macro of ours": (interface(ip="{$OWN}"), interface(ip="10.0.0.7"), True),
    "a macro of ours, and another one in a template": (interface(ip="{$OWN}"), interface(ip="{$TEMPLATE}"), False),
    "a macro of theirs": (interface(ip="10.0.0.8"), interface(ip="{$TEMPLATE}"), True),
    "a macro of theirs for a name": (interface(ip="10.0.0.1", dns="till"), named("{$TEXT}"), True),
    "macros of both": (interface(ip="{$OWN}"), interface(ip="{$THEIRS}"), True),
    "one macro with two values": (interface(ip="{$BOTH}"), interface(ip="{$BOTH}"), False),
    "our address in a long form": (interface(ip="::ffff:10.0.0.7"), interface(ip="10.0.0.7"), True),
    "their address in a long form": (interface(ip="10.0.0.7"), interface(ip="::FFFF:10.0.0.7"), True),
    "their address in hexadecimal": (interface(ip="10.0.0.7"), interface(ip="0:0:0:0:0:ffff:a00:7"), True),
    "two forms of IPv6": (interface(ip="fd00::7"), interface(ip="FD00:0:0:0:0:0:0:7"), True),
    # The system's resolver knows 0x0a000007, which is 10.0.0.7, without a name server.
    "our DNS name": (named("0x0a000007"), interface(ip="10.0.0.7"), True),
    "their DNS name": (interface(ip="10.0.0.7"), named("0x0a000007"), True),
    "their DNS name for a macro of ours": (interface(ip="{$OWN}"), named("0x0a000007"), True),
    "their DNS name in another spelling": (interface(dns="till.invalid"), named("TILL.invalid."), True),
    "another address": (interface(ip="10.0.0.7"), interface(ip="10.0.0.8"), False),
}


@pytest.mark.parametrize("case", ELSEWHERE)
def test_a_concentrator_of_another_group_protects_however_its_address_is_written(stand_in: StandIn, case: str) -> None:
    ours, theirs, same = ELSEWHERE[case]
    till = host_row("1", "ACME-LOJA001-PDV201", interfaces=[ours], parentTemplates=[])
    hub = host_row(
        "2",
        "ACME-CONCENTRADOR",
        interfaces=[theirs],
        groups=[{"groupid": "21", "name": "Servers"}],
        parentTemplates=[{"templateid": "101"}],
    )

    def hosts(params: Any) -> Any:
        return [row for row in (till, hub) if row["hostid"] in params.get("hostids", ["1"])]

    def macros(params: Any) -> Any:
        more = [("2", "{$THEIRS}", "10.0.0.7"), ("1", "{$BOTH}", "10.0.0.7"), ("2", "{$BOTH}", "10.0.0.8")]
        more += [("2", "{$TEXT}", "till")]
        return [
            *macros_of(params),
            *(
                {"hostid": at, "macro": name, "value": value, "type": "0"}
                for at, name, value in more
                if not params.get("globalmacro")
            ),
        ]

    stand_in.results = {**results("6.0.14", till, hub, **MACROS), "usermacro.get": macros, "host.get": hosts}
    listing = inventory_at(stand_in.url).read(Selector())
    assert [host.name for host in listing.hosts] == [till["host"]]
    assert (listing.hosts[0].machine.roles.keys() == {"checkout", "concentrator"}) is same
    assert [host.name for host in listing.others] == ([hub["host"]] if same else [])


def test_an_unknown_macro_of_another_group_is_reported(stand_in: StandIn) -> None:
    till = host_row("1", "ACME-LOJA001-PDV201", parentTemplates=[])
    elsewhere = {"groups": [{"groupid": "21", "name": "Servers"}], "parentTemplates": []}
    hub = host_row("2", "ACME-CONCENTRADOR", interfaces=[interface(ip="{$SECRET}")], **elsewhere)
    stand_in.results = {
        **results("6.0.14", till, hub, **MACROS),
        "host.get": lambda params: [hub] if "2" in params.get("hostids", ()) else [till],
    }
    listing = inventory_at(stand_in.url).read(Selector())
    (notice,) = listing.notices
    assert "ACME-CONCENTRADOR: nobody knows the value of {$SECRET}" in notice
    assert listing.others == ()


def test_an_unknown_macro_on_an_entry_that_only_protects_is_reported(stand_in: StandIn) -> None:
    """No run selects it, so no result of a run would say so."""
    hub = host_row("2", "ACME-CONCENTRADOR", status="1", interfaces=[interface(ip="{$SECRET}")], parentTemplates=[])
    stand_in.results = results("6.0.14", host_row("1", "ACME-LOJA001-PDV201", parentTemplates=[]), hub, **MACROS)
    (notice,) = inventory_at(stand_in.url).read(Selector()).notices
    assert "ACME-CONCENTRADOR: nobody knows the value of {$SECRET}" in notice


def test_of_very_many_hosts_of_other_groups_only_some_are_read_and_a_notice_says_so(stand_in: StandIn) -> None:
    till = host_row("1", "ACME-LOJA001-PDV201")
    others = [
        host_row(str(at), f"ACME-SERVER{at}", interfaces=[interface(ip=f"fd00::{at:x}")], groups=[])
        for at in range(2, MOST + 3)
    ]
    stand_in.results = {
        **results("6.0.14", till, *others),
        "host.get": lambda params: [till] if "groupids" in params else [],
    }
    (notice,) = inventory_at(stand_in.url).read(Selector()).notices
    assert f"more than {MOST} hosts of other groups" in notice
    assert [len(call.params["hostids"]) for call in stand_in.of("host.get")[1:]] == [MOST]


@pytest.mark.parametrize(("version", "field"), [("6.0.14", "proxy_hostid"), ("7.0.5", "proxyid")])
@pytest.mark.parametrize(
    ("name", "through", "counts"),
    [
        ("OTHER-LOJA001-CONCENTRADOR", "7", False),
        ("OTHER-LOJA001-CONCENTRADOR", "0", True),
        ("ACME-LOJA001-CONCENTRADOR", "7", True),
    ],
)
def test_an_address_that_another_network_has_behind_its_own_proxy_is_another_machine(
    stand_in: StandIn, name: str, through: str, counts: bool, version: str, field: str
) -> None:
    elsewhere = [{"groupid": "21", "name": "OTHER"}]
    mine = answered(version, host_row("1", "ACME-LOJA001-PDV201", **{field: "0"}))
    stranger = answered(version, host_row("2", name, groups=elsewhere, **{field: through}))
    stand_in.results = {
        **results(version, mine, stranger),
        "host.get": lambda params: [stranger] if params.get("hostids") == ["2"] else [mine],
    }
    listing = inventory_at(stand_in.url).read(Selector())
    assert [host.name for host in listing.others] == ([name] if counts else [])
    assert field in stand_in.of("host.get")[0].params["output"]


def test_nested_groups_belong_to_the_network_and_a_gap_between_them_is_reported(stand_in: StandIn) -> None:
    groups = [
        {"groupid": str(at), "name": name}
        for at, name in enumerate(("ACME", "ACME/Store 1", "ACME/South/Store 9", "ACME2", "acme/x"), 20)
    ]
    rows = [host_row(str(at), f"ACME-LOJA001-PDV{at}", groups=[group]) for at, group in enumerate(groups)]
    stand_in.results = {**results("6.0.14", *rows), "hostgroup.get": groups}
    listing = inventory_at(stand_in.url).read(Selector())
    assert [host.id for host in listing.hosts] == ["0", "1", "2"]
    assert stand_in.of("host.get")[0].params["groupids"] == ["20", "21", "22"]
    (notice,) = listing.notices
    assert "nested in ACME/South," in notice


INTERFACES: list[tuple[list[dict[str, str]], str, str, int | None, int]] = [
    ([interface(type="2", ip="10.0.0.9"), interface(main="0", ip="10.0.0.8"), interface()], "10.0.0.1", "", 1, 10050),
    ([interface(available="2", port="10051")], "10.0.0.1", "", 2, 10051),
    ([interface(port="{$PORT}")], "10.0.0.1", "", 1, 10050),
    ([interface(ip="::ffff:10.0.0.1")], "10.0.0.1", "", 1, 10050),
    ([interface(ip="2001:DB8::0:1")], "2001:db8::1", "", 1, 10050),
    ([], "", "no agent interface", None, 10050),
    ([interface(type="2")], "", "no agent interface", None, 10050),
    ([interface(main="0")], "", "no agent interface", None, 10050),
    ([interface(useip="0", dns="pdv201.example")], "", "DNS name pdv201.example", 1, 10050),
    ([interface(ip="{$OWN}")], "10.0.0.7", "", 1, 10050),
    ([interface(ip="{$OWN:shop}")], "10.0.0.7", "", 1, 10050),
    ([interface(ip="{$ADDRESS}")], "", "nobody here knows its value", 1, 10050),
    ([interface(ip="{$SECRET}")], "", "nobody here knows its value", 1, 10050),
    ([interface(ip="{$TEXT}")], "", "no IP address", 1, 10050),
    ([interface(ip="{$TEMPLATE}")], "", "set the macro on the host itself", 1, 10050),
    ([interface(ip="{$GLOBAL}")], "", "set the macro on the host itself", 1, 10050),
    ([interface(ip="{HOST.IP}")], "", "nobody here knows its value", 1, 10050),
    ([interface(ip="")], "", "no IP address", 1, 10050),
    ([interface(ip="010.0.0.1")], "", "no IP address", 1, 10050),
]


@pytest.mark.parametrize(("interfaces", "address", "problem", "status", "port"), INTERFACES)
def test_the_main_agent_interface_counts_or_there_is_a_problem(
    stand_in: StandIn, interfaces: list[dict[str, str]], address: str, problem: str, status: int | None, port: int
) -> None:
    row = host_row("1", "ACME-LOJA001-PDV201", interfaces=interfaces, parentTemplates=[{"templateid": "101"}])
    stand_in.results = results("6.0.14", row, **MACROS)
    (host,) = inventory_at(stand_in.url).read(Selector()).hosts
    assert (host.address, host.agent_status, host.agent_port) == (address, status, port)
    assert problem in host.problem
    assert bool(host.problem) != bool(host.address)


@pytest.mark.parametrize(
    ("inventory", "user", "port"),
    [
        ({"notes": "op,s,2222"}, "op", 2222),
        ({"notes": "op,s"}, "op", 22),
        ({"notes": "see manual"}, None, 22),
        ([], None, 22),
    ],
)
def test_notes_give_a_credential_and_port_when_the_configuration_allows_it(
    stand_in: StandIn, inventory: object, user: str | None, port: int
) -> None:
    stand_in.results = results("6.0.14", host_row("1", "ACME-LOJA001-PDV201", inventory=inventory))
    (host,) = inventory_at(stand_in.url, notes_credentials=True).read(Selector()).hosts
    assert (host.credential.user if host.credential else None, host.port) == (user, port)
    (host,) = inventory_at(stand_in.url).read(Selector()).hosts
    assert (host.credential, host.port) == (None, 22)
