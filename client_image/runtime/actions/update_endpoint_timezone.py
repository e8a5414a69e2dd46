"""Time zone, local time file and, where asked, NTP, on everything from Slackware 13 to Ubuntu 24.04 (domain.md 2.6).

Works on the files that every system reads, not through timedatectl: with a ``localtime_target`` the two disagree by design.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from contracts.config import ZONEINFO, HostOrAddress, ZoneFile, ZoneName
from contracts.text import joined, say
from runtime.domain import units
from runtime.domain.action import Action, Decision, Done, Failed, LegacyOption, Params, Script, Stage, Step, WriteFile
from runtime.domain.facts import Facts
from runtime.domain.model import Change, Host

TIMESYNCD_CONF = "/etc/systemd/timesyncd.conf.d/90-flageemonitor.conf"
TIMESYNCD_UNIT = "/etc/systemd/system/systemd-timesyncd.service.d/90-flageemonitor.conf"
SKEW_LIMIT_S = 30


class TimezoneParams(Params):
    """Some software wants a fixed-offset zone in /etc/localtime while the displayed zone is a city: ``localtime_target``."""

    timezone: ZoneName = Field(description="IANA name, for example America/Sao_Paulo")
    localtime_target: ZoneFile | None = Field(
        None, description="another zone, or its file below /usr/share/zoneinfo, for /etc/localtime"
    )
    enable_ntp: bool = Field(False, description="see to it that the clock is synchronised")
    ntp_server: HostOrAddress | None = Field(None, description="host name or IP address")
    force_timesyncd: bool = Field(
        False, description="start systemd-timesyncd although another NTP program is installed"
    )

    @property
    def target(self) -> str:
        return self.localtime_target or ZONEINFO + self.timezone


# P_<name> are the parameters, assigned and quoted by the engine.
_OBSERVE = (
    units.SHELL
    + r"""
zone_file="/usr/share/zoneinfo/$P_timezone"
target=${P_localtime_target:-$zone_file}
yes_no() { if "$@" >/dev/null 2>&1; then echo yes; else echo no; fi; }
printf 'target_file=%s\n' "$(yes_no test -f "$target")"
if [ -L /etc/localtime ]; then
  printf 'localtime_kind=link\nlocaltime=%s\n' "$(readlink /etc/localtime)"
elif [ -f /etc/localtime ]; then
  printf 'localtime_kind=copy\n'
else
  printf 'localtime_kind=absent\n'
fi
printf 'localtime_same=%s\n' "$(yes_no cmp -s /etc/localtime "$target")"
# What programs see, and the file that they will go by; the proxy reads it, because no tool for that is on every system.
printf 'offset=%s\n' "$(unset TZ; date +%z 2>/dev/null || true)"
if [ -f "$target" ]; then
  printf 'target_hex=%s\n' "$(head -c 16385 "$target" 2>/dev/null | {
    od -An -v -tx1 2>/dev/null || hexdump -v -e '1/1 "%02x"' 2>/dev/null || true
  } | tr -d ' \n')"
fi
for file in /usr/share/zoneinfo/tzdata.zi /usr/share/zoneinfo/+VERSION; do
  if [ -f "$file" ]; then printf 'tzdata=%s\n' "$(head -c 40 "$file" | head -n 1)"; fi
done
[ ! -L /etc/localtime-copied-from ] || printf 'copied_from=%s\n' "$(readlink /etc/localtime-copied-from)"
if [ -f /etc/timezone ]; then printf 'timezone=%s\n' "$(head -n 1 /etc/timezone)"; fi
if [ "$P_enable_ntp" = yes ]; then
  timesyncd=no
  for file in /lib/systemd/systemd-timesyncd /usr/lib/systemd/systemd-timesyncd; do [ ! -x "$file" ] || timesyncd=yes; done
  [ -d /run/systemd/system ] || timesyncd=no
  printf 'timesyncd=%s\n' "$timesyncd"
  # A time daemon that somebody runs is left alone; without systemd nothing but the list of processes tells.
  for file in /proc/[0-9]*/stat; do
    { read -r line <"$file"; } 2>/dev/null || continue
    for daemon in ntpd openntpd chronyd; do
      case $line in (*"($daemon)"*) printf 'time_daemon_runs=%s\n' "$daemon" ;; esac
    done
  done
  if [ "$timesyncd" = yes ]; then
    active=$(unit_state systemd-timesyncd.service)
    printf 'timesyncd_active=%s\n' "$active"
    [ "$active" = active ] || unit_words systemd-timesyncd.service
    # One line a file; the values that we compare hold no blanks.
    flat() { if [ -f "$1" ]; then tr '\n' ' ' <"$1"; fi; }
    printf 'timesyncd_conf=%s\n' "$(flat /etc/systemd/timesyncd.conf.d/90-flageemonitor.conf)"
    printf 'timesyncd_unit=%s\n' "$(flat /etc/systemd/system/systemd-timesyncd.service.d/90-flageemonitor.conf)"
    printf 'timedatectl_ntp=%s\n' "$(LC_ALL=C timedatectl 2>/dev/null | sed -n \
      -e 's/^ *NTP enabled: *//p' -e 's/^ *Network time on: *//p' -e 's/^ *NTP service: *//p' \
      -e 's/^ *systemd-timesyncd.service active: *//p' | head -n 1 || true)"
  fi
  printf 'ntpdate=%s\n' "$(PATH="$PATH:/usr/sbin:/sbin" command -v ntpdate 2>/dev/null || true)"
