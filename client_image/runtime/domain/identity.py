"""Whether the machine that answered is the one that the inventory's entry means. Pure; called by process_one once a login.

A pinned key proves that only while no other machine has it. Fleets are cloned from one image, keys included, and DHCP may give
one clone the address of another. So what a machine says of itself counts as well: its host name and the terminal number of its
point of sale, read as the fleet writes names, and its machine id, held against what it was the last time. An entry that none of
these names says nothing (localhost, the image's own name), and what several clones say alike proves nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from contracts.text import all_of, joined, say
from runtime.domain.facts import Facts
from runtime.domain.model import Host
from runtime.domain.names import RoleWords, parse_name

FEW = 3  # names in a sentence
Kind = Literal["", "changed", "another_host", "shared_key", "not_as_before"]


@dataclass(frozen=True, slots=True)
class Claim:
    """What a machine says of itself; empty or None where it says nothing. ``hostname`` in lower case."""

    hostname: str = ""
    machine_id: str = ""
    store: int | None = None
    terminal: int | None = None

    def filled(self, before: Claim | None) -> Claim:
        """With what the same machine said before where it says nothing now: a word that is missing takes none back. The settings
        of a point of sale are often readable to root alone, so a machine says more at one login than at the next."""
        if before is None:
            return self
        same = self.terminal in (None, before.terminal)  # the store of another terminal's number tells nothing
        return Claim(
            self.hostname or before.hostname,
            self.machine_id or before.machine_id,
            before.store if same and self.store is None else self.store,
            before.terminal if same else self.terminal,
        )


@dataclass(frozen=True, slots=True)
class Note:
    """What an operator still has to see about a host's identity."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class Settled:
    """Somebody accepted that a key is that of an image, and so proves nothing. ``image_names``: host names that the image gives
    to its clones, in lower case."""

    by: str
    at: dt.datetime
    image_names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class IdentityRecord:
    """What the local state knows around one login. Each tuple has the first few other entries of the inventory, in lower case.

    ``remembered``: what the machine behind this entry said when it was last known to be the right one; ``accepted``: somebody
    accepted that. ``unasked``: the key was pinned before anybody asked machines who they are. ``same_key``: entries with the same
    key pinned; ``rivals``: those that the machine's own words fit as well and that have the key too, or none yet;
    ``same_machine_id``: whose
    machine is known by the same id; ``id_seen_at``: where that id was met last, rightly or not; ``namesakes``: where the same
    host name was met last, although it does not name them. ``said`` and ``note``: what is stored of the last login, right or
    not.
    """

    fingerprint: str = ""
    remembered: Claim | None = None
    accepted: bool = False
    unasked: bool = False
    same_key: tuple[str, ...] = ()
    rivals: tuple[str, ...] = ()
    same_machine_id: tuple[str, ...] = ()
    id_seen_at: tuple[str, ...] = ()
    namesakes: tuple[str, ...] = ()
    settled: Settled | None = None
    said: Claim | None = None
    note: Note | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that a machine says, and the entries that it fits (lower-case names)."""

    source: Literal["hostname", "point of sale", "machine id"]
    text: str
    entries: frozenset[str]


@dataclass(frozen=True, slots=True)
class Finding:
    """``clear`` is False where a change must not go on. ``what`` and ``advice`` are sentences, empty when there is nothing to
    tell; with a ``kind`` an operator should see them at once."""

    clear: bool
    kind: Kind = ""
    what: str = ""
    advice: str = ""

    @property
    def text(self) -> str:
        return _together(self.what, self.advice)


@dataclass(frozen=True, slots=True)
class EntryIndex:
    """The inventory's entries, found by name, terminal number and place. Made once a run by :func:`entry_index`."""

    named: Mapping[str, Host] = field(default_factory=dict)
    by_terminal: Mapping[int, tuple[Host, ...]] = field(default_factory=dict)
    by_place: Mapping[tuple[str, int], frozenset[str]] = field(default_factory=dict)

    def spelled(self, names: Iterable[str]) -> str:
        """A few names as the inventory writes them."""
        spelled = [self.named[name].name if name in self.named else name for name in names]
        few = ", ".join(spelled[:FEW])
        return say("{names} and others", names=few) if len(spelled) > FEW else few

    def aliases(self, host: Host) -> frozenset[str]:
        """Names of every entry that leads to the same machine, the host's own included."""
        places = self.by_place.get((host.address, host.port), frozenset()) if host.address else frozenset()
        return places | {host.name.lower()}

    def own(self, host: Host) -> frozenset[str]:
        """Those of the aliases that a machine may call itself when it is this host: not one with another terminal's number."""
        return frozenset(
            name
            for name in self.aliases(host)
            if host.terminal is None
            or name == host.name.lower()
            or self.named[name].terminal is None
            or (self.named[name].store, self.named[name].terminal) == (host.store, host.terminal)
        )


