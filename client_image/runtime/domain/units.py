"""Restarts a systemd unit, and tells why one does not run in systemd's own words. Pure: shell functions, and the reading of what
they print.

Used by actions that start a unit. No list of ours says what may keep a unit from starting: conditions, masks, results and last
lines are systemd's, whatever a distribution or a drop-in has put there. Tried on the real ones from 229 to 257.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from contracts.text import all_of, joined, say

_LINES, _LINE_CHARACTERS = 60, 300
SETTLED_S = 3

# Functions for observe scripts: `unit_state NAME` prints what is-active says, `unit_words NAME` lines unit_1=… of what systemd
# says. `systemctl status` alone shows which condition was not met, and exits 3 for a unit that does not run; it leaves out the
# last lines of a unit that was tried several times, which is why they come from the journal. What an old systemd does not know
# (some properties) it leaves out.
SHELL = f"""
export SYSTEMD_COLORS=0
unit_state() {{
  _state=$(systemctl is-active "$1" 2>/dev/null || :)
  if [ "$_state" = active ]; then
    # A program may end right after its start: a unit that has just been started is asked again.
    _since=$(systemctl show -p ActiveEnterTimestampMonotonic "$1" 2>/dev/null || :)
    _since=${{_since#*=}}
    case $_since in (*[!0-9]*) _since= ;; esac
    {{ read -r _up _ </proc/uptime; }} 2>/dev/null || _up=0
    if [ ${{#_since}} -gt 6 ]; then
      _ran=$((${{_up%%.*}} - ${{_since%??????}}))
      if [ $_ran -ge 0 ] && [ $_ran -lt {SETTLED_S} ]; then
        sleep {SETTLED_S}
        _state=$(systemctl is-active "$1" 2>/dev/null || :)
      fi
    fi
  fi
  printf '%s\\n' "$_state"
}}
unit_words() {{
  _n=0
  {{
    LC_ALL=C systemctl show -p LoadState,UnitFileState,ActiveState,Result,ConditionResult,ConditionTimestamp "$1" || :
    LC_ALL=C systemctl status --no-pager --full -n 0 "$1" || :
    LC_ALL=C journalctl -q --no-pager -b -o short -n 20 -u "$1" || :
  }} 2>/dev/null | while IFS= read -r _line && [ $_n -lt {_LINES} ]; do
    _n=$((_n+1))
    printf 'unit_%s=%s\\n' "$_n" "$_line"
  done
}}
"""

# For steps: `unit_restart NAME`, of a unit that keeps running, fails when it was not started; its last line is the reason.
RESTART = r"""
export SYSTEMD_COLORS=0
unit_restart() {
  _code=0
  _said=$(LC_ALL=C systemctl restart "$1" 2>&1) || _code=$?
  # Some units are started again and again for a while: what they say is complete after the last time.
  for _ in 1 2 3 4 5; do
    case $(systemctl is-active "$1" 2>/dev/null || :) in (activating) sleep 1 ;; (*) break ;; esac
  done
  if [ $_code -ne 0 ]; then
    # Without the hint at other commands, which nobody can follow from here.
    printf '%s\n' "$_said" | sed -e 's/ *See .*//' -e '/^$/d'
    return $_code
  fi
  # systemctl succeeds for a unit that its conditions keep from starting.
  case $(systemctl is-active "$1" 2>/dev/null || :)$(systemctl show -p ConditionResult "$1" 2>/dev/null || :) in
    (inactiveConditionResult=no)
      echo 'systemd skipped the start'
      return 1 ;;
  esac
}
"""

_UNMET = re.compile(r"((?:Condition|Assert)\w+=.*?) was not met")
_SKIPPED = re.compile(r"systemd\[1\]: .* unmet condition check \(?(Condition\w+=.*?)\)?\.?")
_FAILED = re.compile(r"(?:Condition|Assert): (start (?:condition|assertion) (?:failed|unmet)) at .*")
_PROPERTY = re.compile(r"(LoadState|UnitFileState|ActiveState|Result|ConditionResult|ConditionTimestamp)=(.*)")
_JOURNAL = re.compile(r"[A-Z][a-z]{2} [ 0-9]\d \d\d:\d\d:\d\d \S+ ([^:]{1,80}: .*)")
_NOT_LOADED = {
    "masked": say("the unit is masked"),
    "not-found": say("there is no such unit"),
    "error": say("the unit could not be loaded"),
    "bad-setting": say("the unit has a bad setting"),
}


def masked(observed: Mapping[str, str]) -> bool:
    """Whether somebody has forbidden that the unit is ever started."""
    return _properties(_lines(observed)).get("LoadState") == "masked"


def words(observed: Mapping[str, str]) -> str:
    """One clause about the unit whose lines are in ``observed``; says so when systemd gives no reason."""
    parts = _reasons(_lines(observed))
    return say("systemd says: {reasons}", reasons=joined(parts, "; ")) if parts else say("systemd gives no reason")


def _reasons(lines: list[str]) -> list[str]:
    said = _properties(lines)
    load = said.get("LoadState", "loaded")
    if load in ("masked", "not-found"):
        return [_NOT_LOADED[load]]
    journal = [found[1] for line in lines if (found := _JOURNAL.fullmatch(line))]
    if load in _NOT_LOADED:
        return [_NOT_LOADED[load], *journal[-2:]]
    unmet = list(dict.fromkeys(found[1] for line in lines if (found := _UNMET.search(line))))
    # What nothing refers to is unloaded at once, with the result of its conditions; newer journals name the condition.
    if not unmet and journal and (skipped := _SKIPPED.fullmatch(journal[-1])):
        unmet = [skipped[1]]
    if unmet:
        return [all_of([say("{condition} was not met", condition=one) for one in unmet])]
    parts = [found[1] for line in lines if (found := _FAILED.fullmatch(line))][:1]
    tried = said.get("ConditionTimestamp", "?") not in ("", "n/a")
    if not parts and tried and said.get("ConditionResult") == "no":
        parts = [say("a condition of the unit was not met")]
    if said.get("Result", "success") not in ("success", ""):
        parts.append(f"Result={said['Result']}")
    if not tried and said.get("UnitFileState") == "disabled":
        return [*parts, say("the unit is disabled")]
    failed = said.get("Result", "success") != "success" or said.get("ActiveState") in ("failed", "activating")
    texts = (_last_try(journal) if failed else []) or journal
    return [*parts, *texts[-2:]]


def _last_try(journal: list[str]) -> list[str]:
    """What the program itself has said since it was last started: worth more than what systemd says of it."""
    own: list[str] = []
    starting = False
    for line in journal:
        if line.startswith("systemd[1]: Starting "):
            own, starting = [], True
        elif line.startswith("systemd[1]: Started "):
            # Of a unit that is ready at once this is the first word, of another the last one of its start.
            own, starting = own if starting else [], False
        elif not line.startswith("systemd[1]: "):
            own.append(line)
    return own


def _lines(observed: Mapping[str, str]) -> list[str]:
    return [observed.get(f"unit_{number}", "")[:_LINE_CHARACTERS].strip() for number in range(1, _LINES + 1)]


def _properties(lines: list[str]) -> dict[str, str]:
    return {found[1]: found[2] for line in lines if (found := _PROPERTY.fullmatch(line))}
