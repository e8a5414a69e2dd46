"""What doctor says of how a host is updated and how it reaches the Internet."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from runtime.cli.doctor_checks import deployment
from runtime.settings import read_settings
from tests.unit.state.support import StillClock

USUAL = {"auto": True, "window": "", "zone": "UTC", "fixed": False}


def shown(folder: Path, **more: Any) -> dict[str, str]:
    """The text of each check, by its name."""
    clock = StillClock()
    report = {"at": clock.now().isoformat(), "image": "registry.example/proxy:stable", **more}
    (folder / "deployment.json").write_text(json.dumps(report))
    settings = read_settings({"FLAGEEMONITOR_DATA_PATH": str(folder)})
    return {check.name: check.text for check in deployment(settings, clock) if check.status == "ok"}


@pytest.mark.parametrize(
    ("updates", "text"),
    [
        ({}, "automatic, at any time"),
        ({"window": "02:00-05:00", "zone": "America/Sao_Paulo"}, "automatic, from 02:00-05:00 (America/Sao_Paulo)"),
        ({"auto": False}, "automatic updates are off"),
        ({"fixed": True}, "names a digest: no update is taken until it names another image"),
        ({"fixed": True, "auto": False}, "names a digest"),
    ],
)
def test_doctor_says_how_a_host_is_updated(tmp_path: Path, updates: dict[str, Any], text: str) -> None:
    assert text in shown(tmp_path, updates={**USUAL, **updates})["updates"]


def test_doctor_says_that_a_newer_image_waits_for_a_person(tmp_path: Path) -> None:
    behind = (StillClock().now() - dt.timedelta(days=9)).isoformat()
    text = shown(tmp_path, updates={**USUAL, "auto": False}, behind_since=behind)["updates"]
    assert text == (
        "automatic updates are off; registry.example/proxy:stable points to another image than the one that runs"
    )


def test_doctor_names_the_http_proxy_where_there_is_one(tmp_path: Path) -> None:
    assert shown(tmp_path, http_proxy={"https": "http://proxy.corp:3128"})["HTTP proxy"] == "http://proxy.corp:3128"
    assert "HTTP proxy" not in shown(tmp_path, http_proxy=None)