def entry_index(entries: Iterable[Host]) -> EntryIndex:
    named: dict[str, Host] = {}
    by_terminal: dict[int, list[Host]] = {}
    by_place: dict[tuple[str, int], set[str]] = {}
    for host in entries:
        named[host.name.lower()] = host
        if host.terminal is not None:
            by_terminal.setdefault(host.terminal, []).append(host)
        if host.address:  # where a run would connect: another address of an entry may be anything, 127.0.0.1 for one
            by_place.setdefault((host.address, host.port), set()).add(host.name.lower())
    return EntryIndex(
        named,
        {number: tuple(hosts) for number, hosts in by_terminal.items()},
        {place: frozenset(names) for place, names in by_place.items()},
    )


def claim_of(facts: Facts) -> Claim:
    return Claim(facts.hostname.lower(), facts.machine_id, facts.pos_store, facts.pos_terminal)


def evidence(host: Host, claim: Claim, around: EntryIndex, words: RoleWords) -> tuple[Evidence, ...]:
    """Which entries the machine's host name and its point of sale name. What fits no entry is no evidence."""
    hostname = say("host name {name}", name=claim.hostname)
    found = (
        Evidence("hostname", hostname, _by_hostname(host, claim.hostname, around, words)),
        Evidence("point of sale", _numbers(claim), _by_number(claim, around)),
    )
    return tuple(one for one in found if one.entries)


def named_by(found: Iterable[Evidence]) -> frozenset[str]:
    """The entries that the machine's host name names."""
    return frozenset().union(*(one.entries for one in found if one.source == "hostname"))


def suspects(host: Host, found: Iterable[Evidence], around: EntryIndex) -> frozenset[str]:
    """Other entries that everything fits which fits this one."""
    mine = around.aliases(host)
    fitting = [one.entries for one in found if one.entries & mine]
    return frozenset.intersection(*fitting) - mine if fitting else frozenset()


def judge(
    host: Host,
    claim: Claim,
    found: tuple[Evidence, ...],
    record: IdentityRecord,
    around: EntryIndex,
    *,
    known: tuple[Evidence, ...],
) -> Finding:
    """``found`` and ``known``: from :func:`evidence`, of the claim and of what is remembered."""
    own = around.own(host)
    change = _change(record.remembered, claim)
    # An image's machine id says nothing against a terminal with a key of its own.
    by_id = _by_machine_id(host, claim, record) if record.same_key or change else ()
    image = record.settled is not None and claim.hostname in record.settled.image_names
    counted = [one for one in (*found, *by_id) if not (image and one.source == "hostname")]
    for one in counted:
        if not one.entries & own:
            return _says_another(host, claim, one, record, change, around, known)
    if not record.same_key:
        return Finding(True, "changed", change, _rekey(host)) if change else Finding(clear=True)
    shared = _shared(record, around)
    proofs = [one for one in counted if not (one.source == "hostname" and record.namesakes)]
    if by_id or (proofs and not record.rivals):
        said = all_of([one.text for one in counted])
        only = say("Only {host} fits the machine's {said}.", host=host.name, said=said)
        kind: Kind = "changed" if change else "" if record.settled else "shared_key"
        return Finding(True, kind, _together(shared, only, change))
    if record.settled is None:
        return _fits_none_or_several(host, claim, record, around)
    if change:  # nothing but the machine's own words could tell it from its clones, and these are not what they were
        what = _together(shared, change, say("It may be another machine."))
        return Finding(False, "not_as_before", what, _rekey(host))
    accepted = say("{who} accepted that on {date}.", who=record.settled.by, date=f"{record.settled.at:%Y-%m-%d}")
    return Finding(True, "", _together(shared, accepted))


