"""Through which HTTP proxy the runtime asks an address, and that Zabbix on the local network is asked directly."""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from pathlib import Path

import pytest

from contracts.web_proxy import LOOPBACK, PRIVATE
from runtime.adapters.web_proxies import WebProxies

CORPORATE = "http://proxy.corp:3128"
ENVIRON = {"HTTPS_PROXY": CORPORATE, "HTTP_PROXY": CORPORATE, "NO_PROXY": ",".join((*LOOPBACK, *PRIVATE, ".own"))}
ADDRESSES = {"zabbix.loja": ["10.2.0.7"], "both.loja": ["10.2.0.7", "200.1.2.3"], "control.example": ["200.1.2.3"]}


def ask(name: str) -> Collection[str]:
    if name not in ADDRESSES:
        raise OSError(f"{name} is not known")
    return ADDRESSES[name]


@pytest.mark.parametrize(
    ("url", "through"),
    [
        ("https://control.example/api", True),
        ("http://control.example/api", True),
        ("https://known-to-the-proxy-alone.example/api", True),
        ("https://both.loja/zabbix", True),
        ("https://zabbix.loja/zabbix", False),
        ("http://10.2.0.7/zabbix", False),
        ("https://something.own/", False),
        ("http://127.0.0.1:8080/", False),
        ("http://[::1]:8080/", False),
        ("http://localhost:8080/", False),
    ],
)
def test_what_is_on_the_local_network_is_asked_directly(url: str, through: bool) -> None:
    expected = {"http": CORPORATE, "https": CORPORATE} if through else {}
    assert WebProxies(ENVIRON, ask=ask).for_requests(url) == expected


def test_private_networks_go_through_where_no_proxy_does_not_name_them() -> None:
    behind = WebProxies({**ENVIRON, "NO_PROXY": ",".join(LOOPBACK)}, ask=ask)
    assert behind.for_requests("http://10.2.0.7/zabbix") == {"http": CORPORATE, "https": CORPORATE}
    assert behind.for_requests("http://127.0.0.1/") == {}


def test_the_small_letters_count_before_the_capitals() -> None:
    found = WebProxies({**ENVIRON, "https_proxy": "http://small:1"}, ask=ask).chosen("https://control.example/")
    assert found is not None
    assert found.address == "http://small:1"


def test_a_login_is_read_from_its_file_at_each_request(tmp_path: Path) -> None:
    logins = tmp_path / "proxy_logins.json"
    proxies = WebProxies(ENVIRON, logins, ask)
    assert proxies.for_requests("https://control.example/")["https"] == CORPORATE
    for login in ("user:hunter2", "other:p%40ss"):
        logins.write_text(json.dumps({"proxy.corp:3128": login, "another:1": "x:y"}))
        assert proxies.for_requests("https://control.example/")["https"] == f"http://{login}@proxy.corp:3128"
        assert login not in repr(proxies) + repr(proxies.chosen("https://control.example/"))


@pytest.mark.parametrize("content", ["", "[]", "{", '{"proxy.corp:3128": 5}', '{"proxy.corp:3128": ""}', "\x00"])
def test_a_damaged_file_of_logins_is_none(tmp_path: Path, content: str) -> None:
    logins = tmp_path / "proxy_logins.json"
    logins.write_text(content)
    assert WebProxies(ENVIRON, logins, ask).for_requests("https://control.example/")["https"] == CORPORATE


def test_an_address_that_cannot_be_used_is_named_by_its_variable_and_not_repeated() -> None:
    with pytest.raises(ValueError, match="HTTPS_PROXY is a SOCKS proxy") as refused:
        WebProxies({"HTTPS_PROXY": "socks5://u:hunter2@p:1"}, ask=ask).for_requests("https://control.example/")
    assert "hunter2" not in str(refused.value)


def test_without_an_http_proxy_no_name_is_looked_up() -> None:
    def never(name: str) -> Collection[str]:
        raise AssertionError(name)

    assert WebProxies(ask=never).for_requests("https://control.example/") == {}


def test_a_name_server_that_does_not_answer_holds_a_request_for_two_seconds_at_most() -> None:
    def silent(_name: str) -> Collection[str]:
        time.sleep(30)
        return []

    begun = time.monotonic()
    assert WebProxies(ENVIRON, ask=silent).for_requests("https://control.example/")["https"] == CORPORATE
    assert time.monotonic() - begun < 10
