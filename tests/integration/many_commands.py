"""Runs command lines of `flageemonitor-run` one after another, each in a process that is forked when the program is loaded.

`python -m tests.integration.many_commands`, started by :meth:`Proxy.run_each` with the environment of a proxy: for commands that
end before they reach anything, most of whose time would be the loading. Reads a JSON list of words a line from stdin, and writes
a JSON list a line to stdout: exit code, stdout, stderr.
"""

import json
import os
import sys
import tempfile
from typing import BinaryIO, NoReturn

import runtime.cli.run_command
import runtime.wiring  # noqa: F401
from runtime import main as program


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    for line in sys.stdin:
        answers.write(json.dumps(ended(json.loads(line))) + "\n")
        answers.flush()


def ended(words: list[str]) -> tuple[int, str, str]:
    """How the command ended, and what it printed."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            run(words, out, err)
        _, status = os.waitpid(child, 0)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
    return os.waitstatus_to_exitcode(status), texts[0], texts[1]


def run(words: list[str], out: BinaryIO, err: BinaryIO) -> NoReturn:
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    sys.argv = ["flageemonitor-run", *words]
    code = 70  # main always ends with a code of its own
    try:
        program.main()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
