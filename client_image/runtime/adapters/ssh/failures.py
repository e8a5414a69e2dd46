"""What went wrong while connecting, as the outcome of the host. Called by the login."""

from __future__ import annotations

import errno

import asyncssh

from runtime.adapters.ssh.client import Client
from runtime.core.errors import HostError, Permanent, Transient
from runtime.core.model import Host, Outcome, Reason
from runtime.core.ports import PinnedKey

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


def timed_out(host: Host, client: Client, seconds: float) -> HostError:
    if client.connection is None:
        text = f"{_place(host)} does not answer"
    elif client.presented is None:
        text = f"{_place(host)} accepts connections, but does not finish the SSH handshake"
    else:
        text = f"{_place(host)} does not finish the login"
    return Transient(Outcome.UNREACHABLE, Reason.TIMEOUT, f"{text} (waited {seconds:.0f} s)")


def failure(host: Host, client: Client, user: str, error: Exception) -> HostError:
    """Any other exception. What comes before the login is unreachable: nothing was done on the host."""
    if isinstance(error, asyncssh.PermissionDenied) or "authentication failures" in str(error):
        text = f"{host.name} refused the login of {user}" + (": the password has expired" if client.expired else "")
        return Permanent(Outcome.UNREACHABLE, Reason.AUTH_FAILED, text)
    if isinstance(error, ConnectionRefusedError):
        return Transient(Outcome.UNREACHABLE, Reason.REFUSED_CONNECTION, f"{_place(host)} refuses connections")
    if isinstance(error, OSError) and error.errno in _SILENT:
        return Transient(Outcome.UNREACHABLE, Reason.TIMEOUT, f"{_place(host)} cannot be reached: {error.strerror}")
    nonsense = isinstance(error, asyncssh.ProtocolError | asyncssh.ProtocolNotSupported | ValueError)
    if nonsense and client.connection is not None and client.presented is None:
        text = f"what answers at {_place(host)} does not speak SSH 2: {error}"
        return Permanent(Outcome.UNREACHABLE, Reason.NO_COMMON_ALGORITHM, text)
    if isinstance(error, asyncssh.Error | OSError):
        text = f"{_place(host)} ended the connection before the login was done: {error}"
        return Transient(Outcome.UNREACHABLE, Reason.REFUSED_CONNECTION, text)
    return Permanent(Outcome.UNREACHABLE, Reason.AUTH_FAILED, f"{host.name} cannot be logged in to as {user}: {error}")


def _place(host: Host) -> str:
    return f"{host.address} port {host.port}"