def note_of(finding: Finding, before: Note | None) -> Note | None:
    """What stays to be seen after this login. A change stays until somebody accepts it; a doubt until it is gone."""
    if finding.kind and not (finding.clear and finding.kind == "shared_key"):
        return Note(finding.kind, finding.text)
    return before if before is not None and before.kind == "changed" else None


def _says_another(
    host: Host,
    claim: Claim,
    one: Evidence,
    record: IdentityRecord,
    change: str,
    around: EntryIndex,
    known: tuple[Evidence, ...],
) -> Finding:
    text = say(
        "The machine at {address} says that it is {names} ({evidence}), not {host}.",
        address=host.address,
        names=around.spelled(sorted(one.entries)),
        evidence=one.text,
        host=host.name,
    )
    same_place = bool(one.entries & around.aliases(host))
    recognised = any(before.entries & around.own(host) and not before.entries & one.entries for before in known)
    if not (record.same_key or change) and (recognised or _let_pass(claim, one, record, same_place=same_place)):
        what = _together(text, say("No other host is known to have its key."))
        advice = say("Correct the inventory, or what the machine says of itself.")
        return Finding(True, "another_host", what, advice)
    advice = say(
        "Make sure which machine has this address; then correct the inventory, or what the machine says of itself."
    )
    if record.same_key:
        return Finding(False, "another_host", _together(text, _shared(record, around)), advice)
    if same_place:
        both = say("Both have this address in the inventory.")
        return Finding(False, "another_host", _together(text, both, change), advice)
    why = change or say("It was never recognised as {host}, so its host key proves nothing.", host=host.name)
    accept = say("If it is the right one: flageemonitor-run hosts settle --key {key}", key=record.fingerprint)
    return Finding(False, "another_host", _together(text, why), _together(advice, accept))


def _let_pass(claim: Claim, one: Evidence, record: IdentityRecord, *, same_place: bool) -> bool:
    """Whether the machine may go on calling itself another one: somebody accepted just that, or its key was trusted before
    anybody asked, and it has said so since it was first asked."""
    before = record.remembered
    unasked = record.unasked and not same_place
    if before is None:
        return unasked
    if one.source == "hostname":
        said_before = claim.hostname == before.hostname
    else:
        said_before = (claim.store, claim.terminal) == (before.store, before.terminal)
    return said_before and (record.accepted or unasked)


def _rekey(host: Host) -> str:
    return say("If it was renamed or installed again on purpose: flageemonitor-run hosts rekey {host}", host=host.name)


def _fits_none_or_several(host: Host, claim: Claim, record: IdentityRecord, around: EntryIndex) -> Finding:
    parts = (
        say("host name {name}", name=claim.hostname) if claim.hostname else say("no host name"),
        say("machine id {id}…", id=claim.machine_id[:8]) if claim.machine_id else say("no machine id"),
        _numbers(claim),
    )
    said = joined(filter(None, parts))
    also = record.rivals or record.namesakes or record.same_machine_id or record.id_seen_at
    own_keys = say("Give every terminal its own host key or host name.")
    cloned = say(
        "If they were cloned from one image: flageemonitor-run hosts settle --key {key}", key=record.fingerprint
    )
    if not also:
        fits = say("What this machine says of itself ({said}) fits no single host of the inventory.", said=said)
        return Finding(False, "shared_key", _together(_shared(record, around), fits), _together(own_keys, cloned))
    fits = say(
        "What this machine says of itself ({said}) fits {others} as well.", said=said, others=around.spelled(also)
    )
    again = say(
        "If addresses were just corrected, log in to these hosts again: flageemonitor-run test_endpoint_connection."
    )
    return Finding(False, "shared_key", _together(_shared(record, around), fits), _together(again, own_keys, cloned))


