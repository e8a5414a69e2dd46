"""Logging in to hosts: allowed networks, host keys, credentials, old servers. The engine's ``Remote``; built by main."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import logging
import os
import warnings
from collections.abc import AsyncIterator, Sequence
from weakref import WeakValueDictionary

from cryptography.utils import CryptographyDeprecationWarning

from contracts.address import parse_address
from contracts.config import Credential, Ssh
from contracts.text import say
from runtime.adapters.ssh.algorithms import LEGACY, MODERN, Profile
from runtime.adapters.ssh.client import Client
from runtime.adapters.ssh.credentials import KeyRing, candidates
from runtime.adapters.ssh.login import log_in, needs_of
from runtime.adapters.ssh.session import SshSession
from runtime.domain.errors import HostError, Permanent, Transient
from runtime.domain.model import Host, Outcome, Reason
from runtime.domain.ports import HostBook, PinnedKey, SshNotes

_ANOTHER_MAY_PASS = {Reason.AUTH_FAILED, Reason.PASSWORD_EXPIRED, Reason.LOGIN_REFUSED, Reason.LOGIN_QUESTION}


class SshRemote:
    """One for a process. ``book`` is the local state's."""

    def __init__(self, ssh: Ssh, credentials: Sequence[Credential], *, book: HostBook) -> None:
        self._ssh, self._credentials, self._book = ssh, tuple(credentials), book
        self._reach = ssh.reach()
        self._places: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._ring = KeyRing()
        _prepare_libraries()

    @contextlib.asynccontextmanager
    async def connect(self, host: Host, *, deadline: float) -> AsyncIterator[SshSession]:
        """As in the protocol. Raises HostError: blocked, unreachable."""
        self._check_address(host)
        place = self._places.get(host.address)
        if place is None:
            place = self._places[host.address] = asyncio.Semaphore(self._ssh.parallel_per_address)
        async with contextlib.AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(deadline):
                    await stack.enter_async_context(place)
                    session = await self._session(host)
            except TimeoutError:
                text = say(
                    "no session with {host} within {seconds} s (ssh.host_deadline)",
                    host=host.name,
                    seconds=f"{deadline:.0f}",
                )
                raise Transient(Outcome.UNREACHABLE, Reason.TIMEOUT, text) from None
            stack.push_async_callback(session.close)
            yield session

    def _check_address(self, host: Host) -> None:
        try:
            address = parse_address(host.address)
        except ValueError:
            text = host.problem or say("{host} has no IP address, but: {address}", host=host.name, address=host.address)
            raise Permanent(Outcome.UNREACHABLE, Reason.NO_ADDRESS, text) from None
        if address not in self._reach:
            from contracts.in_words import listed  # which loads what only checks of documents need

            allowed = listed(self._ssh.allowed_networks)
            text = say("{address} is outside ssh.allowed_networks ({allowed})", address=host.address, allowed=allowed)
            raise Permanent(Outcome.BLOCKED, Reason.OUTSIDE_ALLOWED_NETWORKS, text)

    async def _session(self, host: Host) -> SshSession:
        pinned, notes = await self._book.get(host)
        profiles = self._profiles(notes)
        credentials = list(candidates(host, self._credentials, pinned=pinned is not None, accepted=notes.credential))
        refused: HostError | None = None
        while True:
            credential = credentials[0]
            client = await self._client(credential, pinned, profiles[0])
            try:
                connection = await log_in(host, credential.user, client, profiles[0], pinned, self._ssh)
                break
            except HostError as error:
                if error.reason is Reason.NO_COMMON_ALGORITHM and len(profiles) > 1:
                    del profiles[0]
                elif error.reason not in _ANOTHER_MAY_PASS:
                    if refused is None:
                        raise
                    # Another attempt would begin with the credential that was refused just now.
                    raise Permanent(error.outcome, error.reason, error.message, error.detail) from error
                else:
                    if (
                        refused is None or refused.reason is Reason.AUTH_FAILED
                    ):  # a wrong password tells less than the others
                        refused = _named(error, credential, alone=pinned is None and host.credential is None)
                    del credentials[0]
                    if not credentials:
                        raise refused from error
        try:
            await self._learn(host, pinned, notes, client, credential)
        except BaseException:
            connection.abort()
            raise
        learned = client.presented.fingerprint if pinned is None and client.presented is not None else ""
        return SshSession(host, credential, client, connection, self._ssh.output_limit, learned)

    def _profiles(self, notes: SshNotes) -> list[Profile]:
        if self._ssh.legacy_algorithms == "refuse":
            return [MODERN]
        return [LEGACY] if notes.profile == LEGACY.name else [MODERN, LEGACY]

    async def _client(self, credential: Credential, pinned: PinnedKey | None, profile: Profile) -> Client:
        return Client(
            pinned,
            trust_new=self._ssh.first_use == "pin",
            password=credential.password.reveal() if credential.password else None,
            keys=await self._ring.pairs(credential, old_signatures=profile is LEGACY),
        )

    async def _learn(
        self, host: Host, pinned: PinnedKey | None, notes: SshNotes, client: Client, credential: Credential
    ) -> None:
        needs = needs_of(client)
        learned = SshNotes((LEGACY if needs else MODERN).name, needs, credential.id)
        new_key = client.presented if pinned is None else None
        await self._book.save(host, new_key, learned if learned != notes else None)


def _named(error: HostError, credential: Credential, *, alone: bool) -> HostError:
    text = (
        say(
            "{failure} (credential {credential}, the only one that a host not known yet is shown)",
            failure=error.message,
            credential=credential.id,
        )
        if alone
        else say("{failure} (credential {credential})", failure=error.message, credential=credential.id)
    )
    return Permanent(error.outcome, error.reason, text, error.detail)


def _prepare_libraries() -> None:
    """asyncssh writes a line for every command, also where nobody asked for it (``--debug``), and needs name and home of our own
    account, which in a container may have neither; cryptography warns that what old servers need will move one day."""
    if logging.getLogger("asyncssh").level == logging.NOTSET:
        logging.getLogger("asyncssh").setLevel(logging.WARNING)
    warnings.filterwarnings(
        "ignore", message="Diffie-Hellman over finite fields", category=CryptographyDeprecationWarning
    )
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["LOGNAME"] = "flageemonitor"
        os.environ.setdefault("HOME", "/")
