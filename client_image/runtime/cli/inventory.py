"""`hosts` and `hosts rekey`: what the inventory lists, what the rollout says of each host, which key is pinned."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rich.text import Text

from runtime.adapters.state.history import technical_name
from runtime.adapters.state.hosts import accept_lost_keys, acquaintances, key_history, pinned_keys, retire_keys
from runtime.cli.identity import Identities
from runtime.cli.output import Out
from runtime.cli.text import counted
from runtime.domain import wire
from runtime.domain.action import TERMINALS
from runtime.domain.errors import NoHostMatched, UsageFault
from runtime.domain.model import Allow, Selector
from runtime.domain.pipeline import known_provider, require_network
from runtime.domain.selection import select
from runtime.domain.targets import missing
from runtime.engine import gates
from runtime.wiring import Installation


def show_hosts(installation: Installation, network: str | None, selector: Selector, out: Out) -> int:
    config = installation.document().config
    require_network(network, config)
    known_provider(selector.provider, installation.known)
    rules = gates.policy(config, installation.known.providers, installation.assets.rows)
    listing = installation.inventory(config).read(selector)
    found = select(listing, selector)
    unmatched = missing(selector, listing.entries, select(listing, replace(selector, limit=None)))
    who = Identities(installation.state, config.network, listing.entries)
    known = acquaintances(installation.state, config.network)
    pinned = pinned_keys(installation.state, config.network)
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
        mark: Any = Text("in", style="green") if inside else Text("out", style="yellow")
        rows.append(
            (
                host.name,
                f"{host.address or host.problem}{_shares(same)}",
                host.role,
                host.provider,
                mark if out.form == "table" else mark.plain,
                "; ".join(filter(None, (why, who.mark(host)))),
            )
        )
    columns = ("host", "address", "role", "provider", "rollout", "why")
    out.table(columns, rows, data, whole=columns[:5])
    for notice in listing.notices:
        out.say(f"warning: {notice}", "yellow")
    if out.form == "table":
        out.say(f"{counted(len(found), 'host')} of {config.network}", "dim")
    for one in unmatched:
        out.say(f"no host matches {one}", "yellow")
    return NoHostMatched.exit_code if unmatched else 0


def _shares(names: list[str]) -> str:
    """Beside the address: the other entries of the same machine, as many as one line can tell."""
    if not names:
        return ""
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return f" (also {', '.join(names[:2])}{more})"


def rekey_host(installation: Installation, host: str | None, everything: bool, by: str, out: Out) -> int:
    if everything:
        confirmed = accept_lost_keys(installation.state)
        if out.form in ("json", "ndjson"):
            out.json({"confirmed": confirmed})
        out.say(
            "first use works again: keys are pinned at the next login"
            if confirmed
            else "no keys were lost, nothing to confirm"
        )
        return 0
    if host is None:
        raise UsageFault("no_host", "which host?", "flageemonitor-run hosts rekey <host>")
    network = installation.document().config.network
    host = technical_name(installation.state, host) or host
    retired = retire_keys(installation.state, network, host, by=by, now=installation.clock.now())
    if not retired:
        known = key_history(installation.state, network, host)
        hint = "its last key was already retired" if known else "use the host's exact technical name"
        raise NoHostMatched("no_pinned_key", f"no key is pinned for {host}", hint)
    data = [{"name": record.name, "port": record.port, "retired": record.key.fingerprint} for record in retired]
    columns = ("host", "port", "retired key")
    out.table(columns, [(d["name"], d["port"], d["retired"]) for d in data], data, whole=columns)
    if out.form == "table":
        out.say("the next login pins the key that the host then shows: make sure that it is the right machine")
    return 0
