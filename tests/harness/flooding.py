"""`python -m tests.harness.flooding SHAPE`: an SSH server that lets everybody in, reads the script that it is sent, and answers
with forged frames, noise or errors until nobody listens. Prints its port. A process of its own, so that its memory is not ours.
"""

import asyncio
import itertools
import re
import sys
from collections.abc import Callable, Iterator

import asyncssh

from tests.harness.ports import LOOPBACK

PIECE = 32768
Shape = Callable[[bytes], Iterator[bytes]]


def _endless(piece: bytes) -> Iterator[bytes]:
    return itertools.repeat(piece * (PIECE // len(piece) + 1))


def _numbered(text: str) -> Shape:
    """Frames with a number of their own each; `%M` is the marker, `%N` the number."""

    def pieces(marker: bytes) -> Iterator[bytes]:
        template = text.replace("%M", marker.decode())
        for start in itertools.count(0, 1000):
            yield "".join(template.replace("%N", str(start + number)) for number in range(1000)).encode()

    return pieces


SHAPES: dict[str, Shape] = {
    "sections with names of their own": _numbered("\n%M begin %N\n\n%M ended 0 %N\n"),
    "one section again and again": lambda marker: _endless(
        b"\n%b begin step:0\nx\n%b ended 0 step:0\n" % (marker, marker)
    ),
    "exit codes of thousands of digits": lambda marker: _endless(b"\n%b ended %b step:0\n" % (marker, b"9" * 2900)),
    "long names": lambda marker: _endless(b"\n%b begin %b\n" % (marker, b"x" * 2900)),
    "frames that are none": lambda marker: _endless(b"\n%b ?\n" % marker),
    "one endless frame": lambda marker: itertools.chain([b"\n%b begin " % marker], _endless(b"x")),
    "one endless section": lambda marker: itertools.chain([b"\n%b begin step:0\n" % marker], _endless(b"x")),
    "noise": lambda _: _endless(b"noise\n"),
    "errors": lambda _: _endless(b"error\n"),
    "nothing but NUL": lambda _: _endless(b"\0"),
    "nothing but carriage returns": lambda _: _endless(b"\r"),
}


class _Server(asyncssh.SSHServer):
    def begin_auth(self, username: str) -> bool:
        return False


async def _answer(process: asyncssh.SSHServerProcess[bytes], name: str) -> None:
    script = await process.stdin.read(-1)
    found = re.search(rb"printf '\\n%s %s\\n' ([0-9a-f]{16}) ", script)
    stream = process.stderr if name == "errors" else process.stdout
    try:
        for piece in SHAPES[name](found[1] if found else b"none"):
            stream.write(piece)
            await stream.drain()
    except (BrokenPipeError, ConnectionError, asyncssh.Error):
        return


async def _serve(name: str) -> None:
    server = await asyncssh.create_server(
        _Server,
        LOOPBACK,
        0,
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        process_factory=lambda process: _answer(process, name),
        encoding=None,
    )
    sys.stdout.write(f"{server.get_port()}\n")
    sys.stdout.flush()
    await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
