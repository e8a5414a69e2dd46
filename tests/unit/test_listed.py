"""Lists that protect hosts: no spelling of an entry may make it mean nobody."""

import ipaddress
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from runtime.domain.listed import is_listed, unmatched_entries
from runtime.domain.model import Host

HOST = Host(
    id="1",
    name="ACME-LOJA001-PDV202",
    network="ACME",
    address="10.7.2.202",
    display_name="Caixa 202",
    store=1,
    terminal=202,
)


@pytest.mark.parametrize(
    ("entry", "listed"),
    [
        ("ACME-LOJA001-PDV202", True),
        ("acme-loja1-pdv202", True),
        ("ACME (LOJA001) PDV202", True),
        (" caixa 202 ", True),
        ("10.7.2.202", True),
        ("::ffff:10.7.2.202", True),
        ("10.7.2.0/24", True),
        ("10.7.2.202/24", True),
        ("10.7.2.1;10.7.2.202", True),
        ("10.7.2.1, ACME-LOJA001-PDV202", True),
        ("ACME-LOJA001-PDV20", False),
        ("10.7.2.20", False),
        ("10.7.3.0/24", False),
        ("fd00::/8", False),
        ("Caixa", False),
        ("", False),
        (";", False),
        ("Caixa 202, fundos", True),  # one name or two: when in doubt it protects
        ("10.7.2.0/99", False),
    ],
)
@pytest.mark.parametrize("addresses", [(), ("10.7.2.202",), ("10.7.2.202", "203.0.113.7")], ids=["none", "one", "two"])
def test_an_entry_means_a_host_by_name_visible_name_address_or_network(
    entry: str, listed: bool, addresses: tuple[str, ...]
) -> None:
    assert is_listed(replace(HOST, addresses=addresses), (entry,)) is listed


@pytest.mark.parametrize("separator", [";", ",", " ; "])
@pytest.mark.parametrize("part", ["10.7.2.202", "10.7.2.192/26", "ACME-LOJA001-PDV202", "Caixa 202"])
@pytest.mark.parametrize("place", range(3))
def test_every_part_of_an_entry_is_read_wherever_it_stands(part: str, place: int, separator: str) -> None:
    parts = ["10.1.1.1", "10.2.0.0/16"]
    parts.insert(place, part)
    assert is_listed(HOST, (separator.join(parts),))


@pytest.mark.parametrize("entry", ["till.example", "till.example.", "Till.Example.", "10.0.0.9; TILL.example."])
def test_a_dns_name_is_the_same_with_a_final_dot(entry: str) -> None:
    host = Host(id="4", name="till", network="ACME", address="", addresses=("till.example",))
    assert is_listed(host, (entry,))
    assert unmatched_entries((entry,), [host]) == ()


def test_a_visible_name_may_hold_a_comma() -> None:
    host = Host(id="3", name="till", network="ACME", address="", display_name="Caixa 3, fundos")
    assert is_listed(host, ("Caixa 3, fundos",))
    assert not is_listed(host, ("Caixa 3",))


def test_entries_that_match_no_host_are_found() -> None:
    entries = ("Caixa 202", "10.7.2.0/24", "10.7.9.9", "Caixa 9", "fd00::/8", "::ffff:10.7.2.202", "Caixa 9")
    assert unmatched_entries(entries, [HOST]) == ("10.7.9.9", "Caixa 9", "fd00::/8")
    assert unmatched_entries(entries[:1], []) == ("Caixa 202",)


def test_a_host_without_address_or_visible_name_is_known_by_its_name_alone() -> None:
    bare = Host(id="2", name="till", network="ACME", address="")
    assert is_listed(bare, ("0.0.0.0/0", "TILL"))
    assert not is_listed(bare, ("0.0.0.0/0", "", "."))


@pytest.mark.parametrize("entry", ["fe80::7%eth0", "FE80::0007%eth0", "fe80::9; FE80:0::7%eth0"])
def test_an_address_of_one_interface_is_known_in_any_form(entry: str) -> None:
    host = Host(id="5", name="till", network="ACME", address="fe80::7%eth0")
    assert is_listed(host, (entry,))


def _network_lists() -> st.SearchStrategy[tuple[str, ...]]:
    four = st.tuples(st.ip_addresses(v=4), st.integers(0, 32))
    six = st.tuples(st.ip_addresses(v=6), st.integers(0, 128))
    texts = st.one_of(four, six).map(lambda pair: f"{pair[0]}/{pair[1]}").filter(lambda text: not _is_mapped(text))
    return st.lists(texts, max_size=6).map(tuple)


def _is_mapped(text: str) -> bool:
    """IPv4 written as IPv6: read as the IPv4 network, which the standard library's comparison does not do."""
    address = ipaddress.ip_network(text, strict=False).network_address
    return isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None


@given(entries=_network_lists(), address=st.ip_addresses())
def test_networks_mean_the_addresses_that_are_in_one_of_them(
    entries: tuple[str, ...], address: ipaddress.IPv4Address | ipaddress.IPv6Address
) -> None:
    host = Host(id="1", name="till", network="ACME", address=str(address))
    inside = [address in ipaddress.ip_network(entry, strict=False) for entry in entries]
    mapped = isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None
    assume(not mapped)
    assert is_listed(host, entries) is any(inside)
    assert unmatched_entries(entries, [host]) == tuple(
        dict.fromkeys(entry for entry, held in zip(entries, inside, strict=True) if not held)
    )


def test_a_list_is_read_once_however_many_hosts_are_held_against_it() -> None:
    hashed = 0

    class Counted(str):
        __slots__ = ()

        def __hash__(self) -> int:
            nonlocal hashed
            hashed += 1
            return super().__hash__()

    entries = tuple(Counted(f"ACME-LOJA001-PDV{number}") for number in range(500))
    assert not is_listed(HOST, entries[:1])
    before = hashed
    for number in range(1000, 1100):
        assert not is_listed(Host(id="9", name=f"ACME-LOJA002-PDV{number}", network="ACME", address=""), entries)
    assert hashed - before <= 20 * len(entries)