fi
"""
)

_RELINK = r"""
new=/etc/.localtime.flageemonitor.$$
trap 'rm -f "$new"' EXIT
if [ "$kind" = copy ]; then
  cp "$target" "$new"
  chmod 644 "$new"
else
  ln -s "$target" "$new"
fi
mv -f "$new" /etc/localtime
if [ -L /etc/localtime-copied-from ]; then
  ln -s "$target" "$new"
  mv -f "$new" /etc/localtime-copied-from
fi
"""

_RESTART_TIMESYNCD = (
    units.RESTART
    + r"""
systemctl daemon-reload
timedatectl set-local-rtc 0
timedatectl set-ntp true
unit_restart systemd-timesyncd.service
"""
)

_NTPDATE = r"""
"$ntpdate" -u "$server"
"""

_MASKED = say(
    "systemd-timesyncd is masked on the terminal: nothing can start it. NTP was not changed. Run "
    "systemctl unmask systemd-timesyncd there, or run this action without enable_ntp"
)


def _flat(text: str) -> str:
    return " ".join(text.split())


def _timesyncd_files(params: TimezoneParams) -> tuple[tuple[str, str, str], ...]:
    """(observed key, path, content). An empty NTP= first: later assignments append to the list of the main file."""
    files = []
    if params.ntp_server:
        files.append(("timesyncd_conf", TIMESYNCD_CONF, f"[Time]\nNTP=\nNTP={params.ntp_server}\n"))
    if params.force_timesyncd:
        files.append(("timesyncd_unit", TIMESYNCD_UNIT, "[Unit]\nConditionFileIsExecutable=\n"))
    return tuple(files)


def _zone_stage(facts: Facts, params: TimezoneParams) -> Stage | None:
    seen = facts.observed
    if facts.distro == "slackware" or seen.get("timezone") == params.timezone:
        return None
    was = seen.get("timezone") or say("absent")
    write = WriteFile(say("write {path}", path="/etc/timezone"), "/etc/timezone", f"{params.timezone}\n".encode())
    return Stage("zone", (write,), changes=(Change("/etc/timezone", was, params.timezone),))


def _localtime_stage(facts: Facts, params: TimezoneParams) -> Stage | None:
    """A copy stays a copy: where /usr is a partition of its own a link would point nowhere during boot."""
    seen = facts.observed
    kind = seen.get("localtime_kind", "absent")
    if kind == "copy":
        right = seen.get("localtime_same") == "yes"
    else:
        current = seen.get("localtime", "")
        right = current in (params.target, params.target.replace(ZONEINFO, "../usr/share/zoneinfo/"))
    if right and seen.get("copied_from", params.target) == params.target:
        return None
    was = say("a copy of another zone") if kind == "copy" else seen.get("localtime") or say("absent")
    step = Script(say("point /etc/localtime"), _RELINK, {"target": params.target, "kind": kind})
    return Stage("localtime", (step,), changes=(Change("/etc/localtime", was, params.target),))


def _ntp_stage(facts: Facts, params: TimezoneParams) -> Stage | Failed | None:
    seen = facts.observed
    if _other_daemon(facts, params):
        return None
    if seen.get("timesyncd") == "yes":
        files = _timesyncd_files(params)
        stale = [(path, content) for key, path, content in files if _flat(seen.get(key, "")) != _flat(content)]
        running = seen.get("timesyncd_active") == "active" and seen.get("timedatectl_ntp", "") in ("yes", "active")
        if running and not stale:
            return None
        if units.masked(seen):
            return Failed("unit_masked", _MASKED, {"timezone": params.timezone, "ntp": "masked"}, stage="ntp")
        steps: list[Step] = [
            WriteFile(say("write {path}", path=path), path, content.encode()) for path, content in stale
        ]
        steps.append(Script(say("restart timesyncd"), _RESTART_TIMESYNCD))
        summary = (
            *(say("{path}: write", path=path) for path, _ in stale),
            say("systemd-timesyncd: enable and restart"),
        )
        return Stage("ntp", tuple(steps), settle=20, summary=summary, why=_not_running(seen))
    skew = _skew(facts)
    if seen.get("ntpdate") and params.ntp_server and skew is not None and abs(skew) > SKEW_LIMIT_S:
        step = Script(say("set the clock once"), _NTPDATE, {"ntpdate": seen["ntpdate"], "server": params.ntp_server})
        line = say("clock: off by {skew} s -> one ntpdate from {server}", skew=skew, server=params.ntp_server)
        return Stage("ntp", (step,), summary=(line,))
    return None


def _not_running(seen: Mapping[str, str]) -> str:
    """Why systemd-timesyncd does not keep the clock."""
    if seen.get("timesyncd_active") == "active":
        network_time = seen.get("timedatectl_ntp") or say("unknown")
        return say("timedatectl says that network time is {state}", state=network_time)
    why = units.words(seen)
    state = seen.get("timesyncd_active") or say("unknown")
    text = say("systemd-timesyncd is {state}; {why}", state=state, why=why)
    if "ConditionFileIsExecutable" not in why:
        return text
    return say("{text}; force_timesyncd lifts such conditions", text=text)


def _other_daemon(facts: Facts, params: TimezoneParams) -> str:
    """A time daemon that runs keeps the clock: it is left alone, with its own servers."""
    return "" if params.force_timesyncd else facts.observed.get("time_daemon_runs", "")


def _skew(facts: Facts) -> int | None:
    return None if facts.epoch is None else round(facts.epoch - facts.observed_at.timestamp())


def _ntp_state(
    facts: Facts, params: TimezoneParams
) -> Literal["off", "other_daemon", "timesyncd", "ntpdate", "no_client", "no_server"]:
    if not params.enable_ntp:
        return "off"
    if _other_daemon(facts, params):
        return "other_daemon"
    if facts.observed.get("timesyncd") == "yes":
        return "timesyncd"
    if not facts.observed.get("ntpdate"):
        return "no_client"  # installing packages is off by default (W-68); the report says so
    return "ntpdate" if params.ntp_server else "no_server"


def _decide(facts: Facts, params: TimezoneParams, host: Host) -> Decision:
    seen = facts.observed
    if seen.get("target_file") != "yes":
        text = say("{file} does not exist on the terminal. Nothing was changed", file=params.target)
        return Failed("no_zone_file", text)
    from runtime.domain.time import zone_truth  # no other action reads zone files

    zone = zone_truth.judge(params.target, ZONEINFO, seen, facts.observed_at)
    if zone.wrong_now:
        text = say("{problem}. The time zone was not changed. {advice}", problem=zone.message, advice=zone.advice)
        return Failed(zone.code, text, zone.report())
    needed: Stage | Failed | None = _zone_stage(facts, params) or _localtime_stage(facts, params)
    if needed is None and params.enable_ntp:
        needed = _ntp_stage(facts, params)
    if needed is not None:
        return needed
    zone = zone.in_force()
    ntp = _ntp_state(facts, params)
    report = {
        "timezone": params.timezone,
        "localtime_target": params.target,
        "localtime_kind": seen.get("localtime_kind"),
        "ntp": ntp,
        "clock_skew_s": _skew(facts),
        **zone.report(),
    }
    if zone.code:
        return Failed(zone.code, joined((zone.message, zone.advice), ". "), report, stage="rules")
    text = say("time zone is {timezone}", timezone=params.timezone)
    if params.target != ZONEINFO + params.timezone:
        text = say("time zone is {timezone}, local time from {file}", timezone=params.timezone, file=params.target)
    notes = {
        "no_client": say("no NTP client on the terminal, nothing installed"),
        "no_server": say("ntp_server is not configured"),
        "other_daemon": say(
            "the clock, {seconds} s off, is left to {daemon}",
            seconds=str(_skew(facts)),
            daemon=str(seen.get("time_daemon_runs")),
        ),
    }
    return Done(report=report, message=joined(filter(None, (text, notes.get(ntp, ""), zone.note)), "; "))


ACTION = Action(
    name="update_endpoint_timezone",
    aliases=("pdv_update_timezone", "update_host_timezone"),
    version="2.0.0",
    summary=say("Correct time zone, local time file and, where asked, NTP."),
    effect="change",
    does=say("sets the time zone and clock of"),
    params=TimezoneParams,
    needs_root=True,
    observe=_OBSERVE,
    decide=_decide,
    defaults={"timezone": "timezone"},
    legacy=(
        LegacyOption("--timezone", "timezone"),
        LegacyOption("--localtime-target", "localtime_target"),
        LegacyOption("--enable-ntp", "enable_ntp", is_flag=True),
        LegacyOption("--ntp-server", "ntp_server"),
    ),
)
