"""The first generation's credentials in a host's inventory notes: ``user,password[,port]``. Called by the Zabbix inventory.

Blanks around a field do not count. The last field is the SSH port when it is digits, and nothing when it is empty, so a
password may hold commas. One that ends in a comma and digits, or begins or ends with a blank or a comma, is written in double
quotes, with a quote inside doubled: ``root,"a,22",2222``. Notes that do not read like this are a person's: no credential.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from contracts.bounded import whole
from contracts.config import Credential
from contracts.secret import Secret

_LONGEST = 1024  # characters; whatever is longer is prose
_USER = r"(?P<user>[A-Za-z_][A-Za-z0-9_.@\\-]{0,63}\$?)[ \t]*,[ \t]*"
_PORT = r"[ \t]*(?:,[ \t]*(?P<port>[0-9]*))?"
_QUOTED = re.compile(rf'{_USER}"(?P<password>(?:[^"\r\n]|"")+)"{_PORT}')
_PLAIN = re.compile(rf"{_USER}(?P<password>[^\s,](?:[^\r\n]*?[^\s])??){_PORT}")


class Login(NamedTuple):
    credential: Credential
    port: int | None


def read_notes(text: str, credential_id: str) -> Login | None:
    """None for notes that hold no credential. ``credential_id`` names it in results and in what is remembered of the host."""
    text = text.strip()
    if len(text) > _LONGEST:
        return None
    if match := _QUOTED.fullmatch(text):
        password = match["password"].replace('""', '"')
    elif match := _PLAIN.fullmatch(text):
        password = match["password"]
    else:
        return None
    port = whole(match["port"], 1, 65535)
    if match["port"] and port is None:
        return None
    return Login(Credential(id=credential_id, user=match["user"], password=Secret(password)), port)
