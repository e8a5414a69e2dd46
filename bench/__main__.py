"""`python -m bench [NAME...]`: the benches of these names, all of them without a name. `make bench` calls it.

Each prints a small table, ratios first; every figure stands beside a peer of the same run. Nothing here fails for being slow.
`--against CHECKOUT` takes turns with an earlier work tree: it is one more peer where a bench can have it so, else the two benches
run one after the other.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from inspect import signature
from pathlib import Path

from bench import checkouts, report

NAMES: Mapping[str, str] = {
    "config_endpoint": "the configuration endpoint beside bare Flask and raw WSGI",
    "ingest": "POST /v1/ingest beside Flask with an ORM, itself with nothing written, and its rows alone",
    "backlog": "a proxy's backlog of results (--size) beside a hundredth of it, and beside a client that only sends",
    "last_day": "the last day of one agent out of millions of envelopes (--size) beside a database of that day alone",
    "selection": "selection and gates beside the Zabbix call that lists the hosts",
    "fan_out": "a cold run on 100 terminals beside ansible-core, pyinfra and ssh2-python",
    "idle_memory": "an idle daemon beside what its libraries alone need",
    "idle_traffic": "bytes of an idle proxy in a day beside the same over a connection that stays open",
    "image": "the protected image beside the same one unprotected: size, start, memory",
}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="an earlier work tree with its .venv")
    parser.add_argument("--size", type=int, metavar="N", help="how much a bench that can be large works on")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.names if name not in NAMES]
    if unknown:
        known = "\n".join(f"  {name:<16}{text}" for name, text in NAMES.items())
        raise SystemExit(f"no bench named {', '.join(unknown)}; there are:\n{known}")
    against = given.against and given.against.resolve()
    for checkout in (checkouts.REPOSITORY, against) if against else ():
        checkouts.compile_all(checkout)
    for name in given.names or NAMES:
        bench: Callable[..., None] = import_module(f"bench.{name}").main
        if given.size and "size" in signature(bench).parameters:
            bench(size=given.size)
        elif not against:
            bench()
        elif "before" in signature(bench).parameters:
            bench(before=against)
        else:
            checkouts.in_turns(name, against)
    print(f"\n{report.machine()}")


if __name__ == "__main__":
    main(sys.argv[1:])
