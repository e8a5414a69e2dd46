"""``python -m server.serving``: what ``flagee-server serve`` becomes once its settings and the database were checked."""

from __future__ import annotations

import os
import sys

from commandline.language import choose_language, shown
from contracts import core_dumps
from contracts.text import say
from contracts.visible import visible
from server.logs import configure_logging
from server.serving.supervisor import StartFailed, supervise
from server.settings import read_settings


def main() -> int:
    """0 when it was asked to stop, 1 when it could not start."""
    core_dumps.switch_off(hidden=True)
    choose_language(sys.argv[1:])
    settings = read_settings(os.environ)
    configure_logging(settings.log_format, settings.log_level)
    try:
        supervise(settings)
    except StartFailed as error:
        text = say("Error: {problem}", problem=say("cannot serve\n{problems}", problems=error))
        sys.stderr.write(f"{visible(shown(text))}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
