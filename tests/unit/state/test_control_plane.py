"""What needs no network: when to ask again, which address and token are good. The rest: integration/test_config_refresh.py."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from contracts.secret import Secret
from runtime.adapters.control_plane.http import HttpControlPlane, parse_retry_after
from runtime.adapters.control_plane.transport import Unavailable
from runtime.services.config_refresh import RefreshResult, next_pause
from tests.unit.state.support import NOON


def _result(reason: str, **more: Any) -> RefreshResult:
    return RefreshResult(reason, "", NOON, "c", **more)


@pytest.mark.parametrize(
    ("result", "interval", "failures", "pause"),
    [
        (_result("updated"), 300, 0, 300),
        (_result("unchanged"), 30, 0, 30),
        (_result("refused", status=403), 300, 1, 300),
        (_result("refused", status=403), 5, 1, 30),
        (_result("refused", status=403, retry_after=900.0), 300, 1, 900),
        (_result("refused", status=403, retry_after=31536000.0), 300, 1, 3600),
        (_result("invalid:not_json"), 300, 4, 300),
        (_result("not_stored"), 300, 4, 300),
        (_result("unavailable"), 300, 1, 30),
        (_result("unavailable"), 300, 3, 120),
        (_result("unavailable"), 300, 5, 300),
        (_result("unavailable"), 300, 5000, 300),
        (_result("unavailable", status=503, retry_after=7.0), 300, 1, 30),
        (_result("unavailable", status=503, retry_after=200.0), 300, 1, 200),
    ],
)
def test_the_pause_after_a_refresh(result: RefreshResult, interval: float, failures: int, pause: float) -> None:
    assert next_pause(result, interval=interval, failures=failures, spread=0.0) == pause
    assert pause < next_pause(result, interval=interval, failures=failures, spread=0.99) < pause * 1.1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("120", 120),
        (" 7 ", 7),
        ("9" * 400, 999999999999),
        ("Sat, 14 Mar 2026 12:02:00 GMT", 120),
        ("Sat, 14 Mar 2026 11:00:00 GMT", 0),
        ("Sat, 99 Mar 2026 11:00:00 GMT", None),
        ("²", None),
    ],
)
def test_retry_after_in_both_its_forms(text: str | None, seconds: float | None) -> None:
    assert parse_retry_after(text, NOON.astimezone(dt.timezone(dt.timedelta(hours=-3)))) == seconds


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "FLAGEEMONITOR_API_BASE"),
        ("control.example/config", "must begin with https"),
        ("ftp://control.example/", "must begin with https"),
        ("https://", "must begin with https"),
        ("https://user:pw@control.example/", "must not carry a password"),
        ("http://control.example/config", "plain http"),
        ("http://127.0.0.1.control.example/config", "plain http"),
        ("https://[::1/config", "makes no sense"),
        ("https://control.example:port/config", "makes no sense"),
    ],
)
def test_an_address_that_would_leak_or_lead_nowhere_is_not_contacted(url: str, problem: str) -> None:
    answer = HttpControlPlane(url, token=Secret("t")).fetch_config(None, correlation_id="c", now=NOON)
    assert isinstance(answer, Unavailable)
    assert problem in answer.reason
    assert "pw" not in answer.reason


@pytest.mark.parametrize(
    ("content", "token"),
    [
        (b"abc.def\n", "abc.def"),
        (b"\xef\xbb\xbf abc \r\n", "abc"),
        (b"", None),
        (b"\n", None),
        (b"two tokens", None),
        (b"a\nX-Evil: 1", None),
        ("tokén".encode(), None),
        (b"\xff\xfe", None),
    ],
)
def test_a_token_file_is_read_with_care(tmp_path: Path, content: bytes, token: str | None) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    path.chmod(0o400)
    login = HttpControlPlane("https://control.example/", token_file=path, token=Secret("not this")).login()
    assert (login.token.reveal() if login.token else None) == token
    assert bool(login.problem) is (token is None)
    assert login.warning == ""


def test_a_token_file_that_others_may_read_is_used_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("abc")
    path.chmod(0o644)
    login = HttpControlPlane("https://control.example/", token_file=path).login()
    assert login.token == Secret("abc")
    assert "chmod 400" in login.warning


def test_a_rotated_token_counts_at_once(tmp_path: Path) -> None:
    path = tmp_path / "token"
    plane = HttpControlPlane("https://control.example/", token_file=path)
    assert "cannot be read" in plane.login().problem
    for text in ("old", "new"):
        path.write_text(text)
        assert plane.login().token == Secret(text)


def test_the_token_of_the_environment_serves_where_there_is_no_file() -> None:
    assert HttpControlPlane("https://control.example/", token=Secret(" t ")).login().token == Secret("t")
    assert "FLAGEEMONITOR_TOKEN" in HttpControlPlane("https://control.example/").login().problem
