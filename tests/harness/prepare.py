"""Makes what is slow to make while the fast tests run: roots of terminals, Zabbix's database, images.

`python -m tests.harness.prepare`, started by tests/conftest.py beside a whole session. Each part goes into the cache of the
harness, where the tests that need it find it, or wait for it. What fails here is said in the log and fails again, with its
reason, in those tests.
"""

import os
import signal
import sys
import time
from collections.abc import Callable

from tests.harness import docker_host, images, newer_engine, zabbix
from tests.harness.terminal_root import terminal_root

VERSION = "0.1.0"


def product_images() -> None:
    """All in one engine: they share most of their layers."""
    with docker_host.running() as host:
        images.base(host)
        images.product(host, "client", VERSION)
        images.watchtower(host)
        images.product(host, "client", "0.1.1", licence="none")
        images.product(host, "server", VERSION)


# In the order in which the tests need them.
PARTS: dict[str, Callable[[], object]] = {
    "terminal": lambda: terminal_root("amd64"),
    "zabbix": zabbix.load,
    "terminal of 32 bits": lambda: terminal_root("i386"),
    "images": product_images,
    "terminal with systemd": lambda: terminal_root("amd64", "systemd"),
    "newer engine": newer_engine.programs,
}


def main() -> None:
    """Behind the tests: what they do meanwhile is what people wait for."""
    os.nice(5)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is stopped on the way out
    for name, make in PARTS.items():
        begun = time.monotonic()
        try:
            make()
            said = "ready"
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        sys.stderr.write(f"{name}: {said}, {time.monotonic() - begun:.0f} s\n")


if __name__ == "__main__":
    main()
