"""Why a unit does not run: what systemd of several releases prints, and what is told of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runtime.domain.units import masked, words

# What the observe script printed on the real ones: Ubuntu 16.04 and 22.04, Debian 13. That of Debian 12 runs in
# tests/integration/test_systemd_units.py.
RECORDED = Path(__file__).parents[1] / "cases" / "units"
RELEASES = ("229", "249", "257")

SHOWN = "LoadState=loaded\nActiveState=inactive\nSubState=dead\nResult=success\nConditionResult=no\n"
SAYS: dict[str, tuple[str, str]] = {
    "systemd 249, a drop-in's fourth condition": (
        SHOWN
        + """\
○ systemd-timesyncd.service - Network Time Synchronization
     Loaded: loaded (/lib/systemd/system/systemd-timesyncd.service; enabled; vendor preset: enabled)
    Drop-In: /usr/lib/systemd/system/systemd-timesyncd.service.d
             └─disable-with-time-daemon.conf
     Active: inactive (dead)
  Condition: start condition failed at Mon 2026-11-30 09:12:01 -03; 4s ago
             ├─ ConditionFileIsExecutable=!/usr/sbin/ntpd was not met
             └─ ConditionFileIsExecutable=!/usr/sbin/VBoxService was not met
       Docs: man:systemd-timesyncd.service(8)

Nov 30 09:12:01 till systemd[1]: Condition check resulted in Network Time Synchronization being skipped.
""",
        (
            "systemd says: ConditionFileIsExecutable=!/usr/sbin/ntpd was not met and "
            "ConditionFileIsExecutable=!/usr/sbin/VBoxService was not met"
        ),
    ),
    "systemd 229": (
        SHOWN
        + """\
   Active: inactive (dead)
Condition: start condition failed at Mon 2026-11-30 09:12:01 BRT; 4s ago
           ConditionVirtualization=!container was not met
""",
        "systemd says: ConditionVirtualization=!container was not met",
    ),
    "systemd 255 has another word": (
        "ConditionResult=no\n  Condition: start condition unmet at Mon 2026-11-30 09:12:01 -03; 4s ago\n",
        "systemd says: start condition unmet",
    ),
    "only the property": (
        "LoadState=loaded\nConditionResult=no\n",
        "systemd says: a condition of the unit was not met",
    ),
    "a masked unit": ("LoadState=masked\nActiveState=inactive\n", "systemd says: the unit is masked"),
    "no such unit": ("LoadState=not-found\n", "systemd says: there is no such unit"),
    "it starts and ends": (
        """\
LoadState=loaded
ActiveState=failed
Result=exit-code
Nov 30 09:12:01 till systemd-timesyncd[412]: Failed to create state directory: Read-only file system
Nov 30 09:12:01 till systemd[1]: Failed to start Network Time Synchronization.
""",
        "systemd says: Result=exit-code; systemd-timesyncd[412]: Failed to create state directory: Read-only file system",
    ),
    "it ends without a word, and once had one": (
        """\
LoadState=loaded
ActiveState=failed
Result=core-dump
Nov 30 09:12:01 till systemd[1]: Started Network Time Synchronization.
Nov 30 09:12:02 till systemd-timesyncd[412]: Synchronized to time server 10.0.0.5:123.
Nov 30 09:12:03 till systemd[1]: Stopped Network Time Synchronization.
Nov 30 09:12:04 till systemd[1]: Started Network Time Synchronization.
Nov 30 09:12:05 till systemd[1]: systemd-timesyncd.service: Main process exited, code=dumped, status=11/SEGV
Nov 30 09:12:05 till systemd[1]: systemd-timesyncd.service: Failed with result 'core-dump'.
""",
        (
            "systemd says: Result=core-dump; systemd[1]: systemd-timesyncd.service: Main process exited, code=dumped, "
            "status=11/SEGV; systemd[1]: systemd-timesyncd.service: Failed with result 'core-dump'."
        ),
    ),
    "it speaks before it is ready, and fails later": (
        """\
LoadState=loaded
ActiveState=failed
Result=exit-code
Nov 30 09:12:01 till systemd[1]: Starting Network Time Synchronization...
Nov 30 09:12:02 till systemd-timesyncd[412]: No network yet
Nov 30 09:12:03 till systemd[1]: Started Network Time Synchronization.
Nov 30 09:12:05 till systemd[1]: systemd-timesyncd.service: Main process exited, code=exited, status=1/FAILURE
""",
        "systemd says: Result=exit-code; systemd-timesyncd[412]: No network yet",
    ),
    "nothing": ("", "systemd gives no reason"),
    "a stand-in that says one word": ("inactive\n", "systemd gives no reason"),
}


def observed(text: str) -> dict[str, str]:
    return {f"unit_{number}": line for number, line in enumerate(text.splitlines(), 1)}


@pytest.mark.parametrize("case", SAYS)
def test_the_reason_is_systemd_s_own(case: str) -> None:
    text, expected = SAYS[case]
    assert words(observed(text)) == expected


def recorded(release: str) -> dict[str, dict[str, str]]:
    text = (RECORDED / f"systemd-{release}.txt").read_text(encoding="utf-8")
    blocks = (block.split("\n", 1) for block in re.split(r"^=== ", text, flags=re.MULTILINE)[1:])
    return {name: observed(lines) for name, lines in blocks}


TOLD = {
    "as it is": r"ConditionVirtualization=!container was not met",
    "a condition": r"ConditionFileIsExecutable=!/bin/ls was not met",
    "it fails at its start": r"Result=exit-code; sh\[\d+\]: the clock is glued",
    "a unit that it needs": r"systemd\[1\]: Dependency failed for .*; .* failed with result 'dependency'\.",
    "a bad setting": r"the unit (has a bad setting|could not be loaded); .*50-test\.conf.*Failed to parse .*; .* Refusing\.",
    "masked": r"the unit is masked",
    "disabled": r"the unit is disabled",
}


@pytest.mark.parametrize("release", RELEASES)
def test_the_reason_is_read_from_what_a_real_systemd_printed(release: str) -> None:
    blocks = recorded(release)
    assert blocks.keys() == TOLD.keys()
    for name, lines in blocks.items():
        assert re.fullmatch(f"systemd says: {TOLD[name]}", words(lines)), (name, words(lines))
        assert masked(lines) == (name == "masked")


def test_a_flood_of_words_is_cut() -> None:
    text = "Result=exit-code\n" + "".join(f"Nov 30 09:12:{n:02} till x[1]: {'y' * 5000}\n" for n in range(30))
    assert len(words(observed(text))) < 1000
