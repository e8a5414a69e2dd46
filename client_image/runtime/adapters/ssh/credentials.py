"""Which credentials a host is offered, and private keys read once. Called by the login."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from contracts.config import Credential
from contracts.secret import Secret
from contracts.text import say
from runtime.adapters.ssh.library import asyncssh
from runtime.domain.errors import Permanent
from runtime.domain.model import Host, Outcome, Reason

TRIED_AT_MOST = 3


def candidates(host: Host, configured: Sequence[Credential], *, pinned: bool, accepted: str) -> tuple[Credential, ...]:
    """In the order of trying, at least one. A host that answers for the first time is shown one credential only, never the list:
    its own. What names hosts goes before what names stores, providers, and nothing; among equals the document's order counts.

    ``accepted``: id of the one that worked the last time, which comes first. Raises Permanent when none is for this host.
    """
    if host.credential is not None:
        return (host.credential,)
    matching = sorted((credential for credential in configured if _is_for(credential, host)), key=_breadth)
    if not matching:
        text = say(
            "no credential is configured for {host}: add one to credentials whose match_* fit it", host=host.name
        )
        raise Permanent(Outcome.UNREACHABLE, Reason.NO_CREDENTIAL, text)
    if not pinned:
        return (matching[0],)
    matching.sort(key=lambda credential: credential.id != accepted)
    return tuple(matching[:TRIED_AT_MOST])


def _breadth(credential: Credential) -> tuple[bool, bool, bool]:
    return (not credential.match_hosts, not credential.match_stores, not credential.match_providers)


def _is_for(credential: Credential, host: Host) -> bool:
    return (
        (not credential.match_providers or host.provider in credential.match_providers)
        and (not credential.match_stores or host.store in credential.match_stores)
        and (not credential.match_hosts or host.name.lower() in (name.lower() for name in credential.match_hosts))
    )


class KeyRing:
    """Private keys by their text. Reading one costs much when it has a passphrase, so it is done once, beside the event loop."""

    def __init__(self) -> None:
        self._keys: dict[tuple[Secret, Secret | None], asyncssh.SSHKey] = {}
        self._lock = asyncio.Lock()

    async def pairs(self, credential: Credential, *, old_signatures: bool) -> list[asyncssh.SSHKeyPair]:
        """The credential's key, ready to be offered; empty when it has none. Raises Permanent when it cannot be read.

        ``old_signatures``: an RSA key a second time, with SHA-1, for servers that announce what they then refuse.
        """
        if credential.private_key is None:
            return []
        wanted = (credential.private_key, credential.passphrase)
        async with self._lock:
            if wanted not in self._keys:
                self._keys[wanted] = await asyncio.to_thread(_read, credential.id, *wanted)
        # New pairs for every login, because the login writes the signature that it has chosen into them.
        key = self._keys[wanted]
        pairs = list(asyncssh.load_keypairs([key, key] if old_signatures and key.algorithm == b"ssh-rsa" else [key]))
        for pair in pairs[1:]:
            pair.sig_algorithms = (b"ssh-rsa",)
        return pairs


def _read(name: str, text: Secret, passphrase: Secret | None) -> asyncssh.SSHKey:
    try:
        return asyncssh.import_private_key(text.reveal(), passphrase.reveal() if passphrase else None)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        message = say(
            "the private key of credential {credential} cannot be read: {why}", credential=name, why=str(error)
        )
        raise Permanent(Outcome.UNREACHABLE, Reason.NO_CREDENTIAL, message) from None
