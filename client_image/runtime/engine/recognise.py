"""Ask, judge and remember who answered at a host's address. Called by process_one once a login, with the first facts."""

from __future__ import annotations

from runtime.domain import identity
from runtime.domain.facts import Facts
from runtime.domain.identity import EntryIndex, Finding
from runtime.domain.model import Host
from runtime.domain.names import RoleWords
from runtime.domain.ports import IdentityBook


async def recognise(
    host: Host, facts: Facts, book: IdentityBook, around: EntryIndex, words: RoleWords, *, reads: bool
) -> Finding:
    """``reads``: nothing can be changed on the host, so what it says of itself may be written together with its result. Raises
    StateUnavailable."""
    claim, mine = identity.claim_of(facts), around.aliases(host)
    found = identity.evidence(host, claim, around, words)
    record = await book.record(
        host,
        claim,
        other=lambda name: name in around.named and name not in mine,
        named=identity.named_by(found),
        suspects=identity.suspects(host, found, around),
    )
    if not record.same_key:  # one key, one machine: what it said the last time still holds where it says nothing now
        claim = claim.filled(record.said)
        found = identity.evidence(host, claim, around, words)
    known = identity.evidence(host, record.remembered, around, words) if record.remembered else ()
    finding = identity.judge(host, claim, found, record, around, known=known)
    await book.remember(host, claim, finding, record, at_once=not reads)
    return finding
