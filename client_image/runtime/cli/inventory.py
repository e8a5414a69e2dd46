"""`hosts` and `hosts rekey`: what the inventory lists, what the rollout says of each host, which key is pinned."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from rich.text import Text

from commandline.language import shown
from contracts.config import MatrixRow, NetworkConfig
from contracts.text import say, some_of
from runtime.adapters.state.history import technical_name
from runtime.adapters.state.hosts import accept_lost_keys, key_history, known_hosts, pinned_keys, retire_keys
from runtime.adapters.state.store import State
from runtime.cli.identity import Identities
from runtime.cli.output import Out
from runtime.cli.text import hosts as in_words
from runtime.cli.text import lines_of
from runtime.domain import wire
from runtime.domain.action import TERMINALS
from runtime.domain.catalogue import Catalogue
from runtime.domain.errors import NoHostMatched, UsageFault
from runtime.domain.model import Allow, Selector
from runtime.domain.pipeline import known_provider, require_network
from runtime.domain.ports import Inventory
from runtime.domain.selection import select
from runtime.domain.targets import missing
from runtime.engine import gates


@dataclass(frozen=True, slots=True)
class HostsParts:
    """What hosts are shown from. ``rows``: the compatibility matrix; ``inventory`` and ``state`` are opened when needed."""

    config: NetworkConfig
    known: Catalogue
    rows: tuple[MatrixRow, ...]
    inventory: Callable[[NetworkConfig], Inventory]
    state: Callable[[], State]


def show_hosts(parts: HostsParts, network: str | None, selector: Selector, out: Out) -> int:
    config = parts.config
    require_network(network, config)
    known_provider(selector.provider, parts.known)
    rules = gates.policy(config, parts.known.providers, parts.rows)
    listing = parts.inventory(config).read(selector)
    found = select(listing, selector)
    unmatched = missing(selector, listing.entries, select(listing, replace(selector, limit=None)))
    state = parts.state()
    who = Identities(state, config.network, listing.entries)
    known = known_hosts(state, config.network)
    pinned = pinned_keys(state, config.network)
    data, rows = [], []
    for host in found:
        verdict = gates.in_rollout(host, TERMINALS, rules)
        same = [entry.name for entry in host.machine.entries if entry != host]
        inside = isinstance(verdict, Allow)
        why = verdict.note if isinstance(verdict, Allow) else verdict.message
        met, key = known.get(host.name.lower()), pinned.get(host.name.lower())
        data.append(
            {
                **wire.host_json(host),
                "agent_status": host.agent_status,
                "groups": list(host.groups),
                "tags": dict(host.tags),
                "problem": host.problem or None,
                "rolled_out": inside,
                "rollout": why,
                "ssh_needs": list(met.notes.needs) if met else [],
                "same_machine": same,
                "host_key": key.key.fingerprint if key else None,
                "host_key_first_seen": key.first_seen.isoformat() if key else None,
                **who.host_json(host),
            }
        )
        mark: Any = say("in") if inside else say("out")
        rows.append(
            (
                host.name,
                _address(host.address or host.problem, same),
                host.role,
                host.provider,
                Text(shown(mark), style="green" if inside else "yellow") if out.form == "table" else mark,
                lines_of(why, who.mark(host)),
            )
        )
    columns = (say("host"), say("address"), say("role"), say("provider"), say("rollout"), say("why"))
    out.table(columns, rows, data, whole=columns[:5])
    for notice in listing.notices:
        out.warn(notice)
    if out.form == "table":
        out.say(say("{hosts} of {network}", hosts=in_words(len(found)), network=config.network), "dim")
    for one in unmatched:
        out.say(say("no host matches {value}", value=one), "yellow")
    return NoHostMatched.exit_code if unmatched else 0


def _address(address: str, same: list[str]) -> str:
    """With the other entries of the same machine, as many as fit on one line."""
    return say("{address} (also {names})", address=address, names=some_of(same, 2)) if same else address


def confirm_lost_keys(state: State, out: Out) -> int:
    """All pinned keys were lost: allow first use again."""
    confirmed = accept_lost_keys(state)
    if out.form in ("json", "ndjson"):
        out.json({"confirmed": confirmed})
    done = say("Confirmed: new keys are pinned again at the next login.")
    out.say(done if confirmed else say("No keys were lost; there is nothing to confirm."))
    return 0


def named_host(host: str | None) -> str:
    """Raises UsageFault where none is given."""
    if host is None:
        raise UsageFault("no_host", say("HOST is missing"), "flageemonitor-run hosts rekey <host>")
    return host


def rekey_host(network: str, state: State, now: dt.datetime, host: str, by: str, out: Out) -> int:
    """Forget a host's pinned key. Raises NoHostMatched."""
    host = technical_name(state, host) or host
    retired = retire_keys(state, network, host, by=by, now=now)
    if not retired:
        known = key_history(state, network, host)
        hint = say("its last key was already retired") if known else say("use the host's exact technical name")
        raise NoHostMatched("no_pinned_key", say("no key is pinned for {host}", host=host), hint)
    data = [{"name": record.name, "port": record.port, "retired": record.key.fingerprint} for record in retired]
    columns = (say("host"), say("port"), say("retired key"))
    out.table(columns, [(d["name"], d["port"], d["retired"]) for d in data], data, whole=columns)
    if out.form == "table":
        out.say(say("The next login pins the key that the host then shows: make sure that it is the right machine."))
    return 0
