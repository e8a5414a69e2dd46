"""Whether a host is still there: its SSH port is asked from outside, because an open connection may outlive the server."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import time
from enum import Enum

INTERVAL_S = 1.0
PROBE_S = 2.0
REFUSALS = 2
# A short outage of the network between us must not pass for a machine that went.
SILENCE_S = 15.0
_REFUSED = {errno.ECONNREFUSED, errno.ECONNRESET}
_SILENT = {errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.EHOSTDOWN}


class _Sign(Enum):
    THERE = "there"
    REFUSED = "refused"
    SILENT = "silent"


async def wait_gone(address: str, port: int, timeout: float) -> bool:
    """True when within ``timeout`` seconds the machine refused its port twice in a row, or was silent for SILENCE_S on end.

    Whoever answers there counts as the host.
    """
    refused, silent_since = 0, None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            while True:
                begun = time.monotonic()
                sign = await _ask(address, port)
                refused = refused + 1 if sign is _Sign.REFUSED else 0
                silent_since = None if sign is _Sign.THERE else silent_since or begun
                if refused == REFUSALS or (silent_since is not None and time.monotonic() - silent_since >= SILENCE_S):
                    return True
                await asyncio.sleep(INTERVAL_S)
    return False


async def _ask(address: str, port: int) -> _Sign:
    try:
        async with asyncio.timeout(PROBE_S):
            _, writer = await asyncio.open_connection(address, port)
    except TimeoutError:
        return _Sign.SILENT
    except OSError as error:
        if error.errno in _REFUSED:
            return _Sign.REFUSED
        return (
            _Sign.SILENT if error.errno in _SILENT else _Sign.THERE
        )  # a fault on our own side says nothing about the host
    writer.transport.abort()
    return _Sign.THERE