def _shared(record: IdentityRecord, around: EntryIndex) -> str:
    names = around.spelled(record.same_key)
    return say("The host key {key} is also that of {hosts}.", key=record.fingerprint, hosts=names)


def _together(*sentences: str) -> str:
    """Those that say something, one after the other."""
    return joined(filter(None, sentences), " ")


def _change(before: Claim | None, now: Claim) -> str:
    """What a machine says differently than the last time, as a sentence. A word that is missing says nothing."""
    if before is None:
        return ""
    parts = []
    if _differs(before.hostname, now.hostname):
        parts.append(say("the host name was {old} and is {new}", old=before.hostname, new=now.hostname))
    if _differs(before.machine_id, now.machine_id):
        parts.append(say("the machine id was {old} and is {new}", old=before.machine_id, new=now.machine_id))
    if _differs(before.store, now.store):
        text = say("the store number of its point of sale was {old} and is {new}", old=before.store, new=now.store)
        parts.append(text)
    if _differs(before.terminal, now.terminal):
        text = say(
            "the terminal number of its point of sale was {old} and is {new}", old=before.terminal, new=now.terminal
        )
        parts.append(text)
    return say("Behind the same host key {changes}.", changes=all_of(parts)) if parts else ""


def _differs(old: str | int | None, new: str | int | None) -> bool:
    """Of two words that both say something."""
    return old not in ("", None) and new not in ("", None) and old != new


def _by_hostname(host: Host, hostname: str, around: EntryIndex, words: RoleWords) -> frozenset[str]:
    for name in (hostname, hostname.split(".", 1)[0]):
        if name in around.named:
            return frozenset({name})
    short = hostname.split(".", 1)[0]
    # Machines often leave the network out of their own name: pdv201.
    for name in (short, f"{host.network}-{short}") if short else ():
        said = parse_name(name, words)
        if said.terminal is not None:
            return frozenset(
                other.name.lower()
                for other in around.by_terminal.get(said.terminal, ())
                if said.store in (None, other.store) and said.role in (other.role, parse_name(other.name, words).role)
            )
    return frozenset()


def _by_number(claim: Claim, around: EntryIndex) -> frozenset[str]:
    if claim.terminal is None:
        return frozenset()
    there = around.by_terminal.get(claim.terminal, ())
    return frozenset(other.name.lower() for other in there if claim.store in (None, other.store))


def _numbers(claim: Claim) -> str:
    if claim.terminal is None:
        return ""
    if claim.store is None:
        return say("terminal {terminal} in the settings of its point of sale", terminal=claim.terminal)
    return say(
        "store {store} terminal {terminal} in the settings of its point of sale",
        store=claim.store,
        terminal=claim.terminal,
    )


def _by_machine_id(host: Host, claim: Claim, record: IdentityRecord) -> tuple[Evidence, ...]:
    """An id fits this entry when its machine had it before and no other was ever met with it; it fits another when that one's
    machine alone is known by it."""
    if not claim.machine_id:
        return ()
    owner = ""
    if record.remembered is not None and record.remembered.machine_id == claim.machine_id:
        owner = "" if record.same_machine_id or record.id_seen_at else host.name.lower()
    elif len(record.same_machine_id) == 1:
        owner = record.same_machine_id[0]
    text = say("machine id {id}…", id=claim.machine_id[:8])
    return (Evidence("machine id", text, frozenset({owner})),) if owner else ()
