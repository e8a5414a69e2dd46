"""Documents that allow a large part of the internet say so, however it is written."""

import json

import pytest

from contracts.document import read_document

DANGEROUS = {
    "everything": ["0.0.0.0/0"],
    "everything, by an address in it": ["8.8.8.8/0"],
    "everything of IPv6": ["::/0"],
    "two halves": ["0.0.0.0/1", "128.0.0.0/1"],
    "one half": ["128.0.0.0/1"],
    "four quarters": ["0.0.0.0/2", "64.0.0.0/2", "128.0.0.0/2", "192.0.0.0/2"],
    "many small ones": [f"{first}.{second}.0.0/16" for first in (200, 201) for second in range(8)],
    "IPv4 written as IPv6": ["::ffff:0.0.0.0/96"],
    "a half written as IPv6": ["::ffff:0:0/97"],
    "IPv4 through a NAT64": ["64:ff9b::/96"],
    "beside the private ones": ["10.0.0.0/8", "0.0.0.0/0"],
    "one bit wider than the private block": ["10.0.0.0/7"],
    "meant for 172.16.0.0/12": ["172.0.0.0/8"],
    "meant for 192.168.0.0/16": ["192.0.0.0/8"],
    "all unicast of IPv6": ["2000::/3"],
    "halves of IPv6": ["::/1", "8000::/1"],
    "an eighth of IPv6": ["2000::/4"],
}
HARMLESS = {
    "private": ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"],
    "private and narrower": ["10.1.0.0/16", "192.168.7.0/24"],
    "of carriers": ["100.64.0.0/10"],
    "loopback and link": ["127.0.0.0/8", "169.254.0.0/16", "::1/128", "fe80::/10"],
    "unique local": ["fc00::/7", "fd00::/8"],
    "a company's own": ["200.1.0.0/16", "2804:14c::/32"],
    "private written as IPv6": ["::ffff:10.0.0.0/104"],
    "private through a NAT64": ["64:ff9b::a00:0/104"],
    "one host": ["8.8.8.8/32", "2001:db8::1/128"],
}


def dangers(networks: list[str]) -> list[str]:
    data = {"network": "SOL", "inventory": {"kind": "static"}, "ssh": {"allowed_networks": networks}}
    document = read_document(json.dumps(data).encode(), strict=True)
    return [note.text for note in document.notes if (note.level, note.path) == ("danger", "ssh.allowed_networks")]


@pytest.mark.parametrize("networks", DANGEROUS.values(), ids=DANGEROUS)
def test_a_large_part_of_the_internet_is_a_danger(networks: list[str]) -> None:
    [text] = dangers(networks)
    assert "public IPv" in text
    assert "name the customer's own networks" in text


@pytest.mark.parametrize("networks", HARMLESS.values(), ids=HARMLESS)
def test_networks_that_a_customer_may_have_are_no_danger(networks: list[str]) -> None:
    assert dangers(networks) == []


def test_the_note_says_how_much_and_that_entries_add_up() -> None:
    [whole] = dangers(["0.0.0.0/0"])
    assert whole.startswith("0.0.0.0/0 allows 4.26 billion public IPv4 addresses")
    [halves] = dangers(["0.0.0.0/1", "128.0.0.0/1"])
    assert halves.startswith("0.0.0.0/0 (0.0.0.0/0: several entries together) allows 4.26 billion")


def test_broad_networks_of_both_address_families_are_reported() -> None:
    assert len(dangers(["0.0.0.0/0", "::/0"])) == 2


def test_ipv4_written_as_ipv6_allows_the_ipv4_addresses() -> None:
    data = {"network": "SOL", "inventory": {"kind": "static"}, "ssh": {"allowed_networks": ["::ffff:10.2.0.0/112"]},
            "stores": {"1": {"gateway": "10.2.0.1"}}}  # fmt: skip
    assert read_document(json.dumps(data).encode(), strict=True).config.ssh.allowed_networks == ("10.2.0.0/16",)
