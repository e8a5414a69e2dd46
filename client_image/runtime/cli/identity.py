"""Who answers at the hosts' addresses: `hosts settle`, and what `hosts` and `doctor` tell of shared keys and changed machines."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from runtime.adapters.state.settlements import (
    Identity,
    Settlement,
    SharedKey,
    fingerprints,
    identities,
    settle,
    shared_keys,
    unsettle,
)
from runtime.adapters.state.store import State
from runtime.cli.output import Out
from runtime.cli.text import counted
from runtime.domain.errors import NoHostMatched, UsageFault
from runtime.domain.identity import EntryIndex, Settled, entry_index
from runtime.domain.model import Host
from runtime.wiring import Installation

SHOWN = 10
NOTES_SHOWN = 5
_PREFIX = "SHA256:"
_UNCLEAR = "shared_key"  # the kind of a note that the line of the key tells of


@dataclass(frozen=True, slots=True)
class Line:
    """One thing for `doctor`. ``good``: nothing has to be done."""

    good: bool
    text: str
    advice: str = ""


class Identities:
    """What the local state knows of a network's hosts, read once. ``entries``: of the inventory, None where it cannot be read."""

    def __init__(self, state: State, network: str, entries: Sequence[Host] | None) -> None:
        self._listed = entries is not None
        self._around: EntryIndex = entry_index(entries or ())
        self._said = identities(state, network)
        self._shared = [one for key in shared_keys(state, network) if len((one := self._of_inventory(key)).hosts) > 1]
        self._by_host = {name: key for key in self._shared for name in key.hosts}

    def host_json(self, host: Host) -> dict[str, Any]:
        """What `hosts` tells of one host's identity. ``host_key_shared_with`` names the first few."""
        name = host.name.lower()
        said, shared = self._said.get(name, Identity("", "", None)), self._by_host.get(name)
        others = islice((other for other in shared.hosts if other != name), SHOWN) if shared else ()
        return {
            "hostname": said.hostname or None,
            "machine_id": said.machine_id or None,
            "identity_note": said.note.text if said.note else None,
            "identity_accepted": accepted_json(said.accepted),
            "host_key_hosts": len(shared.hosts) if shared else None,
            "host_key_shared_with": [self._spelled(other) for other in others],
            "host_key_settled": settled_json(shared.settled) if shared else None,
        }

    def mark(self, host: Host) -> str:
        """A few words for the table; empty for a host of its own."""
        name = host.name.lower()
        shared = self._by_host.get(name)
        words = (
            [f"host key shared by {len(shared.hosts)} hosts{', accepted' if shared.settled else ''}"] if shared else []
        )
        return ", ".join([*words, *(["identity: see doctor"] if self._note(name) else [])])

    def lines(self, zone: dt.tzinfo) -> list[Line]:
        """What `doctor` tells: every shared key, then the first notes. ``zone``: of its times."""
        found = [self._key_line(key, zone) for key in self._shared]
        noted = [
            name for name in sorted(self._said) if self._is_listed(name) and self._note(name) not in ("", _UNCLEAR)
        ]
        found += [Line(False, f"{self._spelled(name)}: {self._text(name)}") for name in noted[:NOTES_SHOWN]]
        if len(noted) > NOTES_SHOWN:
            left = counted(len(noted) - NOTES_SHOWN, "more host")
            found.append(Line(False, f"and {left} whose identity is in doubt", "flageemonitor-run hosts --output json"))
        return found

    def _is_listed(self, name: str) -> bool:
        return not self._listed or name in self._around.named

    def _note(self, name: str) -> str:
        """The kind of a host's note."""
        said = self._said.get(name)
        return said.note.kind if said and said.note else ""

    def _text(self, name: str) -> str:
        note = self._said[name].note
        return note.text if note else ""

    def _key_line(self, key: SharedKey, zone: dt.tzinfo) -> Line:
        text = f"{len(key.hosts)} hosts share the host key {key.fingerprint}: {self._few(key.hosts)}"
        if key.settled is not None:
            accepted = f"{key.settled.by} accepted that on {key.settled.at.astimezone(zone):%Y-%m-%d %H:%M %Z}"
            return Line(True, f"{text}. {accepted}.")
        means = "Changes are blocked where host name, machine id and terminal number do not fit exactly one of them"
        return Line(
            False, f"{text}. {means}.", f"cloned from one image? flageemonitor-run hosts settle --key {key.fingerprint}"
        )

    def _few(self, names: Sequence[str]) -> str:
        shown = ", ".join(map(self._spelled, names[:SHOWN]))
        return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown

    def _spelled(self, name: str) -> str:
        host = self._around.named.get(name)
        return host.name if host else name

    def _of_inventory(self, key: SharedKey) -> SharedKey:
        """Without hosts that left the inventory, and with one entry for each machine."""
        seen: set[str] = set()
        kept = []
        for name in key.hosts:
            if self._is_listed(name) and name not in seen:
                host = self._around.named.get(name)
                seen |= self._around.aliases(host) if host else frozenset()
                kept.append(name)
        return SharedKey(key.fingerprint, tuple(kept), key.settled)


