"""Who answers at the hosts' addresses: `hosts settle`, and what `hosts` and `doctor` tell of shared keys and changed machines."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from contracts.text import Text, joined, plural, say, some_of
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
from runtime.cli.text import hosts as in_words
from runtime.domain.errors import NoHostMatched, UsageFault
from runtime.domain.identity import EntryIndex, Settled, entry_index
from runtime.domain.model import Host

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
        words: list[str] = [say("identity: see doctor")] if self._note(name) else []
        if shared:
            text = plural("host key shared by {n} host", "host key shared by {n} hosts", len(shared.hosts))
            words.insert(0, say("{text}, accepted", text=text) if shared.settled else text)
        return joined(words)

    def lines(self, zone: dt.tzinfo) -> list[Line]:
        """What `doctor` tells: every shared key, then the first notes. ``zone``: of its times."""
        found = [self._key_line(key, zone) for key in self._shared]
        noted = [
            name for name in sorted(self._said) if self._is_listed(name) and self._note(name) not in ("", _UNCLEAR)
        ]
        found += [Line(False, joined((self._spelled(name), self._text(name)), ": ")) for name in noted[:NOTES_SHOWN]]
        if len(noted) > NOTES_SHOWN:
            text = plural(
                "and {n} more host whose identity is in doubt",
                "and {n} more hosts whose identity is in doubt",
                len(noted) - NOTES_SHOWN,
            )
            found.append(Line(False, text, "flageemonitor-run hosts --output json"))
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
        text = say(
            "{number} hosts share the host key {key}: {names}",
            number=len(key.hosts),
            key=key.fingerprint,
            names=some_of([self._spelled(name) for name in key.hosts], SHOWN),
        )
        if key.settled is not None:
            at = f"{key.settled.at.astimezone(zone):%Y-%m-%d %H:%M %Z}"
            return Line(True, say("{text}. {who} accepted that on {time}.", text=text, who=key.settled.by, time=at))
        text = say(
            "{text}. Changes are blocked where host name, machine id and terminal number do not fit exactly one of them.",
            text=text,
        )
        command = f"flageemonitor-run hosts settle --key {key.fingerprint}"
        return Line(False, text, say("cloned from one image? {command}", command=command))

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


def settle_key(network: str, state: State, now: dt.datetime, asked: str, *, undo: bool, by: str, out: Out) -> int:
    """Accept that a key is an image's, or take that back. Raises UsageFault or NoHostMatched."""
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


def _settled(done: Settlement) -> list[Text]:
    undo = say("To undo: {command}", command=f"flageemonitor-run hosts settle --undo --key {done.fingerprint}")
    if len(done.hosts) == 1:
        alone = say("Only {host} has this key, so there is no shared key to accept.", host=done.hosts[0])
        if done.now is None:
            return [alone, say("Its machine has not reported an identity yet; nothing changed.")]
        if done.before is not None:
            by, at = done.before.by, f"{done.before.at:%Y-%m-%d}"
            text = say(
                "The identity that its machine reports was accepted by {who} on {date}; nothing changed.",
                who=by,
                date=at,
            )
            return [alone, text]
        return [alone, say("The identity that its machine reports is accepted."), undo]
    if done.before is not None:
        by, at = done.before.by, f"{done.before.at:%Y-%m-%d}"
        return [say("This key was accepted by {who} on {date}; nothing changed.", who=by, date=at)]
    names = ", ".join(sorted(done.now.image_names)) if done.now else ""
    return [
        say("Accepted: {hosts} share this key, so it proves nothing about them.", hosts=in_words(len(done.hosts))),
        *([say("Many of them report the host name {names}: it proves nothing either.", names=names)] if names else []),
        say("A machine that identifies itself as another terminal of the inventory is still blocked."),
        undo,
    ]


def _undone(done: Settlement) -> list[Text]:
    if done.before is None:
        return [say("This key was not accepted; nothing changed.")]
    by, at = done.before.by, f"{done.before.at:%Y-%m-%d}"
    undone = say("Undone: what {who} accepted on {date}.", who=by, date=at)
    if len(done.hosts) == 1:
        text = say(
            "If the machine of {host} reports that it is another host, changes are blocked again.", host=done.hosts[0]
        )
        return [undone, text]
    text = say(
        "This key blocks changes again: {hosts}, unless a machine fits exactly one of them.",
        hosts=in_words(len(done.hosts)),
    )
    return [undone, text]


def _fingerprint(state: State, network: str, asked: str) -> str:
    """The whole fingerprint of a pinned key, from all of it or an unambiguous beginning, with or without ``SHA256:``."""
    text = asked.strip()
    beginning = text if text.startswith(_PREFIX) else f"{_PREFIX}{text}"
    found = fingerprints(state, network, beginning) if len(beginning) > len(_PREFIX) else ()
    if beginning in found:
        return beginning
    if not found:
        advice = say("flageemonitor-run doctor lists the keys that hosts share")
        text = say("no host of {network} has a pinned key {asked}", network=network, asked=asked)
        raise NoHostMatched("no_pinned_key", text, advice)
    if len(found) > 1:
        text = say("several pinned keys begin with {asked}: {keys}", asked=asked, keys=", ".join(found))
        raise UsageFault("ambiguous_key", text, say("give one of them in full"))
    return found[0]
