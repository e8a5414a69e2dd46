"""Which share of a provider's hosts actions may touch. Pure arithmetic on a stable identity; called by the rollout gate.

``h = blake2b("<salt>:<identity>", 8 bytes)`` as a big-endian integer, ``bucket = h * 10000 >> 64``, in when the bucket is below
the share in basis points. So raising a share never drops a host, and a new address, user or visible name never moves one.
"""

from __future__ import annotations

import hashlib
from decimal import Decimal

from contracts.config import Rollout
from contracts.text import joined, say
from runtime.domain.listed import listed_as
from runtime.domain.machines import same_as
from runtime.domain.model import Allow, Deny, Host, Outcome, Reason, Verdict
from runtime.domain.names import host_key
from runtime.domain.once import once_for

BUCKETS = 10_000


def basis_points(percent: Decimal) -> int:
    """Hundredths of a percent, within 0 and 10000; what lies between two is cut, never rounded up."""
    if not percent.is_finite():
        return 0
    return max(0, min(BUCKETS, int(percent * 100)))


def bucket(salt: str, identity: str) -> int:
    """0 to 9999. Test vectors: tests/contract/rollout_vectors.json."""
    digest = hashlib.blake2b(f"{salt}:{identity}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") * BUCKETS >> 64


def in_force(said: Rollout | None, default: Decimal) -> Rollout:
    """A network's rollout of a provider, with the provider's own share where the network does not say one.

    Pilots without a share are the only ones in: whoever names them means to begin with them.
    """
    if said is None:
        return Rollout(percent=default)
    if said.percent is not None:
        return said
    return said.model_copy(update={"percent": Decimal(0) if said.pilot else default})


def decide(rollout: Rollout, provider: str, host: Host) -> Verdict:
    """``never`` wins over ``pilot``, and both over the share. ``provider`` is the salt unless the rollout names its own.

    A share that nobody named (see :func:`in_force`) is 0.
    """
    if isinstance(denied := never(rollout, provider, host), Deny):
        return denied
    if rollout.pilot and host_key(host.name) in _keys(rollout.pilot):
        return Allow(say("pilot host of {provider}'s rollout", provider=provider))
    percent = Decimal(0) if rollout.percent is None else rollout.percent
    share = basis_points(percent)
    drawn = bucket(provider if rollout.salt is None else rollout.salt, host.identity)
    place = say(
        "{provider} is rolled out to {percent} %: bucket {bucket} of {buckets}",
        provider=provider,
        percent=percent,
        bucket=drawn,
        buckets=BUCKETS,
    )
    if drawn < share:
        return Allow(say("{bucket} is below {share}", bucket=place, share=share))
    return _out(say("{bucket} is not below {share}", bucket=place, share=share))


def never(rollout: Rollout, provider: str, host: Host) -> Verdict:
    """Whether the list that protects says the host, by any entry of its machine."""
    entry = listed_as(host, rollout.never)
    if entry is None:
        return Allow()
    text = say("on the never list of {provider}'s rollout", provider=provider)
    return _out(text if entry == host else joined((same_as(host, entry), text)))


def _out(message: str) -> Deny:
    return Deny(Outcome.SKIPPED, Reason.ROLLOUT_EXCLUDED, message)


@once_for(64)
def _keys(names: tuple[str, ...]) -> frozenset[tuple[str | int, ...]]:
    return frozenset(host_key(name) for name in names)
