"""The peer nearest to the metal: ssh2-python, a thread a connection. Run by fan_out with the Python of .venv-bench, not imported.

``ssh2_python.py JOB``: a JSON file with hosts (address, port, user), key, command, parallel. Keys are pinned on first use, for
as long as it runs. Ends with 1 unless every host answered.
"""

from __future__ import annotations

import json
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ssh2.session import Session  # type: ignore[import-not-found]

_pinned: dict[str, bytes] = {}


def look(host: dict[str, Any], key: str, command: str) -> bytes:
    """Log in, run the command, and give what it printed."""
    with socket.create_connection((host["address"], host["port"])) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        session = Session()
        session.handshake(connection)
        shown, _ = session.hostkey()
        if _pinned.setdefault(host["address"], shown) != shown:
            raise ConnectionError(f"{host['address']} has another key")
        session.userauth_publickey_fromfile(host["user"], key)
        channel = session.open_session()
        channel.execute(command)
        output = bytearray()
        size = 1
        while size > 0:
            size, data = channel.read()
            output += data
        channel.close()
        channel.wait_closed()
        code = channel.get_exit_status()
        session.disconnect()
        # Gone before the socket is closed: libssh2 gives the number of its socket back its flags, whoever has it by then.
        del channel, session
    if code:
        raise ConnectionError(f"{host['address']}: exit {code}")
    return bytes(output)


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    with ThreadPoolExecutor(job["parallel"]) as pool:
        answers = list(pool.map(lambda host: look(host, job["key"], job["command"]), job["hosts"]))
    sys.exit(0 if all(job["expected"].encode() in answer for answer in answers) else 1)


if __name__ == "__main__":
    main()
