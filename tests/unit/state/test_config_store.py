"""The stored configuration: the last valid one survives whatever is done to it."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from contracts.document import DocumentError
from runtime.adapters.config_store import FETCHED, FILE, KEPT, META, ConfigStore
from runtime.domain.errors import NoConfiguration
from tests.unit.state.support import NOON

URL = "https://control.example/api/ingest/bot/config"


def _document(number: int = 1, **changes: Any) -> bytes:
    document = {
        "schema_version": 2,
        "network": "acme",
        "client": f"client {number}",
        "inventory": {"kind": "static", "hosts": []},
        **changes,
    }
    return json.dumps(document).encode()


def _replace(store: ConfigStore, raw: bytes, etag: str | None = '"e"', now: dt.datetime = NOON) -> None:
    store.replace(raw, etag, source=URL, now=now)


def test_a_stored_document_comes_back_with_its_origin(tmp_path: Path) -> None:
    store = ConfigStore(tmp_path / "config")
    _replace(store, _document())
    stored = store.load()
    assert stored.document.config.network == "acme"
    assert (stored.etag, stored.source, stored.fetched_at, stored.checked_at) == ('"e"', URL, NOON, NOON)
    assert stored.warnings == ()
    assert (tmp_path / "config").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "config").iterdir()} == {0o600}


def test_an_empty_store_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NoConfiguration) as caught:
        ConfigStore(tmp_path / "config").load()
    assert caught.value.exit_code == 3
    assert "flageemonitor-update-config" in caught.value.advice


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not_json"),
        (_document()[:-1], "not_json"),
        (b"[]", "wrong_type"),
        (_document(schema_version=3), "newer_version"),
        (_document(must_understand=["time_travel"]), "must_understand"),
        (_document(network="../etc"), "invalid"),
    ],
)
def test_what_is_not_valid_replaces_nothing(tmp_path: Path, raw: bytes, reason: str) -> None:
    store = ConfigStore(tmp_path)
    _replace(store, _document())
    with pytest.raises(DocumentError) as caught:
        _replace(store, raw)
    assert caught.value.reason == reason
    assert store.load().document.config.client == "client 1"


def test_keys_of_a_later_release_are_ignored(tmp_path: Path) -> None:
    store = ConfigStore(tmp_path)
    _replace(store, _document(hologram={"on": True}))
    assert store.load().document.config.network == "acme"


def test_the_last_versions_are_kept(tmp_path: Path) -> None:
    store = ConfigStore(tmp_path)
    for number in range(1, KEPT + 4):
        _replace(store, _document(number))
        _replace(store, _document(number))  # the same again pushes nothing out
    kept = [json.loads((tmp_path / f"{FILE}.{n}").read_bytes())["client"] for n in range(1, KEPT + 1)]
    assert kept == ["client 5", "client 4", "client 3"]
    assert not (tmp_path / f"{FILE}.{KEPT + 1}").exists()


@pytest.mark.parametrize("damage", [b"", b"\x00" * 40, _document(2)[:20], b'{"schema_version": 2}'])
def test_a_damaged_file_falls_back_to_the_previous_version_and_reports_it(tmp_path: Path, damage: bytes) -> None:
    store = ConfigStore(tmp_path)
    _replace(store, _document(1))
    _replace(store, _document(2))
    (tmp_path / FILE).write_bytes(damage)
    stored = store.load()
    assert stored.document.config.client == "client 1"
    assert stored.etag is None, "an ETag of the damaged version would make the server answer 304 for ever"
    assert "is damaged" in stored.warnings[0]
    assert stored.warnings[-1] == f"using {tmp_path / FILE}.1 instead"
    _replace(store, _document(3))
    assert store.load().warnings == ()
    assert json.loads((tmp_path / f"{FILE}.1").read_bytes())["client"] == "client 1", "damage is no version to keep"


def test_all_versions_damaged_is_no_configuration(tmp_path: Path) -> None:
    store = ConfigStore(tmp_path)
    _replace(store, _document(1))
    (tmp_path / FILE).write_bytes(b"{")
    with pytest.raises(NoConfiguration, match="is damaged") as caught:
        store.load()
    assert caught.value.reason == "damaged_configuration"


def test_a_file_changed_by_hand_is_used_but_its_etag_is_not(tmp_path: Path) -> None:
    store = ConfigStore(tmp_path)
    _replace(store, _document(1))
    (tmp_path / FILE).write_bytes(_document(2))
    stored = store.load()
    assert (stored.document.config.client, stored.etag, stored.fetched_at) == ("client 2", None, None)
    assert "changed by hand, or damaged" in stored.warnings[0]


@pytest.mark.parametrize("meta", [b"", b"[]", b'{"etag": 5}', None])
def test_damaged_metadata_costs_only_the_etag(tmp_path: Path, meta: bytes | None) -> None:
    store = ConfigStore(tmp_path)
    _replace(store, _document(1))
    (tmp_path / META).unlink() if meta is None else (tmp_path / META).write_bytes(meta)
    stored = store.load()
    assert (stored.document.config.client, stored.etag) == ("client 1", None)


def test_what_release_1_stored_is_used_without_its_etag_and_its_hash_goes_away(tmp_path: Path) -> None:
    store = ConfigStore(tmp_path)
    digest = hashlib.sha256(_document(1)).hexdigest()
    (tmp_path / FILE).write_bytes(_document(1))
    (tmp_path / META).write_text(json.dumps({"etag": '"old"', "digest": digest, "checked_at": NOON.isoformat()}))
    stored = store.load()
    assert (stored.document.config.client, stored.etag, stored.warnings) == ("client 1", None, ())
    _replace(store, _document(1), '"new"')
    assert store.load().etag == '"new"'
    assert [path.name for path in tmp_path.iterdir() if path.is_file() and digest in path.read_text()] == []


def test_a_copy_of_another_etag_proves_nothing(tmp_path: Path) -> None:
    store = ConfigStore(tmp_path)
    _replace(store, _document(1), '"one"')
    first = {name: (tmp_path / name).read_bytes() for name in (FILE, FETCHED)}
    _replace(store, _document(2), '"two"')
    for name, content in first.items():  # put back by hand, without what belongs to them
        (tmp_path / name).write_bytes(content)
    assert store.load().etag is None


def test_the_stamp_changes_with_the_document_only(tmp_path: Path) -> None:
    store = ConfigStore(tmp_path)
    assert store.stamp() is None
    stamps = []
    for number in (1, 2):
        _replace(store, _document(number))
        stamps.append(store.stamp())
        store.confirm(store.load(), NOON)
        assert store.stamp() == stamps[-1]
    assert stamps[0] != stamps[1]


def test_confirming_moves_the_time_of_the_last_check(tmp_path: Path) -> None:
    store = ConfigStore(tmp_path)
    _replace(store, _document())
    later = NOON + dt.timedelta(hours=1)
    store.confirm(store.load(), later)
    stored = store.load()
    assert (stored.fetched_at, stored.checked_at, stored.etag) == (NOON, later, '"e"')
