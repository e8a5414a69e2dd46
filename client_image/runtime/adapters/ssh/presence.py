"""Whether a host is still there: its SSH port is asked from outside, because an open connection may outlive the server."""

from __future__ import annotations

import asyncio
import contextlib
import errno

INTERVAL_S = 1.0
PROBE_S = 2.0
IN_A_ROW = 2
_GONE = {errno.ECONNREFUSED, errno.ECONNRESET, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.EHOSTDOWN}


async def wait_gone(address: str, port: int, timeout: float) -> bool:
    """True when the port was silent twice in a row within ``timeout`` seconds. Whoever answers there counts as the host."""
    silent = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            while True:
                silent = 0 if await _answers(address, port) else silent + 1
                if silent == IN_A_ROW:
                    return True
                await asyncio.sleep(INTERVAL_S)
    return False


async def _answers(address: str, port: int) -> bool:
    try:
        async with asyncio.timeout(PROBE_S):
            _, writer = await asyncio.open_connection(address, port)
    except TimeoutError:
        return False
    except OSError as error:
        return error.errno not in _GONE  # a fault on our own side says nothing about the host
    writer.transport.abort()
    return True
