"""What deploy and Watchtower's hooks left behind, read without trust: anything may stand in these files."""

from __future__ import annotations

import datetime as dt
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.adapters.build import read_build
from runtime.adapters.deployment_notes import DeploymentNotes, LastDeploy, Updates, read_notes
from runtime.adapters.untrusted_files import read_untrusted, write_for_owner
from tests.harness.need import need_root

NOW = dt.datetime(2026, 3, 10, 12, 0, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


def report(**more: Any) -> dict[str, Any]:
    return {
        "schema": 1,
        "runtime": "flageemonitor",
        "at": (NOW - dt.timedelta(minutes=5)).isoformat(),
        "image": "registry.example/proxy:stable",
        "running": {"image_id": "sha256:aa", "digest": "sha256:bb", "health": "healthy"},
        "tag": {"digest": "sha256:bb", "at": NOW.isoformat(), "error": ""},
        "behind_since": None,
        "pinned": None,
        "watchtower": {"state": "running", "image": "containrrr/watchtower:1.7.1"},
        "last": {"verb": "apply", "reason": "updated", "message": "runs 2", "at": (NOW - HOUR).isoformat()},
        **more,
    }


def written(folder: Path, interval: int | None = None, **more: Any) -> DeploymentNotes:
    (folder / "deployment.json").write_text(json.dumps(report(**more)))
    return read_notes(folder, NOW, interval)


def test_without_a_report_there_is_no_line(tmp_path: Path) -> None:
    assert read_notes(tmp_path, NOW, None) == DeploymentNotes()


def test_a_current_host_is_reported_without_a_warning(tmp_path: Path) -> None:
    (tmp_path / "watchtower.stamp").write_text(f"{int(NOW.timestamp()) - 200}\n")
    notes = written(tmp_path, 300)
    assert notes.warnings == ()
    assert (notes.running_digest, notes.tag_digest, notes.pinned) == ("sha256:bb", "sha256:bb", "")
    assert notes.last == LastDeploy("apply", "updated", "runs 2", (NOW - HOUR).isoformat())


AUTO_OFF = {"auto": False, "window": "", "zone": "UTC", "fixed": False}
NIGHT = {"auto": True, "window": "02:00-05:00", "zone": "America/Sao_Paulo", "fixed": False}


def test_a_host_without_automatic_updates_lacks_nothing(tmp_path: Path) -> None:
    behind = (NOW - 900 * HOUR).isoformat()
    notes = written(tmp_path, None, updates=AUTO_OFF, watchtower={"state": "off", "image": "x"}, behind_since=behind)
    assert (notes.warnings, notes.updates) == ((), Updates(auto=False, zone="UTC"))


@pytest.mark.parametrize(("hours", "late"), [(29, False), (31, True)])
def test_a_host_with_an_update_window_has_a_night_to_follow(tmp_path: Path, hours: int, late: bool) -> None:
    notes = written(tmp_path, updates=NIGHT, behind_since=(NOW - hours * HOUR).isoformat())
    assert notes.updates == Updates(window="02:00-05:00", zone="America/Sao_Paulo")
    assert any("behind since" in warning for warning in notes.warnings) is late


def test_the_http_proxy_of_the_host_is_known(tmp_path: Path) -> None:
    proxy = {"https": "http://proxy.corp:3128", "http": "", "direct": [], "source": "engine", "login": False}
    assert written(tmp_path, http_proxy=proxy).http_proxy == "http://proxy.corp:3128"
    assert written(tmp_path, http_proxy=None).http_proxy == ""


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"behind_since": (NOW - 7 * HOUR).isoformat()}, "behind since"),
        ({"pinned": {"reference": "registry.example/proxy@sha256:cc"}}, "pinned to registry.example/proxy@sha256:cc"),
        ({"watchtower": {"state": "missing"}}, "Watchtower is missing"),
        ({"at": (NOW - 30 * HOUR).isoformat()}, "repair timer"),
    ],
)
def test_what_an_operator_should_know_is_a_warning(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    [warning] = written(tmp_path, **more).warnings
    assert said in warning


@pytest.mark.parametrize("hours", [0, 5.9])
def test_a_new_image_may_take_its_time(tmp_path: Path, hours: float) -> None:
    assert written(tmp_path, behind_since=(NOW - hours * HOUR).isoformat()).warnings == ()


@pytest.mark.parametrize(("hours", "count"), [(5, 0), (7, 1)])
def test_an_update_that_is_held_back_for_long_is_reported(tmp_path: Path, hours: int, count: int) -> None:
    (tmp_path / "hold.json").write_text(json.dumps({"since": (NOW - hours * HOUR).isoformat(), "runs": ["a"]}))
    assert len(read_notes(tmp_path, NOW, None).warnings) == count


@pytest.mark.parametrize(("age", "count"), [(0, 0), (899, 0), (901, 1), (90000, 1)])
def test_watchtower_is_reported_as_silent_after_three_polls(tmp_path: Path, age: int, count: int) -> None:
    (tmp_path / "watchtower.stamp").write_text(str(int(NOW.timestamp()) - age))
    assert len(read_notes(tmp_path, NOW, 300).warnings) == count
    assert read_notes(tmp_path, NOW, None).warnings == ()


def test_watchtower_that_never_polled_is_reported_too_but_not_right_after_an_installation(tmp_path: Path) -> None:
    assert len(read_notes(tmp_path, NOW, 300).warnings) == 1
    last = {"verb": "apply", "reason": "installed", "message": "", "at": (NOW - dt.timedelta(minutes=10)).isoformat()}
    assert written(tmp_path, 300, last=last).warnings == ()


def test_times_from_the_future_and_without_a_zone_are_ignored(tmp_path: Path) -> None:
    notes = written(tmp_path, behind_since="2026-03-10T01:00:00", at=(NOW + HOUR).isoformat())
    assert (notes.behind_since, notes.reported_at) == (None, None)


def refused(digest: str = "sha256:bb", *, told: float = 0, known: float = 0) -> dict[str, Any]:
    """A report of a tag that points to a refused image, so many minutes old."""
    at, known_at = (NOW - dt.timedelta(minutes=minutes) for minutes in (told, known))
    tag = {"digest": digest, "at": at.isoformat(), "known_at": known_at.isoformat(), "error": ""}
    return {"at": at.isoformat(), "tag": tag, "refused": ["sha256:aa", "sha256:bb"]}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (refused(), True),
        (refused(told=59, known=59), True),
        (refused(told=61, known=1), False),
        (refused(told=1, known=61), False),
        (refused("sha256:cc"), False),
        (refused(""), False),
        ({**refused(), "refused": "sha256:bb"}, False),
        ({**refused(), "refused": [["sha256:bb"], None]}, False),
    ],
)
def test_a_tag_that_points_to_a_refused_image_is_known_while_the_report_is_fresh(
    tmp_path: Path, more: dict[str, Any], expected: bool
) -> None:
    notes = written(tmp_path, **more)
    assert notes.tag_refused is expected
    assert [warning for warning in notes.warnings if "refused" in warning] == list(notes.warnings)
    assert bool(notes.warnings) is expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(changes=st.dictionaries(st.sampled_from([*report(), "refused"]), JSON), hold=JSON, stamp=st.binary(max_size=40))
