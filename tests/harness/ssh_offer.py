"""What an SSH server of a test offers: host key types and algorithms, from today's defaults to what 2009 had.

Called by `sshd` and `terminals`, which turn it into an sshd_config, and by tests that choose one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.harness.need import need_program
from tests.harness.process import run


@dataclass(frozen=True, slots=True)
class Offer:
    """Host key types as ssh-keygen names them, and lines for sshd_config. The legacy ones know no client key but RSA."""

    host_keys: tuple[str, ...] = ("ed25519",)
    lines: tuple[str, ...] = ()


_OLD = (
    "KexAlgorithms diffie-hellman-group1-sha1",
    "Ciphers aes128-cbc",
    "MACs hmac-sha1",
    "PubkeyAcceptedAlgorithms ssh-rsa",
)

MODERN = Offer()
LEGACY_RSA = Offer(host_keys=("rsa",), lines=(*_OLD, "HostKeyAlgorithms ssh-rsa"))
LEGACY_DSS = Offer(host_keys=("dsa",), lines=(*_OLD, "HostKeyAlgorithms ssh-dss"))


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An SSH key without passphrase: the private half in a file, the public half as one line."""

    path: Path
    public: str


def key_pair(folder: Path, kind: str = "ed25519", name: str | None = None) -> KeyPair:
    """A new key of `kind` (rsa, dsa, ecdsa, ed25519) in `folder/name`."""
    path = folder / (name or f"id_{kind}")
    size = ["-b", "2048"] if kind == "rsa" else []
    run([need_program("ssh-keygen", "openssh-client"), "-q", "-t", kind, *size, "-N", "", "-C", "harness", "-f", path])
    return KeyPair(path, path.with_name(path.name + ".pub").read_text().strip())


def sshd_config(offer: Offer, key_folder: Path, *, port: int, further: Sequence[str]) -> str:
    """Text of an sshd_config; the offer's lines come first, and in sshd the first word counts."""
    keys = [f"HostKey {key_folder}/ssh_host_{kind}_key" for kind in offer.host_keys]
    return "\n".join([*offer.lines, *further, f"Port {port}", *keys, "Subsystem sftp internal-sftp", ""])
