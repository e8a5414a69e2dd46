"""Whatever goes wrong with Zabbix ends a run before it starts, with a reason and advice, and without the token."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts.text import Text
from runtime.domain.errors import InventoryUnavailable
from runtime.domain.model import Selector
from tests.harness.ports import LOOPBACK, free_port
from tests.unit.inventory.stand_in import (
    TOKEN,
    StandIn,
    certificate,
    host_row,
    http,
    inventory_at,
    results,
    standing_in,
)

ROW = host_row("1", "ACME-LOJA001-PDV201")
SECRETS = (TOKEN, "hidden-password")


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with standing_in(StandIn(results=results("6.0.14", ROW))) as server:
        yield server


def failure(url: str, **source: Any) -> InventoryUnavailable:
    with pytest.raises(InventoryUnavailable) as caught:
        inventory_at(url, **source).read(Selector())
    error = caught.value
    assert error.exit_code == 4
    assert error.advice
    assert isinstance(error.advice, Text), "it would not be translated"
    assert not any(secret in f"{error.message} {error.advice}" for secret in SECRETS)
    return error


def rpc_error(data: str, message: str = "Invalid params.", code: int = -32602) -> bytes:
    error = {"code": code, "message": message, "data": data}
    return http(json.dumps({"jsonrpc": "2.0", "error": error, "id": 0}).encode())


RAW = {
    "error in a 200": (rpc_error("Incorrect arguments passed to function."), "zabbix_error"),
    "error that repeats the token": (rpc_error(f"no such session {TOKEN}"), "zabbix_error"),
    "token refused, 6.0": (rpc_error("Not authorised."), "zabbix_token"),
    "token refused, 7.0": (rpc_error("Not authorized.", "Application error.", -32500), "zabbix_token"),
    "session ended": (rpc_error("Session terminated, re-login, please."), "zabbix_token"),
    "token expired": (rpc_error("API token expired."), "zabbix_token"),
    "role without API": (rpc_error('No permissions to call "hostgroup.get".', "Application error."), "zabbix_token"),
    "server error": (http(b"boom", "500 Internal Server Error"), "zabbix_http_error"),
    "gateway": (http(b"boom", "502 Bad Gateway"), "zabbix_http_error"),
    "busy for an hour": (http(b"", "503 Service Unavailable", "Retry-After: 3600"), "zabbix_http_error"),
    "login page before it": (http(b"", "401 Unauthorized"), "zabbix_http_error"),
    "nothing there": (http(b"<html>", "404 Not Found"), "not_zabbix"),
    "a web page": (http(b"<html>hidden-password</html>", content_type="text/html"), "zabbix_intercepted"),
    "Zabbix's own page": (http(b"<html><title>x: Zabbix</title></html>", content_type="text/html"), "not_zabbix"),
    "a sign-in page that names the address": (
        http(b"<form>zabbix.example<input type=password>", "403 Forbidden", content_type="text/html"),
        "zabbix_intercepted",
    ),
    "a network's sign-in": (http(b"", "511 Network Authentication Required"), "zabbix_intercepted"),
    "a proxy that asks for a login": (http(b"", "407 Proxy Authentication Required"), "zabbix_intercepted"),
    "sent to a sign-in page": (http(b"", "302 Found", "Location: http://guest.example/login?x"), "zabbix_intercepted"),
    "an empty answer": (http(b""), "not_zabbix"),
    "half a document": (http(b'{"jsonrpc":"2.0","result":[{"notes":"root,hidden-password'), "not_zabbix"),
    "a list": (http(b"[]"), "not_zabbix"),
    "a text": (http(b'"error"'), "not_zabbix"),
    "a number": (http(b"7"), "not_zabbix"),
    "another API": (http(b'{"status":"ok"}'), "not_zabbix"),
    "an error that is a text": (http(b'{"error":"hidden-password"}'), "not_zabbix"),
    "an error without code": (http(b'{"error":{"data":"hidden-password"}}'), "not_zabbix"),
    "a version that is none": (http(b'{"result":"hidden-password"}'), "not_zabbix"),
    "a version that is a map": (http(b'{"result":{}}'), "not_zabbix"),
    "a version without tokens": (http(b'{"result":"5.2.7"}'), "zabbix_too_old"),
    "not HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n", "zabbix_unreachable"),
    "broken compression": (http(b"\x1f\x8b rubbish", "200 OK", "Content-Encoding: gzip"), "zabbix_unreachable"),
    "sent to another host": (
        http(b"", "307 Temporary Redirect", "Location: http://u:p@evil.example/x?y"),
        "zabbix_redirect",
    ),
    "sent nowhere": (http(b"", "302 Found", "Location: http://[::1"), "zabbix_redirect"),
    "sent to https": (http(b"", "301 Moved Permanently", "Location: https://127.0.0.1/"), "zabbix_redirect"),
}


@pytest.mark.parametrize(("raw", "reason"), RAW.values(), ids=RAW.keys())
def test_a_bad_answer_is_an_unavailable_inventory(stand_in: StandIn, raw: bytes, reason: str) -> None:
    stand_in.raw = raw
    assert failure(stand_in.url).reason == reason


PAGE = b"<html><head><title>The page</title></head><center>nginx</center></html>"


@pytest.mark.parametrize(
    ("status", "reason", "advice"),
    [
        (401, "zabbix_http_error", "asks for a login of its own"),
        (403, "zabbix_http_error", "asks for a login of its own"),
        (404, "not_zabbix", "set inventory.url"),
        (429, "zabbix_http_error", "limits how often"),
        (500, "zabbix_http_error", "Zabbix's web server and PHP"),
        (502, "zabbix_http_error", "Zabbix's web server and PHP"),
        (503, "zabbix_http_error", "Zabbix's web server and PHP"),
    ],
)
def test_an_error_page_is_classified_by_its_status_and_no_sender_is_guessed(
    stand_in: StandIn, status: int, reason: str, advice: str
) -> None:
    stand_in.raw = http(PAGE, f"{status} X", content_type="text/html")
    error = failure(stand_in.url)
    assert error.reason == reason
    assert f'HTTP {status} with a page titled "The page": the server\'s own web server' in error.message
    assert "Something between" not in error.message
    assert advice in error.advice


def test_a_redirect_is_shown_without_its_secrets_and_not_followed(stand_in: StandIn) -> None:
    with standing_in(StandIn()) as other:
        stand_in.raw = http(
            b"", "307 Temporary Redirect", f"Location: {other.url.replace('//', '//user:pass@')}/?key=word"
        )
        error = failure(stand_in.url)
        assert other.asked == []
    assert "user" not in error.message
    assert "word" not in error.message


@pytest.mark.parametrize(
    "result",
    [
        {"1": {}},
        "text",
        None,
        [{"hostid": "1"}],
        [{**ROW, "status": "enabled"}],
        [{**ROW, "interfaces": {}}],
        [{name: value for name, value in ROW.items() if name != "groups"}],
        [{**ROW, "inventory": {"notes": ["hidden-password"]}}],
        [{**ROW, "tags": [{"tag": "hidden-password"}]}],
    ],
)
def test_hosts_of_an_unexpected_shape_are_an_error_that_shows_no_value(stand_in: StandIn, result: object) -> None:
    stand_in.results = {**results("6.0.14"), "host.get": result}
    error = failure(stand_in.url, notes_credentials=True)
    assert error.reason == "zabbix_bad_answer"
    assert "host.get" in error.message


def test_an_unknown_group_is_not_an_empty_one(stand_in: StandIn) -> None:
    error = failure(stand_in.url, groups=["ACME", "acme"])
    assert error.reason == "unknown_group"
    assert '"acme"' in error.message
    assert "'ACME'" not in error.message


def test_an_unknown_excluded_template_is_an_error(stand_in: StandIn) -> None:
    template = {"templateid": "100", "host": "base", "name": "Base", "parentTemplates": []}
    stand_in.results = results("6.0.14", ROW, template_get=[template])
    assert failure(stand_in.url, exclude_templates=["Base", "Bsae"]).reason == "unknown_template"
    assert stand_in.of("host.get") == []


@pytest.mark.parametrize("compressed", [False, True])
def test_an_answer_cut_at_any_byte_is_never_taken_for_hosts(stand_in: StandIn, compressed: bool) -> None:
    inventory = inventory_at(stand_in.url)
    body = json.dumps({"jsonrpc": "2.0", "result": "6.0.14", "id": 0}).encode()
    whole = http(gzip.compress(body), "200 OK", "Content-Encoding: gzip") if compressed else http(body)
    for length in range(len(whole)):
        stand_in.raw = whole[:length]
        with pytest.raises(InventoryUnavailable):
            inventory.read(Selector())


def test_a_silent_zabbix_is_given_up(stand_in: StandIn) -> None:
    stand_in.raw, stand_in.drip = http(b"{}"), 0.5
    error = failure(stand_in.url, timeout=0.1)
    assert error.reason == "zabbix_timeout"


def test_an_answer_that_drips_is_given_up(stand_in: StandIn) -> None:
    stand_in.raw = b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 2000
    stand_in.drip = 0.005
    error = failure(stand_in.url, timeout=0.05)
    assert error.reason == "zabbix_timeout"


def test_a_refused_connection_is_reported_as_one() -> None:
    error = failure(f"http://{LOOPBACK}:{free_port()}")
    assert error.reason == "zabbix_unreachable"
    assert "Connection refused" in error.message


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1",
        "http://h:99999999",
        "http://h:port",
        "http:///zabbix",
        "http://h..h",
        f"http://{'h' * 70}.test",
        "http://%",
    ],
)
def test_an_invalid_address_is_reported_as_invalid(url: str) -> None:
    assert failure(url, timeout=1).reason in ("zabbix_bad_url", "zabbix_unreachable")


def test_user_and_password_of_the_url_are_not_repeated() -> None:
    error = failure(f"http://user:hidden-password@{LOOPBACK}:{free_port()}/zabbix?x=hidden-password")
    assert f"http://{LOOPBACK}:" in error.message


def test_a_gateway_that_recovers_is_asked_again(stand_in: StandIn) -> None:
    class Recovering(StandIn):
        def response(self, asked: Any, rpc_id: object) -> bytes:
            return http(b"", "502 Bad Gateway") if len(self.asked) == 1 else super().response(asked, rpc_id)

    with standing_in(Recovering(results=results("6.0.14", ROW))) as server:
        assert [host.id for host in inventory_at(server.url).read(Selector()).hosts] == ["1"]


def test_nothing_secret_reaches_a_log_even_at_debug(stand_in: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    row = {**ROW, "inventory": {"notes": "root,hidden-password"}}
    for version, answer in (("6.0.14", row), ("7.0.0", row)):
        stand_in.results = results(version, answer)
        with caplog.at_level(logging.DEBUG):
            hosts = inventory_at(stand_in.url, notes_credentials=True).read(Selector()).hosts
        assert not any(secret in caplog.text + repr(hosts) for secret in SECRETS)


def test_a_private_ca_is_trusted_where_it_is_given(tmp_path: Path) -> None:
    ca, server_side = certificate(tmp_path)
    with standing_in(StandIn(results=results("7.0.0", ROW)), server_side) as server:
        assert [host.id for host in inventory_at(server.url, ca_path=str(ca)).read(Selector()).hosts] == ["1"]


def test_tls_is_verified_always(tmp_path: Path) -> None:
    ca, server_side = certificate(tmp_path)
    with standing_in(StandIn(results=results("7.0.0", ROW)), server_side) as server:
        assert failure(server.url).reason == "zabbix_tls"
        wrong_name = server.url.replace(LOOPBACK, "localhost")
        assert failure(wrong_name, ca_path=str(ca)).reason == "zabbix_tls"
        missing = failure(server.url, ca_path=str(tmp_path / "missing.pem"))
        assert missing.reason == "zabbix_ca"
        rubbish = tmp_path / "rubbish.pem"
        rubbish.write_text("not a certificate")
        assert failure(server.url, ca_path=str(rubbish)).reason == "zabbix_tls"
        assert server.asked == []


def test_plain_http_on_a_tls_address_is_an_error(tmp_path: Path) -> None:
    _, server_side = certificate(tmp_path)
    with standing_in(StandIn(), server_side) as server:
        assert failure(server.url.replace("https", "http"), timeout=1).reason in ("zabbix_unreachable", "not_zabbix")
