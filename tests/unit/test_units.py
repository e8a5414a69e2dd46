"""Why a unit does not run: what systemd of several releases prints, and what is told of it."""

from __future__ import annotations

import pytest

from runtime.core.units import words

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
        "systemd says: start condition unmet at Mon 2026-11-30 09:12:01 -03; 4s ago",
    ),
    "only the property": (
        "LoadState=loaded\nConditionResult=no\n",
        "systemd says: a condition of the unit was not met",
    ),
    "a masked unit": ("LoadState=masked\nActiveState=inactive\n", "systemd says: the unit is masked"),
    "no such unit": ("LoadState=not-found\n", "systemd says: the unit is not found"),
    "it starts and ends": (
        """\
LoadState=loaded
ActiveState=failed
Result=exit-code
Nov 30 09:12:01 till systemd-timesyncd[412]: Failed to create state directory: Read-only file system
Nov 30 09:12:01 till systemd[1]: Failed to start Network Time Synchronization.
""",
        (
            "systemd says: Result=exit-code; systemd-timesyncd[412]: Failed to create state directory: Read-only file "
            "system; systemd[1]: Failed to start Network Time Synchronization."
        ),
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


def test_a_flood_of_words_is_cut() -> None:
    text = "Result=exit-code\n" + "".join(f"Nov 30 09:12:{n:02} till x[1]: {'y' * 5000}\n" for n in range(30))
    assert len(words(observed(text))) < 1000