def test_no_content_makes_the_reader_fail(tmp_path: Path, changes: dict[str, Any], hold: Any, stamp: bytes) -> None:
    (tmp_path / "deployment.json").write_text(json.dumps({**report(), **changes}))
    (tmp_path / "hold.json").write_text(json.dumps({"since": hold}))
    (tmp_path / "watchtower.stamp").write_bytes(stamp)
    assert all(isinstance(warning, str) for warning in read_notes(tmp_path, NOW, 300).warnings)


@pytest.mark.parametrize("raw", [b"", b"[]", b"[" * 100000, b"\xff\xfe", b'{"at": 1e999}', b"{" + b" " * 400000 + b"}"])
def test_no_bytes_make_the_reader_fail(tmp_path: Path, raw: bytes) -> None:
    for name in ("deployment.json", "hold.json", "watchtower.stamp", "build.json"):
        (tmp_path / name).write_bytes(raw)
    assert read_notes(tmp_path, NOW, None).image == ""
    assert read_build(tmp_path) is None or read_build(tmp_path).version == ""  # type: ignore[union-attr]


@pytest.mark.timeout(20)
def test_pipes_links_and_folders_are_not_files(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(json.dumps(report(image="stolen")))
    (tmp_path / "deployment.json").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "hold.json")
    (tmp_path / "watchtower.stamp").mkdir()
    assert read_notes(tmp_path, NOW, None) == DeploymentNotes()


def test_what_is_handed_over_replaces_a_link_and_not_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "data/door").symlink_to(tmp_path / "precious")
    write_for_owner(tmp_path / "data", "door", b"1\n")
    assert (tmp_path / "precious").read_text() == "mine"
    assert read_untrusted(tmp_path / "data/door") == b"1\n"
    assert (tmp_path / "data/door").stat().st_mode & 0o777 == 0o644
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["door"]


def test_what_root_hands_over_belongs_to_the_folder_s_owner(tmp_path: Path) -> None:
    need_root("giving files away")
    os.chown(tmp_path, 10001, 10001)
    write_for_owner(tmp_path, "deployment.json", b"{}")
    assert (tmp_path / "deployment.json").stat().st_uid == 10001


def test_a_hand_over_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "door").mkdir()
    (tmp_path / "door/inside").touch()
    with pytest.raises(OSError, match="door"):
        write_for_owner(tmp_path, "door", b"1")
    assert [path.name for path in tmp_path.iterdir()] == ["door"]


def test_the_build_is_what_the_image_says(tmp_path: Path) -> None:
    (tmp_path / "build.json").write_text(
        json.dumps({"version": "1.2.3", "revision": "abc", "built_at": "2026-01-01", "licence": "full"})
    )
    build = read_build(tmp_path)
    assert build is not None
    assert (build.version, build.licence) == ("1.2.3", "full")
