"""What keeps a server from agreeing, read from its own offer."""

import pytest

from runtime.adapters.ssh.algorithms import LEGACY, MODERN, Offer, missing, read_offer
from runtime.domain.ports import PinnedKey


def offer(
    kex: str = "curve25519-sha256",
    host_keys: str = "ssh-ed25519",
    ciphers: str = "aes128-ctr",
    macs: str = "hmac-sha2-256",
    back: tuple[str, str] | None = None,
) -> Offer:
    def names(text: str) -> tuple[str, ...]:
        return tuple(text.split(","))

    ciphers_back, macs_back = back or (ciphers, macs)
    return Offer(names(kex), names(host_keys), (names(ciphers), names(ciphers_back)), (names(macs), names(macs_back)))


OLD = {
    "OpenSSH 5.3": (
        offer(
            "diffie-hellman-group-exchange-sha256,diffie-hellman-group-exchange-sha1,diffie-hellman-group14-sha1",
            "ssh-rsa,ssh-dss",
            "aes128-ctr,aes128-cbc",
            "hmac-md5,hmac-sha1",
        ),
        ("host key: ssh-rsa,ssh-dss", "mac: hmac-md5,hmac-sha1"),
    ),
    "only group1": (
        offer("diffie-hellman-group1-sha1", "ssh-dss", "3des-cbc", "hmac-md5"),
        (
            "key exchange: diffie-hellman-group1-sha1",
            "host key: ssh-dss",
            "cipher: 3des-cbc",
        ),
    ),
    "old in one direction": (offer(back=("aes128-cbc", "hmac-sha2-256")), ("cipher: aes128-cbc",)),
    "a cipher with its own mac": (offer(ciphers="aes256-gcm@openssh.com", macs="hmac-md5"), ()),
    "of today": (offer(), ()),
}


@pytest.mark.parametrize(("server", "lacks"), OLD.values(), ids=OLD)
def test_what_the_modern_set_lacks_is_named(server: Offer, lacks: tuple[str, ...]) -> None:
    assert missing(server, MODERN) == lacks
    assert missing(server, LEGACY) == ()


def test_the_pinned_key_must_be_usable() -> None:
    both = offer(host_keys="ssh-rsa,ecdsa-sha2-nistp256")
    assert missing(both, MODERN) == ()
    assert missing(both, MODERN, "ssh-rsa") == ("host key: ssh-rsa,ecdsa-sha2-nistp256",)
    assert missing(both, LEGACY, "ssh-rsa") == ()


def test_the_type_of_the_pinned_key_comes_first() -> None:
    assert MODERN.host_keys_from("ssh-rsa")[:2] == ("rsa-sha2-512", "rsa-sha2-256")
    assert LEGACY.host_keys_from("ssh-rsa")[:3] == ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa")
    assert set(LEGACY.host_keys_from("ssh-dss")) == set(LEGACY.host_keys)


def test_the_legacy_set_prefers_everything_modern_and_avoids_the_slow_group_exchange() -> None:
    for ours, theirs in (
        (LEGACY.host_keys, MODERN.host_keys),
        (LEGACY.ciphers, MODERN.ciphers),
        (LEGACY.macs, MODERN.macs),
    ):
        assert ours[: len(theirs)] == theirs
    kex = LEGACY.kex
    assert kex.index("diffie-hellman-group14-sha1") < kex.index("diffie-hellman-group-exchange-sha1")
    assert kex[-1] == "diffie-hellman-group1-sha1"


def kexinit(*lists: str) -> bytes:
    return bytes(17) + b"".join(len(names).to_bytes(4, "big") + names.encode() for names in lists)


def test_an_offer_is_read_from_the_wire() -> None:
    payload = kexinit(
        "k1,k2,ext-info-s,kex-strict-s-v00@openssh.com", "h", "c1", "c2", "m1", "m2", "none", "none", "", ""
    ) + bytes(5)
    assert read_offer(payload) == Offer(("k1", "k2"), ("h",), (("c1",), ("c2",)), (("m1",), ("m2",)))


@pytest.mark.parametrize("size", range(0, 45, 3))
def test_a_truncated_offer_counts_as_no_offer(size: int) -> None:
    assert read_offer(kexinit("k1,k2", "h", "c1", "c2", "m1", "m2")[:size]) is None


def test_a_fingerprint_is_what_ssh_keygen_shows() -> None:
    text = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
    assert PinnedKey(text).algorithm == "ssh-ed25519"
    assert PinnedKey(text).fingerprint == "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"
