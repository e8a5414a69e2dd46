"""`python -m demo.terminals --folder DIR`: runs simulated terminals until SIGTERM or SIGINT.

Called by `make demo`, by benches (through `demo.terminals.fleet`), and by hand. Prints one JSON line when all terminals answer:
{isolation, answers, notes, credentials, events, terminals: [{id, address, port, user, hostname, …}]}.
"""

import argparse
import asyncio
import json
import os
import resource
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from contracts.visible import quoted
from demo.terminals.isolation import METHODS
from demo.terminals.profiles import DEFAULT_PROFILES, Terminal, alike, load
from demo.terminals.server import serve


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 after a signal, 2 for arguments or a profile file that make no sense, 1 when nothing could be started."""
    parser = _parser()
    options = parser.parse_args(argv)
    try:
        terminals = _chosen(options)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    _allow_many_files()
    try:
        asyncio.run(_run(options, terminals))
    except BlockingIOError:
        print(f"other terminals are running in {options.folder}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"terminals could not be started: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m demo.terminals", description="Simulated point-of-sale terminals on loopback."
    )
    parser.add_argument("--folder", type=Path, required=True, help="everything is written below this folder")
    parser.add_argument("--profiles", type=Path, default=DEFAULT_PROFILES, help="another list of terminals (YAML)")
    parser.add_argument("--port", type=int, default=0, help="port on every address; default: one that is free")
    parser.add_argument("--only", default="", metavar="ID,ID", help="only these terminals of the list")
    parser.add_argument("--ready-file", type=Path, help="write the JSON line here too, in one piece")
    parser.add_argument("--cache", type=Path, help="where an i386 busybox may be; default: cache/ in the folder")
    parser.add_argument(
        "--rotate-host-key", action="append", default=[], metavar="ID", help="give this terminal a new host key"
    )
    parser.add_argument(
        "--fleet", type=int, metavar="N", help="N terminals like the one of --like instead of the list, for loads"
    )
    parser.add_argument(
        "--like", default="unknown", metavar="ID", help="what a fleet's terminals are like; default: %(default)s"
    )
    parser.add_argument("--isolation", choices=(*METHODS, "none"), help="this way only; default: the first that works")
    parser.add_argument("--memoised", action="store_true", help="run a script once, then answer it from memory")
    parser.add_argument(
        "--recorded", type=Path, metavar="FILE", help="answers kept between runs; the only ones without isolation"
    )
    return parser


def _chosen(options: argparse.Namespace) -> tuple[Terminal, ...]:
    listed = {terminal.id: terminal for terminal in load(options.profiles)}
    wanted = options.only.split(",") if options.only else list(listed)
    for name in (*wanted, *options.rotate_host_key, *([options.like] if options.fleet else [])):
        if name not in listed:
            raise ValueError(f"no terminal {quoted(name)}; there are: {', '.join(listed)}")
    if options.fleet:
        return alike(listed[options.like].profile, options.fleet)
    return tuple(listed[name] for name in wanted)


async def _run(options: argparse.Namespace, terminals: Sequence[Terminal]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serve(
        terminals,
        options.folder,
        port=options.port,
        cache=options.cache,
        fleet=bool(options.fleet),
        memoised=options.memoised,
        recorded=options.recorded,
        rotate=options.rotate_host_key,
        methods=tuple(name for name in METHODS if options.isolation in (None, name)),
    ) as running:
        line = json.dumps(running.ready())
        print(line, flush=True)
        if options.ready_file:
            partial = options.ready_file.with_name(f"{options.ready_file.name}.partial")
            partial.write_text(f"{line}\n", encoding="utf-8")
            partial.rename(options.ready_file)
        await stop.wait()
    if options.ready_file:
        options.ready_file.unlink(missing_ok=True)


def _allow_many_files() -> None:
    """A connection costs a file, a session six; the usual soft limit of 1024 is soon reached."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    if sys.version_info < (3, 12):
        # A thread for every child process is what 3.11 would use; from 3.12 on this is the default.
        watcher = asyncio.PidfdChildWatcher()
        asyncio.set_child_watcher(watcher)
    os.umask(0o022)
    warnings.filterwarnings("ignore", message="Diffie-Hellman over finite fields")  # old servers speak nothing else
    sys.exit(main())
