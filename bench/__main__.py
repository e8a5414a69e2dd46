"""`python -m bench [NAME...]`: the benches of these names, all of them without a name. `make bench` calls it.

Each prints a small table, ratios first; every figure stands beside a peer of the same run. Nothing here fails for being slow.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module

from bench import report

NAMES: Mapping[str, str] = {
    "config_endpoint": "the configuration endpoint beside bare Flask and raw WSGI",
    "selection": "selection and gates beside the Zabbix call that lists the hosts",
    "fan_out": "a cold run on 100 terminals beside ansible-core, pyinfra and ssh2-python",
    "idle_memory": "an idle daemon beside what its libraries alone need",
    "image": "the protected image beside the same one unprotected: size, start, memory",
}


def main(names: list[str]) -> None:
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        known = "\n".join(f"  {name:<16}{text}" for name, text in NAMES.items())
        raise SystemExit(f"no bench named {', '.join(unknown)}; there are:\n{known}")
    for name in names or NAMES:
        bench: Callable[[], None] = import_module(f"bench.{name}").main
        bench()
    print(f"\n{report.machine()}")


if __name__ == "__main__":
    main(sys.argv[1:])
