"""Plain http in a document: said at the place where it is written, never refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contracts.document import read_document

ZABBIX = {"kind": "zabbix", "url": "https://zabbix.example", "token": "example-token"}


def small(**keys: Any) -> bytes:
    return json.dumps({"network": "REDE", "inventory": {"kind": "static", "hosts": []}, **keys}).encode()


def business_api(url: str) -> dict[str, Any]:
    return {"delivery": {"business_api": {"url": url, "token": "example-token"}}}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"inventory": ZABBIX}, {}),
        ({"inventory": {**ZABBIX, "url": "http://zabbix.example"}}, {"inventory.url": "danger"}),
        ({"inventory": {**ZABBIX, "url": "http://10.0.0.5:8080/zabbix"}}, {"inventory.url": "danger"}),
        ({"inventory": {**ZABBIX, "url": "http://localhost.example"}}, {"inventory.url": "danger"}),
        ({"inventory": {**ZABBIX, "url": "http://user@127.0.0.1@zabbix.example/"}}, {"inventory.url": "danger"}),
        ({"inventory": {**ZABBIX, "url": "http://[zabbix"}}, {"inventory.url": "danger"}),
        ({"inventory": {**ZABBIX, "url": "http://127.0.0.1:8080"}}, {}),
        ({"inventory": {**ZABBIX, "url": "http://[::1]/zabbix"}}, {}),
        ({"inventory": {**ZABBIX, "url": "http://localhost/zabbix"}}, {}),
        (business_api("http://bi.example"), {"delivery.business_api.url": "danger"}),
        (business_api("https://bi.example"), {}),
        (business_api("http://127.3.2.1"), {}),
        ({"agent": {"assets_url": "http://assets.example"}}, {"agent.assets_url": "warning"}),
        ({"agent": {"assets_url": "https://assets.example"}}, {}),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_plain_http_is_reported_and_never_refused(keys: dict[str, Any], said: dict[str, str], strict: bool) -> None:
    read = read_document(small(**keys), strict=strict)
    assert {note.path: note.level for note in read.notes} == said
    assert all("https://" in note.text and "example-token" not in note.text for note in read.notes)


def test_plain_http_says_which_secrets_travel() -> None:
    inventory = {**ZABBIX, "url": "http://zabbix.example", "notes_credentials": True}
    (note,) = read_document(small(inventory=inventory), strict=True).notes
    assert "the API token and the passwords in inventory notes cross the network in clear text" in note.text


@pytest.mark.parametrize(
    ("keys", "path"),
    [
        ({"PARAM_ZABBIX_SERVER": "http://zabbix.example"}, "PARAM_ZABBIX_SERVER"),
        ({"PARAM_ZABBIX_SERVER": "z", "inventory": {**ZABBIX, "url": "http://zabbix.example"}}, "inventory.url"),
        ({"PARAM_BI_SERVER": "http://bi.example", "PARAM_TOKEN_BI": "t"}, "PARAM_BI_SERVER"),
    ],
)
def test_plain_http_in_a_first_generation_document_is_reported_at_its_own_key(keys: dict[str, Any], path: str) -> None:
    written = {"PARAM_REDE": "REDE", "PARAM_ZABBIX_SERVER": "zabbix.example", "PARAM_TOKEN": "t", **keys}
    notes = read_document(json.dumps(written).encode(), strict=True).notes
    assert [note.path for note in notes if "plain http" in note.text and note.level == "danger"] == [path]
