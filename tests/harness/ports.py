"""Free ports on loopback, for parts that must be told where to listen. Called by every part that listens."""

import contextlib
import random
import socket

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """A TCP port that was free a moment ago, below 32768: Zabbix takes no higher one, and outgoing connections take no lower."""
    while True:
        port = random.randrange(10_000, 32_768)
        with contextlib.suppress(OSError), socket.create_server((LOOPBACK, port)):
            return port


def accepts(address: str, port: int, timeout: float = 1.0) -> bool:
    """Whether something accepts TCP connections there, waiting `timeout` seconds at most."""
    try:
        with socket.create_connection((address, port), timeout=timeout):
            return True
    except OSError:
        return False
