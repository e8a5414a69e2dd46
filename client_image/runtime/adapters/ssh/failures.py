"""What went wrong while connecting, as the outcome of the host. Called by the login."""

from __future__ import annotations

import errno

from runtime.adapters.ssh import words
from runtime.adapters.ssh.client import Client
from runtime.adapters.ssh.library import asyncssh
from runtime.domain.errors import HostError, Permanent, Transient
from runtime.domain.model import Host, Outcome, Reason
from runtime.domain.ports import PinnedKey

CONNECT_S = 10.0
_SILENT = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ETIMEDOUT}


def changed_key(host: Host, pinned: PinnedKey, presented: PinnedKey) -> HostError:
    text = (
        f"the host key of {host.name} changed: pinned {pinned.fingerprint}, now {presented.fingerprint}. "
        f"If the terminal was reinstalled: flageemonitor-run hosts rekey {host.name}"
    )
    return Permanent(Outcome.BLOCKED, Reason.HOST_KEY_CHANGED, text, f"{pinned.algorithm} -> {presented.algorithm}")


def unknown_key(host: Host, presented: PinnedKey) -> HostError:
    text = f"{host.name} shows the unknown host key {presented.fingerprint}, and ssh.first_use is refuse"
    return Permanent(Outcome.BLOCKED, Reason.HOST_KEY_UNKNOWN, text, presented.algorithm)


def no_common_algorithm(host: Host, lacks: tuple[str, ...], *, legacy_refused: bool) -> HostError:
    text = f"no common algorithm with {host.name}, which offers {'; '.join(lacks)}"
    if legacy_refused:
        text += "; ssh.legacy_algorithms is refuse"
    return Permanent(Outcome.UNREACHABLE, Reason.NO_COMMON_ALGORITHM, text, "; ".join(lacks))


def connect_limit(login: float) -> float:
    """Seconds for the connection alone, out of ``login`` for all of it: a machine that is off is not waited for as long as an
    old one that looks up names before it lets anybody in."""
    return min(login, max(CONNECT_S, login / 3))


def timed_out(host: Host, client: Client, user: str, login: float) -> HostError:
    """The stage that was reached, how long was waited, and the setting that says so. ``login``: ssh.connect_timeout."""
    limit = f"waited {login:g} s: ssh.connect_timeout"
    if client.connection is None:
        text = f"{_place(host)} does not answer"
        waited = connect_limit(login)
        if waited < login:
            limit = f"waited {waited:g} s, the share of a first connection in ssh.connect_timeout, {login:g} s"
    elif not client.version:
        text = f"{_place(host)} accepts connections, but no SSH server speaks there"
    elif client.presented is None:
        text = f"{_place(host)} does not finish the SSH key exchange"
    else:
        text = f"{_place(host)} does not finish the login of {user}"
        if client.words:
            text += f"; it said: {client.words}"
    return _kind(client)(Outcome.UNREACHABLE, Reason.TIMEOUT, f"{text} ({limit})")


def failure(host: Host, client: Client, user: str, error: Exception) -> HostError:
    """Any other exception. What comes before the login is unreachable: nothing was done on the host."""
    refused = isinstance(error, asyncssh.PermissionDenied) or "authentication failures" in str(error)
    answered = client.offered and bool(words.said(client.answer))
    if refused or (answered and isinstance(error, asyncssh.Error | OSError)):
        return _refused_login(host, client, user, hung_up=not refused)
    if isinstance(error, ConnectionRefusedError):
        return Transient(Outcome.UNREACHABLE, Reason.REFUSED_CONNECTION, f"{_place(host)} refuses connections")
    if isinstance(error, OSError) and error.errno in _SILENT:
        text = f"{_place(host)} cannot be reached: {error.strerror}"
        return _kind(client)(Outcome.UNREACHABLE, Reason.TIMEOUT, text)
    nonsense = isinstance(error, asyncssh.ProtocolError | asyncssh.ProtocolNotSupported | ValueError)
    if nonsense and client.connection is not None and client.presented is None:
        text = f"what answers at {_place(host)} does not speak SSH 2: {_reason(error, client)}"
        return Permanent(Outcome.UNREACHABLE, Reason.NO_COMMON_ALGORITHM, text)
    if isinstance(error, asyncssh.Error | OSError):
        text = f"{_place(host)} ended the connection before the login was done: {_reason(error, client)}"
        return _kind(client)(Outcome.UNREACHABLE, Reason.REFUSED_CONNECTION, text)
    return Permanent(
        Outcome.UNREACHABLE,
        Reason.AUTH_FAILED,
        f"{host.name} cannot be logged in to as {user}: {words.said(str(error))}",
    )


def _kind(client: Client) -> type[Transient | Permanent]:
    """Transient only as long as no credential was given: servers count logins that were begun, and lock accounts."""
    return Permanent if client.offered else Transient


def _refused_login(host: Host, client: Client, user: str, *, hung_up: bool) -> HostError:
    """``hung_up``: the server ended the connection instead of saying no, which it does when the password is not the matter."""
    said = client.words
    if client.question:
        text = f"{host.name} asks more than a password before it lets {user} in: {client.question}"
        return Permanent(Outcome.UNREACHABLE, Reason.LOGIN_QUESTION, f"{text}. It was not answered")
    reason = words.refusal(words.said(client.answer), Reason.LOGIN_REFUSED if hung_up else Reason.AUTH_FAILED)
    if client.expired or reason is Reason.PASSWORD_EXPIRED:
        text = f"the password of {user} on {host.name} has expired; nothing was changed"
        return Permanent(Outcome.UNREACHABLE, Reason.PASSWORD_EXPIRED, f"{text}. {_heard(said)}".strip())
    what = "lets nobody in as" if reason is Reason.LOGIN_REFUSED else "refused the login of"
    return Permanent(Outcome.UNREACHABLE, reason, f"{host.name} {what} {user}" + (f". {_heard(said)}" if said else ""))


def _heard(said: str) -> str:
    return f"The terminal says: {said}" if said else ""


def _reason(error: Exception, client: Client) -> str:
    """What the server said, and what the library says."""
    what = words.said(error.reason if isinstance(error, asyncssh.DisconnectError) else str(error))
    return f"{what}; it said: {client.words}" if client.words else what


def _place(host: Host) -> str:
    return f"{host.address} port {host.port}"
