"""Two sets of SSH algorithms, and what keeps a server from agreeing on one of them. Pure; called by the login.

Every host is first met with the modern set. Only when its own offer proves that this cannot work is the legacy set tried: the
same algorithms, then the old ones behind them, so that an old server is never given less than it can do.
"""

from __future__ import annotations

from dataclasses import dataclass

RSA = ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa")


@dataclass(frozen=True, slots=True)
class Profile:
    """Algorithm names by category, the preferred first."""

    name: str
    kex: tuple[str, ...]
    host_keys: tuple[str, ...]
    ciphers: tuple[str, ...]
    macs: tuple[str, ...]

    def host_keys_of(self, algorithm: str) -> tuple[str, ...]:
        """Signature names under which a key of this type may be used."""
        names = RSA if algorithm == "ssh-rsa" else (algorithm,)
        return tuple(name for name in names if name in self.host_keys)

    def host_keys_from(self, algorithm: str) -> tuple[str, ...]:
        """All host key names, those of this type first: a server that still has the pinned key then shows that one."""
        first = self.host_keys_of(algorithm)
        return first + tuple(name for name in self.host_keys if name not in first)


MODERN = Profile(
    "modern",
    # P-256 first: OpenSSH computes curve25519 in portable C, P-256 with OpenSSL's assembler. As safe, and a tenth less of what a
    # login costs a terminal.
    kex=(
        "ecdh-sha2-nistp256",
        "curve25519-sha256",
        "curve25519-sha256@libssh.org",
        "ecdh-sha2-nistp384",
        "ecdh-sha2-nistp521",
        "diffie-hellman-group14-sha256",
        "diffie-hellman-group16-sha512",
        "diffie-hellman-group-exchange-sha256",
    ),
    host_keys=(
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "rsa-sha2-512",
        "rsa-sha2-256",
    ),
    ciphers=(
        "aes128-gcm@openssh.com",
        "aes256-gcm@openssh.com",
        "aes128-ctr",
        "aes192-ctr",
        "aes256-ctr",
        "chacha20-poly1305@openssh.com",
    ),
    macs=(
        "hmac-sha2-256-etm@openssh.com",
        "hmac-sha2-512-etm@openssh.com",
        "hmac-sha2-256",
        "hmac-sha2-512",
    ),
)
LEGACY = Profile(
    "legacy",
    # A group exchange costs half a second of computing that stops every other host: the fixed groups of 2048 bits come first.
    kex=(
        *MODERN.kex[:-1],
        "diffie-hellman-group14-sha1",
        MODERN.kex[-1],
        "diffie-hellman-group-exchange-sha1",
        "diffie-hellman-group1-sha1",
    ),
    host_keys=(*MODERN.host_keys, "ssh-rsa", "ssh-dss"),
    ciphers=(*MODERN.ciphers, "aes128-cbc", "aes192-cbc", "aes256-cbc", "3des-cbc", "blowfish-cbc"),
    macs=(*MODERN.macs, "hmac-sha1-etm@openssh.com", "hmac-sha1", "hmac-md5", "hmac-sha1-96", "hmac-md5-96"),
)


@dataclass(frozen=True, slots=True)
class Offer:
    """What a server offers; ciphers and MACs for each direction."""

    kex: tuple[str, ...]
    host_keys: tuple[str, ...]
    ciphers: tuple[tuple[str, ...], tuple[str, ...]]
    macs: tuple[tuple[str, ...], tuple[str, ...]]


def read_offer(payload: bytes) -> Offer | None:
    """The payload of a server's key exchange message (RFC 4253, 7.1), None when it is not a whole one."""
    lists: list[tuple[str, ...]] = []
    at = 17  # message number and cookie
    for _ in range(6):
        size = int.from_bytes(payload[at : at + 4], "big")
        text = payload[at + 4 : at + 4 + size]
        if len(payload) < at + 4 or len(text) < size:
            return None
        lists.append(tuple(text.decode("ascii", "replace").split(",")))
        at += 4 + size
    kex = tuple(
        name for name in lists[0] if not name.startswith(("ext-info-", "kex-strict-"))
    )  # flags that travel with them
    return Offer(kex, lists[1], (lists[2], lists[3]), (lists[4], lists[5]))


def missing(offer: Offer, profile: Profile, pinned: str | None = None) -> tuple[str, ...]:
    """The categories in which the profile has nothing that the server offers, each as "what: the server's names".

    ``pinned``: type of the key that the server has to show.
    """
    lacks = []
    if not _common(profile.kex, offer.kex):
        lacks.append(("key exchange", offer.kex))
    if not _common(profile.host_keys_of(pinned) if pinned else profile.host_keys, offer.host_keys):
        lacks.append(("host key", offer.host_keys))
    for ciphers, macs in zip(offer.ciphers, offer.macs, strict=True):
        cipher = _common(profile.ciphers, ciphers)
        if not cipher:
            lacks.append(("cipher", ciphers))
        elif not _carries_its_own_mac(cipher) and not _common(profile.macs, macs):
            lacks.append(("mac", macs))
    return tuple(dict.fromkeys(f"{what}: {','.join(names)}" for what, names in lacks))


def _common(ours: tuple[str, ...], theirs: tuple[str, ...]) -> str:
    return next((name for name in ours if name in theirs), "")


def _carries_its_own_mac(cipher: str) -> bool:
    return "gcm" in cipher or "poly1305" in cipher
