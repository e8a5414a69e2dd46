"""Secret parameters of a run by hand: read from a file or from standard input, never from the command line.

Called by :mod:`runtime.cli.options`. What is read becomes a Secret at once, so it is neither shown nor stored.
"""

from __future__ import annotations

import getpass
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contracts.secret import Secret
from contracts.text import say
from runtime.adapters.state.files import read_plain
from runtime.domain.action import Action, secrets_of
from runtime.domain.errors import UsageFault

LONGEST = 65_536


def read_secrets(action: Action, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with ``@FILE`` and ``@-`` of secret ones replaced by what is there. Raises UsageFault.

    A value without ``@`` stays as it is: the run refuses it. One line end at the end of a file is not part of the secret.
    """
    found = dict(params)
    taken = ""
    for name in sorted(secrets_of(action.params) & params.keys()):
        value = params[name]
        if not isinstance(value, str) or not value.startswith("@"):
            continue
        if value == "@-" and taken:
            text = say("{first} and {second} both come from standard input", first=taken, second=name)
            raise UsageFault("bad_param", text, say("give one as a file: @FILE"))
        taken = name if value == "@-" else taken
        found[name] = Secret(_text(name, value[1:]))
    return found


def _text(name: str, source: str) -> str:
    where = say("standard input") if source == "-" else source or say("a file without a name")
    try:
        if source == "-" and sys.stdin.isatty():
            raw = getpass.getpass(f"{name}: ").encode("utf-8", "surrogateescape")
        elif source == "-":
            raw = sys.stdin.buffer.read(LONGEST + 1)
        else:
            raw = read_plain(Path(source), LONGEST)
        text = raw.decode("utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else say("not UTF-8")
        message = say("{name} cannot be read from {place}: {reason}", name=name, place=where, reason=reason)
        raise UsageFault("bad_param", message, say("check the path and its mode")) from None
    if len(raw) > LONGEST:
        message = say("{name}: {place} holds more than {limit} bytes", name=name, place=where, limit=LONGEST)
        raise UsageFault("bad_param", message, say("check that it is the right file"))
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        message = say("{name}: {place} is empty", name=name, place=where)
        raise UsageFault("bad_param", message, say("write the secret there first"))
    return text
