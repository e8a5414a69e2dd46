"""What people read: times as they say them, and no marks of the program's language around what somebody wrote."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from contracts.durations import lasting

RUNTIME = Path(__file__).resolve().parents[3] / "client_image" / "runtime"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (12.4, "12 s"),
        (310, "5 min 10 s"),
        (3600, "1 h"),
        (86_400 + 3 * 3600 + 59, "1 d 3 h"),
        (172_800, "2 d"),
    ],
)
def test_a_duration_is_shown_in_its_largest_units(seconds: float, said: str) -> None:
    assert lasting(seconds) == said


@pytest.mark.parametrize("folder", ["cli", "adapters/zabbix", "adapters/ssh"])
def test_messages_show_a_value_as_it_was_written_and_not_as_the_program_would_write_it(folder: str) -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in (RUNTIME / folder).rglob("*.py")}
    assert texts
    assert [path.name for path, text in texts.items() if re.search(r"![ra]\}", text)] == []
