"""What deploy remembers between two calls."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from runtime.deployment.engine import Image
from runtime.deployment.records import HEALTHY_KEPT, PendingUpdate, RecordFile, Records
from runtime.deployment.repair_rules import HealthHistory

NOW = dt.datetime(2026, 3, 10, 12, 0, tzinfo=dt.UTC)


def image(number: int, *, registry: bool = True) -> Image:
    digests = (f"r.example/p@sha256:{number:064x}",) if registry else ()
    return Image(f"sha256:{number}", digests, {"org.opencontainers.image.version": f"{number}.0"})


def healthy_records(*numbers: int) -> Records:
    records = Records()
    for number in numbers:
        records = records.with_healthy(image(number), "r.example/p", NOW, proved=True)
    return records


def test_healthy_images_are_listed_once_newest_first_up_to_the_limit() -> None:
    records = healthy_records(*range(1, 9), 8, 7)
    assert len(records.healthy) == HEALTHY_KEPT
    assert [one.version for one in records.healthy] == ["8.0", "7.0", "6.0", "5.0", "4.0"]
    assert records.current == "sha256:7"


def test_an_image_of_no_registry_is_recorded_by_its_id_and_never_removed() -> None:
    records = Records()
    for number in range(1, 5):
        records = records.with_healthy(image(number, registry=False), "r.example/p", NOW, proved=True)
    assert records.healthy[0].reference == "sha256:4"
    assert records.retired == ()


def test_a_rollback_may_go_to_the_images_before_the_current_one() -> None:
    records = healthy_records(1, 2, 3)
    assert [one.version for one in records.before("sha256:3")] == ["2.0", "1.0"]
    assert records.before("sha256:1") == ()
    assert [one.version for one in records.before("sha256:99")] == ["3.0", "2.0", "1.0"]


def test_records_survive_a_new_process_and_are_readable_for_root_only(tmp_path: Path) -> None:
    file = RecordFile(tmp_path)
    file.save(healthy_records(1, 2).with_attempt(NOW))
    reread = RecordFile(tmp_path)
    assert reread.records == file.records
    assert (tmp_path / "deploy.json").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "healthy_image").read_text() == f"r.example/p@sha256:{2:064x}\n"


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b'{"healthy": [{}]}', b"\xff", b"[" * 10000, b'{"pinned": {"reference": 5}}']
)
def test_an_unreadable_record_file_is_moved_aside(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "deploy.json").write_bytes(raw)
    assert RecordFile(tmp_path, read_only=True).notice
    assert (tmp_path / "deploy.json").exists()
    file = RecordFile(tmp_path)
    assert file.records == Records()
    assert file.notice
    assert (tmp_path / "deploy.json.damaged").read_bytes() == raw


def test_a_disk_that_cannot_be_written_gives_a_notice_and_does_not_stop_the_work(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    file = RecordFile(folder)
    folder.rmdir()
    file.save(healthy_records(1))
    assert file.records == healthy_records(1)
    assert "could not be written" in file.notice
    with pytest.raises(FileNotFoundError):
        file.save_or_raise(healthy_records(1, 2))
    assert file.records == healthy_records(1)


def test_attempts_count_for_an_hour_and_those_in_the_future_do_not() -> None:
    records = Records(attempts=(NOW - dt.timedelta(hours=2), NOW - dt.timedelta(minutes=5), NOW + dt.timedelta(days=1)))
    assert len(records.recent_attempts(NOW)) == 1
    assert len(records.with_attempt(NOW).attempts) == 2


def test_the_file_has_the_names_that_an_earlier_release_reads(tmp_path: Path) -> None:
    pending = PendingUpdate(verb="apply", old="c1", image_id="sha256:2", reference="r.example/p:stable", at=NOW)
    history = HealthHistory(container="c2", watched_since=1, counted_at=2, unhealthy_since=3, healthy_since=4)
    RecordFile(tmp_path).save(Records(pending_update=pending, barrier_until=5, history=history))
    content = json.loads((tmp_path / "deploy.json").read_text())
    assert (content["schema"], content["swap"]["old"], content["door"]) == (1, "c1", 5)
    assert content["sight"] == {
        "container": "c2",
        "started_at": None,
        "since": 1,
        "restarts": 0,
        "counted": 2,
        "ailing": 3,
        "well": 4,
    }
