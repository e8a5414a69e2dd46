"""A check of doctor that hangs is a finding with a name, and the others are made all the same."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.cli import doctor
from runtime.cli.doctor import Check, examined
from runtime.settings import read_settings
from runtime.wiring import Installation


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    paths = {f"FLAGEEMONITOR_{name}_PATH": str(tmp_path / name.lower()) for name in ("CONFIG", "DATA")}
    with Installation(read_settings(paths)) as made:
        yield made


def _control_plane(_: Installation) -> Iterator[Check]:
    """The beginning is known, then nothing answers."""
    yield Check("token", "warning", "may be read by others")
    threading.Event().wait()


def _fine(_: Installation) -> Iterator[Check]:
    yield Check("fine", "ok", "there")


def test_a_check_that_hangs_is_named_keeps_what_it_found_and_the_others_go_on(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_LEAST_S", 0.1)
    checks, hung = examined(installation, (_fine, _control_plane, _fine), each=0.2)
    found = [(check.name, check.status) for check in checks]
    assert found == [("fine", "ok"), ("token", "warning"), ("control plane", "bad"), ("fine", "ok")]
    assert hung
    assert "did not finish within" in checks[2].text
    assert "curl" in checks[2].advice


def test_all_checks_together_have_a_deadline(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_LEAST_S", 0.1)
    began = time.monotonic()
    checks, _ = examined(installation, (_control_plane,) * 20, each=1000, total=1)
    assert time.monotonic() - began < 100
    assert sum(check.status == "bad" for check in checks) == 20


def test_checks_that_end_leave_nothing_hanging(installation: Installation) -> None:
    checks, hung = examined(installation, (_fine, _fine))
    assert ([check.name for check in checks], hung) == (["fine", "fine"], False)
