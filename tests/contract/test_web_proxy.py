"""Which hosts are asked without an HTTP proxy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.web_proxy import LOOPBACK, PRIVATE, Outbound, covers_address, is_direct, parse_direct, parse_web_proxy

CORPORATE = parse_web_proxy("http://user:pw@proxy.corp:3128")


@pytest.mark.parametrize(
    ("host", "entries", "direct"),
    [
        ("localhost", "", True),
        ("127.0.0.1", "", True),
        ("::1", "", True),
        ("10.1.2.3", "", False),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("::ffff:10.1.2.3", "10.0.0.0/8", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("fd00::5", "fc00::/7", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("zabbix.corp", "corp", True),
        ("zabbix.corp", ".corp", True),
        ("zabbix.corp", "*.corp", True),
        ("ZABBIX.Corp.", "corp", True),
        ("zabbixcorp", "corp", False),
        ("corp.example", "corp", False),
        ("zabbix.corp", "zabbix.corp:443", True),
        ("zabbix.corp", "zabbix.corp:8443", False),
        ("10.1.2.3", "10.1.2.3:443", True),
        ("10.1.2.3", "10.1.2.3:8443", False),
        ("10.1.2.3", ".3", False),
        ("anything.example", "*", True),
        ("zabbix.corp", "other, zabbix.corp", True),
    ],
)
def test_a_host_is_asked_without_an_http_proxy_when_an_entry_names_it(host: str, entries: str, direct: bool) -> None:
    assert is_direct(host, 443, parse_direct(entries)) is direct


@given(st.text(max_size=30), st.lists(st.text("abc.*:/[]0123456789", max_size=12)))
def test_no_host_and_no_entry_makes_it_raise(host: str, entries: list[str]) -> None:
    assert is_direct(host, 443, entries) in (True, False)


@pytest.mark.parametrize(
    ("address", "direct"),
    [
        ("10.9.9.9", True),
        ("100.64.3.4", True),
        ("fe80::1", True),
        ("127.3.3.3", True),
        ("200.1.2.3", False),
        ("2001:db8::1", False),
    ],
)
def test_private_addresses_are_covered_by_the_private_networks(address: str, direct: bool) -> None:
    assert covers_address(address, (*LOOPBACK, *PRIVATE)) is direct


def test_the_scheme_of_the_address_decides_which_http_proxy_is_used() -> None:
    out = Outbound(https=CORPORATE, direct=(*LOOPBACK, *PRIVATE))
    assert out.proxy_for("https://control.example/api") == CORPORATE
    assert out.proxy_for("http://control.example/api") is None
    assert out.proxy_for("https://192.168.1.9/zabbix") is None


def test_a_login_is_used_and_never_printed() -> None:
    assert CORPORATE.with_login() == "http://user:pw@proxy.corp:3128"
    assert (CORPORATE.address, CORPORATE.place) == ("http://proxy.corp:3128", "proxy.corp:3128")
    assert "pw" not in repr(CORPORATE).replace("http", "")


@pytest.mark.parametrize(
    "text", ["", "socks5://u:hunter2@p:1", "http://u:hunter2@p:0", "ftp://p:1", "http://u:hunter2@", "a b"]
)
def test_a_refused_address_is_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="HTTP prox") as refused:
        parse_web_proxy(text)
    assert "hunter2" not in str(refused.value)
