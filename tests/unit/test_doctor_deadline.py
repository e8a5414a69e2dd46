"""A check of doctor that hangs is a finding with a name, and the others are made all the same."""

import threading
import time
from collections.abc import Iterator

import pytest

from runtime.cli import doctor
from runtime.cli.doctor import Check, Look, examined


def _control_plane() -> Iterator[Check]:
    """The beginning is known, then nothing answers."""
    yield Check("token", "warning", "may be read by others")
    threading.Event().wait()


def _fine() -> Iterator[Check]:
    yield Check("fine", "ok", "there")


HANGING, FINE = Look("control plane", _control_plane), Look("fine", _fine)


def test_a_check_that_hangs_is_named_keeps_what_it_found_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_LEAST_S", 0.1)
    checks, hung = examined((FINE, HANGING, FINE), each=0.2)
    found = [(check.name, check.status) for check in checks]
    assert found == [("fine", "ok"), ("token", "warning"), ("control plane", "bad"), ("fine", "ok")]
    assert hung
    assert "did not finish within" in checks[2].text
    assert "curl" in checks[2].advice


def test_all_checks_together_have_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_LEAST_S", 0.1)
    began = time.monotonic()
    checks, _ = examined((HANGING,) * 20, each=1000, total=1)
    assert time.monotonic() - began < 100
    assert sum(check.status == "bad" for check in checks) == 20


def test_checks_that_end_leave_nothing_hanging() -> None:
    checks, hung = examined((FINE, FINE))
    assert ([check.name for check in checks], hung) == (["fine", "fine"], False)
