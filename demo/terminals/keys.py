"""Keys and passwords of simulated terminals: made once in a run's folder, and found there again by the next run.

Called by `server`. A pinned host key stays right between runs until it is rotated on purpose. Nothing secret is in the
repository: passwords are random, and `credentials.json` (0600) is what a customer would have noted down.
"""

import json
import secrets
from collections.abc import Mapping
from pathlib import Path

import asyncssh
from pydantic import SecretStr

from demo.terminals.profiles import Behaviour, Profile


def host_key(folder: Path, name: str, kind: str) -> asyncssh.SSHKey:
    """The host key `name` of the algorithm `kind` (`ssh-ed25519`, `ssh-rsa`), made at the first call."""
    return _key(folder / "keys" / f"host-{name}-{kind}", kind)


def rotate(folder: Path, name: str) -> None:
    """Forget the host keys of `name`: the next start makes new ones, as a reinstalled terminal would have."""
    for path in (folder / "keys").glob(f"host-{name}-ssh-*"):
        path.unlink()


def client_key(folder: Path) -> Path:
    """Private key (OpenSSH format) that opens the terminals of `auth: key`."""
    path = folder / "keys" / "client-ssh-ed25519"
    _key(path, "ssh-ed25519")
    return path


def client_public_data(folder: Path) -> bytes:
    """The public half of `client_key`, as it comes over the wire."""
    return _key(client_key(folder), "ssh-ed25519").public_data


def _key(path: Path, kind: str) -> asyncssh.SSHKey:
    if path.exists():
        return asyncssh.read_private_key(path)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    key = asyncssh.generate_private_key(kind, comment="simulated terminal")
    _write_private(path, key.export_private_key())
    return key


class Credentials:
    """What the customer noted down: a password, or the one client key, by name (a terminal's id, or 'fleet')."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "credentials.json"
        self._folder = folder
        self._noted: dict[str, dict[str, str]] = json.loads(self.path.read_bytes()) if self.path.exists() else {}

    def note(self, wanted: Mapping[str, Profile]) -> None:
        """Make what is missing and write `credentials.json`: name → {user, password} or {user, key: path}."""
        noted = {}
        for name, profile in wanted.items():
            if profile.auth == "key":
                entry = {"key": str(client_key(self._folder))}
            else:
                entry = {"password": self._noted.get(name, {}).get("password") or secrets.token_urlsafe(12)}
            noted[name] = {"user": profile.user, **entry}
        self._noted = noted
        _write_private(self.path, json.dumps(noted, indent=1).encode())

    def noted(self, name: str) -> SecretStr:
        """The password as the customer has it; empty where a key opens."""
        return SecretStr(self._noted[name].get("password", ""))

    def opens(self, name: str, profile: Profile, user: str, password: str) -> bool:
        """Whether what is called `name` lets `user` in with `password`."""
        if profile.behaviour is Behaviour.WRONG_PASSWORD or user != profile.user:
            return False
        right = self.noted(name).get_secret_value()
        return bool(right) and secrets.compare_digest(password.encode(), right.encode())


def _write_private(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)
