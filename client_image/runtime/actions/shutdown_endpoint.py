"""Power off a checkout at night, and prove that it went (domain.md 2.7).

What must never be powered off is kept out three times: by the role gate (name, tag, concentrator addresses), by this action's
exceptions, and by what the machine itself looks like.
"""

from __future__ import annotations

import datetime as dt
from typing import ClassVar

from pydantic import Field

from contracts.text import joined, say
from contracts.windows import Window, windows_at
from runtime.domain.action import Action, Decision, Failed, Params, Refused, Script, Stage
from runtime.domain.facts import Facts
from runtime.domain.listed import listed_as
from runtime.domain.machines import same_as
from runtime.domain.model import Host
from runtime.domain.time.clocks import inside_for_machine

_NIGHT = Window(start=dt.time(22), end=dt.time(6))


class ShutdownParams(Params):
    """``windows``: those that name a host's store replace the general ones for it. ``exceptions``: see :func:`listed_as`."""

    ADDS: ClassVar[frozenset[str]] = frozenset({"exceptions"})
    PROTECTS: ClassVar[frozenset[str]] = frozenset({"exceptions"})
    WINDOWS: ClassVar[str] = "windows"

    windows: tuple[Window, ...] = Field(
        (_NIGHT,), min_length=1, description="wall times; one that names stores replaces the general ones there"
    )
    exceptions: tuple[str, ...] = Field((), description="never powered off: names, addresses or networks (10.0.0.0/24)")
    settle: float = Field(120.0, ge=5, le=900, description="seconds that the terminal may take to go")

    def windows_for(self, store: int | None) -> tuple[Window, ...]:
        return windows_at(self.windows, store)


_OBSERVE = r"""
path=
for file in /sbin/shutdown /usr/sbin/shutdown /bin/shutdown; do [ -n "$path" ] || [ ! -x "$file" ] || path=$file; done
printf 'shutdown=%s\n' "$path"
# A concentrator and a proxy host give themselves away, whatever they are called in the inventory.
kind=
[ ! -d /servidor/configuracao ] || kind=concentrator
# A runtime may have any name. Its settings are root's, so the commands beside them count as well.
for file in /etc/flageemonitor /etc/ariusmonitor /etc/*/flageemonitor.env /usr/local/bin/*-watchtower-logs; do
  [ ! -e "$file" ] || kind=proxy
done
printf 'looks_like=%s\n' "$kind"
"""

_POWER_OFF = r"""
"$shutdown" -h now
"""


# What the observe script calls them; anything else is shown as it is.
_KINDS = {"concentrator": say("concentrator"), "proxy": say("proxy")}


def _excepted(params: ShutdownParams, host: Host) -> Refused | None:
    entry = listed_as(host, params.exceptions)
    if entry is None:
        return None
    text = say("listed as an exception: never powered off")
    return Refused("exception", text if entry == host else joined((same_as(host, entry), text)))


def _foresee(params: ShutdownParams, host: Host, now: dt.datetime) -> Refused | None:
    """With a terminal whose clock agrees with ours."""
    until = _excepted(params, host) or inside_for_machine(host, params.windows_for, now, int(now.timestamp()))
    return until if isinstance(until, Refused) else None


def _decide(facts: Facts, params: ShutdownParams, host: Host) -> Decision:
    excepted = _excepted(params, host)
    if excepted is not None:
        return excepted
    looks_like = facts.observed.get("looks_like")
    if looks_like is None:
        return Failed("incomplete_look", say("the terminal did not say whether it is a server, so it counts as one"))
    if looks_like:
        text = say("this machine looks like a {kind}, not like a checkout", kind=_KINDS.get(looks_like, looks_like))
        return Refused("protected_machine", text)
    until = inside_for_machine(host, params.windows_for, facts.observed_at, facts.epoch)
    if isinstance(until, Refused):
        return until
    path = facts.observed.get("shutdown")
    if not path:
        return Failed("no_shutdown_command", say("the terminal has no shutdown command"))
    closes = f"{until.astimezone(facts.observed_at.tzinfo):%H:%M %Z}"
    return Stage(
        say("power off"),
        (Script(say("shut down"), _POWER_OFF, {"shutdown": path}),),
        confirm="gone",
        settle=params.settle,
        valid_until=until,
        summary=(say("{path} -h now (window open until {time})", path=path, time=closes),),
    )


ACTION = Action(
    name="shutdown_endpoint",
    aliases=("pdv_shutdown", "shutdown_host"),
    version="2.0.0",
    summary=say("Power off checkouts inside their window, confirmed by their going."),
    effect="disrupt",
    does=say("powers off"),
    params=ShutdownParams,
    needs_root=True,
    observe=_OBSERVE,
    decide=_decide,
    foresee=_foresee,
    stages=1,
    confirms=("gone",),
)