def settled_json(settled: Settled | None) -> Mapping[str, Any] | None:
    if settled is None:
        return None
    return {"by": settled.by, "at": settled.at.isoformat(), "image_names": sorted(settled.image_names)}


def accepted_json(accepted: Settled | None) -> Mapping[str, Any] | None:
    """Who accepted what the machine of one host says of itself."""
    return None if accepted is None else {"by": accepted.by, "at": accepted.at.isoformat()}


def settle_key(installation: Installation, asked: str, *, undo: bool, by: str, out: Out) -> int:
    """Accept that a key is an image's, or take that back. Raises UsageFault or NoHostMatched."""
    network, state, now = installation.document().config.network, installation.state, installation.clock.now()
    fingerprint = _fingerprint(state, network, asked)
    done = (unsettle if undo else settle)(state, network, fingerprint, by=by, now=now)
    if out.form in ("json", "ndjson"):
        out.json(
            {
                "fingerprint": fingerprint,
                "hosts": list(done.hosts),
                "settled": None if len(done.hosts) == 1 else settled_json(done.now),
                "accepted": accepted_json(done.now) if len(done.hosts) == 1 else None,
                "before": settled_json(done.before),
            }
        )
    for sentence in _undone(done) if undo else _settled(done):
        out.say(sentence)
    return 0


def _settled(done: Settlement) -> list[str]:
    if len(done.hosts) == 1:
        alone = f"Only {done.hosts[0]} has this key, so there is no shared key to accept."
        if done.now is None:
            return [f"{alone} Its machine has said nothing of itself yet; nothing changed."]
        if done.before is not None:
            return [
                f"{alone} {done.before.by} accepted what its machine says on {done.before.at:%Y-%m-%d}; nothing changed."
            ]
        take_back = f"Take it back: flageemonitor-run hosts settle --undo --key {done.fingerprint}"
        return [alone, "What its machine says of itself is accepted.", take_back]
    if done.before is not None:
        return [f"This key was accepted by {done.before.by} on {done.before.at:%Y-%m-%d}; nothing changed."]
    names = ", ".join(sorted(done.now.image_names)) if done.now else ""
    return [
        f"Accepted: {counted(len(done.hosts), 'host')} share this key, so it proves nothing about them.",
        *([f"Many of them call themselves {names}: that name proves nothing either."] if names else []),
        "A machine that says that it is another terminal of the inventory is still blocked.",
        f"Take it back: flageemonitor-run hosts settle --undo --key {done.fingerprint}",
    ]


def _undone(done: Settlement) -> list[str]:
    if done.before is None:
        return ["This key was not accepted; nothing changed."]
    if len(done.hosts) == 1:
        return [
            f"Taken back what {done.before.by} accepted on {done.before.at:%Y-%m-%d}.",
            f"If the machine of {done.hosts[0]} says that it is another host, changes are blocked again.",
        ]
    return [
        f"Taken back what {done.before.by} accepted on {done.before.at:%Y-%m-%d}.",
        f"This key blocks changes again: {counted(len(done.hosts), 'host')}, unless a machine fits exactly one of them.",
    ]


def _fingerprint(state: State, network: str, asked: str) -> str:
    """The whole fingerprint of a pinned key, from all of it or an unambiguous beginning, with or without ``SHA256:``."""
    text = asked.strip()
    beginning = text if text.startswith(_PREFIX) else f"{_PREFIX}{text}"
    found = fingerprints(state, network, beginning) if len(beginning) > len(_PREFIX) else ()
    if beginning in found:
        return beginning
    if not found:
        advice = "flageemonitor-run doctor lists the keys that hosts share"
        raise NoHostMatched("no_pinned_key", f"no host of {network} has a pinned key {asked}", advice)
    if len(found) > 1:
        raise UsageFault(
            "ambiguous_key", f"several pinned keys begin with {asked}: {', '.join(found)}", "give one of them in full"
        )
    return found[0]
