"""One attempt to log in: one host, one credential, one set of algorithms. Called by the remote, which knows what to try next."""

from __future__ import annotations

import asyncio

from contracts.config import Ssh
from runtime.adapters.ssh import failures
from runtime.adapters.ssh.algorithms import LEGACY, MODERN, Profile, missing, read_offer
from runtime.adapters.ssh.client import Client
from runtime.adapters.ssh.library import asyncssh
from runtime.domain.errors import HostError
from runtime.domain.model import Host
from runtime.domain.ports import PinnedKey

KEEPALIVE_S = 15


async def log_in(
    host: Host, user: str, client: Client, profile: Profile, pinned: PinnedKey | None, ssh: Ssh
) -> asyncssh.SSHClientConnection:
    """The open connection. Raises HostError; its reason is no_common_algorithm only when the server's offer proves it."""
    host_keys = profile.host_keys if pinned is None else profile.host_keys_from(pinned.algorithm)
    try:
        begun = asyncio.get_running_loop().time()
        async with asyncio.timeout_at(begun + failures.connect_limit(ssh.connect_timeout)) as limit:
            client.connected = lambda: limit.reschedule(begun + ssh.connect_timeout)
            return await asyncssh.connect(
                host.address,
                host.port,
                client_factory=lambda: client,
                username=user,
                kex_algs=profile.kex,
                server_host_key_algs=host_keys,
                encryption_algs=profile.ciphers,
                mac_algs=profile.macs,
                compression_algs=None,
                keepalive_interval=KEEPALIVE_S,
                login_timeout=0,
                utf8_decode_errors="replace",  # banners in Latin-1
                # Nothing of this machine takes part: no files, no agent, no default keys, no host based login.
                config=None,
                known_hosts=([], [], []),
                client_keys=None,
                agent_path=None,
                host_based_auth=False,
                gss_host=None,
                x509_trusted_certs=None,
                x509_trusted_cert_paths=[],
                preferred_auth=("publickey", "password", "keyboard-interactive"),
            )
    except TimeoutError:
        raise failures.timed_out(host, client, user, ssh.connect_timeout) from None
    except (asyncssh.Error, OSError, ValueError) as error:
        raise _explain(host, user, client, profile, pinned, ssh, error) from error


def needs_of(client: Client) -> tuple[str, ...]:
    """The old algorithms that a connected server needs, as in SshNotes; empty when the modern set would do."""
    offer = read_offer(client.server_offer)
    if offer is None or client.presented is None:
        return ()
    return missing(offer, MODERN, client.presented.algorithm)


def _explain(
    host: Host, user: str, client: Client, profile: Profile, pinned: PinnedKey | None, ssh: Ssh, error: Exception
) -> HostError:
    offer, shown = read_offer(client.server_offer), client.presented
    if pinned and offer and shown and shown != pinned:
        still_has_that_type = set(LEGACY.host_keys_of(pinned.algorithm)) & set(offer.host_keys)
        if shown.algorithm == pinned.algorithm or not still_has_that_type:
            return failures.changed_key(host, pinned, shown)
    if isinstance(error, asyncssh.HostKeyNotVerifiable) and pinned is None and shown:
        return failures.unknown_key(host, shown)
    lacks = missing(offer, profile, pinned.algorithm if pinned else None) if offer else ()
    if lacks:
        return failures.no_common_algorithm(host, lacks, legacy_refused=ssh.legacy_algorithms == "refuse")
    return failures.failure(host, client, user, error)
