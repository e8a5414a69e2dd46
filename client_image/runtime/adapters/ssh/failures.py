"""Failures while connecting, as outcomes of the host. Called by the login."""

from __future__ import annotations

import errno

from contracts.text import Text, say
from runtime.adapters.ssh import words
from runtime.adapters.ssh.client import Client
from runtime.adapters.ssh.library import asyncssh
from runtime.domain.errors import HostError, Permanent, Transient
from runtime.domain.model import Host, Outcome, Reason
from runtime.domain.ports import PinnedKey

CONNECT_S = 10.0
_SILENT = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ETIMEDOUT}


def changed_key(host: Host, pinned: PinnedKey, presented: PinnedKey) -> HostError:
    text = say(
        "the host key of {host} changed: pinned {pinned}, now {presented}. "
        "If the terminal was reinstalled: flageemonitor-run hosts rekey {host}",
        host=host.name,
        pinned=pinned.fingerprint,
        presented=presented.fingerprint,
    )
    return Permanent(Outcome.BLOCKED, Reason.HOST_KEY_CHANGED, text, f"{pinned.algorithm} -> {presented.algorithm}")


def unknown_key(host: Host, presented: PinnedKey) -> HostError:
    text = say(
        "{host} shows the unknown host key {presented}, and ssh.first_use is refuse",
        host=host.name,
        presented=presented.fingerprint,
    )
    return Permanent(Outcome.BLOCKED, Reason.HOST_KEY_UNKNOWN, text, presented.algorithm)


def no_common_algorithm(host: Host, lacks: tuple[str, ...], *, legacy_refused: bool) -> HostError:
    offered = "; ".join(lacks)
    text = say("no common algorithm with {host}, which offers {algorithms}", host=host.name, algorithms=offered)
    if legacy_refused:
        text = say("{failure}; ssh.legacy_algorithms is refuse", failure=text)
    return Permanent(Outcome.UNREACHABLE, Reason.NO_COMMON_ALGORITHM, text, offered)


def connect_limit(login: float) -> float:
    """Seconds for the connection alone, out of ``login`` for all of it: a machine that is off is not waited for as long as an
    old one that looks up names before it lets anybody in."""
    return min(login, max(CONNECT_S, login / 3))


def timed_out(host: Host, client: Client, user: str, login: float) -> HostError:
    """The stage that was reached, how long was waited, and the setting that says so. ``login``: ssh.connect_timeout."""
    place, limit = _place(host), say("waited {seconds} s: ssh.connect_timeout", seconds=f"{login:g}")
    if client.connection is None:
        text = say("{place} does not answer", place=place)
        waited = connect_limit(login)
        if waited < login:
            limit = say(
                "waited {seconds} s, the share of a first connection in ssh.connect_timeout, {all} s",
                seconds=f"{waited:g}",
                all=f"{login:g}",
            )
    elif not client.version:
        text = say("{place} accepts connections, but no SSH server speaks there", place=place)
    elif client.presented is None:
        text = say("{place} does not finish the SSH key exchange", place=place)
    else:
        text = say("{place} does not finish the login of {user}", place=place, user=user)
        if client.words:
            text = say("{failure}; it said: {said}", failure=text, said=client.words)
    return _kind(client)(Outcome.UNREACHABLE, Reason.TIMEOUT, say("{failure} ({limit})", failure=text, limit=limit))


def failure(host: Host, client: Client, user: str, error: Exception) -> HostError:
    """Any other exception. What comes before the login is unreachable: nothing was done on the host."""
    refused = isinstance(error, asyncssh.PermissionDenied) or "authentication failures" in str(error)
    answered = client.offered and bool(words.said(client.answer))
    if refused or (answered and isinstance(error, asyncssh.Error | OSError)):
        return _refused_login(host, client, user, hung_up=not refused)
    if isinstance(error, ConnectionRefusedError):
        text = say("{place} refuses connections", place=_place(host))
        return Transient(Outcome.UNREACHABLE, Reason.REFUSED_CONNECTION, text)
    if isinstance(error, OSError) and error.errno in _SILENT:
        text = say("{place} cannot be reached: {why}", place=_place(host), why=error.strerror)
        return _kind(client)(Outcome.UNREACHABLE, Reason.TIMEOUT, text)
    nonsense = isinstance(error, asyncssh.ProtocolError | asyncssh.ProtocolNotSupported | ValueError)
    if nonsense and client.connection is not None and client.presented is None:
        text = say(
            "what answers at {place} does not speak SSH 2: {why}", place=_place(host), why=_reason(error, client)
        )
        return Permanent(Outcome.UNREACHABLE, Reason.NO_COMMON_ALGORITHM, text)
    if isinstance(error, asyncssh.Error | OSError):
        text = say(
            "{place} ended the connection before the login was done: {why}",
            place=_place(host),
            why=_reason(error, client),
        )
        return _kind(client)(Outcome.UNREACHABLE, Reason.REFUSED_CONNECTION, text)
    text = say("{host} cannot be logged in to as {user}: {why}", host=host.name, user=user, why=words.said(str(error)))
    return Permanent(Outcome.UNREACHABLE, Reason.AUTH_FAILED, text)


def _kind(client: Client) -> type[Transient | Permanent]:
    """Transient only as long as no credential was given: servers count logins that were begun, and lock accounts."""
    return Permanent if client.offered else Transient


def _refused_login(host: Host, client: Client, user: str, *, hung_up: bool) -> HostError:
    """``hung_up``: the server ended the connection instead of saying no, which it does when the password is not the matter."""
    said = client.words
    if client.question:
        text = say(
            "{host} asks more than a password before it lets {user} in: {question}. It was not answered",
            host=host.name,
            user=user,
            question=client.question,
        )
        return Permanent(Outcome.UNREACHABLE, Reason.LOGIN_QUESTION, text)
    reason = words.refusal(words.said(client.answer), Reason.LOGIN_REFUSED if hung_up else Reason.AUTH_FAILED)
    if client.expired or reason is Reason.PASSWORD_EXPIRED:
        text = say("the password of {user} on {host} has expired; nothing was changed.", user=user, host=host.name)
        if said:
            text = say("{failure} The terminal says: {said}", failure=text, said=said)
        return Permanent(Outcome.UNREACHABLE, Reason.PASSWORD_EXPIRED, text)
    if reason is Reason.LOGIN_REFUSED:
        text = say("{host} lets nobody in as {user}", host=host.name, user=user)
    else:
        text = say("{host} refused the login of {user}", host=host.name, user=user)
    if said:
        text = say("{failure}. The terminal says: {said}", failure=text, said=said)
    return Permanent(Outcome.UNREACHABLE, reason, text)


def _reason(error: Exception, client: Client) -> str:
    """What the server said, and what the library says."""
    what = words.said(error.reason if isinstance(error, asyncssh.DisconnectError) else str(error))
    return say("{failure}; it said: {said}", failure=what, said=client.words) if client.words else what


def _place(host: Host) -> Text:
    return say("{address} port {port}", address=host.address, port=host.port)
