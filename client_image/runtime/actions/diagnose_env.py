"""What a terminal is and has: system, privileges, disk, clock, agent, ports. Read-only, on every role (domain.md 2.8)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

from contracts.bounded import whole
from contracts.text import joined, say
from runtime.domain.action import Action, Decision, Done, Params
from runtime.domain.facts import Facts
from runtime.domain.model import Host, Role

# Every line is key=value; a tool that is missing leaves its key empty. Nothing here writes, waits or needs root.
_OBSERVE = r"""
has() { command -v "$1" 2>/dev/null || true; }
free_kb() { df -Pk "$1" 2>/dev/null | { read -r _head; read -r _dev _size _used free _rest; echo "$free"; } || true; }
printf 'path=%s\n' "$PATH"
printf 'sudo=%s\n' "$(has sudo)"
printf 'su=%s\n' "$(has su)"
printf 'shutdown=%s\n' "$(PATH="$PATH:/sbin:/usr/sbin" has shutdown)"
printf 'systemctl=%s\n' "$(has systemctl)"
printf 'timedatectl=%s\n' "$(has timedatectl)"
printf 'curl=%s\n' "$(has curl)"
printf 'wget=%s\n' "$(has wget)"
passwordless=no
if [ "$(id -u)" = 0 ]; then passwordless=root
elif sudo -n true >/dev/null 2>&1; then passwordless=yes; fi
printf 'sudo_passwordless=%s\n' "$passwordless"
printf 'free_root_kb=%s\n' "$(free_kb /)"
printf 'free_tmp_kb=%s\n' "$(free_kb /tmp)"
libc=$(getconf GNU_LIBC_VERSION 2>/dev/null || true)
[ -n "$libc" ] || libc=$(ldd --version 2>/dev/null | { IFS= read -r line; printf '%s' "$line"; } || true)
printf 'libc=%s\n' "$libc"
for place in ariusmonitor posnet; do
  if [ -d "/$place" ]; then printf '%s=yes\n' "$place"; else printf '%s=no\n' "$place"; fi
done
agent=/ariusmonitor/zabbix/sbin/zabbix_agentd
if [ -x "$agent" ]; then
  printf 'agent=present\n'
  printf 'agent_version=%s\n' "$("$agent" -V 2>/dev/null </dev/null | { IFS= read -r line; printf '%s' "$line"; } || true)"
else
  printf 'agent=absent\n'
fi
agent_state=stopped
pid=$(cat /ariusmonitor/logs/zabbix_agentd.pid 2>/dev/null || true)
case "$pid" in
  (''|*[!0-9]*) ;;
  (*) if [ -d "/proc/$pid" ]; then agent_state=running; fi ;;
esac
printf 'agent_state=%s\n' "$agent_state"
# Listening sockets straight from the kernel: old systems have neither ss nor a usable netstat. 0A is LISTEN.
ports=
for file in /proc/net/tcp /proc/net/tcp6; do
  [ -r "$file" ] || continue
  while read -r _number local _remote state _rest; do
    [ "$state" = 0A ] || continue
    hex=${local##*:}
    case " $ports " in (*" $hex "*) ;; (*) ports="$ports $hex" ;; esac
  done <"$file"
done
printf 'listening_hex=%s\n' "${ports# }"
"""


_HEX_PORT = re.compile(r"[0-9A-Fa-f]{1,4}")


def _ports(text: str) -> list[int]:
    return sorted({int(word, 16) for word in text.split() if _HEX_PORT.fullmatch(word)})


def report_of(facts: Facts) -> Mapping[str, Any]:
    """The structured report. Sizes are kB, clock skew is seconds (terminal minus proxy), None where unreadable."""
    seen = facts.observed
    skew = None if facts.epoch is None else round(facts.epoch - facts.observed_at.timestamp())
    tools = {
        name: seen.get(name) or None for name in ("sudo", "su", "shutdown", "systemctl", "timedatectl", "curl", "wget")
    }
    listening = _ports(seen.get("listening_hex", ""))
    return {
        "distro": facts.distro or None,
        "version": facts.version or None,
        "source": facts.source or None,
        "kernel": facts.kernel or None,
        "machine": facts.machine or None,
        "arch": facts.arch or None,
        "bits": facts.bits or None,
        "init": facts.init,
        "hostname": facts.hostname or None,
        "user": facts.user,
        "uid": facts.uid,
        "path": seen.get("path") or None,
        "tools": tools,
        "sudo_passwordless": seen.get("sudo_passwordless") or None,
        "free_root_kb": whole(seen.get("free_root_kb", "")),
        "free_tmp_kb": whole(seen.get("free_tmp_kb", "")),
        "clock_skew_s": skew,
        "libc": seen.get("libc") or None,
        "ariusmonitor": seen.get("ariusmonitor") == "yes",
        "posnet": seen.get("posnet") == "yes",
        "agent": seen.get("agent") or None,
        "agent_version": seen.get("agent_version") or None,
        "agent_state": seen.get("agent_state") or None,
        "listening": listening,
    }


def _decide(facts: Facts, params: Params, host: Host) -> Decision:
    system = f"{facts.distro} {facts.version}".strip() or say("unknown system")
    init = say("unknown") if facts.init == "unknown" else facts.init
    seen = (system, facts.arch or say("unknown architecture"), init)
    return Done(report=report_of(facts), message=joined(seen))


ACTION = Action(
    name="diagnose_env",
    aliases=(),
    version="2.0.0",
    summary=say("Report what a terminal is and has: system, privileges, disk, clock, agent, ports."),
    effect="read",
    roles=frozenset(get_args(Role)),
    observe=_OBSERVE,
    decide=_decide,
)
