"""Why a systemd unit does not run, in systemd's own words. Pure: a piece of observe script, and the reading of what it prints.

Used by actions that start a unit. No list of ours says what may keep a unit from starting: conditions, masks and results are
systemd's, whatever a distribution or a drop-in has put there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_LINES, _LINE_CHARACTERS = 40, 300

# `unit_words NAME` prints lines unit_1=… of what systemd says; `status` exits 3 for a unit that does not run. What an old systemd
# does not know (some properties) it leaves out.
SHELL = f"""
unit_words() {{
  _n=0
  {{
    LC_ALL=C systemctl show -p LoadState -p ActiveState -p SubState -p Result -p ConditionResult -p AssertResult "$1" || :
    LC_ALL=C systemctl status --no-pager --full -n 5 "$1" || :
  }} 2>/dev/null | while IFS= read -r _line && [ $_n -lt {_LINES} ]; do
    _n=$((_n+1))
    printf 'unit_%s=%s\\n' "$_n" "$_line"
  done
}}
"""

_UNMET = re.compile(r"((?:Condition|Assert)\w+=.*?) was not met")
_FAILED = re.compile(r"(?:start )?(?:condition|assertion) (?:failed|unmet) at .*", re.IGNORECASE)
_PROPERTY = re.compile(r"(\w+)=(\S*)", re.ASCII)
_JOURNAL = re.compile(r"[A-Z][a-z]{2} [ 0-9]\d \d\d:\d\d:\d\d \S+ ([^:]{1,80}: .*)")


def words(observed: Mapping[str, str]) -> str:
    """One clause about the unit whose lines are in ``observed``; says so when systemd gives no reason."""
    lines = [observed.get(f"unit_{number}", "")[:_LINE_CHARACTERS].strip() for number in range(1, _LINES + 1)]
    said = {found[1]: found[2] for line in lines if (found := _PROPERTY.fullmatch(line))}
    if said.get("LoadState") in ("masked", "not-found", "error", "bad-setting"):
        return f"systemd says: the unit is {said['LoadState'].replace('-', ' ')}"
    unmet = list(dict.fromkeys(found[1] for line in lines if (found := _UNMET.search(line))))
    if unmet:
        return f"systemd says: {' and '.join(f'{one} was not met' for one in unmet)}"
    refused = next((found[0] for line in lines if (found := _FAILED.search(line))), "")
    journal = [found[1] for line in lines if (found := _JOURNAL.fullmatch(line))]
    parts = [refused] if refused else []
    if said.get("Result", "success") not in ("success", ""):
        parts.append(f"Result={said['Result']}")
    parts += journal[-2:]
    if not parts and said.get("ConditionResult") == "no":
        parts.append("a condition of the unit was not met")
    return f"systemd says: {'; '.join(parts)}" if parts else "systemd gives no reason"
